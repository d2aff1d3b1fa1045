"""What a project plugs into a pipeline: an app that interprets results, and outputs that take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from saccade.frame import Frame
from saccade.results import Result

if TYPE_CHECKING:
    from saccade.predict.predictor import Predictor


class App:
    """What a project does with each result; this one passes it on.

    predictor : what says something about a frame. name : of the app, as it stands in results and events.
    """

    name = ""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.name = self.name or predictor.task

    @property
    def model_name(self) -> str:
        """What runs, for people."""
        return self.predictor.name

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) at which a frame of this size must at least be decoded, px."""
        return self.predictor.least_size(width, height)

    def interpret(self, frame: Frame, result: Result) -> Result:
        """The app's own result, from the predictor's; the frame is valid during the call."""
        return replace(result, app=self.name)

    def close(self) -> None:
        """Let go of what the app holds."""


class Output(Protocol):
    """Takes results, in order, on the pipeline's thread.

    One with a `name`, as "events (events.jsonl)", is called so where the run tells of it, others by their class.
    leases : frames that it retains past `accept` at most; the capture gets as many slots more. An output that keeps
    more than that is left out, since the capture would starve. One with a method `conclude(life)` is
    also told, after the last result, how the objects ended that were there to the last (`LifeEvent`s).
    """

    leases: int = 0

    def accept(self, frame: Frame, result: Result) -> None:
        """Take one result; must not block. `frame.retain()` keeps the frame past the call."""

    def close(self) -> None:
        """Write what is pending and let go of everything."""


@dataclass(frozen=True, slots=True)
class Branch:
    """An app on the frames of a camera, and who takes its results. track : number objects, before the app sees them."""

    app: App
    outputs: Sequence[Output] = ()
    track: bool = True
