"""What frames cost this machine: processor time by what it is spent on, and what is remembered of it.

The kernel counts the time of each thread; names say what a thread is for. Clocks on the wall would not do: FFmpeg
decodes and OpenVINO infers on threads of their own, and who waits for them spends nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from saccade.address import without_credentials
from saccade.config import CameraConfig, cache_dir
from saccade.errors import SaccadeError
from saccade.frame import Frame
from saccade.process import usable_cores
from saccade.storage import atomic

if TYPE_CHECKING:
    from saccade.pipeline import App
    from saccade.predict.predictor import Predictor

MOST_REMEMBERED = 500
"""Cameras whose costs are kept."""

WARM_UP_SECONDS = 0.2
"""How long a network is measured at the start, s."""

USUAL_SIZE = (1920, 1080)
"""Of a picture that nobody has seen yet, px."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor time, s. total : of the process. capture : reads sources, and decodes video. work : decodes JPEG,
    prepares, interprets and delivers. inference : the networks' own threads. machine : of all processes together.
    """

    total: float = 0.0
    capture: float = 0.0
    work: float = 0.0
    inference: float = 0.0
    machine: float = 0.0

    def since(self, before: Spent) -> Spent:
        """What was spent in between."""
        return Spent(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))


class ProcessorMeter:
    """Adds up the processor time of this process's threads, those that have ended meanwhile included."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._spent = {"capture": 0.0, "work": 0.0, "inference": 0.0, "rest": 0.0}

    def read(self) -> Spent:
        """Since the meter was made, but for `total` and `machine`, which count from elsewhere."""
        before_all = process_time()
        named = {thread.native_id: thread.name for thread in threading.enumerate()}
        seen: dict[int, float] = {}
        for task in _tasks():
            used = _used(task)
            before = self._seen.get(task, 0.0)
            self._spent[_purpose(task, named.get(task))] += used - before if used >= before else used
            seen[task] = used
        self._seen = seen
        known = {name: self._spent[name] for name in ("capture", "work", "inference")}
        # Reading so many files takes a while on a busy machine: the whole is that of the middle of it.
        return Spent(total=(before_all + process_time()) / 2, machine=_machine(), **known)


def _tasks() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return []


def _used(task: int) -> float:
    """Processor time of a thread, s."""
    try:
        with open(f"/proc/self/task/{task}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0  # it has ended


def _purpose(task: int, name: str | None) -> str:
    """What a thread is for. name : its own where Python made it; FFmpeg's are called `av:`, OpenVINO's have no name."""
    if name is not None:
        return {"saccade-capture": "capture", "saccade-worker": "work"}.get(name, "rest")
    try:
        with open(f"/proc/self/task/{task}/comm", encoding="ascii", errors="replace") as file:
            return "capture" if file.read(3) == "av:" else "inference"
    except OSError:
        return "rest"


def _machine() -> float:
    """Processor time of all that runs, s; see proc_stat(5)."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, *_ = (int(word) for word in file.readline().split()[1:])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CameraCost:
    """What a camera costs. frame : processor time of a look at it, s. running : while nothing is looked at, cores.
    gives : pictures a second that come from it; 0 where that is not known.
    """

    frame: float
    running: float = 0.0
    gives: float = 0.0


_REMEMBERED = ("frame", "running", "gives")


class RememberedCosts:
    """What cameras cost when they were measured last, in a file of the cache folder; an unreadable one is empty."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache_dir() / "costs.json"
        self._known: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._path.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def of(self, camera: CameraConfig) -> CameraCost | None:
        """What this camera cost, with the same source, networks and gate on the same kind of machine."""
        entry = self._known.get(_key(camera))
        try:
            return None if entry is None else CameraCost(*(float(entry[name]) for name in _REMEMBERED))
        except (KeyError, TypeError, ValueError):
            return None

    def remember(self, costs: Sequence[tuple[CameraConfig, CameraCost]]) -> None:
        """Keep what was measured now; where there is no place for it, it is not kept."""
        for camera, cost in costs:
            key = _key(camera)
            self._known.pop(key, None)
            self._known[key] = {
                **{name: round(getattr(cost, name), 6) for name in _REMEMBERED}, "time": round(time.time()),
            }  # fmt: skip
        for key in list(self._known)[:-MOST_REMEMBERED]:
            del self._known[key]
        with contextlib.suppress(OSError, SaccadeError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(self._path, json.dumps(self._known).encode())


def _key(camera: CameraConfig) -> str:
    """Of all that decides what a camera costs; a hash, as the source may be private."""
    apps = [
        (app.app, c.model, c.device, c.precision, c.tiles, c.regions, c.input_shape)
        for app in camera.apps
        for c in (app.config,)
    ]
    source = camera.config
    machine = (os.uname().machine, usable_cores())
    said = [without_credentials(source.source), source.decode, source.hwaccel, str(camera.gating), apps, machine]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]


def inference_costs(cameras: Mapping[str, CameraConfig], apps: Mapping[str, Sequence[App]]) -> dict[str, float]:
    """Processor time of one look of each camera with all of its apps, but for decoding and outputs: measured now, s.

    To be called while the process does nothing else. What a network on another machine takes is not counted.
    """
    seconds: dict[Any, float] = {}
    costs = dict.fromkeys(cameras, 0.0)
    for name, camera in cameras.items():
        for app, said in zip(apps[name], camera.apps, strict=True):
            key = (id(app.predictor.network), said.config.tiles, said.config.regions)
            if key not in seconds:
                seconds[key] = inference_seconds(app)
            costs[name] += seconds[key]
    return costs


def inference_seconds(app: App) -> float:
    """The same of one app's look."""
    return sum(_measured(predictor) for predictor in (app.predictor, getattr(app, "second", None)) if predictor)


def _measured(predictor: Predictor) -> float:
    if predictor.network.is_remote:
        return 0.0
    width, height = USUAL_SIZE
    least_height, least_width = predictor.least_size(width, height)
    picture = np.zeros((least_height, least_width, 3), np.uint8)
    frame = Frame(width=width, height=height, planes=(picture,))
    try:
        predictor(frame)  # the first run is no measure
        begin, used, count = time.monotonic(), process_time(), 0
        while count < 1 or time.monotonic() - begin < WARM_UP_SECONDS:
            predictor(frame)
            count += 1
    except SaccadeError:
        return 0.0  # as regions that such a picture does not have: the first real one tells
    return (process_time() - used) / count


def known_costs(cameras: Mapping[str, CameraConfig], remembered: RememberedCosts) -> dict[str, CameraCost]:
    """What is remembered of these cameras."""
    return {name: cost for name, camera in cameras.items() if (cost := remembered.of(camera)) is not None}
