"""What became of every picture of a source: each ends once, in one counted reason.

A picture is entered when it arrives and ended when its fate is known; in between it is open: it waits, or is in work.
Whoever knows the fate says it: the capture what was never handed out, the pipeline what was. At any moment the pictures
that arrived are those that ended and those that are open. `seal` closes a ledger: nothing is open then, and whoever
comes back late, as a decoder that hung, changes nothing any more.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Reason = Literal["served", "still", "newer", "over budget", "damaged", "paused", "held", "failed", "ended"]
"""served : inferred, its result handed out. still : looked at, or known by its size, to show nothing new.
newer : a newer one came before its turn, at the rate that was asked for. over budget : a newer one came, though it had
been wanted: the machine was busy. damaged : broken. paused : its camera was. held : a newer one came while an output
took no result. failed : an error of the app or its network, or a decoder that hung. ended : the run ended first."""

REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class PictureCounts:
    """A ledger at one moment. arrived : pictures entered. open : not ended yet. ended : how many by reason."""

    arrived: int
    open: int
    ended: Mapping[Reason, int]

    def __add__(self, other: PictureCounts) -> PictureCounts:
        ended: dict[Reason, int] = {reason: self.ended[reason] + other.ended[reason] for reason in REASONS}
        return PictureCounts(self.arrived + other.arrived, self.open + other.open, ended)

    def summary(self) -> dict[str, int]:
        """For people and files: what arrived, and each reason that was met."""
        figures = {"arrived": self.arrived}
        figures |= {str(reason): count for reason, count in self.ended.items() if count}
        return figures | {"open": self.open} if self.open else figures


class Ledger:
    """Counts the pictures of one source; from any thread."""

    __slots__ = ("_arrived", "_ended", "_lock", "_sealed")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived = 0
        self._sealed = False
        self._ended: dict[Reason, int] = dict.fromkeys(REASONS, 0)

    def enter(self, count: int = 1) -> None:
        """So many pictures arrived."""
        with self._lock:
            if not self._sealed:
                self._arrived += count

    def end(self, reason: Reason, count: int = 1) -> None:
        """So many of those that are open ended for this reason."""
        with self._lock:
            if not self._sealed:
                self._ended[reason] += count

    @property
    def sealed(self) -> bool:
        """True once nothing is taken any more."""
        return self._sealed

    def seal(self, reason: Reason = "ended") -> None:
        """End all that is open for this reason, and take nothing any more; once is enough."""
        with self._lock:
            if not self._sealed:
                self._ended[reason] += self._arrived - sum(self._ended.values())
                self._sealed = True

    def account(self) -> PictureCounts:
        """How things stand."""
        with self._lock:
            ended = dict(self._ended)
            return PictureCounts(self._arrived, self._arrived - sum(ended.values()), ended)
