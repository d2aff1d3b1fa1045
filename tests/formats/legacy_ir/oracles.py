"""NumPy definitions of layers, slow and plain.

Sources: the layer descriptions of the "IR Notation Reference Catalog" of OpenVINO 2019/2020; Caffe's pooling, LRN and
SSD layers; Hochreiter/Schmidhuber's LSTM and Cho's GRU as in that catalog.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np


def convolution(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    *,
    strides: Sequence[int],
    begin: Sequence[int],
    out: Sequence[int],
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> np.ndarray:
    dilations = dilations or [1] * len(strides)
    kernel = w.shape[2:]
    ends = [max(0, (o - 1) * s + (k - 1) * d + 1 - n - p) for o, s, k, d, n, p in
            zip(out, strides, kernel, dilations, x.shape[2:], begin, strict=True)]  # fmt: skip
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *zip(begin, ends, strict=True)])
    y = np.zeros((x.shape[0], w.shape[0], *out))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for group in range(groups):
        part, weights = x[:, group * per_in :][:, :per_in], w[group * per_out :][:per_out].astype(np.float64)
        for at in np.ndindex(*out):
            window = tuple(
                slice(i * s, i * s + (k - 1) * d + 1, d)
                for i, s, k, d in zip(at, strides, kernel, dilations, strict=True)
            )
            patch = part[(slice(None), slice(None), *window)].reshape(x.shape[0], -1)
            y[(slice(None), slice(group * per_out, (group + 1) * per_out), *at)] = (
                patch @ weights.reshape(per_out, -1).T
            )
    return y if b is None else y + b.reshape(-1, *[1] * len(out))


def deconvolution(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    *,
    strides: Sequence[int],
    begin: Sequence[int],
    out: Sequence[int],
    groups: int = 1,
) -> np.ndarray:
    batch, channels, height, width = x.shape
    outputs, (kh, kw) = w.shape[1] * groups, w.shape[2:]
    whole = np.zeros((batch, outputs, (height - 1) * strides[0] + kh + 8, (width - 1) * strides[1] + kw + 8))
    per_in, per_out = channels // groups, w.shape[1]
    for c, i, j in itertools.product(range(channels), range(height), range(width)):
        target = slice(c // per_in * per_out, (c // per_in + 1) * per_out)
        rows, columns = slice(i * strides[0], i * strides[0] + kh), slice(j * strides[1], j * strides[1] + kw)
        whole[:, target, rows, columns] += x[:, c, i, j, None, None, None].astype(np.float64) * w[c]
    y = whole[:, :, begin[0] : begin[0] + out[0], begin[1] : begin[1] + out[1]]
    return y if b is None else y + b[:, None, None]


def pooling(
    x: np.ndarray, method: str, kernel: int, stride: int, begin: int, out: tuple[int, int], exclude: bool
) -> np.ndarray:
    """The divisor of a mean counts padding up to `begin` behind the picture, as Caffe's does."""
    height, width = x.shape[2:]
    y = np.zeros((*x.shape[:2], *out))
    for i, j in np.ndindex(*out):
        top, left = i * stride - begin, j * stride - begin
        bottom, right = min(top + kernel, height + begin), min(left + kernel, width + begin)
        patch = x[:, :, max(0, top) : min(bottom, height), max(0, left) : min(right, width)].astype(np.float64)
        if method == "max":
            y[:, :, i, j] = patch.max((2, 3))
        else:
            count = patch.shape[2] * patch.shape[3] if exclude else (bottom - top) * (right - left)
            y[:, :, i, j] = patch.sum((2, 3)) / count
    return y


def lrn(x: np.ndarray, size: int, alpha: float, beta: float, k: float, *, across: bool) -> np.ndarray:
    half = size // 2
    squares = x.astype(np.float64) ** 2
    total = np.zeros_like(squares)
    if across:
        for c in range(x.shape[1]):
            total[:, c] = squares[:, max(0, c - half) : c + half + 1].sum(1)
        count = size
    else:
        for i, j in np.ndindex(*x.shape[2:]):
            total[:, :, i, j] = squares[:, :, max(0, i - half) : i + half + 1, max(0, j - half) : j + half + 1].sum(
                (2, 3)
            )
        count = size * size
    return x / (k + alpha / count * total) ** beta


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf)(x)


def interp(x: np.ndarray, out: tuple[int, int], align_corners: bool) -> np.ndarray:
    def matrix(n: int, o: int) -> np.ndarray:
        scale = ((n - 1) / (o - 1) if o > 1 else 0) if align_corners else n / o
        at = np.arange(o) * scale
        low = np.minimum(np.floor(at + 1e-9).astype(int), n - 1)
        high = np.minimum(low + 1, n - 1)
        rows = np.zeros((o, n))
        rows[np.arange(o), low] += 1 - (at - low)
        rows[np.arange(o), high] += at - low
        return rows

    return matrix(x.shape[2], out[0]) @ x.astype(np.float64) @ matrix(x.shape[3], out[1]).T


def nearest(x: np.ndarray, out: tuple[int, int]) -> np.ndarray:
    rows, columns = (
        np.clip(np.floor((np.arange(o) + 0.5) * n / o - 0.5 + 0.5).astype(int), 0, n - 1)
        for n, o in zip(x.shape[2:], out, strict=True)
    )
    return x[:, :, rows][:, :, :, columns]


def triangle(x: np.ndarray, out: tuple[int, int], antialias: bool) -> np.ndarray:
    """Triangle filter of half-pixel centres, as wide as the factor where it shrinks, normalised at the borders."""
    height, width = x.shape[2:]
    fy, fx = height / out[0], width / out[1]
    ay, ax = (1 / fy, 1 / fx) if antialias and max(fy, fx) > 1 else (1.0, 1.0)
    ry, rx = (2 if f < 1 else math.ceil(2 / a) for f, a in ((fy, ay), (fx, ax)))
    y = np.zeros((*x.shape[:2], *out))
    for i, j in np.ndindex(*out):
        cy, cx = i * fy + fy / 2 - 0.5, j * fx + fx / 2 - 0.5
        near_y, near_x = (int(math.copysign(math.floor(abs(c) + 0.5), c)) for c in (cy, cx))
        total = weights = 0.0
        for r in range(max(0, near_y - ry), min(height, near_y + ry + 1)):
            for c in range(max(0, near_x - rx), min(width, near_x + rx + 1)):
                weight = max(0, 1 - abs(ay * (cy - r))) * max(0, 1 - abs(ax * (cx - c)))
                total, weights = total + weight * x[:, :, r, c].astype(np.float64), weights + weight
        y[:, :, i, j] = total / weights if weights else 0
    return y


def cell(
    kind: str, x: np.ndarray, *state: np.ndarray, w: np.ndarray, b: np.ndarray, linear_before_reset: bool = False
) -> list[np.ndarray]:
    """One step; gates f, i, c, o of LSTM, z, r, h of GRU."""
    hidden = state[0].shape[1]
    width = x.shape[1]
    h, w, b = state[0].astype(np.float64), w.astype(np.float64), b.astype(np.float64)

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    def gate(index: int, previous: np.ndarray) -> np.ndarray:
        rows = slice(index * hidden, (index + 1) * hidden)
        return x @ w[rows, :width].T + previous @ w[rows, width:].T + b[rows]

    if kind == "RNN":
        return [np.tanh(gate(0, h))]
    if kind == "LSTM":
        f, i, c, o = (gate(index, h) for index in range(4))
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(c)
        return [sigmoid(o) * np.tanh(c), c]
    z, r = sigmoid(gate(0, h)), sigmoid(gate(1, h))
    if linear_before_reset:
        rows = slice(2 * hidden, 3 * hidden)
        new = np.tanh(x @ w[rows, :width].T + b[rows] + r * (h @ w[rows, width:].T + b[3 * hidden :]))
    else:
        new = np.tanh(gate(2, r * h))
    return [(1 - z) * new + z * h]
