"""A symbol on its way to an `ov.Model`: a value for each output of each node, weights as arrays until they are used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset1
from openvino.passes import ConstantFolding, Manager

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import importing, layers
from saccade.formats.importing import LayerTable
from saccade.formats.layers import Array, Value, dims
from saccade.formats.mxnet.symbol import Node, Symbol


@dataclass(frozen=True, slots=True)
class Options:
    """force_suppress : obey the attribute of that name of MultiBoxDetection."""

    force_suppress: bool = False


class GraphBuilder:
    """The graph while it is built: a value for each output of each node."""

    def __init__(
        self, symbol: Symbol, weights: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], options: Options
    ) -> None:
        self._symbol = symbol
        self._weights = weights
        self._values: dict[int, list[Value]] = {}
        self._names = set(shapes)
        self.parameters: list[ov.op.Parameter] = []
        self.options = options
        for index in symbol.needed():
            node = symbol.nodes[index]
            if node.op == "null" and node.name in shapes:
                layers.check_size(shapes[node.name], f"input {node.name}")
                parameter = layers.parameter(node.name, shapes[node.name])
                self.parameters.append(parameter)
                self._values[index] = [parameter.output(0)]

    def build(self, index: int) -> None:
        """Make the values of a node whose inputs are there; variables wait until somebody asks for them."""
        node = self._symbol.nodes[index]
        if node.op == "null":
            return
        values = importing.build(Layer(node, self), LAYERS[node.op])
        made = values[0].get_node().get_friendly_name() == node.name
        if len(values) == 1 and made and node.name not in self._names:  # so that it can be made an output by name
            self._names.add(node.name)
            values[0].get_tensor().set_names({node.name})
        self._values[index] = values

    def value(self, reference: tuple[int, int]) -> Value:
        """Value of a node's output."""
        index, output = reference
        if index not in self._values:
            self._values[index] = [layers.constant(self._weight(index))]
        values = self._values[index]
        if output >= len(values):
            node = self._symbol.nodes[index]
            raise UnsupportedError(f"output {output} of {node} is not there at inference")
        return values[output]

    def made(self, reference: tuple[int, int]) -> Value | None:
        """As `value`, but None where nobody has asked for it yet."""
        values = self._values.get(reference[0], [])
        return values[reference[1]] if reference[1] < len(values) else None

    def array(self, reference: tuple[int, int]) -> Array:
        """Numbers of a weight, also of one that the graph computes from other weights."""
        index, _ = reference
        if index not in self._values:
            return self._weight(index)
        return _folded(self.value(reference))

    def _weight(self, index: int) -> Array:
        node = self._symbol.nodes[index]
        array = self._weights[node.name]
        if not array.size:
            raise ModelError(f"parameter {node.name} is empty")
        return array if array.dtype in (np.float32, np.float16) else array.astype(np.float32)


class _Operands(Sequence[Value]):
    """What a node reads; a weight becomes a value when it is asked for as one."""

    def __init__(self, node: Node, graph: GraphBuilder) -> None:
        self._references = node.inputs
        self._graph = graph

    def __len__(self) -> int:
        return len(self._references)

    def __getitem__(self, index: Any) -> Any:
        return self._graph.value(self._references[index])


class Layer(importing.Layer):
    """One operator with what it works on; `options` is what the caller asked for."""

    __slots__ = ("_graph", "_node", "options")

    def __init__(self, node: Node, graph: GraphBuilder) -> None:
        super().__init__(node.op, node.name, node.attributes, _Operands(node, graph))
        self._node = node
        self._graph = graph
        self.options = graph.options

    def built(self) -> list[Value]:
        """The operands that are in the graph by now."""
        return [value for value in map(self._graph.made, self._node.inputs) if value is not None]

    def weights(self, slot: int, *shape: int) -> Array:
        """An operand that must be a weight of that shape, float32 or float16; without a shape, as it is."""
        if slot >= len(self):
            raise ModelError(f"has {len(self)} inputs; expected at least {slot + 1}")
        array = self._graph.array(self._node.inputs[slot])
        return importing.fitted(array, shape, exact=True) if shape else array

    def optional_integers(self, key: str) -> tuple[int | None, ...]:
        """Whole numbers or None in a tuple, as `slice` has its ends: `(None, 0, 3)`."""
        words = [word.strip().rstrip("L") for word in self.text(key, "").strip(" ()[]").split(",")]
        if not all(word == "None" or re.fullmatch(r"[-+]?\d{1,18}", word) for word in words if word):
            raise self.error(key, "whole numbers or None in brackets")
        return tuple(None if word == "None" else int(word) for word in words if word)


LAYERS: LayerTable[Layer] = LayerTable()

_FIRST_WEIGHT = {
    "Convolution": 1, "Deconvolution": 1, "FullyConnected": 1, "BatchNorm": 1, "InstanceNorm": 1, "LayerNorm": 1,
    "Embedding": 1, "LeakyReLU": 1,
}  # fmt: skip


def is_weight(node: Node, slot: int) -> bool:
    """True where an operand can only be a weight, never data."""
    if node.op == "UpSampling" and node.attributes.get("sample_type") == "bilinear":
        return slot == 1
    return slot >= _FIRST_WEIGHT.get(node.op, 1 << 30)


def _folded(value: Value) -> Array:
    """Numbers of a value that depends on constants only."""
    if value.get_node().get_type_name() != "Constant":
        try:
            model = ov.Model([opset1.result(value)], [], "weights")
        except RuntimeError as error:
            raise UnsupportedError("has weights that are computed from the input") from error
        manager = Manager()
        manager.register_pass(ConstantFolding())
        manager.run_passes(model)
        value = model.get_results()[0].input_value(0)
        if value.get_node().get_type_name() != "Constant":
            raise UnsupportedError("has weights that are computed in a way that cannot be done beforehand")
    return np.asarray(value.get_node().data, np.float32).reshape(dims(value))


def scalar(value: float) -> Value:
    """One number, without axes."""
    return layers.constant(np.float32(value))


def index_of(value: Value, size: int) -> Value:
    """Floats that are indices, as whole numbers within [0, size)."""
    return opset1.convert(layers.clamp(value, 0, size - 1), "i32").output(0)
