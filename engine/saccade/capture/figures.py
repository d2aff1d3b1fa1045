"""What a capture counts of its pictures."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from saccade.capture.changes import ChangeLog
from saccade.capture.connection import SourceConnection, State
from saccade.capture.source import Picture, Source
from saccade.capture.still import Way
from saccade.errors import JpegError
from saccade.frame import Frame
from saccade.ledger import Ledger, Reason
from saccade.statistics import Stopwatch, Timing

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaptureStatistics:
    """Counters since the start.

    captured : pictures that arrived. dropped : of these, never handed out because a newer one came, or skipped by a
    paced source that was late. delivered : handed out by `latest()`. damaged : left out because they were broken.
    reconnects : times that a lost source came back. resizes : changes of the source's frame size.
    bytes_read : compressed bytes. decode : time from compressed bytes to the inference picture.
    frame_rate : the source's nominal rate, Hz, or None.
    mended : JPEG pictures that were whole but for a header that had to be put right. second_opinions : those that
    were shown whole by another decoder than libjpeg-turbo.
    state : "connecting" until the first picture, "up" while pictures come, "lost" from an outage to the next picture,
    "ended". reason : why no pictures come, also of a source that was away when the capture was stopped; empty where
    there is none. last_picture : when the newest picture arrived, POSIX time, s; None before the first.
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
    mended: int = 0
    second_opinions: int = 0
    state: State = "connecting"
    reason: str = ""
    last_picture: float | None = None


class CaptureCounts:
    """Counts the pictures of a source as they come and go, and enters them in its ledger; from any thread.

    Who is handed a frame ends its entry; all others end here, or in `Offers` where nobody took them before the end.
    """

    __slots__ = (
        "_bytes", "_captured", "_damaged", "_decode", "_delivered", "_dropped", "_last", "_ledger", "_lock", "_resizes",
        "_size", "_sizes", "_source", "_source_damage", "_source_still", "_ways",
    )  # fmt: skip

    def __init__(self, source: Source, ledger: Ledger) -> None:
        self._source = source
        self._ledger = ledger
        # Of all below but the stopwatch; those of ledger and stopwatch go in it. A signal handler may ask for figures.
        self._lock = threading.RLock()
        self._captured = self._dropped = self._delivered = self._damaged = self._resizes = self._bytes = 0
        self._last: float | None = None
        self._source_damage = self._source_still = 0
        self._size = (0, 0)
        self._sizes = ChangeLog()
        self._ways = dict.fromkeys(Way, 0)
        self._decode = Stopwatch()

    def note_arrival(self, picture: Picture, overtaken: int, lost_as: Callable[[], Reason]) -> None:
        """A picture has come, in place of so many that nobody took. lost_as : why those are lost, and skipped ones."""
        lost = picture.skipped + overtaken
        with self._lock:
            self._last = time.time()
            self._captured += 1 + picture.skipped
            self._dropped += lost
            self._bytes += picture.size
            self._enter_left_out()
            self._ledger.enter(1 + picture.skipped)
        if lost:
            self._ledger.end(lost_as(), lost)

    def note_drop(self, reason: Reason) -> None:
        """There is no slot for a picture that has come."""
        with self._lock:
            self._dropped += 1
        self._ledger.end(reason)

    def note_damage(self, picture: Picture, error: JpegError) -> None:
        """A picture that has come is broken. The first are warnings, as those that the source itself finds."""
        self._ledger.end("damaged")
        with self._lock:
            self._damaged += 1
            level = logging.WARNING if self._damaged <= self._source.named else logging.DEBUG
        _log.log(level, "%s: %s", picture.name or self._source.name, error)

    def note_decoded(self, seconds: float, way: Way) -> None:
        """A picture was decoded in so many seconds."""
        self._decode.add(seconds)
        if way is not Way.AS_IS:
            with self._lock:
                self._ways[way] += 1

    def note_delivery(self, frame: Frame) -> None:
        """A frame is handed out, in the order in which they were read."""
        size = frame.height, frame.width
        with self._lock:
            self._delivered += 1
            if size != self._size:
                self._note_size(size)

    def note_left_out(self) -> None:
        """Count what the source itself has left out since the last time."""
        with self._lock:
            self._enter_left_out()

    def why_unusable(self) -> str:
        """Why all that has come was of no use; empty where something was."""
        if self._captured > self._damaged:
            return ""
        damaged = self._damaged + self._source.damaged
        return f"all {damaged} pictures are damaged" if damaged else "holds no pictures"

    def statistics(self, connection: SourceConnection) -> CaptureStatistics:
        """Counters so far, and how the source stands after what they count."""
        with self._lock:
            self._enter_left_out()
            state, reason = connection.standing
            return CaptureStatistics(
                captured=self._captured,
                dropped=self._dropped,
                delivered=self._delivered,
                damaged=self._damaged + self._source.damaged,
                reconnects=connection.reconnects,
                resizes=self._resizes,
                bytes_read=self._bytes,
                decode=self._decode.statistics(),
                frame_rate=self._source.frame_rate,
                mended=self._ways[Way.MENDED],
                second_opinions=self._ways[Way.SECOND],
                state=state,
                reason=reason,
                last_picture=self._last,
            )

    def _enter_left_out(self) -> None:
        damaged = self._source.damaged - self._source_damage
        still = self._source.still - self._source_still
        if not damaged and not still:
            return
        self._source_damage += damaged
        self._source_still += still
        self._ledger.enter(damaged + still)
        self._ledger.end("damaged", damaged)
        if still:
            self._captured += still
            self._last = time.time()
            self._ledger.end("still", still)

    def _note_size(self, size: tuple[int, int]) -> None:
        old, self._size = self._size, size
        if old == (0, 0):
            return
        self._resizes += 1
        was, now = (f"{width}x{height}" for height, width in (old, size))
        self._sizes.note(f"{self._source.name}: frame size changed from {was} to {now}")
