"""Annotated pictures in a folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from saccade.frame import Frame
from saccade.outputs.annotate import Annotator
from saccade.outputs.folder import PictureFolder
from saccade.outputs.jpeg import encode_jpeg
from saccade.outputs.worker import FrameWorker
from saccade.results import Result


@dataclass(frozen=True, slots=True)
class PictureStatistics:
    """Pictures written, skipped as the last was still worked on, lost on the way to the disk; frames unreadable."""

    written: int
    skipped: int
    lost: int
    failed: int


class PictureWriter:
    """An output that writes annotated pictures, drawn and encoded in a thread of its own.

    Parameters
    ----------
    target : folder where files named `{time in ms}_{frame}.jpg`, mode 0600, go; or what takes such a name and the JPEG
        bytes, and says whether it could.
    every : least stream time between pictures, s; 0 for each frame.
    width, height : bounds of the pictures, px; they are never enlarged.
    wait : every frame matters (a source read frame by frame): wait for the thread rather than skip.
    name : what it is, for people; by default "pictures (PATH)".
    """

    leases = 1

    def __init__(
        self,
        target: str | Path | Callable[[str, bytes], bool],
        *,
        every: float = 0.0,
        width: int = 1920,
        height: int = 1080,
        quality: int = 90,
        wait: bool = False,
        name: str = "",
    ) -> None:
        self.name = name or ("pictures" if callable(target) else f"pictures ({target})")
        self._folder = None if callable(target) else PictureFolder(target)
        self._put = target if callable(target) else None
        self._taken = self._refused = 0
        self._annotator = Annotator()
        self._every = every
        self._bounds = width, height
        self._quality = quality
        self._last = -math.inf
        self._skipped = 0
        self._worker: FrameWorker[Result] = FrameWorker("saccade-pictures", self._work, output=self.name, wait=wait)

    def accept(self, frame: Frame, result: Result) -> None:
        """Hand the frame over if its time has come."""
        if self._last <= result.time < self._last + self._every:
            return
        if self._worker.offer(frame, result):
            self._last = result.time
        else:
            self._skipped += 1

    def statistics(self) -> PictureStatistics:
        """Figures so far."""
        written, lost = self._taken, self._refused
        if self._folder is not None:
            written, lost = self._folder.written, self._folder.lost
        return PictureStatistics(written, self._skipped, lost, self._worker.failed)

    def close(self) -> None:
        """Write what was taken and end the thread."""
        self._worker.close()

    def _work(self, frame: Frame | None, result: Result) -> None:
        assert frame is not None
        width, height = self._bounds
        picture = self._annotator.render(frame, result, max_width=width, max_height=height)
        name = f"{max(0, round(result.time * 1e3)):013d}_{result.frame:06d}.jpg"
        jpeg = encode_jpeg(picture, quality=self._quality)
        if self._folder is not None:
            self._folder.write(name, jpeg)
        elif self._put is not None and self._put(name, jpeg):
            self._taken += 1
        else:
            self._refused += 1
