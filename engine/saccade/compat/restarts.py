"""Scripts that start themselves again by a `Timer` when something went wrong, as the tutorials' do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_HURRIED = 0.5
"""Longest first pause of a run that is to end after some frames or seconds: a trial does not sit it out."""


@dataclass(slots=True)
class _Function:
    """A function that a script's timers start. fired : how often; frames, errors : how many there were then."""

    fired: int = 0
    failures: int = 0
    frames: int = 0
    errors: int = 0


class Restarts:
    """Makes pauses longer as restarts bring no frame, and ends the run after some of them.

    owns : whether a file belongs to the script. frames, errors : how many there were so far.
    idle : whether nothing of the script is at work but its timers and displays.
    give_up : called with the reason. most : restarts in a row without a frame. hurried : shorten the first pause.
    """

    def __init__(
        self,
        *,
        owns: Callable[[str], bool],
        frames: Callable[[], int],
        errors: Callable[[], int],
        idle: Callable[[], bool],
        give_up: Callable[[str], None],
        most: int,
        hurried: bool,
    ) -> None:
        self._owns, self._frames, self._errors, self._idle = owns, frames, errors, idle
        self._give_up, self._most, self._hurried = give_up, most, hurried
        self._lock = threading.Lock()
        self._functions: dict[str, _Function] = {}
        self.count = 0
        self.waiting = 0

    def timer(self) -> type[threading.Timer]:
        """The `Timer` that scripts get; those of libraries are as always."""
        restarts = self

        class Timer(threading.Timer):
            def run(self) -> None:
                name = restarts._name(self.function)
                if not name:
                    super().run()
                    return
                with restarts._lock:
                    restarts.waiting += 1
                self.finished.wait(restarts._pause(name, self.interval))
                with restarts._lock:
                    restarts.waiting -= 1
                if not self.finished.is_set() and restarts._may(name):
                    self.function(*self.args, **self.kwargs)
                self.finished.set()

        return Timer

    def _name(self, function: Any) -> str:
        """What a function of the script is called; empty for others."""
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        return f"{function.__qualname__}" if code is not None and self._owns(code.co_filename) else ""

    def _pause(self, name: str, asked: float) -> float:
        before = self._functions.get(name, _Function())
        failed = before.failures > 0 or self._errors() > before.errors
        return (min(asked, _HURRIED) if self._hurried and failed else asked) * 2.0**before.failures

    def _may(self, name: str) -> bool:
        """Count one start; False where it would be one too many."""
        with self._lock:
            function = self._functions.setdefault(name, _Function())
            frames, errors = self._frames(), self._errors()
            erred = errors > function.errors
            barren = frames == function.frames and (erred or (function.fired > 0 and self._idle()))
            function.failures = function.failures + 1 if barren else 0
            function.fired, function.frames, function.errors = function.fired + 1, frames, errors
            over = function.failures > self._most
            self.count += (erred or barren) and not over
        if over:
            self._give_up(f"{name} was started again {self._most} times by its Timer and took no frame")
        return not over
