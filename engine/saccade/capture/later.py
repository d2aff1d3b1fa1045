"""A pipe whose path is not there yet, as where the daemon that makes it has not started."""

from __future__ import annotations

from collections.abc import Callable

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
        self._found: Source | None = None

    def open(self) -> None:
        """Look what is there, and open it."""
        self.close()
        found = self._find()
        if not found.comes_later:
            raise SourceError(f"{self.name}: is there now, and neither a FIFO nor a camera; start again to read it")
        found.stall, found.every_frame, found.max_pixels = self.stall, self.every_frame, self.max_pixels
        found.gate = self.gate
        self._found = found
        if self.interrupted:
            found.interrupt()
        found.open()
        self.live, self.frame_rate, self.gated = found.live, found.frame_rate, found.gated

    def read(self) -> Picture | None:
        """The next picture."""
        found = self._found
        if found is None:
            return None
        picture = found.read()
        self.damaged, self.still = found.damaged, found.still
        return picture

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
