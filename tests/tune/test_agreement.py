"""How results are compared with those in f32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saccade.results import Angles, Classification, Detections, Embedding, Landmarks, Result, Segmentation
from saccade.tune.agreement import agreement_of, box_ious


def result(**what: Any) -> Result:
    return Result(frame=0, time=0.0, app="", width=100, height=100, **what)


def objects(*boxes: tuple[float, ...], scores: float = 0.9, labels: int = 0, keypoints: Any = None) -> Result:
    count = len(boxes)
    return result(
        detections=Detections(
            np.array(boxes, np.float32).reshape(count, 4), np.full(count, scores, np.float32),
            np.full(count, labels, np.int32), keypoints=keypoints,
        )
    )  # fmt: skip


LEFT, RIGHT = (0, 0, 40, 40), (50, 50, 90, 90)


def test_f1_counts_what_is_missing_and_what_is_more() -> None:
    shifted = (4, 0, 44, 40)
    found = agreement_of([objects(LEFT, RIGHT), objects(LEFT)], [objects(shifted), objects(LEFT, RIGHT)])
    assert found.value == pytest.approx(2 * 2 / (3 + 3))
    assert found.judged == 3
    assert not found.holds(0.99)


def test_two_boxes_are_not_matched_with_the_same_one() -> None:
    assert agreement_of([objects(LEFT)], [objects(LEFT, (1, 0, 41, 40))]).value == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "other",
    [
        objects(LEFT, labels=1),
        objects((25, 0, 65, 40)),
        objects(LEFT, keypoints=np.array([[[30.0, 10.0]]], np.float32)),
    ],
    ids=["class", "place", "key points"],
)
def test_an_object_of_another_class_place_or_pose_is_another(other: Result) -> None:
    same = objects(LEFT, keypoints=np.array([[[10.0, 10.0]]], np.float32))
    assert agreement_of([same], [same]).value == 1
    assert agreement_of([same], [other]).value == 0


def test_scores_that_wander_are_no_agreement() -> None:
    found = agreement_of([objects(LEFT, scores=0.9)], [objects(LEFT, scores=0.7)])
    assert (found.value, found.score_difference) == (1.0, pytest.approx(0.2))
    assert not found.holds(0.99)


def test_nothing_to_compare_is_no_agreement() -> None:
    assert not agreement_of([objects()], [objects()]).holds(0.5)
    unsure = result(classes=Classification(np.zeros(0, np.int32), np.zeros(0, np.float32)))
    assert not agreement_of([unsure], [unsure]).holds(0.5)


def test_no_numbers_are_no_agreement() -> None:
    posed = [objects(LEFT, keypoints=np.array([[[x, 10.0]]], np.float32)) for x in (10.0, np.nan)]
    assert agreement_of(posed[:1], posed[1:]).value == 0
    turned = [result(angles=Angles(0.0, pitch)) for pitch in (0.0, np.nan)]
    assert agreement_of(turned[:1], turned[1:]).value == 0


def test_each_kind_of_result_has_its_measure() -> None:
    def classes(*labels: int) -> Result:
        return result(classes=Classification(np.array(labels, np.int32), np.array([0.7, 0.3], np.float32)))

    grid = np.zeros((4, 4), np.uint8)
    place = np.array([0, 0, 100, 100], np.float32)
    points = np.array([[0, 0, 0], [60, 80, 0], [60, 0, 5]], np.float32)
    pairs = {
        0.5: ([classes(1, 2), classes(3, 1)], [classes(1, 2), classes(1, 3)]),
        15 / 16: (
            [result(segmentation=Segmentation(grid, place))],
            [result(segmentation=Segmentation(np.where(np.arange(16).reshape(4, 4) == 3, 1, grid), place))],
        ),
        1 - (2 + 9 + 4) / 3 / 90: (
            [result(angles=Angles(179.0, 0.0, None))] * 3,
            [result(angles=Angles(*each)) for each in ((-179.0, 1.0, None), (170.0, 0.0, None), (179.0, 4.0, None))],
        ),
        0.9: (
            [result(landmarks=Landmarks(points, 0.9))],
            [result(landmarks=Landmarks(points + np.array([6, 8, 0], np.float32), 0.9))],
        ),
        0.6: (
            [result(embedding=Embedding(np.array([1, 0], np.float32)))],
            [result(embedding=Embedding(np.array([0.6, 0.8], np.float32)))],
        ),
    }
    for expected, (reference, found) in pairs.items():
        assert agreement_of(reference, found).value == pytest.approx(expected)
        assert agreement_of(reference, reference).holds(1.0)


def test_overlap_is_intersection_over_union() -> None:
    a = np.array([LEFT, RIGHT], np.float32)
    np.testing.assert_allclose(box_ious(a, a), np.eye(2))
    assert box_ious(a[:1], np.array([[20, 0, 60, 40]], np.float32))[0, 0] == pytest.approx(1 / 3)
