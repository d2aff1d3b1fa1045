"""State that lives from one inference to the next."""

from __future__ import annotations

import numpy as np
from openvino import opset6

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


@layer("Memory")
def memory(node: Node) -> list[Value]:
    """A pair of layers with one `id`: one reads what the other stored in the inference before, zeros at first."""
    name = node.text("id")
    if node.layer.outputs:
        start = layers.constant(np.zeros(node.out(), np.float32))
        return [opset6.read_value(start, name).output(0)]
    stored = opset6.reshape(node.input(0), layers.ints(node.dims()), False)  # `assign` takes nodes of one output only
    node.graph.sinks.append(opset6.assign(stored, name))
    return []
