"""A graph's inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence

import openvino as ov
from openvino import opset13

from saccade.formats.layers.values import Ints, Value, dims, ints


def parameter(name: str, shape: Ints, dtype: ov.Type = ov.Type.f32) -> ov.op.Parameter:
    """Return a network input of that name."""
    node = ov.op.Parameter(dtype, ov.Shape(list(shape)))
    node.set_friendly_name(name)
    node.output(0).get_tensor().set_names({name})
    return node


def model(
    outputs: Sequence[tuple[str, Value]],
    parameters: Sequence[ov.op.Parameter],
    name: str,
    sinks: Sequence[ov.Node] = (),
) -> ov.Model:
    """Wrap up a graph; each output carries its given name, also where one value is several outputs."""
    results = []
    taken: set[tuple[str, int]] = set()
    for label, value in outputs:
        key = (value.get_node().get_name(), value.get_index())
        if key in taken or isinstance(value.get_node(), ov.op.Parameter):
            # a tensor can be known by one output name only: give the second output a tensor of its own
            value = opset13.reshape(value, ints(dims(value)), False).output(0)
        key = (value.get_node().get_name(), value.get_index())
        taken.add(key)
        value.get_tensor().set_names({label})
        result = opset13.result(value)
        result.set_friendly_name(label)
        results.append(result)
    if sinks:
        return ov.Model(results, list(sinks), list(parameters), name)
    return ov.Model(results, list(parameters), name)
