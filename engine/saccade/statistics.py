"""Counters and running percentiles, bounded in memory and cheap enough for every frame."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from time import perf_counter
from typing import Any

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds by which durations are counted, s."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Percentiles of a duration over the newest measurements.

    count : measurements ever taken. p50_ms, p99_ms : over the newest `Stopwatch.window` of them, ms; 0 if none.
    total_ms : sum over all, ms. counts : how many of all were no longer than each of `BOUNDS`.
    """

    count: int
    p50_ms: float
    p99_ms: float
    total_ms: float
    counts: tuple[int, ...] = (0,) * len(BOUNDS)

    def histogram(self) -> dict[str, Any]:
        """`{"le": bounds, s, "counts": up to each, "count", "sum": s}`."""
        return {"le": list(BOUNDS), "counts": list(self.counts), "count": self.count, "sum": self.total_ms / 1e3}


class Stopwatch:
    """Collects durations from one or more threads; memory is a ring of fixed size."""

    __slots__ = ("_count", "_counts", "_lock", "_next", "_ring", "_total", "window")

    def __init__(self, window: int = 4096) -> None:
        self.window = window
        self._ring: list[float] = []
        self._next = 0
        self._count = 0
        self._total = 0.0
        self._counts = [0] * (len(BOUNDS) + 1)
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """Add one duration, s."""
        with self._lock:
            self._count += 1
            self._total += seconds
            self._counts[bisect_left(BOUNDS, seconds)] += 1
            if len(self._ring) < self.window:
                self._ring.append(seconds)
            else:
                self._ring[self._next] = seconds
                self._next = (self._next + 1) % self.window

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the time that the `with` block takes."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add(perf_counter() - start)

    def statistics(self) -> Timing:
        """Percentiles so far."""
        with self._lock:
            values, count, total = sorted(self._ring), self._count, self._total
            counts = tuple(accumulate(self._counts[:-1]))
        if not values:
            return Timing(0, 0.0, 0.0, 0.0)
        return Timing(count, percentile(values, 0.50) * 1e3, percentile(values, 0.99) * 1e3, total * 1e3, counts)


def percentile(ordered: list[float], fraction: float) -> float:
    """Nearest-rank percentile of ascending values; `fraction` in [0, 1]."""
    return ordered[min(len(ordered) - 1, round(fraction * (len(ordered) - 1)))]
