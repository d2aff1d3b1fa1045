"""The objects that are known: their table, their numbers, and what others are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from saccade.results import LifeEvent, Sighting, name_of
from saccade.tracking import steps
from saccade.tracking import table as t
from saccade.tracking.assignment import assign

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]


class Objects:
    """All objects that are seen or looked for, in order of their numbers, which begin at 1 and are never used again."""

    def __init__(self) -> None:
        self._table = np.empty((0, t.COLUMNS))
        self._numbers = np.empty(0, np.int64)
        self._classes = np.empty(0, np.int32)
        # How often each was taken for classes that are not its own.
        self._others: list[dict[int, int]] = []
        self._next = 1

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def absent(self) -> Floats:
        """float64 (n,) how long each has not been seen, s."""
        return self._table[:, t.ABSENT]

    @property
    def sure(self) -> NDArray[np.bool_]:
        """Bool (n,) whether each was seen often enough to be no false box."""
        return self._table[:, t.SURE] > 0

    def expect(self, seconds: float, patience: float) -> None:
        """Let time pass; see `steps.predict`."""
        steps.predict(self._table, seconds, patience)

    def see(self, sightings: Floats, labels: Labels, patience: float) -> NDArray[np.int64]:
        """Take in what a frame shows; returns the number of each object, int64 (m,).

        sightings : float64 (m, 6), see `table`. labels : int32 (m,).
        """
        seen = np.empty((len(labels), 4))
        steps.shapes(sightings, seen)
        tracks = np.zeros(len(labels), np.int64)
        if len(self) and len(labels):
            costs = np.empty((len(self), len(labels)))
            steps.pair_costs(self._table, self._classes, seen, labels, patience, costs)
            rows, chosen = assign(costs, steps.UNPAIRED)
            steps.correct(self._table, rows, seen, sightings, chosen)
            tracks[chosen] = self._numbers[rows]
            for k in np.flatnonzero(self._classes[rows] != labels[chosen]).tolist():
                self._vote(int(rows[k]), int(labels[chosen[k]]))
        new = tracks == 0
        if new.any():
            tracks[new] = self._begin(seen[new], sightings[new], labels[new])
        return tracks

    def rest(self, time: float) -> None:
        """Nothing has moved: those that were just seen stand where they were, and are there at `time`, s."""
        there = self.absent == 0
        self._table[there, t.SPEED_X : t.SPEED_Y + 1] = 0
        self._table[there, t.LAST_TIME] = time

    def keep(self, which: NDArray[np.bool_], time: float, names: Sequence[str]) -> list[LifeEvent]:
        """Forget the others; returns the ends of those that others were told of. names : of the classes."""
        told = ~np.isnan(self._table[:, t.TOLD])
        ends = [self._event("end", row, time, names) for row in np.flatnonzero(told & ~which).tolist()]
        self._table, self._numbers, self._classes = self._table[which], self._numbers[which], self._classes[which]
        self._others = [self._others[row] for row in np.flatnonzero(which).tolist()]
        return ends

    def news(self, time: float, every: float, names: Sequence[str]) -> list[LifeEvent]:
        """What others are to be told of those that are seen; see `steps.due`. names : of the classes."""
        rows = np.empty(len(self), np.int32)
        count = steps.due(self._table, time, every, rows)
        told = self._table[:, t.TOLD]
        return [
            self._event("new" if np.isnan(told[row]) else "update", row, time, names) for row in rows[:count].tolist()
        ]

    def _begin(self, seen: Floats, sightings: Floats, labels: Labels) -> NDArray[np.int64]:
        numbers = np.arange(self._next, self._next + len(labels), dtype=np.int64)
        self._table = np.concatenate([self._table, steps.begin(seen, sightings)])
        self._numbers = np.concatenate([self._numbers, numbers])
        self._classes = np.concatenate([self._classes, labels])
        self._others += [{} for _ in numbers]
        self._next += len(labels)
        return numbers

    def _vote(self, row: int, label: int) -> None:
        """It was taken for another class than its own, which is the one that it is taken for most often."""
        others, own = self._others[row], int(self._classes[row])
        others[label] = others.get(label, 0) + 1
        usual = int(self._table[row, t.LOOKS]) - sum(others.values())
        if others[label] > usual:
            del others[label]
            others[own] = usual
            self._classes[row] = label

    def _event(self, kind: Literal["new", "update", "end"], row: int, time: float, names: Sequence[str]) -> LifeEvent:
        known = self._table[row]
        last, best = _sighting(known[t.LAST : t.BEST]), _sighting(known[t.BEST : t.START])
        known[t.TOLD], known[t.TOLD_SCORE] = time, best.score
        label = int(self._classes[row])
        return LifeEvent(
            kind, int(self._numbers[row]), label, name_of(names, label), time, float(known[t.START]),
            last.time if kind == "end" else None, last, best, bool(known[t.STILL]),
        )  # fmt: skip


def _sighting(columns: Floats) -> Sighting:
    *box, score, time = columns.tolist()
    return Sighting(time, score, cast(tuple[float, float, float, float], tuple(box)))
