"""Figures of a camera's run, and of all cameras of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from saccade.statistics import Timing

if TYPE_CHECKING:
    from saccade.capture.connection import State
    from saccade.pipeline.scheduler import Share

STAGES = ("preprocess", "infer", "postprocess", "output")


@dataclass(frozen=True, slots=True)
class PipelineStatistics:
    """Figures of a run, from the first frame's arrival to the newest result; start-up apart.

    frames : results delivered. seconds : duration. fps : frames / seconds. recent_fps : over the newest two seconds.
    dropped, damaged, reconnects, captured, mended, second_opinions, state, reason, last_picture : as
    `CaptureStatistics` has them.
    stages : decode, preprocess, infer, postprocess, output. age : capture to result.
    pictures : what became of each, by reason (see `saccade.ledger`).
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
    mended: int = 0
    second_opinions: int = 0
    state: State = "connecting"
    reason: str = ""
    last_picture: float | None = None
    pictures: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def nothing(cls, app: str, model: str, device: str, precision: str, source: str) -> PipelineStatistics:
        """Those of a run that ended before its network was loaded."""
        none = Timing(0, 0.0, 0.0, 0.0)
        return cls(
            frames=0, seconds=0.0, fps=0.0, recent_fps=0.0, captured=0, dropped=0, damaged=0, reconnects=0,
            stages=dict.fromkeys(("decode", *STAGES), none), age=none, device=device, precision=precision,
            model=model, source=source, app=app, state="ended",
        )  # fmt: skip

    @property
    def up(self) -> bool:
        """Whether pictures come."""
        return self.state == "up"

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
            "mended": self.mended,
            "second_opinions": self.second_opinions,
            "up": self.up,
            "state": self.state,
            "reason": self.reason,
            "last_picture": None if self.last_picture is None else round(self.last_picture, 3),
            "pictures": dict(self.pictures),
        }

    def live(self) -> dict[str, Any]:
        """What the live page shows: the summary with the present frame rate, the latest event and histograms."""
        histograms = {
            "result_age": self.age.histogram(),
            "stages": {name: timing.histogram() for name, timing in self.stages.items()},
        }
        return self.summary() | {
            "fps": round(self.recent_fps, 2), "latest": dict(self.latest), "histograms": histograms,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class CameraStatistics:
    """Figures of a camera. run : of its frames. share : of the machine. restarts : times it was opened anew.
    state : as `CaptureStatistics`, or "paused", "held" (its results are not taken), "hung". reason : why no pictures
    come, or why the newest has no result.
    """

    run: PipelineStatistics
    share: Share
    restarts: int
    state: str
    reason: str

    def summary(self) -> dict[str, Any]:
        """As `PipelineStatistics.summary`, with the camera's share; `gives`: pictures a second that come from it."""
        return self.run.summary() | {
            "state": self.state,
            "up": self.state == "up",
            "reason": self.reason,
            "rate": self.share.rate,
            "weight": self.share.weight,
            "gives": round(1 / self.share.interval, 2) if self.share.interval else None,
            "restarts": self.restarts,
        }


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """Figures of all cameras, by name. frames, fps : of all together. overloaded : deadlines are missed at present."""

    cameras: Mapping[str, CameraStatistics]
    frames: int
    seconds: float
    fps: float
    cores: int
    overloaded: bool

    def summary(self) -> dict[str, Any]:
        """What `--summary` writes."""
        return {
            "frames": self.frames,
            "seconds": round(self.seconds, 4),
            "fps": round(self.fps, 2),
            "cores": self.cores,
            "overloaded": self.overloaded,
            "cameras": {name: camera.summary() for name, camera in self.cameras.items()},
        }
