"""Findings as arrays, as they come from a server: all of them come back, and what is none is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saccade.errors import ModelError
from saccade.predict.wire import from_arrays, to_arrays
from saccade.results import (
    Angles,
    Classification,
    Detections,
    Embedding,
    Finding,
    Heads,
    Landmarks,
    Masks,
    Segmentation,
)

RNG = np.random.default_rng(3)


def floats(*shape: int) -> Any:
    return RNG.random(shape, np.float32)


def classes(*names: str) -> Classification:
    return Classification(np.array([1, 0], np.int32), np.array([0.75, 0.25], np.float32), names)


def objects(count: int) -> Detections:
    masks = Masks(tuple(floats(3 + i, 2) for i in range(count)), floats(count, 4))
    return Detections(
        boxes=floats(count, 4), scores=floats(count), labels=np.arange(count, dtype=np.int32), names=("a", "b"),
        keypoints=floats(count, 5, 2), keypoint_scores=floats(count, 5), corners=floats(count, 4, 2), masks=masks,
    )  # fmt: skip


FINDINGS: dict[str, Finding] = {
    "objects": objects(2),
    "no objects": objects(0),
    "plain objects": Detections(floats(1, 4), floats(1), np.array([1], np.int32), names=("a", "b")),
    "classes": classes("a", "b"),
    "heads": Heads({"type:0": classes("van", "car"), "colour/out": classes(), "age": classes("old", "young")}),
    "segmentation": Segmentation(np.eye(3, dtype=np.uint8), floats(4), ("a", "b"), background=0),
    "segmentation of many classes": Segmentation(np.full((2, 3), 300, np.int32), floats(4), ("a", "b")),
    "landmarks": Landmarks(floats(7, 3), 0.5),
    "angles": Angles(10.0, -20.0, 30.0),
    "angles without roll": Angles(10.0, -20.0),
    "embedding": Embedding(floats(9)),
}


def same(one: Any, other: Any) -> bool:
    """Whether two findings are equal, to the types of their arrays."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "__slots__"):
        return type(one) is type(other) and all(same(getattr(one, n), getattr(other, n)) for n in one.__slots__)
    return bool(one == other)


@pytest.mark.parametrize("kind", FINDINGS)
def test_what_was_taken_apart_comes_back(kind: str) -> None:
    finding = FINDINGS[kind]
    assert same(from_arrays(to_arrays(finding), ("a", "b")), finding)


@pytest.mark.parametrize("kind", FINDINGS)
def test_arrays_of_another_form_are_no_finding(kind: str) -> None:
    """One array after the other is missing, of another shape or type, or holds what is no number."""
    arrays = to_arrays(FINDINGS[kind])
    optional = {"keypoints", "keypoint_scores", "corners", "mask_places", "background"}
    for name, array in arrays.items():
        wrong = [array[None], np.full(array.shape, "x") if array.dtype.kind != "U" else np.zeros(array.shape)]
        if array.size and array.dtype.kind == "f" and not name.startswith("mask_0") and name != "mask_1":
            wrong.append(np.full_like(array, np.nan))
        for bad in wrong:
            with pytest.raises(ModelError, match="the server's answer is no finding"):
                from_arrays(arrays | {name: bad})
        if name not in optional:
            with pytest.raises(ModelError, match="the server's answer is no finding"):
                from_arrays({other: value for other, value in arrays.items() if other != name})
