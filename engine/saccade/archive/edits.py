"""Whether the edit lists of an MP4 change anything, read from its own boxes (ISO/IEC 14496-12).

To obey an edit list, FFmpeg makes a second index of all samples beside the first, 24 bytes a sample, also for the list
that nearly every writer puts in: one edit that shows the whole track from its first frame on. It can be told to only
shift the times instead (`advanced_editlist`), which gives the same packets for such lists, and others for any other.
So that is done on proof alone: what is not understood to the end counts as changing something.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORTH_BYTES = 1 << 20
"""Of smaller heads (`moov`), as an hour of video has, the index is a few MB at most: they are not looked into."""
MOST_BOXES = 256
"""In one box, or in the file up to `moov`."""
MOST_SAMPLES = 1 << 26
_BLOCK = 1 << 13
_LARGE = 1 << 28
"""FFmpeg repairs what it takes for damage: durations and offsets beyond this."""
_NOT_SHOWN = frozenset((b"soun", b"hint", b"text", b"sbtl", b"subt", b"subp", b"clcp", b"tmcd", b"meta", b"camm"))
_FRAGMENTED = frozenset((b"mvex", b"cmov"))
_Box = tuple[int, int]
"""Where the content of a box begins and ends in the file."""


class _Unproven(Exception):
    """Something is not as it is where nothing changes."""


def change_nothing(file: IO[bytes], worth: int | None = None) -> bool:
    """Whether the frames of a file, and their times, are the same without its edit lists, times shifted.

    file : seekable, at any position. worth : least size of a head to look into, bytes; None: `WORTH_BYTES`.
    False also for other formats, and for what is damaged or fragmented.
    """
    try:
        head = _head(file)
        if head[1] - head[0] < (WORTH_BYTES if worth is None else worth):
            return False
        parts = _children(file, head)
        _check(_FRAGMENTED.isdisjoint(parts))
        scale = _scale(file, _only(parts, b"mvhd"))
        for track in parts.get(b"trak", ()):
            _check_track(file, track, scale)
        return b"trak" in parts
    except _Unproven:
        return False


def _check(holds: object) -> None:
    if not holds:
        raise _Unproven


def _read(file: IO[bytes], at: int, count: int) -> bytes:
    file.seek(at)
    data = bytearray()
    while len(data) < count:  # what reads from S3 gives a block at a time
        more = file.read(count - len(data))
        _check(more)
        data += more
    return bytes(data)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _boxes(file: IO[bytes], within: _Box) -> Iterator[tuple[bytes, _Box]]:
    at, end = within
    for _ in range(MOST_BOXES):
        if at == end:
            return
        _check(end - at >= 8)
        head = _read(file, at, 8)
        size, length = _number(head[:4]), 8
        if size == 1:
            size, length = _number(_read(file, at + 8, 8)), 16
        _check(length <= size <= end - at)
        yield head[4:], (at + length, at + size)
        at += size
    raise _Unproven


def _head(file: IO[bytes]) -> _Box:
    """The content of `moov`."""
    size = file.seek(0, os.SEEK_END)
    for name, box in _boxes(file, (0, size)):
        _check(name != b"moof")
        if name == b"moov":
            return box
    raise _Unproven


def _children(file: IO[bytes], box: _Box) -> dict[bytes, list[_Box]]:
    found: dict[bytes, list[_Box]] = {}
    for name, content in _boxes(file, box):
        found.setdefault(name, []).append(content)
    return found


def _only(boxes: dict[bytes, list[_Box]], name: bytes) -> _Box:
    found = boxes.get(name, [])
    _check(len(found) == 1)
    return found[0]


def _scale(file: IO[bytes], box: _Box) -> int:
    """Ticks a second of a `mvhd` or `mdhd`."""
    data = _read(file, box[0], 24)
    scale = _number(data[20:24] if data[0] == 1 else data[12:16])
    _check(data[0] <= 1 and 0 < scale < 1 << 31)
    return scale


def _check_track(file: IO[bytes], track: _Box, scale: int) -> None:
    parts = _children(file, track)
    media = _children(file, _only(parts, b"mdia"))
    if _read(file, _only(media, b"hdlr")[0], 12)[8:] in _NOT_SHOWN or b"edts" not in parts:
        return
    edits = _children(file, _only(parts, b"edts"))
    _check(edits.keys() == {b"elst"})
    begin, length = _edit(file, _only(edits, b"elst"))
    # As FFmpeg rounds: to the nearest, halves up.
    length = (2 * length * _scale(file, _only(media, b"mdhd")) + scale) // (2 * scale)
    tables = _children(file, _only(_children(file, _only(media, b"minf")), b"stbl"))
    _check_samples(file, tables, begin, begin + length)


def _edit(file: IO[bytes], box: _Box) -> tuple[int, int]:
    """Begin, in ticks of the track, and length, in those of the film, of the only edit."""
    data = _read(file, box[0], box[1] - box[0] if box[1] - box[0] <= 28 else 28)
    long = data[:1] == b"\1"
    _check(len(data) == (28 if long else 20) and box[1] - box[0] == len(data) and data[0] <= 1)
    width = 8 if long else 4
    count, length, begin, rate = data[4:8], data[8 : 8 + width], data[8 + width : -4], data[-4:]
    _check(_number(count) == 1 and rate == b"\0\1\0\0" and begin[0] < 0x80)
    _check(0 < _number(length) < 1 << 48 and _number(begin) < 1 << 48)
    return _number(begin), _number(length)


def _check_samples(file: IO[bytes], tables: dict[bytes, list[_Box]], begin: int, end: int) -> None:
    """Every sample is shown within the edit, the first one at its begin, and none before the last ends it.

    FFmpeg leaves an edit at the first key frame that lasts beyond its end, or at the second where frames are not shown
    in the order they are stored in.
    """
    import numpy as np

    _check(b"stps" not in tables)
    for box in tables.get(b"sbgp", ()):
        _check(_read(file, box[0], 8)[4:] != b"rap ")
    sizes = _only(tables, b"stsz")
    size, count = (_number(_read(file, sizes[0], 12)[at : at + 4]) for at in (4, 8))
    _check(0 < count <= MOST_SAMPLES and size <= _LARGE)
    if not size:
        for block in _table(file, (sizes[0] + 4, sizes[1]), 1):
            _check((block <= _LARGE).all())
    _check_chunks(file, tables, count)
    reordered = b"ctts" in tables
    durations = _unrolled(_table(file, _only(tables, b"stts"), 2), count)
    offsets = _unrolled(_table(file, _only(tables, b"ctts"), 2), count) if reordered else None
    done, decoded = 0, 0
    beyond: list[int] = []
    for duration in durations:
        numbers = np.arange(done, done + len(duration))
        times = decoded + np.cumsum(duration) - duration
        decoded = int(times[-1] + duration[-1])
        if offsets is not None:
            offset = next(offsets).astype(np.uint32).view(np.int32).astype(np.int64)
            _check((np.abs(offset) <= _LARGE).all())
            times += offset
        _check(((duration > 0) | (numbers == count - 1)).all() and (duration <= _LARGE).all())
        _check(((times > begin) | (numbers == 0)).all() and (times < end).all() and (done or times[0] == begin))
        beyond += numbers[(times + duration >= end) & (numbers < count - 1)].tolist()
        _check(len(beyond) <= MOST_BOXES)
        done += len(duration)
    _check(offsets is None or next(offsets, None) is None)
    if b"stss" in tables:
        keys = _table(file, _only(tables, b"stss"), 1)
        first, lasting = None, 0
        for block in keys:
            first = int(block[0, 0]) if first is None else first
            lasting += int(np.isin(block[:, 0] - 1, beyond).sum())
        _check(first == 1 and lasting <= reordered)
    else:
        _check(len(beyond) <= reordered)


def _check_chunks(file: IO[bytes], tables: dict[bytes, list[_Box]], count: int) -> None:
    """The chunks hold so many samples, all of one description: only then FFmpeg comes to look at edits."""
    import numpy as np

    if b"co64" in tables:
        for block in _table(file, _only(tables, b"co64"), 2):
            _check((block[:, 0] <= _LARGE).all())

    chunks = _only(tables, b"stco") if b"stco" in tables else _only(tables, b"co64")
    last = _number(_read(file, chunks[0], 8)[4:]) + 1
    at, each, held = 0, 0, 0
    for block in _table(file, _only(tables, b"stsc"), 3):
        _check((block[:, 2] == 1).all() and (block[:, 1] > 0).all() and (block[:, 1] <= count).all())
        firsts, per_chunk = np.append(block[:, 0], last), block[:, 1]
        _check((np.diff(np.append(at, block[:, 0])) > 0).all() and (firsts <= last).all())
        _check(at or firsts[0] == 1)
        held += each * (int(firsts[0]) - at)
        held += int((per_chunk[:-1] * np.diff(firsts[:-1])).sum())
        at, each = int(firsts[-2]), int(per_chunk[-1])
    _check(held + each * (last - at) == count)


def _table(file: IO[bytes], box: _Box, columns: int) -> Iterator[NDArray[np.int64]]:
    """int64 (N, columns): the entries of a table, block by block."""
    import numpy as np

    begin, end = box
    _check(end - begin >= 8)
    left, at = _number(_read(file, begin, 8)[4:]), begin + 8
    _check(left * columns * 4 <= end - at)
    while left:
        count = min(left, _BLOCK)
        data = _read(file, at, count * columns * 4)
        yield np.frombuffer(data, ">u4").reshape(count, columns).astype(np.int64)
        left, at = left - count, at + len(data)


def _unrolled(runs: Iterator[NDArray[np.int64]], count: int) -> Iterator[NDArray[np.int64]]:
    """int64 (N,): the values of `count` samples, in blocks that depend on `count` alone, of runs (number, value)."""
    import numpy as np

    held = np.zeros((0, 2), np.int64)
    done = 0
    while done < count:
        wanted = min(_BLOCK, count - done)
        while held[:, 0].sum() < wanted:
            more = next(runs, None)
            _check(more is not None)
            assert more is not None
            _check(((more[:, 0] > 0) & (more[:, 0] <= count)).all())
            held = np.concatenate([held, more])
        ends = np.cumsum(held[:, 0])
        whole = int(np.searchsorted(ends, wanted))  # the run in which the block ends
        taken = held[: whole + 1].copy()
        taken[-1, 0] -= ends[whole] - wanted
        yield np.repeat(taken[:, 1], taken[:, 0])
        held = held[whole:].copy()
        held[0, 0] = ends[whole] - wanted
        held = held[held[:, 0] > 0]
        done += wanted
    _check(not len(held) and next(runs, None) is None)
