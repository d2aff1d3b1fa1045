"""The way of one camera's frames: captured, inferred, interpreted, delivered.

Whoever drives it calls `take`, `finish` and `give_back` for each frame. Several frames may be on their way at a time,
on one thread or on several; results are delivered in the order in which frames were taken.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Literal

from saccade.frame import Frame, Image
from saccade.ledger import Ledger, PictureCounts, Reason
from saccade.pipeline.app import Branch
from saccade.pipeline.delivery import Delivery, name_of
from saccade.pipeline.figures import STAGES, PipelineStatistics
from saccade.pipeline.gate import Gate
from saccade.results import Result
from saccade.statistics import Stopwatch
from saccade.tracking import Tracker

if TYPE_CHECKING:
    from saccade.capture import Capture
    from saccade.capture.thread import ClaimedPicture
    from saccade.predict.predictor import Prediction

Step = Literal["turn", "output"]
"""What follows on inference: waiting until the results before this one were taken, and then this one is. An app makes
its result in the second."""

CONCLUDE_SECONDS = 1.0
"""So long outputs that are about to be closed are waited for, to be told how objects ended, s."""
RECENT_SECONDS = 2.0
"""Over so long a time the present frame rate is counted, s."""
COUNTED = ("captured", "dropped", "damaged", "reconnects", "mended", "second_opinions")
"""What captures count, all of a camera together."""
READ_AHEAD = 2
"""So many pictures of a file wait compressed beside the next one, so that whoever is free finds one."""


@dataclass(slots=True, eq=False)
class _Place:
    """Of a picture in its capture's line. begun : its requests were started, so that those behind it may be."""

    begun: bool = False


class _Line:
    """Pictures of one capture on their way, in order. What hangs in one capture's line holds up no other's."""

    __slots__ = ("_moved", "_places", "capture", "taking")

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.taking = threading.Lock()
        self._moved = threading.Condition()
        self._places: deque[_Place] = deque()

    @property
    def ledger(self) -> Ledger:
        return self.capture.ledger

    def join(self) -> _Place:
        """The last place; by who takes pictures."""
        place = _Place()
        with self._moved:
            self._places.append(place)
        return place

    def leave(self, place: _Place) -> None:
        with self._moved:
            self._places.remove(place)
            self._moved.notify_all()

    def note_begun(self, place: _Place) -> None:
        with self._moved:
            place.begun = True
            if self._places[-1] is not place:
                self._moved.notify_all()

    def await_taking(self) -> bool:
        """Until nobody else takes a frame; False where the capture was given up, as its decoder hangs."""
        while not self.taking.acquire(timeout=0.1):
            if self.ledger.sealed:
                return False
        return True

    def await_start(self, place: _Place) -> bool:
        """Until the pictures before this one have begun; False where the capture was given up."""
        return self._await(lambda: self._places[0] is place or self._places[self._places.index(place) - 1].begun)

    def await_turn(self, place: _Place) -> None:
        """Until the pictures before this one have left, or the capture was given up."""
        self._await(lambda: self._places[0] is place)

    def _await(self, free: Callable[[], bool]) -> bool:
        with self._moved:
            while not free():
                if self.ledger.sealed:
                    return False
                self._moved.wait(0.5)
        return not self.ledger.sealed


@dataclass(slots=True, eq=False)
class Flight:
    """A frame on its way.

    predictions : of each app. fate : how its picture ends, if nothing else happens. rested : the time of the newest
    still picture since the frame before, s, or None.
    """

    frame: Frame
    line: _Line
    place: _Place
    predictions: list[Prediction]
    started: float
    fate: Reason = "ended"
    rested: float | None = None
    over: bool = False

    def is_late(self) -> bool:
        """True where its capture was given up, and another may have taken its place."""
        return self.line.ledger.sealed

    @property
    def done(self) -> bool:
        """True if nothing would have to be waited for."""
        return all(prediction.done for prediction in self.predictions)


class Lane:
    """A capture, the apps that look at its frames, and their outputs.

    depth : frames in flight at most; the capture gets the slots for them and for what the outputs retain.
    gate : keeps still pictures from the apps; what was there at the last look is there, for the trackers. None: every
    picture is looked at.
    """

    def __init__(self, capture: Capture, branches: Sequence[Branch], *, depth: int, gate: Gate | None = None) -> None:
        self.apps = [branch.app for branch in branches]
        self.deliveries = [Delivery(branch.outputs, self._replace_slots) for branch in branches]
        self._interpreting = self.apps[0]
        self._trackers = [Tracker() if branch.track else None for branch in branches]
        self._depth = depth
        self._stages = {name: Stopwatch() for name in STAGES}
        self._age = Stopwatch()
        self._recent: deque[float] = deque(maxlen=2048)
        self._latest: Result | None = None
        self._past: PictureCounts | None = None
        self._counted = dict.fromkeys(COUNTED, 0)
        self.is_remote = any(app.predictor.network.is_remote for app in self.apps)
        self._gate = gate
        self._rested: float | None = None
        # Of what threads share that hold no frame: who looks at figures, closes, or notes what was still.
        self._guard = threading.Lock()
        # Apps and outputs have one thread at a time, also where the capture was given up while they had a frame of it.
        self._delivering = threading.Lock()
        self.frames = 0
        self.first = self.last = 0.0
        self._line = self._prepared(capture)

    @property
    def capture(self) -> Capture:
        """Where frames come from at present."""
        return self._line.capture

    def attach(self, capture: Capture) -> None:
        """Take frames from this capture from now on; of the one before, only what it has counted stays."""
        if self._gate is not None:
            self._gate.reset()
        line = self._prepared(capture)
        counted = self.capture.statistics()
        with self._guard:
            for key in COUNTED:
                self._counted[key] += getattr(counted, key)
            account = self.capture.ledger.account()
            self._past = account if self._past is None else self._past + account
            self._line = line

    def _prepared(self, capture: Capture) -> _Line:
        capture.fit = self._least_size
        if self._gate is not None:
            capture.gate = _Watched(self._gate, self._note_still)
        ahead = READ_AHEAD if capture.apart and capture.lazy else 0
        capture.reserve(self._depth + 1 + sum(delivery.leases for delivery in self.deliveries) + ahead)
        return _Line(capture)

    def deepen(self, depth: int) -> None:
        """Make room for so many frames in flight at least."""
        if depth > self._depth:
            self.capture.add_slots(depth - self._depth)
            self._depth = depth

    def take(self, timeout: float = 0.0) -> Flight | None:
        """The newest frame (policy "every": the next) on its way; None after `timeout`, s, or at the end, or where that
        is still. Decodes on this thread what waits compressed.
        """
        return self.look(timeout)[0]

    def look(self, timeout: float = 0.0, *, taken: Callable[[], None] = lambda: None) -> tuple[Flight | None, bool]:
        """As `take`; and whether there was a picture, which may have been still. Frames start in the order in which
        they were read, whoever takes them; several that look at a time decode beside each other where the capture can.

        taken : called when a picture was taken, and others may take those behind it.
        """
        line, deadline = self._line, monotonic() + timeout
        while line.await_taking():
            try:
                if not line.capture.apart:
                    frame, still = line.capture.look(timeout)
                    return (None, still) if frame is None else (self._started(frame, line, line.join()), True)
                claim = line.capture.claim(max(0.0, deadline - monotonic()))
                if claim is None:
                    break
                place = line.join()
            finally:
                line.taking.release()
            taken()
            flight = self._decoded(claim, line, place)
            if flight is not None:
                return flight, True
        return None, False

    def _decoded(self, claim: ClaimedPicture, line: _Line, place: _Place) -> Flight | None:
        """A claimed picture on its way, once those before it are; None where it is damaged or comes too late."""
        frame = None
        try:
            frame = claim.decoded()
            if not line.await_start(place) and frame is not None:
                frame.release()
                frame = None
        finally:
            if frame is None:
                line.leave(place)
        if frame is None:
            return None
        claim.note_delivery(frame)
        return self._started(frame, line, place)

    def _started(self, frame: Frame, line: _Line, place: _Place) -> Flight:
        """Requests filled with the frame and started; the frame is the lane's from now on."""
        started = perf_counter()
        flight = Flight(frame, line, place, [], started, fate="failed", rested=self._rest_before(frame.time))
        try:
            for app in self.apps:
                flight.predictions.append(app.predictor.start(frame))
        except BaseException:
            self.give_back(flight)
            raise
        line.note_begun(place)
        if not self.first:
            self.first = frame.captured
        flight.started = perf_counter()
        flight.fate = "ended"
        self._stages["preprocess"].add(flight.started - started)
        return flight

    def finish(self, flight: Flight, *, begin: Callable[[Step], None] = lambda step: None) -> tuple[Result, ...]:
        """Wait for the requests and for the frames before this one, and hand the results to the outputs.

        begin : called with what begins.
        """
        flight.fate = "failed"
        for prediction in flight.predictions:
            prediction.wait()
        begin("turn")
        flight.line.await_turn(flight.place)
        with self._delivering:
            begin("output")
            return () if flight.is_late() else self._delivered(flight)

    def _delivered(self, flight: Flight) -> tuple[Result, ...]:
        """What the apps make of it, handed to the outputs."""
        frame, results = flight.frame, []
        ended = perf_counter()
        self._stages["infer"].add(ended - flight.started)
        for app, prediction, tracker in zip(self.apps, flight.predictions, self._trackers, strict=True):
            found = prediction.result()
            if tracker is not None:
                with self._guard:
                    if flight.is_late():
                        return ()
                    found = _followed(tracker, found, flight.rested)
            self._interpreting = app
            results.append(app.interpret(frame, found))
        self._stages["postprocess"].add(perf_counter() - ended)
        self.last = monotonic()
        self.frames += 1
        self._recent.append(self.last)
        self._age.add(self.last - frame.captured)
        self._latest = results[0]
        flight.fate = "served"
        with self._stages["output"].measure():
            for delivery, result in zip(self.deliveries, results, strict=True):
                delivery.accept(frame, result)
        return tuple(results)

    def give_back(self, flight: Flight) -> None:
        """Let the requests run out, and release the frame; once is enough."""
        if flight.over:
            return
        flight.over = True
        flight.line.leave(flight.place)
        try:
            for prediction in flight.predictions:
                prediction.release()
        finally:
            flight.line.ledger.end(flight.fate)
            flight.frame.release()

    def close_outputs(self, seconds: float | None = None) -> None:
        """Have the outputs write what they hold, and close them; from any thread, once is enough.

        seconds : as for `Delivery.close`, for all together.
        """
        until = None if seconds is None else monotonic() + seconds
        for delivery in self.deliveries:
            delivery.close(None if until is None else max(0.0, until - monotonic()))

    def close(self, seconds: float | None = None) -> None:
        """Tell how the objects ended that were there to the last; close outputs and apps. seconds : as above."""
        if self._delivering.acquire(timeout=CONCLUDE_SECONDS):  # or one of them hangs, which closing may mend
            try:
                self._conclude()
            finally:
                self._delivering.release()
        self.close_outputs(seconds)
        for app in self.apps:
            app.close()

    def _conclude(self) -> None:
        for tracker, delivery in zip(self._trackers, self.deliveries, strict=True):
            if tracker is not None:
                with self._guard:
                    if self._rested is not None:
                        tracker.coast(self._rested)
                    tracker.close()
                    life = tuple(tracker.events())
                delivery.conclude(life)

    @property
    def taker(self) -> str:
        """Who has a result at present, for people: an output, or else an app."""
        busy = [output for delivery in self.deliveries if (output := delivery.busy) is not None]
        return name_of(busy[0]) if busy else f"app {self._interpreting.name}"

    def account(self) -> PictureCounts:
        """What became of the camera's pictures."""
        with self._guard:
            account = self.capture.ledger.account()
            return account if self._past is None else self._past + account

    def statistics(self) -> PipelineStatistics:
        """Figures so far; may be called from any thread."""
        with self._guard:  # or what a capture that is replaced meanwhile has counted would be counted twice
            captured, counted = self.capture.statistics(), dict(self._counted)
        seconds = max(self.last - self.first, 0.0)
        now = monotonic()
        recent = [t for t in self._recent.copy() if now - t <= RECENT_SECONDS]
        span = now - recent[0] if len(recent) > 1 else 0.0
        latest = self._latest
        networks = [app.predictor.network for app in self.apps]
        return PipelineStatistics(
            frames=self.frames,
            seconds=seconds,
            fps=self.frames / seconds if seconds else 0.0,
            recent_fps=len(recent) / span if span else 0.0,
            **{key: before + getattr(captured, key) for key, before in counted.items()},
            stages={"decode": captured.decode} | {name: watch.statistics() for name, watch in self._stages.items()},
            age=self._age.statistics(),
            device=_each(network.device for network in networks),
            precision=_each(network.precision for network in networks),
            model=_each(app.model_name for app in self.apps),
            source=self.capture.source.name,
            app=_each(app.name for app in self.apps),
            latest=latest.to_event() if latest else {},
            state=captured.state,
            reason=captured.reason,
            last_picture=captured.last_picture,
            pictures=self.account().summary(),
        )

    def _least_size(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) at which all apps see enough of a frame of this size, px."""
        sizes = [app.least_size(width, height) for app in self.apps]
        return max(h for h, _ in sizes), max(w for _, w in sizes)

    def _rest_before(self, time: float) -> float | None:
        """Until when it was still before a frame's time, s."""
        with self._guard:
            rested = self._rested
            if rested is None or rested >= time:
                return None  # the source is ahead of this frame
            self._rested = None
            return rested

    def _note_still(self, time: float) -> None:
        """Nothing has moved until then, s; on the thread that takes, or reads the source."""
        with self._guard:
            self._rested = time

    def _replace_slots(self, count: int) -> None:
        self.capture.add_slots(count)


class _Watched:
    """A gate, and who is told of each picture that it finds still."""

    __slots__ = ("_gate", "_note_still")

    def __init__(self, gate: Gate, note_still: Callable[[float], None]) -> None:
        self._gate = gate
        self._note_still = note_still

    @property
    def moving(self) -> bool:
        return self._gate.moving

    def worth_decoding(self, size: int, time: float, *, place: int = 0, later: bool = False) -> bool:
        worth = self._gate.worth_decoding(size, time, place=place, later=later)
        if not worth and not place:
            self._note_still(time)
        return worth

    def worth_a_look(self, luma: Image, time: float) -> bool:
        worth = self._gate.worth_a_look(luma, time)
        if not worth:
            self._note_still(time)
        return worth

    def differs(self, luma: Image) -> bool:
        return self._gate.differs(luma)


def _followed(tracker: Tracker, found: Result, rested: float | None) -> Result:
    """The result with its tracks, and with what the still time before it meant for them."""
    if rested is None or found.detections is None:
        return tracker.follow(found)
    tracker.coast(rested)
    before = tuple(tracker.events())
    followed = tracker.follow(found)
    return replace(followed, life=before + followed.life) if before else followed


def _each(names: Iterable[str]) -> str:
    """Different names, in order."""
    return " + ".join(dict.fromkeys(names))
