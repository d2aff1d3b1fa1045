from __future__ import annotations

import numpy as np
import pytest

from saccade.outputs.track import Tracker, iou


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_iou_against_the_plain_formula() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 100, (2, 20, 2))
    extents = rng.uniform(0, 60, (2, 20, 2))
    first, second = (
        np.concatenate([c, c + e], axis=1).astype(np.float32) for c, e in zip(corners, extents, strict=True)
    )
    got = iou(first, second)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
            h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
            assert got[i, j] == pytest.approx(w * h / union, abs=1e-5)


def test_iou_of_empty_boxes_is_zero() -> None:
    assert (iou(boxes((5, 5, 5, 5), (9, 9, 1, 1)), boxes((5, 5, 5, 5), (0, 0, 10, 10))) == 0).all()
    assert iou(boxes(), boxes((0, 0, 1, 1))).shape == (0, 1)


def test_two_faces_keep_their_numbers_while_they_move() -> None:
    tracker = Tracker()
    rng = np.random.default_rng(0)
    for n in range(90):
        pair = [(10 + 5 * n, 100, 110 + 5 * n, 200), (900 - 4 * n, 300, 1000 - 4 * n, 420)]
        order = rng.permutation(2)
        jitter = rng.normal(0, 2, (2, 4)).astype(np.float32)
        seen, ended = tracker.update(boxes(*pair)[order] + jitter, n / 30)
        assert [seen[list(order).index(i)].number for i in range(2)] == [1, 2]
        assert not ended


def test_a_fast_face_is_followed_by_its_velocity() -> None:
    tracker = Tracker()
    numbers = set()
    step = [0, 20, 45, 75, 110, 150, 195, 245, 300, 360]  # soon further each frame than its own width
    for n, x in enumerate(step):
        seen, _ = tracker.update(boxes((x * 2, 0, x * 2 + 100, 100)), n / 10)
        numbers.add(seen[0].number)
    assert numbers == {1}


def test_a_face_may_be_missed_for_a_while_but_not_longer() -> None:
    tracker = Tracker(patience=1.0)
    box = boxes((0, 0, 50, 50))
    assert tracker.update(box, 0.0)[0][0].number == 1
    assert tracker.update(boxes(), 0.5) == ([], [])
    assert tracker.update(box, 0.9)[0][0].number == 1
    tracker.update(boxes(), 1.5)
    seen, ended = tracker.update(box, 2.0)
    assert seen[0].number == 2
    assert [track.number for track in ended] == [1]


@pytest.mark.parametrize("jump", [-5.0, 60.0])
def test_a_jump_of_the_clock_ends_all_tracks(jump: float) -> None:
    tracker = Tracker()
    tracker.update(boxes((0, 0, 50, 50)), 100.0)
    seen, ended = tracker.update(boxes((0, 0, 50, 50)), 100.0 + jump)
    assert [track.number for track in ended] == [1]
    assert seen[0].number == 2


def test_does_not_keep_the_callers_array() -> None:
    tracker = Tracker()
    mine = boxes((0, 0, 50, 50))
    seen, _ = tracker.update(mine, 0.0)
    mine[:] = 7
    assert seen[0].box == (0, 0, 50, 50)


def test_huge_boxes_overflow_nothing() -> None:
    tracker = Tracker()
    for time in (0.0, 0.1):
        seen, _ = tracker.update(boxes((-3e38, -3e38, 3e38, 3e38), (0, 0, 1, 1)), time)
        assert [track.number for track in seen] == [1, 2]
