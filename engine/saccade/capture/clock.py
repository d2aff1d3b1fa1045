"""The times of a file's pictures: its time stamps, or the stream's own rate where there are none.

Raw H.264 and H.265 carry no time stamps. Their sequence header may tell the rate (H.264 E.2.1, num_units_in_tick and
time_scale); FFmpeg's guess for the rest is 25 Hz. Pictures come out of the decoder in the order they are shown, so
that counting them gives the time that a container would give the same video.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

FALLBACK_RATE = Fraction(25)
"""FFmpeg's rate for streams that do not say, Hz."""


@dataclass(slots=True)
class Clock:
    """Seconds from the start of a stream.

    unit : s of one tick. start : time stamp of the beginning, ticks. step : ticks from one picture to the next.
    rate : nominal, Hz, or None. counted : there are no time stamps, and pictures are numbered.
    """

    unit: Fraction
    start: int
    step: Fraction
    rate: float | None
    counted: bool
    _last: Fraction | int | None = field(default=None, init=False)

    @classmethod
    def of(cls, stream: Any) -> Clock:
        """The clock of a stream as it was opened."""
        unit = stream.time_base
        counted = stream.start_time is None and stream.duration is None
        # An average of packets that have no time stamps is FFmpeg's default; the sequence header knows better.
        rate = (stream.guessed_rate if counted else None) or stream.average_rate or stream.guessed_rate
        step = 1 / Fraction(rate or FALLBACK_RATE)
        return cls(
            unit=unit or Fraction(1),
            start=stream.start_time or 0,
            step=step / unit if unit else step,
            rate=float(rate) if rate else None,
            counted=counted,
        )

    def at(self, stamp: int | None) -> float:
        """The time of a picture with this time stamp, s; without one it follows the picture before."""
        if stamp is None:
            ticks = Fraction(0) if self._last is None else self._last + self.step
            self._last = ticks
            return float(ticks * self.unit)
        self._last = stamp - self.start
        return self._last * self.unit.numerator / self.unit.denominator  # a tenth of the time of a Fraction
