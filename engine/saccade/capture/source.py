"""What a source of pictures is, and `open_source`, which finds the right one for what somebody typed.

A source hands out `Picture`s one after the other: compressed where it has them compressed, decoded where only the
source can decode. It owns no thread; `saccade.capture.Capture` reads it from one.
"""

from __future__ import annotations

import glob
import stat
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from saccade.capture.jpeg import Compressed
from saccade.errors import SourceError
from saccade.frame import Decoder, Image, PixelFormat

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
STALL_SECONDS = 30.0
"""A live source that is silent for so long counts as lost."""


@dataclass(slots=True, kw_only=True)
class Picture:
    """One picture as its source delivers it.

    time : POSIX time for live sources, position in the stream for files, s. captured : `time.monotonic()` when the
    last byte had arrived, s. size : compressed bytes read for it. skipped : pictures that the source left out before
    this one, because they were late.
    jpeg : the compressed picture, else None. transient : `jpeg` lies in memory that the next `read()` overwrites.
    planes, pixels, full_range : the decoded picture where `jpeg` is None; see `saccade.frame.Frame`.
    decode : makes BGR of `planes`, None for BGR planes. seconds : time that decoding took so far.
    """

    time: float
    captured: float
    size: int
    skipped: int = 0
    jpeg: Compressed | None = None
    transient: bool = False
    planes: tuple[Image, ...] = ()
    pixels: PixelFormat = "bgr"
    full_range: bool = True
    decode: Decoder | None = None
    seconds: float = 0.0


class Source(ABC):
    """Pictures from one place.

    name : what the user typed, without credentials. live : a lost source is opened again; newest picture wins.
    every_frame : each picture counts; the consumer sets the pace. frame_rate : nominal, Hz, once open; None where
    unknown. damaged : pictures that the source itself found broken and left out.
    """

    live = False
    every_frame = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.frame_rate: float | None = None
        self.damaged = 0
        self.stall = STALL_SECONDS
        self._stop = threading.Event()

    @abstractmethod
    def open(self) -> None:
        """Open, or open again after an outage. Raises `SourceError` with a reason."""

    @abstractmethod
    def read(self) -> Picture | None:
        """The next picture; None at the end, or after `interrupt()`. Raises `SourceError` when the source is lost."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back; may be called more than once."""

    def interrupt(self) -> None:
        """Make `open()` and `read()` return soon; from any thread. The source is of no use afterwards."""
        self._stop.set()

    @property
    def interrupted(self) -> bool:
        """True after `interrupt()`."""
        return self._stop.is_set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Pace:
    """Hands out pictures at the times they are due, and says how many are too late."""

    __slots__ = ("_start", "_stop")

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._start: float | None = None

    def wait(self, position: float) -> float:
        """Wait until `position`, s since the first call's, is due; return how late it is, s."""
        now = time.monotonic()
        if self._start is None:
            self._start = now - position
        late = now - (self._start + position)
        if late < 0:
            self._stop.wait(-late)
            return 0.0
        return late

    def shift(self, seconds: float) -> None:
        """Forgive a delay: everything to come is due this much later, s."""
        if self._start is not None:
            self._start += seconds


def open_source(text: str | int | Path, *, realtime: bool | None = None) -> Source:
    """The source for what a user typed; nothing is opened before `Capture` starts it.

    Parameters
    ----------
    text : a camera (``0``, ``/dev/video0``, ``/dev/video0@2688x1520@15``), a video file, a folder or glob of pictures, ``rtsp://...``,
        ``http://...``, an MJPEG pipe (path of a FIFO, or ``-`` for standard input), ``demo:`` or ``demo:4mp``.
    realtime : True: files play at their frame rate, and pictures nobody was ready for are dropped. False: every
        picture counts, live or not (``demo:`` then runs as fast as it is read). None: live sources are real time,
        files are not.

    Raises
    ------
    SourceError : there is no such file, or nothing that saccade can read.
    """
    source = _find(str(text), realtime)
    if realtime is not None:
        source.every_frame = not realtime
    return source


def _find(text: str, realtime: bool | None) -> Source:
    scheme = text.partition(":")[0].lower() if ":" in text else ""
    if scheme == "demo":
        from saccade.capture.demo import DemoSource

        return DemoSource(text, paced=realtime is not False)
    if scheme in ("http", "https"):
        from saccade.capture.http import HttpSource

        return HttpSource(text)
    if scheme in ("rtsp", "rtsps", "rtmp", "udp", "tcp", "srt"):
        from saccade.capture.video import StreamSource

        return StreamSource(text)
    if text == "-":
        from saccade.capture.pipe import PipeSource

        return PipeSource(text)
    if text.partition("@")[0].isdecimal() or text.startswith("/dev/video"):
        from saccade.capture.camera import CameraSource

        return CameraSource(text)
    return _find_path(text, paced=realtime is True)


def _find_path(text: str, *, paced: bool) -> Source:
    from saccade.capture.pictures import PictureSource

    path = Path(text).expanduser()
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        matches = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(text) else []
        if matches:
            return PictureSource(text, [Path(match) for match in matches], paced=paced)
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"source {text!r}: {reason}; give a camera, a file, a folder of pictures, a URL or demo:"
        ) from error
    if stat.S_ISFIFO(mode):
        from saccade.capture.pipe import PipeSource

        return PipeSource(str(path))
    if stat.S_ISDIR(mode):
        matches = sorted(str(entry) for entry in path.iterdir() if entry.suffix.lower() in PICTURE_SUFFIXES)
        if not matches:
            raise SourceError(
                f"folder {text!r} holds no pictures; expected files ending in {', '.join(PICTURE_SUFFIXES)}"
            )
        return PictureSource(text, [Path(match) for match in matches], paced=paced)
    if stat.S_ISCHR(mode):
        from saccade.capture.camera import CameraSource

        return CameraSource(text)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return PictureSource(text, [path], paced=paced)
    from saccade.capture.video import FileSource

    return FileSource(str(path), paced=paced)
