"""The network of a TFLite file as plain data, checked as far as saccade reads it.

Source: TensorFlow's `lite/schema/schema.fbs`; the numbers of fields below are its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.tflite.flatbuffer import Buffer, FlatBufferTable, root
from saccade.formats.tflite.operators import is_known, operator_name

CONV_2D, DEPTHWISE_CONV_2D, EMBEDDING_LOOKUP, FULLY_CONNECTED, CUSTOM = 3, 4, 7, 9, 32
"""Some of the schema's BuiltinOperator."""

_MOST_OUTPUTS = {
    "BIDIRECTIONAL_SEQUENCE_LSTM": 2, "BIDIRECTIONAL_SEQUENCE_RNN": 2, "NON_MAX_SUPPRESSION_V4": 2,
    "NON_MAX_SUPPRESSION_V5": 3, "TOPK_V2": 2, "UNIQUE": 2,
}  # fmt: skip
"""Operators of more than one output."""

_COUNTED = frozenset({"SPLIT", "SPLIT_V", "UNPACK"})
"""Operators whose options begin with the number of their outputs."""

_UNCOUNTED = frozenset({"CALL", "CALL_ONCE", "DELEGATE", "HASHTABLE_LOOKUP", "IF", "LSTM", "RNN", "SVDF", "WHILE"})
"""Operators that stand for others, and those that used to have their state as outputs too."""

FLOAT32, UINT8, INT8 = 0, 3, 9
"""Some of the schema's TensorType."""

_DTYPES: dict[int, np.dtype[Any]] = {
    number: np.dtype(name)
    for number, name in {
        0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 9: "i1", 10: "<f8", 12: "<u8", 15: "<u4",
        16: "<u2",
    }.items()
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor.

    table, quantisation : its tables in the file. type : the schema's TensorType.
    scales, zero_points : real = (stored - zero_point) * scale; one for all, or one for each slice along `axis`; empty:
        the numbers are what they are. buffer : number of its values' buffer; 0: it is computed.
    """

    table: FlatBufferTable
    name: str
    shape: tuple[int, ...]
    type: int
    buffer: int
    quantisation: FlatBufferTable | None
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int

    @property
    def is_quantised(self) -> bool:
        """Whether its numbers are integers that stand for real ones."""
        dtype = _DTYPES.get(self.type)
        return dtype is not None and dtype.kind in "iu" and bool(self.scales)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator. code : the schema's BuiltinOperator. custom : its name where that is CUSTOM.

    inputs, outputs : numbers of tensors; -1 for an input that is left out. options : of a custom operator.
    """

    code: int
    custom: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: bytes

    @property
    def name(self) -> str:
        """Its kind in words."""
        return self.custom if self.code == CUSTOM else operator_name(self.code)


@dataclass(frozen=True, slots=True)
class Graph:
    """The network: the file's first subgraph."""

    data: Buffer
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    buffers: tuple[FlatBufferTable, ...]

    def values(self, tensor: Tensor) -> NDArray[Any] | None:
        """The real numbers that a constant holds; None where it is computed.

        Raises ModelError where they do not fit its shape.
        """
        raw = self._raw(tensor)
        if raw is None:
            return None
        dtype = _DTYPES.get(tensor.type)
        count = math.prod(tensor.shape)
        if dtype is None or len(raw) != count * dtype.itemsize:
            raise ModelError(f"is damaged: {tensor.name} has {len(raw)} bytes for the shape {list(tensor.shape)}")
        stored = np.frombuffer(raw, dtype).reshape(tensor.shape)
        if not tensor.is_quantised:
            return stored
        scales, zero_points = along_axis(tensor)
        return np.asarray((stored.astype(np.float32) - zero_points) * scales, np.float32)

    def _raw(self, tensor: Tensor) -> NDArray[np.uint8] | None:
        buffer = self.buffers[tensor.buffer]
        start, size = buffer.number(1, "Q"), buffer.number(2, "Q")
        if start > 1 and size:  # large files keep the values behind the FlatBuffer
            if start + size > len(self.data):
                raise ModelError(f"is cut off: the values of {tensor.name} are missing; get a fresh copy of the file")
            return np.frombuffer(self.data, np.uint8, size, start)
        inside = buffer.array(0, np.uint8)
        return inside if inside.size else None

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether the file holds its values."""
        return self._raw(tensor) is not None


def along_axis(tensor: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scales and zero points of a quantised tensor, shaped to be broadcast over its values."""
    shape = [1] * len(tensor.shape)
    if len(tensor.scales) > 1:
        if not (0 <= tensor.axis < len(shape) and tensor.shape[tensor.axis] == len(tensor.scales)):
            raise ModelError(
                f"is damaged: {tensor.name} {list(tensor.shape)} has {len(tensor.scales)} scales along axis "
                f"{tensor.axis}"
            )
        shape[tensor.axis] = len(tensor.scales)
    scales = np.array(tensor.scales, np.float32).reshape(shape)
    return scales, np.broadcast_to(np.array(tensor.zero_points, np.float32), len(tensor.scales)).reshape(shape)


def read_graph(data: Buffer) -> Graph:
    """The network in the bytes of a file; raises ModelError where they are damaged."""
    model = root(data)
    budget = _Budget(len(data))
    codes = [_code(table, budget) for table in model.tables(1)]
    subgraph = next(model.tables(2), None)
    if subgraph is None:
        raise ModelError("has no network in it")
    buffers = tuple(model.tables(4))
    tensors = tuple(_tensor(table, len(buffers), budget) for table in subgraph.tables(0))
    operators = tuple(_operator(table, codes, len(tensors), budget) for table in subgraph.tables(3))
    inputs, outputs = (_numbers(subgraph, field, len(tensors), least=0) for field in (1, 2))
    return Graph(data, tensors, operators, inputs, outputs, buffers)


class _Budget:
    """What the lists of a file may hold together: no more than the file, unless they were made to overlap."""

    def __init__(self, size: int) -> None:
        self.left = size

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ModelError("is damaged: its lists lie over each other; get a fresh copy of the file")


def _code(table: FlatBufferTable, budget: _Budget) -> tuple[int, str]:
    budget.spend(table.vector(1, 1).count)
    # Numbers below 127 used to be a byte; newer files have both fields.
    return max(table.number(0, "b"), table.number(3, "i")), table.text(1)


def _tensor(table: FlatBufferTable, buffers: int, budget: _Budget) -> Tensor:
    quantisation = table.table(4)
    budget.spend(table.vector(3, 1).count + table.vector(0, 4).count)
    name, shape = table.text(3), tuple(table.array(0, "<i4").tolist())
    if min(shape, default=1) > 0:
        layers.check_size(shape, name)
    buffer = table.number(2, "I")
    if buffer >= buffers:
        raise ModelError(f"is damaged: {name} has its values in buffer {buffer} of {buffers}")
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis = 0
    if quantisation is not None:
        budget.spend(quantisation.vector(2, 4).count + quantisation.vector(3, 8).count)
        scales = tuple(quantisation.array(2, "<f4").tolist())
        zero_points = tuple(quantisation.array(3, "<i8").tolist()) or (0,)
        axis = quantisation.number(6, "i")
        if not all(math.isfinite(scale) for scale in scales):
            raise ModelError(f"is damaged: {name} has the scale {next(s for s in scales if not math.isfinite(s))}")
        if scales and len(zero_points) not in (1, len(scales)):
            raise ModelError(f"is damaged: {name} has {len(scales)} scales and {len(zero_points)} zero points")
        if scales == (0.0,):
            scales = ()
    return Tensor(table, name, shape, table.number(1, "b"), buffer, quantisation, scales, zero_points, axis)


def _operator(table: FlatBufferTable, codes: list[tuple[int, str]], tensors: int, budget: _Budget) -> Operator:
    budget.spend(table.vector(1, 4).count + table.vector(2, 4).count)
    index = table.number(0, "I")
    if index >= len(codes):
        raise ModelError(f"is damaged: an operator is of kind {index} of {len(codes)}")
    code, custom = codes[index]
    inputs, outputs = _numbers(table, 1, tensors, least=-1), _numbers(table, 2, tensors, least=0)
    _check_outputs(code, table, len(outputs))
    return Operator(code, custom, inputs, outputs, table.array(5, np.uint8).tobytes() if code == CUSTOM else b"")


def _check_outputs(code: int, table: FlatBufferTable, count: int) -> None:
    """Refuse more outputs than the operator can have: OpenVINO would read past the end of those that it makes."""
    name = operator_name(code)
    if code == CUSTOM or name in _UNCOUNTED or not is_known(code):
        return
    most = _MOST_OUTPUTS.get(name, 1)
    if name in _COUNTED:
        options = table.table(4)
        most = 0 if options is None else options.number(0, "i")
    if count > most:
        raise ModelError(f"is damaged: {name} has outputs: {count}, of which it can have {most}")


def _numbers(table: FlatBufferTable, field: int, tensors: int, *, least: int) -> tuple[int, ...]:
    values = table.array(field, "<i4")
    if values.size and (values.min() < least or values.max() >= tensors):
        raise ModelError(f"is damaged: it refers to tensor {values.max()} of {tensors}")
    return tuple(values.tolist())
