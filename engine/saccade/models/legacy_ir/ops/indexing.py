"""Layers that choose, count and reduce."""

from __future__ import annotations

import math
from collections.abc import Callable

from openvino import Node as OvNode
from openvino import opset1, opset4

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
