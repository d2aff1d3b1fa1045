"""What an ONNX file says besides its graph: names of outputs, metadata, versions of operators, weights kept elsewhere.

OpenVINO reads the graph itself. It gives outputs every name that an optimisation passes by, drops the metadata, and
names neither a weights file that is missing nor the set that an unknown operator belongs to.
Format: onnx.proto (ModelProto, GraphProto, TensorProto).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from saccade.errors import ModelError
from saccade.formats import protobuf

_LARGEST_TEXT = 1 << 20  # bytes of one metadata value: more than any list of names
_MOST_ENTRIES = 1 << 10

_GRAPH, _OPSET, _METADATA = 7, 8, 14  # fields of ModelProto
_INITIALIZER, _OUTPUT = 5, 12  # fields of GraphProto
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of TensorProto


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """outputs : their names, in order. metadata : texts by key. opsets : version by domain; `ai.onnx` is the standard.

    weights : (file, bytes that it must have) of weights outside the model file, as the file names them.
    """

    outputs: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)

    def operator(self, name: str) -> str:
        """An operator as OpenVINO's messages call it, `Foo-13` or `domain.Foo`, with its set in words."""
        plain, _, version = name.rpartition("-")
        if plain and version.isdigit():
            return f"{plain} (ai.onnx, opset {version})"
        domain, _, kind = name.rpartition(".")
        if not domain:
            return name
        opset = f", opset {self.opsets[domain]}" if domain in self.opsets else ""
        return f"{kind} ({domain}{opset})"


def read(path: Path) -> OnnxFile:
    """Look through a file without loading its weights; raises ModelError where it is damaged."""
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return _model(data)
    except ModelError as error:
        raise ModelError(f"{path} is damaged ({error}); get a fresh copy of the file") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error


def check_weights(path: Path, found: OnnxFile) -> None:
    """Raise ModelError unless the weights that lie outside the file are there, whole, and in its folder."""
    for name, size in found.weights.items():
        weights = path.parent / name
        if Path(name).is_absolute() or not _is_below(weights, path.parent):
            raise ModelError(f"{path} wants weights from outside its folder ({name!r}); get the file with its weights")
        there = _size(weights)
        if there is None:
            raise ModelError(f"{path} needs its weights, but {name[:200]!r} is missing; put it beside the .onnx")
        if there < size:
            raise ModelError(
                f"{weights} is cut off: it has {there} bytes and {path.name} needs {size}; get a fresh copy of the file"
            )


def _size(path: Path) -> int | None:
    """Bytes of a file; None where none can have that name, or none is there."""
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        return None


def _is_below(path: Path, folder: Path) -> bool:
    """Whether a path, as it is written, stays in a folder; where links in that folder lead is their owner's choice."""
    place, root = os.path.normpath(os.path.abspath(path)), os.path.abspath(folder)
    return os.path.commonpath([place, root]) == root


def _model(data: memoryview) -> OnnxFile:
    outputs: list[str] = []
    metadata: dict[str, str] = {}
    opsets: dict[str, int] = {}
    weights: dict[str, int] = {}
    for number, value in protobuf.fields(data):
        if isinstance(value, int):
            continue
        if number == _GRAPH:
            for inner, part in protobuf.fields(value):
                if inner == _OUTPUT and isinstance(part, memoryview):
                    outputs.append(_text(_first(part, 1)))
                elif inner == _INITIALIZER and isinstance(part, memoryview):
                    for name, size in _external(part):
                        weights[name] = max(size, weights.get(name, 0))
        elif number == _OPSET:
            version = _first(value, 2)
            opsets[_text(_first(value, 1)) or "ai.onnx"] = version if isinstance(version, int) else 0
        elif number == _METADATA and len(value) <= _LARGEST_TEXT and len(metadata) < _MOST_ENTRIES:
            metadata[_text(_first(value, 1))] = _text(_first(value, 2))
    return OnnxFile(tuple(outputs), metadata, opsets, weights)


def _external(tensor: memoryview) -> Iterator[tuple[str, int]]:
    """File and last byte of a tensor whose data lies outside the model."""
    entries: dict[str, str] = {}
    outside = False
    for number, value in protobuf.fields(tensor):
        if number == _DATA_LOCATION:
            outside = value == 1
        elif number == _EXTERNAL_DATA and isinstance(value, memoryview):
            entries[_text(_first(value, 1))] = _text(_first(value, 2))
    if outside and entries.get("location"):
        yield entries["location"], _whole(entries.get("offset")) + _whole(entries.get("length"))


def _whole(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 20 else 0


def _first(data: memoryview, number: int) -> int | memoryview:
    """The first value of a field; nothing at all where it is not there."""
    return next((value for inner, value in protobuf.fields(data) if inner == number), memoryview(b""))


def _text(value: int | memoryview) -> str:
    return "" if isinstance(value, int) else bytes(value).decode(errors="replace")
