"""The script's end of the result FIFO: it waits for a viewer where the device did, and never leaves half a picture."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any

from saccade.compat import device
from saccade.private import check_place

_STANDING = 0.1
"""Seconds between two writes of the same picture: scripts write theirs in a loop, as fast as the pipe takes it."""
_PIPE_BYTES = 1 << 20
_FRAMES_FOR_A_PICTURE = 5
"""Frames after which a name that is still None is not the picture."""


class FifoFile:
    """What `open("/tmp/results.mjpeg", "w")` gives to an old script.

    The tutorials' display thread opens the FIFO, waits there for a viewer, writes the newest picture without pause and
    spins when the viewer has gone. Here `open` waits for a viewer too, and for the picture that the thread is to write
    where that is still None; but not on the main thread, whose frames it would stop, and not where a page shows the
    pictures. Each write returns: it gives the picture to a viewer if there is one that has taken the one before, and
    drops it otherwise. On the main thread nothing waits; a display thread that repeats itself is slowed down.
    """

    encoding, newlines, softspace = "latin-1", None, 0

    def __init__(self, path: str, on_picture: Callable[[bytes], None] | None = None) -> None:
        self.name, self.mode, self.closed = path, "wb", False
        self._on_picture = on_picture
        self._file = -1
        self._rest = memoryview(b"")
        self._last: tuple[int, int] = (0, 0)
        check_place(path)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISFIFO(os.lstat(path).st_mode):
                # Left over from something else, or a link; the stream would make it grow without end.
                os.rename(path, path + ".old")
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            # Scripts make theirs as the umask has it.
            os.chmod(path, 0o600)
        if threading.current_thread() is not threading.main_thread():
            device.current().displays.add(threading.get_ident())
            while on_picture is None and not self._connected():
                time.sleep(_STANDING)
            _wait_for_the_picture()

    @property
    def buffer(self) -> FifoFile:
        """Text and bytes are alike here."""
        return self

    def write(self, data: Any) -> int:
        """Show one picture, bytes or the text that Python 2 had for them; returns its length."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        picture = data.encode("latin-1", "replace") if isinstance(data, str) else memoryview(data).tobytes()
        same = (len(picture), hash(picture))
        new, self._last = same != self._last, same
        if self._on_picture is not None:
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

    def writelines(self, lines: Iterable[Any]) -> None:
        """Show the parts of one picture."""
        self.write(b"".join(part.encode("latin-1", "replace") if isinstance(part, str) else part for part in lines))

    def flush(self) -> None:
        """Nothing is buffered that could be sent."""

    def isatty(self) -> bool:
        """Never."""
        return False

    def writable(self) -> bool:
        """Always."""
        return True

    readable = seekable = isatty

    def fileno(self) -> int:
        """Descriptor of the FIFO; raises OSError while nobody reads it."""
        if not self._connected():
            raise OSError(errno.ENXIO, "nobody reads the FIFO", self.name)
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
                self._file = os.open(self.name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
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


def _wait_for_the_picture() -> None:
    """Until no name is None that the function which opens the FIFO uses, or it is clear that one stays so.

    Viewers that are there before the first frame would otherwise end threads of scripts that begin with `jpeg = None`:
    on the device the viewer came late.
    """
    frame = device.script_frame()
    if frame is None:
        return
    current = device.current()
    last = current.delivered + _FRAMES_FOR_A_PICTURE
    while current.delivered < last and _names_of_nothing(frame):
        time.sleep(_STANDING / 10)


def _names_of_nothing(frame: FrameType) -> bool:
    owner = frame.f_locals.get(frame.f_code.co_varnames[0]) if frame.f_code.co_argcount else None
    own = getattr(owner, "__dict__", {})
    return any((name in d and d[name] is None) for name in frame.f_code.co_names for d in (frame.f_globals, own))
