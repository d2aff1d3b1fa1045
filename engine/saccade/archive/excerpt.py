"""A part of an MP4 as a file of its own, so that FFmpeg's index is as long as the part and not as the film.

The excerpt is the film with a smaller `moov` in the place of its own: tables of the chosen samples, which lie where
they always lay, and a `free` box over what is left. Its times begin anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from typing import IO, TYPE_CHECKING

from saccade.archive.boxes import BLOCK, Box, check, children, only, read, scale_of
from saccade.archive.edits import head_worth, kind_of_track, shown_tracks, track_of
from saccade.archive.seeking import Seekable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SECTION = BLOCK
"""Samples of a section, at least."""
MARGIN_SECONDS, MARGIN_SAMPLES = 60, 64
"""What goes along at both ends of a segment: where decoding may begin, and frames that are stored behind its end."""
_FIXED_BYTES = 1 << 16
_KNOWN = frozenset((b"stsd", b"stts", b"ctts", b"stss", b"stsz", b"stsc", b"stco", b"co64", b"sdtp", b"sgpd", b"sbgp",
                    b"cslg", b"subs", b"free", b"skip"))  # fmt: skip
"""Tables of samples. Those that are not rewritten say nothing that decoding needs."""


class Film:
    """An MP4 of which parts may be taken for the whole. Raises Unproven where that is not certain, or not worth it.

    file : seekable. worth : least size of the `moov`, bytes; None: `edits.WORTH_BYTES`.
    """

    def __init__(self, file: IO[bytes], worth: int | None = None) -> None:
        self._file = file
        self._head = head_worth(file, worth)
        tracks = shown_tracks(file, self._head)
        check(len(tracks) == 1)
        parts = children(file, tracks[0])
        check(kind_of_track(file, parts) == b"vide")
        media = children(file, only(parts, b"mdia"))
        info = children(file, only(media, b"minf"))
        tables = children(file, only(info, b"stbl"))
        film = children(file, self._head)
        check(tables.keys() <= _KNOWN)
        # What goes along as it is: how pictures are coded, how they lie, and what ticks are.
        self._fixed = [
            self._copied(boxes, *names)
            for boxes, names in (
                (film, (b"mvhd",)), (parts, (b"tkhd",)), (media, (b"mdhd", b"hdlr")),
                (info, (b"vmhd", b"hdlr", b"dinf")), (tables, (b"stsd",)),
            )
        ]  # fmt: skip
        self._scale = scale_of(file, only(media, b"mdhd"))
        self._samples, self._zero = track_of(file, parts, scale_of(file, only(film, b"mvhd")))
        self._start = int(self._samples.of(0, 1).shown[0]) - self._zero

    def _copied(self, found: dict[bytes, list[Box]], *names: bytes) -> bytes:
        chosen = [box for name in names for box in found.get(name, ())]
        check(sum(box.end - box.at for box in chosen) <= _FIXED_BYTES)
        return b"".join(read(self._file, box.at, box.end - box.at) for box in chosen)

    def segment(self, start: int | None, stop: int | None) -> Excerpt:
        """All that tells what is seen between two key frames, given by their time stamps; None: begin, end.

        Raises Unproven where there are no key frames with these time stamps, or the excerpt is no smaller.
        """
        samples, margin = self._samples, MARGIN_SECONDS * self._scale
        first, last = 0, samples.count
        if start is not None:
            samples.key_at(start + self._zero)
            first = samples.key_before(start + self._zero - margin)
        if stop is not None:
            last = samples.key_at(stop + self._zero)
            last = min(samples.key_after(stop + self._zero + margin, last + MARGIN_SAMPLES) + 1, samples.count)
        return self._excerpt(first, last)

    def sections(self) -> Iterator[Excerpt]:
        """Excerpts that follow each other, of all samples; each begins at a key frame unless these are far apart."""
        bounds = [0]
        while bounds[-1] < self._samples.count:
            first = bounds[-1]
            stop = min(first + 2 * SECTION, self._samples.count)
            keys = self._samples.of(first, stop).keys[SECTION:].nonzero()[0]
            bounds.append(first + SECTION + int(keys[0]) if len(keys) else stop)
            self._excerpt(first, bounds[-1])  # all are certain before the first one is taken
        return (self._excerpt(first, stop) for first, stop in pairwise(bounds))

    def _places(self, first: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """int64 (N,) each: where samples lie in the file, and their sizes. None lies in what is replaced."""
        places, sizes = self._samples.places(first, stop - first), self._samples.sizes(first, stop - first)
        check(((places >= self._head.end) | (places + sizes <= self._head.at)).all())
        return places, sizes

    def _excerpt(self, first: int, stop: int) -> Excerpt:
        import numpy as np

        part = self._samples.of(first, stop)
        places, sizes = self._places(first, stop)
        # Without a single entry it would mean that nobody knows: one behind the end is no sample's.
        keys = part.keys.nonzero()[0] + 1 if part.keys.any() else np.array([stop - first + 1])
        tables = [
            _table(b"stts", _runs(part.durations)),
            _table(b"stss", keys),
            _box(b"stsz", bytes(8) + _numbers([len(sizes)]) + _numbers(sizes)),
            _table(b"stsc", np.array([[1, 1, 1]])),
            _table(b"co64", np.stack([places >> 32, places & 0xFFFFFFFF], 1)),
        ]
        if self._samples.reordered:
            tables.append(_table(b"ctts", _runs(part.offsets)))
        film, track, media, info, description = self._fixed
        content = _box(b"minf", info + _box(b"stbl", description + b"".join(tables)))
        head = _box(b"moov", film + _box(b"trak", track + _box(b"mdia", media + content)))
        left = self._head.end - self._head.at - len(head)
        check(left >= 0)
        excerpt = Excerpt(self._file, self._head.at, head + free(left), self._file.seek(0, os.SEEK_END))
        excerpt.count, excerpt.later = int((sizes > 0).sum()), first > 0
        excerpt.start, excerpt.shift = self._start, int(part.decoded[0]) - self._zero
        return excerpt


def _runs(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (N, 2): how many times each value comes, as stored in `stts` and `ctts`."""
    import numpy as np

    begins = np.append(0, np.diff(values).nonzero()[0] + 1)
    return np.stack([np.diff(np.append(begins, len(values))), values[begins]], 1)


def _numbers(values: NDArray[np.int64] | list[int]) -> bytes:
    import numpy as np

    return (np.asarray(values) & 0xFFFFFFFF).astype(">u4").tobytes()


def _box(name: bytes, content: bytes) -> bytes:
    return _numbers([len(content) + 8]) + name + content


def free(size: int) -> bytes:
    """The head of a box that says nothing, of so many bytes in all; raises Unproven where there is none so small."""
    check(size == 0 or size >= 8)
    if size >> 32:
        return _numbers([1]) + b"free" + size.to_bytes(8, "big")
    return _numbers([size]) + b"free" if size else b""


def _table(name: bytes, rows: NDArray[np.int64]) -> bytes:
    return _box(name, bytes(4) + _numbers([len(rows)]) + _numbers(rows))


class Excerpt(Seekable):
    """The film with other bytes at a place, and of another size.

    count : packets that it must give, or 0 where that is not known.
    later : the film begins before it.
    start : time stamp of the film's first frame as FFmpeg has it, ticks. shift : to add to time stamps for the film's.
    """

    count, later, start, shift = 0, False, 0, 0

    def __init__(self, file: IO[bytes], at: int, patch: bytes, size: int) -> None:
        super().__init__(size)
        self._file, self._at, self._patch = file, at, patch

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes; all that is left where it is negative or None."""
        if size is None or size < 0:
            return self.readall()
        within = self._position - self._at
        size = max(0, min(size, self._size - self._position))
        if 0 <= within < len(self._patch):
            data = self._patch[within : within + size]
        else:
            self._file.seek(self._position)
            data = self._file.read(min(size, -within) if within < 0 else size)
        self._position += len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """As many bytes as there are room for, or less."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
