"""The built-in demo: two portraits that move over a detailed scene, as a camera would send it.

The loop is made once and kept in the cache folder as plain MJPEG; it is mapped into memory and served without end,
so that a demo frame goes the same way as a camera's.
"""

from __future__ import annotations

import logging
import mmap
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from saccade.capture import jpeg, still
from saccade.capture.source import Picture, Source
from saccade.config import cache_dir
from saccade.errors import JpegError, SourceError
from saccade.frame import Image
from saccade.private import private_folder
from saccade.storage import atomic

_log = logging.getLogger(__name__)

FRAME_RATE = 30
FRAMES = 150
"""Pictures of the loop: five seconds."""
QUALITY = 85
_BATCH = 10
PORTRAITS = ("astronaut.png", "grace_hopper.jpg")
SIZES = {"": (1080, 1920), "4mp": (1520, 2688)}
"""(height, width) for what follows ``demo:``."""


def demo_path(size: tuple[int, int]) -> Path:
    """Where the loop of this (height, width) is kept."""
    return cache_dir() / "demo" / f"loop-{size[1]}x{size[0]}.mjpeg"


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
    from saccade.capture.scene import Scene

    scene = Scene(portraits, size)

    def compressed(phase: float) -> bytes:
        return jpeg.encode(scene.draw(phase), quality=QUALITY)

    private_folder(path.parent)
    try:
        with (
            atomic.replacing(path) as part,
            part.open("wb") as file,
            ThreadPoolExecutor(min(4, os.cpu_count() or 1), "saccade-demo") as pool,
        ):
            for index in range(0, frames, _BATCH):
                if interrupted():
                    raise _Interrupted
                phases = [i / frames for i in range(index, min(frames, index + _BATCH))]
                file.writelines(pool.map(compressed, phases))
    except _Interrupted:
        return False
    return True


class _Interrupted(Exception):
    """Whoever waits for the loop wants it no longer."""


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
            portraits = _portraits()
            _log.info("drawing the demo loop once, into %s", path)
            try:
                made = make_loop(portraits, self._size, path, interrupted=lambda: self.interrupted)
            except OSError as error:
                raise SourceError(f"demo loop {path} cannot be written: {error.strerror}") from error
            if not made:
                return
        try:
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise SourceError(f"demo loop {path} cannot be read: {error}; delete it, it is made anew") from error
        self._pictures = _split(data)
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
        # Unpaced, the loop is a file: what counts in seconds of the stream must not depend on this machine's speed.
        moment = time.time() if self._paced else self._index / FRAME_RATE
        self._index += 1
        return Picture(time=moment, captured=time.monotonic(), size=len(data), skipped=skipped, jpeg=data)

    def close(self) -> None:
        """Let go of the loop; frames that look into its map keep that alive."""
        self._pictures = []


def _portraits() -> list[Image]:
    pictures = []
    for path in portrait_paths():
        try:
            pictures.append(still.decode(path.read_bytes()))
        except (OSError, JpegError):
            raise SourceError(f"demo: needs the picture {path}; run `saccade models pull demo`") from None
    return pictures


def _split(data: mmap.mmap) -> list[memoryview]:
    """The pictures of a loop: each starts where the one before ended, as `make_loop` writes them."""
    view, pictures, start = memoryview(data), [], 0
    # Inside a scan 0xFF is always followed by zero, and `make_loop` writes no thumbnails: every end marker is an end.
    while (end := data.find(b"\xff\xd9", start) + 2) >= 2:
        pictures.append(view[start:end])
        start = end
    try:
        for picture in pictures[:1]:
            jpeg.read_header(picture)
    except JpegError:
        return []
    return pictures
