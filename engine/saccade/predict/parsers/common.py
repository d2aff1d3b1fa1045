"""What several families have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.kernels import as_objects
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Evidence, is_nchw
from saccade.predict.labels import BACKGROUND, is_background
from saccade.results import Detections

MEDIAPIPE: dict[str, Any] = {"swap_rb": True, "resize": "letterbox", "pad": 0}
"""Input of MediaPipe's networks, but for mean and scale."""


PX = np.ones(4, np.float32)
"""The unit of boxes that are in px."""

FARTHEST = 1e6
"""No place lies farther from the input's corner than that, px or parts of the input: products stay finite."""


def order_of(evidence: Evidence) -> dict[str, Any]:
    """Order of a picture's channels where nobody says: graphs whose channels come last are TensorFlow's, which reads
    pictures as RGB.
    """
    return {} if is_nchw(evidence.picture.shape) else {"swap_rb": True}


def size_of(port: Port) -> int:
    """Number of elements; -1 where it is known only after a run."""
    return int(np.prod(port.shape)) if -1 not in port.shape else -1


def corners_unit(size: tuple[int, int]) -> Floats:
    """float32 (4,): what leads corners from [0, 1] to px of an input of (height, width)."""
    height, width = size
    return np.array([width, height, width, height], np.float32)


@lru_cache
def just_below(score: float) -> float:
    """The next smaller float32: what is above it is at least the score."""
    return float(np.nextafter(np.float32(score), np.float32(-1)))


def best_first(boxes: Floats, scores: Floats, top: int | None) -> NDArray[np.intp]:
    """Numbers of the rows that are objects, best first: the others' box is empty or lies nowhere, or has no score."""
    with np.errstate(invalid="ignore"):
        near = (boxes[:, :2] < boxes[:, 2:]) & (boxes[:, :2] >= -FARTHEST) & (boxes[:, 2:] <= FARTHEST)
    order = (near.all(1) & np.isfinite(scores)).nonzero()[0]
    return order[np.argsort(-scores[order], kind="stable")][:top]


def sound(boxes: Floats, scores: Floats, labels: NDArray[Any], names: tuple[str, ...], top: int | None) -> Detections:
    """Objects as `best_first` has them, scores within [0, 1]."""
    order = best_first(boxes, scores, top)
    kept = np.clip(scores[order], 0, 1).astype(np.float32)
    return Detections(boxes[order].astype(np.float32), kept, whole(labels[order]), None, names)


def from_rows(
    rows: Floats, unit: Floats, names: tuple[str, ...], top: int | None = None, first_label: int = 0
) -> Detections:
    """Objects of a kernel's rows, label, score, x1, y1, x2, y2, best first. unit : px of the boxes' unit."""
    boxes, scores, labels, _ = as_objects(rows, unit, first_label=first_label, top_k=top)
    return Detections(boxes, scores, labels, None, names)


def whole(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Labels as numbers of classes; what is none becomes -1."""
    known = np.isfinite(labels) & (abs(labels) < 2**31)
    return np.where(known, labels, -1).astype(np.int32)


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis; NaN counts as never."""
    logits = np.clip(np.nan_to_num(logits, nan=-1e30), -1e30, 1e30)
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True), np.float32)


def sigmoid(logits: Floats) -> Floats:
    """Probability of each logit; NaN counts as never."""
    return np.asarray(1 / (1 + np.exp(-np.clip(np.nan_to_num(logits, nan=-80.0), -80, 80))), np.float32)


def are_chances(*values: Floats) -> bool:
    """Whether all numbers lie in [0, 1]."""
    return all(bool(((part >= 0) & (part <= 1)).all()) for part in values)


def chance_of(outputs: Outputs, port: Port) -> float:
    """The probability that an output of one number is, or whose logit it is where no Sigmoid makes it."""
    value = outputs[port.name].reshape(-1)[:1]
    if port.layer_type == "Sigmoid":
        return float(np.clip(np.nan_to_num(value, nan=0.0), 0, 1)[0])
    return float(sigmoid(value)[0])


COCO_GAPS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
"""Numbers from 1 to 90 that no class of COCO has."""


def logit(score: float) -> float:
    """What a sigmoid makes the score of; infinite at 0 and 1."""
    return math.log(score / (1 - score)) if 0 < score < 1 else math.copysign(math.inf, score - 0.5)


def own_names(evidence: Evidence, *, first: int | None = None, classes: int = 0) -> tuple[str, ...]:
    """Names at the places of the network's own numbering, which may have gaps.

    first : number of the first class: 1 where 0 is the background, 0 where nothing is; None: as the names count.
    classes : how many numbers there are, where that is known.
    """
    names, numbers = evidence.names, evidence.metadata.label_ids
    if len(numbers) == len(names) > 0 and min(numbers) >= 0 and max(numbers) <= _MOST_NUMBER:
        return _placed(names, numbers)
    listed = names[1:] if names and is_background(names[0]) else names
    if len(listed) == 80 and classes in (90, 91, 92):
        return coco_names(listed)
    if first == 1 and names:
        return (BACKGROUND, *listed) if names is listed else names
    if len(listed) == classes or (first == 0 and not classes):
        return listed
    return names


_MOST_NUMBER = 100_000


def coco_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of COCO's 80 classes at their numbers from 1 to 90."""
    return _placed(names, [number for number in range(1, 91) if number not in COCO_GAPS])


def _placed(names: Sequence[str], numbers: Sequence[int]) -> tuple[str, ...]:
    known = dict(zip(numbers, names, strict=True))
    return tuple(known.get(number, str(number)) for number in range(max(numbers) + 1))
