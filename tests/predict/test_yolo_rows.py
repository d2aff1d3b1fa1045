"""YOLOs that list their objects: what rows mean, and what is not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import NONSENSE, FakeNetwork, centres, check_sound, claim_of, parsed, spoilt_outputs

from saccade.errors import UnsupportedError
from saccade.predict.metadata import Metadata
from saccade.predict.parser import Settings
from saccade.results import Detections

SIZE = (64, 96)
BOXES = np.array([[10, 4, 40, 30], [50.5, 20.25, 90, 60], [11, 4, 40, 30]], np.float32)
END2END = Metadata(producer="ultralytics", task="detect", head="Detect", end2end=True)


def rows(extra: int = 0, count: int = 20) -> np.ndarray:
    """(count, 6 + extra): three objects, best first, and rows that are not used."""
    table = np.zeros((count, 6 + extra), np.float32)
    table[:3, :4] = BOXES
    table[:3, 4] = 0.9, 0.75, 0.5
    table[:3, 5] = 2, 0, 2
    return table


def check(found: Detections) -> None:
    np.testing.assert_allclose(found.scores, [0.9, 0.75, 0.5])
    np.testing.assert_allclose(found.boxes, BOXES)
    assert found.labels.tolist() == [2, 0, 2]


@pytest.mark.parametrize("shape", [(1, 20, 6), (1, -1, 6), (-1, -1, 6)])
def test_rows_are_taken_as_they_are(shape: tuple[int, ...]) -> None:
    """Boxes that overlap, too: the network has suppressed what it wanted to."""
    network = FakeNetwork({"o": rows()[None]}, SIZE, shapes={"o": shape})
    claim = claim_of(network, END2END)
    assert (claim.family, claim.certainty) == ("yolo-rows", 3)
    assert claim.input["resize"] == "letterbox"
    check(parsed(network, END2END))
    check(parsed(network, Metadata()))
    assert claim.parser.parse(network.values, Settings(score=0.6, top=1)).scores.tolist() == [np.float32(0.9)]


def test_rows_in_another_order() -> None:
    network = FakeNetwork({"o": rows()[None, ::-1]}, SIZE)
    check(parsed(network, END2END))


@pytest.mark.parametrize(
    ("column", "value"), [(0, np.nan), (2, np.inf), (4, np.inf), (4, np.nan), (5, np.inf), (5, -1)]
)
def test_rows_that_are_none_take_nobodys_place(column: int, value: float) -> None:
    table = rows()
    table[3], table[4] = table[1], table[0]
    table[3, 4] = 0.95
    table[3, column] = value
    network = FakeNetwork({"o": table[None, 3:]}, SIZE)
    parser = claim_of(FakeNetwork({"o": rows(count=17)[None]}, SIZE), END2END).parser
    found = parser.parse(network.values, Settings(score=0.25, top=1))
    assert isinstance(found, Detections)
    np.testing.assert_allclose(found.boxes, BOXES[:1])


def test_as_many_rows_as_cells() -> None:
    """A list may be as long as the grids have cells; only the file can say so."""
    count = 8 * 12 + 4 * 6 + 2 * 3
    network = FakeNetwork({"o": rows(count=count)[None]}, SIZE)
    check(parsed(network, END2END))
    check(parsed(network, Metadata(producer="ultralytics", task="detect", nms=True)))


def test_nothing_seen_is_no_evidence() -> None:
    network = FakeNetwork({"o": np.zeros((1, 20, 6))}, SIZE)
    with pytest.raises(UnsupportedError):
        claim_of(network)
    assert claim_of(network, head="yolo-rows").family == "yolo-rows"
    suppressed = FakeNetwork({"o": np.zeros((1, 20, 6))}, SIZE, after=("NonMaxSuppression", "Gather"))
    assert claim_of(suppressed).family == "yolo-rows"


@pytest.mark.parametrize(
    ("change", "metadata"),
    [
        ((slice(0, 4), 1 / 100), Metadata()),  # parts of the input: RT-DETR
        ((slice(4, 5), 3.0), Metadata()),  # no scores
        ((slice(5, 6), 0.3), Metadata()),  # no classes
        ((slice(0, 1), 1.0), Metadata(producer="ultralytics", task="detect", head="RTDETRDecoder")),
        ((slice(0, 1), 1.0), Metadata(producer="ultralytics", task="segment", head="Segment")),
    ],
)
def test_near_misses_are_refused(change: tuple[slice, float], metadata: Metadata) -> None:
    columns, factor = change
    table = rows()
    table[:, columns] *= factor
    try:
        family = claim_of(FakeNetwork({"o": table[None]}, SIZE), metadata).family
    except UnsupportedError:
        return
    assert family == "rt-detr"


def test_masks_are_those_of_their_rows() -> None:
    table = rows(extra=8)
    table[:3, 6] = 1, -1, 1
    prototypes = np.ones((1, 8, SIZE[0] // 4, SIZE[1] // 4), np.float32)
    network = FakeNetwork({"o": table[None], "p": prototypes}, SIZE)
    for metadata in (Metadata(), Metadata(producer="ultralytics", task="segment", end2end=True)):
        assert claim_of(network, metadata).family == "yolo-rows-seg"
        found = parsed(network, metadata)
        check(found)
        assert found.masks is not None
        inside = [found.masks.bitmap(i, found.boxes[i], SIZE[1], SIZE[0]).sum() for i in range(3)]
        assert inside == [30 * 26, 0, 29 * 26]


def test_key_points_are_those_of_their_rows() -> None:
    table = rows(extra=51)
    table[:3, 6:] = np.tile([20, 30, 0.5], (3, 17))
    network = FakeNetwork({"o": table[None]}, SIZE)
    for metadata in (Metadata(), Metadata(producer="ultralytics", task="pose", keypoints=(17, 3), end2end=True)):
        assert claim_of(network, metadata).family == "yolo-rows-pose"
        found = parsed(network, metadata)
        check(found)
        assert found.keypoints is not None
        np.testing.assert_allclose(found.keypoints, np.tile(np.float32([20, 30]), (3, 17, 1)))
        np.testing.assert_allclose(found.keypoint_scores, 0.5)


def test_turned_boxes_are_those_of_their_rows() -> None:
    table = rows(extra=1)
    table[:3, :4] = centres(BOXES)
    table[:3, 6] = 0, np.pi / 2, 0
    network = FakeNetwork({"o": table[None]}, SIZE, after=("Sin", "Cos", "TopK"))
    for metadata in (Metadata(), Metadata(producer="ultralytics", task="obb", end2end=True)):
        assert claim_of(network, metadata).family == "yolo-rows-obb"
        found = parsed(network, metadata)
        x, y, w, h = centres(BOXES)[1]
        np.testing.assert_allclose(found.boxes[[0, 2]], BOXES[[0, 2]], atol=1e-4)
        np.testing.assert_allclose(found.boxes[1], [x - h / 2, y - w / 2, x + h / 2, y + w / 2], atol=1e-4)
        assert found.corners is not None
    with pytest.raises(UnsupportedError):
        claim_of(FakeNetwork({"o": table[None]}, SIZE))


# ---- whatever the numbers are


@pytest.mark.parametrize("values", NONSENSE)
@pytest.mark.parametrize(("extra", "task"), [(0, "detect"), (1, "obb"), (6, "pose"), (8, "segment")])
def test_nonsense_gives_nothing_unsound(values: list[float], extra: int, task: str) -> None:
    outputs = {"o": rows(extra)[None]}
    if task == "segment":
        outputs["p"] = np.ones((1, 8, SIZE[0] // 4, SIZE[1] // 4), np.float32)
    network = FakeNetwork(outputs, SIZE)
    parser = claim_of(network, Metadata(producer="ultralytics", task=task, end2end=True, keypoints=(2, 3))).parser
    for spoilt in spoilt_outputs(network, values):
        check_sound(parser.parse(spoilt, parser.defaults), 0.25)
