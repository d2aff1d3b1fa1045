"""Boxes of an MP4 (ISO/IEC 14496-12) and the tables in them, read where they lie and block by block.

What is not understood to the end raises `Unproven`: whoever asks then does without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_BOXES = 256
"""In one box, or in the file up to `moov`."""
BLOCK = 1 << 13
"""Entries that are held at a time."""


class Box(NamedTuple):
    """Where a box lies in the file: its head, its content, its end."""

    at: int
    begin: int
    end: int


Boxes = dict[bytes, list[Box]]


class Unproven(Exception):
    """Something is not as it is where everything is understood."""


def check(holds: object) -> None:
    """Raise Unproven unless it holds."""
    if not holds:
        raise Unproven


def read(file: IO[bytes], at: int, count: int) -> bytes:
    """So many bytes from a place on."""
    file.seek(at)
    data = bytearray()
    while len(data) < count:  # what reads from S3 gives a block at a time
        more = file.read(count - len(data))
        check(more)
        data += more
    return bytes(data)


def number(data: bytes) -> int:
    """Unsigned, as all numbers in boxes are."""
    return int.from_bytes(data, "big")


def boxes(file: IO[bytes], begin: int, end: int, most: int = MOST_BOXES) -> Iterator[tuple[bytes, Box]]:
    """The boxes between two places, which they must fill. most : that may be asked for."""
    at = begin
    for _ in range(most):
        if at == end:
            return
        check(end - at >= 8)
        head = read(file, at, 8)
        size, length = number(head[:4]), 8
        if size == 1:
            size, length = number(read(file, at + 8, 8)), 16
        check(length <= size <= end - at)
        yield head[4:], Box(at, at + length, at + size)
        at += size
    raise Unproven


def head_of(file: IO[bytes]) -> Box:
    """The `moov`, which no fragment comes before."""
    size = file.seek(0, os.SEEK_END)
    for name, box in boxes(file, 0, size):
        check(name != b"moof")
        if name == b"moov":
            return box
    raise Unproven


def children(file: IO[bytes], box: Box) -> Boxes:
    """The boxes in a box, by name."""
    found: Boxes = {}
    for name, content in boxes(file, box.begin, box.end):
        found.setdefault(name, []).append(content)
    return found


def only(found: Boxes, name: bytes) -> Box:
    """The only box of a name."""
    same = found.get(name, [])
    check(len(same) == 1)
    return same[0]


def scale_of(file: IO[bytes], box: Box) -> int:
    """Ticks a second of a `mvhd` or `mdhd`."""
    data = read(file, box.begin, 24)
    scale = number(data[20:24] if data[0] == 1 else data[12:16])
    check(data[0] <= 1 and 0 < scale < 1 << 31)
    return scale


class Entries:
    """The entries of a table. columns : numbers of 4 bytes in each. ahead : bytes between its head and its length."""

    def __init__(self, file: IO[bytes], box: Box, columns: int, ahead: int = 0) -> None:
        self._file, self._columns = file, columns
        self._at = box.begin + 8 + ahead
        check(box.end >= self._at)
        self.length = number(read(file, self._at - 4, 4))
        check(self.length * columns * 4 <= box.end - self._at)

    def rows(self, first: int, count: int) -> NDArray[np.int64]:
        """int64 (N, columns): entries from one on, as many as there are up to `count`."""
        import numpy as np

        count = max(0, min(count, self.length - first))
        width = self._columns * 4
        data = read(self._file, self._at + first * width, count * width)
        return np.frombuffer(data, ">u4").reshape(count, self._columns).astype(np.int64)

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """All entries."""
        for first in range(0, self.length, BLOCK):
            yield self.rows(first, BLOCK)


class Runs:
    """Values that are stored as runs (number, value), block by block: the first time in their order, then in any.

    rows : gives runs from one on, as `Entries.rows`. length : how many there are. count : values that they must give.
    """

    def __init__(self, rows: Callable[[int, int], NDArray[np.int64]], length: int, count: int) -> None:
        self._rows, self._length, self._count = rows, length, count
        # Where each block begins: the run, and how many of its values lie before.
        self._marks = [(0, 0)]

    def block(self, index: int) -> NDArray[np.int64]:
        """int64 (N,): `BLOCK` values, or what is left."""
        import numpy as np

        run, used = self._marks[index]
        wanted = min(BLOCK, self._count - index * BLOCK)
        rows = self._rows(run, BLOCK)
        check(len(rows) and ((rows[:, 0] > 0) & (rows[:, 0] <= self._count)).all())
        numbers = rows[:, 0].copy()
        numbers[0] -= used
        ends = np.cumsum(numbers)
        check(ends[-1] >= wanted)
        last = int(np.searchsorted(ends, wanted))  # the run in which the block ends
        left = int(ends[last]) - wanted
        numbers[last] -= left
        if index + 1 == len(self._marks):
            self._marks.append((run + last, int(rows[last, 0]) - left) if left else (run + last + 1, 0))
        if (index + 1) * BLOCK >= self._count:
            check(self._marks[-1] == (self._length, 0))
        return np.repeat(rows[: last + 1, 1], numbers[: last + 1])
