"""Layers of quantised and binary nets."""

from __future__ import annotations

import numpy as np
from openvino import opset1

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.ops.windows import window
from saccade.models.legacy_ir.table import Node, layer


@layer("FakeQuantize", "Quantize")
def fake_quantize(node: Node) -> Value:
    """Inputs: data, input low and high, output low and high."""
    levels = node.integer("levels", low=2)
    low, high = node.known(1), node.known(2)
    if low.shape == high.shape and np.array_equal(low, high):  # a threshold: today's CPU divides by its width, zero
        return opset1.select(opset1.greater(node.input(0), node.input(1)), node.input(4), node.input(3)).output(0)
    return opset1.fake_quantize(*(node.input(i) for i in range(5)), levels).output(0)


@layer("BinaryConvolution")
def binary_convolution(node: Node) -> Value:
    """One bit per weight, low bit first; bits and signs of the data stand for -1 and 1.

    The CPU of today has no such kernel for every shape, so this is a convolution of signs, which gives the same
    numbers.
    """
    node.choice("mode", ("xnor-popcount",), "xnor-popcount")
    size, out = node.spatial(), node.out()[2:]
    w = window(node, out)
    inputs, outputs, groups = node.dims()[1], node.integer("output", low=1), node.integer("group", 1, low=1)
    if inputs % groups or outputs % groups:
        raise node.fail(f"has {groups} groups for {inputs} -> {outputs} channels; expected a divisor of both")
    shape = (outputs, inputs // groups, *w.kernel)
    count = int(np.prod(shape))
    packed = node.blob("weights")
    if packed.nbytes != (count + 7) // 8:
        raise node.fail(f"weights have {packed.nbytes} bytes; expected {(count + 7) // 8}, one bit per weight")
    node.made(count)
    bits = np.unpackbits(packed.view(np.uint8), bitorder="little")[:count]
    weights = (bits.astype(np.float32) * 2 - 1).reshape(shape)
    ends = [max(0, e) for e in layers.end_pads(size, out, w.kernel, w.strides, w.dilations, w.begin)]
    zero, plus, minus = (layers.constant(np.float32(v)) for v in (0, 1, -1))
    signs = opset1.select(opset1.greater(node.input(0), zero), plus, minus).output(0)
    signs = layers.pad(signs, (0, 0, *w.begin), (0, 0, *ends), value=node.number("pad_value", 0.0))
    nothing = [0] * len(size)
    return layers.convolution(
        signs, weights, strides=w.strides, pads_begin=nothing, pads_end=nothing, dilations=w.dilations, groups=groups
    )


@layer("DeformableConvolution")
def deformable_convolution(node: Node) -> Value:
    """Weights O, I / group, kernel; the second operand holds the offsets."""
    size, out = node.spatial(), node.out()[2:]
    w = window(node, out)
    inputs, outputs, groups = node.dims()[1], node.integer("output", low=1), node.integer("group", 1, low=1)
    if inputs % groups or outputs % groups:
        raise node.fail(f"has {groups} groups for {inputs} -> {outputs} channels; expected a divisor of both")
    ends = [max(0, e) for e in layers.end_pads(size, out, w.kernel, w.strides, w.dilations, w.begin)]
    y = opset1.deformable_convolution(
        node.input(0), node.input(1), layers.constant(node.blob("weights", outputs, inputs // groups, *w.kernel)),
        w.strides, w.begin, ends, w.dilations, "EXPLICIT", groups, node.integer("deformable_group", 1, low=1),
    ).output(0)  # fmt: skip
    return layers.affine(y, None, node.maybe_blob("biases", outputs))
