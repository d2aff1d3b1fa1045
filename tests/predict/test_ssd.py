"""SSD heads without a last layer, and EfficientDet: boxes are encoded here by the definition, and found again."""

from __future__ import annotations

from itertools import cycle, product
from typing import Any

import numpy as np
import pytest
from networks_of import found_in, fuzz, predictor_of
from numpy.typing import NDArray

from lengths import EXHAUSTIVE, length
from saccade.errors import UnsupportedError
from saccade.predict.opening import Wishes
from saccade.predict.parsers import priors

WANTED = np.array([[30, 60, 120, 150], [200, 100, 260, 290], [31, 61, 119, 149]], np.float32)
"""The last one overlaps the first."""
LABELS, CHANCES = (3, 1, 3), (0.9, 0.8, 0.7)


def placed(count: int, classes: int) -> tuple[list[int], NDArray[np.float32]]:
    """Rows for the wanted objects, and probabilities with the background first."""
    rows = [7, count // 2, count - 3]
    scores = np.zeros((count, classes), np.float32)
    scores[:, 0] = 0.98
    scores[:, 1:] = 0.02 / (classes - 1)
    for row, label, chance in zip(rows, LABELS, CHANCES, strict=True):
        scores[row] = (1 - chance) / (classes - 1)
        scores[row, label] = chance
    return rows, scores


def encoded(anchors: NDArray[np.float32], variances: tuple[float, float], size: int = 300) -> NDArray[np.float64]:
    """Offsets of the wanted objects from anchors (3, 4), corners: x, y, w, h."""
    wanted = WANTED / size
    centre, sides = (wanted[:, :2] + wanted[:, 2:]) / 2, wanted[:, 2:] - wanted[:, :2]
    middle, extent = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]
    return np.concatenate([(centre - middle) / extent / variances[0], np.log(sides / extent) / variances[1]], 1)


def check(predictor: Any, outputs: Any, *, first: int = 0, atol: float = 1e-2) -> None:
    found = found_in(predictor, outputs, score=0.5, iou=0.45)
    assert found.labels.tolist() == [LABELS[0] + first, LABELS[1] + first]
    np.testing.assert_allclose(found.boxes, WANTED[:2], atol=atol)
    np.testing.assert_allclose(found.scores, CHANCES[:2], atol=1e-4)
    assert len(found_in(predictor, outputs, score=0.5, iou=1.0)) == 3
    assert len(found_in(predictor, outputs, score=0.95)) == 0
    fuzz(predictor, rounds=9)


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_decoded_boxes_beside_a_softmax(channels_first: bool, swapped: bool) -> None:
    rows, scores = placed(3000, 21)
    boxes = np.tile(np.array([0.4, 0.4, 0.6, 0.6], np.float32), (3000, 1))
    boxes[rows] = WANTED / 300
    tables = {"boxes": boxes, "scores": scores}
    outputs = {name: (value.T if channels_first else value)[None] for name, value in tables.items()}
    outputs = dict(reversed(outputs.items())) if swapped else outputs
    predictor = predictor_of(outputs, size=(300, 300), wishes=Wishes(labels=("cat", "dog", "bird")))
    assert (predictor.spec.mean[0], predictor.spec.scale[0], predictor.spec.swap_rb) == (127, 128, True)
    check(predictor, outputs)
    assert found_in(predictor, outputs).name(0) == "bird"


def test_other_classes_are_suppressed_where_that_is_wanted() -> None:
    boxes = priors.pytorch_ssd(priors.MOBILENET300)
    rows, scores = placed(3000, 5)
    scores[rows[2], [2, 3]] = scores[rows[2], [3, 2]]
    offsets = np.zeros((3000, 4), np.float32)
    offsets[rows] = encoded(boxes[rows], (0.1, 0.2))
    outputs = {"loc": offsets[None], "conf": scores[None]}
    predictor = predictor_of(outputs, size=(300, 300))
    assert len(found_in(predictor, outputs, score=0.5, iou=0.45)) == 3
    assert len(found_in(predictor, outputs, score=0.5, iou=0.45, agnostic=True)) == 2


def test_a_prior_may_have_two_classes() -> None:
    scores = np.full((3000, 4), 0.1, np.float32) * [7, 1, 1, 1]
    scores[5] = 0, 0.45, 0.1, 0.45
    boxes = np.tile(np.array([0.4, 0.4, 0.6, 0.6], np.float32), (3000, 1))
    outputs = {"s": scores[None].astype(np.float32), "box": boxes[None]}
    found = found_in(predictor_of(outputs, size=(300, 300)), outputs, score=0.4, iou=0.45)
    assert sorted(found.labels.tolist()) == [1, 3]


SETS = {
    "mobilenet": (priors.pytorch_ssd(priors.MOBILENET300), 3000),
    "vgg": (priors.pytorch_ssd(priors.VGG300), 8732),
    "nvidia": (priors.nvidia_ssd300(), 8732),
    "vgg 512": (priors.pytorch_ssd(priors.VGG512, 512), 24564),
}


@pytest.mark.parametrize(
    ("kind", "logits"), list(product(SETS, (False, True))) if EXHAUSTIVE else list(zip(SETS, cycle((False, True))))
)
def test_offsets_of_the_pytorch_ssds(kind: str, logits: bool) -> None:
    boxes, count = SETS[kind]
    assert boxes.shape == (count, 4)
    rows, scores = placed(count, 81)
    offsets = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    size = 512 if kind == "vgg 512" else 300
    offsets[rows] = encoded(boxes[rows], (0.1, 0.2), size)
    tables = {"loc": offsets, "conf": np.log(scores) + 3 if logits else scores}
    outputs = {name: (value.T if kind == "nvidia" else value)[None] for name, value in tables.items()}
    predictor = predictor_of(outputs, size=(size, size))
    check(predictor, outputs)


@pytest.mark.parametrize(("size", "count"), [(300, 1917), (320, 2034), (320, 12804)])
@pytest.mark.parametrize("done", [False, True])
def test_offsets_of_tensorflows_ssd(size: int, count: int, done: bool) -> None:
    boxes = priors.tensorflow_ssd(size) if count < 10_000 else priors.tensorflow_fpn(size, size)
    assert boxes.shape == (count, 4)
    rows = [7, count // 2, count - 3]
    offsets = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    offsets[rows] = encoded(boxes[rows], (0.1, 0.2), size)[:, [1, 0, 3, 2]]
    chances = np.full((count, 91), 0.01, np.float32)
    chances[rows, LABELS] = CHANCES
    logits = np.log(chances / (1 - chances))
    outputs = {"raw_outputs/box_encodings": offsets[None], "raw_outputs/class_predictions": logits[None]}
    end = {"raw_outputs/class_predictions": "sigmoid"} if done else {}
    predictor = predictor_of(outputs, size=(size, size), end=end, nhwc=True)
    if done:
        outputs["raw_outputs/class_predictions"] = chances[None]
    assert predictor.spec.mean == (127.5,) * 3
    check(predictor, outputs)


def test_the_first_anchors_of_tensorflow_are_those_of_its_generator() -> None:
    """Printed by the generator itself for 300 px: y, x of the centre 0.02631579, heights and widths."""
    boxes = priors.tensorflow_ssd(300)
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose((boxes[0, :2] + boxes[0, 2:]) / 2, 0.5 / 19, atol=1e-6)
    np.testing.assert_allclose(
        sides[:3], [[0.1, 0.1], [0.2 * 2**0.5, 0.2 / 2**0.5], [0.2 / 2**0.5, 0.2 * 2**0.5]], 1e-5
    )
    np.testing.assert_allclose(sides[1083 + 5], (0.35 * 0.5) ** 0.5, rtol=1e-5)
    np.testing.assert_allclose(sides[-1], 0.95**0.5, rtol=1e-5)


def test_anchors_of_tensorflows_pyramids() -> None:
    """Those of a stride that the input is no multiple of begin at the edge: 128 in 320, not in 640."""
    small, large = priors.tensorflow_fpn(320, 320), priors.tensorflow_fpn(640, 640)
    assert len(large) == 51150
    np.testing.assert_allclose(small[0] * 320, [4 - 16, 4 - 16, 4 + 16, 4 + 16], atol=1e-3)
    np.testing.assert_allclose(small[2, 2:] - small[2, :2], [0.1 * 2**0.5, 0.1 / 2**0.5], rtol=1e-5)
    for boxes, size, first in ((small, 320, 0), (large, 640, 64)):
        cell = boxes[-54 if size == 320 else -150]
        np.testing.assert_allclose((cell[:2] + cell[2:]) / 2 * size, first, atol=1e-3)


def test_near_misses_are_refused() -> None:
    rng = np.random.default_rng(0)
    _, scores = placed(2500, 21)
    offsets = rng.normal(size=(1, 2500, 4)).astype(np.float32)
    with pytest.raises(UnsupportedError, match=r"\[1, 2500, 4\]"):
        predictor_of({"loc": offsets, "conf": scores[None]}, size=(300, 300))
    # Boxes in px beside independent scores are another family's.
    boxes = np.tile(np.float32([10, 10, 50, 60]), (1, 2500, 1))
    with pytest.raises(UnsupportedError):
        predictor_of({"boxes": boxes, "scores": rng.random((1, 2500, 80)).astype(np.float32)}, size=(300, 300))
    with pytest.raises(UnsupportedError):
        predictor_of({"boxes": offsets[..., :3], "scores": scores[None]}, size=(300, 300))


def test_ultrafaces_number_of_priors_is_ultrafaces() -> None:
    scores = np.tile(np.float32([0.9, 0.1]), (1, 4420, 1))
    boxes = np.tile(np.float32([0.4, 0.4, 0.6, 0.6]), (1, 4420, 1))
    outputs = {"scores": scores, "boxes": boxes}
    named = predictor_of(outputs, size=(240, 320), wishes=Wishes(head="ssd"))
    assert named.parser.family == "ssd"


# ---- EfficientDet


def test_efficientdets_list() -> None:
    rows = np.zeros((1, 100, 7), np.float32)
    rows[0, :, 6] = 1
    rows[0, :, 3:5] = 2
    for i, (box, label, chance) in enumerate(zip(WANTED[:2], LABELS, CHANCES, strict=False)):
        rows[0, i] = [0, box[1], box[0], box[3], box[2], chance, label]
    rows[0, 2:, 5] = 0.01
    outputs = {"detections": rows}
    predictor = predictor_of(outputs, size=(320, 320), wishes=Wishes(labels=("cat", "dog", "bird")))
    assert (predictor.parser.family, predictor.spec.resize) == ("efficientdet", "letterbox-top-left")
    found = found_in(predictor, outputs)
    np.testing.assert_array_equal(found.boxes, WANTED[:2])
    assert [found.name(i) for i in range(2)] == ["bird", "cat"]
    fuzz(predictor)


@pytest.mark.parametrize("columns", [[0, 6, 5, 2, 1, 4, 3], [1, 2, 3, 4, 5, 6, 0], [0, 1, 2, 3, 4, 6, 5]])
def test_rows_of_seven_in_other_orders_are_not_efficientdets(columns: list[int]) -> None:
    """DetectionOutput's order with three axes; turned boxes; YOLOv7's."""
    rng = np.random.default_rng(0)
    corner, extent = rng.random((2, 100, 2)) * 100
    rows = np.column_stack([np.zeros(100), corner, corner + extent, rng.random(100), rng.integers(1, 80, 100)])
    with pytest.raises(UnsupportedError, match="7"):
        predictor_of({"out": rows[None][..., columns].astype(np.float32)}, size=(320, 320))


def efficientdet_tables(size: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int]]:
    """ty, tx, th, tw and logits; and the number of anchors of each level."""
    levels = priors.efficientdet(size, size)
    anchors = np.concatenate(levels)
    count = len(anchors)
    rows = [7, count // 2, count - 3]
    offsets = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    offsets[rows] = encoded(anchors[rows], (1.0, 1.0), size)[:, [1, 0, 3, 2]]
    logits = np.full((count, classes), -6, np.float32)
    chances = np.array(CHANCES)
    logits[rows, LABELS] = np.log(chances / (1 - chances))
    return offsets, logits, [len(level) for level in levels]


@pytest.mark.parametrize("more", [True, False][: length(1, 2)])
def test_efficientdets_tables(more: bool) -> None:
    offsets, logits, counts = efficientdet_tables(512, 90)
    assert sum(counts) == 49104
    outputs = {"classes": logits[None], "regression": offsets[None]}
    if more:
        outputs |= {
            "anchors": np.zeros((1, 49104, 4), np.float32), "features": np.zeros((1, 64, 64, 64), np.float32),
        }  # fmt: skip
    predictor = predictor_of(outputs, size=(512, 512))
    assert predictor.parser.family == "efficientdet"
    check(predictor, outputs, first=1)


@pytest.mark.parametrize("nhwc", [False, True])
def test_efficientdets_ten_maps(nhwc: bool) -> None:
    offsets, logits, counts = efficientdet_tables(320, 6)
    starts = np.cumsum([0, *counts])
    outputs = {}
    for i, cells in enumerate((40, 20, 10, 5, 3)):
        for kind, table in (("class", logits), ("box", offsets)):
            level = table[starts[i] : starts[i + 1]].reshape(1, cells, cells, -1)
            outputs[f"{kind}_{i}"] = level if nhwc else np.ascontiguousarray(level.transpose(0, 3, 1, 2))
    shuffled = {name: outputs[name] for name in sorted(outputs, reverse=True)}
    predictor = predictor_of(shuffled, size=(320, 320), nhwc=nhwc)
    check(predictor, shuffled, first=1)


def test_the_first_anchors_of_efficientdet_are_those_of_its_source() -> None:
    """automl's `anchors.py` at 512 px: level 3, 32 px sizes, then 1.4 and 0.7 times as wide."""
    first = priors.efficientdet(512, 512)[0][:4] * 512
    np.testing.assert_allclose(first[0], [4 - 16, 4 - 16, 4 + 16, 4 + 16], atol=1e-3)
    np.testing.assert_allclose(first[1], [4 - 22.4, 4 - 11.2, 4 + 22.4, 4 + 11.2], atol=1e-3)
    np.testing.assert_allclose(first[3, 2] - first[3, 0], 32 * 2 ** (1 / 3), atol=1e-3)
