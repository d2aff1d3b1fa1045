"""The slots of a capture: which are free, and who waits for one."""

from __future__ import annotations

import threading

from saccade.capture.slots import Slot, Spares


class SlotPool:
    """Slots that are written one after the other; from any thread.

    count : how many. max_pixels : as for `Slot`.
    free : those that nobody holds. spares : what they share.
    """

    __slots__ = ("_closed", "_freed", "_max_pixels", "free", "spares")

    def __init__(self, count: int, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._closed = False
        self._freed = threading.Condition()  # its lock is that of all here
        self.spares = Spares()
        self.free: list[Slot] = []
        self.add(count)

    def add(self, count: int) -> None:
        """So many slots more."""
        with self._freed:
            self.free += [Slot(self._max_pixels, self.spares) for _ in range(count)]
            self._freed.notify_all()

    def take(self, *, wait: bool) -> Slot | None:
        """A slot to write into; None where all are held, unless one is waited for, and when the pool is closed."""
        with self._freed:
            if wait:
                self._freed.wait_for(lambda: self.free or self._closed)
            return self.free.pop() if self.free and not self._closed else None

    def give_back(self, slot: Slot) -> None:
        """Nobody holds it any more."""
        slot.clear()
        with self._freed:
            self.free.append(slot)
            self._freed.notify_all()

    def close(self) -> None:
        """Give none out any more."""
        with self._freed:
            self._closed = True
            self._freed.notify_all()
