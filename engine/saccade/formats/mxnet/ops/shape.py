"""Operators that move values without changing them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from openvino import opset1, opset8

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Value, axis_of, dims
from saccade.formats.mxnet.graph import LAYERS, Layer


@LAYERS.builds("Flatten")
def _flatten(layer: Layer) -> Value:
    x = layer.input()
    return layers.reshape(x, (dims(x)[0], math.prod(dims(x)[1:])))


@LAYERS.builds("Reshape")
def _reshape(layer: Layer) -> Value:
    x = layer.input()
    codes = layer.integers("shape", ())
    if not codes:
        return layers.reshape(x, _old_target(layer))
    source = dims(x)
    if layer.boolean("reverse", False):
        return layers.reshape(x, _coded_shape(source[::-1], codes[::-1], reverse=True)[::-1])
    return layers.reshape(x, _coded_shape(source, codes))


def _coded_shape(source: tuple[int, ...], codes: tuple[int, ...], *, reverse: bool = False) -> tuple[int, ...]:
    """Sizes from MXNet's codes: 0 keep, -1 the rest, -2 all that remain, -3 join two, -4 split into the next two."""
    shape: list[int] = []
    at, step = 0, 0
    codes_left = list(codes)
    while step < len(codes_left):
        code = codes_left[step]
        if (code == -4 and not reverse) or (reverse and step + 2 < len(codes_left) and codes_left[step + 2] == -4):
            # Read backwards, the two factors come before the code that announces them.
            pair = codes_left[step + 1 : step + 3] if not reverse else codes_left[step : step + 2]
            if len(pair) != 2 or at >= len(source):
                raise ModelError(f"cannot split by the shape {codes} from {source}")
            first, second = pair
            whole = source[at]
            first, second = whole // second if first == -1 else first, whole // first if second == -1 else second
            if first * second != whole:
                raise ModelError(f"cannot split {whole} into {first} times {second}")
            shape += [first, second]
            at, step = at + 1, step + 3
            continue
        step += 1
        if code == -2:
            shape += source[at:]
            at = len(source)
        elif code == -3:
            shape.append(math.prod(_part(source, at, 2, codes)))
            at += 2
        elif code == 0:
            shape += _part(source, at, 1, codes)
            at += 1
        elif code == -1 or code > 0:
            shape.append(code)
            at += 1
        else:
            raise ModelError(f"has the shape {codes}; {code} has no meaning there")
    if shape.count(-1) > 1:
        raise ModelError(f"has the shape {codes}; only one size can be left open")
    if -1 in shape:
        known = -math.prod(shape)
        if not known or math.prod(source) % known:
            raise ModelError(f"cannot turn {source} into {codes}")
        shape[shape.index(-1)] = math.prod(source) // known
    if math.prod(shape) != math.prod(source):
        raise ModelError(f"cannot turn {source} into {tuple(shape)}")
    return tuple(shape)


def _part(source: tuple[int, ...], at: int, count: int, codes: tuple[int, ...]) -> tuple[int, ...]:
    part = source[at : at + count]
    if len(part) != count:
        raise ModelError(f"has the shape {codes} for an input with the axes {source} only")
    return part


def _old_target(layer: Layer) -> tuple[int, ...]:
    """`target_shape` of the first releases: 0 is the size left open."""
    source = layer.dims()
    target = list(layer.integers("target_shape", ()))
    if not target:
        raise ModelError("has no shape")
    if layer.boolean("keep_highest", False):
        target[0] = source[0]
    return _coded_shape(source, tuple(size or -1 for size in target))


@LAYERS.builds("reshape_like")
def _reshape_like(layer: Layer) -> Value:
    if "lhs_begin" in layer or "rhs_begin" in layer:
        raise UnsupportedError("takes a part of the other's shape; only whole shapes are supported")
    return layers.reshape(layer.input(), layer.dims(1))


@LAYERS.builds("transpose")
def _transpose(layer: Layer) -> Value:
    x = layer.input()
    rank = len(dims(x))
    order = [axis_of(axis, rank) for axis in layer.integers("axes", ())] or list(range(rank))[::-1]
    return layers.transpose(x, order)


@LAYERS.builds("SwapAxis")
def _swap_axis(layer: Layer) -> Value:
    x = layer.input()
    order = list(range(len(dims(x))))
    one, two = (axis_of(layer.integer(key, 0), len(order)) for key in ("dim1", "dim2"))
    order[one], order[two] = order[two], order[one]
    return layers.transpose(x, order)


@LAYERS.builds("Concat")
def _concat(layer: Layer) -> Value:
    values = layer.values()
    return layers.concat(values, axis_of(layer.integer("dim", 1), len(dims(values[0]))))


@LAYERS.builds("stack")
def _stack(layer: Layer) -> Value:
    values = layer.values()
    axis = axis_of(layer.integer("axis", 0), len(dims(values[0])) + 1)
    shape = dims(values[0])
    shape = (*shape[:axis], 1, *shape[axis:])
    return layers.concat([layers.reshape(value, shape) for value in values], axis)


@LAYERS.builds("SliceChannel")
def _slice_channel(layer: Layer) -> list[Value]:
    x = layer.input()
    axis = layer.axis("axis", 1)
    count = layer.integer("num_outputs", 0)
    if not 1 <= count <= dims(x)[axis] or dims(x)[axis] % count:
        raise ModelError(f"cannot cut {dims(x)[axis]} into {count} equal parts")
    parts = layers.split(x, axis, [dims(x)[axis] // count] * count)
    if not layer.boolean("squeeze_axis", False):
        return parts
    shape = tuple(size for a, size in enumerate(dims(parts[0])) if a != axis)
    return [layers.reshape(part, shape) for part in parts]


def _cut(x: Value, bounds: Mapping[int, tuple[int | None, int | None, int | None]]) -> Value:
    """Python's slices by axis."""
    begin, end, step = [], [], []
    for axis, bound in bounds.items():
        size = dims(x)[axis]
        first, last, stride = slice(*bound).indices(size)
        if not len(range(first, last, stride)):
            raise ModelError(f"cuts nothing out of axis {axis} of {dims(x)}")
        begin.append(first)
        # A backward slice down to index 0 ends at -1, which would count from the end.
        end.append(last if last >= 0 else -size - 1)
        step.append(stride)
    return opset8.slice(x, layers.ints(begin), layers.ints(end), layers.ints(step), layers.ints(list(bounds))).output(0)


@LAYERS.builds("slice_axis")
def _slice_axis(layer: Layer) -> Value:
    x = layer.input()
    axis = layer.axis("axis", 0)
    end = layer.integer("end", 0) if "end" in layer else None
    return _cut(x, {axis: (layer.integer("begin", 0), end, 1)})


@LAYERS.builds("slice")
def _slice(layer: Layer) -> Value:
    x = layer.input()
    begin, end = (layer.optional_integers(key) for key in ("begin", "end"))
    step = layer.optional_integers("step") or (None,) * len(begin)
    if len(begin) > len(dims(x)) or 0 in step:
        raise ModelError(f"has begin {begin} and step {step} for an input of the shape {dims(x)}")
    return _cut(x, dict(enumerate(zip(begin, end, step, strict=True))))


@LAYERS.builds("slice_like")
def _slice_like(layer: Layer) -> Value:
    x, like = layer.input(), layer.input(1)
    axes = layer.integers("axes", ()) or range(len(dims(x)))
    bounds = {axis_of(a, len(dims(x))): (0, dims(like)[axis_of(a, len(dims(like)))], 1) for a in axes}
    if any(dims(x)[axis] < (bound[1] or 0) for axis, bound in bounds.items()):
        raise ModelError(f"cannot cut {dims(like)} out of {dims(x)}")
    return _cut(x, bounds)


@LAYERS.builds("Crop")
def _crop(layer: Layer) -> Value:
    x = layer.input()
    height, width = dims(x)[2:]
    size = layer.integers("h_w", ()) or (0, 0)
    if len(layer) > 1:
        size = layer.dims(1)[2:]
    offset = layer.integers("offset", ()) or (0, 0)
    if layer.boolean("center_crop", False):
        offset = ((height - size[0]) // 2, (width - size[1]) // 2)
    if min(size) < 1 or min(offset) < 0 or offset[0] + size[0] > height or offset[1] + size[1] > width:
        raise ModelError(f"cannot crop {size} at {offset} out of {(height, width)}")
    return layers.crop(x, (0, 0, *offset), (*dims(x)[:2], *size))


@LAYERS.builds("Pad")
def _pad(layer: Layer) -> Value:
    x = layer.input()
    width = layer.integers("pad_width", ())
    if len(width) != 2 * len(dims(x)) or min(width) < 0:
        raise ModelError(f"has pad_width {width}; expected two numbers for each of {len(dims(x))} axes")
    mode = layer.choice("mode", ("constant", "edge", "reflect"), "constant")
    return layers.pad(x, width[::2], width[1::2], mode=mode, value=layer.number("constant_value", 0))


@LAYERS.builds("expand_dims")
def _expand_dims(layer: Layer) -> Value:
    x = layer.input()
    axis = axis_of(layer.integer("axis", 0), len(dims(x)) + 1)
    return layers.reshape(x, (*dims(x)[:axis], 1, *dims(x)[axis:]))


@LAYERS.builds("squeeze")
def _squeeze(layer: Layer) -> Value:
    x = layer.input()
    axes = [axis_of(axis, len(dims(x))) for axis in layer.integers("axis", ())]
    if any(dims(x)[axis] != 1 for axis in axes):
        raise ModelError(f"cannot drop the axes {axes} of {dims(x)}; their size is not 1")
    kept = tuple(size for a, size in enumerate(dims(x)) if (a not in axes if axes else size != 1))
    return layers.reshape(x, kept or (1,))


@LAYERS.builds("tile")
def _tile(layer: Layer) -> Value:
    x = layer.input()
    repeats = layer.integers("reps", ()) or (1,)
    shape = (1,) * (len(repeats) - len(dims(x))) + dims(x)
    repeats = (1,) * (len(shape) - len(repeats)) + repeats
    layers.check_size([size * count for size, count in zip(shape, repeats, strict=True)], "its result")
    if min(repeats) < 1:
        raise ModelError(f"has reps {repeats}; expected positive numbers")
    return opset1.tile(layers.reshape(x, shape), layers.ints(repeats)).output(0)


@LAYERS.builds("repeat")
def _repeat(layer: Layer) -> Value:
    x, count = layer.input(), layer.integer("repeats", 1)
    if "axis" not in layer:
        x = layers.reshape(x, (math.prod(dims(x)),))
    axis = layer.axis("axis", 0)
    shape = dims(x)
    if count < 1:
        raise ModelError(f"has repeats={count}; expected a positive number")
    result = (*shape[:axis], shape[axis] * count, *shape[axis + 1 :])
    layers.check_size(result, "its result")
    wide = layers.reshape(x, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    tiled = opset1.tile(wide, layers.ints([count if a == axis + 1 else 1 for a in range(len(shape) + 1)]))
    return layers.reshape(tiled.output(0), result)


def _broadcast(x: Value, shape: Sequence[int]) -> Value:
    layers.check_size(shape, "its result")
    if any(size < 1 or own not in (1, size) for own, size in zip(dims(x), shape, strict=True)):
        raise ModelError(f"cannot spread {dims(x)} to {tuple(shape)}; expected other sizes only where it has 1")
    return opset1.broadcast(x, layers.ints(shape)).output(0)


@LAYERS.builds("broadcast_to")
def _broadcast_to(layer: Layer) -> Value:
    x = layer.input()
    shape = layer.integers("shape", ())
    if len(shape) != len(dims(x)):
        raise ModelError(f"cannot spread {dims(x)} to {shape}")
    return _broadcast(x, [size or own for size, own in zip(shape, dims(x), strict=True)])


@LAYERS.builds("broadcast_axis")
def _broadcast_axis(layer: Layer) -> Value:
    x = layer.input()
    shape = list(dims(x))
    for axis, size in zip(layer.integers("axis", ()), layer.integers("size", ()), strict=True):
        shape[axis_of(axis, len(shape))] = size
    return _broadcast(x, shape)


@LAYERS.builds("broadcast_like")
def _broadcast_like(layer: Layer) -> Value:
    x, like = layer.input(), layer.input(1)
    own, other = (layer.integers(key, ()) for key in ("lhs_axes", "rhs_axes"))
    if not own and not other:
        return _broadcast(x, dims(like))
    shape = list(dims(x))
    for axis, source in zip(own, other, strict=True):
        shape[axis_of(axis, len(shape))] = dims(like)[axis_of(source, len(dims(like)))]
    return _broadcast(x, shape)
