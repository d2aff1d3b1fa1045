"""A program whose frames test_counters.py counts: python counted.py {camera,cameras} VIDEO NETWORK [COUNTER].

One camera drives a `Pipeline`, four an `Engine`; between two frames it takes down what the process has asked for so
far, and prints the difference for a frame as JSON. The marks are files that do not exist, for who traces system calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from parts import Means

from saccade import Capture, Model, open_source
from saccade.frame import Frame
from saccade.pipeline import Branch, Camera, Engine, Pipeline, engine
from saccade.results import Result

CAMERAS = 4
FIRST, LAST = 60, 140
"""Frames, of all cameras together, between which is counted."""
PRELOADED = ("allocations", "large allocations", "blocks kept", "copied bytes", "lock waits")


class Marks:
    """An output of all cameras that takes counts at the first and at the last frame."""

    leases = 0

    def __init__(self, counter: str | None) -> None:
        self._preloaded = ctypes.CDLL(counter).read_counters if counter else None
        self._seen = 0
        self._before: dict[str, int] = {}
        self.stop: Callable[[], None] = lambda: None
        self.by_frame: dict[str, float] = {}

    def accept(self, frame: Frame, result: Result) -> None:
        """Count the frame."""
        self._seen += 1
        if self._seen == FIRST:
            self._before = self._now("begin")
        elif self._seen == LAST:
            now = self._now("end")
            self.by_frame = {name: (now[name] - before) / (LAST - FIRST) for name, before in self._before.items()}
            self.stop()

    def close(self) -> None:
        """Nothing is held."""

    def _now(self, mark: str) -> Mapping[str, int]:
        with contextlib.suppress(OSError):
            os.stat(f"/mark/{mark}")
        gc.collect()
        found = {"voluntary switches": resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw}
        if self._preloaded is not None:
            values = (ctypes.c_long * len(PRELOADED))()
            self._preloaded(values)
            found |= dict(zip(PRELOADED, values, strict=True))
        return found


def camera(video: Path, model: Model, marks: Marks) -> None:
    """Run one camera."""
    pipeline = Pipeline(Capture(open_source(video)), Means(model), [marks])
    marks.stop = pipeline.stop
    pipeline.run()


def cameras(video: Path, model: Model, marks: Marks) -> None:
    """Run four on one network; however busy the machine, no worker is taken for one that hangs."""
    engine.DECODE_PATIENCE = engine.PATIENCE = 600.0

    def one(name: str) -> Camera:
        return Camera(
            name=name, open=lambda: Capture(open_source(video), lazy=True), branches=[Branch(Means(model), [marks])]
        )

    four = Engine(one(f"camera{number}") for number in range(CAMERAS))
    marks.stop = four.stop
    four.run()


WAYS: Mapping[str, Callable[[Path, Model, Marks], None]] = {"camera": camera, "cameras": cameras}

if __name__ == "__main__":
    _, way, video, network, *counter = sys.argv
    marks = Marks(*counter or [None])
    WAYS[way](Path(video), Model(network, precision="f32", threads=1, streams=1), marks)
    print(json.dumps(marks.by_frame))
