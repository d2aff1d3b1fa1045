"""YOLOs whose converters added a post-processing: what its lists mean."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import NONSENSE, FakeNetwork, check_sound, claim_of, parsed, spoilt_outputs

from arithmetic import cells
from saccade.errors import UnsupportedError
from saccade.networks.network import Port
from saccade.predict.parser import Settings
from saccade.predict.parsers.yolo_parts import end_to_end
from saccade.results import Detections

SIZE = (96, 64)
BOXES = np.array([[10, 4, 40, 30], [5.5, 60.25, 60, 90], [11, 4, 40, 80]], np.float32)


def rows(count: int) -> np.ndarray:
    """(count, 6) of box, score, class: three objects, best first."""
    table = np.zeros((count, 6), np.float32)
    table[:3, :4] = BOXES
    table[:3, 4] = 0.9, 0.75, 0.5
    table[:3, 5] = 2, 0, 1
    return table


def check(found: object) -> None:
    assert isinstance(found, Detections)
    np.testing.assert_allclose(found.scores, [0.9, 0.75, 0.5])
    np.testing.assert_allclose(found.boxes, BOXES, rtol=1e-6)
    assert found.labels.tolist() == [2, 0, 1]


def test_each_row_that_is_no_object_is_left_out() -> None:
    table = np.vstack([rows(3), np.repeat(rows(3)[:1], 7, axis=0)])
    table[3, 0] = np.nan
    table[4, 3] = np.inf
    table[5, 4] = np.nan
    table[6, 5] = np.nan
    table[7, 5] = -1
    table[8, 5] = 2**24
    table[9, 4] = 0.49
    found = end_to_end(table, Settings(score=0.5))
    assert found[:, -1].tolist() == [0, 1, 2]
    assert end_to_end(table, Settings(score=0.5, top=2))[:, -1].tolist() == [0, 1]


# ---- YOLOv7


def test_rows_of_seven_numbers() -> None:
    table = rows(3)
    seven = np.column_stack([np.zeros(3), table[:, :4], table[:, 5], table[:, 4]]).astype(np.float32)
    network = FakeNetwork({"output": seven}, SIZE, shapes={"output": (-1, 7)}, layer_type="Concat")
    assert claim_of(network).family == "yolov7-rows"
    check(parsed(network))
    parser = claim_of(network).parser
    assert len(parser.parse({"output": np.empty((0, 7), np.float32)}, parser.defaults)) == 0
    seven[:, 6] = 7
    with pytest.raises(UnsupportedError):
        claim_of(FakeNetwork({"output": seven}, SIZE))


def test_lists_end_where_their_count_says() -> None:
    table = rows(5)
    table[3] = 1, 2, 3, 4, 0.99, 1  # left over from nowhere
    outputs = {
        "num_dets": np.array([[3]]), "det_boxes": table[None, :, :4], "det_scores": table[None, :, 4],
        "det_classes": table[None, :, 5],
    }  # fmt: skip
    network = FakeNetwork(outputs, SIZE)
    assert claim_of(network).family == "yolov7-lists"
    check(parsed(network))
    parser = claim_of(network).parser
    for number in (np.nan, -5.0, 1e9, np.inf):
        found = parser.parse({**network.values, "num_dets": np.array([[number]], np.float32)}, parser.defaults)
        assert len(found) in (0, 4)


# ---- the ONNX model zoo


def test_indices_choose_among_boxes_and_scores() -> None:
    boxes = np.zeros((1, 40, 4), np.float32)
    boxes[0, [3, 7, 9]] = BOXES[:, [1, 0, 3, 2]]
    scores = np.zeros((1, 3, 40), np.float32)
    scores[0, [2, 0, 1], [3, 7, 9]] = 0.9, 0.75, 0.5
    indices = np.array([[0, 2, 3], [0, 0, 7], [0, 1, 9]])
    size = Port("image_shape", (1, 2), np.dtype(np.float32))
    shapes = {"boxes": (1, -1, 4), "scores": (1, 3, -1), "indices": (1, -1, 3)}
    net = FakeNetwork({"boxes": boxes, "scores": scores, "indices": indices[None]}, SIZE, shapes=shapes,
                      more_inputs=(size,))  # fmt: skip
    claim = claim_of(net)
    assert (claim.family, claim.input["resize"]) == ("yolov3-zoo", "letterbox")
    np.testing.assert_array_equal(claim.fixed["image_shape"], [SIZE])
    check(claim.parser.parse(net.values, claim.parser.defaults))
    spoilt = np.array([[0, 5, 3], [0, 0, 99], [0, -1, 2], [np.nan, np.nan, np.inf]], np.float32)
    assert len(claim.parser.parse({**net.values, "indices": spoilt}, claim.parser.defaults)) == 0


# ---- pytorch-YOLOv4


def test_boxes_and_scores() -> None:
    count = 3 * len(cells(SIZE, (8, 16, 32)))
    boxes = np.zeros((1, count, 1, 4), np.float32)
    scores = np.full((1, count, 3), 0.01, np.float32)
    boxes[0, [3, 7, 9], 0] = BOXES / ((SIZE[1], SIZE[0]) * 2)
    scores[0, [3, 7, 9], [2, 0, 1]] = 0.9, 0.75, 0.5
    net = FakeNetwork({"confs": scores, "boxes": boxes}, SIZE)
    assert claim_of(net).family == "yolov4-lists"
    check(parsed(net))
    with pytest.raises(UnsupportedError):
        claim_of(FakeNetwork({"confs": scores[:, 1:], "boxes": boxes[:, 1:]}, SIZE))


# ---- whatever the numbers are


@pytest.mark.parametrize("values", NONSENSE)
def test_nonsense_gives_nothing_unsound(values: list[float]) -> None:
    table = rows(5)
    lists = {
        "num_dets": np.array([[3]]), "det_boxes": table[None, :, :4], "det_scores": table[None, :, 4],
        "det_classes": table[None, :, 5],
    }  # fmt: skip
    seven = np.column_stack([np.zeros(5), table[:, :4], table[:, 5], table[:, 4]])
    count = 3 * len(cells(SIZE, (8, 16, 32)))
    apart = {"boxes": np.full((1, count, 1, 4), 0.5), "confs": np.full((1, count, 3), 0.5)}
    for outputs in (lists, {"output": seven}, apart):
        net = FakeNetwork(outputs, SIZE)
        parser = claim_of(net).parser
        for spoilt in spoilt_outputs(net, values):
            check_sound(parser.parse(spoilt, parser.defaults), parser.defaults.score)
