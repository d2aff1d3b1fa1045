"""One camera, driven by the thread that calls `run` or iterates.

Capture decodes in threads of its own and OpenVINO infers in its own, so that while one frame is inferred the next is
decoded and the one before is interpreted. Of a file as many threads decode as there are cores; where the network is
what takes long, they sleep until slots are free. With n requests in flight at most n frames are leased here; outputs
that need a frame for longer retain it.

Order is the source's order. Back-pressure comes from the capture's policy: live sources drop what comes too late,
files wait. So it is where a network elsewhere does not answer for a while, as its server is started anew: pictures of a
live source count as failed, and the run goes on; where each picture counts, it ends with the error.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from saccade.errors import ConfigError, DeviceError, SaccadeError
from saccade.frame import Frame
from saccade.pipeline.app import App, Branch, Output
from saccade.pipeline.balance import Balance
from saccade.pipeline.figures import PipelineStatistics
from saccade.pipeline.gate import Gate
from saccade.pipeline.lane import Flight, Lane
from saccade.pipeline.outage import Outage
from saccade.process import usable_cores
from saccade.results import Result

if TYPE_CHECKING:
    from saccade.capture import Capture
    from saccade.capture.source import Source
    from saccade.predict.predictor import Predictor

POLL_SECONDS = 0.1
"""How long the pipeline sleeps at most before it looks whether it shall stop, s."""

REMOTE_POLL_SECONDS = 0.002
"""How long it waits for a frame at a time while a network elsewhere is at work, s."""


MOST_DECODERS = 8
"""Threads that decode one file at most: the thread that drives the pipeline keeps up with no more."""


class Pipeline:
    """Drives frames from a capture through an app's predictor to outputs.

    Parameters
    ----------
    capture : started or not; the pipeline gives it the slots it needs, starts it, and stops it when it ends.
    app : what to do with each frame; a predictor alone is an app that passes its results on.
    outputs : take each (frame, result), in order. An output that fails is reported once and left out from then on.
    requests : frames in flight, 1 to 16. track : number the objects of a detector over time, before the app sees them.
    gate : keeps still pictures from the app; None: each is looked at. balance : spreads the network over the cores as
    its costs ask for, and says how many requests that takes; None: all stays as it was opened.

    Raises ConfigError for another number of requests; while it runs SourceError where the source fails for good, and
    what the app raises, but DeviceError of a network elsewhere and a live source: that is waited out.
    """

    def __init__(
        self,
        capture: Capture,
        app: App | Predictor,
        outputs: Sequence[Output] = (),
        *,
        requests: int = 2,
        track: bool = True,
        gate: Gate | None = None,
        balance: Balance | None = None,
    ) -> None:
        if not 1 <= requests <= 16:
            raise ConfigError(f"requests: got {requests}; expected 1 to 16")
        self.capture = capture
        self.app = app if isinstance(app, App) else App(app)
        self._lane = Lane(capture, [Branch(self.app, outputs, track)], depth=requests, gate=gate)
        capture.decode_ahead(min(usable_cores(), MOST_DECODERS))
        self._requests = requests
        self.balance = balance
        self._in_flight: deque[Flight] = deque()
        self._outage = Outage(capture.source.name)
        self._stopping = False
        self._seconds: float | None = None
        self._started = 0.0

    @property
    def outputs(self) -> list[Output]:
        """Those that still take results."""
        return self._lane.deliveries[0].outputs

    def stop(self) -> None:
        """Ask the run to end after the frames in flight; safe from any thread, and from signal handlers, as it takes
        no lock: the run looks every `POLL_SECONDS`.
        """
        self._stopping = True

    def run(self, *, frames: int | None = None, seconds: float | None = None) -> PipelineStatistics:
        """Run until the source ends, `stop()` is called, or `frames` results or `seconds` have passed.

        The seconds count from the first frame's arrival; while there is none, from the start.
        """
        self._seconds = seconds
        self._started = monotonic()
        with closing(iter(self)) as results:
            for _ in results:
                if frames is not None and self._lane.frames >= frames:
                    break
        return self.statistics()

    def __iter__(self) -> Generator[tuple[Frame, Result], None, None]:
        """Each frame with its result, in order, after the outputs had it; the frame is released when the next one is
        asked for. At the end outputs and app are closed.
        """
        try:
            self.capture.begin()
            while not self._is_over() and not self.capture.wait_open(POLL_SECONDS):
                pass
            while not self._is_over():
                # Only a free place can take a frame; only an idle pipeline sleeps for one. A network that is far
                # away takes longer than the next frame to come, so that is waited for beside the answer.
                flight = None
                room = len(self._in_flight) < self._requests
                distant = self._lane.is_remote and bool(self._in_flight) and not self._in_flight[0].done
                if room:
                    nap = REMOTE_POLL_SECONDS if distant else 0.0
                    flight = self._lane.take(nap if self._in_flight else POLL_SECONDS)
                if flight is not None:
                    self._in_flight.append(flight)
                    room = len(self._in_flight) < self._requests
                if self._in_flight and (not room or (flight is None and (not distant or self.capture.ended))):
                    yield from self._finish()
                elif flight is None and self.capture.ended:
                    break
                if self.balance is not None and self.balance.is_due(self._lane.frames):
                    yield from self._drain()
                    self._settle(self.balance)
            yield from self._drain()
        finally:
            self._abandon()
            self.capture.stop()
            self.capture.ledger.seal()
            self.close()

    def close(self) -> None:
        """Close outputs and app; the outputs write what they still hold."""
        self._lane.close()

    def close_outputs(self, seconds: float | None = None) -> None:
        """Have the outputs write what they hold, and close them; from any thread, once is enough.

        seconds : one that has not done so by then is named and left to itself; None: it takes as long as it takes.
        """
        self._lane.close_outputs(seconds)

    def statistics(self) -> PipelineStatistics:
        """Figures so far; may be called from any thread."""
        figures = self._lane.statistics()
        return replace(figures, reason=figures.reason or self._outage.reason)

    def _is_over(self) -> bool:
        return self._stopping or (
            self._seconds is not None and monotonic() - (self._lane.first or self._started) >= self._seconds
        )

    def _finish(self) -> Iterator[tuple[Frame, Result]]:
        """Wait for the oldest frame's requests, hand its result to the outputs and yield it, if there is one."""
        flight = self._in_flight.popleft()
        try:
            result = self._answer(flight)
            if result is not None:
                yield flight.frame, result
        finally:
            self._lane.give_back(flight)

    def _answer(self, flight: Flight) -> Result | None:
        """The frame's result, which the outputs have had; None where the network fails, and that is waited out."""
        try:
            (result,) = self._lane.finish(flight)
        except DeviceError as error:
            if not self._waits:
                raise
            self._outage.note_failure(str(error))
            with suppress(DeviceError):  # of other regions of the frame
                self._lane.give_back(flight)
            return None
        self._outage.note_success()
        return result

    @property
    def _waits(self) -> bool:
        """Whether pictures may fail for a while; a device here that fails is not waited for, as it does not return."""
        return self._lane.is_remote and self.capture.source.live and self.capture.policy != "every"

    def _drain(self) -> Iterator[tuple[Frame, Result]]:
        while self._in_flight:
            yield from self._finish()

    def _settle(self, balance: Balance) -> None:
        chosen = balance.settle(self._lane.frames)
        if chosen is not None:
            self._requests = max(self._requests, chosen.requests)
            self._lane.deepen(self._requests)

    def _abandon(self) -> None:
        """Let requests in flight end, and give their frames back; nobody waits for what becomes of them."""
        while self._in_flight:
            with suppress(SaccadeError):
                self._lane.give_back(self._in_flight.popleft())


def stream(
    source: str | int | os.PathLike[str] | Source,
    model: str | os.PathLike[str] | Predictor,
    *,
    outputs: Sequence[Output] = (),
    requests: int = 2,
    realtime: bool | None = None,
    track: bool = True,
    **options: Any,
) -> Generator[tuple[Frame, Result], None, None]:
    """Each frame of a source with what a model says about it; the frame is released when the next one is asked for.

    source : as for `open_source`, or an open one. model : as for `saccade.open`, or a predictor.
    outputs : take each frame and result, too. requests : frames in flight. realtime : see `open_source`.
    track : number objects over time (`result.detections.tracks`, `result.life`).
    options : as for `saccade.open`, of which a predictor has had its own.

    Raises what `saccade.open` and `open_source` raise, at once and not with the first frame. A model elsewhere that
    does not answer for a while ends no live source; its pictures meanwhile are left out.
    """
    from saccade.capture import Capture, open_source
    from saccade.capture.source import Source
    from saccade.predict import Predictor, open_predictor

    if isinstance(model, Predictor):
        if options:
            raise ConfigError(f"{', '.join(sorted(options))}: options of a predictor that is open; give its file")
        predictor = model
    else:
        predictor = open_predictor(model, **options)
    opened = source if isinstance(source, Source) else open_source(_as_text(source), realtime=realtime)
    return iter(Pipeline(Capture(opened), predictor, outputs, requests=requests, track=track))


def _as_text(source: str | int | os.PathLike[str]) -> str:
    return str(source) if isinstance(source, int) else os.fspath(source)
