"""A source as it is opened, read, lost and opened again: its state, the reason, and the pauses between attempts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from saccade.capture.changes import ChangeLog
from saccade.capture.source import Picture, Source
from saccade.errors import SourceError

State = Literal["connecting", "up", "lost", "ended"]

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0
"""Pauses before a lost source is opened again, s; each is twice the one before."""
STEADY_SECONDS = 5.0
"""A source that is lost again sooner than so long after it came back goes on with the pause it was at: opening a
stream costs more than many of its pictures, and would cost other cameras theirs."""
FLAPPING_PAUSE = 2.0
"""Longest pause of such a source, s."""

_UP: tuple[State, str] = "up", ""

_log = logging.getLogger(__name__)


class SourceConnection:
    """Keeps a source open, as far as it can be. One thread at a time opens and reads; all else is for any thread.

    Parameters
    ----------
    source : what is opened; closing it is left to others.
    later : it need not be there at the start, and is tried again as one that is lost later.
    stop : ends pauses, and attempts.
    on_absence : called when the source is lost, and after each attempt that fails.

    standing : state and reason, as `CaptureStatistics` has them; always of one moment. reconnects : times that a lost
    source came back. is_open : it was opened, or is waited for.
    """

    __slots__ = (
        "_back", "_changes", "_decided", "_later", "_lost", "_on_absence", "_pause", "_source", "_stop", "_was_up",
        "is_open", "reconnects", "standing",
    )  # fmt: skip

    def __init__(
        self, source: Source, *, later: bool, stop: threading.Event, on_absence: Callable[[], None] = lambda: None
    ) -> None:
        self._source = source
        self._later = later
        self._stop = stop
        self._on_absence = on_absence
        self._changes = ChangeLog()
        self._decided = threading.Event()
        self._was_up = False
        self._lost = 0.0
        self._back = float("-inf")
        self._pause = FIRST_PAUSE
        self.standing: tuple[State, str] = ("connecting", "")
        self.reconnects = 0
        self.is_open = False

    def open(self) -> None:
        """Open the source for the first time; raises `SourceError` where it cannot be, and is not waited for."""
        if self._later:
            self._note_open()
        try:
            self._source.open()
        except SourceError as error:
            if not self._later or self._stop.is_set():
                raise
            self._note_loss(error)
        self._note_open()

    def wait(self, timeout: float | None) -> bool:
        """True once it is known whether the source opens (`is_open`), or nobody waits for that any more; False after
        `timeout`, s.
        """
        return self._decided.wait(timeout)

    def leave(self) -> None:
        """Let those go on who wait until it is open: a library may hold the thread that opens it."""
        self._decided.set()

    def read(self) -> Picture | None:
        """The next picture, of a source that was lost when it is back; None at the end, or when stopped.

        Raises `SourceError` where a source fails that is not opened again.
        """
        while True:
            try:
                if self._lost and not self._opened_again():
                    return None
                picture = self._source.read()
            except SourceError as error:
                if self._stop.is_set():
                    return None
                if not (self._source.live or self._awaited):
                    raise
                self._note_loss(error)
                continue
            if picture is not None:
                if self._lost:
                    self._note_return()
                if self.standing is not _UP:
                    self.standing, self._was_up = _UP, True
                self._changes.settle()
            return picture

    def end(self, error: Exception | None) -> None:
        """No picture will come any more; the reason is this error's, or that of an outage which lasts."""
        self.standing = "ended", str(error or self.standing[1])

    @property
    def _awaited(self) -> bool:
        """True while a source that may come later has never given a picture."""
        return self._later and not self._was_up

    def _note_open(self) -> None:
        self.is_open = True
        self._decided.set()

    def _opened_again(self) -> bool:
        """Pause, and open the source again; False when stopped."""
        if self._stop.wait(self._pause):
            return False
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._source.open()
        return True

    def _note_loss(self, reason: SourceError) -> None:
        """One log line for an outage, however many attempts fail."""
        self.standing = "connecting" if self._awaited else "lost", str(reason)
        self._on_absence()
        if not self._lost:
            self._lost = time.monotonic()
            flaps = self._lost - self._back < STEADY_SECONDS
            self._pause = min(self._pause, FLAPPING_PAUSE) if flaps else FIRST_PAUSE
            self._changes.note(f"{reason}; trying again")
        else:
            self._changes.settle()
            _log.debug("%s; next attempt in %.1f s", reason, self._pause)

    def _note_return(self) -> None:
        """A source is back when pictures come, not when it could be opened."""
        came = "there" if self._awaited else "back"
        self._changes.note(f"{self._source.name}: {came} after {time.monotonic() - self._lost:.1f} s")
        self._lost, self._back = 0.0, time.monotonic()
        self.reconnects += not self._awaited
