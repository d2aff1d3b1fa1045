"""An app, outputs and sources that tests of the pipeline share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np

from conditions import PATIENCE
from saccade import Model
from saccade.capture import Picture, Source
from saccade.frame import Frame
from saccade.networks.network import Outputs
from saccade.networks.spec import InputSpec
from saccade.pipeline import App
from saccade.predict import Predictor
from saccade.predict.parser import Settings
from saccade.results import Classification, Result


class MeansParser:
    """The mean of each channel as a class."""

    family, task, names, defaults = "means", "classify", (), Settings()

    def parse(self, outputs: Outputs, settings: Settings) -> Classification:
        return Classification(np.arange(3, dtype=np.int32), outputs["means"][0].copy())


class Means(App):
    """An app whose result is the mean of each channel."""

    name = "means"

    def __init__(self, model: Model) -> None:
        super().__init__(Predictor(model, InputSpec(32, 32), MeansParser()))
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Keep:
    """An output that keeps results, and may fail."""

    leases = 0

    def __init__(self, fail_at: int | None = None) -> None:
        self.results: list[Result] = []
        self.closed = False
        self._fail_at = fail_at

    def accept(self, frame: Frame, result: Result) -> None:
        if len(self.results) == self._fail_at:
            raise OSError("no space left")
        self.results.append(result)

    def close(self) -> None:
        self.closed = True


class Endless(Source):
    """The same compressed picture for ever, from memory."""

    def __init__(self, data: bytes) -> None:
        super().__init__("endless")
        self._data = data

    def open(self) -> None:
        pass

    def read(self) -> Picture | None:
        if self.interrupted:
            return None
        return Picture(time=0.0, captured=time.monotonic(), size=len(self._data), jpeg=memoryview(self._data))

    def close(self) -> None:
        pass


class Live(Source):
    """A live camera that plays what a generator gives: bytes are a picture, numbers are pauses (s), errors are raised.

    It waits at the gate until the test lets it begin.
    """

    live = comes_later = True
    every_frame = False

    def __init__(self, name: str, play: Iterator[object]) -> None:
        super().__init__(name)
        self._play = play
        self.opened = 0

    def open(self) -> None:
        self.opened += 1

    def read(self) -> Picture | None:
        while not self.interrupted:
            step = next(self._play, None)
            if isinstance(step, (bytes, memoryview)):
                return Picture(time=time.time(), captured=time.monotonic(), size=len(step), jpeg=memoryview(step))
            if isinstance(step, Exception):
                raise step
            if isinstance(step, threading.Event):
                assert step.wait(PATIENCE), "the gate stays shut"
            elif isinstance(step, (int, float)):
                self._stop.wait(step)
            elif step is None:
                return None
        return None

    def close(self) -> None:
        pass
