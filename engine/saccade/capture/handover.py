"""A source in whose place another reads that is only found when it is opened: what stands under a path by then, or what
a server turns out to send.
"""

from __future__ import annotations

from saccade.capture.source import Picture, Source


class Handover:
    """Another source, set up as the one that it reads for, and counted with it.

    source : what the capture knows. other : a new one for each time that `source` is opened.
    """

    def __init__(self, source: Source, other: Source) -> None:
        self._source, self._other = source, other
        other.stall, other.every_frame, other.max_pixels = source.stall, source.every_frame, source.max_pixels
        other.gate = source.gate
        self._damaged = self._still = 0

    def open(self) -> None:
        """Open it; raises `SourceError`."""
        source, other = self._source, self._other
        if source.interrupted:
            other.interrupt()
        other.open()
        source.live, source.frame_rate = other.live, other.frame_rate

    def read(self) -> Picture | None:
        """The next picture; what the other has left out counts as left out here, beside what others had before it."""
        source, other = self._source, self._other
        try:
            return other.read()
        finally:
            source.gated = other.gated
            source.damaged += other.damaged - self._damaged
            source.still += other.still - self._still
            self._damaged, self._still = other.damaged, other.still

    def close(self) -> None:
        """Close it."""
        self._other.close()

    def interrupt(self) -> None:
        """End a read."""
        self._other.interrupt()
