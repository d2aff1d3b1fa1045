"""Cuts a stream of bytes into JPEG pictures: raw MJPEG, multipart, from a file, a pipe or a socket.

Works on one buffer that is used again and again, and no picture may grow without bound. A picture ends at its EOI;
without one at the next SOI, where a part's Content-Length says so, or with the stream. Whether it is whole then is
for the decoder to say. What lies between pictures is passed over, the heads of multipart streams included; a part
that claims to be a picture and holds none is counted.
"""

from __future__ import annotations

import re

from saccade.capture import markers

MAX_BYTES = 1 << 25
"""Longest picture, bytes; what is longer is not one picture but damage."""

_FIRST_BYTES = 1 << 20
_LEAST_SPACE = 1 << 16
_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_HEAD_BYTES = 1 << 10
"""Longest head of a part."""
_MOST_JUNK = 1 << 12
"""So many bytes that are no segments may stand in a header."""
_PICTURE_PART = re.compile(rb"(?i)content-type:[ \t]*image/")
_LENGTH = re.compile(rb"(?i)content-length:[ \t]*(\d{1,9})[ \t]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n\Z")
_HEAD = re.compile(rb"\r?\n--[^\r\n]{1,200}(?:\r?\n(?:[\w-]+:[^\r\n]*\r?\n)*(?:\r?\n)?)?\Z")
_ENDS = (b"\r\n--", b"\n--", b"--", b"\xff\xd8")


class JpegSplitter:
    """Give it bytes through `space()` and `fed()`, take pictures from `next()`; `finish()` when no byte will come.

    broken : pictures that broke off in their header or were too long, and parts that held none.
    """

    __slots__ = (
        "_buffer", "_end", "_final", "_gap", "_junk", "_limit", "_max", "_parts", "_position", "_scanning", "_start",
        "_view", "broken",
    )  # fmt: skip

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.broken = 0
        self._max = max_bytes
        self._buffer = bytearray(min(_FIRST_BYTES, 2 * max_bytes))
        self._view = memoryview(self._buffer)
        self.reset()

    def reset(self) -> None:
        """Forget what waits: the stream starts anew."""
        # Bytes [start, end) wait. Up to `position` they are known: no picture (position == start), a header, or, when
        # `scanning`, scan data without an end. [gap, start) lies before the picture and is looked through for heads.
        self._start = self._end = self._position = self._gap = 0
        self._scanning = self._final = False
        self._limit = self._junk = 0
        self._parts = 0

    def space(self) -> memoryview:
        """Memory to read into, at least 64 KiB; pictures handed out before are overwritten."""
        if len(self._buffer) - self._end < _LEAST_SPACE:
            if self._end - self._start > self._max:
                self.broken += 1
                self._look_from(max(self._start + 2, self._position if self._scanning else 0))
            self._make_room()
        return self._view[self._end :]

    def fed(self, count: int) -> None:
        """`count` bytes were written into `space()`."""
        self._end += count

    def finish(self) -> None:
        """The stream ends here: what waits is all there is of it."""
        self._final = True

    def next(self) -> memoryview | None:
        """The next picture, valid until the next `space()`; None when more bytes are needed."""
        while self._find_scan():
            end = self._buffer.find(_END, self._position, self._end)
            again = self._buffer.find(_START, self._position, self._end if end < 0 else end)
            known = min(found for found in (end, again, self._end) if found >= 0)
            if self._limit and self._limit <= known:
                ends = self._ends_at(self._limit)
                if ends is None:
                    return None
                if ends:
                    return self._picture(self._limit, self._limit)
                self._limit = 0
            if again >= 0:
                return self._picture(self._without_head(again), again)
            if end >= 0:
                return self._picture(end + 2, end + 2)
            if self._final:
                return self._picture(self._without_head(self._end), self._end)
            # A marker may be cut in two by the end of what is here.
            self._position = max(self._position, self._end - 2)
            return None
        return None

    def _picture(self, end: int, start: int) -> memoryview:
        """The picture up to `end`; the next is looked for from `start`."""
        picture = self._view[self._start : end]
        self._look_from(start)
        self._gap = end
        return picture.toreadonly()

    def _look_from(self, position: int) -> None:
        self._start = self._position = self._gap = position
        self._scanning, self._limit, self._junk = False, 0, 0

    def _ends_at(self, limit: int) -> bool | None:
        """True where a part ends at its Content-Length, False where that was wrong; None when more bytes are needed."""
        behind = bytes(self._buffer[limit : min(limit + 4, self._end)])
        if self._final or behind.startswith(_ENDS):
            return not behind or behind.startswith((b"\r\n", *_ENDS))
        if len(behind) < 2:
            return None if not behind or behind in b"\r\xff" else False
        # The line end behind a part comes with it, the next boundary only with the next part.
        return behind == b"\r\n"

    def _without_head(self, position: int) -> int:
        """Where the picture before `position` ends, if a boundary and a part's head stand between."""
        tail = bytes(self._buffer[max(self._start, position - _HEAD_BYTES) : position])
        found = _HEAD.search(tail)
        return position - (len(tail) - found.start() if found else 0)

    def _find_scan(self) -> bool:
        """Find a picture's start and walk over its header, which may hold a thumbnail, to its scan data."""
        while not self._scanning:
            if self._position == self._start and not self._find_start():
                return False
            found = markers.segment(self._buffer, self._position, self._end)
            if found is None or found.end + 2 > self._end:
                if not self._final:
                    return False
                if not self._resume(self._position + 2):
                    self.broken += 1
                    self._look_from(self._end)
            elif found.marker == 0:
                # Not a marker: garbage in the header, or the picture broke off.
                marker = self._buffer.find(b"\xff", found.end + 1, self._end)
                self._position = marker if marker >= 0 else self._end
                self._junk += self._position - found.end
                if self._junk > _MOST_JUNK:
                    self.broken += 1
                    self._look_from(self._position)
            elif found.marker == markers.SOI:
                # A second SOI takes the place of the first; whatever lies between is lost.
                self.broken += self._position > self._start + 2
                self._look_from(found.start - 2)
            elif found.marker == markers.EOI:
                self.broken += 1
                self._look_from(found.end)
            elif found.marker == markers.SOS:
                self._position, self._scanning = found.end, True
            elif self._continues(found.end) or not self._resume(found.start):
                self._position = found.end
        return True

    def _find_start(self) -> bool:
        """Go to the next SOI and note what its part's head says of it."""
        start = self._buffer.find(_START, self._start, self._end)
        if start < 0:
            self._pass_over()
            return False
        if start > self._gap:
            self._count_parts(self._gap, start)
            length = _LENGTH.search(bytes(self._buffer[max(self._gap, start - _HEAD_BYTES) : start]))
            self._limit = start + int(length[1]) if length else 0
        self._parts = 0
        self._start, self._position, self._gap = start, start + 2, start
        return True

    def _pass_over(self) -> None:
        """Nothing here is a picture; the last bytes may become the head of one."""
        keep = self._end if self._final else max(self._gap, self._end - _HEAD_BYTES)
        counted = self._count_parts(self._gap, keep)
        if self._final and self._parts:
            self.broken += 1
            self._parts = 0
        # One byte less than SOI and the marker behind it.
        self._start = self._position = max(self._start, min(keep, self._end - 2))
        self._gap = max(self._start, counted)

    def _count_parts(self, start: int, end: int) -> int:
        """Count heads of picture parts that begin in [start, end); all but the last held no picture."""
        for head in _PICTURE_PART.finditer(self._buffer, start, min(end + 64, self._end)):
            if head.start() >= end:
                break
            self._parts += 1
            start = head.end()
        if self._parts > 1:
            self.broken += self._parts - 1
            self._parts = 1
        return max(start, end)

    def _continues(self, position: int) -> bool:
        """True where another marker follows a segment of the header; else its length was wrong, or it was cut."""
        marker = self._buffer[position + 1]
        return self._buffer[position] == 0xFF and marker >= 0xC0 and not 0xD0 <= marker <= 0xD9

    def _resume(self, position: int) -> bool:
        """Give the picture up for one that starts inside what seemed to be its header, if one does."""
        start = self._buffer.find(_START, position, self._end)
        if start < 0:
            return False
        self.broken += 1
        self._look_from(start)
        return True

    def _make_room(self) -> None:
        """Move what waits to the front, into a larger buffer where it fills more than half of this one."""
        first = min(self._gap, self._start)
        waiting, old = self._end - first, self._view
        if waiting > len(self._buffer) // 2:
            self._buffer = bytearray(2 * len(self._buffer))
            self._view = memoryview(self._buffer)
        self._view[:waiting] = old[first : self._end]
        self._start -= first
        self._position -= first
        self._gap -= first
        self._limit -= min(self._limit, first)
        self._end = waiting
