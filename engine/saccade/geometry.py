"""Where things lie: parts of a frame, and how a network's input lies in it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Region = tuple[float, float, float, float]
"""x, y, width, height as parts of the frame, [0, 1]; in the mirrored frame where the view is mirrored."""

WHOLE_FRAME: Region = (0.0, 0.0, 1.0, 1.0)


class View(NamedTuple):
    """How a network's input lies in the source frame: x_source = x * scale_x + offset_x, likewise y.

    x, y : continuous input coordinates, px, (0, 0) the outer corner of the first pixel. A mirrored view has
    scale_x < 0.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Input points, float32 (..., 2) x, y -> the same in source px."""
        placed: NDArray[np.float32] = points * np.array([self.scale_x, self.scale_y], np.float32)
        placed += np.array([self.offset_x, self.offset_y], np.float32)
        return placed

    def boxes(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Input boxes, float32 (n, 4) x1, y1, x2, y2 -> the same in source px, with x1 < x2 in a mirrored view, too."""
        scale, offset = _of_boxes(self)
        placed: NDArray[np.float32] = boxes * scale
        placed += offset
        return placed[:, [2, 1, 0, 3]] if self.scale_x < 0 else placed


@lru_cache(256)
def _of_boxes(view: View) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale and offset of the four numbers of a box."""
    return np.array([*view[:2], *view[:2]], np.float32), np.array([*view[2:], *view[2:]], np.float32)
