"""Which object of this frame is which of the frames before, by overlap of their boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True, eq=False)
class Track:
    """One object over time.

    number : from 1, never used again. box : float32 (4,) x1, y1, x2, y2, where it was last seen, px.
    velocity : float32 (2,) of the box's centre, px/s. first, last : when it was first and last seen, stream time, s.
    """

    number: int
    box: NDArray[np.float32]
    velocity: NDArray[np.float32]
    first: float
    last: float

    def expected(self, time: float) -> NDArray[np.float32]:
        """The box where it would be by now if it went on as it did."""
        return self.box + np.tile(self.velocity, 2) * np.float32(time - self.last)


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
            overlaps = iou(np.array([track.expected(time) for track in kept], np.float32), boxes)
            taken: set[int] = set()
            for flat in np.argsort(-overlaps, axis=None, kind="stable"):
                row, column = divmod(int(flat), len(boxes))
                if overlaps[row, column] < self._overlap:
                    break
                if found[column] is None and row not in taken:
                    found[column] = kept[row]
                    taken.add(row)
        seen: list[Track] = []
        for box, known in zip(boxes, found, strict=True):
            track = known or self._begin(box, time)
            if known:
                self._move(known, box, time)
            else:
                kept.append(track)
            seen.append(track)
        self._tracks = kept
        return seen, ended

    def clear(self) -> list[Track]:
        """End all tracks and return them."""
        ended, self._tracks, self._time = self._tracks, [], -np.inf
        return ended

    def _begin(self, box: NDArray[np.float32], time: float) -> Track:
        self._next += 1
        return Track(self._next - 1, box.copy(), np.zeros(2, np.float32), time, time)

    @staticmethod
    def _move(track: Track, box: NDArray[np.float32], time: float) -> None:
        passed = time - track.last
        if passed > 0:
            shift = (box[:2] + box[2:] - track.box[:2] - track.box[2:]) / 2
            track.velocity = ((track.velocity + shift / passed) / 2).astype(np.float32)
        track.box, track.last = box.copy(), time


def iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of each pair, float32 (n, m), of boxes (n, 4) and (m, 4); 0 where a box is empty."""
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    opposite = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(opposite - corner, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - common
    shares: NDArray[np.float32] = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return shares
