"""How many threads, streams and requests keep all cores busy, from what a frame costs.

Two costs are measured, both in CPU time, which neither other programs nor the decoder's own threads falsify: one run of
the network, and all else that a frame needs (the process' CPU time of a frame less the network's). The rate of a file
is bound by cores / (sum of both), not by the slower of two lanes: a core that is left to a decoder that needs a seventh
of it is wasted.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saccade.process import usable_cores

if TYPE_CHECKING:
    from saccade.networks.profile import Profile
    from saccade.predict.predictor import Predictor

_log = logging.getLogger(__name__)

FIRST_FRAMES = 12
"""So many frames are measured before the first choice."""

LATER_FRAMES = 300
"""So many before each later look."""

MARGIN = 1.25
"""How many times as much or as little the network must cost at a later look for something else to be chosen: to compile
it anew, and perhaps to read it anew, costs more than a choice at the border of two gains.
"""

MOST_REQUESTS = 16


@dataclass(frozen=True, slots=True)
class Shares:
    """threads : CPU threads of the network. streams : runs at a time. requests : frames in flight."""

    threads: int
    streams: int
    requests: int


def shares(cores: int, network: float, rest: float, *, live: bool) -> Shares:
    """What keeps `cores` busy.

    network, rest : CPU time of one run, and of all else that a frame needs, s. live : results shall be young, at the
    source's rate; otherwise as many frames a second as can be.

    A file: what is not the network's is decoding above all, on as many threads as there are cores, so that all of them
    work and the network needs its part. It has as many streams of one thread as it can use, and half a one to spare
    for frames that take longer: two streams of one thread finish more frames than one of two. Live: one stream, for a
    result is the younger the more threads it has; but a network that is lighter than the rest leaves a core to the
    decoder, on which its frames wait.
    """
    if live:
        return Shares(cores if network > rest else max(1, cores - 1), 1, 2)
    streams = min(cores, max(1, math.ceil(cores * network / max(network + rest, 1e-6) + 0.5)))
    return Shares(streams, streams, min(streams + 1, MOST_REQUESTS))


def spread_as_tuned(predictor: Predictor, *, live: bool) -> Shares | None:
    """Spread a network as `saccade tune` found best on a source of this kind; None where it has not: what finishes most
    frames of a file makes each frame of a camera late, and the other way round.
    """
    profile: Profile | None = getattr(predictor.network, "profile", None)
    if profile is None or profile.threads is None or profile.live is not live:
        return None
    tuned = Shares(profile.threads, profile.streams or 1, profile.requests or 2)
    return tuned if predictor.spread(tuned.threads, tuned.streams) else None


class Balance:
    """Measures a pipeline's two costs as it runs, and says when its network shall be spread anew.

    predictor : whose network is spread. threads : it was made for. live, cores : see `shares`; None: all there are.
    cpu : the process' CPU time, s. network_cost : CPU time of one run, s; None: measured.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        threads: int,
        live: bool,
        cores: int | None = None,
        cpu: Callable[[], float] = time.process_time,
        network_cost: Callable[[], float] | None = None,
    ) -> None:
        self._predictor = predictor
        self._live = live
        self._cores = cores or usable_cores()
        self._cpu = cpu
        self._network_cost = network_cost or self._measured
        self._due = FIRST_FRAMES
        self._since: tuple[int, float] | None = None
        self._network = 0.0
        self._total = 0.0  # CPU time of a frame at the last look, s; 0 before the first
        self.shares = Shares(threads, 1, 2)

    def is_due(self, frames: int) -> bool:
        """Whether the costs shall be looked at after so many frames; the pipeline then lets its requests run out."""
        if self._since is None:  # the first frame fills caches and makes requests
            self._since = frames, self._cpu()
            return False
        before, cpu = self._since
        if frames - before < self._due:
            return False
        now = self._cpu()
        total = (now - cpu) / (frames - before)
        if self._total / MARGIN <= total <= self._total * MARGIN:
            self._since = frames, now  # to measure the network would make the next frames late for nothing
            return False
        return True

    def settle(self, frames: int) -> Shares | None:
        """What the network was spread to, nothing being in flight; None where all stays as it is."""
        assert self._since is not None
        before, cpu = self._since
        total = (self._cpu() - cpu) / (frames - before)
        self._network = self._network_cost()
        costs = [self._network, *((self._network * MARGIN, self._network / MARGIN) if self._total else ())]
        rest = max(total - self._network, 0.0)
        wanted, *near = [shares(self._cores, cost, rest, live=self._live) for cost in costs]
        self._due, self._total, changed = LATER_FRAMES, total, None
        if self.shares not in (wanted, *near) and self._predictor.spread(wanted.threads, wanted.streams):
            _log.info(
                "%s: %.1f of %.1f ms CPU a frame: threads %d, streams %d, requests %d", self._predictor.name,
                self._network * 1e3, total * 1e3, wanted.threads, wanted.streams, wanted.requests,
            )  # fmt: skip
            self.shares = changed = wanted
        self._since = frames, self._cpu()
        return changed

    def _measured(self) -> float:
        """CPU time of one run of the network for each region of a frame, s: the least of three."""
        times, regions = [], self._predictor.regions_seen  # of a frame; what warms up may be too small to have as many
        for _ in range(3):
            start = self._cpu()
            self._predictor.warm_up()
            times.append(self._cpu() - start)
        return min(times) * regions / self._predictor.regions_seen
