"""Boxes that are turned: their corners, and which of them show the same object."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.networks.network import Floats

BLOCK = 128
"""Boxes that are compared with all better ones at a time."""


def corners(boxes: Floats) -> Floats:
    """float32 (n, 4, 2) x, y of the corners, in turn.

    boxes : float32 (n, 5) centre x, y, width, height, angle in radians from x towards y.
    """
    centre, angle = boxes[:, None, :2], boxes[:, 4]
    cos, sin = np.cos(angle), np.sin(angle)
    along = np.stack([cos, sin], 1)[:, None] * (boxes[:, 2, None, None] / 2)
    across = np.stack([-sin, cos], 1)[:, None] * (boxes[:, 3, None, None] / 2)
    found = np.concatenate([along + across, along - across, -along - across, -along + across], 1) + centre
    return np.asarray(found, np.float32)


def enclosing(points: Floats) -> Floats:
    """float32 (n, 4) x1, y1, x2, y2 around points (n, k, 2)."""
    return np.concatenate([points.min(1), points.max(1)], 1)


def distinct(boxes: Floats, labels: NDArray[Any], threshold: float, *, top: int | None, agnostic: bool) -> NDArray[Any]:
    """Numbers of the boxes, best first, that overlap no better one of their class by the threshold or more.

    A box that is itself left out counts as a better one, too, as in Ultralytics' fast suppression; overlap is
    `probabilistic_iou`. top : the most that is wanted; None: all. agnostic : boxes of all classes count.
    """
    moments = gaussians(boxes)
    kept: list[NDArray[np.intp]] = []
    count = 0
    for start in range(0, len(boxes), BLOCK):
        end = min(start + BLOCK, len(boxes))
        overlaps = probabilistic_iou(moments[:, start:end, None], moments[:, None, :end]) >= threshold
        if not agnostic:
            overlaps &= labels[start:end, None] == labels[None, :end]
        better = np.arange(start, end)[:, None] > np.arange(end)
        kept.append(start + np.flatnonzero(~(overlaps & better).any(1)))
        count += len(kept[-1])
        if top is not None and count >= top:
            break
    return np.concatenate(kept)[:top] if kept else np.empty(0, np.intp)


def gaussians(boxes: Floats) -> NDArray[np.float64]:
    """Normal distributions that stand for boxes: float64 (5, n) x, y, variance in x, in y, covariance."""
    x, y, width, height, angle = boxes.T.astype(np.float64)
    along, across = width**2 / 12, height**2 / 12
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([
        x, y, along * cos**2 + across * sin**2, along * sin**2 + across * cos**2, (along - across) * cos * sin
    ])  # fmt: skip


def probabilistic_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - the Hellinger distance of boxes as normal distributions, `gaussians` along the first axis; they broadcast.

    Formula: Llerena et al., Gaussian Bounding Boxes and Probabilistic Intersection-over-Union, 2021, equations 4 to 8.
    """
    tiny = 1e-7
    x1, y1, a1, b1, c1 = first
    x2, y2, a2, b2, c2 = second
    a, b, c, dx, dy = a1 + a2, b1 + b2, c1 + c2, x1 - x2, y1 - y2
    determinant = a * b - c * c
    apart = (a * dy * dy + b * dx * dx) / (determinant + tiny) / 4 - c * dx * dy / (determinant + tiny) / 2
    own = np.sqrt(np.maximum(a1 * b1 - c1 * c1, 0) * np.maximum(a2 * b2 - c2 * c2, 0))
    unlike = np.log(np.maximum(determinant, 0) / (4 * own + tiny) + tiny) / 2
    distance = np.clip(apart + unlike, tiny, 100)
    return np.asarray(1 - np.sqrt(1 - np.exp(-distance) + tiny))
