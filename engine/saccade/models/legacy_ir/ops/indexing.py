"""Layers that choose, count and reduce."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from openvino import Node as OvNode
from openvino import opset1, opset3, opset4, opset5, opset8, opset10

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


@layer("ArgMax")
def arg_max(node: Node) -> Value:
    """Without an axis each image is flattened, and `out_max_val` puts the values behind the indices."""
    count, values = node.integer("top_k", 1, low=1), node.flag("out_max_val", False)
    x = node.input(0)
    if node.has("axis"):
        axis = node.axis()
        _check_count(node, count, node.dims()[axis])
        best, indices = layers.top_k(x, count, axis=axis)
        return best if values else layers.as_float(indices)
    batch, flat = node.dims()[0], math.prod(node.dims()[1:])
    _check_count(node, count, flat)
    best, indices = layers.top_k(layers.reshape(x, (batch, flat)), count, axis=1)
    indices = layers.reshape(layers.as_float(indices), (batch, 1, count))
    if values:
        indices = layers.concat([indices, layers.reshape(best, (batch, 1, count))], 1)
    return layers.reshape(indices, node.out()) if math.prod(layers.dims(indices)) == math.prod(node.out()) else indices


def _check_count(node: Node, count: int, available: int) -> None:
    if not 1 <= count <= available:
        raise node.fail(f"takes the best {count} of {available} values; expected 1 to {available}")


@layer("TopK")
def top_k(node: Node) -> list[Value]:
    axis = node.axis("axis", -1)
    count = node.out()[axis] if len(node.inputs) < 2 else node.known_ints(1)[0]
    _check_count(node, count, node.dims()[axis])
    best, indices = layers.top_k(
        node.input(0),
        count,
        axis=axis,
        mode=node.choice("mode", ("max", "min"), "max"),
        sort=node.choice("sort", ("value", "index", "none"), "index"),
    )
    return [best, indices][: len(node.layer.outputs)]


@layer("Gather")
def gather(node: Node) -> Value:
    return layers.gather(node.input(0), node.input(1), node.axis("axis", 0))


@layer("OneHot")
def one_hot(node: Node) -> Value:
    """Depth and both values are attributes; indices may be floats."""
    depth = node.integer("depth", low=1)
    indices = opset1.convert(node.input(0), "i32")
    on, off = (layers.constant(np.float32(node.number(n, d))) for n, d in (("on_value", 1.0), ("off_value", 0.0)))
    axis = node.axis("axis", -1, rank=len(node.dims()) + 1)
    return opset1.one_hot(indices, layers.constant(np.int64(depth)), on, off, axis).output(0)


@layer("Select")
def select(node: Node) -> Value:
    condition = opset1.convert(node.input(0), "boolean")
    values = [node.input(1), node.input(2)]
    if values[0].get_element_type() != values[1].get_element_type():
        values = [layers.as_float(v) for v in values]
    return opset1.select(condition, *values).output(0)


@layer("Range")
def arange(node: Node) -> Value:
    """Start, limit and step must be known when the file is read; the length is the declared one."""
    start, _, step = (float(node.known(i).reshape(-1)[0]) for i in range(3))
    count = node.out()[0]
    node.made(count)
    whole = node.known(0).dtype.kind != "f"
    return layers.constant((start + np.arange(count) * step).astype(np.int32 if whole else np.float32))


@layer("Fill")
def fill(node: Node) -> Value:
    """Every value of the declared shape is the second operand."""
    value = layers.reshape(node.input(1), [1] * len(node.out()))
    return opset1.broadcast(value, layers.ints(node.out())).output(0)


@layer("Broadcast")
def broadcast(node: Node) -> Value:
    rank = len(node.out())
    if rank < len(node.dims()):
        raise node.fail(f"makes shape {list(node.out())} from {list(node.dims())}; expected as many axes or more")
    value = layers.reshape(node.input(0), [1] * (rank - len(node.dims())) + list(node.dims()))
    return opset1.broadcast(value, layers.ints(node.out())).output(0)


@layer("ReverseSequence")
def reverse_sequence(node: Node) -> Value:
    lengths = opset1.convert(layers.reshape(node.input(1), (math.prod(node.dims(1)),)), "i32")
    return opset1.reverse_sequence(node.input(0), lengths, node.axis("batch_axis", 0), node.axis("seq_axis", 1)).output(
        0
    )


@layer("Bucketize")
def bucketize(node: Node) -> Value:
    return opset3.bucketize(node.input(0), node.input(1), "i32", node.flag("with_right_bound", True)).output(0)


@layer("GatherTree")
def gather_tree(node: Node) -> Value:
    values = [layers.as_float(node.input(i)) for i in range(4)]
    values[3] = layers.reshape(values[3], ())
    return opset1.gather_tree(*values).output(0)


@layer("ScatterUpdate")
def scatter_update(node: Node) -> Value:
    indices = opset1.convert(node.input(1), "i32")
    axis = node.axis("axis", 0) if len(node.inputs) < 4 else node.check_axis(node.known_ints(3)[0], len(node.dims()))
    return opset3.scatter_update(node.input(0), indices, node.input(2), layers.ints([axis])).output(0)


@layer("Unique")
def unique(node: Node) -> list[Value]:
    """Distinct values, places of the values among them, counts; padded to the number of values."""
    count = node.dims()[0]
    if len(node.dims()) != 1:
        raise node.fail(f"gets shape {list(node.dims())}; expected one axis")
    found = opset10.unique(node.input(0), None, node.flag("sorted", False), "i32", "i32")
    values, inverse, counts = found.output(0), found.output(2), found.output(3)
    tail = opset8.gather(values, layers.ints([-1]), layers.ints([0])).output(0)
    padded = _padded(values, opset1.broadcast(tail, layers.ints([count])).output(0))
    results = [padded]
    if node.flag("return_inverse", False):
        results.append(layers.as_float(layers.reshape(inverse, (count,))))
    if node.flag("return_counts", False):
        results.append(_padded(layers.as_float(counts), layers.constant(np.zeros(count, np.float32))))
    return results


def _padded(x: Value, padding: Value) -> Value:
    """Return the values of `x`, whose length is known only at run time, and padding up to the length of that."""
    count = layers.dims(padding)[0]
    whole = opset1.concat([x, padding], 0)
    cut = opset8.slice(whole, layers.ints([0]), layers.ints([count]), layers.ints([1]), layers.ints([0]))
    return opset1.reshape(cut, layers.ints(layers.dims(padding)), False).output(0)


@layer("NonMaxSuppression")
def non_max_suppression(node: Node) -> Value:
    """Rows image, class, box; the declared number of rows, filled up with -1."""
    limits = [node.known(i).reshape(-1)[0] if i < len(node.inputs) else 0 for i in (2, 3, 4)]
    chosen = opset5.non_max_suppression(
        node.input(0),
        node.input(1),
        layers.constant(np.int64(limits[0])),
        layers.constant(np.float32(limits[1])),
        layers.constant(np.float32(limits[2])),
        None,
        "center" if node.flag("center_point_box", False) else "corner",
        node.flag("sort_result_descending", True),
        "i32",
    ).output(0)
    return _padded(chosen, layers.constant(np.full(node.out(), -1, np.int32)))


def _depth_layout(node: Node, deep: tuple[int, ...], flat: tuple[int, ...]) -> tuple[int, int, int, int, int]:
    """Return batch, channels of the flat side, height and width of the deep side, and the block size."""
    block = node.integer("block_size", 1, low=1)
    if len(deep) != 4 or len(flat) != 4 or deep[1] != flat[1] * block**2 or flat[2] != deep[2] * block:
        raise node.fail(f"has blocks of {block} for {list(node.dims())} -> {list(node.out())}; expected a match")
    return deep[0], flat[1], deep[2], deep[3], block


@layer("DepthToSpace")
def depth_to_space(node: Node) -> Value:
    """As the engine computed it: it took the large side for rows of cells before channels, and ignored `mode`.

    With one channel on that side this is the textbook operation, depth first.
    """
    batch, channels, height, width, block = _depth_layout(node, node.dims(), node.out())
    x = layers.reshape(node.input(0), (batch, channels * block, block, height, width))
    return layers.reshape(layers.transpose(x, (0, 3, 1, 4, 2)), node.out())


@layer("SpaceToDepth")
def space_to_depth(node: Node) -> Value:
    """The inverse of `DepthToSpace`, with the same slip in memory order."""
    batch, channels, height, width, block = _depth_layout(node, node.out(), node.dims())
    x = layers.reshape(node.input(0), (batch, height, channels, block, width, block))
    return layers.reshape(layers.transpose(x, (0, 2, 3, 5, 1, 4)), node.out())


_REDUCTIONS: dict[str, Callable[..., OvNode]] = {
    "ReduceMean": opset1.reduce_mean, "ReduceSum": opset1.reduce_sum, "ReduceMax": opset1.reduce_max,
    "ReduceMin": opset1.reduce_min, "ReduceProd": opset1.reduce_prod, "ReduceL1": opset4.reduce_l1,
    "ReduceL2": opset4.reduce_l2,
}  # fmt: skip


def _reduction(type_: str, operation: Callable[..., OvNode]) -> None:
    @layer(type_)
    def build(node: Node) -> Value:
        return _reduce(node, operation, node.input(0))


def _reduce(node: Node, operation: Callable[..., OvNode], x: Value) -> Value:
    rank = len(node.dims())
    axes = [node.check_axis(axis, rank) for axis in node.known_ints(1)]
    return operation(x, layers.ints(axes), node.flag("keep_dims", True)).output(0)


for _type, _operation in _REDUCTIONS.items():
    _reduction(_type, _operation)


@layer("ReduceSumSquare")
def reduce_sum_square(node: Node) -> Value:
    return _reduce(node, opset1.reduce_sum, layers.binary("mul", node.input(0), node.input(0)))


@layer("ReduceLogSum")
def reduce_log_sum(node: Node) -> Value:
    return layers.unary("log", _reduce(node, opset1.reduce_sum, node.input(0)))


@layer("ReduceLogSumExp")
def reduce_log_sum_exp(node: Node) -> Value:
    return layers.unary("log", _reduce(node, opset1.reduce_sum, layers.unary("exp", node.input(0))))


@layer("ReduceAnd")
def reduce_and(node: Node) -> Value:
    return layers.as_float(_reduce(node, opset1.reduce_logical_and, _truth(node)))


@layer("ReduceOr")
def reduce_or(node: Node) -> Value:
    return layers.as_float(_reduce(node, opset1.reduce_logical_or, _truth(node)))


def _truth(node: Node) -> Value:
    return layers.binary("not_equal", layers.as_float(node.input(0)), layers.constant(np.float32(0)))
