"""From captured frames to results: preprocess into a request's own tensor, infer, interpret, hand to the outputs.

One thread drives the pipeline (the one that calls `run` or iterates). Capture decodes in its own thread and OpenVINO
infers in its own, so that while one frame is inferred the next is decoded and the one before is interpreted. With n
requests in flight at most n frames are leased here; outputs that need a frame for longer retain it.

Order is the source's order. Back-pressure comes from the capture's policy: live sources drop what comes too late,
files wait.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from saccade.errors import ConfigError
from saccade.frame import Frame
from saccade.kernels import Preprocess
from saccade.results import Result
from saccade.statistics import Stopwatch, Timing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from saccade.capture import Capture
    from saccade.models import Model
    from saccade.models.runner import Request
    from saccade.models.tasks import InputSpec

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
"""How long the pipeline sleeps at most before it looks whether it shall stop, s."""

REMOTE_POLL_SECONDS = 0.002
"""How long it waits for a frame at a time while a network elsewhere is at work, s."""

Region = tuple[float, float, float, float]
"""x, y, width, height as parts of the frame, [0, 1]; in the mirrored frame where the app mirrors."""

WHOLE_FRAME: Region = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class View:
    """How a network's input lies in the source frame: x_source = x * scale_x + offset_x, likewise y.

    x, y : continuous input coordinates, px, (0, 0) the outer corner of the first pixel. A mirrored view has
    scale_x < 0.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    def as_tuple(self) -> tuple[float, float, float, float]:
        """(scale_x, scale_y, offset_x, offset_y)."""
        return self.scale_x, self.scale_y, self.offset_x, self.offset_y


class App(Protocol):
    """What a project does with each frame."""

    name: str
    model: Model
    model_name: str
    input: InputSpec
    mirror: bool

    def region(self, frame: Frame) -> Region:
        """The part of the frame that the network is shown."""

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) at which a frame of this size must at least be decoded, px."""

    def interpret(self, frame: Frame, outputs: Mapping[str, NDArray[np.float32]], view: View) -> Result:
        """Turn the network's outputs for this frame into a result; `outputs` are valid during the call only."""

    def close(self) -> None:
        """Let go of what the app holds."""


class Output(Protocol):
    """Takes results, in order, on the pipeline's thread."""

    def accept(self, frame: Frame, result: Result) -> None:
        """Take one result; must not block. `frame.retain()` keeps the frame past the call."""

    def close(self) -> None:
        """Write what is pending and let go of everything."""


@dataclass(frozen=True, slots=True)
class PipelineStatistics:
    """Figures of a run, from the first frame's arrival to the newest result; start-up apart.

    frames : results delivered. seconds : duration. fps : frames / seconds. recent_fps : over the newest two seconds.
    dropped, damaged, reconnects, captured : as `CaptureStatistics` has them.
    stages : decode, preprocess, infer, postprocess, output. age : capture to result.
    """

    frames: int
    seconds: float
    fps: float
    recent_fps: float
    captured: int
    dropped: int
    damaged: int
    reconnects: int
    stages: Mapping[str, Timing]
    age: Timing
    device: str
    precision: str
    model: str
    source: str
    app: str
    latest: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """The object that `--summary` writes."""
        return {
            "frames": self.frames,
            "seconds": round(self.seconds, 4),
            "fps": round(self.fps, 2),
            "dropped": self.dropped,
            "stages": {
                name: {"p50_ms": round(t.p50_ms, 4), "p99_ms": round(t.p99_ms, 4)} for name, t in self.stages.items()
            },
            "age_ms": {"p50": round(self.age.p50_ms, 3), "p99": round(self.age.p99_ms, 3)},
            "device": self.device,
            "precision": self.precision,
            "model": self.model,
            "source": self.source,
            "app": self.app,
            "captured": self.captured,
            "damaged": self.damaged,
            "reconnects": self.reconnects,
        }

    def live(self) -> dict[str, Any]:
        """What the live page shows: the summary with the present frame rate and the latest event."""
        return self.summary() | {"fps": round(self.recent_fps, 2), "latest": dict(self.latest)}


@dataclass(slots=True)
class _InFlight:
    frame: Frame
    request: Request
    view: View
    started: float


class Pipeline:
    """Drives frames from a capture through an app's network to outputs.

    Parameters
    ----------
    capture : started or not; the pipeline starts it, and stops it when it ends.
    app : what to do with each frame.
    outputs : take each (frame, result), in order. An output that fails is reported once and left out from then on.
    requests : infer requests in flight, 1 to 16.
    """

    def __init__(self, capture: Capture, app: App, outputs: Sequence[Output] = (), *, requests: int = 2) -> None:
        if not 1 <= requests <= 16:
            raise ConfigError(f"requests: got {requests}; expected 1 to 16")
        self.capture = capture
        self.app = app
        self.outputs = list(outputs)
        self._free: deque[Request] = deque(app.model.request() for _ in range(requests))
        self._in_flight: deque[_InFlight] = deque()
        self._input = app.model.inputs[0].name
        self._is_remote = app.model.is_remote
        self._plans: dict[tuple[Any, ...], tuple[Preprocess, View]] = {}
        self._seen_size = (0, 0)
        self._stop = threading.Event()
        self._stages = {name: Stopwatch() for name in ("preprocess", "infer", "postprocess", "output")}
        self._age = Stopwatch()
        self._frames = 0
        self._first = self._last = 0.0
        self._recent: deque[float] = deque(maxlen=2048)
        self._latest: Result | None = None

    def stop(self) -> None:
        """Ask the run to end after the frames in flight; safe from any thread and from signal handlers."""
        self._stop.set()

    def run(self, *, frames: int | None = None, seconds: float | None = None) -> PipelineStatistics:
        """Run until the source ends, `stop()` is called, or `frames` results or `seconds` have passed."""
        try:
            for frame, result in self:
                start = perf_counter()
                self._deliver(frame, result)
                self._stages["output"].add(perf_counter() - start)
                if frames is not None and self._frames >= frames:
                    break
                if seconds is not None and self._last - self._first >= seconds:
                    break
        finally:
            self.close()
        return self.statistics()

    def __iter__(self) -> Iterator[tuple[Frame, Result]]:
        """Each frame with its result, in order; the frame is released when the next one is asked for."""
        self.capture.start()
        try:
            while not self._stop.is_set():
                # Only a free request can take a frame; only an idle pipeline sleeps for one. A network that is far
                # away takes longer than the next frame to come, so that is waited for beside the answer.
                frame = None
                distant = self._is_remote and bool(self._in_flight) and not self._in_flight[0].request.done
                if self._free:
                    nap = REMOTE_POLL_SECONDS if distant else 0.0
                    frame = self.capture.latest(timeout=nap if self._in_flight else POLL_SECONDS)
                if frame is not None:
                    self._start(frame)
                if self._in_flight and (not self._free or (frame is None and (not distant or self.capture.ended))):
                    yield from self._finish()
                elif frame is None and self.capture.ended:
                    break
            while self._in_flight:
                yield from self._finish()
        finally:
            self._abandon()
            self.capture.stop()

    def close(self) -> None:
        """Close outputs and app; the outputs write what they still hold."""
        for output in self.outputs:
            try:
                output.close()
            except Exception:
                log.exception("%s could not be closed cleanly", type(output).__name__)
        self.outputs.clear()
        self.app.close()

    def statistics(self) -> PipelineStatistics:
        """Figures so far; may be called from any thread."""
        captured = self.capture.statistics()
        seconds = max(self._last - self._first, 0.0)
        now = monotonic()
        recent = [t for t in self._recent.copy() if now - t <= 2.0]
        span = now - recent[0] if len(recent) > 1 else 0.0
        latest = self._latest
        model = self.app.model
        return PipelineStatistics(
            frames=self._frames,
            seconds=seconds,
            fps=self._frames / seconds if seconds else 0.0,
            recent_fps=len(recent) / span if span else 0.0,
            captured=captured.captured,
            dropped=captured.dropped,
            damaged=captured.damaged,
            reconnects=captured.reconnects,
            stages={"decode": captured.decode} | {name: watch.statistics() for name, watch in self._stages.items()},
            age=self._age.statistics(),
            device=model.device,
            precision=model.precision,
            model=self.app.model_name,
            source=self.capture.source.name,
            app=self.app.name,
            latest=latest.to_event() if latest else {},
        )

    def _start(self, frame: Frame) -> None:
        """Fill a free request's input with the frame and start it."""
        started = perf_counter()
        request = self._free.popleft()
        try:
            if self._seen_size != (frame.width, frame.height):
                self._resize(frame)
            plan, view = self._plan(frame)
            planes = frame.planes[0] if frame.pixels == "bgr" else frame.planes
            plan(planes, out=request.inputs[self._input])
        except BaseException:
            self._free.append(request)
            frame.release()
            raise
        if not self._first:
            self._first = frame.captured
        now = perf_counter()
        self._stages["preprocess"].add(now - started)
        request.start()
        self._in_flight.append(_InFlight(frame, request, view, now))

    def _finish(self) -> Iterator[tuple[Frame, Result]]:
        """Wait for the oldest request and yield its result."""
        flight = self._in_flight.popleft()
        try:
            flight.request.wait()
            ended = perf_counter()
            self._stages["infer"].add(ended - flight.started)
            result = self.app.interpret(flight.frame, flight.request.outputs, flight.view)
            self._stages["postprocess"].add(perf_counter() - ended)
            self._frames += 1
            self._last = monotonic()
            self._recent.append(self._last)
            self._age.add(self._last - flight.frame.captured)
            self._latest = result
            yield flight.frame, result
        finally:
            self._free.append(flight.request)
            flight.frame.release()

    def _deliver(self, frame: Frame, result: Result) -> None:
        for output in tuple(self.outputs):
            try:
                output.accept(frame, result)
            except Exception as error:
                self.outputs.remove(output)
                log.error("%s failed and is left out from now on: %s", type(output).__name__, error)
                output.close()

    def _abandon(self) -> None:
        """Let requests in flight end, and give their frames back."""
        while self._in_flight:
            flight = self._in_flight.popleft()
            try:
                flight.request.wait()
            finally:
                self._free.append(flight.request)
                flight.frame.release()

    def _resize(self, frame: Frame) -> None:
        """The source's frame size is new: tell the capture how small it may decode."""
        if self._seen_size != (0, 0):
            log.warning("frame size changed from %dx%d to %dx%d", *self._seen_size, frame.width, frame.height)
        self._seen_size = (frame.width, frame.height)
        self._plans.clear()
        self.capture.size = self.app.least_size(frame.width, frame.height)

    def _plan(self, frame: Frame) -> tuple[Preprocess, View]:
        """The preprocess plan for this frame's planes, and how the input lies in the source frame."""
        region = self.app.region(frame)
        shapes = tuple(plane.shape for plane in frame.planes)
        key = (frame.pixels, frame.full_range, shapes, region)
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= 64:
                self._plans.clear()
            found = self._plans[key] = make_plan(frame, self.app.input, region, mirror=self.app.mirror)
        return found


def make_plan(frame: Frame, spec: InputSpec, region: Region, *, mirror: bool = False) -> tuple[Preprocess, View]:
    """A preprocess plan from a frame's planes to a network input, and the input's place in the source frame.

    The region is given in parts of the frame; at least one pixel of the planes is always taken.
    """
    height, width = frame.planes[0].shape[:2]
    x = min(max(round(region[0] * width), 0), width - 1)
    y = min(max(round(region[1] * height), 0), height - 1)
    w = min(max(round(region[2] * width), 1), width - x)
    h = min(max(round(region[3] * height), 1), height - y)
    plan = Preprocess(
        source=(height, width),
        size=(spec.height, spec.width),
        pixels=frame.pixels,
        roi=(x, y, w, h),
        layout=spec.layout,
        dtype=spec.dtype,
        mean=spec.mean,
        scale=spec.scale,
        mirror=mirror,
        swap_rb=spec.swap_rb,
        letterbox=spec.letterbox,
        full_range=frame.full_range,
    )
    sx, sy, tx, ty = plan.to_source
    to_frame_x, to_frame_y = frame.width / width, frame.height / height
    return plan, View(sx * to_frame_x, sy * to_frame_y, tx * to_frame_x, ty * to_frame_y)


def least_size_for(spec: InputSpec, region: Region, width: int, height: int) -> tuple[int, int]:
    """(height, width) of the smallest picture of a frame that still fills the network's input from the region."""
    need_w, need_h = spec.width / (region[2] * width), spec.height / (region[3] * height)
    if spec.letterbox:
        need_w = need_h = min(need_w, need_h)
    return min(height, round(need_h * height)), min(width, round(need_w * width))
