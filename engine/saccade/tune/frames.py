"""The user's own frames, spread over what the source shows, in memory only.

JPEG pictures stay compressed, so that they can be decoded as in a run; others are kept as their source decoded them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from saccade.capture import Capture
from saccade.capture.slots import Slot
from saccade.capture.source import Picture, Source
from saccade.errors import ConfigError, OutputError
from saccade.frame import Frame
from saccade.private import private_folder
from saccade.storage import atomic

_log = logging.getLogger(__name__)

LEAST = 8
"""Different frames without which nothing can be said."""
MOST_BYTES = 1 << 28
"""Memory for frames."""
BLOCKS = 8
"""Stretches of the source that go to calibration and to the held-out frames in turn: neighbours look alike."""
WAIT = 30.0
"""Longest wait for a frame, s."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """One frame that outlives its source's memory. key : digest of its content. size : bytes that it takes."""

    picture: Picture
    key: bytes
    size: int

    def frame(self, slot: Slot, fit: Callable[[int, int], tuple[int, int]]) -> Frame:
        """The frame as a capture gives it. fit : (width, height) -> (height, width) that is needed."""
        return slot.fill(self.copy(), fit, 0, lambda: None)

    def copy(self) -> Picture:
        """As a source gives it; nothing of its content is copied."""
        return replace(self.picture)


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames to calibrate with, and others to judge by.

    source : where they came from. live : whether that is a camera. width, height : of the first, px.
    """

    calibration: tuple[Kept, ...]
    held_out: tuple[Kept, ...]
    source: str
    live: bool
    width: int
    height: int

    @property
    def digest(self) -> str:
        """Of the content of all."""
        found = hashlib.sha256()
        for kept in (*self.calibration, *self.held_out):
            found.update(kept.key)
        return found.hexdigest()


def collect(source: Source, *, most: int = 120, seconds: float = 10.0) -> Frames:
    """Frames from all over what the source gives.

    most : frames that are kept. seconds : how long they are collected, from the first one on.
    Raises ConfigError where there are too few that differ, SourceError where the source fails.
    """
    kept = _Spread(most)
    name, live = source.name, source.live
    capture = Capture(source, slots=2, lazy=True, size=(1, 1))
    with capture:
        first = capture.latest(WAIT)
        if first is None:
            raise ConfigError(f"{name}: gave no frame; nothing can be measured")
        width, height = first.width, first.height
        end = time.monotonic() + seconds
        for frame in _frames(first, capture, end):
            with frame:
                kept.offer(frame)
    found = kept.different()
    if len(found) < LEAST:
        raise ConfigError(
            f"{name}: different frames in {seconds:.0f} s: {len(found)}; at least {LEAST} are needed: give a film, a "
            "folder of pictures, or a camera that sees something happen"
        )
    blocks = min(BLOCKS, len(found) // 2)
    turn = [index * blocks // len(found) % 2 for index in range(len(found))]
    parts = [tuple(each for each, t in zip(found, turn, strict=True) if t == part) for part in (0, 1)]
    return Frames(parts[0], parts[1], name, live, width, height)


def spread(frames: Sequence[Kept], count: int) -> tuple[Kept, ...]:
    """At most so many, evenly spread."""
    if len(frames) <= count:
        return tuple(frames)
    return tuple(frames[index * len(frames) // count] for index in range(count))


def _frames(first: Frame, capture: Capture, end: float) -> Iterator[Frame]:
    yield first
    while (left := end - time.monotonic()) > 0:
        frame = capture.latest(left)
        if frame is None:
            if capture.ended:
                return
            continue
        yield frame


class _Spread:
    """Keeps so many of a stream of unknown length, each with the same chance: what comes back in step is no trap.

    Vitter, "Random Sampling with a Reservoir" (1985), algorithm R; the same stream gives the same frames.
    """

    def __init__(self, most: int) -> None:
        self._most, self._count, self._size = most, 0, 0
        self._random = random.Random(0)
        self._kept: dict[int, Kept] = {}

    def offer(self, frame: Frame) -> None:
        """Keep the frame, if it is drawn."""
        number, self._count = self._count, self._count + 1
        if len(self._kept) >= self._most:
            if self._random.randrange(self._count) >= self._most:
                return
            self._drop()
        kept = self._kept[number] = _kept(frame)
        self._size += kept.size
        while self._size > MOST_BYTES and len(self._kept) > 2 * LEAST:
            self._drop()
            self._most = len(self._kept)

    def _drop(self) -> None:
        self._size -= self._kept.pop(self._random.choice(list(self._kept))).size

    def different(self) -> list[Kept]:
        """What was kept, in the stream's order, without repetitions."""
        return list({self._kept[number].key: self._kept[number] for number in sorted(self._kept)}.values())


def _kept(frame: Frame) -> Kept:
    if frame.jpeg is not None:
        data = bytes(frame.jpeg)
        picture = Picture(time=frame.time, captured=frame.captured, size=len(data), jpeg=data, name=frame.name)
        return Kept(picture, hashlib.blake2b(data, digest_size=16).digest(), len(data))
    whole = frame.pixels != "bgr" or frame.planes[0].shape[:2] == (frame.height, frame.width)
    planes = tuple(np.array(plane) for plane in (frame.planes if whole else (frame.bgr(),)))
    found = hashlib.blake2b(digest_size=16)
    for plane in planes:
        found.update(plane.data)
    size = sum(plane.nbytes for plane in planes)
    picture = Picture(
        time=frame.time, captured=frame.captured, size=size, planes=planes, pixels=frame.pixels,
        full_range=frame.full_range, matrix=frame.matrix, name=frame.name,
    )  # fmt: skip
    return Kept(picture, found.digest(), size)


def save(frames: Frames, folder: str | os.PathLike[str]) -> None:
    """Write all frames as pictures, for their owner only; raises OutputError where that cannot be done."""
    try:
        target = private_folder(folder)
        for part, group in (("calibration", frames.calibration), ("held-out", frames.held_out)):
            _write(group, target, part)
    except OSError as error:
        raise OutputError(f"--keep-frames {os.fspath(folder)}: cannot be written ({error.strerror})") from None


def _write(group: Sequence[Kept], folder: Path, part: str) -> None:
    slot = Slot()
    for number, kept in enumerate(group):
        if kept.picture.jpeg is not None:
            atomic.write(folder / f"{part}-{number:03}.jpg", bytes(kept.picture.jpeg))
            continue
        with kept.frame(slot, lambda width, height: (height, width)) as frame:
            picture = frame.bgr() if frame.pixels == "bgr" else _as_bgr(frame)
        _, data = cv2.imencode(".png", picture)
        atomic.write(folder / f"{part}-{number:03}.png", data.tobytes())


def _as_bgr(frame: Frame) -> np.ndarray:
    """BGR pixels of a frame whose source, which could decode it, is closed."""
    from saccade.kernels import Preprocess

    out = np.empty((frame.height, frame.width, 3), np.uint8)
    plan = Preprocess(
        source=frame.planes[0].shape[:2], size=(frame.height, frame.width), layout="nhwc", dtype="uint8",
        pixels=frame.pixels, full_range=frame.full_range, matrix=frame.matrix,
    )  # fmt: skip
    plan(frame.planes, out[None])
    return out
