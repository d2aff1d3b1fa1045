"""What the graph of a network says of its inputs and outputs: types, shapes, the layers that make them, and notes of
importers where its end does not show what they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import openvino as ov

from saccade.errors import ModelError
from saccade.formats import quantised
from saccade.formats.shapes import port_name
from saccade.networks.network import Port

T = TypeVar("T")


def input_port(port: Any, network: ov.Model, compiled: Any) -> Port:
    """An input as `Model.inputs` has it."""
    name = port_name(port)
    quantisation = noted(network, ["saccade", "quantisation", name], _quantisation)
    if quantisation is None:
        quantisation = quantised.of_input(port)
    return Port(name, _shape(compiled), _dtype(compiled), quantisation=quantisation)


def output_port(name: str, port: Any, network: ov.Model, compiled: Any, maker: Any) -> Port:
    """An output as `Model.outputs` has it; maker : see `maker_of`."""
    kind = maker.get_type_name()
    attributes = dict(maker.get_attributes()) if kind in _TELLING else {}
    # Importers say so where the graph's end does not show it.
    attributes |= noted(network, ["saccade", "output", name], lambda text: dict(json.loads(text))) or {}
    after = _layers_after_weights(port)
    facts = MappingProxyType(attributes)
    return Port(name, _shape(compiled), _dtype(compiled), kind, facts, after, integer=_is_integer(port))


def noted(network: ov.Model, path: list[str], read: Callable[[str], T]) -> T | None:
    """What an importer has noted in the model; a file may say anything there. None where nothing is noted."""
    if not network.has_rt_info(path):
        return None
    text = str(network.get_rt_info(path).value)
    try:
        return read(text)
    except (ValueError, TypeError, RecursionError):
        raise ModelError(
            f"{network.friendly_name}: rt_info {'/'.join(path)[:80]} is {text[:80]!r}, which no importer writes; "
            "convert the model again, or take it out"
        ) from None


def _quantisation(text: str) -> quantised.Quantisation:
    scale, zero_point = text.split()
    return quantised.Quantisation(float(scale), int(zero_point))


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(d.get_length() if d.is_static else -1 for d in port.partial_shape)


def _dtype(port: Any) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(port.element_type.to_dtype())
    return dtype


_TELLING = frozenset({"RegionYolo", "DetectionOutput"})
"""Layers whose attributes say what their numbers mean."""

_WEIGHTED = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
)

_MOST_LAYERS = 500
"""Layers that are looked at behind an output: heads have some dozens."""

_RESHAPING = {"Result", "Reshape", "Squeeze", "Unsqueeze", "Convert", "Transpose", "FakeQuantize"}


def maker_of(output: Any) -> Any:
    """The node that computes an output of an `ov.Model`, reshaping and storing in integers apart."""
    node = output.node
    while True:
        stored = _stored(node)
        if stored is not None:
            node = stored
        elif node.get_type_name() in _RESHAPING and node.get_input_size():
            node = node.input_value(0).node
        else:
            return node


def _stored(node: Any) -> Any:
    """The integers that a node makes real numbers of, (stored - zero_point) * scale; None where it does not."""
    for kind in ("Multiply", "Subtract"):
        if node.get_type_name() == kind and node.input_value(1).node.get_type_name() == "Constant":
            node = node.input_value(0).node
    if node.get_type_name() == "Convert" and node.get_element_type().is_real():
        source = node.input_value(0)
        return source.node if source.get_element_type().is_integral() else None
    return None


def _is_integer(output: Any) -> bool:
    """Whether the numbers of an output were whole ones before they were converted and reshaped."""
    value = output.node.input_value(0)
    while not value.element_type.is_integral() and value.node.get_type_name() in _RESHAPING:
        if not value.node.get_input_size():
            return False
        value = value.node.input_value(0)
    return bool(value.element_type.is_integral())


def _layers_after_weights(output: Any) -> frozenset[str]:
    """Types of all layers between an output and the last layers that have weights, those included."""
    kinds: set[str] = set()
    seen: set[str] = set()
    ahead = [output.node]
    while ahead and len(seen) < _MOST_LAYERS:
        node = ahead.pop()
        if node.friendly_name in seen:
            continue
        seen.add(node.friendly_name)
        kind = node.get_type_name()
        kinds.add(kind)
        if kind not in _WEIGHTED:
            ahead.extend(node.input_value(i).node for i in range(node.get_input_size()))
    return frozenset(kinds - {"Result", "Constant", "Parameter"})


def label_base(node: Any) -> int:
    """First label of a detector: 1 where label 0 is the background and the network does not count it out."""
    if node.get_type_name() != "DetectionOutput":
        return 0
    attributes = node.get_attributes()
    return int(attributes.get("background_label_id", 0) == 0 and not attributes.get("decrease_label_id", False))
