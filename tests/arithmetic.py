"""What tests of several rooms compute in plain NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sigmoid(x: Any) -> Any:
    """The logistic function, in double precision."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def logit(p: Any) -> Any:
    """Its inverse."""
    p = np.asarray(p, np.float64)
    return np.log(p / (1 - p))


def cells(size: tuple[int, int], strides: Iterable[int]) -> list[tuple[int, int, int]]:
    """Column, row and stride of each cell of a network of (height, width) px, in the order of a table's rows."""
    height, width = size
    return [(x, y, s) for s in strides for y in range(-(-height // s)) for x in range(-(-width // s))]
