"""Protobuf's wire format, as far as model files need it: fields in, fields out, without a schema."""

from __future__ import annotations

from collections.abc import Iterator

from saccade.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types."""


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: a varint's value, or the bytes of anything else.

    Raises ModelError where the bytes end early or are no protobuf.
    """
    position = 0
    while position < len(data):
        tag, position = varint(data, position)
        value, position = field(data, position, tag & 7)
        yield tag >> 3, value


def field(data: memoryview, position: int, wire: int) -> tuple[int | memoryview, int]:
    """The value of a field whose tag ends at `position`, and the position behind it."""
    if wire == VARINT:
        return varint(data, position)
    if wire == BYTES:
        size, position = varint(data, position)
    elif wire in (FIXED32, FIXED64):
        size = 4 if wire == FIXED32 else 8
    else:
        raise ModelError(f"wire type {wire} at byte {position} is not protobuf's")
    if size > len(data) - position:
        raise ModelError(f"is cut off: a field claims {size} bytes, but only {len(data) - position} are left")
    return data[position : position + size], position + size


def varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of variable length, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ModelError("is cut off: it ends within a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ModelError(f"no number at byte {position}")


def varints(data: memoryview) -> list[int]:
    """Numbers that lie one behind the other, as packed fields have them."""
    numbers, position = [], 0
    while position < len(data):
        number, position = varint(data, position)
        numbers.append(number)
    return numbers


def encoded(number: int, value: int | bytes) -> bytes:
    """One field: a whole number, or bytes with their length in front."""
    if isinstance(value, int):
        return _encoded_varint(number << 3 | VARINT) + _encoded_varint(value)
    return _encoded_varint(number << 3 | BYTES) + _encoded_varint(len(value)) + value


def _encoded_varint(value: int) -> bytes:
    if value < 0:
        raise ValueError(f"{value} is negative; only numbers from 0 on are written")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
