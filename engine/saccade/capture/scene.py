"""The scene of the built-in demo, drawn: two portraits, cut out, that move in front of shelves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from saccade.frame import Image

_Outline = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where the person is in a portrait, in shares of its width and height.

    head : centre; radius : its radii. outer : an outline that surely holds the body; inner : one surely inside it.
    What is between them is told apart by its colours.
    """

    head: tuple[float, float]
    radius: tuple[float, float]
    outer: _Outline
    inner: _Outline


# The astronaut and Rear Admiral Hopper, as `saccade.capture.demo.PORTRAITS` has them.
_SHAPES = (
    _Shape(
        head=(0.439, 0.205),
        radius=(0.14, 0.185),
        outer=(
            (0.08, 1.0),
            (0.10, 0.68),
            (0.24, 0.50),
            (0.34, 0.38),
            (0.56, 0.38),
            (0.62, 0.52),
            (0.68, 0.64),
            (0.66, 1.0),
        ),
        inner=(
            (0.20, 1.0),
            (0.22, 0.70),
            (0.36, 0.56),
            (0.39, 0.40),
            (0.48, 0.40),
            (0.55, 0.56),
            (0.60, 0.70),
            (0.58, 1.0),
        ),
    ),
    _Shape(
        head=(0.504, 0.275),
        radius=(0.195, 0.25),
        outer=((0.02, 1.0), (0.06, 0.72), (0.28, 0.57), (0.72, 0.57), (0.95, 0.72), (0.98, 1.0)),
        inner=(
            (0.08, 1.0),
            (0.14, 0.75),
            (0.36, 0.62),
            (0.38, 0.45),
            (0.62, 0.45),
            (0.66, 0.62),
            (0.86, 0.75),
            (0.92, 1.0),
        ),
    ),
)


class Scene:
    """Two people who move behind a counter, in front of shelves."""

    def __init__(self, portraits: Sequence[Image], size: tuple[int, int]) -> None:
        self._height, self._width = size
        self._people = [
            (portrait, _cut_out(portrait, shape)) for portrait, shape in zip(portraits, _SHAPES, strict=True)
        ]
        self._wall = _wall(size)
        self._counter = round(0.88 * self._height)

    def draw(self, phase: float) -> Image:
        """The scene at `phase`, from 0 to 1; 1 equals 0, so that the loop has no seam."""
        turn = 2 * math.pi * phase
        picture: Image = self._wall.copy()
        sine, cosine, double = math.sin(turn), math.cos(turn), math.sin(2 * turn)
        # Centre of the lower edge and height, as shares of the picture's; how far they lean, degrees.
        self._paste(picture, 1, 0.73 + 0.13 * cosine, 0.98, 0.60 + 0.07 * sine, 7 * double)
        self._paste(picture, 0, 0.36 + 0.15 * sine, 1.02, 0.84 + 0.09 * cosine, 6 * double + 3 * cosine)
        picture[self._counter :] = self._wall[self._counter :]
        return picture

    def _paste(self, picture: Image, person: int, x: float, y: float, share: float, lean: float) -> None:
        portrait, opacity = self._people[person]
        height, width = opacity.shape
        scale = share * self._height / height
        matrix = cv2.getRotationMatrix2D((width / 2, height), lean, scale)
        # As far as somebody who leans by ten degrees reaches from the centre of the lower edge.
        half, tall = round(scale * (0.5 * width + 0.18 * height)), round(1.05 * scale * height)
        left, top = round(x * self._width) - half, round(y * self._height) - tall
        matrix[0, 2] += half - width / 2
        matrix[1, 2] += tall - height
        side = (2 * half, tall)
        moved: Any = cv2.warpAffine(portrait, matrix, side, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha: Any = cv2.warpAffine(opacity, matrix, side, flags=cv2.INTER_LINEAR)
        x1, y1 = max(0, left), max(0, top)
        x2, y2 = min(self._width, left + side[0]), min(self._height, top + side[1])
        inside = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
        target = picture[y1:y2, x1:x2]
        target[:] = cv2.blendLinear(
            np.ascontiguousarray(moved[inside]), target, alpha[inside].copy(), 1 - alpha[inside]
        )


def _cut_out(portrait: Image, shape: _Shape) -> Any:
    """How much of each pixel is the person, float32 (h, w) in [0, 1]."""
    height, width = portrait.shape[:2]
    # At half size: the edge is softened anyhow, and the search takes a quarter of the time.
    small: Any = cv2.resize(portrait, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    extent = np.array([width // 2, height // 2])
    centre = tuple((np.array(shape.head) * extent).astype(int).tolist())

    def points(outline: _Outline) -> Any:
        return (np.array(outline) * extent).astype(np.int32)

    def ellipse(size: float, value: int) -> None:
        axes = tuple((size * np.array(shape.radius) * extent).astype(int).tolist())
        cv2.ellipse(mask, centre, axes, 0, 0, 360, value, -1)

    mask: Any = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    ellipse(1.22, cv2.GC_PR_FGD)
    cv2.fillPoly(mask, [points(shape.outer)], cv2.GC_PR_FGD)
    ellipse(0.75, cv2.GC_FGD)
    cv2.fillPoly(mask, [points(shape.inner)], cv2.GC_FGD)
    cv2.setRNGSeed(1)
    cv2.grabCut(small, mask, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    person: Any = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    person = cv2.morphologyEx(person, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(person, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros(small.shape[:2], np.float32)
    cv2.drawContours(whole, [max(outlines, key=cv2.contourArea)], -1, 1.0, -1)
    # One pixel in from the found edge, so that no rim of the old background shows.
    soft = cv2.GaussianBlur(cv2.erode(whole, np.ones((3, 3), np.uint8)), (0, 0), 0.8)
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)


def _wall(size: tuple[int, int]) -> Image:
    """Shelves with books, a counter, light from the left and a camera's grain; always the same."""
    height, width = size
    random = np.random.default_rng(7)
    unit = height / 1080

    def px(value: float) -> int:
        return max(1, round(value * unit))

    wall: Any = np.full((height, width, 3), (40, 50, 62), np.uint8)
    shelf = px(190)
    for top in range(-px(40), height, shelf):
        left = 0
        bottom = top + shelf - px(16)
        while left < width:
            thick = px(random.uniform(16, 50))
            tall = px(random.uniform(105, 160))
            if random.random() < 0.12:
                left += thick
                continue
            paint = random.uniform(0, 180), random.uniform(40, 120), random.uniform(70, 170)
            colour = cv2.cvtColor(np.array([[paint]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
            upper = bottom - tall
            cv2.rectangle(wall, (left, upper), (left + thick - px(2), bottom), colour, -1)
            gilt = [min(255, v + 40) for v in colour]
            for band in (0.12, 0.18, 0.84):
                y = upper + round(band * tall)
                cv2.line(wall, (left + px(3), y), (left + thick - px(5), y), gilt, px(2))
            for line in range(int(random.integers(0, 4))):
                y = upper + round((0.34 + 0.09 * line) * tall)
                cv2.line(wall, (left + thick // 3, y), (left + 2 * thick // 3, y), gilt, px(3))
            left += thick
        cv2.rectangle(wall, (0, bottom), (width, bottom + px(16)), (52, 76, 108), -1)
    wall = cv2.GaussianBlur(wall, (0, 0), 2.0 * unit)
    counter = round(0.88 * height)
    wood = np.repeat(random.normal(0, 7, (height - counter, 1, 1)), width, axis=1)
    wall[counter:] = np.clip(np.array((62, 92, 134)) + cv2.blur(wood.astype(np.float32), (1, 5))[..., None], 0, 255)
    wall[counter : counter + px(6)] = (96, 132, 178)
    light = np.linspace(1.1, 0.75, width, dtype=np.float32)[None, :, None]
    grain = random.normal(0, 1.8, (height, width, 1)).astype(np.float32)
    shaded: Image = np.clip(wall * light + grain, 0, 255).astype(np.uint8)
    return shaded
