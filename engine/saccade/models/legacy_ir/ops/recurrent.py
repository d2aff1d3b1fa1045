"""Recurrent cells and loops."""

from __future__ import annotations

from openvino import opset4

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


@layer("LSTMCell")
def lstm_cell(node: Node) -> list[Value]:
    """Weights hold W and R side by side; gates f, i, c, o."""
    hidden, width = node.integer("hidden_size", low=1), node.dims()[-1]
    weights = node.blob("weights", 4 * hidden, width + hidden)
    biases = node.blob("biases", 4 * hidden)
    cell = opset4.lstm_cell(
        node.input(0),
        node.input(1),
        node.input(2),
        layers.constant(weights[:, :width]),
        layers.constant(weights[:, width:]),
        layers.constant(biases),
        hidden,
    )
    return list(cell.outputs())
