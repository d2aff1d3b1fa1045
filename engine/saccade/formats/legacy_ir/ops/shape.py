"""Layers that move or reshape data without arithmetic."""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1, opset3

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Value, axis_of
from saccade.formats.legacy_ir.table import LAYERS, Layer


@LAYERS.builds("Const")
def const(layer: Layer) -> Value:
    values = layer.weights("custom" if "custom" in layer.plain.blobs else "weights")
    if values.size != math.prod(layer.out()):
        raise ModelError(f"has {values.size} values for shape {list(layer.out())}; expected {math.prod(layer.out())}")
    return layers.constant(values.reshape(layer.out()))


@LAYERS.builds("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(layer: Layer) -> Value:
    """The declared shape is the target, whatever the attributes or the shape input say."""
    if math.prod(layer.out()) != math.prod(layer.dims()):
        raise ModelError(f"makes shape {list(layer.out())} from {list(layer.dims())}; expected as many values")
    return layers.reshape(layer.input(), layer.out())


@LAYERS.builds("Permute", "Transpose")
def permute(layer: Layer) -> Value:
    return layers.transpose(layer.input(), layer.integers("order", least=0))


@LAYERS.builds("Concat")
def concat(layer: Layer) -> Value:
    values = layer.values()
    if len({str(v.get_element_type()) for v in values}) > 1:
        values = [layers.as_float(v) for v in values]
    return layers.concat(values, layer.axis("axis", min(1, len(layer.dims()) - 1)))


@LAYERS.builds("Split", "Slice")
def split(layer: Layer) -> list[Value]:
    axis = layer.axis("axis", min(1, len(layer.dims()) - 1))
    if any(len(layer.out(i)) != len(layer.dims()) for i in range(len(layer.plain.outputs))):
        raise ModelError(f"cuts shape {list(layer.dims())} into pieces with other axes; expected the same axes")
    sizes = [layer.out(i)[axis] for i in range(len(layer.plain.outputs))]
    if sum(sizes) != layer.dims()[axis]:
        raise ModelError(f"cuts {layer.dims()[axis]} values of axis {axis} into {sizes[:20]}; expected the same sum")
    return layers.split(layer.input(), axis, sizes)


@LAYERS.builds("Tile")
def tile(layer: Layer) -> Value:
    repeats = [1] * len(layer.dims())
    repeats[layer.axis("axis", 1)] = layer.integer("tiles", least=1)
    return opset1.tile(layer.input(), layers.ints(repeats)).output(0)


@LAYERS.builds("Crop")
def crop(layer: Layer) -> Value:
    """Three dialects (rows of axis and offset, lists, begin and end); the size is the declared one."""
    dims, out = layer.dims(), layer.out()
    if len(dims) != len(out):
        raise ModelError(f"makes shape {list(out)} from {list(dims)}; expected as many axes")
    begin = [0] * len(dims)
    if layer.plain.rows:
        pairs = []
        for row in layer.plain.rows:
            try:
                pairs.append((int(row["axis"]), int(row["offset"])))
            except (KeyError, ValueError):
                raise ModelError(f"has a crop of {dict(row)}; expected axis and offset") from None
    else:
        axes = layer.integers("axis")
        offsets = layer.integers("offset" if "offset" in layer else "crop_begin", least=0)
        if len(offsets) == 1:
            offsets *= len(axes)
        if len(axes) != len(offsets):
            raise ModelError(f"has {len(axes)} axes and {len(offsets)} offsets; expected one offset per axis")
        pairs = list(zip(axes, offsets, strict=True))
    for axis, offset in pairs:
        begin[axis_of(axis, len(dims))] = offset
    if any(b < 0 or b + o > n for b, o, n in zip(begin, out, dims, strict=True)):
        raise ModelError(f"crops {list(out)} at {begin} of {list(dims)}; expected a region inside")
    return layers.crop(layer.input(), begin, out)


@LAYERS.builds("Pad")
def pad(layer: Layer) -> Value:
    rank = len(layer.dims())
    begin, end = layer.integers("pads_begin", [0] * rank, least=0), layer.integers("pads_end", [0] * rank, least=0)
    if len(begin) != rank or len(end) != rank:
        raise ModelError(f"pads {len(begin)} and {len(end)} axes of {rank}; expected every axis")
    mode = layer.choice("pad_mode", ("constant", "edge", "reflect", "symmetric"), "constant")
    if any(max(b, e) > (1 << 24) for b, e in zip(begin, end, strict=True)):
        raise ModelError(f"pads by {max(*begin, *end)}; expected less than {1 << 24}")
    return layers.pad(layer.input(), begin, end, mode=mode, value=layer.number("pad_value", 0.0))


@LAYERS.builds("ShapeOf", "Shape")
def shape_of(layer: Layer) -> Value:
    """Shapes are fixed when the file is read."""
    return layers.constant(np.array(layer.dims(), dtype=np.int32))


@LAYERS.builds("StridedSlice")
def strided_slice(layer: Layer) -> Value:
    """In begin_mask and end_mask 1 means: use the value, the inverse of the modern operation."""
    rank = len(layer.dims())

    def mask(name: str, fill: int) -> list[int]:
        values = layer.integers(name, [], least=0)
        return [min(1, v) for v in values] + [fill] * (count - len(values))

    begin = layer.known_ints(1)
    count = max(len(begin), rank)
    inputs = [layer.input(), *(layers.ints(layer.known_ints(i)) for i in (1, 2))]
    strides = layer.known_ints(3) if len(layer.inputs) > 3 else [1] * len(begin)
    if any(s == 0 for s in strides):
        raise ModelError("has a stride of 0; expected other strides")
    inputs.append(layers.ints(strides))
    return opset1.strided_slice(
        *inputs,
        [1 - v for v in mask("begin_mask", 1)],
        [1 - v for v in mask("end_mask", 1)],
        mask("new_axis_mask", 0),
        mask("shrink_axis_mask", 0),
        mask("ellipsis_mask", 0),
    ).output(0)


@LAYERS.builds("Copy", "Dropout", "Identity")
def copy(layer: Layer) -> Value:
    return layer.input()


@LAYERS.builds("Convert")
def convert(layer: Layer) -> Value:
    types = {"FP32": "f32", "FP16": "f32", "I32": "i32", "I64": "i64", "U8": "u8", "I8": "i8", "BOOL": "boolean"}
    precision = layer.text("precision", layer.plain.precision or layer.plain.outputs[0].precision or "FP32").upper()
    if precision not in types:
        raise UnsupportedError(f"converts to {precision[:20]}; expected one of {', '.join(types)}")
    return opset1.convert(layer.input(), types[precision]).output(0)


@LAYERS.builds("ShuffleChannels")
def shuffle_channels(layer: Layer) -> Value:
    axis, group = layer.axis("axis", 1), layer.integer("group", least=1)
    if layer.dims()[axis] % group:
        raise ModelError(f"shuffles {layer.dims()[axis]} values in {group} groups; expected a divisor")
    return opset3.shuffle_channels(layer.input(), axis, group).output(0)
