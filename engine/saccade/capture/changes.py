"""The log of a source's state changes, at a bounded rate: a camera that flaps must not fill a disk."""

from __future__ import annotations

import logging
import time

BURST = 8
"""So many changes are logged one by one."""
INTERVAL = 30.0
"""After a burst one line in so many seconds."""

_log = logging.getLogger(__name__)


class ChangeLog:
    """Warnings of one source. What is held back is counted, and the newest of it comes with the next line."""

    __slots__ = ("_held", "_missed", "_since", "_tokens")

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._since = time.monotonic()
        self._held = ""
        self._missed = 0

    def note(self, message: str) -> None:
        """Log a change, now or when it is due."""
        if self._held:
            self._missed += 1
        self._held = message
        self.settle()

    def settle(self) -> None:
        """Log what was held back, if it is due; to be called whenever the source was looked at."""
        if not self._held:
            return
        now = time.monotonic()
        self._tokens = min(float(BURST), self._tokens + (now - self._since) / INTERVAL)
        self._since = now
        if self._tokens < 1:
            return
        self._tokens -= 1
        more = f" ({self._missed} changes before that are not shown)" if self._missed else ""
        _log.warning("%s%s", self._held, more)
        self._held, self._missed = "", 0
