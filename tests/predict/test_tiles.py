"""Frames in overlapping tiles: where they lie, and how what is found in them becomes one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.errors import ConfigError
from saccade.geometry import WHOLE_FRAME, Region
from saccade.networks import Model
from saccade.networks.spec import InputSpec
from saccade.predict import open_predictor
from saccade.predict.parser import Settings
from saccade.predict.tiles import framing_for, join
from saccade.results import Detections
from small_networks import classifier

SQUARE = InputSpec(192, 192)
WIDTH, HEIGHT = 1600, 900
TWO = framing_for("auto", SQUARE).regions(WIDTH, HEIGHT)
"""Two square tiles: 0 to 900 and 700 to 1600."""


def objects(*rows: tuple[float, ...]) -> Detections:
    """x1, y1, x2, y2, score, label each."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def joined(*parts: Detections, **but: object) -> list[tuple[float, ...]]:
    found = join(parts, TWO, WIDTH, HEIGHT, Settings(**but))
    return [(*map(float, box), round(score, 3), label) for box, score, label in found]


@pytest.mark.parametrize(
    ("width", "height", "count"),
    [(1920, 1080, 2), (1080, 1920, 2), (640, 480, 1), (1000, 720, 1), (500, 500, 1), (2000, 1000, 3), (4000, 1000, 5)],
)
def test_auto_cuts_what_is_much_wider_or_higher_than_the_network(width: int, height: int, count: int) -> None:
    regions = framing_for("auto", SQUARE).regions(width, height)
    assert len(regions) == count
    if count > 1:
        for x, y, w, h in regions:
            assert w * width == pytest.approx(h * height), "tiles have the network's shape"
            assert min(x, y) >= 0
            assert max(x + w, y + h) <= 1 + 1e-9


@given(st.integers(16, 5000), st.integers(16, 5000), st.sampled_from(["auto", "1x2", "3x2", "5x1", "8x8"]))
@settings(max_examples=200, deadline=None)
def test_every_pixel_lies_in_a_tile(width: int, height: int, tiles: str) -> None:
    if max(width, height) > 30 * min(width, height):
        return
    regions = framing_for(tiles, SQUARE).regions(width, height)
    for axis in (0, 1):
        reached = 0.0
        for start, size in sorted({(region[axis], region[axis + 2]) for region in regions}):
            assert start <= reached + 1e-9
            reached = max(reached, start + size)
        assert reached == pytest.approx(1)


def test_a_grid_overlaps_and_sees_the_whole_frame_too() -> None:
    regions = framing_for("3x2", SQUARE).regions(WIDTH, HEIGHT)
    assert len(regions) == 7
    assert regions[-1] == WHOLE_FRAME
    assert regions[0][0] + regions[0][2] - regions[1][0] == pytest.approx(0.2 * regions[0][2])


@pytest.mark.parametrize("tiles", ["", "3", "0x2", "3x", "65x1", "9x9", "axb", "-1x2", "auto2"])
def test_tiles_that_cannot_be(tiles: str) -> None:
    with pytest.raises(ConfigError, match="expected auto, off, or columns and rows as 3x2"):
        framing_for(tiles, SQUARE)


def test_tiles_are_for_objects() -> None:
    with pytest.raises(ConfigError, match="small is to classify; tiles are for finding objects"):
        open_predictor(Model(classifier()), tiles="2x2")
    assert open_predictor(Model(classifier()), tiles="off").task == "classify"


def test_what_both_tiles_see_counts_once() -> None:
    here, there = objects((750, 100, 850, 200, 0.8, 0)), objects((752, 101, 851, 203, 0.9, 0))
    assert joined(here, there) == [(752, 101, 851, 203, 0.9, 0)]


def test_neighbours_of_another_class_or_of_the_same_tile_stay() -> None:
    assert len(joined(objects((750, 100, 850, 200, 0.8, 0)), objects((750, 100, 850, 200, 0.9, 1)))) == 2
    assert len(joined(objects((750, 100, 850, 200, 0.8, 0)), objects((750, 100, 850, 200, 0.9, 1)), agnostic=True)) == 1
    crowd = objects((750, 100, 850, 200, 0.8, 0), (755, 100, 855, 200, 0.7, 0))
    assert len(joined(crowd, objects())) == 2, "one tile's own overlaps are the parser's business"


def test_the_cut_part_gives_way_to_the_whole_however_sure_it_is() -> None:
    whole, part = objects((760, 100, 1000, 400, 0.6, 0)), objects((760, 100, 899, 400, 0.95, 0))
    assert joined(part, whole) == [(760, 100, 1000, 400, 0.6, 0)]


def test_a_small_object_before_a_large_cut_one_stays() -> None:
    large, small = objects((300, 50, 899, 850, 0.9, 0)), objects((760, 300, 820, 380, 0.8, 0))
    assert len(joined(large, small)) == 2


def test_two_halves_become_one() -> None:
    left, right = objects((300, 200, 899, 700, 0.7, 0)), objects((701, 210, 1300, 690, 0.9, 0))
    assert joined(left, right) == [(300, 200, 1300, 700, 0.9, 0)]


def test_halves_of_different_breadth_are_two_objects() -> None:
    left, right = objects((300, 200, 899, 700, 0.7, 0)), objects((701, 600, 1300, 890, 0.9, 0))
    assert len(joined(left, right)) == 2


def test_at_the_frame_s_own_edge_nothing_is_cut() -> None:
    left = objects((0, 200, 300, 899, 0.7, 0))
    assert joined(left, objects((1300, 200, 1600, 899, 0.6, 0))) == [
        (0, 200, 300, 899, 0.7, 0), (1300, 200, 1600, 899, 0.6, 0),
    ]  # fmt: skip


def test_the_best_come_first_and_no_more_than_wanted() -> None:
    left = objects((0, 0, 50, 50, 0.5, 0), (100, 0, 150, 50, 0.9, 0))
    right = objects((1000, 0, 1050, 50, 0.7, 0))
    assert [row[4] for row in joined(left, right)] == [0.9, 0.7, 0.5]
    assert [row[4] for row in joined(left, right, top=2)] == [0.9, 0.7]
    assert joined(objects(), objects()) == []


def test_key_points_stay_with_their_boxes() -> None:
    left = objects((0, 0, 50, 50, 0.5, 0))
    right = objects((1000, 0, 1050, 50, 0.7, 0))
    points = [np.full((1, 2, 2), value, np.float32) for value in (1, 2)]
    parts = [Detections(p.boxes, p.scores, p.labels, k) for p, k in zip((left, right), points, strict=True)]
    found = join(parts, TWO, WIDTH, HEIGHT, Settings())
    assert found.keypoints is not None
    assert found.keypoints[:, 0, 0].tolist() == [2, 1]


THREE = framing_for("auto", SQUARE).regions(2000, 1000)
"""Three square tiles: 0 to 1000, 500 to 1500, 1000 to 2000."""

NINE = framing_for("3x3", SQUARE).regions(900, 900)


def seen_in(regions: Sequence[Region], width: int, height: int, box: tuple[float, ...]) -> list[Detections]:
    """What each of several tiles shows of an object."""
    parts = []
    for x, y, w, h in regions:
        left, top, right, bottom = x * width, y * height, (x + w) * width, (y + h) * height
        part = max(box[0], left), max(box[1], top), min(box[2], right), min(box[3], bottom)
        parts.append(objects((*part, 0.5, 0)) if part[0] < part[2] and part[1] < part[3] else objects())
    return parts


@pytest.mark.parametrize("scores", sorted(permutations((0.9, 0.7, 0.5))))
def test_parts_in_three_tiles_become_one_whichever_is_surest(scores: tuple[float, ...]) -> None:
    regions = ((0.0, 0.0, 0.4, 1.0), (0.3, 0.0, 0.4, 1.0), (0.6, 0.0, 0.4, 1.0))
    parts = seen_in(regions, 2000, 1000, (300, 200, 1700, 700))
    parts = [replace(part, scores=np.array([score], np.float32)) for part, score in zip(parts, scores, strict=True)]
    found = join(parts, regions, 2000, 1000, Settings())
    assert found.boxes.tolist() == [[300, 200, 1700, 700]]
    assert found.scores.tolist() == pytest.approx([0.9])


@given(st.permutations(range(9)), st.lists(st.floats(0, 1), min_size=4, max_size=4))
@settings(max_examples=100, deadline=None)
def test_parts_in_a_grid_s_tiles_become_one(order: list[int], corners: list[float]) -> None:
    x1, x2 = sorted(900 * c for c in corners[:2])
    y1, y2 = sorted(900 * c for c in corners[2:])
    if min(x2 - x1, y2 - y1) < 150:
        return
    parts = seen_in(NINE[:9], 900, 900, (x1, y1, x2, y2))
    for part, place in zip(parts, order, strict=True):
        part.scores[:] = 0.5 + place / 20
    found = join(parts, NINE[:9], 900, 900, Settings())
    assert len(found) == 1
    assert found.boxes[0].tolist() == pytest.approx([x1, y1, x2, y2], abs=0.01)


def test_a_part_goes_on_in_the_neighbour_that_fits_it_best() -> None:
    left = objects((300, 200, 899, 600, 0.9, 0), (400, 270, 899, 700, 0.8, 0))
    right = objects((701, 270, 1300, 700, 0.7, 0))
    assert joined(left, right) == [(300, 200, 899, 600, 0.9, 0), (400, 270, 1300, 700, 0.8, 0)]


def test_parts_that_together_are_what_the_whole_frame_shows_give_way() -> None:
    regions = framing_for("3x2", SQUARE).regions(1600, 900)
    box = (100, 100, 1500, 350)
    parts = seen_in(regions, 1600, 900, box)
    parts[-1] = objects((130, 90, 1480, 360, 0.4, 0))
    assert join(parts, regions, 1600, 900, Settings()).boxes.tolist() == [[130, 90, 1480, 360]]
