"""What a parser is: from a network's outputs to what they say, in px of the network's input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from saccade.errors import UnsupportedError
from saccade.networks.network import Outputs
from saccade.results import Finding

Task = Literal["detect", "classify", "segment", "landmarks", "angles", "pan-tilt", "embed"]
"""What a network does. `detect` is all that gives objects, also with masks, key points or rotated boxes."""

TASKS: tuple[Task, ...] = ("detect", "classify", "segment", "landmarks", "angles", "pan-tilt", "embed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Thresholds and limits of parsing.

    score : least probability of an object. iou : overlap at which the weaker of two boxes goes.
    agnostic : boxes suppress those of other classes, too. top : most objects or classes, best first; None: all.
    classes : names of the only classes that count; None: all.
    """

    score: float = 0.5
    iou: float = 0.5
    agnostic: bool = False
    top: int | None = None
    classes: frozenset[str] | None = None

    def but(self, **known: Any) -> Settings:
        """These, with what is known otherwise; None: nothing is."""
        return replace(self, **{name: value for name, value in known.items() if value is not None})

    def limits(self) -> dict[str, Any]:
        """The arguments of `decode_yolo` that follow."""
        return {
            "score_threshold": self.score,
            "iou_threshold": self.iou,
            "agnostic": self.agnostic,
            "keep_top_k": self.top,
        }


class Parser(Protocol):
    """Reads the outputs of one family of networks.

    family : its name, as `--head` takes it. task : see `Task`. names : of its classes, or empty.
    defaults : the family's own thresholds. A parser whose outputs show how many classes there are has that number as
    `classes`, too: names of another count are then found out.
    """

    family: str
    task: Task
    names: tuple[str, ...]
    defaults: Settings

    def parse(self, outputs: Outputs, settings: Settings) -> Finding:
        """What the outputs of one run say, in px of the network's input, best first.

        outputs : valid during the call only. settings : thresholds and limits.
        Whatever the numbers are (NaN, infinite, none at all), what is returned is sound: finite places, and scores in
        [0, 1].
        """


class Unread:
    """Stands for the parser of a network whose outputs nobody understands: they can be had raw only."""

    family = ""
    task: Task = "detect"
    names: tuple[str, ...] = ()
    defaults = Settings()

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def parse(self, outputs: Outputs, settings: Settings) -> Finding:
        """Raises UnsupportedError with the reason."""
        raise UnsupportedError(self.reason)
