"""NumPy files from elsewhere: what their headers claim is checked before anything is allocated."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.errors import SourceError

Array = NDArray[Any]

# What the reader of headers, a literal dictionary of Python, makes of bytes that are none.
_FAULTS = (ValueError, TypeError, EOFError, OSError, RecursionError, MemoryError, SyntaxError, tokenize.TokenError)


def read_npy(data: bytes | memoryview) -> Array:
    """The array in the bytes of a .npy file, as a view of them; numbers and truth values only.

    Raises `SourceError` where the header makes no sense or claims more or less than is there.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read(stream)
    except _FAULTS as error:
        raise SourceError(f"no NumPy array in {len(data)} bytes: {str(error)[:200] or type(error).__name__}") from None
    if dtype.kind not in "biuf":
        raise SourceError(f"array of {dtype}; expected numbers")
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise SourceError(f"array of shape {shape}; expected whole numbers from 0 up")
    needed, there = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if needed != there:
        raise SourceError(f"array {list(shape)} of {dtype} needs {needed} bytes and has {there}")
    array: Array = np.frombuffer(data, dtype, offset=stream.tell())
    return array.reshape(shape, order="F" if by_columns else "C")


def read_npz(data: bytes, most: int) -> dict[str, Array]:
    """The arrays of a .npz file by name. most : bytes that they may have together, unpacked.

    Raises `SourceError` where it is no such file or would unpack to more.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > most:
                raise SourceError(f"arrays of {total} bytes; expected at most {most}")
            return {member.filename.removesuffix(".npy"): read_npy(archive.read(member)) for member in members}
    except (zipfile.BadZipFile, zlib.error, RuntimeError, *_FAULTS) as error:
        raise SourceError(f"no NumPy arrays in {len(data)} bytes: {error}") from None
