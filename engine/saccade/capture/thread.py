"""The capture thread: reads a source, decodes into slots, and leases out frames.

Newest wins for live sources: a frame that nobody took is overwritten by the next. With policy "every" the thread
waits until frames are taken. A lost live source is opened again, with growing pauses.

JPEG decoding is the largest cost of a frame, so that no picture is decoded that will be overwritten: while the
consumer is slower than the source, the newest picture waits in its slot compressed, and `latest()` decodes it. A
consumer that waits for the next frame gets it decoded by the capture thread.

Of a file every picture is decoded, and JPEG pictures do not depend on each other: `decode_ahead` has several threads
take turns in reading one, which each then decodes into a slot of its own while the next reads. Who reads decodes: the
compressed bytes are still in its core's cache. Pictures are handed out as they were read.

Each part has its state and its lock to itself: `SourceConnection` opens, reads and opens again, and has none, as one
thread reads at a time; `SlotPool` has the memory; `Offers` is where pictures wait for takers; `CaptureCounts` counts.
Under the lock of one no other's is taken. Who reads the source holds the capture's own until the picture is offered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Literal

from saccade.capture.connection import SourceConnection
from saccade.capture.figures import CaptureCounts, CaptureStatistics
from saccade.capture.gating import DecodeGate, luma_of, luma_of_jpeg
from saccade.capture.offers import CompressedPicture, Offer, Offers, Promise
from saccade.capture.pool import SlotPool
from saccade.capture.slots import Slot
from saccade.capture.source import Picture, Source
from saccade.errors import JpegError, SaccadeError, SourceError
from saccade.frame import Frame
from saccade.ledger import Ledger, Reason

Policy = Literal["newest", "every"]

STOP_SECONDS = 0.8
"""How long `stop()` waits for the thread: a driver or a name server may hold it for longer."""

_log = logging.getLogger(__name__)


class ClaimedPicture:
    """The next picture of a capture, claimed by who decodes it."""

    __slots__ = ("_capture", "_offer")

    def __init__(self, capture: Capture, offer: Offer) -> None:
        self._capture = capture
        self._offer = offer

    def decoded(self) -> Frame | None:
        """The frame, to be released after use; None where it is damaged, which is counted. Once, on any thread.

        Whatever is raised concerns this picture only, which is counted as failed; `SourceError` ends the capture.
        """
        return self._capture._opened_offer(self._offer)

    def note_delivery(self, frame: Frame) -> None:
        """The frame goes out; to be told in the order in which pictures were claimed."""
        self._capture._counts.note_delivery(frame)


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
        self.lazy = lazy
        self.fit: Callable[[int, int], tuple[int, int]] | None = None
        self.on_arrival: Callable[[], None] | None = None
        self.lost_as: Callable[[], Reason] = lambda: "newer"
        self.ledger = Ledger()
        self._gate: DecodeGate | None = None
        self._stop = threading.Event()
        self._pool = SlotPool(slots, source.max_pixels)
        self._connection = SourceConnection(
            source, later=wait and source.comes_later, stop=self._stop, on_absence=self._pool.spares.clear
        )
        self._offers = Offers(self.ledger)
        self._counts = CaptureCounts(source, self.ledger)
        self._error: SaccadeError | None = None
        self._thread: threading.Thread | None = None
        self._decoders = 1
        # Who holds it reads the source, one picture at a time, and numbers the pictures.
        self._reading, self._sequence = threading.Lock(), 0
        self._exhausted = False

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
        self.add_slots(frames - len(self._pool.free))

    def add_slots(self, count: int) -> None:
        """Make room for so many frames more, for example in place of frames that nobody will ever release."""
        self._pool.add(count)

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
        if not self._connection.wait(timeout):
            return False
        if self._connection.is_open:
            return True
        if self._stop.is_set() or self._error is None:
            raise SourceError(f"{self.source.name}: stopped before it was open")
        raise self._error

    def stop(self) -> None:
        """End within a second. Leases stay valid; frames nobody took are gone."""
        self._stop.set()
        self.source.interrupt()
        self._connection.leave()
        self._pool.close()  # first, or what the offers give back would be written to
        self._offers.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                _log.debug("%s: still held by the system; the thread ends when it returns", self.source.name)

    @property
    def ended(self) -> bool:
        """True when no frame will come any more."""
        return self._offers.ended

    @property
    def queued(self) -> bool:
        """True where a picture waits to be taken."""
        return len(self._offers) > 0

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
                self._counts.note_delivery(frame)
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

    def _taken(self, timeout: float | None) -> Offer | None:
        """What was next; None after the timeout or at the end."""
        offer = self._offers.take(timeout)
        if offer is None and self._error is not None and not self.queued:
            raise self._error
        return offer

    def _opened_offer(self, offer: Offer) -> Frame | None:
        """The frame; None where it is damaged. Where that fails the picture has failed, and nobody else."""
        if isinstance(offer, Future):
            return self._decoded_ahead(offer)
        if not isinstance(offer, CompressedPicture):
            return offer
        try:
            return self._filled(offer.slot, offer.picture, offer.sequence)
        except BaseException:
            offer.release()
            self.ledger.end("failed")
            raise

    def _passed(self, offer: Offer) -> tuple[Frame | None, bool]:
        """The frame, None where it is damaged; whether the gate held it back, at the least cost that tells."""
        gate, seen = self._gate, False
        if gate is not None and isinstance(offer, CompressedPicture) and offer.picture.jpeg is not None:
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

    def _decoded_ahead(self, promise: Promise) -> Frame | None:
        """What a decoding thread made of a picture; what failed there fails here, in its turn, and ends the capture."""
        try:
            return promise.result()
        except Exception as error:
            self._error = self._failure(error)
            self.stop()
            raise self._error from error

    def statistics(self) -> CaptureStatistics:
        """Counters so far."""
        return self._counts.statistics(self._connection)

    def __enter__(self) -> Capture:
        return self if self._thread is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._connection.open()
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
            # Who finds that it has ended finds the reason and all counts.
            self._connection.end(self._error)
            self._counts.note_left_out()
            self._offers.end()
            self._connection.leave()
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

    def _pump(self) -> None:
        """Read until the end. What was read is decoded while another thread, where there is one, reads the next."""
        while not self._stop.is_set():
            with self._reading:
                if self._exhausted:
                    return
                try:
                    picture = self._connection.read()
                except SourceError:
                    self._exhausted = True
                    raise
                if picture is None:
                    self._exhausted = True
                    return
                ahead = self._take(picture)
            if ahead is not None:
                ahead()
            del picture, ahead  # its memory is not kept until the next one has come

    def _check_end(self) -> None:
        """A file of which nothing could be used is an error, not an empty result."""
        if not self._stop.is_set() and not self.source.live and (why := self._counts.why_unusable()):
            raise SourceError(f"{self.source.name}: {why}")

    def _take(self, picture: Picture) -> Callable[[], None] | None:
        """Offer a picture to the consumer, decoded if that is waiting or keeps up; or return what decodes it."""
        sequence = self._sequence + picture.skipped
        self._sequence = sequence + 1
        self._pool.spares.settle()
        stale = self._offers.overtake() if self.policy == "newest" else ()
        self._counts.note_arrival(picture, len(stale), self.lost_as)
        for left in stale:
            left.release()
        slot = self._pool.take(wait=self.policy == "every")
        if slot is None:
            self._note_unread()
            return None
        offer, ahead = self._offer(slot, picture, sequence)
        if offer is None:
            return None
        if self._offers.put(offer):
            self._announce()
            return ahead
        if isinstance(offer, Future):
            self._pool.give_back(slot)
        else:
            offer.release()
        self.ledger.end("ended")
        return None

    def _note_unread(self) -> None:
        """A picture found no slot."""
        if self._stop.is_set():
            # Like all that waits when the capture ends, it is neither delivered nor dropped.
            self.ledger.end("ended")
        else:
            self._counts.note_drop(self.lost_as())

    def _offer(self, slot: Slot, picture: Picture, sequence: int) -> tuple[Offer | None, Callable[[], None] | None]:
        """The picture in its slot, decoded where it is not better done later; None if it is damaged. And what decodes
        it, where others can read on meanwhile.
        """
        if picture.jpeg is not None and self._decoders > 1:
            slot.keep(picture)
            promise = self._offers.promise()
            return promise, partial(self._keep_promise, promise, slot, picture, sequence)
        if picture.jpeg is not None and (self._offers.behind or self.lazy):
            slot.keep(picture)
            return CompressedPicture(slot, picture, sequence, partial(self._pool.give_back, slot)), None
        return self._filled(slot, picture, sequence), None

    def _keep_promise(self, promise: Promise, slot: Slot, picture: Picture, sequence: int) -> None:
        """Decode a picture for whom waits for it."""
        try:
            promise.set_result(self._filled(slot, picture, sequence))
        except Exception as error:
            promise.set_exception(error)

    def _announce(self) -> None:
        if self.on_arrival is not None:
            self.on_arrival()

    def _filled(self, slot: Slot, picture: Picture, sequence: int) -> Frame | None:
        """The picture, decoded into the slot; None if it is damaged."""
        start = time.perf_counter()
        try:
            frame = slot.fill(picture, self.fit or self.size, sequence, partial(self._pool.give_back, slot))
        except JpegError as error:
            self._pool.give_back(slot)
            self._counts.note_damage(picture, error)
            return None
        self._counts.note_decoded(picture.seconds + time.perf_counter() - start, slot.way)
        return frame
