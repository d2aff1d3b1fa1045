"""Masks, key points, turned boxes, segments and panels: what is drawn where, and that it stays bounded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from saccade.frame import Frame
from saccade.outputs import brush
from saccade.outputs.annotate import Annotator
from saccade.outputs.brush import INK, PALETTE, SKELETONS, colour_of
from saccade.results import Classification, Detections, Landmarks, Masks, Result, Segmentation

WIDTH, HEIGHT = 640, 480


def drawn(**fields: Any) -> NDArray[np.uint8]:
    """What is drawn on grey, of a result of that size."""
    grey = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    result = Result(frame=0, time=0.0, app="detect", width=WIDTH, height=HEIGHT, **fields)
    return Annotator().draw(grey, result)


def objects(*boxes: tuple[float, float, float, float], **fields: Any) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4), np.linspace(0.9, 0.5, count, dtype=np.float32),
        fields.pop("labels", np.zeros(count, np.int32)), **fields,
    )  # fmt: skip


def changed(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((picture != 100).any(axis=2))


def luminance(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative luminance of BGR colours (WCAG 2)."""
    parts = colours[..., ::-1] / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ [0.2126, 0.7152, 0.0722])


def test_colours_are_stable_and_dark_text_can_be_read_on_all() -> None:
    assert colour_of(3) == colour_of(3) == PALETTE[3]
    assert colour_of(len(PALETTE) + 2) == PALETTE[2]
    assert len(set(PALETTE)) == len(PALETTE)
    ink = luminance(np.array(INK, np.float64))
    contrast = (luminance(np.array(PALETTE, np.float64)) + 0.05) / (ink + 0.05)
    assert contrast.min() >= 4.5  # what WCAG asks of text


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
DEUTAN = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])
PROTAN = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])


@pytest.mark.parametrize(("cones", "least"), [(np.eye(3), 25.0), (DEUTAN, 18.0), (PROTAN, 18.0)])
def test_the_first_eight_colours_differ_for_all_eyes(cones: NDArray[np.float64], least: float) -> None:
    linear = (np.array(PALETTE[:8], np.float64)[:, ::-1] / 255) ** 2.2
    seen = np.clip(linear @ cones.T, 0, 1) ** (1 / 2.2)
    lab = cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    assert apart[~np.eye(8, dtype=bool)].min() > least


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_mask_tints_its_own_pixels_only(mirrored: bool) -> None:
    patch = np.full((8, 8), -1.0, np.float32)
    patch[:, :4] = 1.0  # the left half
    box = (100.0, 200.0, 300.0, 400.0)
    masks = Masks((patch,), np.array([box], np.float32))
    picture = drawn(detections=objects(box, masks=masks), mirrored=mirrored)
    plain = drawn(detections=objects(box), mirrored=mirrored)
    if mirrored:
        picture, plain = picture[:, ::-1], plain[:, ::-1]
    expected = np.full((480, 640), False)
    expected[210:390, 112:190] = True  # well inside of box and mask
    blend = np.rint(np.array([100] * 3) * 0.6 + np.array(PALETTE[0]) * 0.4)
    assert np.abs(picture[expected] - blend).max() <= 1
    outside = np.full((480, 640), True)
    outside[190:410, 90:212] = False  # with the width of the lines
    assert (picture[outside] == plain[outside]).all()


def test_masks_beyond_the_picture_and_of_nothing_harm_nothing() -> None:
    patch = np.ones((4, 4), np.float32)
    places = np.array([(-900, -900, 2000, 2000), (700, 700, 800, 800), (5, 5, 5, 5), (np.nan,) * 4], np.float32)
    masks = Masks((patch, patch, patch, np.empty((0, 0), np.float32)), places)
    finite = np.nan_to_num(places)
    picture = drawn(detections=objects(*map(tuple, finite.tolist()), masks=Masks(masks.patches, finite)))
    assert changed(picture)[240, 320]


def test_a_persons_key_points_are_joined_where_both_ends_are_seen() -> None:
    points = np.zeros((17, 2), np.float32)
    points[5], points[7], points[9] = (100, 100), (100, 200), (100, 300)
    seen = np.zeros(17, np.float32)
    seen[[5, 7]] = 0.9
    found = objects((0, 0, 640, 480), keypoints=points[None], keypoint_scores=seen[None])
    there = changed(drawn(detections=found))
    assert there[150, 100], "shoulder to elbow"
    assert not there[250, 100], "the wrist is not seen"
    assert not there[300, 100]
    assert all(0 <= i < 17 and 0 <= j < 17 for i, j in SKELETONS[17])
    nothing = objects((0, 0, 640, 480), keypoints=np.full((1, 17, 2), np.nan, np.float32))
    drawn(detections=nothing)


def test_other_key_points_are_dots() -> None:
    points = np.array([[100, 100], [200, 100], [150, 150], [110, 200], [190, 200]], np.float32)
    there = changed(drawn(detections=objects((50, 50, 250, 250), keypoints=points[None])))
    assert all(there[int(y), int(x)] for x, y in points)
    assert not there[100, 150], "nothing joins the two eyes"


def test_turned_boxes_are_drawn_by_their_corners() -> None:
    corners = np.array([[[320, 100], [480, 240], [320, 380], [160, 240]]], np.float32)
    there = changed(drawn(detections=objects((160, 100, 480, 380), corners=corners)))
    assert there[170, 400]
    assert there[310, 240]
    assert not there[379, 161], "the corner of the enclosing box"


def test_landmarks_are_dots() -> None:
    points = np.random.default_rng(0).uniform(50, 400, (468, 3)).astype(np.float32)
    there = changed(drawn(landmarks=Landmarks(points, 1.0)))
    assert there[np.rint(points[:, 1]).astype(int), np.rint(points[:, 0]).astype(int)].all()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_segments_have_the_colour_of_their_class(mirrored: bool, dtype: type) -> None:
    labels = np.zeros((6, 8), dtype)
    labels[:, 4:] = 2
    labels[:, 7:] = 7
    place = np.array([0, 0, WIDTH, HEIGHT], np.float32)
    picture = drawn(segmentation=Segmentation(labels, place, background=0), mirrored=mirrored)
    if mirrored:
        picture = picture[:, ::-1]
    for x, label in ((325, 2), (555, 2), (565, 7)):
        blend = np.rint(100 * 0.5 + np.array(colour_of(label)) * 0.5)
        assert np.abs(picture[100, x] - blend).max() <= 1
    assert (picture[:200, :318] == 100).all(), "the background is nothing"


def test_without_a_background_every_pixel_has_a_class() -> None:
    picture = drawn(segmentation=Segmentation(np.zeros((6, 8), np.uint8), np.array([0, 0, WIDTH, HEIGHT], np.float32)))
    assert changed(picture).all()


def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that are written from now on."""
    texts: list[str] = []
    monkeypatch.setattr(brush.Brush, "_write", lambda self, text, *rest: texts.append(text))
    return texts


needs_font = pytest.mark.skipif(not hasattr(cv2, "FontFace"), reason="by choice: OpenCV 4 has stroke fonts only")


@needs_font
def test_the_legend_names_the_classes_with_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = written(monkeypatch)
    labels = np.zeros((10, 10), np.uint8)
    labels[:3] = 1
    labels[9] = 2
    names = ("background", "road", "car\n\x1b[1m")
    place = np.array([0, 0, WIDTH, HEIGHT], np.float32)
    drawn(segmentation=Segmentation(labels, place, names, background=0))
    assert texts == ["road  30%", "car  [1m  10%"]
    texts.clear()
    drawn(segmentation=Segmentation(np.arange(100, dtype=np.int32).reshape(10, 10), place))
    assert len(texts) == brush.ROWS
    assert texts[-1] == f"and {100 - brush.ROWS + 1} more"


@needs_font
def test_every_head_has_its_title(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = written(monkeypatch)
    one = Classification(np.arange(2, dtype=np.int32), np.array([0.8, 0.2], np.float32), ("female", "male"))
    two = Classification(np.arange(3, dtype=np.int32), np.array([0.7, 0.2, 0.1], np.float32))
    drawn(classes=one, heads={"gender": one, "age": two})
    assert texts == ["gender", "female  80%", "male  20%", "age", "0  70%", "1  20%", "2  10%"]


@needs_font
def test_objects_have_their_name_their_track_and_a_place_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = written(monkeypatch)
    names = ("person", "car")
    labels = np.array([1, 0, 0, 0], np.int32)
    boxes = [(10.0, 100.0, 200.0, 200.0), (300.0, 100.0, 400.0, 200.0), (12.0, 101.0, 200.0, 200.0)]
    drawn(detections=objects(*boxes, boxes[0], labels=labels, names=names, tracks=np.arange(7, 11)))
    assert texts == ["#7 car 90%", "#8 person 77%", "#9 person 63%"], "the fourth would hide another"


def test_work_is_bounded_whatever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for name in ("rectangle", "polylines", "circle", "putText", "drawContours", "addWeighted"):
        function = getattr(cv2, name)

        def counted(*args: Any, _function: Any = function, _name: str = name, **keywords: Any) -> Any:
            calls[_name] += 1
            return _function(*args, **keywords)

        monkeypatch.setattr(cv2, name, counted)
    totals = []
    for count in (2000, 8000):
        calls.clear()
        rng = np.random.default_rng(0)
        corners = rng.uniform(0, 400, (count, 2))
        boxes = np.concatenate([corners, corners + 40], 1).astype(np.float32)
        patch = np.ones((2, 2), np.float32)
        picture = drawn(
            detections=Detections(
                boxes, np.linspace(1, 0, count, dtype=np.float32), rng.integers(0, 80, count).astype(np.int32),
                masks=Masks((patch,) * count, boxes),
            )
        )  # fmt: skip
        assert changed(picture).any()
        totals.append(calls.total())
    assert totals[1] < 1.1 * totals[0] < 64 * 20


def test_what_is_mirrored_is_said_by_the_result() -> None:
    half = np.zeros((100, 200, 3), np.uint8)
    half[:, :100] = 255
    for mirrored in (False, True):
        result = Result(frame=0, time=0.0, app="detect", width=200, height=100, mirrored=mirrored)
        for size in ((200, 100), (100, 50)):
            picture = Annotator().render(Frame.from_bgr(half), result, max_width=size[0], max_height=size[1])
            assert picture[10, 10].all() != mirrored
            assert (picture[..., 2] == picture[..., 0]).all(), "no ball"
