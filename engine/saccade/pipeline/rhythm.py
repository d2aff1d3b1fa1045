"""When a camera's pictures come, told from those that came: a loop that follows their phase and their interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

SMOOTHING = 0.2
"""Weight of the newest measurement in running means."""
JITTER = 0.15
"""A picture may come so much of an interval before or after one expects it, at most."""
LEAST_JITTER = 0.002
"""And so much at least, s."""
LATENESS = 0.3
"""A picture is waited for so much of an interval longer than that, at most: its thread may get no core at once."""
DEVIATIONS = 3.0
"""It is expected within so many mean deviations of what it was before."""
PHASE_GAIN, INTERVAL_GAIN = 0.25, 0.15
"""Weight of the newest picture in when the next are expected: what is late once must not move them."""
LONGEST_GAP = 3.0
"""An outage says little of how often a camera gives pictures: a gap counts as so many intervals at most."""


@dataclass(slots=True, eq=False)
class Rhythm:
    """A camera's pictures. newest : when the newest came, s; None before the first. phase : when it was to come, as
    those before it had it, s. gaps : between pictures, so far. interval : between two of them, s; 0 where unknown.
    scatter : mean deviation from when they were expected, s.
    """

    newest: float | None = None
    phase: float = 0.0
    gaps: int = 0
    interval: float = 0.0
    scatter: float = 0.0

    def note(self, now: float) -> None:
        """A picture has come. The moment of the newest one alone would pass its own lateness on to what is expected."""
        if self.newest is None:
            self.newest = self.phase = now
            return
        gap, self.newest = now - self.newest, now
        if self.interval:
            # Never left out: an interval that was learned from a burst would stay for ever.
            gap = min(gap, LONGEST_GAP * self.interval)
        self.gaps += 1
        self.interval += (gap - self.interval) * max(INTERVAL_GAIN, 1 / self.gaps)
        error = now - self.phase - self.interval
        if abs(error) > self.interval / 2:
            self.phase = now
            return
        self.phase = now - error * (1 - PHASE_GAIN)
        self.scatter += (abs(error) - self.scatter) * SMOOTHING

    @property
    def jitter(self) -> float:
        """How far from the expected time a picture may come, s."""
        return min(max(DEVIATIONS * self.scatter, LEAST_JITTER), JITTER * self.interval)

    @property
    def lateness(self) -> float:
        """How long after it a picture is still waited for, s."""
        return max(self.jitter, LATENESS * self.interval)

    def expected(self, due: float | None) -> tuple[float, float]:
        """Between which times the next picture that matters will come, as far as one can tell, s.

        due : the picture nearest to this time matters, s; where it lies half-way between two, either may be. None: the
        next one does. Pictures come at multiples of the interval.
        """
        if self.newest is None or self.interval <= 0:
            return math.inf, math.inf
        first = last = 1
        if due is not None:
            steps, doubt = (due - self.phase) / self.interval, self.jitter / self.interval
            first, last = max(1, round(steps - doubt)), max(1, round(steps + doubt))
        return self.phase + first * self.interval - self.jitter, self.phase + last * self.interval + self.lateness
