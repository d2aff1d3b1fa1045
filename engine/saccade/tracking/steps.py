"""The arithmetic of a look, object by object: a Kalman filter, the cost of pairs, who is to be told.

An object's centre moves with a velocity that changes at random (white noise acceleration); its width and height change
at random, as ratios. Uncertainties are in units of the object's own size, so that near and far ones behave alike, and
in seconds, so that any frame rate does. Y. Bar-Shalom, X. R. Li, T. Kirubarajan, Estimation with Applications to
Tracking and Navigation, 6.2.2 (the model) and 5.2.3 (the filter).

This module is compiled where there is a compiler (steps.pxd has the types), and is plain Python where there is none.
Tables are those of `saccade.tracking.table`.
"""

from __future__ import annotations

from math import exp, log

import numpy as np
from numpy.typing import NDArray

from saccade.tracking import table

Floats = NDArray[np.float64]

PLACE_NOISE = 0.06**2
"""Variance of a detector's centres, sizes^2."""
SHAPE_NOISE = 0.10**2
"""Variance of the logarithms of a detector's widths and heights."""
ACCELERATION = 4.0
"""Density of the acceleration's noise, sizes^2 / s^3."""
FIRST_SPEED = 2.0**2
"""Variance of the velocity of an object that was seen once, (sizes / s)^2."""
GROWTH = 0.3**2
"""Growth of the variance of the logarithms of width and height, 1 / s."""
LEAST_SIDE = 1.0
"""A narrower box counts as so wide, px."""

GATE = 12.0
"""Squared distance, in standard deviations, beyond which a box is another object (chi squared, two degrees: 0.2 %)."""
GRASP = 0.5**2
"""Within so much, sizes^2, a box may be of the object however sure its place is: detectors err wildly at times."""
TAIL = 3.0
"""Degrees of freedom of the place's error, as Student's distribution has them: few are a heavy tail."""
REACH = 2.0**2
"""Farthest that a box may be from where its object is expected, sizes^2: uncertainty grows, belief does not."""
NEAR = 0.25**2
"""Farthest that a box of another class, or one that comes after a gap, may be from there, sizes^2."""
UNPAIRED = 12.0
"""Cost of an object that is not seen. The cost of a pair is -2 ln of its likelihood, but for constants."""
OTHER_CLASS = 6.0
"""Added cost of a box of another class."""
NOT_SURE = 2.0
"""Added cost of an object that may be a false box."""

SURE_LOOKS = 3
"""How often an object must be seen before others are told: a detector's false boxes flicker."""
SURE_SECONDS = 0.1
"""Over how long it must be seen before that, s."""
STILL_SECONDS = 5.0
"""After how long at one place an object is stationary, s."""
STILL_PART = 0.2
"""How far it may stray meanwhile, as a part of its size."""

X, Y, LOG_WIDTH, LOG_HEIGHT, SPEED_X, SPEED_Y = (
    table.X, table.Y, table.LOG_WIDTH, table.LOG_HEIGHT, table.SPEED_X, table.SPEED_Y
)  # fmt: skip
PLACE, PLACE_SPEED, SPEED, SHAPE, ABSENT = table.PLACE, table.PLACE_SPEED, table.SPEED, table.SHAPE, table.ABSENT
LAST, LAST_TIME, BEST, BEST_SCORE = table.LAST, table.LAST_TIME, table.BEST, table.BEST_SCORE
START, LOOKS, STAND_X, STAND_Y, SINCE = table.START, table.LOOKS, table.STAND_X, table.STAND_Y, table.SINCE
TOLD, TOLD_SCORE, SURE, STILL = table.TOLD, table.TOLD_SCORE, table.SURE, table.STILL
SIGHTING, SCORE, TIME = table.SIGHTING, 4, 5


def shapes(sightings: Floats, out: Floats) -> None:
    """Centres, px, and logarithms of width and height, to float64 (m, 4), of sightings float64 (m, 6)."""
    for j in range(sightings.shape[0]):
        out[j, 0] = (sightings[j, 0] + sightings[j, 2]) / 2
        out[j, 1] = (sightings[j, 1] + sightings[j, 3]) / 2
        out[j, 2] = log(max(sightings[j, 2] - sightings[j, 0], LEAST_SIDE))
        out[j, 3] = log(max(sightings[j, 3] - sightings[j, 1], LEAST_SIDE))


def begin(seen: Floats, sightings: Floats) -> Floats:
    """Rows of objects that are seen for the first time. seen, sightings : as in `correct`, all of them."""
    rows = np.zeros((len(seen), table.COLUMNS))
    rows[:, X : LOG_HEIGHT + 1] = seen
    rows[:, PLACE], rows[:, SPEED], rows[:, SHAPE] = PLACE_NOISE, FIRST_SPEED, SHAPE_NOISE
    rows[:, LAST : LAST + SIGHTING] = rows[:, BEST : BEST + SIGHTING] = sightings
    rows[:, START] = rows[:, SINCE] = sightings[:, TIME]
    rows[:, LOOKS], rows[:, TOLD] = 1, np.nan
    rows[:, STAND_X : STAND_Y + 1] = seen[:, :2]
    return rows


def predict(objects: Floats, seconds: float, patience: float) -> None:
    """Let time pass. An object that was not seen for longer than `patience` is expected where it was last."""
    for i in range(objects.shape[0]):
        absent = objects[i, ABSENT] + seconds
        objects[i, ABSENT] = absent
        if absent <= patience:
            objects[i, X] += objects[i, SPEED_X] * seconds
            objects[i, Y] += objects[i, SPEED_Y] * seconds
        both, speed = objects[i, PLACE_SPEED], objects[i, SPEED]
        objects[i, PLACE] += seconds * (2 * both + seconds * (speed + ACCELERATION / 3 * seconds))
        objects[i, PLACE_SPEED] = both + seconds * (speed + ACCELERATION / 2 * seconds)
        objects[i, SPEED] = speed + ACCELERATION * seconds
        objects[i, SHAPE] += GROWTH * seconds


def pair_costs(
    objects: Floats, classes: NDArray[np.int32], seen: Floats, labels: NDArray[np.int32], patience: float, out: Floats
) -> None:
    """Cost of each object with each box; infinite where they cannot be one.

    classes, labels : int32 (n,) of the objects and (m,) of the boxes. seen : float64 (m, 4) centres, px, and logarithms
    of width and height. out : float64 (n, m), is written.
    """
    for i in range(objects.shape[0]):
        area = exp(objects[i, LOG_WIDTH] + objects[i, LOG_HEIGHT])
        place, shape = min(objects[i, PLACE] + PLACE_NOISE, REACH), objects[i, SHAPE] + SHAPE_NOISE
        base = 2 * log(place) + NOT_SURE * (1 - objects[i, SURE])
        near = NEAR * area
        reach = near if objects[i, ABSENT] > patience else max(min(GATE * place, REACH), GRASP) * area
        x, y, width, height = objects[i, X], objects[i, Y], objects[i, LOG_WIDTH], objects[i, LOG_HEIGHT]
        for j in range(seen.shape[0]):
            dx, dy = seen[j, 0] - x, seen[j, 1] - y
            away = dx * dx + dy * dy
            same = classes[i] == labels[j]
            if not away <= (reach if same else min(near, reach)):
                out[i, j] = np.inf
                continue
            dw, dh = seen[j, 2] - width, seen[j, 3] - height
            off = away / (area * place) + (dw * dw + dh * dh) / shape
            cost = base + (TAIL + 2) * log(1 + off / TAIL)
            out[i, j] = cost if same else cost + OTHER_CLASS


def correct(objects: Floats, rows: NDArray[np.intp], seen: Floats, sightings: Floats, chosen: NDArray[np.intp]) -> None:
    """Objects `rows` were seen as `chosen` says: shapes as in `pair_costs`; sightings float64 (m, 6), see `table`."""
    for k in range(rows.shape[0]):
        i, j = rows[k], chosen[k]
        place, both, shape = objects[i, PLACE], objects[i, PLACE_SPEED], objects[i, SHAPE]
        gain, turn, growth = place / (place + PLACE_NOISE), both / (place + PLACE_NOISE), shape / (shape + SHAPE_NOISE)
        dx, dy = seen[j, 0] - objects[i, X], seen[j, 1] - objects[i, Y]
        objects[i, X] += gain * dx
        objects[i, Y] += gain * dy
        objects[i, SPEED_X] += turn * dx
        objects[i, SPEED_Y] += turn * dy
        objects[i, LOG_WIDTH] += growth * (seen[j, 2] - objects[i, LOG_WIDTH])
        objects[i, LOG_HEIGHT] += growth * (seen[j, 3] - objects[i, LOG_HEIGHT])
        objects[i, SPEED] -= turn * both
        objects[i, PLACE] = place * (1 - gain)
        objects[i, PLACE_SPEED] = both * (1 - gain)
        objects[i, SHAPE] = shape * (1 - growth)
        objects[i, ABSENT] = 0
        objects[i, LOOKS] += 1
        better = sightings[j, SCORE] > objects[i, BEST_SCORE]
        for c in range(SIGHTING):
            objects[i, LAST + c] = sightings[j, c]
            if better:
                objects[i, BEST + c] = sightings[j, c]
        if objects[i, LOOKS] >= SURE_LOOKS and sightings[j, TIME] - objects[i, START] >= SURE_SECONDS:
            objects[i, SURE] = 1


def due(objects: Floats, time: float, every: float, out: NDArray[np.int32]) -> int:
    """Of which objects others are to be told at `time`, as they are seen and sure, and there is news.

    every : least time between two updates of one that moves, s. out : int32 (n,), their rows are written to its
    beginning. Returns how many.
    """
    count = 0
    for i in range(objects.shape[0]):
        if objects[i, ABSENT] > 0:
            continue
        most = STILL_PART * STILL_PART * exp(objects[i, LOG_WIDTH] + objects[i, LOG_HEIGHT])
        dx, dy = objects[i, X] - objects[i, STAND_X], objects[i, Y] - objects[i, STAND_Y]
        if dx * dx + dy * dy > most:
            objects[i, STAND_X], objects[i, STAND_Y], objects[i, SINCE] = objects[i, X], objects[i, Y], time
        if objects[i, SURE] == 0:
            continue
        still = 1.0 if time - objects[i, SINCE] >= STILL_SECONDS else 0.0
        worth = still == 0 or objects[i, BEST_SCORE] > objects[i, TOLD_SCORE]
        # Nobody was told yet of one that has no time of that: no comparison with NaN is true.
        if still != objects[i, STILL] or (worth and not time - objects[i, TOLD] < every):
            objects[i, STILL] = still
            out[count] = i
            count += 1
    return count
