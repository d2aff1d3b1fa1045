"""MJPEG from a FIFO or standard input: what the camera daemon of a DeepLens offers."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from saccade.capture.source import Picture, Source
from saccade.capture.split import JpegSplitter
from saccade.errors import SourceError

_LOOK_SECONDS = 0.1


class SplitSource(Source):
    """What all sources share that are a stream of bytes with JPEG pictures in it."""

    live = True
    every_frame = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._splitter = JpegSplitter()
        self._bytes = 0

    def _next_picture(self, receive: Callable[[memoryview], int]) -> Picture | None:
        """The next picture; `receive` reads into memory and returns a count, 0 at the end, -1 when interrupted."""
        splitter = self._splitter
        data = splitter.next()
        while data is None:
            count = receive(splitter.space())
            if count < 0:
                return None
            if count == 0:
                splitter.reset()
                raise SourceError(f"{self.name}: the stream ended")
            splitter.fed(count)
            self._bytes += count
            data = splitter.next()
        skipped = 0
        if not self.every_frame:
            # More than one whole picture is here: only the last is new.
            while (newer := splitter.next()) is not None:
                data = newer
                skipped += 1
        self.damaged = splitter.broken
        size, self._bytes = self._bytes, 0
        return Picture(
            time=time.time(), captured=time.monotonic(), size=size, skipped=skipped, jpeg=data, transient=True
        )


class PipeSource(SplitSource):
    """An MJPEG pipe. A FIFO is opened again when its writer leaves; standard input then ends."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.live = path != "-"
        self._fd = -1
        self._heard = False

    def open(self) -> None:
        """Open the pipe, whether anybody writes into it or not."""
        self.close()
        self._splitter.reset()
        if not self.live:
            self._fd = os.dup(0)
            return
        try:
            # Non-blocking, or open() would wait for a writer where nobody can interrupt it.
            self._fd = os.open(self.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror}") from error
        self._heard = False

    def read(self) -> Picture | None:
        """The newest whole picture in the pipe."""
        try:
            return self._next_picture(self._receive)
        except SourceError:
            if self.live:
                raise
            return None

    def close(self) -> None:
        """Close the pipe."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _receive(self, memory: memoryview) -> int:
        while self._wait():
            try:
                count = os.readv(self._fd, [memory])
                self._heard = True
                return count
            except BlockingIOError:
                continue
            except OSError as error:
                raise SourceError(f"{self.name}: {error.strerror}") from error
        return -1

    def _wait(self) -> bool:
        """True when there is something to read; False when interrupted. Patience begins with the first byte."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        start = time.monotonic()
        while not self.interrupted:
            if poll.poll(_LOOK_SECONDS * 1000):
                return True
            if self._heard and self.live and time.monotonic() - start > self.stall:
                raise SourceError(f"{self.name}: silent for {self.stall:.0f} s")
        return False
