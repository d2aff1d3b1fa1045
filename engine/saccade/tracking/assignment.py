"""Which row goes with which column, so that the sum of their costs is least."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_CONTESTED = 32
"""With more rows than so many that want another's column the best pairs are taken one after the other."""


def assign(costs: NDArray[np.float64], unpaired: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and their columns, intp (k,) each, of least total cost, where each row without a pair costs `unpaired`.

    costs : float64 (n, m), m > 0; what is not less than `unpaired` is no pair.

    Rows begin with the column that is cheapest for them. Only those whose column another row has look for a shortest
    way to a free one (R. Jonker, A. Volgenant, Computing 38, 1987), so that a frame without a conflict needs no search.
    """
    best = costs.argmin(1)
    rows = np.flatnonzero(costs[np.arange(len(best)), best] < unpaired)
    best = best[rows]
    contested = len(best) - len(set(best.tolist()))
    if not contested:
        return rows, best
    wanted = costs[rows]
    pairs = _greedy(wanted, unpaired) if contested > MOST_CONTESTED else _shortest(wanted, best.tolist(), unpaired)
    chosen, columns = np.ascontiguousarray(np.array(pairs, np.intp).T)
    return rows[chosen], columns


def _shortest(costs: NDArray[np.float64], best: list[int], unpaired: float) -> list[tuple[int, int]]:
    """The least total cost. best : the cheapest column of each row."""
    count, columns = costs.shape
    # Each row has a column of its own that stands for "no pair".
    whole = np.full((count, columns + count), np.inf)
    whole[:, :columns] = np.where(costs < unpaired, costs, np.inf)
    whole[np.arange(count), columns + np.arange(count)] = unpaired
    row_price = whole.min(1)
    column_price = np.zeros(columns + count)
    owner: dict[int, int] = {}
    waiting = [row for row, column in enumerate(best) if owner.setdefault(column, row) != row]
    for row in waiting:
        _augment(row, whole, row_price, column_price, owner)
    return [(row, column) for column, row in owner.items() if column < columns]


def _augment(
    row: int,
    costs: NDArray[np.float64],
    row_price: NDArray[np.float64],
    column_price: NDArray[np.float64],
    owner: dict[int, int],
) -> None:
    """Find `row` a column, moving others where that is cheapest; changes prices and `owner`."""
    distance = np.full(costs.shape[1], np.inf)
    before = np.full(costs.shape[1], -1)
    open_ = np.zeros(costs.shape[1])  # infinite once a column is settled
    settled: list[int] = []
    here, reached = row, 0.0
    came = -1
    while True:
        through = reached + costs[here] - row_price[here] - column_price
        closer = through + open_ < distance
        distance[closer], before[closer] = through[closer], came
        came = int((distance + open_).argmin())
        reached = float(distance[came])
        if came not in owner:
            break
        settled.append(came)
        open_[came] = np.inf
        here = owner[came]
    row_price[row] += reached
    for column in settled:
        row_price[owner[column]] += reached - distance[column]
        column_price[column] -= reached - distance[column]
    while came >= 0:
        previous = int(before[came])
        owner[came] = row if previous < 0 else owner[previous]
        came = previous


def _greedy(costs: NDArray[np.float64], unpaired: float) -> list[tuple[int, int]]:
    """The cheapest pair, then the cheapest of what is left."""
    rows, columns = np.nonzero(costs < unpaired)
    order = np.argsort(costs[rows, columns], kind="stable")
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return list(pairs.items())
