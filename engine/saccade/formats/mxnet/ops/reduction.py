"""Sums, means and extremes along axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import openvino as ov
from openvino import opset1, opset4

from saccade.formats import layers
from saccade.formats.importing import Built
from saccade.formats.layers import Value, axis_of, dims
from saccade.formats.mxnet.graph import LAYERS, Layer


def _reduced_axes(layer: Layer, rank: int) -> list[int]:
    axes = [axis_of(axis, rank) for axis in layer.integers("axis", ())]
    if layer.boolean("exclude", False):
        return [axis for axis in range(rank) if axis not in axes]
    return sorted(set(axes)) or list(range(rank))


def _reduction(build: Callable[..., ov.Node]) -> Callable[[Layer], Built]:
    def compute(layer: Layer) -> Value:
        x = layer.input()
        axes, keep = _reduced_axes(layer, len(dims(x))), layer.boolean("keepdims", False)
        y = build(x, layers.ints(axes), keep).output(0)
        return y if dims(y) else layers.reshape(y, (1,))  # MXNet has no values without axes

    return compute


@LAYERS.builds("norm")
def _norm(layer: Layer) -> Value | Sequence[Value]:
    return _reduction(opset4.reduce_l1 if layer.integer("ord", 2) == 1 else opset4.reduce_l2)(layer)


def _arg(mode: str) -> Callable[[Layer], Built]:
    def compute(layer: Layer) -> Value:
        x = layer.input()
        keep = layer.boolean("keepdims", False)
        if "axis" not in layer:
            x = layers.reshape(x, (math.prod(dims(x)),))
        axis = layer.axis("axis", 0)
        _, indices = layers.top_k(x, 1, axis=axis, mode=mode)
        shape = [size for a, size in enumerate(dims(indices)) if keep or a != axis]
        return layers.reshape(layers.as_float(indices), shape or (1,))

    return compute


LAYERS |= {
    "argmax": _arg("max"),
    "argmin": _arg("min"),
    "max": _reduction(opset1.reduce_max),
    "mean": _reduction(opset1.reduce_mean),
    "min": _reduction(opset1.reduce_min),
    "prod": _reduction(opset1.reduce_prod),
    "sum": _reduction(opset1.reduce_sum),
}
