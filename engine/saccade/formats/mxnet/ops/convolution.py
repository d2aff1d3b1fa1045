"""Convolution, full connection and pooling."""

from __future__ import annotations

import math
from dataclasses import replace

from openvino import opset8

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Array, Value, Window, dims
from saccade.formats.mxnet.graph import LAYERS, Layer


def _check_layout(layer: Layer) -> None:
    if layer.text("layout", "NC")[:2] != "NC":
        raise UnsupportedError(f"has the layout {layer.text('layout')}; only channels-first is supported")


def _window(layer: Layer) -> Window:
    _check_layout(layer)
    kernel = layer.integers("kernel")
    axes = len(kernel)
    if axes + 2 != len(layer.dims()) or not 1 <= axes <= 3:
        raise ModelError(f"has a kernel of {axes} axes for an input of the shape {layer.dims()}")
    stride, pad, dilate = (
        layer.integers(key, ()) or (usual,) * axes for key, usual in (("stride", 1), ("pad", 0), ("dilate", 1))
    )
    return Window(kernel, stride, pad, dilate)


def _bias(layer: Layer, count: int, *, no_bias: bool) -> Array | None:
    return None if layer.boolean("no_bias", no_bias) else layer.weights(2, count)


def _kernels(layer: Layer, window: Window, *, transposed: bool) -> tuple[Array, Array | None, int]:
    """Weights, bias and number of groups."""
    groups, filters = layer.integer("num_group", 1), layer.integer("num_filter", 0)
    shape = layers.kernel_shape(layer.dims()[1], filters, groups, window.kernel, transposed=transposed)
    return layer.weights(1, *shape), _bias(layer, filters, no_bias=transposed), groups


@LAYERS.builds("Convolution")
def _convolution(layer: Layer) -> Value:
    window = _window(layer)
    weights, bias, groups = _kernels(layer, window, transposed=False)
    return layers.convolution(layer.input(), weights, bias, window, groups=groups)


@LAYERS.builds("Deconvolution")
def _deconvolution(layer: Layer) -> Value:
    window, size = _window(layer), layer.dims()[2:]
    extra = layer.integers("adj", ()) or (0,) * len(size)
    target = layer.integers("target_shape", ())
    if any(target):
        # The padding that gives the size asked for; the odd pixel goes to the end.
        total = replace(window, pads=(0,) * len(size)).ends(target, size)
        if min(total) < 0:
            raise ModelError(f"cannot reach the target shape {target} from {size}")
        window, extra = replace(window, pads=tuple((t + 1) // 2 for t in total)), tuple(t % 2 for t in total)
    if len(extra) != len(size):
        raise ModelError(f"has adj {extra}; expected {len(size)} numbers")
    weights, bias, groups = _kernels(layer, window, transposed=True)
    return layers.deconvolution(layer.input(), weights, bias, window, groups=groups, output_padding=extra)


@LAYERS.builds("FullyConnected")
def _fully_connected(layer: Layer) -> Value:
    x, hidden = layer.input(), layer.integer("num_hidden", 0)
    flatten = layer.boolean("flatten", True)
    weights = layer.weights(1, hidden, math.prod(dims(x)[1:]) if flatten else dims(x)[-1])
    return layers.linear(x, weights, _bias(layer, hidden, no_bias=False), flatten=flatten)


@LAYERS.builds("Pooling")
def _pooling(layer: Layer) -> Value:
    x = layer.input()
    method = layer.choice("pool_type", ("max", "avg", "sum"), "max")
    if layer.boolean("global_pool", False):
        _check_layout(layer)
        return layers.global_pool(x, method)
    convention = layer.choice("pooling_convention", ("valid", "full", "same"), "valid")
    window, size = _window(layer), dims(x)[2:]
    if convention == "same":
        out = [-(-(n + 2 * p) // s) for n, s, p in zip(size, window.strides, window.pads, strict=True)]
    else:
        out = window.positions(size, round_up=convention == "full")
    if method == "max":
        return layers.max_pool(x, window, out)
    counted = layer.boolean("count_include_pad", True)
    if method == "avg":
        return layers.avg_pool(x, window, out, exclude_pad=not counted)
    # A sum has no divisor to correct, so padding of any kind may count.
    endless = [1 << 20] * len(size)
    mean = layers.avg_pool(x, window, out, exclude_pad=False, counted_end=endless)
    return layers.power(mean, scale=math.prod(window.kernel))


@LAYERS.builds("AdaptiveAvgPooling2D")
def _adaptive_pooling(layer: Layer) -> Value:
    size = layer.integers("output_size", (), least=1) or (1,)
    size = size * 2 if len(size) == 1 else size
    return opset8.adaptive_avg_pool(layer.input(), layers.ints(size)).output(0)
