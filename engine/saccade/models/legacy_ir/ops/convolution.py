"""Layers with big weights: convolutions and fully connected layers."""

from __future__ import annotations

import math

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.ops.windows import window
from saccade.models.legacy_ir.table import Node, layer


def _groups(node: Node, inputs: int, outputs: int) -> int:
    groups = node.integer("group", 1, low=1)
    if inputs % groups or outputs % groups:
        raise node.fail(f"has {groups} groups for {inputs} -> {outputs} channels; expected a divisor of both")
    return groups


@layer("Convolution")
def convolution(node: Node) -> Value:
    """Weights O, I / group, kernel; the end padding follows from the declared output."""
    size, out = node.spatial(), node.out()[2:]
    if len(out) != len(size):
        raise node.fail(f"makes shape {list(node.out())} from {list(node.dims())}; expected as many axes")
    w = window(node, out)
    inputs, outputs = node.dims()[1], node.integer("output", low=1)
    groups = _groups(node, inputs, outputs)
    ends = layers.end_pads(size, out, w.kernel, w.strides, w.dilations, w.begin)
    return layers.convolution(
        node.input(0),
        node.blob("weights", outputs, inputs // groups, *w.kernel),
        node.maybe_blob("biases", outputs),
        strides=w.strides,
        pads_begin=w.begin,
        pads_end=[max(0, e) for e in ends],
        dilations=w.dilations,
        groups=groups,
    )


@layer("Deconvolution")
def deconvolution(node: Node) -> Value:
    """Weights I, O / group, kernel; the end padding follows from the declared output."""
    size, out = node.spatial(), node.out()[2:]
    if len(out) != len(size):
        raise node.fail(f"makes shape {list(node.out())} from {list(node.dims())}; expected as many axes")
    w = window(node, None)
    begin = w.begin
    auto = node.text("auto_pad", "").lower()
    if auto in ("same_upper", "same_lower"):
        total = layers.deconvolution_ends(size, out, w.kernel, w.strides, w.dilations, [0] * len(size))
        begin = [max(0, t // 2 if auto == "same_upper" else t - t // 2) for t in total]
    inputs, outputs = node.dims()[1], node.integer("output", low=1)
    groups = _groups(node, inputs, outputs)
    ends = layers.deconvolution_ends(size, out, w.kernel, w.strides, w.dilations, begin)
    return layers.deconvolution(
        node.input(0),
        node.blob("weights", inputs, outputs // groups, *w.kernel),
        node.maybe_blob("biases", outputs),
        strides=w.strides,
        pads_begin=begin,
        pads_end=ends,
        dilations=w.dilations,
        groups=groups,
    )


@layer("FullyConnected", "InnerProduct")
def fully_connected(node: Node) -> Value:
    """Weights out, C * H * W over the flattened input."""
    outputs = node.integer("out-size", low=1)
    dims = node.dims()
    flat = math.prod(dims[1:])
    if len(dims) == 3 and len(node.out()) == 3:  # per position, as later optimizers wrote it
        y = layers.linear(
            node.input(0), node.blob("weights", outputs, dims[2]), node.maybe_blob("biases", outputs), flatten=False
        )
    else:
        y = layers.linear(node.input(0), node.blob("weights", outputs, flat), node.maybe_blob("biases", outputs))
    return layers.reshape(y, node.out()) if math.prod(layers.dims(y)) == math.prod(node.out()) else y
