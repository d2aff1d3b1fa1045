"""FlatBuffers' and FlexBuffers' wire formats, as far as model files need them; every access is checked.

Sources: "FlatBuffer Internals" and "FlexBuffers" of flatbuffers.dev. A table knows where its fields lie; what they mean
is the caller's. Nothing is copied, and nothing is made that the file does not hold.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from saccade.errors import ModelError

Buffer = memoryview | bytes | bytearray

MOST_ITEMS = 1 << 20
"""Tables in one list: a network of today has thousands."""

LONGEST_TEXT = 1 << 16
"""Bytes of one name."""


def number(data: Buffer, at: int, form: str) -> Any:
    """A number of a `struct` format, little endian; raises ModelError where it lies outside the data."""
    if at < 0 or at + struct.calcsize("<" + form) > len(data):
        raise ModelError(f"is damaged: something at byte {at} of {len(data)} is missing; get a fresh copy of the file")
    return struct.unpack_from("<" + form, data, at)[0]


@dataclass(frozen=True, slots=True)
class Vector:
    """Where the elements of a list lie. at : of the first one, bytes."""

    at: int
    count: int


class FlatBufferTable:
    """One table: fields by their number in the schema, absent ones with a default.

    data : the whole file. at : where the table begins, bytes.
    """

    __slots__ = ("_layout", "_size", "at", "data")

    def __init__(self, data: Buffer, at: int) -> None:
        self.data = data
        self.at = at
        self._layout = at - number(data, at, "i")
        self._size = number(data, self._layout, "H")
        if self._size < 4 or self._layout + self._size > len(data):
            raise ModelError(f"is damaged: the table at byte {at} has no layout; get a fresh copy of the file")

    def place(self, field: int) -> int:
        """Where a field lies, bytes; 0 where the table has not got it."""
        entry = 4 + 2 * field
        offset = number(self.data, self._layout + entry, "H") if entry + 2 <= self._size else 0
        return self.at + offset if offset else 0

    def number(self, field: int, form: str, default: Any = 0) -> Any:
        """A number of a `struct` format."""
        place = self.place(field)
        return number(self.data, place, form) if place else default

    def table(self, field: int) -> FlatBufferTable | None:
        """A table that this one refers to."""
        place = self.place(field)
        return FlatBufferTable(self.data, place + number(self.data, place, "I")) if place else None

    def vector(self, field: int, width: int) -> Vector:
        """A list of elements of `width` bytes; empty where it is absent."""
        place = self.place(field)
        if not place:
            return Vector(0, 0)
        start = place + number(self.data, place, "I")
        count = number(self.data, start, "I")
        if start + 4 + count * width > len(self.data):
            raise ModelError(
                f"is cut off: a list at byte {start} has {count} elements of {width} bytes, "
                f"but the file ends at byte {len(self.data)}; get a fresh copy of the file"
            )
        return Vector(start + 4, count)

    def array(self, field: int, dtype: DTypeLike) -> NDArray[Any]:
        """A list of numbers, as a view."""
        kind = np.dtype(dtype)
        found = self.vector(field, kind.itemsize)
        return np.frombuffer(self.data, kind, found.count, found.at) if found.count else np.empty(0, kind)

    def tables(self, field: int, most: int = MOST_ITEMS) -> Iterator[FlatBufferTable]:
        """A list of tables."""
        found = self.vector(field, 4)
        if found.count > most:
            raise ModelError(f"has a list of {found.count} entries; at most {most} are read")
        for place in range(found.at, found.at + 4 * found.count, 4):
            yield FlatBufferTable(self.data, place + number(self.data, place, "I"))

    def text(self, field: int) -> str:
        """A text; what is not UTF-8 in it is replaced."""
        found = self.vector(field, 1)
        if found.count > LONGEST_TEXT:
            raise ModelError(f"has a name of {found.count} bytes; at most {LONGEST_TEXT} are read")
        return bytes(self.data[found.at : found.at + found.count]).decode("utf-8", "replace")


def root(data: Buffer) -> FlatBufferTable:
    """The table that a file begins with."""
    return FlatBufferTable(data, number(data, 0, "I"))


_INT, _UINT, _FLOAT, _KEY, _STRING, _INDIRECT, _MAP, _BOOL = 1, 2, 3, 4, 5, (6, 7, 8), 9, 26
_SIGNED, _UNSIGNED, _REAL = "bhiq", "BHIQ", " efd"


def flex_map(data: Buffer) -> dict[str, int | float | bool | str | None]:
    """The scalars and texts of a FlexBuffer map, by key; other values are None.

    Raises ModelError where the data are no such map.
    """
    if len(data) < 3:
        raise ModelError(f"has options of {len(data)} bytes, which are no FlexBuffer")
    width, packed = data[len(data) - 1], data[len(data) - 2]
    if packed >> 2 != _MAP or width not in (1, 2, 4, 8):
        raise ModelError("has options that are no FlexBuffer map")
    values = _followed(data, len(data) - 2 - width, width)
    size = 1 << (packed & 3)
    count = _flex(data, values - size, size)
    keys = _followed(data, values - 3 * size, size)
    key_size = _flex(data, values - 2 * size, size)
    if count * size > len(data) or key_size not in (1, 2, 4, 8):
        raise ModelError(f"has options with {count} entries in {len(data)} bytes")
    found: dict[str, int | float | bool | str | None] = {}
    for i in range(count):
        kind = number(data, values + count * size + i, "B")
        found[_key(data, _followed(data, keys + i * key_size, key_size))] = _value(data, values + i * size, size, kind)
    return found


def _value(data: Buffer, at: int, width: int, packed: int) -> int | float | bool | str | None:
    kind = packed >> 2
    if kind in _INDIRECT:
        at, width, kind = _followed(data, at, width), 1 << (packed & 3), kind - 5
    if kind == _KEY:
        return _key(data, _followed(data, at, width))
    if kind == _STRING:
        start, size = _followed(data, at, width), 1 << (packed & 3)
        length = _flex(data, start - size, size)
        return bytes(data[start : start + length]).decode("utf-8", "replace")
    if kind == _BOOL:
        return bool(_flex(data, at, width))
    if kind not in (_INT, _UINT, _FLOAT) or (kind == _FLOAT and width == 1):
        return None
    forms = {_INT: _SIGNED, _UINT: _UNSIGNED, _FLOAT: _REAL}[kind]
    value: int | float = number(data, at, forms[width.bit_length() - 1])
    return value


def _flex(data: Buffer, at: int, width: int) -> int:
    return int(number(data, at, _UNSIGNED[width.bit_length() - 1]))


def _followed(data: Buffer, at: int, width: int) -> int:
    """Where the offset at a place leads: always to something before it."""
    return at - _flex(data, at, width)


def _key(data: Buffer, at: int) -> str:
    if not 0 <= at < len(data):
        raise ModelError(f"has an option without a name, at byte {at} of {len(data)}")
    whole = bytes(data[at : at + 256])
    return whole.partition(b"\0")[0].decode("utf-8", "replace")
