"""The hand-over of pictures from the threads that read a source to those that take them.

What waits is a frame, a picture that who takes it decodes, or the promise of a frame on which a thread is at work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from saccade.capture.slots import Slot
from saccade.capture.source import Picture
from saccade.frame import Frame
from saccade.ledger import Ledger


@dataclass(slots=True)
class CompressedPicture:
    """A picture that waits in its slot to be decoded by who takes it. release : gives the slot back undecoded."""

    slot: Slot
    picture: Picture
    sequence: int
    release: Callable[[], None]


Promise = Future[Frame | None]
"""A picture that is decoded, or being decoded, by a thread of its own; None: found damaged, and counted."""
Offer = Frame | CompressedPicture | Promise
"""What waits to be taken."""


class Offers:
    """Pictures that wait to be taken, the oldest first; from any thread.

    ledger : where those end that nobody takes before the end.
    waiting : takers that wait at the moment. behind : the takers are slower than the source, so that the next picture
    is better decoded by who takes it, if anybody does.
    """

    __slots__ = ("_changed", "_closed", "_ended", "_ledger", "_ready", "behind", "waiting")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._changed = threading.Condition()  # its lock is that of all here; no other is taken under it
        self._ready: deque[Offer] = deque()
        self._ended = self._closed = False
        self.waiting = 0
        self.behind = False

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def ended(self) -> bool:
        """True when there is nothing to be taken, and never will be."""
        with self._changed:
            return self._ended and not self._ready

    def promise(self) -> Promise:
        """One to be put here by who will decode a picture, which then keeps it."""
        promise: Promise = Future()
        promise.set_running_or_notify_cancel()
        promise.add_done_callback(self._note_decoded)
        return promise

    def put(self, offer: Offer) -> bool:
        """Behind those that wait; False when closed, and then it stays whose it was."""
        with self._changed:
            if self._closed:
                return False
            self._ready.append(offer)
            if not isinstance(offer, Future):
                self._changed.notify_all()
            return True

    def overtake(self) -> Sequence[Frame | CompressedPicture]:
        """Those that a newer picture replaces, out of the way of it. None of them is a promise: decoding ahead is done
        where every picture counts.
        """
        with self._changed:
            stale = [left for left in self._ready if not isinstance(left, Future)]
            self._ready.clear()
            self.behind = not self.waiting and (self.behind or bool(stale))
            return stale

    def take(self, timeout: float | None) -> Offer | None:
        """The next one, when it can be had at once, or be decoded by who takes it; None after `timeout`, s, or at the
        end.
        """
        with self._changed:
            self.waiting += 1
            try:
                there = self._changed.wait_for(lambda: self._at_hand() or (self._ended and not self._ready), timeout)
            finally:
                self.waiting -= 1
            if not there or not self._ready:
                return None
            offer = self._ready.popleft()
            if self._ended:
                self._changed.notify_all()
            return offer

    def end(self) -> None:
        """No more will be put; those that wait may still be taken."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of those that wait, of a promise when it is kept; no other is taken or put."""
        with self._changed:
            self._ended = self._closed = True
            left, self._ready = self._ready, deque()
            self._changed.notify_all()
        for offer in left:
            if isinstance(offer, Future):
                offer.add_done_callback(self._drop_decoded)
                continue
            offer.release()
            self._ledger.end("ended")

    def _at_hand(self) -> bool:
        return bool(self._ready) and (not isinstance(self._ready[0], Future) or self._ready[0].done())

    def _note_decoded(self, promise: Promise) -> None:
        """Somebody may wait for it, where it is the next."""
        with self._changed:
            if self._ready and self._ready[0] is promise:
                self._changed.notify_all()

    def _drop_decoded(self, promise: Promise) -> None:
        frame = None if promise.exception() is not None else promise.result()
        if frame is not None:
            frame.release()
        if frame is not None or promise.exception() is not None:  # else it was found damaged, and is counted
            self._ledger.end("ended")
