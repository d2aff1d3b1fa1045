"""One network in many forms: opens them, asks them about frames, and lets two of them run in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from saccade.capture import Capture
from saccade.capture.slots import Slot
from saccade.capture.source import Picture, Source
from saccade.networks.local import Model
from saccade.pipeline import Pipeline
from saccade.predict.opening import open_predictor
from saccade.predict.predictor import Predictor
from saccade.results import Result
from saccade.tune.frames import Kept
from saccade.tune.turns import Slice

SLICE = 0.06
"""Length of a slice, s."""


class Trials:
    """Forms of one network.

    model : artifact or catalogue name. options : as for `open_predictor`, without precision and threads.
    cache : folder for what is compiled meanwhile.
    """

    def __init__(self, model: str, options: Mapping[str, Any], cache: Path) -> None:
        self._model, self._options, self._cache = model, dict(options), cache
        self.slot = Slot()

    def open(self, precision: str, *, threads: int | None = 1, streams: int | None = None) -> Predictor:
        """The network in some precision, on one thread unless told otherwise."""
        return open_predictor(
            self._model, **self._options, precision=precision, threads=threads, streams=streams, tuned=False,
            cache_dir=self._cache,
        )  # fmt: skip

    def quantised(self, file: Path, like: Predictor, *, threads: int | None, streams: int | None) -> Predictor:
        """The network with quantised layers, from their file."""
        names = ("device", "input_shapes")
        options = {name: self._options[name] for name in names if self._options.get(name) is not None}
        network = Model(
            self._model, **options, batch=1, precision="int8", threads=threads, streams=streams, for_parser=True,
            quantised=file, cache_dir=self._cache,
        )  # fmt: skip
        return like.on(network)

    def results(self, predictor: Predictor, frames: Sequence[Kept]) -> list[Result]:
        """What a form says of each frame."""
        found = []
        for kept in frames:
            with kept.frame(self.slot, predictor.least_size) as frame:
                found.append(predictor(frame))
        return found

    def tensors(self, predictor: Predictor, frames: Sequence[Kept]) -> list[list[Any]]:
        """What the network is shown of each frame: arrays of all inputs."""
        found = []
        for number, kept in enumerate(frames):
            with kept.frame(self.slot, predictor.least_size) as frame:
                regions = predictor.regions(frame.width, frame.height)
                found.append(predictor.shown(frame, regions[number % len(regions)]))
        return found

    def network_slice(self, predictor: Predictor, frame: Kept, clock: Callable[[], float]) -> Slice:
        """Runs of the network alone; the cost of one, s of `clock`."""
        request = predictor.network.request()
        for name, array in zip(request.inputs, self.tensors(predictor, [frame])[0], strict=True):
            np.copyto(request.inputs[name], array)
        return repeated(request.infer, clock)

    def whole_slice(self, predictor: Predictor, frames: Sequence[Kept], clock: Callable[[], float]) -> Slice:
        """All that a frame takes, from its compressed form to the result, one after the other; s of `clock`."""
        place = 0

        def one() -> None:
            nonlocal place
            self.results(predictor, [frames[place % len(frames)]])
            place += 1

        return repeated(one, clock)

    def pipeline_slice(self, predictor: Predictor, frames: Sequence[Kept], requests: int) -> Slice:
        """A pipeline with so many requests in flight; time of a frame by the clock, s."""
        count = 4 * requests

        def run() -> float:
            nonlocal count
            start = time.perf_counter()
            pipeline = Pipeline(Capture(Memory(frames, count)), predictor, requests=requests, track=False)
            pipeline.run()
            cost = (time.perf_counter() - start) / count
            count = max(count, math.ceil(4 * SLICE / max(cost, 1e-6)))
            return cost

        return run


def repeated(call: Callable[[], object], clock: Callable[[], float]) -> Slice:
    """A slice of as many calls as take `SLICE`; the cost of one."""
    count = 1

    def run() -> float:
        nonlocal count
        start, wall = clock(), time.perf_counter()
        for _ in range(count):
            call()
        cost = (clock() - start) / count
        elapsed = (time.perf_counter() - wall) / count
        if elapsed * count < SLICE / 2:
            count = min(10_000, max(count + 1, math.ceil(SLICE / max(elapsed, 1e-6))))
        return cost

    return run


class Memory(Source):
    """Frames that are in memory, again and again."""

    def __init__(self, frames: Sequence[Kept], count: int) -> None:
        super().__init__("memory")
        self._frames, self._count, self._place = frames, count, 0

    def open(self) -> None:
        """Nothing is to be opened."""

    def read(self) -> Picture | None:
        """The next one."""
        if self._place >= self._count or self.interrupted:
            return None
        kept = self._frames[self._place % len(self._frames)]
        self._place += 1
        return kept.copy()

    def close(self) -> None:
        """Nothing is to be given back."""


def read_ir(path: Path) -> ov.Model:
    """An IR that was written here."""
    from saccade.formats.core import core

    model: ov.Model = core().read_model(str(path))
    return model
