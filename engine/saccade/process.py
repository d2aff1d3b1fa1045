"""What a process needs of the system: standard streams that are there, signals that end it in order, its cores."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

PATIENCE_SECONDS = 1.0
"""How long the main thread has to end by itself, s."""

WRITING_SECONDS = 8.0
"""How long what was found may take to be written if it had to be written from elsewhere, s."""


CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container: us of processor time in a period of us, or `max` (Linux' Documentation/admin-guide/cgroup-v2.rst)."""


def usable_cores() -> int:
    """Cores that this process may use: of its affinity, and of its container's share."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = CPU_QUOTA.read_text().split()
        return count if quota == "max" else min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return count


def secure_standard_streams() -> None:
    """Make standard streams that are closed refuse what is written, and those that are open take any text.

    Without this the first file to be opened would become standard output, and get what libraries print. A stream that
    was closed is /dev/null opened for the other direction: to use it is an error, not a loss without a word.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
            # Else programs that are started from here would begin with it closed.
            os.set_inheritable(number, True)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - it lasts like the process
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def is_writable(descriptor: int) -> bool:
    """Whether anything may be written to an open file."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False


def is_service() -> bool:
    """True under systemd, and not by hand in a terminal that systemd has started."""
    started = any(os.environ.get(name) for name in ("INVOCATION_ID", "NOTIFY_SOCKET"))
    try:
        return started and not os.isatty(2)
    except OSError:
        return started


def timed(line: str) -> str:
    """A format of log lines with the time before them, unless systemd's journal adds its own."""
    journal = os.environ.get("JOURNAL_STREAM", "")
    with contextlib.suppress(OSError):
        found = os.fstat(2)
        if journal == f"{found.st_dev}:{found.st_ino}":
            return line
    return f"%(asctime)s {line}"


def has_terminal() -> bool:
    """True while the process has a terminal from which it is controlled."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP as a wish to end, while the `with` block lasts; to be used in the main thread.

    Their handler does nothing, as whatever takes a lock in a handler may wait for the very code that it interrupted.
    The interpreter writes the number of each signal into a socket, also while a library holds the main thread, and a
    thread reads it and does what is to be done.

    Parameters
    ----------
    last : called where the `with` block has not ended in `PATIENCE_SECONDS` after the first signal, as when a library
        loads a large network or a reader takes nothing: writes what there is to write. The process then ends.
    status : of the process then; may be changed in the block.

    final : the process ends with the block: signals that come while it does are too late to change its status.
    reread : called, in a thread, for SIGHUP, which then is no wish to end; not once the terminal has gone.

    SIGHUP stays ignored where it is, as under nohup. After a signal further ones change nothing, not even behind the
    block: the process is ending. A child by fork has the handlers that were there before, but for those of its own.
    """

    def __init__(
        self, last: Callable[[], None] | None = None, *, status: int = 0, final: bool = False,
        reread: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.received: int | None = None
        self._last = last
        self._reread = reread
        self._had_terminal = has_terminal()
        self.status = status
        self._final = final
        self._calls: list[Callable[[int], None]] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._before: dict[int, Any] = {}
        self._masks = threading.local()
        self._ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="saccade-signals", daemon=True)

    def then(self, call: Callable[[int], None]) -> None:
        """Call with the number of each signal, in a thread; at once where one has come already."""
        with self._lock:
            self._calls.append(call)
            received = self.received
        if received is not None:
            call(received)

    def start(self) -> StopSignals:
        """Begin to listen, as the `with` block does."""
        self._theirs.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _nothing)
        # Until a child has its handlers again, a signal that is meant for it would be told here.
        os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)
        return self

    def __enter__(self) -> StopSignals:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = self._final or self.received is not None
        for number in self._before if ending else ():
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wakeup)
        self._ended.set()
        self._theirs.close()
        self._thread.join()
        self._ours.close()
        for number, handler in self._before.items() if not ending else ():
            signal.signal(number, handler)

    def _hold(self) -> None:
        self._masks.before = None if self._ended.is_set() else signal.pthread_sigmask(signal.SIG_BLOCK, self._before)

    def _release(self) -> None:
        if self._masks.before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)

    def _forget(self) -> None:
        """A child by fork is told of its own signals, and its parent is not."""
        if not self._ended.is_set():
            signal.set_wakeup_fd(-1)
            for number, handler in self._before.items():
                if signal.getsignal(number) is _nothing:
                    signal.signal(number, handler)
        self._release()

    def _run(self) -> None:
        while numbers := self._ours.recv(64):
            for number in numbers:
                if number == signal.SIGHUP and self._reread is not None and has_terminal() == self._had_terminal:
                    self._reread()
                elif number in self._before:
                    self._note(number)

    def _note(self, number: int) -> None:
        with self._lock:
            first, self.received = self.received is None, number
            calls = list(self._calls)
        if first and self._last is not None:
            threading.Thread(target=self._insist, name="saccade-end", daemon=True).start()
        for call in calls:
            call(number)

    def _insist(self) -> None:
        """End the process where the main thread does not."""
        if self._ended.wait(PATIENCE_SECONDS):
            return
        assert self._last is not None
        writing = threading.Thread(target=self._last, name="saccade-last", daemon=True)
        writing.start()
        writing.join(WRITING_SECONDS)
        if self._ended.is_set():
            return
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                log.debug("a standard stream could not be flushed")
        os._exit(self.status)


def _nothing(number: int, frame: Any) -> None:
    """The handler; see `StopSignals`."""
