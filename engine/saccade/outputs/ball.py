"""The red ball of the head-pose app: where the head has steered it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from saccade.results import HeadPose


@dataclass(slots=True)
class Ball:
    """The red ball that the head steers.

    A direction pushes it that way, the faster the surer the network is; an axis that is not pushed drifts back to
    the middle of the frame and rests in the dead zone there. Its pace goes by stream time, so that it is the same at
    any frame rate and however many frames are drawn.

    x, y : centre, as parts of the frame's width and height. speed : frame widths a second at probability 1.
    dead_zone : part of the half frame around the middle in which a drifting ball rests.
    radius : as a part of the frame's width.
    """

    x: float = 0.5
    y: float = 0.5
    speed: float = 0.6
    dead_zone: float = 0.05
    radius: float = 0.019
    _time: float | None = None
    _frame: int = -1

    def move(self, pose: HeadPose, *, frame: int, time: float, aspect: float) -> None:
        """Go on to `time`, s. Repeats of the same frame move nothing; `aspect` is the frame's width / height."""
        if frame == self._frame and self._time is not None:
            return
        passed = 0.0 if self._time is None else min(time - self._time, 0.25)
        if passed <= 0:  # pictures without a clock, or a stream that began anew
            passed = 1 / 30
        self._time, self._frame = time, frame
        step = self.speed * float(np.clip(pose.scores[pose.direction], 0, 1)) * passed
        column, row = ninth(pose.direction)
        self.x = self._stay_inside(self.x + self._towards(column - 1, self.x, step), self.radius)
        self.y = self._stay_inside(self.y + self._towards(row - 1, self.y, step * aspect), self.radius * aspect)

    def _towards(self, push: int, position: float, step: float) -> float:
        if push:
            return push * step
        away = position - 0.5
        if abs(away) <= self.dead_zone / 2:
            return 0.0
        return -float(np.copysign(min(step, abs(away)), away))

    @staticmethod
    def _stay_inside(position: float, margin: float) -> float:
        return min(max(position, margin), 1 - margin) if margin < 0.5 else 0.5


def ninth(direction: int) -> tuple[int, int]:
    """Column and row (0-2, from the top left) of a direction's ninth of the picture."""
    return 2 - direction // 3, 2 - direction % 3
