"""Gives each object of a frame its number over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from saccade.results import Detections, LifeEvent, Result
from saccade.tracking import table
from saccade.tracking.objects import Objects

FLICKER = 0.5
"""How long an object that may be a false box is looked for, s."""
LONGEST_GAP = 60.0
"""Nobody knows what happened in a longer time without a look, s: all tracks end."""
MOST = 256
"""Boxes of one frame that are followed, the best first; no more than twice as many objects are looked for."""


class Tracker:
    """Follows the objects of one camera.

    Each look pairs boxes with what is known so that all pairs together are most likely: by place, as a Kalman filter
    expects it, by width and height, and by class. What is not seen is looked for where it went, for `patience`.

    Parameters
    ----------
    patience : how long an object may be out of sight, s of the frames' time. Where the next look comes later than
        that, only what stands still is known again.
    every : least time between two updates of the life of an object, s.

    Raises ValueError where one of them is negative.
    """

    def __init__(self, *, patience: float = 2.0, every: float = 1.0) -> None:
        for name, value in (("patience", patience), ("every", every)):
            if not value >= 0:
                raise ValueError(f"{name}: got {value}; expected seconds, at least 0")
        self._patience = patience
        self._every = every
        self._objects = Objects()
        self._time: float | None = None
        self._size: tuple[int, int] | None = None
        self._names: tuple[str, ...] = ()
        self._events: list[LifeEvent] = []

    def __len__(self) -> int:
        """Objects that are seen or looked for."""
        return len(self._objects)

    def events(self) -> Iterator[LifeEvent]:
        """What became of the objects with the last `update`, `coast` or `close`."""
        return iter(self._events)

    def follow(self, result: Result) -> Result:
        """The result with the tracks of its objects and their life; itself where it has no detections."""
        if result.detections is None:
            return result
        found = self.update(result.detections, result.time, size=(result.width, result.height))
        return replace(result, detections=found, life=tuple(self._events))

    def update(self, detections: Detections, time: float, *, size: tuple[int, int] | None = None) -> Detections:
        """The same detections with their tracks.

        time : of the frame, s; all tracks end where it runs backwards or jumps. size : (width, height) of the frame,
        px; all tracks end where it changes.
        """
        self._events = []
        self._names = detections.names
        if size is not None and size != self._size:
            self._end_all()
            self._size = size
        self._objects.expect(self._pass_to(time), self._patience)
        sightings = np.empty((len(detections), table.SIGHTING))
        sightings[:, :4], sightings[:, 4], sightings[:, 5] = detections.boxes, detections.scores, time
        labels = np.ascontiguousarray(detections.labels, np.int32)
        tracks = np.full(len(labels), -1, np.int64)
        # No box or all of its neighbours: one sum says whether every number is finite.
        if len(labels) <= MOST and np.isfinite(sightings.sum()):
            tracks[:] = self._objects.see(sightings, labels, self._patience)
        else:
            chosen = np.flatnonzero(np.isfinite(sightings).all(1))[:MOST]
            tracks[chosen] = self._objects.see(sightings[chosen], labels[chosen], self._patience)
        self._end_absent()
        self._events += self._objects.news(time, self._every, self._names)
        return replace(detections, tracks=tracks)

    def coast(self, time: float) -> None:
        """Nothing has moved since the last look, so that nobody looked: what was seen then is there at `time`, too."""
        self._events = []
        self._pass_to(time)
        self._objects.rest(time)
        self._events += self._objects.news(time, self._every, self._names)

    def close(self) -> None:
        """End all tracks; numbers go on."""
        self._events = []
        self._end_all()

    def _pass_to(self, time: float) -> float:
        """Seconds since the last look; ends all tracks where nobody can say."""
        passed = 0.0 if self._time is None else time - self._time
        if not 0 <= passed <= LONGEST_GAP:
            self._end_all()
            passed = 0.0
        self._time = time
        return passed

    def _end_absent(self) -> None:
        """End what was not seen for too long, and the longest unseen where too many are looked for."""
        absent = self._objects.absent
        if not absent.any():
            return
        keep = absent <= np.where(self._objects.sure, self._patience, min(FLICKER, self._patience))
        if len(keep) > 2 * MOST:
            keep[np.argsort(absent, kind="stable")[2 * MOST :]] = False
        self._end(keep)

    def _end_all(self) -> None:
        self._end(np.zeros(len(self), np.bool_))

    def _end(self, keep: NDArray[np.bool_]) -> None:
        """End all but those to `keep`, bool (n,)."""
        if self._time is not None and not keep.all():
            self._events += self._objects.keep(keep, self._time, self._names)
