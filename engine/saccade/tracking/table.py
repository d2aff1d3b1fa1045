"""What is kept of each object: the columns of one table, float64 (n, COLUMNS), a row each."""

from __future__ import annotations

# What a Kalman filter believes: centre, px; logarithms of width and height, velocity, px/s; variances of place, of
# place with velocity, of velocity, in sizes and s, and of the logarithms; seconds since it was seen.
X, Y, LOG_WIDTH, LOG_HEIGHT, SPEED_X, SPEED_Y = range(6)
PLACE, PLACE_SPEED, SPEED, SHAPE, ABSENT = range(6, 11)
# How it was last seen: corners, px, score, time; the same of when its score was highest; when it was first seen, and in
# how many frames.
LAST, LAST_SCORE, LAST_TIME = 11, 15, 16
BEST, BEST_SCORE, BEST_TIME = 17, 21, 22
START, LOOKS = 23, 24
# Where it stands, or was when it last moved, px, and since when; when others were told of it (NaN: never), and its best
# score then; 1 where others may know of it; 1 where it stands still.
STAND_X, STAND_Y, SINCE, TOLD, TOLD_SCORE, SURE, STILL = range(25, 32)
COLUMNS = 32

SIGHTING = 6
"""Columns of a sighting: corners, px, score, time."""
