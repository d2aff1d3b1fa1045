"""Reader of MXNet's `.params` files: named arrays in a little-endian stream, in all four forms of the array header.

The layout was read in MXNet's `src/ndarray/ndarray.cc` (`NDArray::Save` and `Load`). Arrays are views of the bytes
that were read, so a file costs its own size in memory once.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ModelError, UnsupportedError
from saccade.formats.importing import MOST_BYTES, check_bytes, naming

Array = NDArray[Any]

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
MAX_DIMENSIONS = 32
MAX_ARRAYS = 200_000

_BFLOAT16 = 12
_DTYPES = {
    0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?", 8: "<i2", 9: "<u2", 10: "<u4",
    11: "<u8", _BFLOAT16: "<u2",
}  # fmt: skip


def read_params(path: Path) -> dict[str, Array]:
    """The arrays of the file by name, without the prefixes `arg:` and `aux:`.

    Raises
    ------
    ModelError
        The file is missing, cut off, no parameter file, or claims more than it holds.
    UnsupportedError
        An array is sparse.
    """
    with naming(path):
        check_bytes(path, MOST_BYTES, "the weights of an MXNet network")
        return parse_params(np.fromfile(path, np.uint8).data)  # writable, so that graphs can share its memory


def parse_params(data: bytes | memoryview) -> dict[str, Array]:
    """As `read_params`, from the file's bytes."""
    stream = _Stream(data)
    magic, _, count = stream.take("<QQQ")
    if magic != LIST_MAGIC:
        raise ModelError(f"not an MXNet parameter file: it starts with {magic:#x}, expected {LIST_MAGIC:#x}")
    # The shortest array there is takes four bytes, the shortest name eight.
    if count > stream.left // 4:
        raise ModelError(f"claims {count} arrays, but only {stream.left} bytes follow")
    if count > MAX_ARRAYS:
        raise ModelError(f"holds {count} arrays; at most {MAX_ARRAYS} are read")
    arrays = [_array(stream) for _ in range(count)]
    (named,) = stream.take("<Q")
    if named != count:
        raise ModelError(f"holds {count} arrays but {named} names; arrays without names fit no symbol")
    names = [_name(stream) for _ in range(count)]
    if stream.left:
        raise ModelError(f"{stream.left} bytes follow after the last name; the file is damaged")
    return dict(zip(names, arrays, strict=True))


class _Stream:
    """Bytes and a position; what is not there is an error, never a short read."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._position

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._data, self._claim(struct.calcsize(form)))
        return tuple(int(value) for value in values)

    def text(self, length: int) -> bytes:
        start = self._claim(length)
        return bytes(self._data[start : start + length])

    def array(self, dtype: str, shape: tuple[int, ...]) -> Array:
        count = math.prod(shape)
        start = self._claim(count * np.dtype(dtype).itemsize)
        try:
            return np.frombuffer(self._data, dtype, count, start).reshape(shape)
        except ValueError:
            # One size of zero makes the others harmless to count, and they may still be too large to index.
            raise ModelError(f"holds an array of the shape {shape}; that is more than any memory holds") from None

    def _claim(self, size: int) -> int:
        if size > self.left:
            raise ModelError(f"ends at byte {len(self._data)}; needs {size} more from byte {self._position}")
        start = self._position
        self._position += size
        return start


def _name(stream: _Stream) -> str:
    (length,) = stream.take("<Q")
    name = stream.text(length).decode("utf-8", "replace")
    return name.removeprefix("arg:").removeprefix("aux:")


def _array(stream: _Stream) -> Array:
    (magic,) = stream.take("<I")
    if magic in (V2, V3):
        (storage,) = stream.take("<i")
        if storage not in (-1, 0):
            raise UnsupportedError(f"holds a sparse array (storage type {storage}); save it as dense")
    shape = _shape(stream) if magic in (V1, V2, V3) else _legacy_shape(stream, magic)
    if shape is None or (not shape and magic != V3):
        return np.empty(0, np.float32)
    _, _, kind = stream.take("<iii")
    if kind not in _DTYPES:
        raise ModelError(f"holds an array of unknown type {kind}; known are 0 to {_BFLOAT16}")
    array = stream.array(_DTYPES[kind], shape)
    if kind == _BFLOAT16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _shape(stream: _Stream) -> tuple[int, ...] | None:
    (dimensions,) = stream.take("<i")
    if dimensions == -1:
        return None
    shape = stream.take(f"<{_checked(dimensions)}q")
    return None if -1 in shape else _sizes(shape)


def _legacy_shape(stream: _Stream, dimensions: int) -> tuple[int, ...]:
    """Before 0.9 there was no magic number: the first word is the number of dimensions."""
    return _sizes(stream.take(f"<{_checked(dimensions)}I"))


def _checked(dimensions: int) -> int:
    if not 0 <= dimensions <= MAX_DIMENSIONS:
        raise ModelError(f"holds an array of {dimensions} dimensions; at most {MAX_DIMENSIONS} make sense")
    return dimensions


def _sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    if any(size < 0 for size in shape):
        raise ModelError(f"holds an array of the shape {shape}; sizes cannot be negative")
    return shape
