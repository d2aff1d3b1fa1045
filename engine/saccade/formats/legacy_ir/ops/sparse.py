"""Sparse tensors and embeddings."""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1, opset3, opset4, opset11

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.table import LAYERS, Layer


def _int(x: Value) -> Value:
    return opset1.convert(x, "i32").output(0)


def _segments(layer: Layer) -> tuple[Value, Value]:
    """Return the sums of picked rows per segment, and how many rows each segment has (at least 1)."""
    count = layer.out()[0]
    rows = opset1.gather(layer.input(), _int(layer.input(1)), layers.ints([0])).output(0)
    places = np.arange(count, dtype=np.float32)[:, None]
    ids = layers.reshape(layers.as_float(layer.input(2)), (1, layers.dims(layer.input(2))[0]))
    member = layers.as_float(layers.binary("equal", layers.constant(places), ids))
    flat = layers.reshape(rows, (layers.dims(rows)[0], int(np.prod(layers.dims(rows)[1:]))))
    sums = opset1.matmul(member, flat, False, False).output(0)
    sizes = opset1.maximum(opset1.reduce_sum(member, layers.ints([1]), True), np.float32(1)).output(0)
    return sums, sizes


@LAYERS.builds("SparseSegmentSum")
def sparse_segment_sum(layer: Layer) -> Value:
    return layers.reshape(_segments(layer)[0], layer.out())


@LAYERS.builds("SparseSegmentMean")
def sparse_segment_mean(layer: Layer) -> Value:
    sums, sizes = _segments(layer)
    return layers.reshape(layers.binary("div", sums, sizes), layer.out())


@LAYERS.builds("SparseSegmentSqrtN")
def sparse_segment_sqrt_n(layer: Layer) -> Value:
    sums, sizes = _segments(layer)
    return layers.reshape(layers.binary("div", sums, layers.unary("sqrt", sizes)), layer.out())


@LAYERS.builds("SparseToDense")
def sparse_to_dense(layer: Layer) -> Value:
    """Indices, dense shape (the declared one), values, and optionally what stands elsewhere."""
    default = layers.as_float(layer.input(3)) if len(layer.inputs) > 3 else layers.constant(np.float32(0))
    dense = opset1.broadcast(layers.reshape(default, [1] * len(layer.out())), layers.ints(layer.out()))
    return opset4.scatter_nd_update(dense, _int(layer.input()), layers.as_float(layer.input(2))).output(0)


@LAYERS.builds("ExperimentalSparseWeightedSum")
def sparse_weighted_sum(layer: Layer) -> Value:
    """Weighted sums of a table's rows per output row; an output row without values is the table's default row."""
    count, rows = layer.dims(0)[0], layer.out()[0]
    layer.made(rows)
    places = layers.constant(np.arange(rows, dtype=np.float32)[:, None])
    target = layers.reshape(layers.crop(layers.as_float(layer.input()), (0, 0), (count, 1)), (1, count))
    member = layers.as_float(layers.binary("equal", places, target))
    weighted = member
    if len(layer.inputs) > 5:
        weighted = layers.binary("mul", member, layers.reshape(layer.input(5), (1, count)))
    table = layers.reshape(layer.input(3), (layer.dims(3)[0], math.prod(layer.dims(3)[1:])))
    sums = opset1.matmul(weighted, layers.gather(table, layer.input(1)), False, False).output(0)
    default = layers.gather(table, layers.reshape(layer.input(4), (1,)))
    filled = opset1.reduce_max(member, layers.ints([1]), True)
    return layers.reshape(opset1.select(opset1.convert(filled, "boolean"), sums, default).output(0), layer.out())


@LAYERS.builds("SparseFillEmptyRows")
def sparse_fill_empty_rows(layer: Layer) -> list[Value]:
    """Sorted by row, with a default value in each empty row; (-1, -1) ends the list, zeros follow.

    On the way in, the first index that is outside the dense shape ends the list (the engine's node of that name).
    """
    rows, columns = layer.known_ints(2)[:2]
    count, out = layer.dims(0)[0], layer.out()[0]
    if rows < 1 or layer.dims(0) != (count, 2) or layer.dims(1) != (count,):
        raise ModelError(f"gets {list(layer.dims(0))} indices of {rows} rows; expected n x 2 and n values")
    layer.made(2 * rows + out)
    number = {n: layers.constant(np.float32(n)) for n in (0, 1, rows, columns)}
    indices = layers.as_float(layer.input())
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
    default = opset1.broadcast(layers.reshape(layer.input(3), (1,)), layers.ints((rows,))).output(0)
    zeros = layers.constant(np.zeros(rows, np.float32))
    parts = (keys, layers.concat([column, zeros], 0), layers.concat([layers.as_float(layer.input(1)), default], 0))
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
