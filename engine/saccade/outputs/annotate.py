"""Draws a result on a picture: objects, classes, segments and head pose, scaled to whatever size the picture has.

Everything is drawn in place on a picture of the caller's. Sizes (lines, text, margins, the ball) follow the picture's
height, so that a 480-line view and a 1520-line still look alike. Of thousands of objects the best are drawn in full and
the rest thin, so that a picture costs no more than its size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from saccade.frame import Frame, Image
from saccade.outputs.ball import Ball, ninth
from saccade.outputs.brush import PALETTE, ROWS, Brush, Colour, PanelRow, colour_of
from saccade.results import Classification, Detections, HeadPose, Result, Segmentation

REGION: Colour = (120, 230, 90)
CROP_FRAME: Colour = (255, 150, 60)

IN_FULL = 64
"""Objects that are drawn with their shape and a label, the best ones; the others are thin outlines."""

OUTLINES = 1000
"""Objects that are drawn at all."""

LONGEST_LABEL = 48
"""Characters of a label that are drawn."""


def fit(width: int, height: int, max_width: int, max_height: int) -> tuple[int, int]:
    """Largest (width, height) of the same aspect ratio within the bounds, never larger than the picture, px."""
    scale = min(1.0, max_width / width, max_height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


class Annotator:
    """Draws results for one viewer or writer. To be used by one thread at a time.

    ball : what a head's pose moves over the picture; it goes on from where it was.
    """

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
            if result.mirrored:
                cv2.flip(picture, 1, dst=picture)
        elif result.mirrored:
            picture = cast(Image, cv2.flip(picture, 1))
        else:
            picture = picture.copy()  # the frame's own memory is not to be drawn on
        return self.draw(picture, result)

    def draw(self, picture: Image, result: Result) -> Image:
        """Draw on `picture`, uint8 (h, w, 3) BGR, contiguous, in place; mirror it first where the result is."""
        brush = self._brush(picture, result)
        if result.segmentation is not None:
            self._draw_segmentation(brush, result.segmentation)
        if result.pose is not None:
            self._draw_region(brush, result.pose)
        if result.detections is not None:
            self._draw_detections(brush, result.detections, result.pose)
        if result.landmarks is not None:
            brush.points(result.landmarks.points[:, :2], None, PALETTE[0])
        if result.pose is not None:
            self._draw_pose(brush, result.pose)
            self.ball.move(result.pose, frame=result.frame, time=result.time, aspect=result.width / result.height)
        if result.pose is not None or result.app == "head-pose":
            brush.ball(self.ball.x, self.ball.y, self.ball.radius)
        if len(result.heads) > 1:
            self._draw_heads(brush, result.heads)
        elif result.classes is not None and len(result.classes):
            brush.panel(_bars(result.classes, 5))
        return picture

    def _brush(self, picture: Image, result: Result) -> Brush:
        import cv2

        if self._font is None:
            # OpenCV 5 has an anti-aliased proportional font with Unicode; before that there are stroke fonts only.
            self._font = cv2.FontFace("sans") if hasattr(cv2, "FontFace") else cv2.FONT_HERSHEY_DUPLEX
        return Brush(picture, result, self._font)

    @staticmethod
    def _draw_detections(brush: Brush, detections: Detections, pose: HeadPose | None) -> None:
        drawn = detections[:OUTLINES]
        best = drawn[:IN_FULL]
        brush.outlines(drawn[IN_FULL:])
        if best.masks is not None:
            for index in reversed(range(len(best))):  # the best last, on top
                brush.mask(best.masks, index, best.boxes[index], colour_of(int(best.labels[index])))
        for index in reversed(range(len(best))):
            colour = colour_of(int(best.labels[index]))
            if best.keypoints is not None:
                scores = None if best.keypoint_scores is None else best.keypoint_scores[index]
                brush.points(best.keypoints[index], scores, colour)
            if best.corners is not None:
                brush.outline(best.corners[index], colour)
            else:
                brush.bracket(*brush.corners(best.boxes[index]), colour)
        taken: list[tuple[int, int, int, int]] = []
        for index in range(len(best)):
            if pose is not None and _holds_centre(pose.region, best.boxes[index]):
                continue  # the head whose direction stands there
            text = f"{_clean(best.name(index))} {_percent(best.scores[index])}"
            if best.tracks is not None and best.tracks[index] > 0:
                text = f"#{int(best.tracks[index])} {text}"
            x1, y1, _, _ = brush.corners(best.boxes[index])
            if best.corners is not None:
                x1, y1 = min(brush.to_picture(best.corners[index]).tolist(), key=lambda corner: (corner[1], corner[0]))
            brush.tag(text, x1, y1, colour_of(int(best.labels[index])), taken=taken)
        if len(detections) > len(drawn):
            brush.note(f"{len(drawn):,} of {len(detections):,} objects are drawn")

    @staticmethod
    def _draw_segmentation(brush: Brush, segmentation: Segmentation) -> None:
        brush.segments(segmentation)
        shares = [(label, share) for label, share in segmentation.shares().items() if label != segmentation.background]
        rows = [
            PanelRow(f"{_clean(segmentation.name(label))}  {_percent(share)}", swatch=colour_of(label))
            for label, share in shares
            if share >= 0.001
        ]
        brush.panel(rows, at_bottom=True)

    @staticmethod
    def _draw_heads(brush: Brush, heads: Mapping[str, Classification]) -> None:
        each = max(1, ROWS // len(heads) - 1)
        rows: list[PanelRow] = []
        for name, classes in heads.items():
            rows += [PanelRow(_clean(name), title=True), *_bars(classes, each)]
        brush.panel(rows)

    @staticmethod
    def _draw_region(brush: Brush, pose: HeadPose) -> None:
        column, row = ninth(pose.direction)
        margin = brush.pixels(10 / 1520)
        width, height = brush.width, brush.height
        x1, x2 = width * column // 3 + margin, width * (column + 1) // 3 - margin
        y1, y2 = height * row // 3 + margin, height * (row + 1) // 3 - margin
        if x2 > x1 and y2 > y1:
            brush.tint(x1, y1, x2, y2, REGION, 0.22)
            brush.frame(x1, y1, x2, y2, REGION)

    @staticmethod
    def _draw_pose(brush: Brush, pose: HeadPose) -> None:
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


def _holds_centre(region: NDArray[np.float32], box: NDArray[np.float32]) -> bool:
    centre = (box[:2] + box[2:]) / 2
    return bool((region[:2] <= centre).all() and (centre <= region[2:]).all())


def _bars(classes: Classification, most: int) -> list[PanelRow]:
    best = classes.top(most)
    parts = np.clip(best.scores, 0, 1).tolist()
    return [PanelRow(f"{_clean(best.name(i))}  {_percent(part)}", part) for i, part in enumerate(parts)]


def _percent(score: float) -> str:
    return f"{round(float(score) * 100)}%"


def _clean(label: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in label)
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"
