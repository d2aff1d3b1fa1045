"""Resizing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


def _sizes(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    size, out = node.spatial(), node.out()[2:]
    if len(out) != len(size):
        raise node.fail(f"makes shape {list(node.out())} from {list(node.dims())}; expected as many axes")
    return size, out


@layer("Interp")
def interp(node: Node) -> Value:
    """Bilinear over corner pixels; negative padding crops first, positive padding adds zeros."""
    size, out = _sizes(node)
    if len(size) != 2:
        raise node.unsupported(f"resizes shape {list(node.dims())}; expected N, C, H, W")
    x, begin, end = node.input(0), node.integer("pad_beg", 0), node.integer("pad_end", 0)
    if abs(begin) > 4096 or abs(end) > 4096 or any(n + begin + end < 1 for n in size):
        raise node.fail(f"pads {list(size)} by {begin} and {end}; expected a picture to remain")
    if begin > 0 or end > 0:
        before, behind = max(0, begin), max(0, end)
        x = layers.pad(x, (0, 0, before, before), (0, 0, behind, behind))
    if begin < 0 or end < 0:
        kept = [n + begin + end for n in size]
        cut = max(0, -begin)
        x = layers.crop(x, (0, 0, cut, cut), (*node.dims()[:2], *kept))
    if layers.dims(x)[2:] == out:
        return x
    mode = "align_corners" if node.flag("align_corners", True) else "asymmetric"
    return layers.resize_linear(x, (out[0], out[1]), mode)


@layer("Resample")
def resample(node: Node) -> Value:
    """Nearest, or linear, which shrinks with a triangle filter where antialiasing is asked for."""
    size, out = _sizes(node)
    kind = node.text("type", "caffe.ResampleParameter.NEAREST").rsplit(".", 1)[-1].upper()
    if kind == "NEAREST":
        return layers.resize_nearest(node.input(0), out, "half_pixel", "round_prefer_ceil")
    if kind != "LINEAR":
        raise node.unsupported(f"resamples by {kind[:40]}; expected NEAREST or LINEAR, which is all the engine had")
    if len(size) != 2:
        raise node.unsupported(f"resamples shape {list(node.dims())} linearly; expected N, C, H, W")
    factors = [n / o for n, o in zip(size, out, strict=True)]
    if not node.flag("antialias", False) or max(factors) <= 1:
        return node.input(0) if size == out else layers.resize_linear(node.input(0), (out[0], out[1]))
    node.made(size[0] * out[0] + size[1] * out[1])
    return layers.resize_matrices(node.input(0), _triangle(size[0], out[0]), _triangle(size[1], out[1]))


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
