"""Layers that move or reshape data without arithmetic."""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


@layer("Const")
def const(node: Node) -> Value:
    values = node.blob("custom" if "custom" in node.layer.blobs else "weights")
    if values.size != math.prod(node.out()):
        raise node.fail(f"has {values.size} values for shape {list(node.out())}; expected {math.prod(node.out())}")
    return layers.constant(values.reshape(node.out()))


@layer("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(node: Node) -> Value:
    """The declared shape is the target, whatever the attributes or the shape input say."""
    if math.prod(node.out()) != math.prod(node.dims()):
        raise node.fail(f"makes shape {list(node.out())} from {list(node.dims())}; expected as many values")
    return layers.reshape(node.input(0), node.out())


@layer("Permute", "Transpose")
def permute(node: Node) -> Value:
    order = node.ints("order", low=0)
    if sorted(order) != list(range(len(node.dims()))):
        raise node.fail(f"order {order[:12]} for shape {list(node.dims())}; expected each axis once")
    return layers.transpose(node.input(0), order)


@layer("Concat")
def concat(node: Node) -> Value:
    values = [node.input(0), *node.inputs[1:]]
    if len({str(v.get_element_type()) for v in values}) > 1:
        values = [layers.as_float(v) for v in values]
    return layers.concat(values, node.axis("axis", min(1, len(node.dims()) - 1)))


@layer("Split", "Slice")
def split(node: Node) -> list[Value]:
    axis = node.axis("axis", min(1, len(node.dims()) - 1))
    if any(len(node.out(i)) != len(node.dims()) for i in range(len(node.layer.outputs))):
        raise node.fail(f"cuts shape {list(node.dims())} into pieces with other axes; expected the same axes")
    sizes = [node.out(i)[axis] for i in range(len(node.layer.outputs))]
    if sum(sizes) != node.dims()[axis]:
        raise node.fail(f"cuts {node.dims()[axis]} values of axis {axis} into {sizes[:20]}; expected the same sum")
    return layers.split(node.input(0), axis, sizes)


@layer("Tile")
def tile(node: Node) -> Value:
    repeats = [1] * len(node.dims())
    repeats[node.axis("axis", 1)] = node.integer("tiles", low=1)
    return opset1.tile(node.input(0), layers.ints(repeats)).output(0)


@layer("Crop")
def crop(node: Node) -> Value:
    """Three dialects (rows of axis and offset, lists, begin and end); the size is the declared one."""
    dims, out = node.dims(), node.out()
    if len(dims) != len(out):
        raise node.fail(f"makes shape {list(out)} from {list(dims)}; expected as many axes")
    begin = [0] * len(dims)
    if node.layer.rows:
        pairs = []
        for row in node.layer.rows:
            try:
                pairs.append((int(row["axis"]), int(row["offset"])))
            except (KeyError, ValueError):
                raise node.fail(f"has a crop of {dict(row)}; expected axis and offset") from None
    else:
        axes = node.ints("axis")
        offsets = node.ints("offset" if node.has("offset") else "crop_begin", low=0)
        if len(offsets) == 1:
            offsets *= len(axes)
        if len(axes) != len(offsets):
            raise node.fail(f"has {len(axes)} axes and {len(offsets)} offsets; expected one offset per axis")
        pairs = list(zip(axes, offsets, strict=True))
    for axis, offset in pairs:
        begin[node.check_axis(axis, len(dims))] = offset
    if any(b < 0 or b + o > n for b, o, n in zip(begin, out, dims, strict=True)):
        raise node.fail(f"crops {list(out)} at {begin} of {list(dims)}; expected a region inside")
    return layers.crop(node.input(0), begin, out)


@layer("Pad")
def pad(node: Node) -> Value:
    rank = len(node.dims())
    begin, end = node.ints("pads_begin", [0] * rank, low=0), node.ints("pads_end", [0] * rank, low=0)
    if len(begin) != rank or len(end) != rank:
        raise node.fail(f"pads {len(begin)} and {len(end)} axes of {rank}; expected every axis")
    mode = node.choice("pad_mode", ("constant", "edge", "reflect", "symmetric"), "constant")
    if any(max(b, e) > (1 << 24) for b, e in zip(begin, end, strict=True)):
        raise node.fail(f"pads by {max(*begin, *end)}; expected less than {1 << 24}")
    return layers.pad(node.input(0), begin, end, mode=mode, value=node.number("pad_value", 0.0))


@layer("ShapeOf", "Shape")
def shape_of(node: Node) -> Value:
    """Shapes are fixed when the file is read."""
    return layers.constant(np.array(node.dims(), dtype=np.int32))


@layer("StridedSlice")
def strided_slice(node: Node) -> Value:
    """In begin_mask and end_mask 1 means: use the value, the inverse of the modern operation."""
    rank = len(node.dims())

    def mask(name: str, fill: int) -> list[int]:
        values = node.ints(name, [], low=0)
        return [min(1, v) for v in values] + [fill] * (count - len(values))

    begin = node.known_ints(1)
    count = max(len(begin), rank)
    inputs = [node.input(0), *(layers.ints(node.known_ints(i)) for i in (1, 2))]
    strides = node.known_ints(3) if len(node.inputs) > 3 else [1] * len(begin)
    if any(s == 0 for s in strides):
        raise node.fail("has a stride of 0; expected other strides")
    inputs.append(layers.ints(strides))
    return opset1.strided_slice(
        *inputs,
        [1 - v for v in mask("begin_mask", 1)],
        [1 - v for v in mask("end_mask", 1)],
        mask("new_axis_mask", 0),
        mask("shrink_axis_mask", 0),
        mask("ellipsis_mask", 0),
    ).output(0)


@layer("Copy", "Dropout", "Identity")
def copy(node: Node) -> Value:
    return node.input(0)


@layer("Convert")
def convert(node: Node) -> Value:
    types = {"FP32": "f32", "FP16": "f32", "I32": "i32", "I64": "i64", "U8": "u8", "I8": "i8", "BOOL": "boolean"}
    precision = node.text("precision", node.layer.precision or node.layer.outputs[0].precision or "FP32").upper()
    if precision not in types:
        raise node.unsupported(f"converts to {precision[:20]}; expected one of {', '.join(types)}")
    return opset1.convert(node.input(0), types[precision]).output(0)


@layer("ShuffleChannels")
def shuffle_channels(node: Node) -> Value:
    axis, group = node.axis("axis", 1), node.integer("group", low=1)
    if node.dims()[axis] % group:
        raise node.fail(f"shuffles {node.dims()[axis]} values in {group} groups; expected a divisor")
    return _shuffle(node.input(0), axis, group)


def _shuffle(x: Value, axis: int, group: int) -> Value:
    dims = layers.dims(x)
    before, after = math.prod(dims[:axis]), math.prod(dims[axis + 1 :])
    y = layers.reshape(x, (before, group, dims[axis] // group, after))
    return layers.reshape(layers.transpose(y, (0, 2, 1, 3)), dims)
