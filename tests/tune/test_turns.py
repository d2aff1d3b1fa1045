"""Speeds compared in turns, on a machine that is busy with other things: here it is made up."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from saccade.tune.turns import LEAST_PAIRS, MOST_PAIRS, Ratio, ratio_of, take_turns


class Machine:
    """Slices cost what they cost, times what the machine's load makes of it: slow drifts, and bursts."""

    def __init__(self, seed: int) -> None:
        self._random, self._load = np.random.default_rng(seed), 0.0

    def slice(self, cost: float) -> Callable[[], float]:
        def run() -> float:
            self._load = 0.9 * self._load + self._random.normal(0, 0.3)
            burst = 3.0 if self._random.random() < 0.1 else 1.0
            return cost * math.exp(self._load) * burst * math.exp(self._random.normal(0, 0.05))

        return run


def compare(seed: int, cost_a: float, cost_b: float) -> Ratio:
    machine = Machine(seed)
    return take_turns(machine.slice(cost_a), machine.slice(cost_b), until=math.inf, clock=lambda: 0.0)


def test_a_gain_below_the_noise_is_not_taken() -> None:
    """Two that are alike: 95 % intervals that must lie wholly above the least gain do so in 2.5 % at most."""
    false = sum(compare(seed, 1.0, 1.0).is_gain for seed in range(400))
    assert false <= 0.025 * 400


def test_a_real_gain_is_found_on_a_busy_machine() -> None:
    found = [compare(seed, 2.0, 1.0) for seed in range(50)]
    assert all(each.is_gain for each in found)
    assert np.median([each.value for each in found]) == np.clip(np.median([each.value for each in found]), 1.8, 2.2)


def test_the_interval_is_that_of_the_sign_test() -> None:
    """Conover, table A3: of 10 values the 2nd and the 9th enclose the median with 97.9 %; of 6, the ends."""
    logs = [math.log(value) for value in range(1, 11)]
    assert [round(bound) for bound in (ratio_of(logs).low, ratio_of(logs).high)] == [2, 9]
    assert [round(bound) for bound in (ratio_of(logs[:6]).low, ratio_of(logs[:6]).high)] == [1, 6]


def test_time_that_is_over_ends_it_with_the_least_pairs() -> None:
    machine = Machine(0)
    over = take_turns(machine.slice(1.0), machine.slice(1.0), until=0.0, clock=lambda: 1.0)
    assert over.pairs == LEAST_PAIRS
    assert compare(0, 1.0, 1.0).pairs == MOST_PAIRS
