"""Sparse tensors and embeddings."""

from __future__ import annotations

import numpy as np
from openvino import opset1, opset4

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
