"""Resizing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.ops.convolution import sizes
from saccade.formats.legacy_ir.table import LAYERS, Layer


@LAYERS.builds("Interp")
def interp(layer: Layer) -> Value:
    """Bilinear over corner pixels; negative padding crops first, positive padding adds zeros."""
    size, out = sizes(layer)
    if len(size) != 2:
        raise UnsupportedError(f"resizes shape {list(layer.dims())}; expected N, C, H, W")
    x, begin, end = layer.input(), layer.integer("pad_beg", 0), layer.integer("pad_end", 0)
    if abs(begin) > 4096 or abs(end) > 4096 or any(n + begin + end < 1 for n in size):
        raise ModelError(f"pads {list(size)} by {begin} and {end}; expected a picture to remain")
    if begin > 0 or end > 0:
        before, behind = max(0, begin), max(0, end)
        x = layers.pad(x, (0, 0, before, before), (0, 0, behind, behind))
    if begin < 0 or end < 0:
        kept = [n + begin + end for n in size]
        cut = max(0, -begin)
        x = layers.crop(x, (0, 0, cut, cut), (*layer.dims()[:2], *kept))
    if layers.dims(x)[2:] == out:
        return x
    mode = "align_corners" if layer.boolean("align_corners", True) else "asymmetric"
    return layers.resize_linear(x, (out[0], out[1]), mode)


@LAYERS.builds("Resample")
def resample(layer: Layer) -> Value:
    """Nearest, or linear, which shrinks with a triangle filter where antialiasing is asked for."""
    size, out = sizes(layer)
    kind = layer.text("type", "caffe.ResampleParameter.NEAREST").rsplit(".", 1)[-1].upper()
    if kind == "NEAREST":
        return layers.resize_nearest(layer.input(), out, "half_pixel", "round_prefer_ceil")
    if kind != "LINEAR":
        raise UnsupportedError(f"resamples by {kind[:40]}; expected NEAREST or LINEAR, which is all the engine had")
    if len(size) != 2:
        raise UnsupportedError(f"resamples shape {list(layer.dims())} linearly; expected N, C, H, W")
    factors = [n / o for n, o in zip(size, out, strict=True)]
    if not layer.boolean("antialias", False) or max(factors) <= 1:
        return layer.input() if size == out else layers.resize_linear(layer.input(), (out[0], out[1]))
    layer.made(size[0] * out[0] + size[1] * out[1])
    return layers.resize_matrices(layer.input(), _triangle(size[0], out[0]), _triangle(size[1], out[1]))


def _triangle(size: int, out: int) -> npt.NDArray[np.float64]:
    """Return (out, size) weights of a triangle filter as wide as the factor, normalised at the borders.

    OpenVINO's own antialiasing gives other numbers (resample node of the engine's CPU plugin).
    """
    factor = size / out
    centre = (np.arange(out) + 0.5) * factor - 0.5
    weight: npt.NDArray[np.float64] = np.maximum(0.0, 1.0 - np.abs(centre[:, None] - np.arange(size)) / factor)
    total = weight.sum(axis=1, keepdims=True)
    weight /= np.where(total > 0, total, 1)
    return weight
