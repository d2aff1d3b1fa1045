"""Which object of this frame is which of the frames before, by overlap of their boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(slots=True, eq=False)
class Track:
    """One object over time.

    number : from 1, never used again. box : x1, y1, x2, y2, where it was last seen, px. velocity : x, y of the box's
    centre, px/s. first, last : when it was first and last seen, stream time, s.
    """

    number: int
    box: Box
    velocity: tuple[float, float]
    first: float
    last: float

    def expected(self, time: float) -> Box:
        """The box where it would be by now if it went on as it did."""
        dx, dy = (v * (time - self.last) for v in self.velocity)
        x1, y1, x2, y2 = self.box
        return x1 + dx, y1 + dy, x2 + dx, y2 + dy

    def move(self, box: Box, time: float) -> None:
        """It is seen at `box` now."""
        passed = time - self.last
        if passed > 0:
            shifts = ((box[i] + box[i + 2] - self.box[i] - self.box[i + 2]) / 2 for i in (0, 1))
            vx, vy = ((old + shift / passed) / 2 for old, shift in zip(self.velocity, shifts, strict=True))
            self.velocity = vx, vy
        self.box, self.last = box, time


class Tracker:
    """Follows objects from frame to frame.

    Pairs of track and box are joined greedily, the best overlap first. A track that is not seen for `patience`, s of
    stream time, ends. Stream time that runs backwards, or jumps by more than that, ends all.

    Parameters
    ----------
    overlap : least IoU of a track's expected box and a box of the frame.
    """

    def __init__(self, *, overlap: float = 0.2, patience: float = 1.0) -> None:
        self._overlap = overlap
        self._patience = patience
        self._tracks: list[Track] = []
        self._next = 1
        self._time = -np.inf

    def update(self, boxes: NDArray[np.float32], time: float) -> tuple[list[Track], list[Track]]:
        """Take one frame's boxes, float32 (n, 4) px; returns the track of each box, and the tracks that ended."""
        ended: list[Track] = []
        if time < self._time:
            ended, self._tracks = self._tracks, []
        self._time = time
        kept: list[Track] = []
        for track in self._tracks:
            (kept if time - track.last <= self._patience else ended).append(track)
        found: list[Track | None] = [None] * len(boxes)
        if kept and len(boxes):
            overlaps = iou(np.array([track.expected(time) for track in kept]), boxes.astype(np.float64))
            taken: set[int] = set()
            for flat in np.argsort(-overlaps, axis=None, kind="stable").tolist():
                row, column = divmod(flat, len(boxes))
                if overlaps[row, column] < self._overlap:
                    break
                if found[column] is None and row not in taken:
                    found[column] = kept[row]
                    taken.add(row)
        seen: list[Track] = []
        for row, known in zip(boxes.tolist(), found, strict=True):
            box = cast(Box, tuple(row))
            if known is None:
                known = Track(self._next, box, (0.0, 0.0), time, time)
                self._next += 1
                kept.append(known)
            else:
                known.move(box, time)
            seen.append(known)
        self._tracks = kept
        return seen, ended

    def clear(self) -> list[Track]:
        """End all tracks and return them."""
        ended, self._tracks, self._time = self._tracks, [], -np.inf
        return ended


def iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each pair, float64 (n, m), of boxes (n, 4) and (m, 4); 0 where a box is empty."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    opposite = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(opposite - corner, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - common
    shares: NDArray[np.float64] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares
