"""NumPy files from elsewhere: what their headers claim is checked before anything is allocated."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.errors import SourceError

Array = NDArray[Any]

MOST_ARRAYS = 10_000
"""Arrays in one file; `zipfile` keeps ten times as much of each as its entry has."""

MOST_HEADER = 10_000
"""Bytes that a header may have, as in NumPy itself, which writes 128 for a picture."""


def read_npy(data: bytes | memoryview) -> Array:
    """The array in the bytes of a .npy file, as a view of them; numbers and truth values only.

    Raises `SourceError` where the header makes no sense or claims more or less than is there.
    """
    stream = io.BytesIO(data[: MOST_HEADER + 12])  # the header alone, without a copy of what may be large
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(stream, max_header_size=MOST_HEADER)
    except Exception as error:  # the header is Python, and what its reader raises depends on how it is broken
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise SourceError(f"no NumPy array in {len(data)} bytes: {said}") from None
    if dtype.kind not in "biuf":
        raise SourceError(f"array of {dtype}; expected numbers")
    if any(type(side) is not int or not 0 <= side < _LARGEST_SIDE for side in shape):
        raise SourceError(f"array of shape {str(shape)[:200]}; expected whole numbers from 0 up")
    needed, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if needed != there:
        raise SourceError(f"array {list(shape)} of {dtype} needs {needed} bytes and has {there}")
    try:
        return np.ndarray(shape, dtype, buffer=data, offset=stream.tell(), order="F" if by_columns else "C")
    except ValueError as error:  # too many sides, or too long beside one of 0
        raise SourceError(f"array of shape {str(shape)[:200]}: {error}") from None


_LARGEST_SIDE = 1 << 31


def read_npz(data: bytes, most: int) -> dict[str, Array]:
    """The arrays of a .npz file by name. most : bytes that they may have together, unpacked.

    Raises `SourceError` where it is no such file or would unpack to more.
    """
    entries = data.count(b"PK\x01\x02")
    if entries > MOST_ARRAYS:
        raise SourceError(f"{entries} arrays; expected at most {MOST_ARRAYS}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > most:
                raise SourceError(f"arrays of {total} bytes; expected at most {most}")
            return {member.filename.removesuffix(".npy"): read_npy(archive.read(member)) for member in members}
    except (zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, EOFError, OSError, MemoryError) as error:
        raise SourceError(f"no NumPy arrays in {len(data)} bytes: {error}") from None
