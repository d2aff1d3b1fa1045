"""Cuts a stream of bytes into JPEG pictures.

Works on one buffer that is used again and again. Garbage between pictures is passed over (that includes the part
headers of multipart streams), a picture that breaks off is left out, and no picture may grow without bound.
"""

from __future__ import annotations

MAX_BYTES = 1 << 25
"""Longest picture, bytes; what is longer is not one picture but damage."""

_FIRST_BYTES = 1 << 20
_LEAST_SPACE = 1 << 16
_START, _END = b"\xff\xd8\xff", b"\xff\xd9"


class JpegSplitter:
    """Give it bytes through `space()` and `fed()`, take pictures from `next()`.

    broken : pictures that broke off or were too long.
    """

    __slots__ = ("_buffer", "_end", "_max", "_scan", "_searched", "_start", "_view", "broken")

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.broken = 0
        self._max = max_bytes
        self._buffer = bytearray(min(_FIRST_BYTES, 2 * max_bytes))
        self._view = memoryview(self._buffer)
        # Bytes [start, end) wait; a picture starts at `start` once `scan`, the start of its scan data, is known (> 0).
        self._start = self._end = self._scan = self._searched = 0

    def space(self) -> memoryview:
        """Memory to read into, at least 64 KiB; pictures handed out before are overwritten."""
        free = len(self._buffer) - self._end
        if free < _LEAST_SPACE:
            waiting = self._end - self._start
            if waiting > self._max:
                self.broken += 1
                self.reset()
                waiting = 0
            old = self._view
            if waiting > len(self._buffer) // 2:
                self._buffer = bytearray(2 * len(self._buffer))
                self._view = memoryview(self._buffer)
            self._view[:waiting] = old[self._start : self._end]
            self._scan -= min(self._scan, self._start)
            self._searched -= min(self._searched, self._start)
            self._start, self._end = 0, waiting
        return self._view[self._end :]

    def fed(self, count: int) -> None:
        """`count` bytes were written into `space()`."""
        self._end += count

    def reset(self) -> None:
        """Forget what waits: the stream starts anew."""
        self._start = self._end = self._scan = self._searched = 0

    def next(self) -> memoryview | None:
        """The next whole picture, valid until the next `space()`; None when more bytes are needed."""
        while self._find_scan():
            end = self._buffer.find(_END, self._searched, self._end)
            again = self._buffer.find(_START, self._searched, self._end if end < 0 else end)
            if again >= 0:
                # A new picture starts inside this one, so this one broke off.
                self.broken += 1
                self._skip_to(again)
                continue
            if end < 0:
                # A marker may be cut in two by the end of what is here.
                self._searched = max(self._searched, self._end - 2)
                return None
            picture = self._view[self._start : end + 2]
            self._skip_to(end + 2)
            return picture.toreadonly()
        return None

    def _skip_to(self, position: int) -> None:
        self._start, self._scan, self._searched = position, 0, 0

    def _find_scan(self) -> bool:
        """Find a picture's start and walk over its header, which may hold a thumbnail, to its scan data."""
        while not self._scan:
            start = self._buffer.find(_START, self._start, self._end)
            if start < 0:
                self._start = max(self._start, self._end - 2)
                return False
            self._start = start
            position = start + 2
            while True:
                if position + 4 > self._end:
                    return False
                marker = self._buffer[position + 1]
                length = self._buffer[position + 2] << 8 | self._buffer[position + 3]
                if self._buffer[position] != 0xFF or marker < 0xC0 or marker in (0xD8, 0xD9) or length < 2:
                    # Not a header after all.
                    self.broken += 1
                    self._skip_to(start + 3)
                    break
                position += 2 + length
                if marker == 0xDA:
                    if position > self._end:
                        return False
                    self._scan = self._searched = position
                    break
        return True
