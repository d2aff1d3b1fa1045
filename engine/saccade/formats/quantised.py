"""What the integers of an ONNX file's ports stand for: the graph says so, where it ends in QuantizeLinear or begins
with DequantizeLinear.

OpenVINO's reader makes a FakeQuantize and a Convert of the one, Convert, Subtract (of an integer) and Multiply of the
other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Quantisation(NamedTuple):
    """real = (stored - zero_point) * scale."""

    scale: float
    zero_point: int


_LIMITS = {"u8": (0, 255), "i8": (-128, 127)}


def of_output(port: Any) -> Quantisation | None:
    """Of an `ov.Model`'s output of integers; None where they are no quantised real numbers.

    port : the output. One scale for all channels only.
    """
    convert = port.node.input_value(0).node
    limits = _LIMITS.get(port.element_type.get_type_name())
    if convert.get_type_name() != "Convert" or limits is None:
        return None
    quantise = convert.input_value(0).node
    if quantise.get_type_name() != "FakeQuantize":
        return None
    bounds = [_number(quantise.input_value(i).node) for i in range(1, 5)]
    low, high = bounds[:2]
    if low is None or high is None or not high > low or tuple(bounds[2:]) != limits:
        return None
    scale = (high - low) / (limits[1] - limits[0])
    return Quantisation(scale, round(limits[0] - low / scale))


def of_input(port: Any) -> Quantisation | None:
    """Of an `ov.Model`'s input of bytes; None where they are no quantised real numbers."""
    if not port.element_type.is_integral():
        return None
    subtract = _only_reader(_only_reader(port.node, "Convert"), "Subtract")
    multiply = _only_reader(subtract, "Multiply")
    if multiply is None:
        return None
    zero = subtract.input_value(1).node
    if zero.get_type_name() != "Convert" or not zero.input_value(0).element_type.is_integral():
        return None  # a mean
    zero_point, scale = _number(zero.input_value(0).node), _number(multiply.input_value(1).node)
    return Quantisation(scale, int(zero_point)) if zero_point is not None and scale is not None and scale > 0 else None


def _only_reader(node: Any, kind: str) -> Any:
    """The one node that reads a node's output, if it is of that kind."""
    readers = [] if node is None else [reader.get_node() for reader in node.output(0).get_target_inputs()]
    return readers[0] if len(readers) == 1 and readers[0].get_type_name() == kind else None


def _number(node: Any) -> float | None:
    """The value of a constant that has just one, however often."""
    if node.get_type_name() != "Constant":
        return None
    values = np.unique(node.data)
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) else None
