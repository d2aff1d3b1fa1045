"""Which of two ways is faster, on a machine that does other things as well.

Both take turns in short slices, A B B A, so that whatever slows the machine slows both. The ratio is the median of
the pairs' own ratios; its interval needs no assumption on how they are distributed (order statistics of the sign
test: Conover, "Practical Nonparametric Statistics", 3.2).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

LEAST_PAIRS = 6
"""Pairs that are measured in any case: with fewer there is no 95 % interval."""
MOST_PAIRS = 40
LEAST_GAIN = 1.02
"""What a ratio must be at least for a way to be taken for the faster one."""
PRECISE, ENOUGH = 0.01, 0.03
"""Half the interval's width, as a part, at which no more pairs are needed: in any case, and where it is clear which of
two is faster."""

Slice = Callable[[], float]
"""Runs for a moment; returns what a frame cost, in any unit."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast B is as A: the median, and the 95 % interval. pairs : what that rests on."""

    value: float
    low: float
    high: float
    pairs: int

    @property
    def is_gain(self) -> bool:
        """Whether B is faster beyond the noise."""
        return self.low >= LEAST_GAIN

    def is_within(self, part: float) -> bool:
        """Whether half the interval's width is less than that part."""
        return self.high / self.low < (1 + part) ** 2


def take_turns(a: Slice, b: Slice, *, until: float, clock: Callable[[], float] = time.monotonic) -> Ratio:
    """Measure two ways against each other.

    until : time of `clock` at which no further pair is begun, once there are `LEAST_PAIRS`; s.
    """
    a()
    b()
    logs: list[float] = []
    while True:
        first, second = (a, b) if len(logs) % 2 == 0 else (b, a)
        costs = first(), second()
        cost_a, cost_b = costs if first is a else costs[::-1]
        logs.append(math.log(max(cost_a, 1e-12) / max(cost_b, 1e-12)))
        if len(logs) < LEAST_PAIRS:
            continue
        ratio = ratio_of(logs)
        clear = ratio.is_gain or ratio.high < 1
        if len(logs) >= MOST_PAIRS or clock() >= until or ratio.is_within(ENOUGH if clear else PRECISE):
            return ratio


def ratio_of(logs: list[float]) -> Ratio:
    """Median and 95 % interval of logarithms of ratios."""
    ordered = sorted(logs)
    outside = _outside(len(ordered))
    middle = statistics.median(ordered)
    low, high = ordered[outside], ordered[-1 - outside]
    return Ratio(math.exp(middle), math.exp(low), math.exp(high), len(ordered))


def _outside(count: int) -> int:
    """Values at each end that lie outside the interval: as many as keep P(median outside) at 5 % or less."""
    tail, outside = 0.5**count, 0
    chance = tail
    while True:
        tail = tail * (count - outside) / (outside + 1)
        chance += tail
        if 2 * chance > 0.05 or 2 * (outside + 1) >= count:
            return outside
        outside += 1
