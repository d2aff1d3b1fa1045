"""State that lives from one inference to the next."""

from __future__ import annotations

import numpy as np
from openvino import opset6

from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.table import LAYERS, Layer


@LAYERS.builds("Memory")
def memory(layer: Layer) -> list[Value]:
    """A pair of layers with one `id`: one reads what the other stored in the inference before, zeros at first."""
    name = layer.text("id")
    if layer.plain.outputs:
        start = layers.constant(np.zeros(layer.out(), np.float32))
        return [opset6.read_value(start, name).output(0)]
    stored = opset6.reshape(layer.input(), layers.ints(layer.dims()), False)  # `assign` takes nodes of one output only
    layer.context.sinks.append(opset6.assign(stored, name))
    return []
