"""What `decode_ssd` and `decode_anchors` are asked for, and where decoders write, checked; see also `yolo`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float32]

MOST_POINTS = 64
"""Key points of a box, as many as ext/decode.inc.h has room for."""


class Ssd(NamedTuple):
    """Tensors of an SSD: offsets (n, 4), scores (n, classes), priors (n, 4), contiguous; and four variances."""

    loc: Matrix
    conf: Matrix
    priors: Matrix
    variances: tuple[float, ...]


class Anchored(NamedTuple):
    """Tensors of an anchor network: boxes (n, 4 + 2k), logits (n,), anchors (n, 2 or 4), contiguous; input size, px."""

    boxes: Matrix
    logits: Matrix
    anchors: Matrix
    height: float
    width: float


def ssd_arguments(loc: ArrayLike, conf: ArrayLike, priors: ArrayLike, variances: Sequence[float]) -> Ssd:
    """The arguments of `decode_ssd` of these names; a ValueError says what does not fit."""
    offsets, boxes = _fours(loc, "loc"), _fours(priors, "priors")
    scores = _table(conf, "conf", "classes")
    if not len(offsets) == len(scores) == len(boxes):
        raise ValueError(f"loc, conf and priors must be as many; got {len(offsets)}, {len(scores)} and {len(boxes)}")
    if len(variances) != 4:
        raise ValueError(f"variances must be 4 numbers; got {len(variances)}")
    return Ssd(offsets, scores, boxes, tuple(map(float, variances)))


def anchor_arguments(
    boxes: ArrayLike, scores: ArrayLike, anchors: ArrayLike, size: float | Sequence[float]
) -> Anchored:
    """The arguments of `decode_anchors` of these names; a ValueError says what does not fit."""
    raw, places = _table(boxes, "boxes", "4 + 2k"), _table(anchors, "anchors", "2 or 4")
    logits = np.ascontiguousarray(scores, np.float32).reshape(-1)
    if not len(raw) == len(logits) == len(places):
        raise ValueError(f"boxes, scores and anchors must be as many; got {len(raw)}, {len(logits)} and {len(places)}")
    points, odd = divmod(raw.shape[1] - 4, 2)
    if odd or not 0 <= points <= MOST_POINTS:
        raise ValueError(f"boxes must have 4 + 2k columns, k up to {MOST_POINTS}; got {raw.shape[1]}")
    if places.shape[1] not in (2, 4):
        raise ValueError(f"anchors must have 2 or 4 columns; got {places.shape[1]}")
    sides = np.broadcast_to(size, 2) if np.ndim(size) == 0 else np.asarray(size)
    if sides.shape != (2,) or not (sides > 0).all():
        raise ValueError(f"size must be one positive number or (height, width); got {size}")
    return Anchored(raw, logits, places, float(sides[0]), float(sides[1]))


def room_for(rows: int, columns: int, out: Any) -> Matrix:
    """Where so many rows go: the first ones of `out`, or a new array where that is None."""
    if out is None:
        return np.empty((rows, columns), np.float32)
    if not (isinstance(out, np.ndarray) and out.dtype == np.float32 and out.ndim == 2 and out.flags.carray):
        got = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out must be a float32 array (room, {columns}), contiguous and writable; got {got}")
    if out.shape[1] != columns:
        raise ValueError(f"out must have {columns} columns; got {out.shape[1]}")
    if len(out) < rows:
        raise ValueError(f"out has room for {len(out)} rows; {rows} were found: give keep_top_k or a larger out")
    return out[:rows]


def _table(value: ArrayLike, what: str, columns: str) -> Matrix:
    array = np.ascontiguousarray(value, np.float32)
    if array.ndim != 2:
        raise ValueError(f"{what} must have shape (n, {columns}); got {np.shape(value)}")
    return array


def _fours(value: ArrayLike, what: str) -> Matrix:
    """Contiguous float32 (n, 4), of any shape with as many numbers."""
    array = np.ascontiguousarray(value, np.float32)
    if array.size % 4:
        raise ValueError(f"{what} must have shape (n, 4); got {np.shape(value)}")
    return array.reshape(-1, 4)
