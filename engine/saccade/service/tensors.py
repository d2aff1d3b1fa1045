"""Tensors of the Open Inference Protocol (KServe v2, REST): JSON with the values in it, or behind it as raw bytes.

A body is JSON; with the binary extension the first `Inference-Header-Content-Length` bytes are, and the tensors that
declare a `binary_data_size` follow in order, little-endian and row by row. Source: kserve/open-inference-protocol,
specification/protocol/inference_rest.md, and Triton's protocol/extension_binary_data.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from saccade.networks.network import Array, Port
from saccade.service.limits import RefusedError

DATATYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"), "UINT8": np.dtype("<u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"), "INT8": np.dtype("<i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
"""The protocol's names of element types; BYTES and BF16 no network has here as input or output."""

_NAMES = {dtype: name for name, dtype in DATATYPES.items()}

_UNKNOWN = ("classification", "shared_memory_region")
"""Parameters that would change the answer, of extensions that are not spoken here."""


_MOST_OPEN = 1 << 22
"""Values of an input whose shape the network leaves open."""

_BESIDE = 4096
"""Values, lists and objects of a request that are no tensor's."""

_MOST_BYTES = 64
"""Of text for one value, blanks among them."""

_TYPES: Mapping[str, frozenset[type]] = {"b": frozenset({bool}), "f": frozenset({int, float})}
"""What JSON has for a kind of elements; for whole ones int alone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. inputs : arrays by the ports' names. outputs : (name, as bytes) in the order of the answer."""

    identity: str
    inputs: Mapping[str, Array]
    outputs: tuple[tuple[str, bool], ...]


def datatype(dtype: np.dtype[Any]) -> str:
    """The protocol's name of an element type."""
    return _NAMES[dtype]


def read(body: memoryview, header: str | None, inputs: Sequence[Port], outputs: Sequence[Port]) -> Asked:
    """A request for a network with these ports.

    header : the value of Inference-Header-Content-Length. Raises RefusedError 400, or 413 for more than they take.
    """
    length = _header_length(header, len(body))
    said = _object(_json(body[:length], inputs), "the request")
    identity = said.get("id", "")
    if not isinstance(identity, str):
        raise RefusedError(400, f"id is {_short(identity)}; expected a string")
    parameters = _parameters(said, "the request")
    wanted = _outputs(said.get("outputs"), outputs, binary=_flag(parameters, "binary_data_output", "the request"))
    return Asked(identity, _inputs(said.get("inputs"), body[length:], inputs), wanted)


def answer(name: str, version: str, asked: Asked, found: Mapping[str, Array]) -> tuple[bytes, int]:
    """The body of an answer, and the length of its JSON, which is all of it where no output is sent as bytes."""
    described, raw = [], []
    for output, binary in asked.outputs:
        array = np.ascontiguousarray(found[output])
        one: dict[str, Any] = {"name": output, "datatype": datatype(array.dtype), "shape": list(array.shape)}
        if binary:
            raw.append(array.astype(DATATYPES[one["datatype"]], copy=False).tobytes())
            one["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            one["data"] = array.ravel().tolist()
        described.append(one)
    said: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": described}
    if asked.identity:
        said["id"] = asked.identity
    try:
        head = json.dumps(said, separators=(",", ":"), allow_nan=False).encode()
    except ValueError:
        raise RefusedError(
            500, "an output holds NaN or infinity, which JSON has no number for; ask for it with binary_data"
        ) from None
    return head + b"".join(raw), len(head)


def _header_length(text: str | None, size: int) -> int:
    if text is None:
        return size
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= size):
        raise RefusedError(
            400, f"Inference-Header-Content-Length is {text[:40]!r}; expected the bytes of JSON, at most {size}"
        )
    return int(text)


def _json(body: memoryview, inputs: Sequence[Port]) -> Any:
    try:
        return json.loads(_text(body, inputs), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            400,
            f"the request is not JSON: {error}; where tensors follow as bytes, Inference-Header-Content-Length has to "
            "say how long the JSON is",
        ) from None


def _text(body: memoryview, inputs: Sequence[Port]) -> str:
    """The text of a request, which holds no more than these inputs take: as objects it has up to forty times the size.

    Raises RefusedError 413.
    """
    fixed = [port.shape for port in inputs if -1 not in port.shape]
    other = _MOST_OPEN * (len(inputs) - len(fixed)) + _BESIDE
    values = sum(map(math.prod, fixed)) + other
    lists = sum(math.prod(shape[:axis]) for shape in fixed for axis in range(len(shape))) + other
    if len(body) > _MOST_BYTES * values:
        raise RefusedError(413, f"the request has {len(body)} bytes of JSON; {_MOST_BYTES * values} are taken")
    text = str(body, "utf-8-sig")
    for what, sign, most in (("values", ",", values), ("lists", "[", lists), ("objects", "{", _BESIDE)):
        if (there := text.count(sign)) > most:
            raise RefusedError(413, f"the request has {there} {what}; {most} are taken")
    return text


def _refuse_constant(word: str) -> float:
    raise ValueError(f"{word} is none of its numbers; send it as bytes (binary_data_size)")


def _inputs(said: Any, raw: memoryview, ports: Sequence[Port]) -> dict[str, Array]:
    known = {port.name: port for port in ports}
    arrays: dict[str, Array] = {}
    begin = 0
    for given in _list(said, "inputs"):
        one = _object(given, "an input")
        name = one.get("name")
        if not isinstance(name, str) or name not in known:
            raise RefusedError(400, f"there is no input {_short(name)}; the network has {', '.join(map(repr, known))}")
        if name in arrays:
            raise RefusedError(400, f"input {name!r} is there twice")
        port = known[name]
        dtype, shape = _checked(one, port)
        size = _parameters(one, f"input {name!r}").get("binary_data_size")
        if size is None:
            arrays[name] = _values(one, name, dtype, shape)
            continue
        if "data" in one:
            raise RefusedError(400, f"input {name!r} has both data and binary_data_size; send one of them")
        needed = math.prod(shape) * dtype.itemsize
        if type(size) is not int or size != needed:
            raise RefusedError(
                400, f"input {name!r}: binary_data_size is {_short(size)}; {one['datatype']} {list(shape)} has {needed}"
            )
        if begin + size > len(raw):
            raise RefusedError(400, f"input {name!r}: {size} bytes are declared and {len(raw) - begin} came")
        arrays[name] = np.frombuffer(raw[begin : begin + size], dtype).reshape(shape)
        begin += size
    if begin != len(raw):
        raise RefusedError(400, f"{len(raw) - begin} bytes follow that no input declares (binary_data_size)")
    missing = [name for name in known if name not in arrays]
    if missing:
        raise RefusedError(400, f"the input {missing[0]!r} is missing; the network has {', '.join(map(repr, known))}")
    return arrays


def _checked(one: Mapping[str, Any], port: Port) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Element type and shape of an input, which are the network's."""
    wanted = datatype(port.dtype)
    if one.get("datatype") != wanted:
        raise RefusedError(
            400, f"input {port.name!r}: datatype is {_short(one.get('datatype'))}; the network takes {wanted}"
        )
    shape = one.get("shape")
    whole = isinstance(shape, list) and all(type(side) is int and side >= 0 for side in shape)
    fits = whole and len(cast(list[int], shape)) == len(port.shape)
    if not fits or any(own not in (-1, side) for side, own in zip(cast(list[int], shape), port.shape, strict=True)):
        raise RefusedError(400, f"input {port.name!r}: shape is {_short(shape)}; the network takes {list(port.shape)}")
    return DATATYPES[wanted], tuple(cast(list[int], shape))


def _values(one: Mapping[str, Any], name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """An input's data, flat or nested as its shape is."""
    data = one.get("data")
    if not isinstance(data, list):
        raise RefusedError(400, f"input {name!r} has no data; expected a list of {math.prod(shape)} values")
    # As objects: a text among numbers would make NumPy give each of them its length.
    values: NDArray[Any] = np.array(data, dtype=object)
    types = set(map(type, values.ravel()))
    if list in types:
        raise RefusedError(400, f"input {name!r}: data is nested unevenly; expected {list(shape)} or flat")
    if values.shape not in (shape, (math.prod(shape),)):
        raise RefusedError(
            400,
            f"input {name!r}: data is {list(values.shape)}; expected {math.prod(shape)} values, flat or {list(shape)}",
        )
    stored: Array | None = None
    if types <= _TYPES.get(dtype.kind, {int}):
        with np.errstate(over="ignore"), suppress(OverflowError):
            stored = values.astype(dtype)
    if stored is None or (dtype.kind == "f" and not np.isfinite(stored).all()):
        raise RefusedError(400, f"input {name!r}: data has values that {one['datatype']} cannot hold")
    return stored.reshape(shape)


def _outputs(said: Any, ports: Sequence[Port], *, binary: bool) -> tuple[tuple[str, bool], ...]:
    """Names of the outputs that are asked for, all where none is named, and which of them come as bytes."""
    known = [port.name for port in ports]
    if said is None or said == []:
        return tuple((name, binary) for name in known)
    wanted: dict[str, bool] = {}
    for given in _list(said, "outputs"):
        one = _object(given, "an output")
        name = one.get("name")
        if not isinstance(name, str) or name not in known:
            raise RefusedError(400, f"there is no output {_short(name)}; the network has {', '.join(map(repr, known))}")
        if name in wanted:
            raise RefusedError(400, f"output {name!r} is there twice")
        wanted[name] = _flag(_parameters(one, f"output {name!r}"), "binary_data", f"output {name!r}", binary)
    return tuple(wanted.items())


def _parameters(one: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    parameters = _object(one.get("parameters", {}), f"parameters of {what}")
    for name in _UNKNOWN:
        if name in parameters:
            raise RefusedError(400, f"{what}: the parameter {name} is not known here; leave it out")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, what: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RefusedError(400, f"{what}: {name} is {_short(value)}; expected true or false")
    return value


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(400, f"{what} is {_short(value)}; expected a JSON object")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise RefusedError(400, f"{what} is {_short(value)}; expected a list of objects with name, shape and datatype")
    return value


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
