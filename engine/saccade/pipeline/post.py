"""A camera as an engine runs it, and a ticket of it at work: how long what may take, and what is said of it."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Literal

from saccade.pipeline.figures import CameraStatistics

if TYPE_CHECKING:
    from saccade.pipeline.camera import Camera
    from saccade.pipeline.lane import Lane, Step
    from saccade.pipeline.scheduler import Share, Ticket

log = logging.getLogger(__name__)

DECODE_PATIENCE = 2.0
"""A decoder that takes longer has hung, s."""
PATIENCE = 30.0
"""An inference that takes longer has hung, s."""
OUTPUT_PATIENCE = 2.0
"""Who takes no longer than this to take a result holds up a worker, s; then another works in its place."""
MOST_HUNG = 3
"""Threads of one camera that may hang at a time; it is not opened again before one of them has come back."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Pauses before a camera that hung is opened again, s; each is twice the one before."""


@dataclass(slots=True, eq=False)
class Post:
    """A camera as it runs.

    failure : of its newest frame; told : kind of the newest that was logged. hung : threads that have not come back;
    held : those whose results are not taken. retry : when to open it again, s. opened : when it was last opened after
    a hang, s. restarts : how often. over : it gives no more pictures, and none is at work.
    """

    camera: Camera
    lane: Lane
    paused: bool = False
    failure: str = ""
    told: str = ""
    hung: int = 0
    held: int = 0
    pause: float = FIRST_PAUSE
    retry: float | None = None
    restarts: int = 0
    opened: float = 0.0
    over: bool = False

    @property
    def state(self) -> str:
        """What it is up to, as `CameraStatistics` says."""
        if self.retry is not None:
            return "hung"
        if self.paused:
            return "paused"
        return "held" if self.held else str(self.lane.capture.statistics().state)

    def figures(self, share: Share) -> CameraStatistics:
        """What is told of it. share : of the machine."""
        run, state = self.lane.statistics(), self.state
        reason = run.reason
        if state in ("hung", "held"):
            reason = self.failure
        elif self.failure and state != "paused":
            reason = reason or self.failure
        return CameraStatistics(run, share, self.restarts, state, reason)

    def is_due(self, now: float) -> bool:
        """Whether it hung, and is to be opened anew by now."""
        return self.retry is not None and now >= self.retry and self.hung < MOST_HUNG

    def note_failure(self, reason: str, *, unforeseen: Exception | None = None) -> None:
        """One line for a camera that begins to fail, however many of its frames do and whatever they are numbered."""
        self.failure = reason
        kind = re.sub(r"\d+", "", reason)
        if self.told != kind:
            self.told = kind
            log.error("camera %s: %s", self.camera.name, reason, exc_info=unforeseen)

    def note_held(self) -> None:
        """Once, however many of its frames wait, or whether it goes on and waits again."""
        self.failure = f"{self.lane.taker} has not taken a result for {OUTPUT_PATIENCE:g} s; the camera waits for it"
        if self.told != self.failure:
            self.told = self.failure
            log.warning("camera %s: %s, the others go on", self.camera.name, self.failure)

    def note_hang(self, stage: str, now: float) -> None:
        """Its decoder, or else inference, has hung: it is opened anew after a pause."""
        if now - self.opened > LONGEST_PAUSE:  # it went well for long
            self.pause = FIRST_PAUSE
        hung, seconds = ("its decoder", DECODE_PATIENCE) if stage == "decode" else ("inference", PATIENCE)
        self.failure = f"{hung} has not come back for {seconds:g} s; it is opened anew"
        log.error(
            "camera %s: %s has not come back for %g s; the camera is opened anew in %g s, the others go on",
            self.camera.name, hung, seconds, self.pause,
        )  # fmt: skip
        self.retry, self.pause = now + self.pause, min(2 * self.pause, LONGEST_PAUSE)


@dataclass(slots=True, eq=False)
class Look:
    """A look under way, and the ticket for it. stage, since : what its worker is doing, and since when, s."""

    ticket: Ticket
    post: Post
    stage: Literal["decode", "infer"] | Step = "decode"
    since: float = 0.0

    def begin(self, stage: Literal["infer"] | Step) -> None:
        """Its worker begins with this."""
        self.since = monotonic()  # first: whoever looks meanwhile takes it for no later than it is
        self.stage = stage

    def note_failure(self, reason: str, *, unforeseen: Exception | None = None) -> None:
        """Its frame failed; of one that was given up nothing is said."""
        if not self.ticket.revoked:
            self.post.note_failure(reason, unforeseen=unforeseen)

    @property
    def is_delivering(self) -> bool:
        """Whether it has a result, and waits for who takes it."""
        return self.stage in ("turn", "output")

    def is_late(self, now: float) -> bool:
        """Whether another worker should be in its place. Who waits for results before its own does as long as they."""
        if self.ticket.held:
            return False
        if self.stage == "turn":
            return self.post.held > 0
        patience = {"decode": DECODE_PATIENCE, "infer": PATIENCE, "output": OUTPUT_PATIENCE}
        return now - self.since > patience[self.stage]
