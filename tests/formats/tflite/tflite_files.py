"""Writes small TFLite files for tests: FlatBuffers and FlexBuffers from plain Python values.

A table is a dictionary from field number to value: `Number` for a scalar, else what is referred to (a table, a list of
tables, an array, a text or bytes). Numbers of fields are those of TensorFlow's `lite/schema/schema.fbs`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9}
CONV, DEPTHWISE, DEQUANTIZE, FULLY_CONNECTED, RESHAPE, SOFTMAX, CUSTOM, QUANTIZE = 3, 4, 6, 9, 22, 25, 32, 114
POSTPROCESS = "TFLite_Detection_PostProcess"


class Number(NamedTuple):
    form: str
    value: int | float


Fields = Mapping[int, Any]


def flatbuffer(table: Fields, identifier: bytes = b"TFL3") -> bytes:
    """The bytes of a root table and all that it refers to; what is referred to several times at once is there once."""
    out = bytearray(4) + identifier
    waiting: list[tuple[int, Any]] = [(0, table)]
    while waiting:
        value = waiting[0][1]
        places = [place for place, other in waiting if other is value]
        waiting = [entry for entry in waiting if entry[1] is not value]
        at = _write(out, value, waiting)
        for place in places:
            struct.pack_into("<I", out, place, at - place)
    return bytes(out)


def _write(out: bytearray, value: Any, waiting: list[tuple[int, Any]]) -> int:
    """Append a value; what it refers to follows later."""
    if isinstance(value, Mapping):
        return _write_table(out, value, waiting)
    if isinstance(value, (str, bytes)):
        raw = value.encode() if isinstance(value, str) else value
        return _write_elements(out, len(raw), raw + b"\0" * isinstance(value, str), 1)
    if isinstance(value, np.ndarray):
        return _write_elements(out, value.size, value.tobytes(), value.itemsize)
    at = _write_elements(out, len(value), bytes(4 * len(value)), 4)
    waiting += [(at + 4 + 4 * i, entry) for i, entry in enumerate(value)]
    return at


def _write_elements(out: bytearray, count: int, raw: bytes, width: int) -> int:
    # TensorFlow wants the values of constants on multiples of 16 bytes.
    out += bytes(-(len(out) + 4) % max(width, 16))
    at = len(out)
    out += struct.pack("<I", count) + raw
    return at


def _write_table(out: bytearray, fields: Fields, waiting: list[tuple[int, Any]]) -> int:
    count = max(fields, default=-1) + 1
    sizes = {i: struct.calcsize(v.form) if isinstance(v, Number) else 4 for i, v in fields.items()}
    places, end = {}, 4
    for i in sorted(fields, key=lambda i: -sizes[i]):
        end += -end % sizes[i]
        places[i] = end
        end += sizes[i]
    out += bytes(-len(out) % 2)
    layout = len(out)
    out += struct.pack("<HH", 4 + 2 * count, end)
    out += b"".join(struct.pack("<H", places.get(i, 0)) for i in range(count))
    out += bytes(-len(out) % 8)
    at = len(out)
    out += struct.pack("<i", at - layout) + bytes(end - 4)
    for i, value in fields.items():
        if isinstance(value, Number):
            struct.pack_into("<" + value.form, out, at + places[i], value.value)
        else:
            waiting.append((at + places[i], value))
    return at


def flex_map(values: Mapping[str, int | float | bool]) -> bytes:
    """A FlexBuffer map of scalars, all four bytes wide."""
    out, names = bytearray(), {}
    for key in sorted(values):
        names[key] = len(out)
        out += key.encode() + b"\0"
    out += bytes(-len(out) % 4) + struct.pack("<I", len(values))
    keys = len(out)
    for key in sorted(values):
        out += struct.pack("<I", len(out) - names[key])
    out += struct.pack("<I", len(out) - keys) + struct.pack("<II", 4, len(values))
    start, kinds = len(out), b""
    for key in sorted(values):
        value = values[key]
        kind, form = (26, "i") if isinstance(value, bool) else (1, "i") if isinstance(value, int) else (3, "f")
        out += struct.pack("<" + form, value)
        kinds += bytes([kind << 2 | 2])
    out += kinds + bytes(-len(out + kinds) % 4)
    return bytes(out) + struct.pack("<I", len(out) - start) + bytes([9 << 2 | 2, 4])


@dataclass
class Network:
    """A network under construction; `save` writes it."""

    tensors: list[Fields] = field(default_factory=list)
    buffers: list[Fields] = field(default_factory=lambda: [{}])
    codes: list[Fields] = field(default_factory=list)
    operators: list[Fields] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    metadata: list[Fields] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        values: ArrayLike | None = None,
        *,
        scale: float | Sequence[float] | None = None,
        zero: int | Sequence[int] = 0,
        axis: int = 0,
        signature: Sequence[int] | None = None,
    ) -> int:
        """Number of a new tensor; a constant where it has values."""
        fields: dict[int, Any] = {
            0: np.array(shape, "<i4"), 1: Number("b", TYPES[dtype]), 2: Number("I", 0), 3: name
        }  # fmt: skip
        if values is not None:
            fields[2] = Number("I", self.buffer(np.ascontiguousarray(values, dtype).tobytes()))
        if scale is not None:
            scales = np.atleast_1d(np.array(scale, "<f4"))
            zeros = np.atleast_1d(np.array(zero, "<i8"))
            fields[4] = {2: scales, 3: zeros, 6: Number("i", axis)}
        if signature is not None:
            fields[7] = np.array(signature, "<i4")
        self.tensors.append(fields)
        return len(self.tensors) - 1

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32", **options: Any) -> int:
        self.inputs.append(self.tensor(name, shape, dtype, **options))
        return self.inputs[-1]

    def buffer(self, content: bytes) -> int:
        self.buffers.append({0: np.frombuffer(content, np.uint8)})
        return len(self.buffers) - 1

    def operator(
        self,
        code: int | str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: tuple[int, Fields] | None = None,
        custom: bytes = b"",
    ) -> None:
        """A builtin operator, or a custom one by its name; options : their number in the schema, and they."""
        number = CUSTOM if isinstance(code, str) else code
        kind: dict[int, Any] = {0: Number("b", number), 2: Number("i", 1), 3: Number("i", number)}
        if isinstance(code, str):
            kind[1] = code
        self.codes.append(kind)
        fields: dict[int, Any] = {
            0: Number("I", len(self.codes) - 1), 1: np.array(inputs, "<i4"), 2: np.array(outputs, "<i4")
        }  # fmt: skip
        if options is not None:
            fields |= {3: Number("B", options[0]), 4: options[1]}
        if custom:
            fields[5] = custom
        self.operators.append(fields)

    def conv(self, x: int, weights: int, bias: int, out: int, *, depthwise: bool = False) -> None:
        """A convolution of stride 1 that keeps the size."""
        fields = {0: Number("b", 0), 1: Number("i", 1), 2: Number("i", 1)}
        if depthwise:
            self.operator(DEPTHWISE, [x, weights, bias], [out], (2, fields | {3: Number("i", 1)}))
        else:
            self.operator(CONV, [x, weights, bias], [out], (1, fields))

    def softmax(self, x: int, out: int) -> None:
        self.operator(SOFTMAX, [x], [out], (9, {0: Number("f", 1.0)}))

    def describe(self, fields: Fields) -> None:
        """The buffer TFLITE_METADATA."""
        self.metadata.append(
            {0: "TFLITE_METADATA", 1: Number("I", self.buffer(flatbuffer(fields, b"M001")))}
        )  # fmt: skip

    def content(self) -> bytes:
        graph = {
            0: self.tensors, 1: np.array(self.inputs, "<i4"), 2: np.array(self.outputs, "<i4"), 3: self.operators,
            4: "main",
        }  # fmt: skip
        model: dict[int, Any] = {0: Number("I", 3), 1: self.codes, 2: [graph], 3: "made for tests", 4: self.buffers}
        if self.metadata:
            model[6] = self.metadata
        return flatbuffer(model)

    def save(self, path: Path) -> Path:
        path.write_bytes(self.content())
        return path


POSTPROCESS_OPTIONS: dict[str, int | float | bool] = {
    "max_detections": 10, "max_classes_per_detection": 1, "detections_per_class": 100, "use_regular_nms": False,
    "nms_score_threshold": 0.3, "nms_iou_threshold": 0.5, "num_classes": 5, "y_scale": 10.0, "x_scale": 10.0,
    "h_scale": 5.0, "w_scale": 5.0,
}  # fmt: skip


def ssd(
    anchors: NDArray[np.float32],
    columns: int,
    *,
    quantised: bool = False,
    order: Sequence[int] = (0, 1, 2, 3),
    names: Sequence[str] = ("det", "det:1", "det:2", "det:3"),
    **options: Any,
) -> Network:
    """Box encodings `enc` and scores `sc` straight into a TFLite_Detection_PostProcess.

    quantised : they become uint8 on the way, of steps of 1/20 and 1/256, and the anchors are stored so, too.
    """
    made = POSTPROCESS_OPTIONS | options
    n, rows = len(anchors), int(made["max_detections"]) * int(made["max_classes_per_detection"])
    network = Network()
    enc, sc = network.input("enc", (1, n, 4)), network.input("sc", (1, n, columns))
    if quantised:
        inside = [
            network.tensor("enc8", (1, n, 4), "uint8", scale=0.05, zero=128),
            network.tensor("sc8", (1, n, columns), "uint8", scale=1 / 256, zero=0),
        ]
        for source, target in zip((enc, sc), inside, strict=True):
            network.operator(QUANTIZE, [source], [target])
        enc, sc = inside
        stored = np.clip(np.rint(anchors * 200), 0, 255).astype(np.uint8)
        prior = network.tensor("anchors", (n, 4), "uint8", stored, scale=1 / 200, zero=0)
    else:
        prior = network.tensor("anchors", (n, 4), "float32", anchors)
    shapes = ((1, rows, 4), (1, rows), (1, rows), (1,))
    outputs = [network.tensor(name, shape) for name, shape in zip(names, shapes, strict=True)]
    network.operator(POSTPROCESS, [enc, sc, prior], outputs, custom=flex_map(made))
    network.outputs = [outputs[i] for i in order]
    return network
