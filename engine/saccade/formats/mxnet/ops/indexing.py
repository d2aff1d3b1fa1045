"""Tables, and values that depend on their index alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.importing import Built
from saccade.formats.layers import Value, axis_of, dims
from saccade.formats.mxnet.graph import LAYERS, Layer, index_of, scalar


@LAYERS.builds("Embedding")
def _embedding(layer: Layer) -> Value:
    table = layer.weights(1)
    return layers.gather(layers.constant(table), index_of(layer.input(), len(table)))


@LAYERS.builds("take")
def _take(layer: Layer) -> Value:
    x, indices = layer.input(), layer.input(1)
    axis = layer.axis("axis", 0)
    size = dims(x)[axis]
    if layer.choice("mode", ("clip", "wrap", "raise"), "clip") == "wrap":
        indices = layers.binary("floor_mod", indices, scalar(size))
    return layers.gather(x, index_of(indices, size), axis)


@LAYERS.builds("arange")
def _arange(layer: Layer) -> Value:
    start, step = layer.number("start", 0), layer.number("step", 1)
    repeat = layer.integer("repeat", 1)
    if "stop" not in layer and layer.boolean("infer_range", False):
        raise UnsupportedError("has no end; only ranges of a known length are supported")
    stop = layer.number("stop", 0)
    if "stop" not in layer:
        start, stop = 0.0, start
    count = math.ceil((stop - start) / step) if step and math.isfinite((stop - start) / step) else 0
    if count < 1 or repeat < 1:
        raise ModelError(f"goes from {start} to {stop} by {step}, {repeat} times each: no numbers")
    layers.check_size([count, repeat], "its result")
    return layers.constant(np.repeat((start + step * np.arange(count)).astype(np.float32), repeat))


@LAYERS.builds("arange_like")
def _arange_like(layer: Layer) -> Value:
    x = layer.input()
    shape = dims(x)
    if "axis" in layer:
        shape = (shape[axis_of(layer.integer("axis", 0), len(shape))],)
    repeat = layer.integer("repeat", 1)
    if repeat < 1:
        raise ModelError(f"has repeat={repeat}; expected a positive number")
    steps = np.arange(math.prod(shape)) // repeat
    numbers = layer.number("start", 0) + layer.number("step", 1) * steps
    return layers.constant(numbers.astype(np.float32).reshape(shape))


def _filled(value: float | None) -> Callable[[Layer], Built]:
    def compute(layer: Layer) -> Value:
        shape = layer.integers("shape", ())
        if not shape or min(shape) < 1:
            raise ModelError(f"has the shape {shape}; expected positive sizes")
        layers.check_size(shape, "it")
        number = layer.number("value", 0) if value is None else value
        return layers.constant(np.full(shape, number, np.float32))

    return compute


LAYERS |= {"full": _filled(None), "ones": _filled(1), "zeros": _filled(0)}
