"""A frame: one picture, where its pixels live, and how long they may be used.

The capture room owns all pixel memory. A `Frame` is a lease on one of its slots: while somebody holds the lease
the slot is not written to; after the last `release()` every access raises, because the slot may already hold the
next picture. What must outlive the lease is copied by the one who needs it (`crop()` returns a copy).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from saccade.errors import FrameReleasedError

PixelFormat = Literal["bgr", "i420", "nv12"]
Matrix = Literal["bt601", "bt709"]
Image = NDArray[np.uint8]

Decoder = Callable[[int, int], Image]
"""``decode(min_height, min_width)`` -> uint8 (h, w, 3) BGR of the whole frame, at the smallest size the source can
give cheaply that is at least the size asked for; ``(0, 0)`` asks for full size."""

RowDecoder = Callable[[int], Image]
"""``decode_rows(rows)`` -> uint8 (height, width, 3) BGR at full size, of which at least the upper `rows` are right."""


class Frame:
    """A lease on one captured picture.

    Parameters
    ----------
    width, height : size of the picture at its source, px. Results are given in these pixels.
    sequence : number of the frame at its source, from 0; gaps are dropped frames.
    time : seconds; POSIX time of capture for live sources, position in the stream for files.
    captured : `time.monotonic()` when the frame's last byte had arrived, s.
    name : the file that the picture is, where its source has one of several; else empty.
    pixels : form of `planes`: ``bgr``, ``i420`` or ``nv12``.
    planes : the picture for inference, which may be smaller than (height, width).
        bgr: one uint8 (h, w, 3). i420: uint8 Y (h, w), U and V ((h+1)//2, (w+1)//2) (4:2:2 sources: (h, (w+1)//2)).
        nv12: uint8 Y (h, w) and interleaved UV ((h+1)//2, (w+1)//2, 2). Rows may be strided.
    full_range : True where luma runs 0-255 (JPEG), False for 16-235 (video). Matters for YUV only.
    matrix : colour matrix of `planes`, ``bt601`` or ``bt709``. Matters for YUV only.
    jpeg : the compressed picture where the source delivers JPEG, else None.
    decode : makes BGR pictures on demand; see `Decoder`.
    decode_rows : cheaper way to the upper part of the full picture, where the source has one; see `RowDecoder`.
    on_release : called once, when the last holder has released the frame.

    Pixels of a frame that was released raise FrameReleasedError, those that cannot be decoded JpegError.
    """

    __slots__ = (
        "_bgr",
        "_decode",
        "_decode_rows",
        "_decoding",
        "_holders",
        "_jpeg",
        "_lock",
        "_on_release",
        "_planes",
        "captured",
        "full_range",
        "height",
        "matrix",
        "name",
        "pixels",
        "sequence",
        "time",
        "width",
    )  # fmt: skip

    def __init__(
        self,
        *,
        width: int,
        height: int,
        planes: tuple[Image, ...],
        pixels: PixelFormat = "bgr",
        full_range: bool = True,
        matrix: Matrix = "bt601",
        sequence: int = 0,
        time: float = 0.0,
        captured: float = 0.0,
        name: str = "",
        jpeg: memoryview | None = None,
        decode: Decoder | None = None,
        decode_rows: RowDecoder | None = None,
        on_release: Callable[[], None] | None = None,
    ) -> None:
        self.width = width
        self.height = height
        self.sequence = sequence
        self.time = time
        self.captured = captured
        self.name = name
        self.pixels: PixelFormat = pixels
        self.full_range = full_range
        self.matrix: Matrix = matrix
        self._planes = planes
        self._jpeg = jpeg
        self._decode = decode
        self._decode_rows = decode_rows
        self._on_release = on_release
        self._holders = 1
        self._lock = threading.Lock()  # of the lease; never held for long, so that a release never waits
        self._decoding = threading.Lock()  # one decode at a time
        self._bgr: Image | None = None

    @classmethod
    def from_bgr(cls, picture: Image, *, sequence: int = 0, time: float = 0.0, captured: float = 0.0) -> Frame:
        """A frame over an array of the caller's, uint8 (H, W, 3) BGR; nothing is copied."""
        height, width = picture.shape[:2]
        return cls(width=width, height=height, planes=(picture,), sequence=sequence, time=time, captured=captured)

    @property
    def planes(self) -> tuple[Image, ...]:
        """The picture for inference; valid until the release."""
        if self._holders <= 0:  # each call costs, right after an inference, when its code is in no cache
            self._check()
        return self._planes

    @property
    def jpeg(self) -> memoryview | None:
        """The compressed picture, or None where the source is not JPEG; valid until the release."""
        self._check()
        return self._jpeg

    @property
    def released(self) -> bool:
        """True once the last holder has released the frame."""
        return self._holders <= 0

    def bgr(self) -> Image:
        """The whole frame at full size, uint8 (height, width, 3) BGR; made once, valid until the release."""
        with self._decoding:
            self._check()
            if self._bgr is None:
                picture = self._planes[0]
                self._bgr = picture if self._is_full(picture) else self._decoded(0, 0)
            return self._bgr

    def at_least(self, min_height: int, min_width: int) -> Image:
        """The whole frame, BGR, at the smallest cheap size that is at least the size asked for (or full size).

        The array belongs to the frame or to the caller's call: read it, do not write to it.
        """
        with self._decoding:
            self._check()
            if self._bgr is not None:
                return self._bgr
            picture = self._planes[0]
            if self.pixels == "bgr" and picture.shape[0] >= min_height and picture.shape[1] >= min_width:
                return picture
            if min_height >= self.height or min_width >= self.width:
                min_height = min_width = 0
            return self._decoded(min_height, min_width)

    def crop(self, x1: int, y1: int, x2: int, y2: int) -> Image:
        """Copy of a region at full resolution, uint8 (h, w, 3) BGR; the region is clipped to the frame.

        x1, y1, x2, y2 : corners, px. Raises ValueError where no pixel of the frame lies between them.
        """
        x1, x2 = max(0, min(x1, self.width)), max(0, min(x2, self.width))
        y1, y2 = max(0, min(y1, self.height)), max(0, min(y2, self.height))
        if x2 <= x1 or y2 <= y1:
            raise ValueError(
                f"region ({x1}, {y1}, {x2}, {y2}) holds no pixel of the {self.width}x{self.height} frame; "
                "give corners with x1 < x2 and y1 < y2 that overlap the frame"
            )
        with self._decoding:
            self._check()
            if self._bgr is None and self._decode_rows is not None and not self._is_full(self._planes[0]):
                return self._decode_rows(y2)[y1:y2, x1:x2].copy()
        return self.bgr()[y1:y2, x1:x2].copy()

    def retain(self) -> Frame:
        """Add a holder: the frame lives until each holder has released it."""
        with self._lock:
            self._check()
            self._holders += 1
        return self

    def lend(self) -> Frame:
        """The same picture as a frame with holders of its own: this one lives until the last of those has released it.

        Whoever lends a frame can see from it whether the borrower still holds it.
        """
        with self._decoding:
            self._check()
            planes, rows = self._planes, self._bgr is None and self._decode_rows is not None
        self.retain()
        return Frame(
            width=self.width, height=self.height, planes=planes, pixels=self.pixels, full_range=self.full_range,
            matrix=self.matrix, name=self.name, sequence=self.sequence, time=self.time,
            captured=self.captured, jpeg=self._jpeg,
            decode=lambda h, w: self.at_least(h, w) if h or w else self.bgr(),
            decode_rows=self._upper_rows if rows else None, on_release=self.release,
        )  # fmt: skip

    def release(self) -> None:
        """Give the lease back. One release more than there are holders raises."""
        with self._lock:
            self._check()
            self._holders -= 1
            if self._holders:
                return
            self._planes = ()
            self._jpeg = self._bgr = self._decode = self._decode_rows = None
            on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release()

    def __enter__(self) -> Frame:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        state = "released" if self.released else self.pixels
        return f"<Frame {self.sequence} {self.width}x{self.height} {state}>"

    def _check(self) -> None:
        if self._holders <= 0:
            raise FrameReleasedError(
                f"frame {self.sequence} was released and its slot may hold another picture; "
                "take what you need before the release, or call retain()"
            )

    def _upper_rows(self, rows: int) -> Image:
        """For whom the frame was lent to: others may decode the same picture at the same time."""
        with self._decoding:
            self._check()
            assert self._decode_rows is not None
            return self._decode_rows(rows) if self._bgr is None else self._bgr

    def _is_full(self, picture: Image) -> bool:
        return self.pixels == "bgr" and picture.shape[:2] == (self.height, self.width)

    def _decoded(self, min_height: int, min_width: int) -> Image:
        if self._decode is None:
            raise ValueError(
                f"frame {self.sequence} has no decoder; give `decode=` to make BGR pictures from {self.pixels}"
            )
        return self._decode(min_height, min_width)
