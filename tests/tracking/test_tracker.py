from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from types import ModuleType

import numpy as np
import pytest
from bench.tracking import SCENES, Follow, Scene, crowd, looks, overlap_tracker, saccade_tracker, score

from saccade import tracking
from saccade.results import Detections, LifeEvent
from saccade.tracking import Tracker, objects, steps
from saccade.tracking.assignment import MOST_CONTESTED, assign

NAMES = ("person", "car", "truck")


def found(*boxes: Sequence[float], labels: Sequence[int] = (), scores: Sequence[float] = ()) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores or [0.9] * n, np.float32),
        np.array(labels or [0] * n, np.int32), names=NAMES,
    )  # fmt: skip


def tracks(tracker: Tracker, time: float, *boxes: Sequence[float], **options: Sequence[float]) -> list[int]:
    numbers = tracker.update(found(*boxes, **options), time).tracks
    assert numbers is not None
    return numbers.tolist()


def box(x: float, y: float, width: float = 60, height: float = 150) -> tuple[float, float, float, float]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene.hard], ids=lambda scene: scene.name)
def test_identities_are_right_on_scenes_of_known_truth(scene: Scene) -> None:
    frames = list(looks(scene, seed=100))
    mine, usual = score(frames, saccade_tracker()), score(frames, overlap_tracker())
    assert mine.idf1 >= scene.least - 0.05
    assert mine.idf1 >= usual.idf1 - 0.05
    assert mine.switches <= usual.switches + 2


@pytest.mark.parametrize("rate", [5.0, 12.5, 30.0, 60.0])
def test_two_that_cross_and_are_one_box_for_a_second_keep_their_numbers(rate: float) -> None:
    tracker, kept = Tracker(), set()
    for step in range(int(6 * rate)):
        time = step / rate
        pair = [box(100 + 120 * time, 300), box(820 - 120 * time, 310)]
        if 2.5 <= time < 3.5:
            pair = pair[:1] if time < 3 else []
        numbers = tracks(tracker, time, *(pair if step % 2 else pair[::-1]))
        if len(pair) == 2:
            kept.add(tuple(numbers if step % 2 else numbers[::-1]))
    assert kept in ({(1, 2)}, {(2, 1)})


def test_out_of_sight_for_longer_than_the_patience_is_another_object() -> None:
    tracker = Tracker(patience=1.0)
    for step in range(10):
        assert tracks(tracker, step / 10, box(100, 100)) == [1]
    assert tracks(tracker, 1.7) == []
    assert tracks(tracker, 1.8, box(100, 100)) == [1]
    assert tracks(tracker, 2.5) == []
    assert tracks(tracker, 2.9) == []
    assert tracks(tracker, 3.0, box(100, 100)) == [2]


def test_at_a_picture_every_few_seconds_only_what_stands_still_is_known_again() -> None:
    tracker = Tracker()
    seen = [tracks(tracker, step * 5.0, box(300, 300), box(900 + 90 * (step % 2), 300)) for step in range(5)]
    assert [each[0] for each in seen] == [1] * 5
    assert len({each[1] for each in seen}) == 5


def test_classes_are_kept_apart_unless_the_detector_wavers() -> None:
    tracker = Tracker()
    for step in range(20):
        time = step / 10
        # A person gets into a car: nearly one place, two objects.
        assert tracks(tracker, time, box(500, 500), box(510, 500), labels=[0, 1]) == [1, 2]
    for step in range(20, 40):
        labels = [0, 2 if step % 3 == 0 else 1]
        assert tracks(tracker, step / 10, box(500, 500), box(510, 500), labels=labels) == [1, 2]
    tracker.close()
    assert {event.track: event.name for event in tracker.events()} == {1: "person", 2: "car"}
    assert tracks(tracker, 5.0, box(500, 500), labels=[0]) == [3]
    assert tracks(tracker, 5.1, box(540, 500), labels=[1]) == [4]


@pytest.mark.parametrize("jump", [-0.5, 3600.0])
def test_a_clock_that_jumps_and_another_frame_size_end_all_tracks(jump: float) -> None:
    tracker = Tracker()
    for step in range(5):
        tracker.update(found(box(100, 100)), step / 10, size=(640, 480))
    assert tracks(tracker, 0.4 + jump, box(100, 100)) == [2]
    assert [event.kind for event in tracker.events()] == ["end"]
    again = 1e6
    for step in range(5):
        tracker.update(found(box(100, 100)), again + step / 10, size=(640, 480))
    tracker.update(found(box(100, 100)), again + 0.5, size=(1280, 720))
    (end,) = tracker.events()
    assert (end.kind, end.start, end.end) == ("end", again, again + 0.4)


def lives(tracker: Tracker, looks: Sequence[tuple[float, Detections | None]]) -> list[LifeEvent]:
    events = []
    for time, seen in looks:
        if seen is None:
            tracker.coast(time)
        else:
            tracker.update(seen, time)
        events += tracker.events()
    tracker.close()
    return [*events, *tracker.events()]


def test_the_life_of_an_object_begins_when_it_is_sure_and_ends_with_its_best() -> None:
    walk = [
        (step / 10, found(box(100 + 15 * step, 200), scores=[0.95 if step == 12 else 0.6]))
        for step in range(25)
    ]  # fmt: skip
    events = lives(Tracker(), [*walk, *((2.5 + step / 10, found()) for step in range(30))])
    assert [event.kind for event in events] == ["new", "update", "update", "end"]
    new, update, _, end = events
    assert {(event.track, event.name, event.start) for event in events} == {(1, "person", 0.0)}
    assert (new.time, update.time, new.end) == (0.2, pytest.approx(1.2), None)
    assert (end.end, end.best.time, end.best.score) == (2.4, 1.2, pytest.approx(0.95))
    assert end.best.box == pytest.approx(box(280, 200))
    assert end.last.box == pytest.approx(box(460, 200))
    assert end.time > 4.4 - 1e-9
    assert end.to_event()["best"] == {"time": 1.2, "prob": 0.95, "xmin": 250, "ymin": 125, "xmax": 310, "ymax": 275}


def test_what_stands_still_is_told_of_once_and_stays_known_while_nobody_looks() -> None:
    standing = found(box(300, 300))
    quiet: list[tuple[float, Detections | None]] = [(step / 10, standing) for step in range(5)]
    quiet += [(0.5 + step, None) for step in range(100)]
    tracker = Tracker()
    events = lives(tracker, [*quiet, (101.0, standing)])
    assert [event.kind for event in events if not event.stationary] == ["new", *["update"] * 4]
    assert [event.kind for event in events if event.stationary] == ["update", "end"]
    assert events[-1].end == 101.0
    moving = [(step / 10, found(box(300 + max(0, step - 70) * 9, 300))) for step in range(100)]
    flags = [stationary for stationary, _ in itertools.groupby(event.stationary for event in lives(Tracker(), moving))]
    assert flags == [False, True, False]


def test_boxes_that_flicker_up_anywhere_are_hardly_ever_told_of() -> None:
    rng = np.random.default_rng(3)
    looks = [(step / 10, found(box(*rng.uniform(200, 2000, 2), *rng.uniform(40, 200, 2)))) for step in range(100)]
    assert sum(event.kind == "new" for event in lives(Tracker(), looks)) <= 2


def test_boxes_that_are_none_and_more_than_can_be_followed() -> None:
    tracker = Tracker()
    nan, inf = float("nan"), float("inf")
    odd = [(nan, 0, 1, 1), (0, 0, inf, 1), (5, 5, 5, 5), (9, 9, 2, 2), (-3e38, -3e38, 3e38, 3e38), box(50, 50)]
    for time in (0.0, 0.1):
        assert tracks(tracker, time, *odd) == [-1, -1, 1, 2, 3, 4]
    event = tracker.update(found(*odd), 0.2).to_event()
    assert ["track" in each for each in event] == [False, False, True, True, True, True]
    rng = np.random.default_rng(0)
    for step in range(40):
        many = rng.uniform(0, 1000, (1000, 2))
        numbers = tracks(tracker, 1 + step / 30, *np.concatenate([many, many + 20], 1).tolist())
        assert len({n for n in numbers if n > 0}) == 256
        assert numbers[256:] == [-1] * 744
        assert len(tracker) <= 512
    # As many times one and the same box: nobody can tell which is which, but each has a number.
    for step in range(3):
        assert len(set(tracks(tracker, 3 + step / 30, *[box(500, 500)] * 200))) == 200


def test_the_callers_arrays_are_neither_kept_nor_changed() -> None:
    tracker = Tracker()
    mine = found(box(100, 100), box(400, 100))
    before = mine.boxes.copy()
    tracker.update(mine, 0.0)
    assert (mine.boxes == before).all()
    assert mine.tracks is None
    mine.boxes[:] = 7
    assert tracks(tracker, 0.1, box(400, 100), box(100, 100)) == [2, 1]
    strided = Detections(np.repeat(before, 2, 0)[::2], np.ones(4, np.float32)[::2], np.zeros(4, np.int32)[::2])
    assert tracker.update(strided, 0.2).tracks.tolist() == [1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [(1, 1), (2, 4), (4, 2), (4, 4)])
def test_pairs_have_the_least_total_cost(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(size)
    rows, columns = size
    for _ in range(40):
        costs = rng.integers(0, 12, size).astype(float)
        costs[rng.random(size) < 0.3] = np.inf
        chosen, given = assign(costs, 8.0)
        assert len(set(chosen.tolist())) == len(set(given.tolist())) == len(chosen)
        total = costs[chosen, given].sum() + 8.0 * (rows - len(chosen))
        padded = np.concatenate([np.where(costs < 8, costs, np.inf), np.full((rows, rows), 8.0)], 1)
        least = min(
            sum(padded[row, column] for row, column in enumerate(order))
            for order in itertools.permutations(range(columns + rows), rows)
        )
        assert total == least


def test_very_many_rows_that_want_one_column_are_paired_all_the_same() -> None:
    n = 2 * MOST_CONTESTED + 10
    costs = np.arange(n, dtype=float)[None, :] + np.arange(n)[:, None] % 3
    rows, columns = assign(costs, 1e9)
    assert sorted(rows.tolist()) == sorted(columns.tolist()) == list(range(n))


def test_a_frame_costs_less_than_pairing_by_overlap() -> None:
    if not compiled():
        pytest.skip("installed without a compiler: plain Python is slower")
    shown = crowd(100)

    def seconds(follow: Follow) -> float:
        start = process_time()
        for boxes, now in shown:
            follow(boxes, now)
        return process_time() - start

    mine, usual = (min(seconds(make()) for _ in range(5)) for make in (saccade_tracker, overlap_tracker))
    assert mine < 1.2 * usual


def compiled() -> bool:
    return not str(steps.__file__).endswith(".py")


def test_the_compiled_steps_do_what_the_plain_ones_do() -> None:
    if not compiled():
        pytest.skip("installed without a compiler: there are only the plain ones")
    spec = importlib.util.spec_from_file_location("plain_steps", Path(tracking.__file__).with_name("steps.py"))
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)

    def numbers(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        monkeypatch.setattr(objects, "steps", module)
        tracker, seen = Tracker(), []
        for look in looks(Scene("", 0.0, rate=10.0, seconds=4.0, missed=0.3, false=2.0, confused=0.2), 5):
            seen.append(tracker.update(look.boxes, look.time).to_event())
            seen.append([event.to_event() for event in tracker.events()])
        return seen

    with pytest.MonkeyPatch.context() as monkeypatch:
        assert numbers(plain, monkeypatch) == numbers(steps, monkeypatch)
