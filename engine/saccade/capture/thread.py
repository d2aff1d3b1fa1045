"""The capture thread: reads a source, decodes into slots, and leases out frames.

Newest wins for live sources: a frame that nobody took is overwritten by the next. With policy "every" the thread
waits until frames are taken. A lost live source is opened again, with growing pauses.

JPEG decoding is the largest cost of a frame, so that no picture is decoded that will be overwritten: while the
consumer is slower than the source, the newest picture waits in its slot compressed, and `latest()` decodes it. A
consumer that waits for the next frame gets it decoded by the capture thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Literal

from saccade.capture.slots import Slot
from saccade.capture.source import Picture, Source
from saccade.errors import JpegError, SaccadeError, SourceError
from saccade.frame import Frame
from saccade.statistics import Stopwatch, Timing

Policy = Literal["newest", "every"]

STOP_SECONDS = 0.8
"""How long `stop()` waits for the thread: a driver or a name server may hold it for longer."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0
"""Pauses before a lost source is opened again, s; each is twice the one before."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaptureStatistics:
    """Counters since the start.

    captured : pictures that arrived. dropped : of these, never handed out because a newer one came, or skipped by a
    paced source that was late. delivered : handed out by `latest()`. damaged : left out because they were broken.
    reconnects : times that a lost source came back. resizes : changes of the source's frame size.
    bytes_read : compressed bytes. decode : time from compressed bytes to the inference picture.
    frame_rate : the source's nominal rate, Hz, or None.
    """

    captured: int
    dropped: int
    delivered: int
    damaged: int
    reconnects: int
    resizes: int
    bytes_read: int
    decode: Timing
    frame_rate: float | None


class Capture:
    """Frames of a source, from a thread of its own.

    Parameters
    ----------
    source : see `saccade.capture.open_source`. The capture owns it and closes it.
    size : (min_height, min_width) that inference needs; JPEG pictures are decoded at the smallest DCT scale that is
        at least that. None for full size.
    slots : frames that may exist at once, leased ones included; one more than requests in flight.
    policy : "newest" or "every"; None takes the source's own (live: newest; files: every).
    """

    def __init__(
        self,
        source: Source,
        *,
        size: tuple[int, int] | None = None,
        slots: int = 2,
        policy: Policy | None = None,
    ) -> None:
        if slots < 2:
            raise ValueError(f"{slots} slots cannot be written and read at once; give at least 2")
        self.source = source
        self.policy: Policy = policy or ("every" if source.every_frame else "newest")
        source.every_frame = self.policy == "every"
        self._size = size or (0, 0)
        self._changed = threading.Condition()
        self._free = [Slot() for _ in range(slots)]
        self._ready: deque[Frame | _Compressed] = deque()
        self._waiting = 0
        self._behind = False
        self._thread: threading.Thread | None = None
        self._opened = threading.Event()
        self._open = False
        self._stop = threading.Event()
        self._ended = False
        self._error: SaccadeError | None = None
        self._decode = Stopwatch()
        self._captured = self._dropped = self._delivered = self._damaged = 0
        self._reconnects = self._resizes = self._bytes = self._sequence = 0
        self._frame_size = (0, 0)
        self._lost = 0.0
        self._pause = FIRST_PAUSE

    @property
    def size(self) -> tuple[int, int]:
        """(min_height, min_width) that inference needs, (0, 0) for full size; may be set while capture runs."""
        return self._size

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        self._size = size

    def start(self) -> Capture:
        """Open the source and start the thread; raises `SourceError` if the source cannot be opened."""
        if self._thread is not None:
            raise RuntimeError(f"capture of {self.source.name} was started before; make a new one")
        # Daemon, since a driver may hold it longer than `stop()` can wait; `stop()` joins it otherwise.
        self._thread = threading.Thread(target=self._run, name="saccade-capture", daemon=True)
        self._thread.start()
        try:
            self._opened.wait()
        except BaseException:
            self.stop()
            raise
        if not self._open:
            self.stop()
            raise self._error or SourceError(f"{self.source.name}: stopped before it was open")
        return self

    def stop(self) -> None:
        """End within a second. Leases stay valid; frames nobody took are gone."""
        self._stop.set()
        self.source.interrupt()
        with self._changed:
            self._ended = True
            ready, self._ready = list(self._ready), deque()
            self._changed.notify_all()
        for left in ready:
            left.release()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                _log.debug("%s: still held by the system; the thread ends when it returns", self.source.name)

    @property
    def ended(self) -> bool:
        """True when no frame will come any more."""
        with self._changed:
            return self._ended and not self._ready

    def latest(self, timeout: float | None = None) -> Frame | None:
        """The newest frame (policy "every": the next one) that was not handed out before; release it after use.

        timeout : s; None waits as long as it takes. Returns None after the timeout or at the end; see `ended`.

        Raises
        ------
        SourceError : the source failed for good, and all frames before that were handed out.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                self._waiting += 1
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                self._changed.wait_for(lambda: self._ready or self._ended, left)
                self._waiting -= 1
                if not self._ready:
                    if self._error is not None:
                        raise self._error
                    return None
                next_one = self._ready.popleft()
                if isinstance(next_one, Frame):
                    self._delivered += 1
                    self._changed.notify_all()
                    return next_one
            frame = self._filled(next_one.slot, next_one.picture, next_one.sequence)
            if frame is not None:
                with self._changed:
                    self._delivered += 1
                return frame

    def statistics(self) -> CaptureStatistics:
        """Counters so far."""
        with self._changed:
            return CaptureStatistics(
                captured=self._captured,
                dropped=self._dropped,
                delivered=self._delivered,
                damaged=self._damaged + self.source.damaged,
                reconnects=self._reconnects,
                resizes=self._resizes,
                bytes_read=self._bytes,
                decode=self._decode.statistics(),
                frame_rate=self.source.frame_rate,
            )

    def __enter__(self) -> Capture:
        return self if self._thread is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self.source.open()
            self._open = True
            self._opened.set()
            self._pump()
        except SaccadeError as error:
            self._error = error
        except Exception as error:
            _log.exception("%s: capture failed", self.source.name)
            self._error = SourceError(f"{self.source.name}: capture failed: {error}")
        finally:
            self.source.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()
            self._opened.set()

    def _pump(self) -> None:
        """Read until the end; live sources are opened again when they are lost."""
        while not self._stop.is_set():
            try:
                if self._lost:
                    self._reopen()
                picture = self.source.read()
            except SourceError as error:
                if not self.source.live:
                    raise
                self._note_loss(error)
                continue
            if picture is None:
                self._check_end()
                return
            if self._lost:
                self._note_return()
            self._take(picture)

    def _check_end(self) -> None:
        """A file of which nothing could be used is an error, not an empty result."""
        if self._stop.is_set() or self.source.live:
            return
        damaged = self._damaged + self.source.damaged
        if self._captured <= self._damaged:
            what = f"all {damaged} pictures are damaged" if damaged else "holds no pictures"
            raise SourceError(f"{self.source.name}: {what}")

    def _reopen(self) -> None:
        """Pause and open the source again."""
        if not self._stop.wait(self._pause):
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self.source.open()

    def _note_loss(self, reason: SourceError) -> None:
        """One log line for an outage, however many attempts fail."""
        if not self._lost:
            self._lost, self._pause = time.monotonic(), FIRST_PAUSE
            _log.warning("%s; trying again", reason)
        else:
            _log.debug("%s; next attempt in %.1f s", reason, self._pause)

    def _note_return(self) -> None:
        """A source is back when pictures come, not when it could be opened."""
        _log.warning("%s: back after %.1f s", self.source.name, time.monotonic() - self._lost)
        self._lost = 0.0
        with self._changed:
            self._reconnects += 1

    def _take(self, picture: Picture) -> None:
        """Offer a picture to the consumer, decoded if that is waiting or keeps up."""
        sequence = self._sequence + picture.skipped
        self._sequence = sequence + 1
        stale: list[Frame | _Compressed] = []
        with self._changed:
            self._captured += 1 + picture.skipped
            self._dropped += picture.skipped
            self._bytes += picture.size
            if self.policy == "newest":
                stale.extend(self._ready)
                self._ready.clear()
                self._dropped += len(stale)
                self._behind = not self._waiting and (self._behind or bool(stale))
        for left in stale:
            left.release()
        slot = self._writable()
        if slot is None:
            return
        offer: Frame | _Compressed | None
        if self._behind and picture.jpeg is not None:
            slot.keep(picture)
            offer = _Compressed(slot, picture, sequence, partial(self._give_back, slot))
        else:
            offer = self._filled(slot, picture, sequence)
        if offer is None:
            return
        with self._changed:
            stopped = self._stop.is_set()
            if not stopped:
                self._ready.append(offer)
                self._changed.notify_all()
        if stopped:
            offer.release()

    def _filled(self, slot: Slot, picture: Picture, sequence: int) -> Frame | None:
        """The picture, decoded into the slot; None if it is damaged."""
        start = time.perf_counter()
        try:
            frame = slot.fill(picture, self._size, sequence, partial(self._give_back, slot))
        except JpegError as error:
            self._give_back(slot)
            with self._changed:
                self._damaged += 1
                level = logging.WARNING if self._damaged == 1 else logging.DEBUG
            _log.log(level, "%s: %s", self.source.name, error)
            return None
        self._decode.add(picture.seconds + time.perf_counter() - start)
        self._note_size((frame.height, frame.width))
        return frame

    def _writable(self) -> Slot | None:
        """A slot to write into; None when all are leased (policy "newest") or the capture was stopped."""
        with self._changed:
            if self.policy == "every":
                self._changed.wait_for(lambda: self._free or self._stop.is_set())
            if self._free and not self._stop.is_set():
                return self._free.pop()
            self._dropped += 1
            return None

    def _give_back(self, slot: Slot) -> None:
        slot.clear()
        with self._changed:
            self._free.append(slot)
            self._changed.notify_all()

    def _note_size(self, size: tuple[int, int]) -> None:
        with self._changed:
            old, self._frame_size = self._frame_size, size
            if old in (size, (0, 0)):
                return
            self._resizes += 1
        _log.warning("%s: frame size changed from %dx%d to %dx%d", self.source.name, *old[::-1], *size[::-1])


@dataclass(slots=True)
class _Compressed:
    """A picture that waits in its slot to be decoded."""

    slot: Slot
    picture: Picture
    sequence: int
    release: Callable[[], None]
