"""The annotated stream as MJPEG in a named pipe, as DeepLens projects had it.

Watch it with `mplayer -demuxer lavf -lavfdopts format=mjpeg:probesize=32 /tmp/results.mjpeg` or
`ffplay -f mjpeg /tmp/results.mjpeg`. Readers may come, stall, be killed and come again: one thread serves them all,
never blocks on them, and sleeps while there is none.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import select
import signal
import socket
import stat
import threading
from pathlib import Path
from time import monotonic

from saccade.config import DEFAULT_FIFO
from saccade.errors import OutputError
from saccade.outputs.display import Display
from saccade.private import check_place

log = logging.getLogger(__name__)

LOOK_FOR_READER_SECONDS = 0.25
"""How often a pipe without a reader is tried. POSIX tells a writer of a new reader in no other way."""

PATIENCE_SECONDS = 0.1
"""How long a wait lasts before it is looked whether to stop, s."""

LAST_FRAME_SECONDS = 0.3
"""How long closing waits for a reader to take the rest of a frame, s."""


def _claim(path: Path) -> socket.socket:
    """Who holds this writes to the pipe: two writers would mix their pictures.

    A name in the kernel (unix(7), abstract sockets) leaves nothing behind, whatever becomes of the process. A lock on
    the pipe itself would need it open, and readers could not be told from that.
    """
    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32]
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0saccade-fifo-{name}")
    except OSError as error:
        claim.close()
        if error.errno != errno.EADDRINUSE:
            raise OutputError(f"the named pipe {path} cannot be claimed: {error.strerror}") from error
        raise OutputError(
            f"the named pipe {path} is written by another process of saccade; give another path (--fifo) or stop that "
            "process"
        ) from None
    return claim


class Fifo:
    """Writes the display's pictures to a named pipe.

    Parameters
    ----------
    path : of the pipe; made if it is not there, and then removed by `close()`. One that is there already must be this
        user's, and nobody else's to open: whoever reads it sees what the camera sees.
    mode : permissions of a pipe that is made. Readers of other users need 0o644; the stream shows people.

    Raises
    ------
    OutputError : `path` is something else than a pipe, or one that others may open; it cannot be made, or another
        process writes to it.
    """

    def __init__(self, display: Display, path: str | Path = DEFAULT_FIFO, *, mode: int = 0o600) -> None:
        self.path = Path(path)
        self._display = display
        self._mode = mode
        self._made: tuple[int, int] | None = None  # device and inode of the pipe that is ours to remove
        self._stop = threading.Event()
        self._claim = _claim(self.path)
        try:
            self._make()
        except BaseException:
            self._claim.close()
            raise
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
        self._claim.close()

    def _make(self) -> None:
        try:
            check_place(self.path.parent)
            os.mkfifo(self.path, self._mode)
            made = os.lstat(self.path)
            self._made = made.st_dev, made.st_ino
        except FileExistsError:
            if reason := self._why_not(os.lstat(self.path)):
                raise OutputError(
                    f"{self.path} is there already and {reason}; remove it or give another path (--fifo)"
                ) from None
        except OSError as error:
            raise OutputError(
                f"the named pipe {self.path} cannot be made: {error.strerror}; give a path in a folder that can be "
                "written to (--fifo)"
            ) from error

    def _why_not(self, found: os.stat_result) -> str:
        """Why a pipe that is there already is not written to; empty where it is."""
        if not stat.S_ISFIFO(found.st_mode):
            return "is not a named pipe"
        if found.st_uid != os.geteuid():
            return f"belongs to another user (uid {found.st_uid})"
        others = stat.S_IMODE(found.st_mode) & ~self._mode
        return f"is open to others (mode {stat.S_IMODE(found.st_mode):o}, wanted {self._mode:o})" if others else ""

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
        if reason := self._why_not(os.fstat(pipe)):
            os.close(pipe)
            raise OutputError(f"the name now {reason}")
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
