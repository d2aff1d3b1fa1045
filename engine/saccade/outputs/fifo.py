"""The annotated stream as MJPEG in a named pipe, as DeepLens projects had it.

Watch it with `mplayer -demuxer lavf -lavfdopts format=mjpeg:probesize=32 /tmp/results.mjpeg` or
`ffplay -f mjpeg /tmp/results.mjpeg`. Readers may come, stall, be killed and come again: one thread serves them all,
never blocks on them, and sleeps while there is none.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import stat
import threading
from pathlib import Path
from time import monotonic

from saccade.errors import OutputError
from saccade.outputs.display import Display

log = logging.getLogger(__name__)

DEFAULT_PATH = "/tmp/results.mjpeg"

LOOK_FOR_READER_SECONDS = 0.25
"""How often a pipe without a reader is tried. POSIX tells a writer of a new reader in no other way."""

PATIENCE_SECONDS = 0.1
"""How long a wait lasts before it is looked whether to stop, s."""

LAST_FRAME_SECONDS = 0.3
"""How long closing waits for a reader to take the rest of a frame, s."""


class Fifo:
    """Writes the display's pictures to a named pipe.

    Parameters
    ----------
    path : of the pipe; made if it is not there, and then removed by `close()`.
    mode : permissions of a pipe that is made. Readers of other users need 0o644; the stream shows people.

    Raises
    ------
    OutputError : `path` is something else than a pipe, or cannot be made.
    """

    def __init__(self, display: Display, path: str | Path = DEFAULT_PATH, *, mode: int = 0o600) -> None:
        self.path = Path(path)
        self._display = display
        self._mode = mode
        self._made: tuple[int, int] | None = None  # device and inode of the pipe that is ours to remove
        self._stop = threading.Event()
        self._make()
        self._thread = threading.Thread(target=self._run, name="saccade-fifo", daemon=True)

    def start(self) -> Fifo:
        """Begin to look for readers."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop, and remove the pipe if this object made it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            found = os.lstat(self.path)
            # Inode numbers are used again: a file in the pipe's place may have the pipe's.
            if (found.st_dev, found.st_ino) == self._made and stat.S_ISFIFO(found.st_mode):
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("%s cannot be removed: %s", self.path, error.strerror)
        self._made = None

    def _make(self) -> None:
        try:
            os.mkfifo(self.path, self._mode)
            made = os.lstat(self.path)
            self._made = made.st_dev, made.st_ino
        except FileExistsError:
            if not stat.S_ISFIFO(os.lstat(self.path).st_mode):
                raise OutputError(
                    f"{self.path} is there already and is not a named pipe; remove it or give another path (--fifo)"
                ) from None
        except OSError as error:
            raise OutputError(
                f"the named pipe {self.path} cannot be made: {error.strerror}; give a path in a folder that can be "
                "written to (--fifo)"
            ) from error

    def _run(self) -> None:
        # Python ignores SIGPIPE, but the program around this thread may have restored it; a reader's end is no reason
        # to die.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        while not self._stop.wait(LOOK_FOR_READER_SECONDS) and not self._display.closed:
            try:
                pipe = self._open()
            except (OSError, OutputError) as error:
                log.warning("no more pictures go to %s: %s", self.path, error)
                return
            if pipe is None:
                continue
            try:
                self._serve(pipe)
            except BrokenPipeError:
                log.info("the reader of %s has gone", self.path)
            except OSError as error:
                log.warning("%s cannot be written: %s; waiting for another reader", self.path, error.strerror)
            finally:
                os.close(pipe)

    def _open(self) -> int | None:
        """The pipe's writing end, or None while nobody reads."""
        try:
            pipe = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENOENT:  # somebody removed it in mid-run
                self._make()
                return None
            if error.errno == errno.ENXIO:
                return None
            raise
        if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
            os.close(pipe)
            raise OutputError("it is a named pipe no longer")
        return pipe

    def _serve(self, pipe: int) -> None:
        """Write pictures until the reader goes, or the end."""
        log.info("a reader of %s has come", self.path)
        with self._display.watch() as viewer:
            poll = select.poll()
            poll.register(pipe, 0)  # errors only: the reader's end
            while not self._stop.is_set() and not self._display.closed:
                picture = viewer.next(PATIENCE_SECONDS)
                if picture is not None:
                    self._write(pipe, picture.jpeg)
                elif poll.poll(0):
                    raise BrokenPipeError

    def _write(self, pipe: int, data: bytes) -> None:
        """Write one whole picture, however long the reader takes; meanwhile the display makes none for it."""
        poll = select.poll()
        poll.register(pipe, select.POLLOUT)
        rest = memoryview(data)
        give_up: float | None = None
        while rest:
            try:
                rest = rest[os.write(pipe, rest) :]
                continue
            except BlockingIOError:
                pass
            poll.poll(PATIENCE_SECONDS * 1e3)
            if self._stop.is_set() or self._display.closed:
                give_up = give_up or monotonic() + LAST_FRAME_SECONDS
                if monotonic() > give_up:
                    return
