"""How far boxes overlap, for checks that owe nothing to what they check."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def iou(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of each pair, float64 (n, m), of boxes (n, 4) and (m, 4), corners."""
    a, b = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (first, second))
    corner, opposite = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(opposite - corner, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (a, b)]
    shares: NDArray[np.float64] = common / (areas[0][:, None] + areas[1][None, :] - common)
    return shares
