"""Whether a machine can do what its cameras are asked for: told at the start by what is known, then as it is measured.

Three answers, each better than the one before: what the same cameras cost last time, before anything runs; networks
measured at the start with the first pictures' decoding; the processor's time over some seconds, in which all that a
frame costs is counted, in every thread and library.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from saccade.apps.costs import CameraCost, ProcessorMeter, Spent

if TYPE_CHECKING:
    from saccade.pipeline.figures import EngineStatistics
    from saccade.pipeline.scheduler import Share

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2.0
"""What cameras do in their first moments is no measure, s."""
MEASURE_SECONDS = 4.0
"""Over so long a time it is measured first, s."""
AGAIN_SECONDS = 15.0
"""And then again and again, s: what `why` tells is of the newest such time."""
FULL = 0.85
"""Part of all cores from which on they count as in full use, and of what was asked for that counts as had."""
FEWEST_FRAMES = 10
"""Fewer frames say nothing."""
FIRST_PICTURES_SECONDS = 3.0
"""Cameras that have given no picture by then, after the first that has, are left out of the first estimate, s."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the cameras ask of the machine.

    wanted : frames a second that they ask for together. used : part of all cores that was in use while `served` frames
    a second were served. need : part of all cores that what is wanted takes; above 1 it cannot be had.
    asked : in words, as "8 x 5 fps"; empty where no camera has a rate. gated : still pictures were told from others.
    others : part of all cores that other programs had meanwhile.
    """

    wanted: float
    served: float
    used: float
    need: float
    asked: str
    gated: bool = False
    others: float = 0.0

    @property
    def fits(self) -> bool:
        """Whether all that is asked for can be had, beside what else runs."""
        return self.need <= 1 and (self.others < FULL - self.need or self.served >= FULL * self.wanted)

    def words(self, cores: int, how: str = "") -> str:
        """In one line. how : where the figures are from."""
        now = ", as much as moves now" if self.gated else ""
        box = f"{self.need:.0%} of this box ({cores} cores{now}){how}"
        if self.fits:
            return f"{self.asked} need {box}"
        if self.need <= 1:
            return f"{self.asked} need {box}, and do not get it: other programs have {self.others:.0%} of it"
        return (
            f"{self.asked} need {box}: each gets its share by weight, together {self.wanted / self.need:.0f} frames/s; "
            "lower rates, a smaller network or another machine"
        )


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor time. running : of reading sources and decoding video, whether or not anybody looks, cores. decode,
    inference, rest : of one look, s; rest is preparing, interpreting, outputs, page. others : of other programs, cores.
    looks : a second. used : part of all cores.
    """

    running: float
    decode: float
    inference: float
    rest: float
    others: float
    looks: float
    used: float


@dataclass(frozen=True, slots=True)
class _Moment:
    """When something was counted, s, and the figures then."""

    time: float
    spent: Spent
    figures: EngineStatistics


class Admission:
    """Tells it, measures it, and remembers.

    statistics : of the engine. clock : s. remember : is told what each camera cost, once after each change.
    looks : a second, of each camera, over the newest time that was measured.
    """

    def __init__(
        self,
        statistics: Callable[[], EngineStatistics],
        *,
        clock: Callable[[], float] = monotonic,
        remember: Callable[[Mapping[str, CameraCost]], object] = lambda costs: None,
    ) -> None:
        self._statistics, self._clock, self._remember = statistics, clock, remember
        self._meter = ProcessorMeter()
        self._load: Load | None = None
        self._costs: Costs | None = None
        self._known: Mapping[str, CameraCost] = {}
        self._inference: Mapping[str, float] = {}
        self._estimated = True
        self._idle = Spent()
        self.looks: Mapping[str, float] = {}
        self.restart()

    def expect(
        self, rates: Mapping[str, float | None], known: Mapping[str, CameraCost], inference: Mapping[str, float]
    ) -> None:
        """Before the start: tell what is known already.

        rates : what each camera is asked for, Hz. known : what cameras cost last time. inference : of those that are
        new, processor time of one look without its decoding, s.
        """
        self._known, self._inference = known, inference
        self._idle = self._meter.read()
        self._estimated = False
        if rates and rates.keys() <= known.keys():
            asked = {name: rate for name, rate in rates.items() if rate}
            self._estimate(asked, len(rates) - len(asked), 0.0, 0.0, ", as measured last time")

    def restart(self) -> None:
        """Other cameras run: measure anew, and tell."""
        self._told = False
        self._first: _Moment | None = None
        self._begin: _Moment | None = None

    def look(self) -> None:
        """To be called now and then."""
        now = self._clock()
        young = self._begin is not None and now - self._begin.time < (AGAIN_SECONDS if self._told else MEASURE_SECONDS)
        if young and self._estimated:
            return
        figures = self._statistics()
        if not any(camera.share.served or camera.run.captured for camera in figures.cameras.values()):
            return
        moment = _Moment(self._clock(), self._meter.read(), figures)  # working out the figures may have taken long
        if self._first is None:
            self._first = moment
        if not self._estimated:
            self._estimate_from_pictures(moment)
        if self._begin is None and moment.time >= self._first.time + SETTLE_SECONDS:
            self._begin = moment
        if self._begin is None or self._begin is moment or young:
            return
        if _served(figures) - _served(self._begin.figures) >= FEWEST_FRAMES:
            self._measure(self._begin, moment)
            self._begin = moment
        elif self._told:
            self._begin = moment  # nothing moves: what was measured before still holds

    def summary(self) -> dict[str, Any]:
        """What `--summary` tells of it, `load` and `costs`; without them before there is anything to tell."""
        load, costs = self._load, self._costs
        told: dict[str, Any] = {}
        if load is not None and load.asked:
            told["load"] = {
                "asked": load.asked, "wanted_fps": round(load.wanted, 2), "served_fps": round(load.served, 2),
                "used": round(load.used, 4), "need": round(load.need, 4), "gated": load.gated,
                "estimate": costs is None,
            }  # fmt: skip
        if costs is not None:
            told["costs"] = {
                "running_cores": round(costs.running, 4), "others_cores": round(costs.others, 4),
                "decode_ms": round(costs.decode * 1e3, 3), "inference_ms": round(costs.inference * 1e3, 3),
                "rest_ms": round(costs.rest * 1e3, 3), "looks": round(costs.looks, 2), "used": round(costs.used, 4),
            }  # fmt: skip
        return told

    def _estimate_from_pictures(self, moment: _Moment) -> None:
        """What networks took at the start, and decoding the first pictures."""
        cameras = moment.figures.cameras
        assert self._first is not None
        here = {name: camera for name, camera in cameras.items() if camera.run.stages["decode"].count}
        away = len(here) < sum(camera.state in ("up", "connecting") for camera in cameras.values())
        if not here or (away and moment.time < self._first.time + FIRST_PICTURES_SECONDS):
            return
        self._estimated = True
        if self._load is not None:
            return  # what was measured last time is better
        rates = {name: rate for name, camera in here.items() if (rate := _wanted(camera.share))}
        seconds = moment.time - self._first.time
        running = moment.spent.since(self._first.spent).capture / seconds if seconds > 0 else 0.0
        # Not by the clock: on a busy machine that would be a measure of the others.
        decode = moment.spent.since(self._idle).work / max(1, _served(moment.figures))
        free = sum(not camera.share.rate for camera in here.values())
        self._estimate(rates, free, running, decode, ", by the first pictures")

    def _estimate(self, rates: Mapping[str, float], free: int, running: float, decode: float, how: str) -> None:
        """Tell what looking so often at these cameras should take.

        free : cameras without a rate. running : cores that the sources take. decode : of a picture, s.
        """
        cores = self._statistics().cores
        need, asked = running, asked_words(rates.values(), free)
        for name, rate in rates.items():
            known = self._known.get(name)
            rate = min(rate, known.gives) if known and known.gives else rate
            frame = known.frame if known else self._inference.get(name, 0.0) + decode
            need += rate * frame + (known.running if known else 0.0)
        if not rates or need <= 0:
            return
        self._load = Load(sum(rates.values()), 0.0, 0.0, need / cores, asked)
        _tell(self._load, cores, how)

    def _measure(self, begin: _Moment, end: _Moment) -> None:
        """What was spent in between, on what, and what is wanted would take."""
        seconds, spent = end.time - begin.time, end.spent.since(begin.spent)
        served = (_served(end.figures) - _served(begin.figures)) / seconds
        self._costs = costs_of(begin, end)
        looks = _looks(begin, end)
        self.looks = {name: count / seconds for name, count in looks.items()}
        before, load = self._load, load_of(end.figures, served, spent.total / seconds, spent.capture / seconds)
        self._load = replace(load, others=self._costs.others / end.figures.cores)
        first, self._told, self._estimated = not self._told, True, True
        turned = before is not None and before.fits != self._load.fits
        if self._load.asked and (first or turned):
            _tell(self._load, end.figures.cores, "")
        if first:
            self._remember(_costs_of_cameras(begin, end))


def _tell(load: Load, cores: int, how: str) -> None:
    log.log(logging.INFO if load.fits else logging.WARNING, "%s", load.words(cores, how))


def load_of(figures: EngineStatistics, served: float, used: float, running: float = 0.0) -> Load:
    """What the cameras ask of the machine.

    served : looks a second. used : cores in use meanwhile, and of these `running` that are in use without looks.
    """
    shares = [camera.share for camera in figures.cameras.values() if not camera.share.paused]
    rates = [rate for share in shares if (rate := _wanted(share))]
    free = [share for share in shares if not share.rate]
    wanted = sum(rates) + sum(1 / share.interval for share in free if share.interval)
    asked = asked_words((share.rate for share in shares if share.rate), len(free)) if rates else ""
    gated = any(camera.run.pictures.get("still") for camera in figures.cameras.values())
    looks = max(0.0, used - running) * (wanted / served if served > 0 else 0.0)
    return Load(wanted, served, used / figures.cores, (running + looks) / figures.cores, asked, gated)


def costs_of(begin: _Moment, end: _Moment) -> Costs:
    """What was spent between two moments: on sources as long as it took, on all else by looks."""
    seconds, spent = end.time - begin.time, end.spent.since(begin.spent)
    looks = max(1, _served(end.figures) - _served(begin.figures))
    decode = spent.work * _decoding(begin.figures, end.figures)
    rest = max(0.0, spent.total - spent.capture - spent.inference - decode)
    others = max(0.0, spent.machine - spent.total) / seconds
    return Costs(
        running=spent.capture / seconds, decode=decode / looks, inference=spent.inference / looks, rest=rest / looks,
        others=others, looks=looks / seconds, used=spent.total / seconds / end.figures.cores,
    )  # fmt: skip


def _decoding(begin: EngineStatistics, end: EngineStatistics) -> float:
    """Part of the workers' time that they decode; what they wait for the network is no processor's time."""
    spent: defaultdict[str, float] = defaultdict(float)
    for name, camera in end.cameras.items():
        before = begin.cameras.get(name)
        for stage, timing in camera.run.stages.items():
            spent[stage] += max(0.0, timing.total_ms - (before.run.stages[stage].total_ms if before else 0.0))
    whole = sum(spent[stage] for stage in ("decode", "preprocess", "postprocess", "output"))
    return spent["decode"] / whole if whole else 0.0


def _costs_of_cameras(begin: _Moment, end: _Moment) -> dict[str, CameraCost]:
    """What each camera's looks cost: all that was spent, shared out by the time that their tickets took."""
    spent, seconds = end.spent.since(begin.spent), end.time - begin.time
    looks = _looks(begin, end)
    held = {name: end.figures.cameras[name].share.cost for name in looks}
    whole = sum(count * held[name] for name, count in looks.items())
    if whole <= 0:
        return {}
    each = spent.capture / seconds / len(looks)
    intervals = {name: camera.share.interval for name, camera in end.figures.cameras.items()}
    gives = {name: 1 / interval if interval else 0.0 for name, interval in intervals.items()}
    return {
        name: CameraCost(held[name] * (spent.total - spent.capture) / whole, each, gives[name])
        for name, count in looks.items()
        if count
    }


def _looks(begin: _Moment, end: _Moment) -> dict[str, int]:
    """How often each camera was looked at in between."""
    before = {name: camera.share.served for name, camera in begin.figures.cameras.items()}
    return {name: max(0, camera.share.served - before.get(name, 0)) for name, camera in end.figures.cameras.items()}


def asked_words(rates: Any, free: int) -> str:
    """As "8 x 5 fps and 2 without a rate". rates : of the cameras that have one."""
    counts = Counter(rates)
    asked = [f"{count} x {rate:g} fps" for rate, count in sorted(counts.items(), key=lambda item: -item[1])]
    return " and ".join(asked + ([f"{free} without a rate"] if free else []))


def _wanted(share: Share) -> float:
    """How often a camera with a rate is to be looked at: at most as often as it has a picture, Hz."""
    if not share.rate or share.paused:
        return 0.0
    return min(share.rate, 1 / share.interval) if share.interval else share.rate


def _served(figures: EngineStatistics) -> int:
    """Looks at pictures, those included that were found to be still."""
    return sum(camera.share.served for camera in figures.cameras.values())
