"""Strokes on a picture, in colours and sizes that suit it; what they mean is for who draws (`annotate`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.frame import Image
from saccade.results import Detections, Masks, Result, Segmentation

Colour = tuple[int, int, int]

PALETTE: tuple[Colour, ...] = (
    (138, 222, 60), (255, 140, 110), (50, 230, 255), (255, 230, 80), (50, 80, 255), (170, 80, 255), (110, 230, 200),
    (230, 255, 50), (230, 170, 110), (80, 170, 140), (20, 170, 230), (110, 170, 50), (200, 50, 255), (170, 140, 255),
    (200, 255, 20), (255, 50, 255),
)  # fmt: skip
"""BGR, one per label number, again from the start when they are used up. Each is as far as can be from those before it,
for eyes that see colours and for those without red or green cones, and bright enough for dark text."""

INK: Colour = (24, 20, 16)
WHITE: Colour = (255, 255, 255)
GREY: Colour = (190, 186, 182)
RED: Colour = (48, 48, 235)

MESH = 48
"""More key points than this are a mesh: they are drawn as dots without outlines."""

SKELETONS: Mapping[int, tuple[tuple[int, int], ...]] = {
    17: (
        (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12),
        (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
    ),
}  # fmt: skip
"""Key points that a line joins, by how many there are: 17 are the person of COCO (nose, eyes, ears, shoulders, elbows,
wrists, hips, knees, ankles, the left one first). Others are dots, as the five of a face."""

SEEN = 0.5
"""Probability from which on a key point is drawn."""

MASK_OPACITY, SEGMENT_OPACITY = 0.4, 0.5

ROWS = 10
"""Lines of a panel at most."""


@dataclass(frozen=True, slots=True)
class PanelRow:
    """A line of a panel. part : length of a bar below it. swatch : colour of a square before it. title : in grey."""

    text: str
    part: float | None = None
    swatch: Colour | None = None
    title: bool = False


def colour_of(label: int) -> Colour:
    """The colour of a class, BGR; always the same."""
    return PALETTE[label % len(PALETTE)]


class Brush:
    """A picture, the scale from source pixels to its pixels, and strokes that suit its size."""

    def __init__(self, picture: Image, result: Result, font: Any) -> None:
        import cv2

        self._cv2 = cv2
        self.picture = picture
        self.height, self.width = picture.shape[:2]
        self._scale = np.array([self.width / result.width, self.height / result.height], np.float32)
        self._mirror = result.mirrored
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

    def outlines(self, detections: Detections) -> None:
        """Thin boxes, one stroke of OpenCV's for all of a colour."""
        shapes = detections.corners if detections.corners is not None else _rectangles(detections.boxes)
        placed = self.to_picture(shapes.reshape(-1, 2)).reshape(-1, 4, 1, 2).astype(np.int32)
        colours = detections.labels % len(PALETTE)
        for number in np.unique(colours).tolist():
            self._cv2.polylines(self.picture, list(placed[colours == number]), True, PALETTE[number], 1)

    def outline(self, corners: NDArray[np.float32], colour: Colour) -> None:
        """A box of any direction, (4, 2) source px."""
        placed = self.to_picture(corners).astype(np.int32)
        self._cv2.polylines(self.picture, [placed], True, colour, self.line, self._cv2.LINE_AA)

    def mask(self, masks: Masks, index: int, box: NDArray[np.float32], colour: Colour) -> None:
        """The shape of an object, tinted, with its outline."""
        cv2 = self._cv2
        bitmap = masks.bitmap(index, box, self.width, self.height, float(self._scale[0])).view(np.uint8)
        x, y, w, h = cv2.boundingRect(bitmap)
        if not w:
            return
        shape = bitmap[y : y + h, x : x + w]
        if self._mirror:
            shape, x = np.ascontiguousarray(shape[:, ::-1]), self.width - x - w
        region = self.picture[y : y + h, x : x + w]
        tinted = cv2.addWeighted(region, 1 - MASK_OPACITY, np.full_like(region, colour), MASK_OPACITY, 0)
        cv2.copyTo(tinted, shape, region)
        contours, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(region, contours, -1, colour, max(1, self.line // 2), cv2.LINE_AA)

    def segments(self, segmentation: Segmentation) -> None:
        """The colour of its class over each pixel, but those of the background."""
        cv2 = self._cv2
        x1, y1, x2, y2 = segmentation.place * np.tile(self._scale, 2)
        labels = np.clip(segmentation.labels, 0, 65535).astype(np.uint16)
        if not (labels.size and x2 > x1 and y2 > y1):
            return
        sx, sy = labels.shape[1] / (x2 - x1), labels.shape[0] / (y2 - y1)
        to_map = np.array([[sx, 0, (0.5 - x1) * sx - 0.5], [0, sy, (0.5 - y1) * sy - 0.5]], np.float64)
        how = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        size = (self.width, self.height)
        shown = cv2.warpAffine(labels, to_map, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        if self._mirror:
            shown = np.ascontiguousarray(shown[:, ::-1])
        colours = np.array(PALETTE, np.uint8)[shown % len(PALETTE)]
        tinted = cv2.addWeighted(self.picture, 1 - SEGMENT_OPACITY, colours, SEGMENT_OPACITY, 0)
        if segmentation.background is None:
            self.picture[:] = tinted
        else:
            cv2.copyTo(tinted, (shown != segmentation.background).astype(np.uint8), self.picture)

    def points(self, points: NDArray[np.float32], scores: NDArray[np.float32] | None, colour: Colour) -> None:
        """Key points, (k, 2) source px, of which those are drawn that are seen; joined where they are a skeleton."""
        placed = self.to_picture(points)
        if len(placed) > MESH:
            inside = ((placed >= 0) & (placed < (self.width - 1, self.height - 1))).all(axis=1)
            x, y = placed[inside].T
            for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1))[: 4 if self.line > 1 else 1]:
                self.picture[y + dy, x + dx] = colour
            return
        seen: NDArray[np.bool_] = np.asarray(np.isfinite(points).all(axis=1))
        if scores is not None:
            seen = seen & (scores >= SEEN)
        bones = [placed[[i, j]].astype(np.int32) for i, j in SKELETONS.get(len(placed), ()) if seen[i] and seen[j]]
        self._cv2.polylines(self.picture, bones, False, INK, self.line + 2, self._cv2.LINE_AA)
        self._cv2.polylines(self.picture, bones, False, colour, self.line, self._cv2.LINE_AA)
        radius = self.line
        for x, y in placed[seen].tolist():
            self._cv2.circle(self.picture, (x, y), radius + 1, INK, -1, self._cv2.LINE_AA)
            self._cv2.circle(self.picture, (x, y), radius, colour, -1, self._cv2.LINE_AA)

    def tag(
        self, text: str, x: int, y: int, colour: Colour, *, scale: float = 1.0, below: bool = False,
        taken: list[tuple[int, int, int, int]] | None = None,
    ) -> None:  # fmt: skip
        """Dark text on a coloured plate whose lower (`below`: upper) left corner is at (x, y), kept in the picture.

        taken : plates that are there already: this one goes to the other side of y, or is left out, where it would
        hide one of them; else it is added.
        """
        size = max(8, round(self.text_size * scale))
        text_width, ascent, write = self._text(text, size)
        pad = max(2, size // 4)
        width, height = text_width + 2 * pad, ascent + 2 * pad
        left = max(0, min(x - self.line // 2, self.width - width))
        tops = [max(0, min(place, self.height - height)) for place in (y if below else y - height, y)]
        for top in tops:
            plate = (left, top, left + width, top + height)
            if taken is None or not any(_overlap(plate, other) for other in taken):
                break
        else:
            return
        if taken is not None:
            taken.append(plate)
        self._plate(*plate, max(2, size // 5), colour)
        write((left + pad, top + pad + ascent), INK)

    def note(self, text: str) -> None:
        """A line in the lower right corner."""
        width, _, _ = self._text(text, self.text_size)
        self.tag(text, self.width - width - 2 * self.text_size, self.height, WHITE)

    def panel(self, rows: Sequence[PanelRow], *, at_bottom: bool = False) -> None:
        """Lines on a dark translucent panel in the upper (or lower) left corner: as many as there is room for."""
        size = self.text_size
        pad, gap, margin = size // 2 + 2, max(2, size // 6), self.pixels(1 / 40)
        bars = any(row.part is not None for row in rows)
        step = size + gap * (5 if bars else 3)
        room = max(1, (self.height - 2 * margin - 2 * pad) // step)
        shown = list(rows[: min(room, ROWS)])
        if not shown:
            return
        if len(shown) < len(rows):
            shown[-1] = PanelRow(f"and {len(rows) - len(shown) + 1} more", title=True)
        texts = [self._text(row.text, size) for row in shown]
        indent = size + gap if any(row.swatch for row in shown) else 0
        width = max(max(w for w, _, _ in texts) + indent, size * 11 if bars else 0)
        height = step * len(shown) + pad + gap
        x, y = margin, max(0, self.height - margin - height) if at_bottom else margin
        right = min(x + width + 2 * pad, self.width - 1)
        self.tint(x, y, right, y + height, INK, 0.66)
        bar = 0
        for number, (row, (_, ascent, write)) in enumerate(zip(shown, texts, strict=True)):
            top = y + pad + number * step
            if row.swatch:
                self._plate(x + pad, top, x + pad + ascent, top + ascent, max(2, size // 8), row.swatch)
            drop = gap * 2 if row.title and bars else 0  # nearer to what it is the title of
            write((x + pad + indent, top + ascent + drop), GREY if row.title else WHITE)
            bar = 0 if row.title else bar + 1
            if row.part is None:
                continue
            line, length = top + size + gap, right - x - 2 * pad
            self._plate(x + pad, line, x + pad + length, line + gap + 1, 0, (96, 90, 84))
            colour = PALETTE[(bar - 1) % len(PALETTE)]
            self._plate(x + pad, line, x + pad + max(1, round(length * row.part)), line + gap + 1, 0, colour)

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


def _rectangles(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Corners (n, 4, 2) of boxes (n, 4)."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
