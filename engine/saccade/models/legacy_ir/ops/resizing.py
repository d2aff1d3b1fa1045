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
    """Nearest, or linear with the engine's triangle filter."""
    size, out = _sizes(node)
    kind = node.text("type", "caffe.ResampleParameter.NEAREST").rsplit(".", 1)[-1].upper()
    if kind == "NEAREST":
        return layers.resize_nearest(node.input(0), out, "half_pixel", "round_prefer_ceil")
    if kind != "LINEAR":
        raise node.unsupported(f"resamples by {kind[:40]}; expected NEAREST or LINEAR, which is all the engine had")
    if len(size) != 2:
        raise node.unsupported(f"resamples shape {list(node.dims())} linearly; expected N, C, H, W")
    factors = [n / o for n, o in zip(size, out, strict=True)]
    antialias = node.flag("antialias", False)
    if factors[0] == factors[1] and (factors[0] <= 1 or not antialias):
        return layers.resize_linear(node.input(0), (out[0], out[1]))
    node.made(size[0] * out[0] + size[1] * out[1])
    rows = _triangle(size[0], out[0], factors[0], factors[1], antialias)
    columns = _triangle(size[1], out[1], factors[1], factors[0], antialias)
    return layers.resize_matrices(node.input(0), rows, columns)


def _triangle(size: int, out: int, factor: float, other: float, antialias: bool) -> npt.NDArray[np.float64]:
    """Return (out, size) weights of a triangle filter.

    The half-pixel offset uses the other axis's factor: a slip in the engine, kept because models ran with it.
    """
    sharpness = 1.0 / factor if antialias else 1.0
    reach = 2 if factor < 1 else int(np.ceil(2 / sharpness))
    centre = np.arange(out) * factor + other / 2 - 0.5
    nearest = np.sign(centre) * np.floor(np.abs(centre) + 0.5)  # C's round(): halves away from zero
    position = np.arange(size)
    weight: npt.NDArray[np.float64] = np.maximum(0.0, 1.0 - np.abs(sharpness * (centre[:, None] - position)))
    weight[np.abs(position - nearest[:, None]) > reach] = 0
    total = weight.sum(axis=1, keepdims=True)
    weight /= np.where(total > 0, total, 1)
    return weight
