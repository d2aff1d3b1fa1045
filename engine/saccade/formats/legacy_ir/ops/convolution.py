"""Layers with big weights: convolutions and fully connected layers."""

from __future__ import annotations

import math
from dataclasses import replace

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.ops.windows import same_pads, window
from saccade.formats.legacy_ir.table import LAYERS, Layer


def kernels(layer: Layer, kernel: tuple[int, ...], *, transposed: bool = False) -> tuple[tuple[int, ...], int, int]:
    """Shape of a convolution's weights, filters and groups."""
    filters, groups = layer.integer("output", least=1), layer.integer("group", 1, least=1)
    return layers.kernel_shape(layer.dims()[1], filters, groups, kernel, transposed=transposed), filters, groups


def sizes(layer: Layer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Spatial shape of what comes in and of what comes out."""
    size, out = layer.spatial(), layer.out()[2:]
    if len(out) != len(size):
        raise ModelError(f"makes shape {list(layer.out())} from {list(layer.dims())}; expected as many axes")
    return size, out


@LAYERS.builds("Convolution")
def convolution(layer: Layer) -> Value:
    """Weights O, I / group, kernel; the end padding follows from the declared output."""
    size, out = sizes(layer)
    w = window(layer, out)
    shape, filters, groups = kernels(layer, w.kernel)
    weights, bias = layer.weights("weights", *shape), layer.maybe_weights("biases", filters)
    return layers.convolution(layer.input(), weights, bias, w, ends=w.ends(size, out), groups=groups)


@LAYERS.builds("Deconvolution")
def deconvolution(layer: Layer) -> Value:
    """Weights I, O / group, kernel; the end padding follows from the declared output."""
    size, out = sizes(layer)
    w = window(layer, None)
    auto = layer.text("auto_pad", "").lower()
    if auto in ("same_upper", "same_lower"):
        w = replace(w, pads=same_pads(auto, replace(w, pads=(0,) * len(size)).ends(out, size)))
    shape, filters, groups = kernels(layer, w.kernel, transposed=True)
    weights, bias = layer.weights("weights", *shape), layer.maybe_weights("biases", filters)
    return layers.deconvolution(layer.input(), weights, bias, w, ends=w.ends(out, size), groups=groups)


@LAYERS.builds("FullyConnected", "InnerProduct")
def fully_connected(layer: Layer) -> Value:
    """Weights out, C * H * W over the flattened input."""
    outputs = layer.integer("out-size", least=1)
    dims = layer.dims()
    flat = math.prod(dims[1:])
    apart = len(dims) == len(layer.out()) == 3  # per position, as later optimizers wrote it
    weights = layer.weights("weights", outputs, dims[2] if apart else flat)
    y = layers.linear(layer.input(), weights, layer.maybe_weights("biases", outputs), flatten=not apart)
    return layer.as_declared(y)
