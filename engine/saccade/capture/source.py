"""What a source of pictures is, and what may be said about opening one.

A source hands out `Picture`s one after the other: compressed where it has them compressed, decoded where only the
source can decode. It owns no thread; `saccade.capture.Capture` reads it from one.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from saccade.capture.gating import DecodeGate
from saccade.capture.jpeg import MAX_PIXELS, Compressed
from saccade.errors import ConfigError
from saccade.frame import Decoder, Image, Matrix, PixelFormat

_log = logging.getLogger(__name__)

STALL_SECONDS = 30.0
"""A live source that gives no picture for so long counts as lost."""

HardwareDecoding = Literal["auto", "vaapi", "none"]
DecodedFrames = Literal["all", "nonref", "key"]


@dataclass(slots=True, kw_only=True)
class Picture:
    """One picture as its source delivers it.

    time : POSIX time for live sources, position in the stream for files, s. captured : `time.monotonic()` when the
    last byte had arrived, s. size : compressed bytes read for it. skipped : pictures that the source left out before
    this one, because they were late.
    jpeg : the compressed picture, else None. transient : `jpeg` lies in memory that the next `read()` overwrites.
    planes, pixels, full_range, matrix : the decoded picture where `jpeg` is None; see `saccade.frame.Frame`.
    decode : makes BGR of `planes`, None for BGR planes. seconds : time that decoding took so far.
    name : the file that it is, where it is one of several.
    orientation : how the picture lies, as EXIF counts (1 to 8), where its container says; 0: as its own EXIF says.
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
    matrix: Matrix = "bt601"
    decode: Decoder | None = None
    seconds: float = 0.0
    orientation: int = 0
    name: str = ""


class Source(ABC):
    """Pictures from one place.

    name : what the user typed, without credentials. live : a lost source is opened again; newest picture wins.
    comes_later : it may not be there yet, as a camera, a stream or a pipe.
    every_frame : each picture counts; the consumer sets the pace. frame_rate : nominal, Hz, once open; None where
    unknown. damaged : pictures that the source itself found broken and left out; the first `named` are warned of.
    stall : seconds without a picture after which a live source counts as lost. max_pixels : pictures of more are
    refused before they are decoded. gate : says what is worth decoding and showing. gated : the source itself
    asks it. still : how many pictures it has left out for that.
    """

    live = False
    comes_later = False
    every_frame = True
    named = 1

    def __init__(self, name: str) -> None:
        self.name = name
        self.frame_rate: float | None = None
        self.damaged = 0
        self.stall = STALL_SECONDS
        self.max_pixels = MAX_PIXELS
        self.gate: DecodeGate | None = None
        self.gated = False
        self.still = 0
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

    def note_damage(self, reason: object, count: int = 1) -> None:
        """Count pictures that are left out. The first are warnings, so that a bad cable shows and fills no disk."""
        level = logging.WARNING if self.damaged < self.named else logging.DEBUG
        _log.log(level, "%s: %s", self.name, reason)
        self.damaged += count

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


def at_rate(pictures: Iterator[Picture], stop: threading.Event, interval: float) -> Iterator[Picture]:
    """The pictures of a file when they are due.

    Compressed ones that are late by more than `interval`, s, are left out. Decoded ones cost what they cost: a machine
    too slow for the file plays it slower.
    """
    pace, skipped = Pace(stop), 0
    for picture in pictures:
        late = pace.wait(picture.time)
        if stop.is_set():
            return
        if picture.jpeg is not None and late > interval:
            skipped += 1
            continue
        if late > interval:
            pace.shift(late)
        picture.skipped, skipped = skipped, 0
        picture.captured = time.monotonic()
        yield picture
        del picture


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How to open a source; see `open_source`."""

    realtime: bool | None = None
    rate: float | None = None
    insecure: bool = False
    ca: str | Path | None = None
    hwaccel: HardwareDecoding = "none"
    decode: DecodedFrames = "all"
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= 1000:
            raise ConfigError(f"rate {self.rate} is not usable; give pictures a second, above 0 and up to 1000")
        for name, value, known in (
            ("hwaccel", self.hwaccel, get_args(HardwareDecoding)),
            ("decode", self.decode, get_args(DecodedFrames)),
        ):
            if value not in known:
                raise ConfigError(f"{name} {value!r} is not known; there are {', '.join(known)}")
        if self.max_pixels < 1:
            raise ConfigError(f"max_pixels {self.max_pixels} leaves no picture; give at least 1")
        if self.insecure and self.ca is not None:
            raise ConfigError("insecure and ca contradict each other; give one of them")
        if self.ca is not None and not Path(self.ca).is_file():
            raise ConfigError(
                f"ca {str(self.ca)!r} is no file; give the certificate of the camera or its authority, PEM"
            )
