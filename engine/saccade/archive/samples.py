"""The samples of an MP4's track, as its tables tell: when each is decoded and shown, and where it lies.

The tables may be longer than memory should hold: they are walked once, block by block, and what is kept tells where
each block begins in them. Only tables whose every number FFmpeg takes as it stands are taken.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, NamedTuple

from saccade.archive.boxes import BLOCK, Boxes, Entries, Runs, check, number, only, read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_SAMPLES = 1 << 26
_LARGE = 1 << 28
"""FFmpeg repairs what it takes for damage: durations, offsets and sizes beyond this."""


class Part(NamedTuple):
    """Some samples that follow each other; arrays of int64 (N,), times in ticks of the track.

    first : number of the first one, from 0. decoded, shown : when; `offsets` lie between. keys : bool, whether each is
    marked as a key frame.
    """

    first: int
    decoded: NDArray[np.int64]
    durations: NDArray[np.int64]
    offsets: NDArray[np.int64]
    shown: NDArray[np.int64]
    keys: NDArray[np.bool_]


class Samples:
    """All samples of a track. Raises Unproven where FFmpeg would understand more than is understood here, or less.

    tables : the boxes in `stbl`. count : samples. reordered : frames are not stored in the order they are shown in.
    Every part must have been walked to before it is asked for.
    """

    def __init__(self, file: IO[bytes], tables: Boxes) -> None:
        check(b"stps" not in tables)
        for box in tables.get(b"sbgp", ()):
            check(read(file, box.begin, 8)[4:] != b"rap ")
        self._file = file
        box = only(tables, b"stsz")
        self._size, self.count = (number(read(file, box.begin, 12)[at : at + 4]) for at in (4, 8))
        check(0 < self.count <= MOST_SAMPLES and self._size <= _LARGE)
        self._sizes = None if self._size else Entries(file, box, 1, 4)
        check(self._sizes is None or self._sizes.length == self.count)
        self._durations = self._runs(Entries(file, only(tables, b"stts"), 2))
        self.reordered = b"ctts" in tables
        self._offsets = self._runs(Entries(file, only(tables, b"ctts"), 2)) if self.reordered else None
        self._keys = Entries(file, only(tables, b"stss"), 1) if b"stss" in tables else None
        long = b"co64" in tables
        self._chunks = Entries(file, only(tables, b"co64" if long else b"stco"), 1 + long)
        self._held = _Chunks(Entries(file, only(tables, b"stsc"), 3), self._chunks.length, self.count)
        # Of each part: when it is decoded, and how many key frames and bytes lie before.
        self._decoded, self._keys_before, self._bytes_before = [0], [0], [0]
        # And when key frames of it are shown, at first and at last.
        self._key_times: list[tuple[int, int] | None] = []

    def _runs(self, table: Entries) -> Runs:
        return Runs(table.rows, table.length, self.count)

    def walk(self) -> Iterator[Part]:
        """All parts."""
        self._held.walk()
        for block in self._chunks.blocks():
            check(block.shape[1] == 1 or (block[:, 0] <= _LARGE).all())
        for index in range(-(-self.count // BLOCK)):
            yield self.part(index)
        check(self._keys is None or self._keys_before[-1] == self._keys.length)

    def part(self, index: int) -> Part:
        """Samples from number `index * BLOCK` on."""
        import numpy as np

        first = index * BLOCK
        durations = self._durations.block(index)
        ends = self._decoded[index] + np.cumsum(durations)
        decoded = ends - durations
        check(((durations > 0) | (np.arange(first, first + len(durations)) == self.count - 1)).all())
        check((durations <= _LARGE).all())
        offsets = np.zeros(len(durations), np.int64)
        if self._offsets is not None:
            offsets = self._offsets.block(index).astype(np.uint32).view(np.int32).astype(np.int64)
            check((np.abs(offsets) <= _LARGE).all())
        keys, count = self._key_frames(index, len(durations))
        if index + 1 == len(self._decoded):
            self._decoded.append(int(ends[-1]))
            self._keys_before.append(self._keys_before[-1] + count)
            self._bytes_before.append(self._bytes_before[-1] + int(self.sizes(first, len(durations)).sum()))
            times = (decoded + offsets)[keys]
            self._key_times.append((int(times.min()), int(times.max())) if count else None)
        return Part(first, decoded, durations, offsets, decoded + offsets, keys)

    def _key_frames(self, index: int, length: int) -> tuple[NDArray[np.bool_], int]:
        import numpy as np

        if self._keys is None:
            return np.ones(length, bool), length
        rows = self._keys.rows(self._keys_before[index], length)[:, 0]
        numbers = rows[: int(np.searchsorted(rows, (index * BLOCK) + length, "right"))] - index * BLOCK - 1
        check((np.diff(rows) > 0).all() and (not len(numbers) or numbers[0] >= 0))
        keys = np.zeros(length, bool)
        keys[numbers] = True
        check(index or keys[0])
        return keys, len(numbers)

    def key_at(self, time: int) -> int:
        """Number of the key frame that is shown at a time; raises Unproven where there is none."""
        found = self.key_before(time)
        check(self.of(found, found + 1).shown[0] == time)
        return found

    def key_before(self, time: int) -> int:
        """Number of the last key frame that is shown at a time or before, or of the first one."""
        for index in reversed(range(len(self._key_times))):
            times = self._key_times[index]
            if times is not None and times[0] <= time:
                part = self.part(index)
                return part.first + int((part.keys & (part.shown <= time)).nonzero()[0][-1])
        return 0

    def key_after(self, time: int, number: int) -> int:
        """Number of the first key frame that is shown at a time or later, `number` at least; the count: of none."""
        for index, times in enumerate(self._key_times):
            if times is not None and times[1] >= time and (index + 1) * BLOCK > number:
                part = self.part(index)
                numbers = (part.keys & (part.shown >= time)).nonzero()[0] + part.first
                numbers = numbers[numbers >= number]
                if len(numbers):
                    return int(numbers[0])
        return self.count

    def of(self, first: int, stop: int) -> Part:
        """The samples from one to before another."""
        import numpy as np

        parts = [self.part(index) for index in range(first // BLOCK, -(-stop // BLOCK))]
        chosen = slice(first % BLOCK, first % BLOCK + stop - first)
        return Part(first, *(np.concatenate(columns)[chosen] for columns in list(zip(*parts, strict=True))[1:]))

    def sizes(self, first: int, count: int) -> NDArray[np.int64]:
        """int64 (N,): bytes of samples from one on."""
        import numpy as np

        if self._sizes is None:
            return np.full(count, self._size, np.int64)
        sizes = self._sizes.rows(first, count)[:, 0]
        check((sizes <= _LARGE).all())
        return sizes

    def places(self, first: int, count: int) -> NDArray[np.int64]:
        """int64 (N,): where samples from one on lie in the file."""
        import numpy as np

        chunk, begins, ends = self._held.of(first, first + count)
        rows = self._chunks.rows(chunk, len(begins))
        starts = rows[:, 0] if rows.shape[1] == 1 else (rows[:, 0] << 32) | rows[:, 1]
        sizes = self.sizes(first, count)
        before = np.cumsum(sizes) - sizes
        ahead = before[np.maximum(begins, first) - first]
        ahead[0] -= self._bytes_until(first) - self._bytes_until(int(begins[0]))
        within = np.searchsorted(ends, np.arange(first, first + count), "right")
        found: NDArray[np.int64] = starts[within] + before - ahead[within]
        return found

    def _bytes_until(self, end: int) -> int:
        index = end // BLOCK
        return self._bytes_before[index] + int(self.sizes(index * BLOCK, end - index * BLOCK).sum())


class _Chunks:
    """Which samples lie in which chunk. table : `stsc`. length : chunks. count : samples."""

    def __init__(self, table: Entries, length: int, count: int) -> None:
        check(0 < length <= count)
        self._table, self._length, self._count = table, length, count
        self._each = Runs(self._rows, table.length, length)
        self._before = [0]

    def _rows(self, first: int, count: int) -> NDArray[np.int64]:
        """int64 (N, 2): how many chunks in a row hold how many samples."""
        import numpy as np

        rows = self._table.rows(first, count + 1)
        check((rows[:, 2] == 1).all() and ((rows[:, 1] > 0) & (rows[:, 1] <= self._count)).all())
        check(first or (len(rows) and rows[0, 0] == 1))
        firsts = rows[:, 0]
        if first + len(rows) == self._table.length:
            firsts = np.append(firsts, self._length + 1)
        number = min(count, len(rows))
        return np.stack([np.diff(firsts)[:number], rows[:number, 1]], 1)

    def walk(self) -> None:
        for index in range(-(-self._length // BLOCK)):
            self._before.append(self._before[-1] + int(self._each.block(index).sum()))
        check(self._before[-1] == self._count)

    def of(self, begin: int, end: int) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """The chunks that hold samples from one to before another: number of the first, from 0; begins and ends."""
        import numpy as np

        index = first = bisect_right(self._before, begin) - 1
        blocks = []
        while index + 1 < len(self._before) and self._before[index] < end:
            blocks.append(self._before[index] + np.cumsum(self._each.block(index)))
            index += 1
        ends = np.concatenate(blocks)
        begins = np.append(self._before[first], ends[:-1])
        chosen = slice(int(np.searchsorted(ends, begin, "right")), int(np.searchsorted(begins, end)))
        return first * BLOCK + chosen.start, begins[chosen], ends[chosen]
