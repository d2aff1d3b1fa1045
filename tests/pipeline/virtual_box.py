"""A box of some cores in virtual time: cameras of generated behaviour, the real scheduler, and no clock.

Tickets share the cores equally (processor sharing). Everything that happens is an event in one heap, so that a day
passes in seconds and a run with the same seed is the same run.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from saccade.ledger import Ledger
from saccade.pipeline.scheduler import Scheduler, Ticket

PATIENCE = 2.0


@dataclass
class Cam:
    """A camera: when its pictures come, what each costs, and what became of them.

    arrivals : times, s. cost : CPU time of one frame at a time, s; inf: the decoder hangs.
    """

    name: str
    arrivals: Iterator[float]
    cost: Callable[[float], float]
    rate: float | None = 5.0
    weight: float = 1.0
    good: bool = True
    waiting: float | None = None
    broken_until: float = 0.0
    served: list[float] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)


@dataclass(eq=False)
class _Work:
    cam: Cam
    ticket: Ticket
    picture: float
    left: float
    began: float


class Box:
    """Runs cameras on a scheduler until a time; `work` are the tickets out, `clock` the virtual time, s."""

    def __init__(self, cams: list[Cam], *, cores: int = 2) -> None:
        self.cams = {cam.name: cam for cam in cams}
        self.cores = cores
        self.scheduler = Scheduler(cores + 1, cores)
        self.clock = 0.0
        self.work: list[_Work] = []
        self.most_by_camera = 0
        self._events: list[tuple[float, int, Cam]] = []
        self._number = count()
        for cam in cams:
            self.scheduler.add(cam.name, 0.0, rate=cam.rate, weight=cam.weight)
            self._expect(cam)

    def run(self, until: float) -> None:
        while True:
            times = [until, self._events[0][0] if self._events else math.inf]
            speed = min(1.0, self.cores / len(self.work)) if self.work else 1.0
            times += [self.clock + work.left / speed for work in self.work]
            times += [work.began + PATIENCE for work in self.work]
            wake = self.scheduler.wake(self.clock)
            if wake is not None:
                times.append(self.clock + max(wake, 1e-4))
            now = max(min(times), self.clock)
            for work in self.work:
                work.left -= (now - self.clock) * speed
            self.clock = now
            self._finish()
            while self._events and self._events[0][0] <= now:
                self._arrive(heapq.heappop(self._events)[2])
            while (ticket := self.scheduler.take(now)) is not None:
                self._begin(ticket)
            if now >= until:
                return

    def stop(self) -> None:
        """The end: what waits and what is in work has ended too."""
        for cam in self.cams.values():
            cam.ledger.seal()

    def _expect(self, cam: Cam) -> None:
        when = next(cam.arrivals, None)
        if when is not None:
            heapq.heappush(self._events, (when, next(self._number), cam))

    def _arrive(self, cam: Cam) -> None:
        cam.ledger.enter()
        if self.clock < cam.broken_until:
            cam.ledger.end("failed")
        else:
            if cam.waiting is not None:
                cam.ledger.end("over budget" if self.scheduler.wants(cam.name, self.clock) else "newer")
            cam.waiting = self.clock
            self.scheduler.arrive(cam.name, self.clock)
        self._expect(cam)

    def _begin(self, ticket: Ticket) -> None:
        cam = self.cams[ticket.camera]
        if cam.waiting is None:
            self.scheduler.give_back(ticket, self.clock, served=False)
            return
        self.work.append(_Work(cam, ticket, cam.waiting, cam.cost(self.clock), self.clock))
        cam.waiting = None
        mine = sum(work.cam is cam for work in self.work)
        self.most_by_camera = max(self.most_by_camera, mine)

    def _finish(self) -> None:
        for work in list(self.work):
            cam = work.cam
            if work.left <= 1e-9:
                self.scheduler.give_back(work.ticket, self.clock)
                cam.served.append(self.clock)
                cam.ages.append(self.clock - work.picture)
                cam.ledger.end("served")
            elif self.clock - work.began >= PATIENCE - 1e-9:
                self.scheduler.revoke(work.ticket, self.clock)
                self.scheduler.withdraw(work.ticket)
                cam.ledger.end("failed", 1 + (cam.waiting is not None))
                cam.waiting, cam.broken_until = None, self.clock + 1
            else:
                continue
            self.work.remove(work)


def steady(seed: int, hz: float, jitter: float = 0.05) -> Iterator[float]:
    """A camera's pictures, with some jitter of its clock."""
    chance = random.Random(seed)
    start = chance.random() / hz
    return (start + (n + chance.uniform(0, jitter)) / hz for n in count())


def storm(seed: int, pause: float = 2.0) -> Iterator[float]:
    """A camera that reconnects again and again: some pictures, a pause."""
    chance, now = random.Random(seed), 0.0
    while True:
        for _ in range(chance.randrange(1, 20)):
            now += 0.04
            yield now
        now += chance.uniform(0.1, pause)


def jain(rates: list[float]) -> float:
    """Jain's fairness index: 1 where all are equal."""
    return sum(rates) ** 2 / (len(rates) * sum(rate * rate for rate in rates))


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]
