"""Results as programs use them: length, iteration, choosing, masks, events, and supervision's form."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from memory import peak, reset_peak
from saccade.results import Detections, Masks, Segmentation


def three() -> Detections:
    boxes = np.array([[0, 0, 10, 20], [5, 5, 25, 15], [40, 40, 60, 60]], np.float32)
    return Detections(
        boxes, np.array([0.9, 0.6, 0.3], np.float32), np.array([1, 0, 5], np.int32),
        np.arange(12, dtype=np.float32).reshape(3, 2, 2), ("cat", "dog"), np.ones((3, 2), np.float32),
        Masks(tuple(np.full((2, 2), i + 1, np.float32) for i in range(3)), boxes),
        boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(3, 4, 2), np.array([11, 12, 13]),
    )  # fmt: skip


def test_length_names_and_iteration() -> None:
    found = three()
    assert len(found) == 3
    assert [found.name(i) for i in range(3)] == ["dog", "cat", "5"]
    rows = [(box.tolist(), score, label) for box, score, label in found]
    assert rows[0] == ([0, 0, 10, 20], pytest.approx(0.9), 1)
    assert not list(Detections.empty())


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (np.array([True, False, True]), [11, 13]), ([True, False, True], [11, 13]), ([2, 0], [13, 11]), ([], []),
        (np.array([1]), [12]), (slice(1, None), [12, 13]), (0, [11]), (-1, [13]), (np.int64(1), [12]),
    ],
)  # fmt: skip
def test_all_that_belongs_to_an_object_is_chosen_with_it(index: Any, expected: list[int]) -> None:
    found = three()
    chosen = found[index]
    assert chosen.tracks is not None
    assert chosen.tracks.tolist() == expected
    places = [number - 11 for number in expected]
    assert chosen.boxes.tolist() == found.boxes[places].tolist()
    assert chosen.masks is not None
    assert [patch[0, 0] for patch in chosen.masks.patches] == [place + 1 for place in places]
    for name in ("scores", "labels", "keypoints", "keypoint_scores", "corners"):
        assert len(getattr(chosen, name)) == len(expected)
    assert chosen.names == found.names


@pytest.mark.parametrize("index", [3, [7], [True], np.array([True] * 4)])
def test_what_is_not_there_cannot_be_chosen(index: Any) -> None:
    with pytest.raises(IndexError):
        three()[index]


def test_conditions_choose() -> None:
    found = three()
    assert len(found[found.scores > 0.5]) == 2
    assert len(found[(found.labels == 0) & (found.scores > 0.9)]) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_shares_are_parts_of_the_map_largest_first(dtype: type) -> None:
    labels = np.array([[0, 0, 0, 7], [2, 2, 0, 0]], dtype)
    shares = Segmentation(labels, np.zeros(4, np.float32)).shares()
    assert list(shares.items()) == [(0, 0.625), (2, 0.25), (7, 0.125)]
    assert Segmentation(np.empty((0, 0), dtype), np.zeros(4, np.float32)).shares() == {}


def test_shares_take_memory_by_the_map_and_not_by_the_numbers_in_it() -> None:
    labels = np.array([[0, 1 << 26], [1 << 26, 3]], np.int32)
    before = reset_peak()
    assert Segmentation(labels, np.zeros(4, np.float32)).shares() == {1 << 26: 0.5, 0: 0.25, 3: 0.25}
    assert peak() - before < 64 << 20


class TestSupervision:
    """Against a stand-in that takes what the real class takes, and against the real one where it is installed."""

    @pytest.fixture
    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def made(
            *, xyxy: Any, mask: Any = None, confidence: Any = None, class_id: Any = None, tracker_id: Any = None,
            data: Any = None,
        ) -> SimpleNamespace:  # fmt: skip
            return SimpleNamespace(
                xyxy=xyxy, mask=mask, confidence=confidence, class_id=class_id, tracker_id=tracker_id, data=data
            )

        module = ModuleType("supervision")
        module.Detections = made  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "supervision", module)

    @pytest.mark.usefixtures("stand_in")
    def test_a_stand_in_gets_every_part(self) -> None:
        self.check()

    @pytest.mark.skipif(importlib.util.find_spec("supervision") is None, reason="by choice: supervision is optional")
    def test_the_real_package_takes_it(self) -> None:
        self.check()
        import supervision

        found = three()
        assert len(supervision.Detections.merge([found.to_supervision(), found.to_supervision()])) == 6
        assert len(Detections.empty().to_supervision()) == 0

    def check(self) -> None:
        found = three()
        made = found.to_supervision((64, 64))
        assert made.xyxy.tolist() == found.boxes.tolist()
        assert made.confidence.tolist() == found.scores.tolist()
        assert made.class_id.tolist() == [1, 0, 5]
        assert made.tracker_id.tolist() == [11, 12, 13]
        assert made.data["class_name"].tolist() == ["dog", "cat", "5"]
        assert made.mask.shape == (3, 64, 64)
        assert made.mask[0].sum() == 200
        assert found.to_supervision().mask is None

    def test_without_the_package_its_name_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "supervision", None)
        with pytest.raises(ImportError, match="supervision"):
            three().to_supervision()
