"""MJPEG as a stream of bytes: a FIFO (what the camera daemon of a DeepLens offers), standard input, a file."""

from __future__ import annotations

import io
import logging
import os
import re
import select
import time
from collections.abc import Callable, Iterator

from saccade.capture.formats import format_of
from saccade.capture.source import Picture, Source, at_rate
from saccade.capture.split import JpegSplitter
from saccade.errors import SourceError

_log = logging.getLogger(__name__)

UNUSABLE_SECONDS = 5.0
"""A stream that sends bytes and no picture for so long is named, once."""
STREAM_RATE = 25.0
"""Raw MJPEG in a file has no clock; FFmpeg takes it for this rate, Hz."""
_LOOK_SECONDS = 0.1
_HEAD_BYTES, _KNOWN_BYTES = 256, 16
_KINDS = (
    (re.compile(rb".{4}(ftyp|moov|mdat|wide|free)", re.DOTALL), "MP4 or MOV"),
    (re.compile(rb"\x1aE\xdf\xa3"), "Matroska or WebM"),
    (re.compile(rb"RIFF.{4}AVI ", re.DOTALL), "AVI"),
    (re.compile(rb"\0\0\0?\x01[\x00-\x7f]"), "raw H.264 or H.265"),
    (re.compile(rb"G.{187}G", re.DOTALL), "MPEG-TS"),
    (re.compile(rb"FLV\x01"), "FLV"),
    (re.compile(rb"OggS"), "Ogg"),
)


def kind_of(head: bytes) -> str:
    """What a stream that is no MJPEG seems to be; empty where that is not known."""
    known = format_of(head)
    if known is not None:
        return known.name
    return next((name for magic, name in _KINDS if magic.match(head)), "")


class SplitSource(Source):
    """What all sources share that are a stream of bytes with JPEG pictures in it."""

    live = True
    every_frame = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._splitter = JpegSplitter()
        self._named = False
        self._begin()

    def _begin(self) -> None:
        """The stream starts anew."""
        self._splitter.reset()
        self._broken = self._splitter.broken
        self._head = b""
        self._bytes = self._fruitless = self._found = 0
        self._ended = False
        # When the newest picture came, or before any the first byte; None while nobody has said a word.
        self._heard: float | None = None

    def _next_picture(self, receive: Callable[[memoryview], int], *, newest: bool) -> Picture | None:
        """The next picture; None at the end of a stream that had some, or when interrupted.

        receive : reads into memory and returns a count, 0 at the end, -1 when interrupted. newest : where more than one
        whole picture is here, only the last. Raises `SourceError` when a live stream ends, or one without a picture.
        """
        splitter = self._splitter
        data = splitter.next()
        while data is None:
            if self._ended:
                if self._found and not self.live:
                    return None
                raise SourceError(f"{self.name}: {self._end_reason()}")
            memory = splitter.space()
            count = receive(memory)
            if count < 0:
                return None
            if count:
                self._note_bytes(memory[:count])
            else:
                self._ended = True
                splitter.finish()
            data = splitter.next()
            self._note_broken()
            if data is None:
                self._check_patience()
        skipped = 0
        if newest:
            while (newer := splitter.next()) is not None:
                data = newer
                skipped += 1
            self._note_broken()
        size, self._bytes, self._fruitless = self._bytes, 0, 0
        self._found += 1 + skipped
        self._heard = time.monotonic()
        return Picture(time=time.time(), captured=self._heard, size=size, skipped=skipped, jpeg=data, transient=True)

    def _note_bytes(self, fresh: memoryview) -> None:
        if self._heard is None:
            self._heard = time.monotonic()
        if len(self._head) < _HEAD_BYTES:
            self._head += bytes(fresh[:_HEAD_BYTES])
        self._splitter.fed(len(fresh))
        self._bytes += len(fresh)
        self._fruitless += len(fresh)
        if not self._found and len(self._head) >= _KNOWN_BYTES and kind_of(self._head):
            raise SourceError(f"{self.name}: {self._expected()}")

    def _note_broken(self) -> None:
        count, self._broken = self._splitter.broken - self._broken, self._splitter.broken
        if count:
            self.note_damage("a picture broke off, or a part of the stream holds none", count)

    def _check_patience(self) -> None:
        """A stream counts by its pictures: bytes of which none becomes one do not keep it alive."""
        if self._heard is None:
            return
        silence = time.monotonic() - self._heard
        if self.live and silence > self.stall:
            what = f"{self._fruitless} bytes without a picture" if self._fruitless else "silent"
            raise SourceError(f"{self.name}: {what} for {silence:.0f} s")
        if self._fruitless and silence > UNUSABLE_SECONDS and not self._named:
            self._named = True
            self.damaged += 1
            _log.warning("%s: %s", self.name, self._expected())

    def _end_reason(self) -> str:
        return "the stream ended" if self._found or not self._fruitless else f"the stream ended; {self._expected()}"

    def _expected(self) -> str:
        kind = kind_of(self._head)
        seen = f"this looks like {kind}" if kind else f"{self._fruitless} bytes hold no picture"
        return f"{seen}; expected is MJPEG, JPEG pictures one after the other"


class MjpegFileSource(SplitSource):
    """Raw MJPEG in a file, at `STREAM_RATE`. paced : play at that rate, and leave out what is late."""

    live = False
    every_frame = True

    def __init__(self, path: str, *, paced: bool = False) -> None:
        super().__init__(path)
        self._paced = paced
        self._file: io.FileIO | None = None
        self._pictures: Iterator[Picture] = iter(())

    def open(self) -> None:
        """Open the file at its start."""
        self.close()
        self._begin()
        self.frame_rate = STREAM_RATE
        try:
            self._file = io.FileIO(self.name)
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror}") from error
        pictures = self._all(self._file)
        self._pictures = at_rate(pictures, self._stop, 1 / STREAM_RATE) if self._paced else pictures

    def read(self) -> Picture | None:
        """The next picture."""
        try:
            return next(self._pictures, None)
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        self._pictures = iter(())
        if self._file is not None:
            self._file.close()
            self._file = None

    def _all(self, file: io.FileIO) -> Iterator[Picture]:
        def receive(memory: memoryview) -> int:
            return -1 if self.interrupted else file.readinto(memory) or 0

        index = 0
        while (picture := self._next_picture(receive, newest=False)) is not None:
            picture.time = index / STREAM_RATE
            index += 1
            yield picture


class PipeSource(SplitSource):
    """An MJPEG pipe. A FIFO is opened again when its writer leaves; standard input and other pipes then end.

    fd : file descriptor that is open already, in place of a path.
    """

    def __init__(self, path: str, *, fd: int | None = None) -> None:
        super().__init__(path)
        self.live = self.comes_later = fd is None
        self._given = fd
        self._fd = -1

    def open(self) -> None:
        """Open the pipe, whether anybody writes into it or not."""
        self.close()
        self._begin()
        try:
            if self._given is not None:
                self._fd = os.dup(self._given)
            else:
                # Non-blocking, or open() would wait for a writer where nobody can interrupt it.
                self._fd = os.open(self.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror}") from error

    def read(self) -> Picture | None:
        """The newest whole picture in the pipe."""
        return self._next_picture(self._receive, newest=not self.every_frame)

    def close(self) -> None:
        """Close the pipe."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _receive(self, memory: memoryview) -> int:
        while self._wait():
            try:
                return os.readv(self._fd, [memory])
            except BlockingIOError:
                continue
            except OSError as error:
                raise SourceError(f"{self.name}: {error.strerror}") from error
        return -1

    def _wait(self) -> bool:
        """True when there is something to read; False when interrupted."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not self.interrupted:
            if poll.poll(_LOOK_SECONDS * 1000):
                return True
            self._check_patience()
        return False
