"""What a camera's table says of its gate reaches it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saccade.errors import ConfigError
from saccade.pipeline import Camera
from saccade.pipeline.gate import Gate


def gate_of(camera: Camera) -> Gate:
    gate = camera.new_gate()
    assert gate is not None
    return gate


def camera(**options: Any) -> Camera:
    return Camera(name="a", open=lambda: None, branches=(), gate="motion", **options)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(("sensitivity", "moves"), [(0.5, False), (1.0, False), (2.0, True)])
def test_a_sensitive_gate_sees_less_motion(sensitivity: float, moves: bool) -> None:
    gate = gate_of(camera(sensitivity=sensitivity))
    still = np.full((60, 80), 100, np.uint8)
    faint = still.copy()
    faint[20:28, 30:38] += 3  # levels; the gate trusts no change below 7 x 0.6
    for number in range(10):
        gate.worth_a_look(still, number / 10)
    gate.worth_a_look(faint, 1.0)
    assert gate.moving == moves


def test_hold_and_always_every_are_those_that_were_said() -> None:
    gate = gate_of(camera(hold=3.0, always_every=5.0))
    still, moved = np.full((60, 80), 100, np.uint8), np.full((60, 80), 100, np.uint8)
    moved[20:40, 20:40] = 200
    gate.worth_a_look(still, 0.0)
    gate.worth_a_look(moved, 1.0)
    looks = [time for time in np.arange(1.5, 12.0, 0.5) if gate.worth_a_look(moved, float(time))]
    assert looks == [1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 9.0]
    with pytest.raises(ConfigError, match="camera a: sensitivity 0; give a number above 0"):
        camera(sensitivity=0)


@pytest.mark.parametrize("region", [(0.0, 0.5, 1.0, 0.5), (0.0, 240.0, 640.0, 240.0)])
def test_motion_counts_only_within_the_regions(region: tuple[float, float, float, float]) -> None:
    gate = gate_of(camera(regions=[region]))
    calm = np.full((60, 80), 100, np.uint8)
    above, below = calm.copy(), calm.copy()
    above[2:20, 10:30] = below[40:50, 10:30] = 200
    looks = [gate.worth_a_look(calm, 0.0), gate.worth_a_look(above, 1.0), gate.worth_a_look(calm, 2.0)]
    assert looks == [True, False, False], "the first picture, and no more"
    assert not gate.differs(above)
    assert gate.differs(below)
    assert gate.worth_a_look(below, 3.0)
