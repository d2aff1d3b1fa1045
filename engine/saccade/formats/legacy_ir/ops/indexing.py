"""Layers that choose, count and reduce."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from openvino import Node as OvNode
from openvino import opset1, opset3, opset4, opset5, opset8, opset10

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.layers import Value, axis_of
from saccade.formats.legacy_ir.table import LAYERS, Layer


@LAYERS.builds("ArgMax")
def arg_max(layer: Layer) -> Value:
    """Without an axis each image is flattened, and `out_max_val` puts the values behind the indices."""
    count, values = layer.integer("top_k", 1, least=1), layer.boolean("out_max_val", False)
    x = layer.input()
    if "axis" in layer:
        axis = layer.axis()
        best, indices = layers.top_k(x, count, axis=axis)
        return best if values else layers.as_float(indices)
    batch, flat = layer.dims()[0], math.prod(layer.dims()[1:])
    best, indices = layers.top_k(layers.reshape(x, (batch, flat)), count, axis=1)
    indices = layers.reshape(layers.as_float(indices), (batch, 1, count))
    if values:
        indices = layers.concat([indices, layers.reshape(best, (batch, 1, count))], 1)
    return layer.as_declared(indices)


@LAYERS.builds("TopK")
def top_k(layer: Layer) -> list[Value]:
    axis = layer.axis("axis", -1)
    count = layer.out()[axis] if len(layer.inputs) < 2 else layer.known_ints(1)[0]
    best, indices = layers.top_k(
        layer.input(),
        count,
        axis=axis,
        mode=layer.choice("mode", ("max", "min"), "max"),
        sort=layer.choice("sort", ("value", "index", "none"), "index"),
    )
    return [best, indices][: len(layer.plain.outputs)]


@LAYERS.builds("Gather")
def gather(layer: Layer) -> Value:
    return layers.gather(layer.input(), layer.input(1), layer.axis("axis", 0))


@LAYERS.builds("OneHot")
def one_hot(layer: Layer) -> Value:
    """Depth and both values are attributes; indices may be floats."""
    depth = layer.integer("depth", least=1)
    indices = opset1.convert(layer.input(), "i32")
    on, off = (layers.constant(np.float32(layer.number(n, d))) for n, d in (("on_value", 1.0), ("off_value", 0.0)))
    axis = layer.axis("axis", -1, rank=len(layer.dims()) + 1)
    return opset1.one_hot(indices, layers.constant(np.int64(depth)), on, off, axis).output(0)


@LAYERS.builds("Select")
def select(layer: Layer) -> Value:
    condition = opset1.convert(layer.input(), "boolean")
    values = [layer.input(1), layer.input(2)]
    if values[0].get_element_type() != values[1].get_element_type():
        values = [layers.as_float(v) for v in values]
    return opset1.select(condition, *values).output(0)


@LAYERS.builds("Range")
def arange(layer: Layer) -> Value:
    """Start, limit and step must be known when the file is read; the length is the declared one."""
    start, _, step = (float(layer.known(i).reshape(-1)[0]) for i in range(3))
    count = layer.out()[0]
    layer.made(count)
    whole = layer.known(0).dtype.kind != "f"
    return layers.constant((start + np.arange(count) * step).astype(np.int32 if whole else np.float32))


@LAYERS.builds("Fill")
def fill(layer: Layer) -> Value:
    """Every value of the declared shape is the second operand."""
    value = layers.reshape(layer.input(1), [1] * len(layer.out()))
    return opset1.broadcast(value, layers.ints(layer.out())).output(0)


@LAYERS.builds("Broadcast")
def broadcast(layer: Layer) -> Value:
    rank = len(layer.out())
    if rank < len(layer.dims()):
        raise ModelError(f"makes shape {list(layer.out())} from {list(layer.dims())}; expected as many axes or more")
    value = layers.reshape(layer.input(), [1] * (rank - len(layer.dims())) + list(layer.dims()))
    return opset1.broadcast(value, layers.ints(layer.out())).output(0)


@LAYERS.builds("ReverseSequence")
def reverse_sequence(layer: Layer) -> Value:
    lengths = opset1.convert(layers.reshape(layer.input(1), (math.prod(layer.dims(1)),)), "i32")
    return opset1.reverse_sequence(
        layer.input(), lengths, layer.axis("batch_axis", 0), layer.axis("seq_axis", 1)
    ).output(0)


@LAYERS.builds("Bucketize")
def bucketize(layer: Layer) -> Value:
    return opset3.bucketize(layer.input(), layer.input(1), "i32", layer.boolean("with_right_bound", True)).output(0)


@LAYERS.builds("GatherTree")
def gather_tree(layer: Layer) -> Value:
    values = [layers.as_float(layer.input(i)) for i in range(4)]
    values[3] = layers.reshape(values[3], ())
    return opset1.gather_tree(*values).output(0)


@LAYERS.builds("ScatterUpdate")
def scatter_update(layer: Layer) -> Value:
    indices = opset1.convert(layer.input(1), "i32")
    axis = layer.axis("axis", 0) if len(layer.inputs) < 4 else axis_of(layer.known_ints(3)[0], len(layer.dims()))
    return opset3.scatter_update(layer.input(), indices, layer.input(2), layers.ints([axis])).output(0)


@LAYERS.builds("Unique")
def unique(layer: Layer) -> list[Value]:
    """Distinct values, places of the values among them, counts; padded to the number of values."""
    count = layer.dims()[0]
    if len(layer.dims()) != 1:
        raise ModelError(f"gets shape {list(layer.dims())}; expected one axis")
    found = opset10.unique(layer.input(), None, layer.boolean("sorted", False), "i32", "i32")
    values, inverse, counts = found.output(0), found.output(2), found.output(3)
    tail = opset8.gather(values, layers.ints([-1]), layers.ints([0])).output(0)
    padded = _padded(values, opset1.broadcast(tail, layers.ints([count])).output(0))
    results = [padded]
    if layer.boolean("return_inverse", False):
        results.append(layers.as_float(layers.reshape(inverse, (count,))))
    if layer.boolean("return_counts", False):
        results.append(_padded(layers.as_float(counts), layers.constant(np.zeros(count, np.float32))))
    return results


def _padded(x: Value, padding: Value) -> Value:
    """Return the values of `x`, whose length is known only at run time, and padding up to the length of that."""
    count = layers.dims(padding)[0]
    whole = opset1.concat([x, padding], 0)
    cut = opset8.slice(whole, layers.ints([0]), layers.ints([count]), layers.ints([1]), layers.ints([0]))
    return opset1.reshape(cut, layers.ints(layers.dims(padding)), False).output(0)


@LAYERS.builds("NonMaxSuppression")
def non_max_suppression(layer: Layer) -> Value:
    """Rows image, class, box; the declared number of rows, filled up with -1."""
    limits = [layer.known(i).reshape(-1)[0] if i < len(layer.inputs) else 0 for i in (2, 3, 4)]
    chosen = opset5.non_max_suppression(
        layer.input(),
        layer.input(1),
        layers.constant(np.int64(limits[0])),
        layers.constant(np.float32(limits[1])),
        layers.constant(np.float32(limits[2])),
        None,
        "center" if layer.boolean("center_point_box", False) else "corner",
        layer.boolean("sort_result_descending", True),
        "i32",
    ).output(0)
    return _padded(chosen, layers.constant(np.full(layer.out(), -1, np.int32)))


def _depth_layout(layer: Layer, deep: tuple[int, ...], flat: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    """Return batch, channels of the flat side, height and width of the deep side, and the block size."""
    block = layer.integer("block_size", 1, least=1)
    if len(deep) != 4 or len(flat) != 4 or deep[1] != flat[1] * block**2 or flat[2] != deep[2] * block:
        raise ModelError(f"has blocks of {block} for {list(layer.dims())} -> {list(layer.out())}; expected a match")
    return deep[0], flat[1], deep[2], deep[3], block


@LAYERS.builds("DepthToSpace")
def depth_to_space(layer: Layer) -> Value:
    """As the engine computed it: it took the large side for rows of cells before channels, and ignored `mode`.

    With one channel on that side this is the textbook operation, depth first.
    """
    batch, channels, height, width, block = _depth_layout(layer, layer.dims(), layer.out())
    x = layers.reshape(layer.input(), (batch, channels * block, block, height, width))
    return layers.reshape(layers.transpose(x, (0, 3, 1, 4, 2)), layer.out())


@LAYERS.builds("SpaceToDepth")
def space_to_depth(layer: Layer) -> Value:
    """The inverse of `DepthToSpace`, with the same slip in memory order."""
    batch, channels, height, width, block = _depth_layout(layer, layer.out(), layer.dims())
    x = layers.reshape(layer.input(), (batch, height, channels, block, width, block))
    return layers.reshape(layers.transpose(x, (0, 2, 3, 5, 1, 4)), layer.out())


_REDUCTIONS: dict[str, Callable[..., OvNode]] = {
    "ReduceMean": opset1.reduce_mean, "ReduceSum": opset1.reduce_sum, "ReduceMax": opset1.reduce_max,
    "ReduceMin": opset1.reduce_min, "ReduceProd": opset1.reduce_prod, "ReduceL1": opset4.reduce_l1,
    "ReduceL2": opset4.reduce_l2,
}  # fmt: skip


def _reduction(type_: str, operation: Callable[..., OvNode]) -> None:
    @LAYERS.builds(type_)
    def build(layer: Layer) -> Value:
        return _reduce(layer, operation, layer.input())


def _reduce(layer: Layer, operation: Callable[..., OvNode], x: Value) -> Value:
    rank = len(layer.dims())
    axes = [axis_of(axis, rank) for axis in layer.known_ints(1)]
    return operation(x, layers.ints(axes), layer.boolean("keep_dims", True)).output(0)


for _type, _operation in _REDUCTIONS.items():
    _reduction(_type, _operation)


@LAYERS.builds("ReduceSumSquare")
def reduce_sum_square(layer: Layer) -> Value:
    return _reduce(layer, opset1.reduce_sum, layers.binary("mul", layer.input(), layer.input()))


@LAYERS.builds("ReduceLogSum")
def reduce_log_sum(layer: Layer) -> Value:
    return layers.unary("log", _reduce(layer, opset1.reduce_sum, layer.input()))


@LAYERS.builds("ReduceLogSumExp")
def reduce_log_sum_exp(layer: Layer) -> Value:
    return layers.unary("log", _reduce(layer, opset1.reduce_sum, layers.unary("exp", layer.input())))


@LAYERS.builds("ReduceAnd")
def reduce_and(layer: Layer) -> Value:
    return layers.as_float(_reduce(layer, opset1.reduce_logical_and, _truth(layer)))


@LAYERS.builds("ReduceOr")
def reduce_or(layer: Layer) -> Value:
    return layers.as_float(_reduce(layer, opset1.reduce_logical_or, _truth(layer)))


def _truth(layer: Layer) -> Value:
    return layers.binary("not_equal", layers.as_float(layer.input()), layers.constant(np.float32(0)))
