"""Pictures, videos and sources that the capture tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from conditions import PATIENCE, meanwhile, wait_for
from saccade.capture import Capture, CaptureStatistics, Picture, Source, jpeg, open_source
from saccade.errors import SourceError
from saccade.frame import Frame, Image


def scene(height: int, width: int, index: int = 0) -> Image:
    """A smooth picture with edges and some grain; its upper left corner is as bright as `index` says."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red = 128 + 100 * np.sin(x / 37 + index) * np.cos(y / 53)
    green = 40 + 180 * x / width
    blue = 255 * (((x // 60 + y // 60) % 2) * 0.5 + 0.25)
    grain = np.random.default_rng(index).normal(0, 4, (height, width))
    picture = np.clip(np.stack([blue, green, red], -1) + grain[..., None], 0, 255).astype(np.uint8)
    picture[: height // 4, : width // 4] = index % 16 * 16
    return picture


def mark(picture: Image) -> int:
    """The index that `scene` was given, modulo 16."""
    height, width = picture.shape[:2]
    return round(float(picture[: height // 5, : width // 5].mean()) / 16)


def write_video(
    path: Path, codec: str, frames: int, size: tuple[int, int] = (360, 640), rate: int | Fraction = 30
) -> Path:
    """A real video file; frame i is `scene(..., i)`. MJPEG is compressed as cameras do it, the rest by FFmpeg."""
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.time_base = 1 / Fraction(rate)
        if codec != "mjpeg":
            stream.options = {"preset": "ultrafast", "crf": "18"}
        if codec == "libx265":
            stream.options["x265-params"] = "log-level=none:pools=1"
        for index in range(frames):
            picture = scene(*size, index)
            if codec == "mjpeg":
                packet = av.Packet(jpeg.encode(picture))
                packet.pts = packet.dts = index
                packet.stream, packet.time_base, packet.is_keyframe = stream, stream.time_base, True
                container.mux(packet)
            else:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        if codec != "mjpeg":
            container.mux(stream.encode())
    return path


def shown(text: object, most: int = 10_000, **options: Any) -> tuple[list[Image], list[float], CaptureStatistics]:
    """Pictures and times of a source, up to so many."""
    pictures, times = [], []
    with Capture(open_source(text, **options)) as capture:
        while len(pictures) < most and (frame := capture.latest(PATIENCE)) is not None:
            with frame:
                pictures.append(frame.bgr().copy())
                times.append(frame.time)
        return pictures, times, capture.statistics()


def stop_while_it_opens(capture: Capture, opening: Callable[[], object]) -> None:
    """Stop a capture whose source is about to be opened; fails where that waits for the source.

    opening : whether it is.
    """
    failures = []

    def start() -> None:
        try:
            capture.start()
        except SourceError as error:
            failures.append(error)

    with meanwhile(start):
        wait_for(opening)
        capture.stop()
    assert "stopped before it was open" in str(failures)


class Scripted(Source):
    """A source whose every read is a step of a script: bytes, an error to raise, a function to call or an event to
    wait for."""

    def __init__(self, steps: list[object], *, live: bool = False, every_frame: bool = True, interval: float = 0.0):
        super().__init__("scripted")
        self.live = live
        self.every_frame = every_frame
        self.steps = list(steps)
        self.interval = interval
        self.opened = self.closed = 0
        self.open_errors: list[Exception] = []

    def open(self) -> None:
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.opened += 1

    def read(self) -> Picture | None:
        self._stop.wait(self.interval)
        if self.interrupted or not self.steps:
            return None
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, threading.Event):
            assert step.wait(PATIENCE)
            return self.read()
        if callable(step):
            step()
            return self.read()
        assert isinstance(step, bytes | Picture)
        if isinstance(step, Picture):
            return step
        return Picture(time=1.0, captured=time.monotonic(), size=len(step), jpeg=step)

    def close(self) -> None:
        self.closed += 1


def stop(capture: Capture) -> None:
    """Stop a capture; fails where the thread does not end, though what holds it would do so for minutes."""
    capture.stop()
    wait_for(lambda: not any(t.name == "saccade-capture" for t in threading.enumerate()))


def outrun(capture: Capture, frame: Frame, pictures: int, ends_at: int | None = None) -> None:
    """Hold a frame until so many newer pictures have come, or the source has ended at `ends_at` pictures."""
    enough = frame.sequence + 1 + pictures
    wait_for(lambda: capture.statistics().captured >= min(enough, ends_at or enough))


def asked_to_wait(source: Source) -> list[float]:
    """What the source's pacing asks to sleep, s, from now on: not longer on a busy machine than on an idle one."""
    asked: list[float] = []
    real = source._stop.wait

    def wait(timeout: float | None = None) -> bool:
        asked.append(timeout or 0.0)
        return real(timeout)

    source._stop.wait = wait  # type: ignore[method-assign]
    return asked
