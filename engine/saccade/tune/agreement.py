"""How far a network that computes otherwise says the same as before, on the same frames.

No labels are needed: what it said in f32 is the reference. Each kind of result has a measure of its own, from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saccade.results import Classification, Detections, Embedding, Landmarks, Masks, Result, Segmentation

IOU = 0.5
"""Least overlap (intersection over union) of two boxes that are one object; also of their shapes."""
POINTS = 0.05
"""Farthest that a key point, on the average, may lie from the other, as a part of the box's diagonal."""
DEGREES = 90.0
"""Difference of an angle that is no agreement at all: 0.99 is 0.9 degrees on the average."""
SCORE_DIFFERENCE = 0.05
"""Largest mean difference of the scores of what both say."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two runs over the same frames agree.

    value : 1 where they say the same. measure : what that is, in words. score_difference : mean of the absolute
    differences of scores. judged : objects, or frames, that it rests on; 0: there was nothing to compare.
    """

    value: float
    measure: str
    score_difference: float
    judged: int

    def holds(self, least: float) -> bool:
        """Whether that is agreement."""
        return self.judged > 0 and self.value >= least and self.score_difference <= SCORE_DIFFERENCE


def agreement_of(reference: Sequence[Result], found: Sequence[Result]) -> Agreement:
    """How far the results `found` agree with the reference's, frame by frame."""
    pairs = list(zip(reference, found, strict=True))
    first = reference[0]
    if first.detections is not None:
        return _of_objects(
            [(a.detections, b.detections) for a, b in pairs if a.detections is not None and b.detections is not None]
        )
    if first.heads or first.classes is not None:
        return _of_classes(pairs)
    if first.segmentation is not None:
        return _mean(pairs, _same_pixels, "part of pixels with the same class")
    if first.landmarks is not None:
        return _of_landmarks([(a.landmarks, b.landmarks) for a, b in pairs if a.landmarks and b.landmarks])
    if first.angles is not None:
        return _mean(pairs, _near_angles, f"1 - largest difference of a frame's angles / {DEGREES:g} degrees, mean")
    return _mean(pairs, _cosine, "mean cosine of the vectors")


def _of_objects(pairs: Iterable[tuple[Detections, Detections]]) -> Agreement:
    matched, there, found = 0, 0, 0
    differences: list[float] = []
    for a, b in pairs:
        same = [(i, j) for i, j in matches(a, b) if _alike(a, i, b, j)]
        differences += [abs(float(a.scores[i]) - float(b.scores[j])) for i, j in same]
        matched, there, found = matched + len(same), there + len(a), found + len(b)
    value = 2 * matched / (there + found) if there + found else 1.0
    # What the reference does not show cannot be compared, however quiet the other is.
    return Agreement(value, f"F1 of objects matched at IoU {IOU:g}", _average(differences), there)


def matches(a: Detections, b: Detections) -> list[tuple[int, int]]:
    """Pairs of objects of the same class whose boxes overlap by `IOU` or more, each once, the largest overlap first."""
    if not len(a) or not len(b):
        return []
    overlaps = box_ious(a.boxes, b.boxes)
    overlaps[a.labels[:, None] != b.labels[None]] = 0
    pairs: list[tuple[int, int]] = []
    rows, columns = np.nonzero(overlaps >= IOU)
    taken_a, taken_b = set[int](), set[int]()
    for place in np.argsort(-overlaps[rows, columns], kind="stable"):
        i, j = int(rows[place]), int(columns[place])
        if i not in taken_a and j not in taken_b:
            pairs.append((i, j))
            taken_a.add(i)
            taken_b.add(j)
    return pairs


def box_ious(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each of `a` (n, 4) with each of `b` (m, 4), corners: (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(2)
    areas_a, areas_b = ((each[:, 2:] - each[:, :2]).clip(0).prod(1) for each in (a, b))
    union = areas_a[:, None] + areas_b[None] - shared
    overlaps: NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlaps


def _alike(a: Detections, i: int, b: Detections, j: int) -> bool:
    """Whether two objects with overlapping boxes also have the same key points and the same shape."""
    if a.keypoints is not None and b.keypoints is not None:
        diagonal = float(np.hypot(*(a.boxes[i, 2:] - a.boxes[i, :2])))
        seen = np.ones(len(a.keypoints[i]), np.bool_)
        if a.keypoint_scores is not None:
            seen = a.keypoint_scores[i] >= 0.5
        distances = np.linalg.norm(a.keypoints[i] - b.keypoints[j], axis=1)[seen]
        if len(distances) and not float(distances.mean()) <= POINTS * max(diagonal, 1.0):  # also of no numbers
            return False
    if a.masks is not None and b.masks is not None:
        return _shape_iou(a.masks, i, a.boxes[i], b.masks, j, b.boxes[j]) >= IOU
    return True


def _shape_iou(
    a: Masks, i: int, box_a: NDArray[np.float32], b: Masks, j: int, box_b: NDArray[np.float32], side: int = 64
) -> float:
    """Intersection over union of two shapes, looked at on a grid over both boxes."""
    x1, y1 = np.minimum(box_a[:2], box_b[:2])
    x2, y2 = np.maximum(box_a[2:], box_b[2:])
    scale = side / max(float(x2 - x1), float(y2 - y1), 1e-6)
    shift = np.array([x1, y1, x1, y1], np.float32)
    grids = [
        Masks((shapes.patches[k],), shapes.places[[k]] - shift).bitmap(0, box - shift, side, side, scale)
        for shapes, k, box in ((a, i, box_a), (b, j, box_b))
    ]
    union = int(np.logical_or(*grids).sum())
    return float(np.logical_and(*grids).sum()) / union if union else 1.0


def _of_classes(pairs: Sequence[tuple[Result, Result]]) -> Agreement:
    """Of all heads of a network: the best class of each."""
    same: list[bool] = []
    differences: list[float] = []
    for a, b in pairs:
        for one, other in zip(_heads(a), _heads(b), strict=True):
            if len(one) and len(other):
                same.append(int(one.labels[0]) == int(other.labels[0]))
                differences.append(abs(float(one.scores[0]) - _score(other, int(one.labels[0]))))
            elif len(one) or len(other):
                same.append(False)
    return Agreement(_average(same), "part of frames with the same best class", _average(differences), len(same))


def _heads(result: Result) -> list[Classification]:
    if result.heads:
        return list(result.heads.values())
    return [] if result.classes is None else [result.classes]


def _score(classes: Classification, label: int) -> float:
    places = np.flatnonzero(classes.labels == label)
    return float(classes.scores[places[0]]) if len(places) else 0.0


def _of_landmarks(pairs: Sequence[tuple[Landmarks, Landmarks]]) -> Agreement:
    """By the distance of the points in parts of the face's or hand's extent, as such networks are judged everywhere."""
    near = []
    for a, b in pairs:
        extent = float(np.hypot(*np.ptp(a.points[:, :2], axis=0)))
        distance = float(np.linalg.norm(a.points[:, :2] - b.points[:, :2], axis=1).mean())
        near.append(max(0.0, 1 - distance / max(extent, 1.0)))
    difference = _average([abs(a.score - b.score) for a, b in pairs])
    return Agreement(
        _average(near), "1 - distance of landmarks / diagonal of their extent, mean", difference, len(near)
    )


def _mean(pairs: Sequence[tuple[Result, Result]], measure: Callable[[Result, Result], float], words: str) -> Agreement:
    values = [measure(a, b) for a, b in pairs]
    return Agreement(_average(values), words, 0.0, len(values))


def _same_pixels(a: Result, b: Result) -> float:
    assert isinstance(a.segmentation, Segmentation)
    assert isinstance(b.segmentation, Segmentation)
    if a.segmentation.labels.shape != b.segmentation.labels.shape:
        return 0.0
    return float((a.segmentation.labels == b.segmentation.labels).mean())


def _near_angles(a: Result, b: Result) -> float:
    assert a.angles is not None
    assert b.angles is not None
    pairs = zip(
        (a.angles.yaw, a.angles.pitch, a.angles.roll), (b.angles.yaw, b.angles.pitch, b.angles.roll), strict=True
    )
    largest = float(np.max([_apart(x, y) for x, y in pairs if x is not None and y is not None]))
    return max(0.0, 1 - largest / DEGREES)  # 0 where an angle is no number


def _apart(x: float, y: float) -> float:
    """Degrees between two directions."""
    return abs((x - y + 180) % 360 - 180)


def _cosine(a: Result, b: Result) -> float:
    assert isinstance(a.embedding, Embedding)
    assert isinstance(b.embedding, Embedding)
    return a.embedding.similarity(b.embedding)


def _average(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0
