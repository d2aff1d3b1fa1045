"""A network that fails for a while, as one elsewhere whose server is started anew, and what is said of it."""

from __future__ import annotations

from time import monotonic

from saccade.capture.changes import ChangeLog


class Outage:
    """Of one source's network: told when it begins and when it is over, however many pictures fail in between.

    source : its name. reason : with what the present outage began, or "": one text, however many pictures fail.
    """

    __slots__ = ("_changes", "_since", "_source", "reason")

    def __init__(self, source: str) -> None:
        self._source = source
        self._changes = ChangeLog()
        self._since = 0.0
        self.reason = ""

    def note_failure(self, reason: str) -> None:
        """A picture has failed for this reason."""
        if not self.reason:
            self.reason, self._since = reason, monotonic()
            self._changes.note(f"{self._source}: {reason}; pictures count as failed meanwhile, and the run goes on")
        self._changes.settle()

    def note_success(self) -> None:
        """A picture has not."""
        if self.reason:
            self.reason = ""
            self._changes.note(f"{self._source}: the model answers again after {monotonic() - self._since:.1f} s")
        self._changes.settle()
