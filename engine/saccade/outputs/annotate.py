"""Draws a result on a picture: boxes, key points, classes and head pose, scaled to whatever size the picture has.

Everything is drawn in place on a picture of the caller's. Sizes (lines, text, margins, the ball) follow the picture's
height, so that a 480-line view and a 1520-line still look alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from saccade.frame import Frame, Image
from saccade.results import Classification, Detections, HeadPose, Result

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (138, 222, 60), (255, 176, 61), (64, 170, 255), (204, 110, 240), (230, 216, 70), (96, 96, 250), (80, 220, 240),
    (250, 140, 140),
)  # fmt: skip
"""BGR, one per label number, again from the start when they are used up; bright enough for dark text on them."""

INK: Colour = (24, 20, 16)
WHITE: Colour = (255, 255, 255)
REGION: Colour = (120, 230, 90)
CROP_FRAME: Colour = (255, 150, 60)
RED: Colour = (48, 48, 235)

MESH = 16
"""More key points than this are a mesh: they are drawn as dots without outlines."""

LONGEST_LABEL = 48
"""Characters of a label that are drawn."""


@dataclass(slots=True)
class Ball:
    """The red ball that the head steers.

    A direction pushes it that way, the faster the surer the network is; an axis that is not pushed drifts back to
    the middle of the frame and rests in the dead zone there. Its pace goes by stream time, so that it is the same at
    any frame rate and however many frames are drawn.

    x, y : centre, as parts of the frame's width and height. speed : frame widths a second at probability 1.
    dead_zone : part of the half frame around the middle in which a drifting ball rests.
    radius : as a part of the frame's width.
    """

    x: float = 0.5
    y: float = 0.5
    speed: float = 0.6
    dead_zone: float = 0.05
    radius: float = 0.019
    _time: float | None = None
    _frame: int = -1

    def move(self, pose: HeadPose, *, frame: int, time: float, aspect: float) -> None:
        """Go on to `time`, s. Repeats of the same frame move nothing; `aspect` is the frame's width / height."""
        if frame == self._frame and self._time is not None:
            return
        passed = 0.0 if self._time is None else min(time - self._time, 0.25)
        if passed <= 0:  # pictures without a clock, or a stream that began anew
            passed = 1 / 30
        self._time, self._frame = time, frame
        step = self.speed * float(np.clip(pose.scores[pose.direction], 0, 1)) * passed
        column, row = ninth(pose.direction)
        self.x = self._stay_inside(self.x + self._towards(column - 1, self.x, step), self.radius)
        self.y = self._stay_inside(self.y + self._towards(row - 1, self.y, step * aspect), self.radius * aspect)

    def _towards(self, push: int, position: float, step: float) -> float:
        if push:
            return push * step
        away = position - 0.5
        if abs(away) <= self.dead_zone / 2:
            return 0.0
        return -float(np.copysign(min(step, abs(away)), away))

    @staticmethod
    def _stay_inside(position: float, margin: float) -> float:
        return min(max(position, margin), 1 - margin) if margin < 0.5 else 0.5


def ninth(direction: int) -> tuple[int, int]:
    """Column and row (0-2, from the top left) of a direction's ninth of the picture."""
    return 2 - direction // 3, 2 - direction % 3


def mirrored(result: Result) -> bool:
    """Whether a result is shown on the mirrored picture: head pose is, also while there is no head to be seen."""
    return result.pose is not None or result.app == "head-pose"


def fit(width: int, height: int, max_width: int, max_height: int) -> tuple[int, int]:
    """Largest (width, height) of the same aspect ratio within the bounds, never larger than the picture, px."""
    scale = min(1.0, max_width / width, max_height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


class Annotator:
    """Draws results for one viewer or writer; holds the ball. To be used by one thread at a time."""

    def __init__(self, *, ball: Ball | None = None) -> None:
        self.ball = ball or Ball()
        self._font: Any = None

    def render(self, frame: Frame, result: Result, *, max_width: int, max_height: int) -> Image:
        """A new annotated picture of the frame that fits the bounds; decodes no more than that size needs."""
        import cv2

        width, height = fit(frame.width, frame.height, max_width, max_height)
        picture = frame.at_least(height, width)
        if picture.shape[:2] != (height, width):
            shrinks_much = picture.shape[0] > 2 * height
            how = cv2.INTER_AREA if shrinks_much else cv2.INTER_LINEAR
            picture = cast(Image, cv2.resize(picture, (width, height), interpolation=how))
            if mirrored(result):
                cv2.flip(picture, 1, dst=picture)
        elif mirrored(result):
            picture = cast(Image, cv2.flip(picture, 1))
        else:
            picture = picture.copy()  # the frame's own memory is not to be drawn on
        return self.draw(picture, result)

    def draw(self, picture: Image, result: Result) -> Image:
        """Draw on `picture`, uint8 (h, w, 3) BGR, contiguous, in place; mirror it first where `mirrored(result)`."""
        brush = self._brush(picture, result)
        if result.pose is not None:
            self._draw_region(brush, result.pose)
        if result.detections is not None:
            self._draw_detections(brush, result.detections, result.pose)
        if result.pose is not None:
            self._draw_pose(brush, result.pose)
            self.ball.move(result.pose, frame=result.frame, time=result.time, aspect=result.width / result.height)
        if mirrored(result):
            brush.ball(self.ball.x, self.ball.y, self.ball.radius)
        if result.classes is not None and len(result.classes):
            self._draw_classes(brush, result.classes)
        return picture

    def _brush(self, picture: Image, result: Result) -> _Brush:
        import cv2

        if self._font is None:
            # OpenCV 5 has an anti-aliased proportional font with Unicode; before that there are stroke fonts only.
            self._font = cv2.FontFace("sans") if hasattr(cv2, "FontFace") else cv2.FONT_HERSHEY_DUPLEX
        return _Brush(picture, result, self._font)

    @staticmethod
    def _draw_detections(brush: _Brush, detections: Detections, pose: HeadPose | None) -> None:
        for index in reversed(range(len(detections))):  # the best last, on top
            colour = PALETTE[int(detections.labels[index]) % len(PALETTE)]
            if detections.keypoints is not None:
                brush.points(detections.keypoints[index], colour)
            x1, y1, x2, y2 = brush.corners(detections.boxes[index])
            brush.bracket(x1, y1, x2, y2, colour)
            if pose is not None and _holds_centre(pose.region, detections.boxes[index]):
                continue  # the head whose direction stands there
            brush.tag(f"{_clean(detections.name(index))} {_percent(detections.scores[index])}", x1, y1, colour)

    @staticmethod
    def _draw_region(brush: _Brush, pose: HeadPose) -> None:
        column, row = ninth(pose.direction)
        margin = brush.pixels(10 / 1520)
        width, height = brush.width, brush.height
        x1, x2 = width * column // 3 + margin, width * (column + 1) // 3 - margin
        y1, y2 = height * row // 3 + margin, height * (row + 1) // 3 - margin
        if x2 > x1 and y2 > y1:
            brush.tint(x1, y1, x2, y2, REGION, 0.22)
            brush.frame(x1, y1, x2, y2, REGION)

    @staticmethod
    def _draw_pose(brush: _Brush, pose: HeadPose) -> None:
        x1, y1, x2, y2 = brush.corners(pose.region)
        brush.frame(x1, y1, x2, y2, CROP_FRAME)
        text = f"{pose.name} {_percent(pose.scores[pose.direction])}"
        angles = [
            f"{name} {round(value):+d}"
            for name, value in (("yaw", pose.yaw), ("pitch", pose.pitch), ("roll", pose.roll))
            if value is not None and math.isfinite(value)
        ]
        brush.tag(text, x1, y1, CROP_FRAME, scale=1.35)
        if angles:
            brush.tag("  ".join(angles), x1, y2, CROP_FRAME, below=True)

    @staticmethod
    def _draw_classes(brush: _Brush, classes: Classification) -> None:
        best = classes.top(5)
        rows = [(_clean(best.name(i)), float(np.clip(best.scores[i], 0, 1))) for i in range(len(best))]
        brush.bars(rows)


class _Brush:
    """A picture, the scale from source pixels to its pixels, and strokes that suit its size."""

    def __init__(self, picture: Image, result: Result, font: Any) -> None:
        import cv2

        self._cv2 = cv2
        self.picture = picture
        self.height, self.width = picture.shape[:2]
        self._scale = np.array([self.width / result.width, self.height / result.height], np.float32)
        self._mirror = mirrored(result)
        self._font = font
        self._side: int = min(self.height, self.width)
        self.line = max(1, round(self._side / 240))
        self.text_size = max(10, round(self._side / 28))

    def pixels(self, part: float) -> int:
        """A part of the picture's shorter side, px, at least 1."""
        return max(1, round(self._side * part))

    def to_picture(self, points: NDArray[np.float32]) -> NDArray[np.intp]:
        """(n, 2) source px -> picture px, mirrored where the picture is; far outside is brought near."""
        size = np.array([self.width, self.height], np.float32)
        placed = np.nan_to_num(points.astype(np.float32) * self._scale, posinf=1e6, neginf=-1e6)
        if self._mirror:
            placed[:, 0] = self.width - placed[:, 0]
        near: NDArray[np.float32] = np.clip(placed, -size, 2 * size)
        return np.rint(near).astype(np.intp)

    def corners(self, box: NDArray[np.float32]) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of a source box in picture px."""
        points = self.to_picture(np.asarray(box).reshape(2, 2))
        (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return x1, y1, x2, y2

    def tint(self, x1: int, y1: int, x2: int, y2: int, colour: Colour, opacity: float) -> None:
        """Blend a colour over a region; the rest of the picture is not touched."""
        region = self.picture[max(0, y1) : y2, max(0, x1) : x2]
        if region.size:
            self._cv2.addWeighted(region, 1 - opacity, np.full_like(region, colour), opacity, 0, dst=region)

    def frame(self, x1: int, y1: int, x2: int, y2: int, colour: Colour) -> None:
        """A rectangle of full line width."""
        self._cv2.rectangle(self.picture, (x1, y1), (x2, y2), colour, self.line, self._cv2.LINE_AA)

    def bracket(self, x1: int, y1: int, x2: int, y2: int, colour: Colour) -> None:
        """A thin rectangle with strong corners."""
        self._cv2.rectangle(self.picture, (x1, y1), (x2, y2), colour, max(1, self.line // 2), self._cv2.LINE_AA)
        reach = max(2, min(x2 - x1, y2 - y1) // 5)
        strong = self.line + self.line // 2 + 1
        strokes = [
            np.array([[x + dx * reach, y], [x, y], [x, y + dy * reach]], np.int32)
            for x, dx in ((x1, 1), (x2, -1))
            for y, dy in ((y1, 1), (y2, -1))
        ]
        self._cv2.polylines(self.picture, strokes, False, colour, strong, self._cv2.LINE_AA)

    def points(self, points: NDArray[np.float32], colour: Colour) -> None:
        """Key points, (k, 2) source px."""
        placed = self.to_picture(points)
        if len(placed) > MESH:
            inside = ((placed >= 0) & (placed < (self.width - 1, self.height - 1))).all(axis=1)
            x, y = placed[inside].T
            for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1))[: 4 if self.line > 1 else 1]:
                self.picture[y + dy, x + dx] = colour
            return
        radius = self.line
        for x, y in placed.tolist():
            self._cv2.circle(self.picture, (x, y), radius + 1, INK, -1, self._cv2.LINE_AA)
            self._cv2.circle(self.picture, (x, y), radius, colour, -1, self._cv2.LINE_AA)

    def tag(self, text: str, x: int, y: int, colour: Colour, *, scale: float = 1.0, below: bool = False) -> None:
        """Dark text on a coloured plate whose lower (`below`: upper) left corner is at (x, y), kept in the picture."""
        size = max(8, round(self.text_size * scale))
        text_width, ascent, write = self._text(text, size)
        pad = max(2, size // 4)
        width, height = text_width + 2 * pad, ascent + 2 * pad
        left = max(0, min(x - self.line // 2, self.width - width))
        top = max(0, min(y if below else y - height, self.height - height))
        self._plate(left, top, left + width, top + height, max(2, size // 5), colour)
        write((left + pad, top + pad + ascent), INK)

    def bars(self, rows: list[tuple[str, float]]) -> None:
        """Names, bars and percentages on a dark translucent panel in the upper left corner."""
        size = self.text_size
        pad, gap = size // 2 + 2, max(2, size // 6)
        texts = [self._text(f"{name}  {_percent(part)}", size) for name, part in rows]
        width = max(max(w for w, _, _ in texts), size * 11)
        step = size + gap * 5
        margin = self.pixels(1 / 40)
        x, y = margin, margin
        right = min(x + width + 2 * pad, self.width - 1)
        self.tint(x, y, right, y + step * len(rows) + pad + gap, INK, 0.66)
        for row, ((_, part), (_, ascent, write)) in enumerate(zip(rows, texts, strict=True)):
            top = y + pad + row * step
            write((x + pad, top + ascent), WHITE)
            line, length = top + size + gap, right - x - 2 * pad
            self._plate(x + pad, line, x + pad + length, line + gap + 1, 0, (96, 90, 84))
            self._plate(x + pad, line, x + pad + max(1, round(length * part)), line + gap + 1, 0, PALETTE[row])

    def ball(self, x: float, y: float, radius: float) -> None:
        """A red ball with a rim and a gleam; x, y, radius are parts of the picture."""
        cv2, size = self._cv2, max(3, round(radius * self.width))
        centre = (round(x * self.width), round(y * self.height))
        cv2.circle(self.picture, centre, size, (24, 24, 120), -1, cv2.LINE_AA)
        cv2.circle(self.picture, centre, size - max(1, size // 10), RED, -1, cv2.LINE_AA)
        gleam = (centre[0] - size // 3, centre[1] - size // 3)
        cv2.circle(self.picture, gleam, max(1, size // 5), (190, 190, 255), -1, cv2.LINE_AA)

    def _plate(self, x1: int, y1: int, x2: int, y2: int, radius: int, colour: Colour) -> None:
        cv2 = self._cv2
        if not radius:
            cv2.rectangle(self.picture, (x1, y1), (x2 - 1, y2 - 1), colour, -1)
            return
        cv2.rectangle(self.picture, (x1 + radius, y1), (x2 - 1 - radius, y2 - 1), colour, -1)
        cv2.rectangle(self.picture, (x1, y1 + radius), (x2 - 1, y2 - 1 - radius), colour, -1)
        for x in (x1 + radius, x2 - 1 - radius):
            for y in (y1 + radius, y2 - 1 - radius):
                cv2.circle(self.picture, (x, y), radius, colour, -1, cv2.LINE_AA)

    def _text(self, text: str, size: int) -> tuple[int, int, Callable[[tuple[int, int], Colour], None]]:
        """Width and ascent of a text, px, and a function (origin, colour) that writes it."""
        cv2 = self._cv2
        ascent = round(size * 0.76)
        if isinstance(self._font, int):
            scale = size / 30
            weight = max(1, round(size / 18))
            (width, _), _ = cv2.getTextSize(text, self._font, scale, weight)

            def write(origin: tuple[int, int], colour: Colour) -> None:
                cv2.putText(self.picture, text, origin, self._font, scale, colour, weight, cv2.LINE_AA)

            return width, ascent, write
        rectangle = cv2.getTextSize((self.width, self.height), text, (0, 0), self._font, size, 500)
        return rectangle[2], ascent, partial(self._write, text, size)

    def _write(self, text: str, size: int, origin: tuple[int, int], colour: Colour) -> None:
        self._cv2.putText(self.picture, text, origin, colour, self._font, size, 500)


def _holds_centre(region: NDArray[np.float32], box: NDArray[np.float32]) -> bool:
    centre = (box[:2] + box[2:]) / 2
    return bool((region[:2] <= centre).all() and (centre <= region[2:]).all())


def _percent(score: float) -> str:
    return f"{round(float(score) * 100)}%"


def _clean(label: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in label)
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"
