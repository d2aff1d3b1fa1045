"""The capture thread: reads a source, decodes into slots, and leases out frames.

Newest wins for live sources: a frame that nobody took is overwritten by the next. With policy "every" the thread
waits until frames are taken. A lost live source is opened again, with growing pauses.

JPEG decoding is the largest cost of a frame, so that no picture is decoded that will be overwritten: while the
consumer is slower than the source, the newest picture waits in its slot compressed, and `latest()` decodes it. A
consumer that waits for the next frame gets it decoded by the capture thread.

Of a file every picture is decoded, and JPEG pictures do not depend on each other: `decode_ahead` has several threads
take turns in reading one, which each then decodes into a slot of its own while the next reads. Who reads decodes: the
compressed bytes are still in its core's cache. Pictures are handed out as they were read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Literal

from saccade.capture.changes import ChangeLog
from saccade.capture.gating import DecodeGate, luma_of, luma_of_jpeg
from saccade.capture.slots import Slot, Spares
from saccade.capture.source import Picture, Source
from saccade.capture.still import Way
from saccade.errors import JpegError, SaccadeError, SourceError
from saccade.frame import Frame
from saccade.ledger import Ledger, Reason
from saccade.statistics import Stopwatch, Timing

Policy = Literal["newest", "every"]
State = Literal["connecting", "up", "lost", "ended"]

STOP_SECONDS = 0.8
"""How long `stop()` waits for the thread: a driver or a name server may hold it for longer."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0
"""Pauses before a lost source is opened again, s; each is twice the one before."""
STEADY_SECONDS = 5.0
"""A source that is lost again sooner than so long after it came back goes on with the pause it was at: opening a
stream costs more than many of its pictures, and would cost other cameras theirs."""
FLAPPING_PAUSE = 2.0
"""Longest pause of such a source, s."""

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


class ClaimedPicture:
    """The next picture of a capture, claimed by who decodes it."""

    __slots__ = ("_capture", "_offer")

    def __init__(self, capture: Capture, offer: _Offer) -> None:
        self._capture = capture
        self._offer = offer

    def decoded(self) -> Frame | None:
        """The frame, to be released after use; None where it is damaged, which is counted. Once, on any thread.

        Whatever is raised concerns this picture only, which is counted as failed; `SourceError` ends the capture.
        """
        return self._capture._opened_offer(self._offer)

    def note_delivery(self, frame: Frame) -> None:
        """The frame goes out; to be told in the order in which pictures were claimed."""
        self._capture._note_delivery(frame)


class Capture:
    """Frames of a source, from a thread of its own.

    Parameters
    ----------
    source : see `saccade.capture.open_source`. The capture owns it and closes it.
    size : (min_height, min_width) that inference needs; JPEG pictures are decoded at the smallest DCT scale that is
        at least that. None for full size.
    slots : frames that may exist at once, leased ones included; one more than requests in flight.
    policy : "newest" or "every"; None takes the source's own (live: newest; files: every).
    wait : a camera or stream that cannot be opened at the start is tried again, as one that is lost later.
    lazy : nothing is decoded before somebody takes it, and then on the taker's thread.

    size : as above, (0, 0) for full size; may be set while the capture runs.
    Attributes that a scheduler sets before the start: `fit`, the size that inference needs of a picture of (width,
    height), px; `on_arrival`, called with each picture that waits to be taken and at the end; `lost_as`, why a picture
    that nobody took is lost; `gate`, which says what is worth decoding and taking, and makes the capture lazy.
    ledger : what became of each picture; who takes a frame ends its entry.

    Raises ValueError for fewer than two slots; `wait_open` and `latest` raise SourceError where the source cannot be
    opened or fails for good.
    """

    def __init__(
        self,
        source: Source,
        *,
        size: tuple[int, int] | None = None,
        slots: int = 2,
        policy: Policy | None = None,
        wait: bool = False,
        lazy: bool = False,
    ) -> None:
        if slots < 2:
            raise ValueError(f"{slots} slots cannot be written and read at once; give at least 2")
        self.source = source
        self.policy: Policy = policy or ("every" if source.every_frame else "newest")
        source.every_frame = self.policy == "every"
        self.size = size or (0, 0)
        self._wait = wait and source.comes_later
        # One lock; who waits for a slot is not woken by pictures, nor the other way round.
        lock = threading.RLock()
        self._changed, self._freed = threading.Condition(lock), threading.Condition(lock)
        self._spares = Spares()
        self._free = [self._new_slot() for _ in range(slots)]
        self._ready: deque[_Offer] = deque()
        self._decoders = 1
        self._reading, self._exhausted = threading.Lock(), False
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
        self._ways = dict.fromkeys(Way, 0)
        self._state: State = "connecting"
        self._reason = ""
        self._last: float | None = None
        self._changes, self._sizes = ChangeLog(), ChangeLog()
        self.lazy = lazy
        self.fit: Callable[[int, int], tuple[int, int]] | None = None
        self.on_arrival: Callable[[], None] | None = None
        self.lost_as: Callable[[], Reason] = lambda: "newer"
        self.ledger = Ledger()
        self._gate: DecodeGate | None = None
        self._source_damage = self._source_still = 0
        self._frame_size = (0, 0)
        self._lost = 0.0
        self._back = float("-inf")
        self._pause = FIRST_PAUSE

    @property
    def gate(self) -> DecodeGate | None:
        """Who says what is worth decoding and taking; to be set before the start."""
        return self._gate

    @gate.setter
    def gate(self, gate: DecodeGate | None) -> None:
        self._gate = self.source.gate = gate
        self.lazy = self.lazy or gate is not None

    def reserve(self, frames: int) -> None:
        """Make room for that many frames at once; to be called before the start."""
        self.add_slots(frames - len(self._free))

    def add_slots(self, count: int) -> None:
        """Make room for so many frames more, for example in place of frames that nobody will ever release."""
        with self._changed:
            self._free += [self._new_slot() for _ in range(count)]
            self._freed.notify_all()

    def _new_slot(self) -> Slot:
        return Slot(self.source.max_pixels, self._spares)

    def decode_ahead(self, threads: int) -> None:
        """Let so many threads read and decode the JPEG pictures of a source of which each counts, with a slot more for
        each but the first, which is the capture thread; for other sources nothing changes. To be called before the
        start.
        """
        if threads > 1 and self.policy == "every" and not self.lazy:
            self._decoders = threads
            self.add_slots(threads - 1)

    def start(self) -> Capture:
        """Start the thread and open the source; raises `SourceError` if the source cannot be opened."""
        self.begin()
        try:
            self.wait_open()
        except BaseException:
            self.stop()
            raise
        return self

    @property
    def begun(self) -> bool:
        """True once the thread was started."""
        return self._thread is not None

    def begin(self) -> None:
        """Start the thread, and let it open the source."""
        if self._thread is not None:
            raise RuntimeError(f"capture of {self.source.name} was started before; make a new one")
        # Daemon, since a driver may hold it longer than `stop()` can wait; `stop()` joins it otherwise.
        self._thread = threading.Thread(target=self._run, name="saccade-capture", daemon=True)
        self._thread.start()

    def wait_open(self, timeout: float | None = None) -> bool:
        """True once the source is open, or is waited for; False after `timeout`, s.

        Raises `SourceError` if it cannot be opened, or was stopped before it was.
        """
        if not self._opened.wait(timeout):
            return False
        if self._open:
            return True
        if self._stop.is_set() or self._error is None:
            raise SourceError(f"{self.source.name}: stopped before it was open")
        raise self._error

    def stop(self) -> None:
        """End within a second. Leases stay valid; frames nobody took are gone."""
        self._stop.set()
        self.source.interrupt()
        # A library may hold the thread in `open()`; who waits for it need not.
        self._opened.set()
        with self._changed:
            self._ended = True
            ready, self._ready = list(self._ready), deque()
            self._changed.notify_all()
            self._freed.notify_all()
        self._drop(ready)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                _log.debug("%s: still held by the system; the thread ends when it returns", self.source.name)

    @property
    def ended(self) -> bool:
        """True when no frame will come any more."""
        with self._changed:
            return self._ended and not self._ready

    @property
    def queued(self) -> bool:
        """True where a picture waits to be taken."""
        return bool(self._ready)

    def latest(self, timeout: float | None = None) -> Frame | None:
        """The newest frame (policy "every": the next one) that was not handed out before; release it after use.

        timeout : s; None waits as long as it takes. Returns None after the timeout or at the end, see
        `ended`, and where the gate finds the picture still.

        Raises
        ------
        SourceError : the source failed for good, and all frames before that were handed out.
        """
        return self.look(timeout)[0]

    def look(self, timeout: float | None = None) -> tuple[Frame | None, bool]:
        """As `latest`; and whether there was a picture that the gate found still."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            offer = self._taken(left)
            if offer is None:
                return None, False
            frame, still = self._passed(offer)
            if still:
                self.ledger.end("still")
                return None, True
            if frame is not None:
                self._note_delivery(frame)
                return frame, False

    @property
    def apart(self) -> bool:
        """Whether pictures may be decoded beside each other by who takes them: each counts, and no gate compares them
        with those before.
        """
        return self.policy == "every" and self._gate is None

    def claim(self, timeout: float | None = None) -> ClaimedPicture | None:
        """As `latest`, of pictures that are decoded `apart`: the next one, to be decoded by whoever has claimed it, on
        any thread, while others claim those behind it.
        """
        offer = self._taken(timeout)
        return None if offer is None else ClaimedPicture(self, offer)

    def _taken(self, timeout: float | None) -> _Offer | None:
        """What was next; None after the timeout or at the end."""
        with self._changed:
            self._waiting += 1
            try:
                there = self._changed.wait_for(lambda: self._at_hand() or (self._ended and not self._ready), timeout)
            finally:
                self._waiting -= 1
            if not self._ready and self._error is not None:
                raise self._error
            if not there or not self._ready:
                return None
            offer = self._ready.popleft()
            if self._ended:
                self._changed.notify_all()
            return offer

    def _at_hand(self) -> bool:
        """Whether the next picture can be had at once, or be decoded by who takes it; under the lock."""
        return bool(self._ready) and (not isinstance(self._ready[0], Future) or self._ready[0].done())

    def _opened_offer(self, offer: _Offer) -> Frame | None:
        """The frame; None where it is damaged. Where that fails the picture has failed, and nobody else."""
        if isinstance(offer, Future):
            return self._decoded_ahead(offer)
        if not isinstance(offer, _Compressed):
            return offer
        try:
            return self._filled(offer.slot, offer.picture, offer.sequence)
        except BaseException:
            offer.release()
            self.ledger.end("failed")
            raise

    def _note_delivery(self, frame: Frame) -> None:
        """A frame is handed out, in the order in which they were read."""
        self._note_size((frame.height, frame.width))
        with self._changed:
            self._delivered += 1

    def _passed(self, offer: _Offer) -> tuple[Frame | None, bool]:
        """The frame, None where it is damaged; whether the gate held it back, at the least cost that tells."""
        gate, seen = self._gate, False
        if gate is not None and isinstance(offer, _Compressed) and offer.picture.jpeg is not None:
            picture, luma = offer.picture, None
            if not gate.worth_decoding(picture.size, picture.time):
                offer.release()
                return None, True
            if not gate.moving:
                limit = self.source.max_pixels
                luma = luma_of_jpeg(offer.picture.jpeg, picture.orientation, max_pixels=limit)
            seen = luma is not None
            if luma is not None and not gate.worth_a_look(luma, picture.time):
                offer.release()
                return None, True
        frame = self._opened_offer(offer)
        if gate is None or frame is None or seen or self.source.gated or gate.worth_a_look(luma_of(frame), frame.time):
            return frame, False
        frame.release()
        return None, True

    def _decoded_ahead(self, offer: Future[Frame | None]) -> Frame | None:
        """What a decoding thread made of a picture; what failed there fails here, in its turn, and ends the capture."""
        try:
            return offer.result()
        except Exception as error:
            self._error = self._failure(error)
            self.stop()
            raise self._error from error

    def statistics(self) -> CaptureStatistics:
        """Counters so far."""
        with self._changed:
            self._enter_left_out()
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
                mended=self._ways[Way.MENDED],
                second_opinions=self._ways[Way.SECOND],
                state=self._state,
                reason=self._reason,
                last_picture=self._last,
            )

    def __enter__(self) -> Capture:
        return self if self._thread is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            if self._wait:
                self._note_open()
            self._open_first()
            self._note_open()
            helpers = [
                threading.Thread(target=self._help, name="saccade-decode", daemon=True)
                for _ in range(self._decoders - 1)
            ]
            for helper in helpers:
                helper.start()
            try:
                self._pump()
            finally:
                self._exhausted = True
                for helper in helpers:
                    helper.join()
            if self._error is None:
                self._check_end()
        except Exception as error:
            self._note_error(error)
        finally:
            try:
                self.source.close()
            except Exception as error:  # who waits for frames is told that there are no more, in any case
                self._note_error(error)
            with self._changed:
                self._ended = True
                self._state, self._reason = "ended", str(self._error or self._reason)
                self._enter_left_out()
                self._changed.notify_all()
            self._opened.set()
            self._announce()

    def _help(self) -> None:
        """Another thread that reads and decodes."""
        try:
            self._pump()
        except Exception as error:
            self._exhausted = True
            self._note_error(error)

    def _note_error(self, error: Exception) -> None:
        # What was interrupted may call that an error; the reason of an outage is the one before.
        if not (isinstance(error, SaccadeError) and self._stop.is_set()):
            failure = self._failure(error)
            self._error = self._error or failure

    def _failure(self, error: Exception) -> SaccadeError:
        """What to raise for it; what nobody foresaw is logged with its traceback."""
        if isinstance(error, SaccadeError):
            return error
        _log.error("%s: capture failed", self.source.name, exc_info=error)
        return SourceError(f"{self.source.name}: capture failed: {error}")

    def _note_open(self) -> None:
        self._open = True
        self._opened.set()

    def _open_first(self) -> None:
        try:
            self.source.open()
        except SourceError as error:
            if not self._wait or self._stop.is_set():
                raise
            self._note_loss(error)

    def _pump(self) -> None:
        """Read until the end; live sources are opened again when they are lost. What was read is decoded while another
        thread, where there is one, reads the next.
        """
        while not self._stop.is_set():
            with self._reading:
                if self._exhausted:
                    return
                try:
                    if self._lost:
                        self._reopen()
                    picture = self.source.read()
                except SourceError as error:
                    if self._stop.is_set():
                        return
                    if not (self.source.live or self._awaited):
                        self._exhausted = True
                        raise
                    self._note_loss(error)
                    continue
                if picture is None:
                    self._exhausted = True
                    return
                if self._lost:
                    self._note_return()
                ahead = self._take(picture)
            if ahead is not None:
                ahead()
            del picture, ahead  # its memory is not kept until the next one has come

    @property
    def _awaited(self) -> bool:
        """True while a source that may come later has never given a picture."""
        return self._wait and self._last is None

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
        with self._changed:
            self._state, self._reason = "connecting" if self._awaited else "lost", str(reason)
        if not self._lost:
            self._spares.clear()
            self._lost = time.monotonic()
            flaps = self._lost - self._back < STEADY_SECONDS
            self._pause = min(self._pause, FLAPPING_PAUSE) if flaps else FIRST_PAUSE
            self._changes.note(f"{reason}; trying again")
        else:
            self._changes.settle()
            self._spares.settle()
            _log.debug("%s; next attempt in %.1f s", reason, self._pause)

    def _note_return(self) -> None:
        """A source is back when pictures come, not when it could be opened."""
        came = "there" if self._awaited else "back"
        self._changes.note(f"{self.source.name}: {came} after {time.monotonic() - self._lost:.1f} s")
        self._lost, self._back = 0.0, time.monotonic()
        with self._changed:
            self._reconnects += not self._awaited

    def _take(self, picture: Picture) -> Callable[[], None] | None:
        """Offer a picture to the consumer, decoded if that is waiting or keeps up; or return what decodes it."""
        sequence = self._sequence + picture.skipped
        self._sequence = sequence + 1
        stale: list[Frame | _Compressed] = []
        self._changes.settle()
        self._spares.settle()
        with self._changed:
            self._state, self._reason, self._last = "up", "", time.time()
            self._captured += 1 + picture.skipped
            self._dropped += picture.skipped
            self._bytes += picture.size
            self._enter_left_out()
            self.ledger.enter(1 + picture.skipped)
            if self.policy == "newest":
                # None of it is decoded ahead: that is done where every picture counts.
                stale.extend(left for left in self._ready if not isinstance(left, Future))
                self._ready.clear()
                self._dropped += len(stale)
                self._behind = not self._waiting and (self._behind or bool(stale))
            if picture.skipped or stale:
                self.ledger.end(self.lost_as(), picture.skipped + len(stale))
        for left in stale:
            left.release()
        slot = self._writable()
        if slot is None:
            return None
        offer, ahead = self._offer(slot, picture, sequence)
        if offer is None:
            return None
        with self._changed:
            stopped = self._stop.is_set()
            if not stopped:
                self._ready.append(offer)
                if not isinstance(offer, Future):
                    self._changed.notify_all()
        if not stopped:
            self._announce()
            return ahead
        if isinstance(offer, Future):
            self._give_back(slot)
        else:
            offer.release()
        self.ledger.end("ended")
        return None

    def _offer(self, slot: Slot, picture: Picture, sequence: int) -> tuple[_Offer | None, Callable[[], None] | None]:
        """The picture in its slot, decoded where it is not better done later; None if it is damaged. And what decodes
        it, where others can read on meanwhile.
        """
        if picture.jpeg is not None and self._decoders > 1:
            slot.keep(picture)
            promise: Future[Frame | None] = Future()
            promise.set_running_or_notify_cancel()
            promise.add_done_callback(self._note_decoded)
            return promise, partial(self._keep_promise, promise, slot, picture, sequence)
        if picture.jpeg is not None and (self._behind or self.lazy):
            slot.keep(picture)
            return _Compressed(slot, picture, sequence, partial(self._give_back, slot)), None
        return self._filled(slot, picture, sequence), None

    def _keep_promise(self, promise: Future[Frame | None], slot: Slot, picture: Picture, sequence: int) -> None:
        """Decode a picture for whom waits for it."""
        try:
            promise.set_result(self._filled(slot, picture, sequence))
        except Exception as error:
            promise.set_exception(error)

    def _note_decoded(self, offer: Future[Frame | None]) -> None:
        """Somebody may wait for it, where it is the next."""
        with self._changed:
            if self._ready and self._ready[0] is offer:
                self._changed.notify_all()

    def _drop(self, offers: Sequence[_Offer]) -> None:
        """Let go of pictures that nobody took before the end; of one that is being decoded, when that is done."""
        for offer in offers:
            if isinstance(offer, Future):
                offer.add_done_callback(self._drop_decoded)
                continue
            offer.release()
            self.ledger.end("ended")

    def _drop_decoded(self, offer: Future[Frame | None]) -> None:
        frame = None if offer.exception() is not None else offer.result()
        if frame is not None:
            frame.release()
        if frame is not None or offer.exception() is not None:  # else it was found damaged, and is counted
            self.ledger.end("ended")

    def _announce(self) -> None:
        if self.on_arrival is not None:
            self.on_arrival()

    def _enter_left_out(self) -> None:
        """Enter what the source itself left out since the last time; under the lock."""
        damaged = self.source.damaged - self._source_damage
        still = self.source.still - self._source_still
        self._source_damage += damaged
        self._source_still += still
        self.ledger.enter(damaged + still)
        self.ledger.end("damaged", damaged)
        if still:
            self._captured += still
            self._last = time.time()
            self.ledger.end("still", still)

    def _filled(self, slot: Slot, picture: Picture, sequence: int) -> Frame | None:
        """The picture, decoded into the slot; None if it is damaged."""
        start = time.perf_counter()
        try:
            frame = slot.fill(picture, self.fit or self.size, sequence, partial(self._give_back, slot))
        except JpegError as error:
            self._give_back(slot)
            self.ledger.end("damaged")
            with self._changed:
                self._damaged += 1
                level = logging.WARNING if self._damaged <= self.source.named else logging.DEBUG
            _log.log(level, "%s: %s", picture.name or self.source.name, error)
            return None
        self._decode.add(picture.seconds + time.perf_counter() - start)
        if slot.way is not Way.AS_IS:
            with self._changed:
                self._ways[slot.way] += 1
        return frame

    def _writable(self) -> Slot | None:
        """A slot to write into; None when all are leased (policy "newest") or the capture was stopped."""
        with self._changed:
            if self.policy == "every":
                self._freed.wait_for(lambda: self._free or self._stop.is_set())
            if self._stop.is_set():
                # Like all that waits when the capture ends, this picture is neither delivered nor dropped.
                self.ledger.end("ended")
                return None
            if self._free:
                return self._free.pop()
            self._dropped += 1
            self.ledger.end(self.lost_as())
            return None

    def _give_back(self, slot: Slot) -> None:
        slot.clear()
        with self._changed:
            self._free.append(slot)
            self._freed.notify_all()

    def _note_size(self, size: tuple[int, int]) -> None:
        with self._changed:
            old, self._frame_size = self._frame_size, size
            if old in (size, (0, 0)):
                return
            self._resizes += 1
            was, now = (f"{width}x{height}" for height, width in (old, size))
            self._sizes.note(f"{self.source.name}: frame size changed from {was} to {now}")


@dataclass(slots=True)
class _Compressed:
    """A picture that waits in its slot to be decoded by who takes it."""

    slot: Slot
    picture: Picture
    sequence: int
    release: Callable[[], None]


_Offer = Frame | _Compressed | Future[Frame | None]
"""What waits to be taken: a future is decoded, or being decoded, by a thread of its own; None: found damaged."""
