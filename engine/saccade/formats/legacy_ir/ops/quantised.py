"""Layers of quantised and binary nets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from openvino import opset1

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.ops.convolution import kernels, sizes
from saccade.formats.legacy_ir.ops.windows import window
from saccade.formats.legacy_ir.table import LAYERS, Layer


@LAYERS.builds("FakeQuantize", "Quantize")
def fake_quantize(layer: Layer) -> Value:
    """Inputs: data, input low and high, output low and high."""
    levels = layer.integer("levels", least=2)
    low, high = layer.known(1), layer.known(2)
    if low.shape == high.shape and np.array_equal(low, high):  # a threshold: today's CPU divides by its width, zero
        return opset1.select(opset1.greater(layer.input(), layer.input(1)), layer.input(4), layer.input(3)).output(0)
    return opset1.fake_quantize(*(layer.input(i) for i in range(5)), levels).output(0)


@LAYERS.builds("BinaryConvolution")
def binary_convolution(layer: Layer) -> Value:
    """One bit per weight, low bit first; bits and signs of the data stand for -1 and 1.

    The CPU of today has no such kernel for every shape, so this is a convolution of signs, which gives the same
    numbers.
    """
    layer.choice("mode", ("xnor-popcount",), "xnor-popcount")
    size, out = sizes(layer)
    w = window(layer, out)
    shape, _, groups = kernels(layer, w.kernel)
    count = int(np.prod(shape))
    packed = layer.weights("weights")
    if packed.nbytes != (count + 7) // 8:
        raise ModelError(f"weights have {packed.nbytes} bytes; expected {(count + 7) // 8}, one bit per weight")
    layer.made(count)
    bits = np.unpackbits(packed.view(np.uint8), bitorder="little")[:count]
    weights = (bits.astype(np.float32) * 2 - 1).reshape(shape)
    zero, plus, minus = (layers.constant(np.float32(v)) for v in (0, 1, -1))
    signs = opset1.select(opset1.greater(layer.input(), zero), plus, minus).output(0)
    ends = [max(0, e) for e in w.ends(size, out)]
    signs = layers.pad(signs, (0, 0, *w.pads), (0, 0, *ends), value=layer.number("pad_value", 0.0))
    return layers.convolution(signs, weights, None, replace(w, pads=(0,) * len(size)), groups=groups)


@LAYERS.builds("DeformableConvolution")
def deformable_convolution(layer: Layer) -> Value:
    """Weights O, I / group, kernel; the second operand holds the offsets."""
    size, out = sizes(layer)
    w = window(layer, out)
    shape, filters, groups = kernels(layer, w.kernel)
    y = opset1.deformable_convolution(
        layer.input(), layer.input(1), layers.constant(layer.weights("weights", *shape)), list(w.strides),
        list(w.pads), [max(0, e) for e in w.ends(size, out)], list(w.dilations), "EXPLICIT", groups,
        layer.integer("deformable_group", 1, least=1),
    ).output(0)  # fmt: skip
    return layers.affine(y, None, layer.maybe_weights("biases", filters))
