"""A pipe whose path is not there yet, as where the daemon that makes it has not started."""

from __future__ import annotations

from collections.abc import Callable

from saccade.capture.handover import Handover
from saccade.capture.source import Picture, Source
from saccade.errors import SourceError


class LaterSource(Source):
    """What stands under a path once it is there: a FIFO, a socket or a camera.

    find : makes the source of what is there; raises `SourceError` while there is nothing.
    """

    live = True
    comes_later = True
    every_frame = False

    def __init__(self, name: str, find: Callable[[], Source]) -> None:
        super().__init__(name)
        self._find = find
        self._found: Handover | None = None

    def open(self) -> None:
        """Look what is there, and open it."""
        self.close()
        found = self._find()
        if not found.comes_later:
            raise SourceError(f"{self.name}: is there now, and neither a FIFO nor a camera; start again to read it")
        self._found = Handover(self, found)
        self._found.open()

    def read(self) -> Picture | None:
        """The next picture."""
        return None if self._found is None else self._found.read()

    def close(self) -> None:
        """Close what was found."""
        if self._found is not None:
            self._found.close()
            self._found = None

    def interrupt(self) -> None:
        """End a read."""
        super().interrupt()
        found = self._found
        if found is not None:
            found.interrupt()
