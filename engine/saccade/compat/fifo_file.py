"""The script's end of the result FIFO: writing never waits for a viewer and never leaves half a picture."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

_STANDING = 0.1
"""Seconds between two writes of the same picture: scripts write theirs in a loop, as fast as the pipe takes it."""
_PIPE_BYTES = 1 << 20


class FifoFile:
    """What `open("/tmp/results.mjpeg", "w")` gives to an old script.

    The tutorials' display thread opens the FIFO, waits there for a viewer, writes the newest picture without pause and
    spins when the viewer has gone. Here each write returns: it gives the picture to a viewer if there is one that has
    taken the one before, and drops it otherwise. On the main thread nothing waits; a display thread that repeats
    itself is slowed down.
    """

    def __init__(self, path: str, on_picture: Callable[[bytes], None] | None = None) -> None:
        self.name, self.mode, self.closed = path, "wb", False
        self._on_picture = on_picture
        self._file = -1
        self._rest = memoryview(b"")
        self._last: tuple[int, int] = (0, 0)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISFIFO(os.stat(path).st_mode):
                # Left over from something else; the stream would make it grow without end.
                os.rename(path, path + ".old")
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path)

    def write(self, data: Any) -> int:
        """Show one picture, bytes or the text that Python 2 had for them; returns its length."""
        picture = data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)
        same = (len(picture), hash(picture))
        new, self._last = same != self._last, same
        if new and self._on_picture is not None:
            self._on_picture(picture)
        patient = threading.current_thread() is not threading.main_thread()
        if not self._connected():
            if patient:
                time.sleep(_STANDING)
            return len(picture)
        if patient and not new:
            time.sleep(_STANDING)
        try:
            self._push(patient)
            if not self._rest:
                self._rest = memoryview(picture)
                self._push(patient)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EBADF):
                raise
            self._hang_up()
        return len(picture)

    def flush(self) -> None:
        """Nothing is buffered that could be sent."""

    def fileno(self) -> int:
        """Descriptor of the FIFO."""
        return self._file

    def close(self) -> None:
        """End."""
        self.closed = True
        self._hang_up()

    def __enter__(self) -> FifoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> bool:
        if self._file < 0:
            try:
                self._file = os.open(self.name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                return False  # ENXIO: nobody reads
            if stat.S_ISFIFO(os.fstat(self._file).st_mode):
                with contextlib.suppress(OSError):
                    fcntl.fcntl(self._file, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return True

    def _push(self, patient: bool) -> None:
        """Write what is left of a picture, as far as the viewer takes it."""
        while self._rest:
            try:
                self._rest = self._rest[os.write(self._file, self._rest) :]
            except BlockingIOError:
                if not patient or not select.select([], [self._file], [], _STANDING)[1]:
                    return

    def _hang_up(self) -> None:
        self._rest = memoryview(b"")
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
