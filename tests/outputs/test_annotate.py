from __future__ import annotations

import cv2
import numpy as np
import pytest

from saccade.frame import Frame
from saccade.outputs.annotate import Annotator, fit
from saccade.outputs.ball import Ball, ninth
from saccade.results import DIRECTIONS, Detections, Result
from scenes import classes_result, faces_result, picture, pose_result

SIZES = [(8, 8), (40, 30), (320, 240), (858, 480), (2688, 1520), (480, 1200), (3000, 20)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("make", [classes_result, lambda n, t, size: pose_result(n, t, 2, size=size)])
def test_draws_on_any_size(width: int, height: int, make: object) -> None:
    blank = np.full((height, width, 3), 90, np.uint8)
    result = make(0, 0.0, size=(2688, 1520))  # type: ignore[operator]
    drawn = Annotator().draw(blank, result)
    assert drawn is blank
    assert (drawn != 90).any()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_boxes_are_scaled_from_source_to_picture(width: int, height: int) -> None:
    blank = np.zeros((height, width, 3), np.uint8)
    Annotator().draw(blank, faces_result(0, 0.0, [(1000, 500, 2000, 1200)], size=(2688, 1520)))
    y, x = np.nonzero(blank.any(axis=2))
    slack = 3 + min(width, height) // 50  # lines have a width
    assert x.max() == pytest.approx(min(2000 / 2688 * width + slack, width - 1), abs=max(slack, 70))
    assert y.max() == pytest.approx(1200 / 1520 * height, abs=slack + 20)


def test_lines_and_text_grow_with_the_picture() -> None:
    shares = []
    for scale in (1, 3):
        blank = np.zeros((480 * scale, 858 * scale, 3), np.uint8)
        Annotator().draw(blank, faces_result(0, 0.0, [(300, 200, 600, 500)], size=(1280, 720)))
        shares.append(np.count_nonzero(blank.max(axis=2) > 110) / blank[..., 0].size)  # less the soft edges
    assert shares[0] == pytest.approx(shares[1], rel=0.15)


def test_strange_boxes_harm_nothing() -> None:
    nan, inf = float("nan"), float("inf")
    boxes = [(nan, nan, nan, nan), (-inf, 0, inf, 50), (9e9, 9e9, 9e9, 9e9), (50, 50, 50, 50), (90, 90, 10, 10)]
    detections = Detections(
        np.array(boxes, np.float32), np.ones(5, np.float32), np.array([0, 7, -3, 99, 2], np.int32),
        np.full((5, 3, 2), nan, np.float32), ("naïve\n\x1b[31m" + "x" * 400,),
    )  # fmt: skip
    result = Result(frame=0, time=0.0, app="faces", width=640, height=480, detections=detections)
    Annotator().draw(np.zeros((480, 640, 3), np.uint8), result)


def test_a_mesh_of_points_is_drawn_inside_only() -> None:
    points = np.random.default_rng(1).uniform(-200, 900, (1, 468, 2)).astype(np.float32)
    detections = Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int32), points)
    result = Result(frame=0, time=0.0, app="faces", width=640, height=480, detections=detections)
    drawn = Annotator().draw(np.zeros((480, 640, 3), np.uint8), result)
    assert drawn.any()


@pytest.mark.parametrize("direction", range(9))
def test_region_lies_in_the_ninth_that_is_looked_at(direction: int) -> None:
    height, width = 720, 1280
    grey = np.full((height, width, 3), 100, np.uint8)
    drawn = Annotator().draw(grey.copy(), pose_result(0, 0.0, direction))
    horizontal = {"Left": 0, "Right": 2}.get(DIRECTIONS[direction].split()[-1], 1)
    vertical = {"Up": 0, "Down": 2}.get(DIRECTIONS[direction].split()[0], 1)
    assert ninth(direction) == (horizontal, vertical)
    # Somewhere off the ball, the tags and the lines: the tint alone.
    y, x = height * vertical // 3 + height // 3 - 30, width * horizontal // 3 + 30
    assert drawn[y, x, 1] > 120
    others = [(column, row) for column in range(3) for row in range(3) if (column, row) != (horizontal, vertical)]
    for column, row in others:
        assert (drawn[height * row // 3 + height // 3 - 30, width * column // 3 + 30] == 100).all()


def test_region_reaches_over_the_whole_ninth() -> None:
    """The old scripts gave width for x + width, so that the last column's rectangle was turned inside out."""
    grey = np.full((720, 1280, 3), 100, np.uint8)
    drawn = Annotator().draw(grey.copy(), pose_result(0, 0.0, 0))
    changed = np.nonzero((drawn[600:700, 860:1270] != 100).any(axis=2))
    assert np.ptp(changed[0]) > 90
    assert np.ptp(changed[1]) > 390


def test_pose_crop_frame_is_mirrored_with_the_picture() -> None:
    base = pose_result(0, 0.0, 4, size=(1000, 500))
    assert base.pose is not None
    base.pose.region[:] = (0, 100, 200, 400)
    drawn = Annotator().draw(np.zeros((500, 1000, 3), np.uint8), base)
    assert drawn[250, 799:802].any()  # the frame's left edge, seen in the mirror
    assert not drawn[250, 190:210].any()


def test_render_mirrors_head_pose_even_without_a_head() -> None:
    half = np.zeros((400, 800, 3), np.uint8)
    half[:, :400] = 255
    result = Result(frame=0, time=0.0, app="head-pose", width=800, height=400, mirrored=True)
    drawn = Annotator().render(Frame.from_bgr(half), result, max_width=800, max_height=400)
    assert not drawn[10, 10].any()
    assert drawn[10, 790].all()


def test_render_leaves_the_frame_as_it_was() -> None:
    source = picture()
    kept = source.copy()
    frame = Frame.from_bgr(source)
    for size in ((1280, 720), (640, 360)):
        for result in (faces_result(0, 0.0, [(10, 10, 300, 300)]), pose_result(0, 0.0, 1), classes_result(0, 0.0)):
            Annotator().render(frame, result, max_width=size[0], max_height=size[1])
    assert np.array_equal(source, kept)


def test_render_asks_for_no_more_than_it_needs() -> None:
    asked = []

    def decode(height: int, width: int) -> np.ndarray:
        asked.append((height, width))
        return picture(width=960, height=540)

    tiny = np.zeros((135, 240, 3), np.uint8)
    frame = Frame(width=1920, height=1080, planes=(tiny,), decode=decode)
    drawn = Annotator().render(frame, classes_result(0, 0.0, size=(1920, 1080)), max_width=858, max_height=480)
    assert asked == [(480, 853)]
    assert drawn.shape == (480, 853, 3)


def test_works_with_the_stroke_font_of_opencv_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "FontFace", raising=False)
    drawn = Annotator().draw(np.zeros((480, 858, 3), np.uint8), classes_result(0, 0.0))
    assert (drawn == 255).all(axis=2).any()


@pytest.mark.parametrize(
    ("size", "bounds", "expected"),
    [
        ((1920, 1080), (858, 480), (853, 480)),
        ((2688, 1520), (858, 480), (849, 480)),
        ((320, 240), (858, 480), (320, 240)),
        ((100, 10000), (858, 480), (5, 480)),
        ((10000, 1), (10, 10), (10, 1)),
    ],
)
def test_a_size_fits_within_its_bounds(
    size: tuple[int, int], bounds: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fit(*size, *bounds) == expected


class TestBall:
    @staticmethod
    def steps(ball: Ball, direction: int, count: int, *, fps: float = 30.0, first: int = 0) -> None:
        for n in range(first, first + count):
            result = pose_result(n, n / fps, direction)
            assert result.pose is not None
            ball.move(result.pose, frame=n, time=n / fps, aspect=16 / 9)

    @pytest.mark.parametrize(
        ("name", "x", "y"), [("Up Left", -1, -1), ("Down Right", 1, 1), ("Right", 1, 0), ("Up", 0, -1)]
    )
    def test_goes_where_the_head_points(self, name: str, x: int, y: int) -> None:
        ball = Ball()
        self.steps(ball, DIRECTIONS.index(name), 6)
        assert (np.sign(ball.x - 0.5), np.sign(ball.y - 0.5)) == (x, y)

    def test_stays_inside_the_frame(self) -> None:
        ball = Ball()
        self.steps(ball, DIRECTIONS.index("Up Left"), 600)
        assert ball.x == pytest.approx(ball.radius)
        assert ball.y == pytest.approx(ball.radius * 16 / 9)

    def test_drifts_home_and_rests(self) -> None:
        ball = Ball(x=0.9, y=0.1)
        self.steps(ball, DIRECTIONS.index("Middle"), 200)
        assert abs(ball.x - 0.5) <= ball.dead_zone / 2
        assert abs(ball.y - 0.5) <= ball.dead_zone / 2
        rest = ball.x, ball.y
        self.steps(ball, DIRECTIONS.index("Middle"), 50, first=200)
        assert (ball.x, ball.y) == rest

    def test_pace_goes_by_time_not_by_frames(self) -> None:
        slow, fast = Ball(), Ball()
        self.steps(slow, 1, 11, fps=10)
        self.steps(fast, 1, 61, fps=60)
        assert slow.x == pytest.approx(fast.x, abs=0.02)

    def test_the_same_frame_drawn_twice_moves_it_once(self) -> None:
        ball = Ball()
        self.steps(ball, 1, 3)
        at = ball.x
        self.steps(ball, 1, 1, first=2)
        assert ball.x == at

    def test_speed_goes_by_probability(self) -> None:
        sure, unsure = Ball(), Ball()
        result = pose_result(0, 0.0, 1)
        assert result.pose is not None
        sure.move(result.pose, frame=0, time=0, aspect=1.6)
        result.pose.scores[1] = 0.21
        unsure.move(result.pose, frame=0, time=0, aspect=1.6)
        assert sure.x - 0.5 == pytest.approx(4 * (unsure.x - 0.5))
