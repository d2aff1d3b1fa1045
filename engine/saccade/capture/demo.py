"""The built-in demo: two portraits that move over a detailed scene, as a camera would send it.

The loop is made once and kept in the cache folder as plain MJPEG; it is mapped into memory and served without end,
so that a demo frame goes the same way as a camera's.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.capture import jpeg
from saccade.capture.source import Picture, Source
from saccade.config import cache_dir
from saccade.errors import JpegError, SourceError
from saccade.frame import Image

FRAME_RATE = 30
FRAMES = 150
"""Pictures of the loop: five seconds."""
QUALITY = 85
PORTRAITS = ("astronaut.png", "grace_hopper.jpg")
SIZES = {"": (1080, 1920), "4mp": (1520, 2688)}
"""(height, width) for what follows ``demo:``."""


def demo_path(size: tuple[int, int]) -> Path:
    """Where the loop of this (height, width) is kept."""
    return cache_dir() / "demo" / f"loop-1-{size[1]}x{size[0]}.mjpeg"


def portrait_paths() -> list[Path]:
    """Where the portraits are expected; `saccade models pull demo` puts them there."""
    return [cache_dir() / "pictures" / name for name in PORTRAITS]


def make_loop(
    portraits: Sequence[Image],
    size: tuple[int, int],
    path: Path,
    *,
    frames: int = FRAMES,
    interrupted: Callable[[], bool] = lambda: False,
) -> bool:
    """Draw the loop and write it, whole or not at all.

    portraits : uint8 (h, w, 3) BGR each, two of them. size : (height, width). Returns False when interrupted.
    """
    scene = _Scene(portraits, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            for index in range(frames):
                if interrupted():
                    break
                file.write(jpeg.encode(scene.draw(index / frames), quality=QUALITY))
            else:
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
                return True
        finally:
            if os.path.exists(file.name):
                os.unlink(file.name)
    return False


class DemoSource(Source):
    """The demo loop without end. paced : at 30 Hz like a camera, else as fast as it is read."""

    live = True

    def __init__(self, name: str = "demo:", *, paced: bool = True) -> None:
        super().__init__(name)
        kind = name.partition(":")[2].lower()
        if kind not in SIZES:
            known = ", ".join(f"demo:{key}" for key in SIZES)
            raise SourceError(f"source {name!r} is not known; there are {known}")
        self._size = SIZES[kind]
        self._paced = paced
        self.every_frame = not paced
        self.frame_rate = float(FRAME_RATE)
        self._pictures: list[memoryview] = []
        self._index = 0
        self._start = 0.0

    def open(self) -> None:
        """Map the loop; draw it first where it is missing."""
        path = demo_path(self._size)
        if not path.is_file():
            try:
                made = make_loop(_portraits(), self._size, path, interrupted=lambda: self.interrupted)
            except OSError as error:
                raise SourceError(f"demo loop {path} cannot be written: {error.strerror}") from error
            if not made:
                return
        try:
            with path.open("rb") as file:
                view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise SourceError(f"demo loop {path} cannot be read: {error}; delete it, it is made anew") from error
        self._pictures = _split(view)
        if not self._pictures:
            raise SourceError(f"demo loop {path} holds no pictures; delete it, it is made anew")
        self._index, self._start = 0, time.monotonic()

    def read(self) -> Picture | None:
        """The next picture of the loop, when it is due."""
        skipped = 0
        if self._paced:
            due = self._start + self._index / FRAME_RATE
            late = time.monotonic() - due
            if late < 0:
                self._stop.wait(-late)
            elif not self.every_frame:
                skipped = int(late * FRAME_RATE)
                self._index += skipped
        if self.interrupted or not self._pictures:
            return None
        data = self._pictures[self._index % len(self._pictures)]
        self._index += 1
        return Picture(time=time.time(), captured=time.monotonic(), size=len(data), skipped=skipped, jpeg=data)

    def close(self) -> None:
        """Let go of the loop; frames that look into its map keep that alive."""
        self._pictures = []


def _portraits() -> list[Image]:
    import cv2

    pictures = []
    for path in portrait_paths():
        picture: Any = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if picture is None:
            raise SourceError(f"demo: needs the picture {path}; run `saccade models pull demo`")
        pictures.append(picture)
    return pictures


def _split(view: memoryview) -> list[memoryview]:
    """The pictures of a loop: each starts where the one before ended, as `make_loop` writes them."""
    data = np.frombuffer(view, np.uint8)
    # Inside a scan 0xFF is always followed by zero, and encoders write no thumbnails: every end marker is an end.
    marks = np.flatnonzero((data[:-1] == 0xFF) & (data[1:] == 0xD9)) + 2
    starts = [0, *marks[:-1].tolist()] if len(marks) else []
    pictures = [view[start:end] for start, end in zip(starts, marks.tolist(), strict=True)]
    try:
        for picture in pictures[:1]:
            jpeg.read_header(picture)
    except JpegError:
        return []
    return pictures


class _Scene:
    """A wall of shelves and two people that walk and nod in front of it."""

    def __init__(self, portraits: Sequence[Image], size: tuple[int, int]) -> None:
        self._height, self._width = size
        self._people = [_cut_out(picture) for picture in portraits]
        self._wall = _wall(size)

    def draw(self, phase: float) -> Image:
        """The scene at `phase`, from 0 to 1; 1 equals 0, so that the loop has no seam."""
        turn = 2 * math.pi * phase
        picture = self._wall.copy()
        sine, cosine = math.sin(turn), math.cos(turn)
        # x and y of the centre, and height, as shares of the picture's height or width; tilt in degrees.
        self._paste(picture, 1, 0.72 + 0.14 * cosine, 0.44 + 0.05 * math.sin(2 * turn), 0.50 + 0.06 * sine, 6 * sine)
        self._paste(picture, 0, 0.42 + 0.16 * sine, 0.56 + 0.04 * cosine, 0.78 + 0.10 * cosine, 7 * math.sin(2 * turn))
        return picture

    def _paste(self, picture: Image, person: int, x: float, y: float, share: float, tilt: float) -> None:
        import cv2

        colour, alpha = self._people[person]
        height, width = alpha.shape
        scale = share * self._height / height
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), tilt, scale)
        reach = int(0.62 * scale * math.hypot(height, width))
        left, top = int(x * self._width) - reach, int(y * self._height) - reach
        matrix[0, 2] += x * self._width - width / 2 - left
        matrix[1, 2] += y * self._height - height / 2 - top
        side = (2 * reach, 2 * reach)
        moved: Any = cv2.warpAffine(colour, matrix, side, flags=cv2.INTER_LINEAR)
        alpha = cv2.warpAffine(alpha, matrix, side, flags=cv2.INTER_LINEAR)
        x1, y1 = max(0, left), max(0, top)
        x2, y2 = min(self._width, left + side[0]), min(self._height, top + side[1])
        inside = np.s_[y1 - top : y2 - top, x1 - left : x2 - left]
        target = picture[y1:y2, x1:x2]
        target[:] = cv2.blendLinear(moved[inside], target, alpha[inside], 1 - alpha[inside])


def _cut_out(portrait: Image) -> tuple[Image, Any]:
    """A portrait and how opaque it is, float32 in [0, 1]: an oval with a soft edge."""
    height, width = portrait.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = np.hypot((x - width / 2) / (width / 2), (y - height / 2) / (height / 2))
    return portrait, np.clip((0.99 - radius) / 0.06, 0, 1).astype(np.float32)


def _wall(size: tuple[int, int]) -> Image:
    """Shelves with books, light from the left and a camera's grain; always the same."""
    import cv2

    height, width = size
    random = np.random.default_rng(7)
    unit = height / 1080
    wall = np.full((height, width, 3), (58, 72, 88), np.uint8)
    shelf = round(216 * unit)
    for top in range(0, height, shelf):
        left = 0
        bottom = min(height, top + shelf - round(14 * unit))
        while left < width:
            thick = round(random.uniform(14, 46) * unit)
            tall = round(random.uniform(0.55, 0.95) * shelf)
            colour = tuple(int(v) for v in random.integers(30, 190, 3))
            upper = bottom - tall
            cv2.rectangle(wall, (left, upper), (left + thick - 2, bottom), colour, -1)
            lighter = tuple(min(255, v + 45) for v in colour)
            for band in (0.12, 0.2, 0.84):
                y = upper + round(band * tall)
                cv2.line(wall, (left + 2, y), (left + thick - 4, y), lighter, max(1, round(2 * unit)))
            left += thick
        cv2.rectangle(wall, (0, bottom), (width, bottom + round(14 * unit)), (40, 62, 96), -1)
    light = np.linspace(1.08, 0.72, width, dtype=np.float32)[None, :, None]
    grain = cv2.GaussianBlur(random.normal(0, 1, (height, width, 1)).astype(np.float32), (0, 0), 0.8)
    shaded = wall * light + 6 * grain.reshape(height, width, 1)
    result: Any = cv2.GaussianBlur(np.clip(shaded, 0, 255).astype(np.uint8), (0, 0), 0.7 * unit)
    return result  # type: ignore[no-any-return]
