"""Recurrent cells, sequences and loops."""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset4, opset5

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Array, Value, axis_of
from saccade.formats.legacy_ir.table import LAYERS, Layer

_ACTIVATIONS = ("sigmoid", "tanh", "relu")
_KINDS = {"LSTM": (4, ("sigmoid", "tanh", "tanh")), "GRU": (3, ("sigmoid", "tanh")), "RNN": (1, ("tanh",))}


class _Cell:
    """Attributes and weights of a recurrent cell; W and R lie side by side in each row of `weights`.

    Gates are f, i, c, o (LSTM) and z, r, h (GRU), the order that OpenVINO has kept.
    """

    def __init__(self, layer: Layer, kind: str) -> None:
        gates, default = _KINDS[kind]
        self.hidden, width = layer.integer("hidden_size", least=1), layer.dims()[-1]
        names = layer.text("activations", ",".join(default)).lower().replace(" ", "").split(",")
        if len(names) != len(default) or any(n not in _ACTIVATIONS for n in names):
            raise UnsupportedError(f"has activations {names[:4]}; expected {len(default)} of {', '.join(_ACTIVATIONS)}")
        if any(f"activations_{key}" in layer for key in ("alpha", "alphas", "beta", "betas")):
            raise UnsupportedError("has parameters for its activations; expected none")
        self.options = {"activations": names, "clip": layer.number("clip", 0.0)}
        self.linear_before_reset = kind == "GRU" and layer.boolean("linear_before_reset", False)
        weights = layer.weights("weights", gates * self.hidden, width + self.hidden)
        layer.made(weights.size)  # its two halves are not contiguous, and are copied
        count = (gates + self.linear_before_reset) * self.hidden
        biases = layer.maybe_weights("biases", count)
        self.w: Array = weights[:, :width]
        self.r: Array = weights[:, width:]
        self.b: Array = np.zeros(count, weights.dtype) if biases is None else biases
        if kind == "GRU":
            self.options["linear_before_reset"] = self.linear_before_reset


def _state(layer: Layer, index: int, hidden: int) -> Value:
    """Return an initial state (N, hidden), of zeros where the file has none."""
    if index < len(layer.inputs):
        return layer.input(index)
    return layers.constant(np.zeros((_batch(layer), hidden), np.float32))


def _batch(layer: Layer) -> int:
    dims = layer.dims()
    return dims[0] if len(dims) == 2 or layer.integer("axis", 1) == 1 else dims[1]


@LAYERS.builds("LSTMCell")
def lstm_cell(layer: Layer) -> list[Value]:
    cell = _Cell(layer, "LSTM")
    y = opset4.lstm_cell(
        layer.input(), _state(layer, 1, cell.hidden), _state(layer, 2, cell.hidden), layers.constant(cell.w),
        layers.constant(cell.r), layers.constant(cell.b), cell.hidden, **cell.options,
    )  # fmt: skip
    return list(y.outputs())


@LAYERS.builds("GRUCell")
def gru_cell(layer: Layer) -> list[Value]:
    cell = _Cell(layer, "GRU")
    y = opset4.gru_cell(
        layer.input(), _state(layer, 1, cell.hidden), layers.constant(cell.w), layers.constant(cell.r),
        layers.constant(cell.b), cell.hidden, **cell.options,
    )  # fmt: skip
    return list(y.outputs())


@LAYERS.builds("RNNCell")
def rnn_cell(layer: Layer) -> list[Value]:
    cell = _Cell(layer, "RNN")
    y = opset4.rnn_cell(
        layer.input(), _state(layer, 1, cell.hidden), layers.constant(cell.w), layers.constant(cell.r),
        layers.constant(cell.b), cell.hidden, activations_alpha=[], activations_beta=[], **cell.options,
    )  # fmt: skip
    return list(y.outputs())


def _sequence(layer: Layer, kind: str, lengths_at: int) -> list[Value]:
    """X (N, T, D), or (T, N, D) with axis 0 -> Y, and the last states (N, hidden)."""
    if len(layer.dims()) != 3:
        raise ModelError(f"gets shape {list(layer.dims())}; expected batch, time and features")
    cell = _Cell(layer, kind)
    axis = layer.integer("axis", 1, least=0)
    direction = layer.choice("direction", ("forward", "backward"), "forward")
    x = layer.input() if axis == 1 else layers.transpose(layer.input(), (1, 0, 2))
    batch, steps = layers.dims(x)[:2]
    states = [
        layers.reshape(_state(layer, i, cell.hidden), (batch, 1, cell.hidden))
        for i in range(1, 3 if kind == "LSTM" else 2)
    ]
    if len(layer.inputs) > lengths_at:
        lengths = ov.opset8.convert(layers.reshape(layer.input(lengths_at), (batch,)), "i32").output(0)
    else:
        lengths = layers.constant(np.full(batch, steps, np.int32))
    weights = [layers.constant(part[None]) for part in (cell.w, cell.r, cell.b)]
    make = {"LSTM": opset5.lstm_sequence, "GRU": opset5.gru_sequence, "RNN": opset5.rnn_sequence}[kind]
    direction = {"forward": "FORWARD", "backward": "REVERSE"}[direction]
    y = make(x, *states, lengths, *weights, cell.hidden, direction, **cell.options)
    whole, *last = y.outputs()
    whole = layers.reshape(whole, (batch, steps, cell.hidden))
    if axis == 0:
        whole = layers.transpose(whole, (1, 0, 2))
    return [whole, *(layers.reshape(state, (batch, cell.hidden)) for state in last)]


@LAYERS.builds("LSTMSequence")
def lstm_sequence(layer: Layer) -> list[Value]:
    return _sequence(layer, "LSTM", 3)


@LAYERS.builds("GRUSequence")
def gru_sequence(layer: Layer) -> list[Value]:
    return _sequence(layer, "GRU", 2)


@LAYERS.builds("RNNSequence")
def rnn_sequence(layer: Layer) -> list[Value]:
    return _sequence(layer, "RNN", 2)


@LAYERS.builds("TensorIterator")
def tensor_iterator(layer: Layer) -> list[Value]:
    """A loop over slices: the port map says what is cut, carried or constant, back edges what is carried."""
    found = layer.plain.loop
    if found is None or not found.body.layers:
        raise ModelError("has no body; expected the layers of the loop inside")
    operands = {port.id: value for port, value in zip(layer.plain.inputs, layer.inputs, strict=True)}
    carried = {target: source for source, target in found.back_edges}
    feeds: dict[tuple[int, int], Value] = {}
    parameters = []
    for row in found.inputs:
        inside = found.body.layers.get(row.inner[0])
        ports = [] if inside is None else [*inside.inputs, *(inside.outputs if inside.type.lower() == "input" else ())]
        port = next((p for p in ports if p.id == row.inner[1]), None)
        if port is None or row.outer_port not in operands:
            raise ModelError(
                f"maps port {row.outer_port} to port {row.inner[1]} of inner layer {row.inner[0]}, of which one does "
                "not exist; expected ports of the loop and of its body"
            )
        parameter = ov.op.Parameter(operands[row.outer_port].get_element_type(), ov.Shape(list(port.dims)))
        parameters.append(parameter)
        feeds[row.inner] = parameter.output(0)
    inner = layer.context.inside(found.body, feeds)
    wanted = [row.inner for row in found.outputs] + list(carried.values())
    missing = next((end for end in wanted if end not in inner), None)
    if missing is not None or not found.outputs:
        raise ModelError(f"takes {missing} out of its body, which is no output there; expected an inner output")
    iterator = ov.opset1.tensor_iterator()
    results = [ov.opset1.result(inner[end]) for end in dict.fromkeys(wanted)]
    iterator.set_body(ov.Model(results, parameters, layer.plain.name))
    for row, parameter in zip(found.inputs, parameters, strict=True):
        value = operands[row.outer_port]
        if row.axis is not None:
            axis_of(row.axis, len(layers.dims(value)))
            if row.part_size < 1 or row.stride == 0:
                raise ModelError(f"cuts parts of {row.part_size} at stride {row.stride}; expected both to move")
            iterator.set_sliced_input(parameter, value, row.start, row.stride, row.part_size, row.end, row.axis)
        elif row.inner in carried:
            iterator.set_merged_input(parameter, value, inner[carried[row.inner]])
        else:
            iterator.set_invariant_input(parameter, value)
    by_port = {}
    for row in found.outputs:
        body = inner[row.inner]
        by_port[row.outer_port] = (
            iterator.get_iter_value(body, -1)
            if row.axis is None
            else iterator.get_concatenated_slices(body, row.start, row.stride, row.part_size, row.end, row.axis)
        )
    if any(port.id not in by_port for port in layer.plain.outputs):
        raise ModelError("has an output that its port map does not name; expected a row for each")
    iterator.validate_and_infer_types()
    return [by_port[port.id] for port in layer.plain.outputs]
