"""Sparse tensors and embeddings."""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1, opset3, opset4, opset11

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


def _int(x: Value) -> Value:
    return opset1.convert(x, "i32").output(0)


def _segments(node: Node) -> tuple[Value, Value]:
    """Return the sums of picked rows per segment, and how many rows each segment has (at least 1)."""
    count = node.out()[0]
    rows = opset1.gather(node.input(0), _int(node.input(1)), layers.ints([0])).output(0)
    places = np.arange(count, dtype=np.float32)[:, None]
    ids = layers.reshape(layers.as_float(node.input(2)), (1, layers.dims(node.input(2))[0]))
    member = layers.as_float(layers.binary("equal", layers.constant(places), ids))
    flat = layers.reshape(rows, (layers.dims(rows)[0], int(np.prod(layers.dims(rows)[1:]))))
    sums = opset1.matmul(member, flat, False, False).output(0)
    sizes = opset1.maximum(opset1.reduce_sum(member, layers.ints([1]), True), np.float32(1)).output(0)
    return sums, sizes


@layer("SparseSegmentSum")
def sparse_segment_sum(node: Node) -> Value:
    return layers.reshape(_segments(node)[0], node.out())


@layer("SparseSegmentMean")
def sparse_segment_mean(node: Node) -> Value:
    sums, sizes = _segments(node)
    return layers.reshape(layers.binary("div", sums, sizes), node.out())


@layer("SparseSegmentSqrtN")
def sparse_segment_sqrt_n(node: Node) -> Value:
    sums, sizes = _segments(node)
    return layers.reshape(layers.binary("div", sums, layers.unary("sqrt", sizes)), node.out())


@layer("SparseToDense")
def sparse_to_dense(node: Node) -> Value:
    """Indices, dense shape (the declared one), values, and optionally what stands elsewhere."""
    default = layers.as_float(node.input(3)) if len(node.inputs) > 3 else layers.constant(np.float32(0))
    dense = opset1.broadcast(layers.reshape(default, [1] * len(node.out())), layers.ints(node.out()))
    return opset4.scatter_nd_update(dense, _int(node.input(0)), layers.as_float(node.input(2))).output(0)


@layer("ExperimentalSparseWeightedSum")
def sparse_weighted_sum(node: Node) -> Value:
    """Weighted sums of a table's rows per output row; an output row without values is the table's default row."""
    count, rows = node.dims(0)[0], node.out()[0]
    node.made(rows)
    places = layers.constant(np.arange(rows, dtype=np.float32)[:, None])
    target = layers.reshape(layers.crop(layers.as_float(node.input(0)), (0, 0), (count, 1)), (1, count))
    member = layers.as_float(layers.binary("equal", places, target))
    weighted = member
    if len(node.inputs) > 5:
        weighted = layers.binary("mul", member, layers.reshape(node.input(5), (1, count)))
    table = layers.reshape(node.input(3), (node.dims(3)[0], math.prod(node.dims(3)[1:])))
    sums = opset1.matmul(weighted, layers.gather(table, node.input(1)), False, False).output(0)
    default = layers.gather(table, layers.reshape(node.input(4), (1,)))
    filled = opset1.reduce_max(member, layers.ints([1]), True)
    return layers.reshape(opset1.select(opset1.convert(filled, "boolean"), sums, default).output(0), node.out())


@layer("SparseFillEmptyRows")
def sparse_fill_empty_rows(node: Node) -> list[Value]:
    """Sorted by row, with a default value in each empty row; (-1, -1) ends the list, zeros follow.

    On the way in, the first index that is outside the dense shape ends the list (the engine's node of that name).
    """
    rows, columns = node.known_ints(2)[:2]
    count, out = node.dims(0)[0], node.out()[0]
    if rows < 1 or node.dims(0) != (count, 2) or node.dims(1) != (count,):
        raise node.fail(f"gets {list(node.dims(0))} indices of {rows} rows; expected n x 2 and n values")
    node.made(2 * rows + out)
    number = {n: layers.constant(np.float32(n)) for n in (0, 1, rows, columns)}
    indices = layers.as_float(node.input(0))
    row, column = (layers.reshape(part, (count,)) for part in layers.split(indices, 1, (1, 1)))
    inside = [
        layers.as_float(layers.binary(how, part, number[limit]))
        for part, high in ((row, rows), (column, columns))
        for how, limit in (("greater_equal", 0), ("less", high))
    ]
    outside = layers.binary("sub", number[1], layers.binary("mul", *inside))
    listed = layers.binary("equal", opset3.cum_sum(outside, layers.constant(np.int64(0))).output(0), number[0])
    key = opset1.select(listed, row, number[rows]).output(0)
    all_rows = layers.constant(np.arange(rows, dtype=np.float32))
    there = layers.binary("equal", layers.reshape(all_rows, (rows, 1)), layers.reshape(key, (1, count)))
    empty = layers.binary(
        "sub", number[1], opset1.reduce_max(layers.as_float(there), layers.ints([1]), False).output(0)
    )
    fill_key = opset1.select(opset1.convert(empty, "boolean"), all_rows, number[rows]).output(0)
    keys = layers.concat([key, fill_key], 0)
    order = opset11.topk(
        keys, layers.constant(np.int64(rows + count)), 0, "min", "value", index_element_type="i32", stable=True
    ).output(1)
    default = opset1.broadcast(layers.reshape(node.input(3), (1,)), layers.ints((rows,))).output(0)
    zeros = layers.constant(np.zeros(rows, np.float32))
    parts = (keys, layers.concat([column, zeros], 0), layers.concat([layers.as_float(node.input(1)), default], 0))
    key, column, value = (
        _resized(layers.gather(part, order), out, fill) for part, fill in zip(parts, (rows, 0, 0), strict=True)
    )
    real = layers.as_float(layers.binary("less", key, number[rows]))
    total = opset1.reduce_sum(real, layers.ints([0]), True).output(0)
    end = layers.as_float(layers.binary("equal", layers.constant(np.arange(out, dtype=np.float32)), total))
    pairs = [
        layers.reshape(layers.binary("sub", layers.binary("mul", part, real), end), (out, 1)) for part in (key, column)
    ]
    return [layers.concat(pairs, 1), layers.binary("mul", value, real), layers.reshape(empty, (rows,))]


def _resized(x: Value, count: int, fill: float) -> Value:
    """Cut or lengthen a vector."""
    have = layers.dims(x)[0]
    if have >= count:
        return layers.crop(x, (0,), (count,))
    return layers.pad(x, (0,), (count - have,), value=float(fill))
