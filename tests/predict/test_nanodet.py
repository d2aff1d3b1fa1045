"""NanoDet, NanoDet-Plus, PicoDet: which tensor is what, and distances as distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_up import claimed, found_by, same_objects, shuffled, try_nonsense

from saccade.errors import UnsupportedError

Boxes = list[tuple[float, float, float, float]]


def bins_of(distance: float, bins: int) -> np.ndarray:
    """Logits whose softmax has this expectation."""
    low = min(int(distance), bins - 2)
    logits = np.full(bins, -60.0)
    logits[low : low + 2] = np.log(np.maximum([low + 1 - distance, distance - low], 1e-20))
    return logits


def grids(size: tuple[int, int], strides: tuple[int, ...]) -> list[tuple[int, int, int]]:
    return [(stride, int(np.ceil(size[0] / stride)), int(np.ceil(size[1] / stride))) for stride in strides]


def encoded(
    boxes: Boxes,
    labels: list[int],
    scores: list[float],
    size: tuple[int, int],
    strides: tuple[int, ...],
    classes: int,
    bins: int,
    point: Any,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores and distributions of each grid: every box at the cell of the finest grid that reaches its sides.

    point : place of a cell's point on an axis, px, of its index and stride.
    """  # fmt: skip
    rng = np.random.default_rng(3)
    tables = [
        (rng.uniform(0, 0.2, (h * w, classes)), rng.normal(0, 4, (h * w, 4 * bins))) for _, h, w in grids(size, strides)
    ]
    for (x1, y1, x2, y2), label, score in zip(boxes, labels, scores, strict=True):
        for (stride, h, w), (probabilities, distributions) in zip(grids(size, strides), tables, strict=True):
            column, row = min(w - 1, int((x1 + x2) / 2 / stride)), min(h - 1, int((y1 + y2) / 2 / stride))
            px, py = point(column, stride), point(row, stride)
            sides = np.array([px - x1, py - y1, x2 - px, y2 - py]) / stride
            if sides.min() >= 0 and sides.max() <= bins - 1:
                probabilities[row * w + column, label] = score
                distributions[row * w + column] = np.concatenate([bins_of(side, bins) for side in sides])
                break
        else:
            raise AssertionError("no grid reaches so far")
    return [(a.astype(np.float32), b.astype(np.float32)) for a, b in tables]


BOXES: Boxes = [(20.0, 30.0, 70.0, 61.5), (100.2, 12.0, 250.0, 160.0), (5.0, 170.0, 33.0, 205.0)]


def middle(index: int, stride: int) -> float:
    return index * stride + (stride - 1) / 2


def corner(index: int, stride: int) -> float:
    return index * stride


def centre(index: int, stride: int) -> float:
    return (index + 0.5) * stride


def as_outputs(tables: list[tuple[np.ndarray, np.ndarray]], *, batch: bool) -> dict[str, np.ndarray]:
    outputs = {}
    for level, (scores, boxes) in enumerate(tables):
        outputs[f"cls_{level}"], outputs[f"reg_{level}"] = scores, boxes
    return {name: value[None] for name, value in outputs.items()} if batch else outputs


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(
    ("size", "classes", "bins"),
    [((320, 320), 80, 8), ((256, 416), 3, 8), ((230, 350), 1, 11), ((320, 320), 20, 12), ((416, 416), 40, 17)],
)
def test_pairs_in_any_order_under_any_names(size: tuple[int, int], classes: int, bins: int, batch: bool) -> None:
    labels = [0, classes - 1, classes // 2]
    tables = encoded(BOXES, labels, [0.9, 0.8, 0.7], size, (8, 16, 32), classes, bins, middle)
    plain = as_outputs(tables, batch=batch)
    for seed in range(3):
        outputs = shuffled(plain, seed)
        claim = claimed(outputs, size)
        assert (claim.family, claim.certainty) == ("nanodet", 2)
        same_objects(found_by(claim, outputs), BOXES, labels, [0.9, 0.8, 0.7])
    spec = dict(claim.input)
    assert spec["mean"][0] < spec["mean"][2], "blue first"
    assert (spec["resize"], spec.get("swap_rb", False), spec["pad"]) == ("letterbox", False, 0)


def test_as_many_classes_as_columns_of_a_box() -> None:
    """Where all tables have the same columns, the scores are what sigmoids make, or what lies in [0, 1]."""
    tables = encoded(BOXES, [31, 0, 4], [0.9, 0.8, 0.7], (320, 320), (8, 16, 32), 32, 8, middle)
    outputs = as_outputs(tables, batch=True)
    layer_type = {name: "Sigmoid" for name in outputs if name.startswith("cls")}
    claim = claimed(outputs, (320, 320), layer_type=layer_type)
    same_objects(found_by(claim, outputs), BOXES, [31, 0, 4])
    same_objects(found_by(claimed(outputs, (320, 320)), outputs), BOXES, [31, 0, 4])
    nothing = {name: np.zeros_like(value) for name, value in outputs.items()}
    with pytest.raises(UnsupportedError, match="export it with its scores' sigmoids"):
        claimed(nothing, (320, 320))


def test_scores_before_their_sigmoid() -> None:
    tables = encoded(BOXES, [0, 1, 2], [0.9, 0.8, 0.7], (320, 320), (8, 16, 32), 7, 8, middle)
    outputs = as_outputs([(np.log(a / (1 - a)), b) for a, b in tables], batch=True)
    same_objects(found_by(claimed(outputs, (320, 320)), outputs), BOXES, [0, 1, 2], [0.9, 0.8, 0.7])


@pytest.mark.parametrize("strides", [(8, 16, 32, 64), (8, 16, 32)])
@pytest.mark.parametrize(
    ("size", "classes", "bins"), [((320, 320), 80, 8), ((256, 416), 5, 11), ((416, 416), 1, 8), ((320, 256), 7, 16)]
)
def test_nanodet_plus_is_one_table(size: tuple[int, int], classes: int, bins: int, strides: tuple[int, ...]) -> None:
    labels = [0, classes - 1, classes // 2]
    tables = encoded(BOXES, labels, [0.9, 0.8, 0.7], size, strides, classes, bins, corner)
    outputs = {"output": np.concatenate([np.hstack(pair) for pair in tables])[None]}
    claim = claimed(outputs, size)
    assert claim.family == "nanodet"
    assert claim.input["resize"] == "stretch"
    same_objects(found_by(claim, outputs), BOXES, labels, [0.9, 0.8, 0.7])
    named = claimed(outputs, size, names=[str(i) for i in range(classes)])
    same_objects(found_by(named, outputs), BOXES, labels)


@pytest.mark.parametrize(("size", "classes", "bins"), [((320, 320), 80, 8), ((416, 320), 4, 8)])
def test_picodet_has_four_grids(size: tuple[int, int], classes: int, bins: int) -> None:
    labels = [0, classes - 1, classes // 2]
    tables = encoded(BOXES, labels, [0.9, 0.8, 0.7], size, (8, 16, 32, 64), classes, bins, centre)
    outputs = shuffled(as_outputs(tables, batch=True), 5)
    claim = claimed(outputs, size)
    assert claim.family == "picodet"
    assert claim.input["swap_rb"]
    assert claim.input["mean"][0] > claim.input["mean"][2]
    same_objects(found_by(claim, outputs), BOXES, labels, [0.9, 0.8, 0.7])


def test_four_grids_under_nanodet_s_own_names() -> None:
    tables = encoded(BOXES, [0, 1, 2], [0.9, 0.8, 0.7], (416, 416), (8, 16, 32, 64), 3, 8, middle)
    outputs = {}
    for stride, (scores, boxes) in zip((8, 16, 32, 64), tables, strict=True):
        outputs[f"cls_pred_stride_{stride}"], outputs[f"dis_pred_stride_{stride}"] = scores, boxes
    claim = claimed(outputs, (416, 416))
    assert claim.family == "nanodet"
    same_objects(found_by(claim, outputs), BOXES, [0, 1, 2])
    assert claimed(outputs, (416, 416), head="picodet").family == "picodet"


@pytest.mark.parametrize("change", ["a row more", "an odd box", "a table less", "another input"])
def test_near_misses_are_refused(change: str) -> None:
    tables = encoded(BOXES, [0, 1, 2], [0.9, 0.8, 0.7], (320, 320), (8, 16, 32), 6, 8, middle)
    outputs, size = as_outputs(tables, batch=True), (320, 320)
    if change == "a row more":
        outputs["cls_1"] = np.pad(outputs["cls_1"], ((0, 0), (0, 1), (0, 0)))
    elif change == "an odd box":
        outputs = {k: v[..., :30] if k.startswith("reg") else v for k, v in outputs.items()}
    elif change == "a table less":
        del outputs["reg_2"]
    else:
        size = (352, 320)
    with pytest.raises(UnsupportedError, match="made-up"):
        claimed(outputs, size)


def test_pairs_that_cannot_be_told_apart_are_said_to_be_so() -> None:
    tables = encoded(BOXES, [0, 1, 2], [0.9, 0.8, 0.7], (320, 320), (8, 16, 32), 48, 16, middle)
    outputs = {k: v * 0 - 3 for k, v in as_outputs(tables, batch=True).items()}
    with pytest.raises(UnsupportedError, match=r"nothing shows which are which; names of the classes do \(--labels\)"):
        claimed(outputs, (320, 320))


def test_a_table_whose_first_columns_are_no_scores_is_not_nanodet_plus() -> None:
    rows = np.random.default_rng(0).normal(0, 5, (1, 2125, 112)).astype(np.float32)
    with pytest.raises(UnsupportedError):
        claimed({"output": rows}, (320, 320))


def test_nonsense_gives_nothing_unsound() -> None:
    tables = encoded(BOXES, [0, 1, 2], [0.9, 0.8, 0.7], (256, 256), (8, 16, 32), 4, 8, middle)
    outputs = as_outputs(tables, batch=True)
    try_nonsense(claimed(outputs, (256, 256)), outputs)
    tables = encoded(BOXES, [0, 1, 2], [0.9, 0.8, 0.7], (256, 256), (8, 16, 32, 64), 4, 8, corner)
    plus = {"output": np.concatenate([np.hstack(pair) for pair in tables])[None]}
    try_nonsense(claimed(plus, (256, 256)), plus)
