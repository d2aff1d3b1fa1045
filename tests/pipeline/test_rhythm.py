"""When a camera's next picture is expected, told from those before."""

from __future__ import annotations

import math

import pytest

from saccade.pipeline.rhythm import JITTER, LATENESS, LONGEST_GAP, PHASE_GAIN, Rhythm


def after(*times: float) -> Rhythm:
    rhythm = Rhythm()
    for time in times:
        rhythm.note(time)
    return rhythm


def steady(count: int = 50, interval: float = 0.1) -> Rhythm:
    return after(*(number * interval for number in range(count)))


@pytest.mark.parametrize("times", [(), (1.0,)])
def test_nothing_is_expected_before_two_pictures(times: tuple[float, ...]) -> None:
    assert after(*times).expected(None) == (math.inf, math.inf)


def test_steady_pictures_are_expected_an_interval_later_and_awaited_a_while() -> None:
    rhythm = steady()
    begin, end = rhythm.expected(None)
    assert begin == pytest.approx(5.0 - rhythm.jitter)
    assert end == pytest.approx(5.0 + LATENESS * 0.1)
    assert rhythm.jitter == pytest.approx(0.002)


def test_of_a_camera_with_due_times_the_picture_nearest_to_the_next_matters() -> None:
    begin, end = steady().expected(5.22)
    assert begin < 5.2 < end
    assert end < 5.3


def test_half_way_between_two_pictures_either_may_matter() -> None:
    begin, end = steady().expected(5.25)
    assert begin < 5.2
    assert end > 5.3


def test_one_late_picture_moves_what_is_expected_by_a_part_of_its_lateness() -> None:
    rhythm = steady()
    rhythm.note(5.0 + 0.02)
    assert 5.0 < rhythm.phase < 5.0 + 2 * PHASE_GAIN * 0.02


def test_the_first_gaps_are_averaged() -> None:
    assert after(0.0, 0.1).interval == pytest.approx(0.1)
    assert after(0.0, 0.1, 0.3).interval == pytest.approx(0.15)


def test_nearly_half_an_interval_late_is_late_and_no_new_phase() -> None:
    rhythm = steady()
    rhythm.note(5.045)
    assert rhythm.phase < 5.03


def test_a_picture_far_from_when_it_was_expected_begins_a_new_phase() -> None:
    rhythm = steady()
    rhythm.note(5.09)
    assert rhythm.phase == 5.09


def test_scatter_widens_what_is_expected_up_to_a_part_of_the_interval() -> None:
    rhythm = after(*(number * 0.1 + (0.03 if number % 2 else 0.0) for number in range(200)))
    assert rhythm.jitter == pytest.approx(JITTER * rhythm.interval)


def test_an_outage_counts_as_a_few_intervals() -> None:
    rhythm = steady()
    rhythm.note(1000.0)
    assert rhythm.interval <= 0.1 * LONGEST_GAP
