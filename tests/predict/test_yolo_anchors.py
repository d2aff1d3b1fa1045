"""YOLOv5 and YOLOv7: tables and maps that are encoded here, and what they must give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fakes import NONSENSE, FakeNetwork, centres, check_sound, claim_of, parsed, spoilt_outputs

from arithmetic import cells, logit
from saccade.errors import UnsupportedError
from saccade.predict.metadata import Metadata
from saccade.predict.parser import Settings
from saccade.predict.parsers import yolo_anchors
from saccade.results import Detections

SIZE = (96, 64)
STRIDES = (8, 16, 32)
COUNT = 3 * len(cells(SIZE, STRIDES))
BOXES = np.array([[10, 4, 40, 30], [5.5, 60.25, 60, 90], [3, 0, 12, 20]], np.float32)
LABELS = [2, 0, 1]
SCORES = np.array([0.9 * 0.8, 0.75 * 0.9, 0.6 * 0.6], np.float32)
ULTRALYTICS = Metadata(producer="ultralytics", names=("a", "b", "c"))


def table(classes: int = 3, extra: int = 0) -> np.ndarray:
    """(3 * cells, 5 + classes + extra) with boxes in px."""
    rows = np.full((COUNT, 5 + classes + extra), 0.02, np.float32)
    rows[:, :4] = 30, 40, 20, 10
    rows[:3, :4] = centres(BOXES)
    rows[:3, 4] = 0.9, 0.75, 0.6
    rows[[0, 1, 2], [5 + label for label in LABELS]] = 0.8, 0.9, 0.6
    return rows


def check(found: Detections) -> None:
    np.testing.assert_allclose(found.scores, SCORES, rtol=1e-4)
    np.testing.assert_allclose(found.boxes, BOXES, atol=2e-3)
    assert found.labels.tolist() == LABELS


@pytest.mark.parametrize("metadata", [Metadata(), ULTRALYTICS])
def test_a_table_of_rows_gives_its_objects(metadata: Metadata) -> None:
    net = FakeNetwork({"output": table()[None]}, SIZE)
    claim = claim_of(net, metadata)
    assert claim.family == "yolov5"
    assert claim.input["resize"] == "letterbox"
    check(parsed(net, metadata))


def test_table_with_the_maps_that_it_was_made_of() -> None:
    maps = {f"m{s}": np.zeros((1, 3, SIZE[0] // s, SIZE[1] // s, 8)) for s in STRIDES}
    check(parsed(FakeNetwork({"output": table()[None], **maps}, SIZE)))


def test_parts_of_the_input_as_tensorflow_lite_has_them() -> None:
    rows = table()
    rows[:, :4] /= (SIZE[1], SIZE[0]) * 2
    check(parsed(FakeNetwork({"output": rows[None]}, SIZE, nhwc=True), ULTRALYTICS))


def test_masks_are_of_their_objects() -> None:
    rows = table(extra=8)
    rows[:3, 8:] = 0
    rows[:3, 8] = 1, -1, 1
    net = FakeNetwork({"o": rows[None], "p": np.ones((1, 8, SIZE[0] // 4, SIZE[1] // 4))}, SIZE)
    assert claim_of(net).family == "yolov5-seg"
    found = parsed(net)
    check(found)
    assert found.masks is not None
    areas = [int(found.masks.bitmap(i, found.boxes[i], SIZE[1], SIZE[0]).sum()) for i in range(3)]
    assert areas == [30 * 26, 0, 9 * 20]


def raw(anchors: Any, *, activated: bool = False) -> list[np.ndarray]:
    """Maps (1, 3, h, w, 8) as the last convolutions give them."""
    sign: Any = np.asarray if activated else logit
    made = [np.full((1, 3, SIZE[0] // s, SIZE[1] // s, 8), float(sign(0.02)), np.float32) for s in STRIDES]
    for i, (box, label) in enumerate(zip(centres(BOXES), LABELS, strict=True)):
        level, anchor = ((1, 1), (2, 0), (0, 2))[i]
        stride = STRIDES[level]
        x, y = box[:2] / stride
        cell = made[level][0, anchor, int(y), int(x)]
        cell[:2] = sign((np.array([x - int(x), y - int(y)]) + 0.5) / 2)
        cell[2:4] = sign(np.sqrt(box[2:] / anchors[3 * level + anchor]) / 2)
        cell[4] = sign((0.9, 0.75, 0.6)[i])
        cell[5 + label] = sign((0.8, 0.9, 0.6)[i])
    return made


@pytest.mark.parametrize("head", ["yolov5", "yolov7"])
@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize("planes", [False, True])
def test_raw_maps_give_their_objects_by_the_heads_anchors(head: str, activated: bool, planes: bool) -> None:
    made = raw(yolo_anchors.ANCHORS[head], activated=activated)
    if planes:
        made = [m.transpose(0, 1, 4, 2, 3).reshape(1, -1, *m.shape[2:4]) for m in made]
    after = ("Convolution", "Sigmoid") if activated else ("Convolution", "Transpose")
    net = FakeNetwork({f"m{i}": m for i, m in enumerate(reversed(made))}, SIZE, after=after, layer_type="Add")
    assert claim_of(net, head=head).family == head
    check(parsed(net, head=head))
    with pytest.raises(UnsupportedError, match=r"--head|which anchors"):
        claim_of(net)


def test_maps_with_anchors_of_the_files() -> None:
    own = tuple((float(5 + 9 * i), float(60 - 5 * i)) for i in range(9))
    net = FakeNetwork({f"m{i}": m for i, m in enumerate(raw(own))}, SIZE, after=("Convolution",), layer_type="Add")
    check(parsed(net, Metadata(anchors=own)))


@pytest.mark.parametrize(
    "outputs",
    [
        {"o": np.zeros((1, COUNT + 1, 8))},
        {"o": np.zeros((1, COUNT, 5))},  # no class
        {"o": np.full((1, COUNT, 8), 7.0)},  # no scores
        {"o": np.zeros((1, COUNT, 8)), "p": np.zeros((1, 8, 5, 5))},
        {"a": np.zeros((1, 3, 12, 8, 8)), "b": np.zeros((1, 3, 6, 4, 8))},  # two maps
        {"a": np.zeros((1, 3, 12, 8, 5)), "b": np.zeros((1, 3, 6, 4, 5)), "c": np.zeros((1, 3, 3, 2, 5))},  # no class
        {"a": np.zeros((1, 2, 12, 8, 8)), "b": np.zeros((1, 2, 6, 4, 8)), "c": np.zeros((1, 2, 3, 2, 8))},
    ],
)
def test_near_misses_are_refused(outputs: dict[str, np.ndarray]) -> None:
    with pytest.raises(UnsupportedError):
        claim_of(FakeNetwork(outputs, SIZE))


@pytest.mark.parametrize("values", NONSENSE)
@pytest.mark.parametrize("form", ["table", "maps"])
def test_nonsense_gives_nothing_unsound(values: list[float], form: str) -> None:
    outputs = {"o": table()[None]} if form == "table" else {f"m{i}": m for i, m in enumerate(raw(yolo_anchors.V5))}
    net = FakeNetwork(outputs, SIZE, after=("Convolution",), layer_type="Add")
    parser = claim_of(net, head="yolov5").parser
    for spoilt in spoilt_outputs(net, values):
        check_sound(parser.parse(spoilt, Settings(score=0.25, iou=0.45)), 0.25)
