"""Slots: the memory that frames live in.

A slot owns the buffer that inference looks at for as long as the source keeps its size. Larger ones, which only some
frames need, for a crop or a viewer, are shared by the slots of a capture (`Spares`): 6 MB each at 1080p. All are made
when first needed, page-aligned, and decoders write into them; afterwards a frame costs no allocation. Pictures that lie
on their side are turned here, whatever way they came in, and a turned picture is a copy.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable, Iterable

import numpy as np

from saccade.capture import jpeg, still
from saccade.capture.orientation import swaps, upright
from saccade.capture.source import Picture
from saccade.errors import JpegError
from saccade.frame import Decoder, Frame, Image

SPARE_SECONDS = 10.0
"""So long a buffer is kept that no frame needs, s."""

Fit = Callable[[int, int], tuple[int, int]]
Size = tuple[int, int] | Fit


def page_aligned(height: int, width: int) -> Image:
    """A new uint8 (height, width, 3) picture that starts on a page; its memory goes when the last view goes."""
    return np.frombuffer(mmap.mmap(-1, height * width * 3), np.uint8).reshape(height, width, 3)


class Spares:
    """Buffers that frames have needed beside the one for inference, until others do; from any thread.

    most : kept at a time; who needs more makes them.
    """

    __slots__ = ("_free", "_lock", "_most", "_used")

    def __init__(self, most: int = 2) -> None:
        self._free: list[Image] = []
        self._lock = threading.Lock()
        self._most = most
        self._used = time.monotonic()

    def __len__(self) -> int:
        return len(self._free)

    def take(self, size: tuple[int, int]) -> Image | None:
        """One of this (height, width), whatever it holds; where there is none, those of other sizes go."""
        with self._lock:
            self._used = time.monotonic()
            for place, picture in enumerate(self._free):
                if picture.shape[:2] == size:
                    return self._free.pop(place)
            self._free = []
            return None

    def give_back(self, pictures: Iterable[Image]) -> None:
        """Nobody looks at these any more."""
        with self._lock:
            self._free = [*pictures, *self._free][: self._most]

    def settle(self) -> None:
        """Let go of all where none was needed for `SPARE_SECONDS`; to be called now and then."""
        if self._free and time.monotonic() - self._used >= SPARE_SECONDS:
            self.clear()

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._free = []


class Slot:
    """Memory of one frame at a time.

    max_pixels : JPEG pictures of more are refused. spares : of all slots of a capture; None: its own.
    allocations : buffers ever made, for statistics and tests. way : who could decode the newest JPEG picture.
    """

    __slots__ = (
        "_compressed", "_extra", "_header", "_made", "_max_pixels", "_opened", "_pictures", "_rows", "_scratch",
        "_spares", "_strict", "allocations", "way",
    )  # fmt: skip

    def __init__(self, max_pixels: int = still.MAX_PIXELS, spares: Spares | None = None) -> None:
        self.allocations = 0
        self._spares = Spares() if spares is None else spares
        self._extra: dict[tuple[int, int], Image] = {}
        self.way = still.Way.AS_IS
        self._max_pixels = max_pixels
        self._header = jpeg.Header(0, 0, "")
        self._pictures: dict[tuple[int, int], Image] = {}
        self._made: set[tuple[int, int]] = set()
        self._opened = (0, 0)
        self._rows = 0
        self._strict = True
        self._compressed = memoryview(b"")
        self._scratch = bytearray()

    def fill(self, picture: Picture, size: Size, sequence: int, on_release: Callable[[], None]) -> Frame:
        """Put a picture into the slot and return the lease on it.

        size : (min_height, min_width) that inference needs, (0, 0) for full size; or what says so of an upright
        picture's (width, height). Raises `JpegError`.
        """
        if picture.jpeg is None:
            self.way = still.Way.AS_IS
            turn = picture.orientation or 1
            if callable(size):
                height, width = picture.planes[0].shape[:2]
                size = size(height, width)[::-1] if swaps(turn) else size(width, height)
            return _decoded(picture, turn, size, sequence, on_release)
        turn = picture.orientation or jpeg.orientation(picture.jpeg)
        if callable(size):
            size = self._fitted(picture.jpeg, size, turn)
        if swaps(turn):
            size = size[::-1]
        opened = self._open(picture.jpeg, size)
        if opened.data is None:
            picture.jpeg, picture.planes = None, (opened.picture,)
            return _decoded(picture, turn, size, sequence, on_release)
        transient = picture.transient and opened.data is picture.jpeg
        self._compressed = self._copied(opened.data) if transient else memoryview(opened.data)
        if turn != 1:
            decode = _Turned(self._decode, turn)
            return _frame(picture, upright(opened.picture, turn), decode, self._turned(turn), sequence, on_release)
        return Frame(
            width=self._header.width,
            height=self._header.height,
            planes=(opened.picture,),
            sequence=sequence,
            time=picture.time,
            captured=picture.captured,
            name=picture.name,
            jpeg=self._compressed,
            decode=self._decode,
            decode_rows=self._decode_rows,
            on_release=on_release,
        )

    def _fitted(self, data: jpeg.Compressed, fit: Fit, turn: int) -> tuple[int, int]:
        try:
            header = jpeg.read_header(data, max_pixels=self._max_pixels)
        except JpegError:
            return 0, 0  # decoding it says what is wrong with it
        return fit(*((header.height, header.width) if swaps(turn) else (header.width, header.height)))

    def keep(self, picture: Picture) -> None:
        """Keep the compressed bytes of a picture that will be filled in later, if it is."""
        if picture.jpeg is not None and picture.transient:
            picture.jpeg, picture.transient = self._copied(picture.jpeg), False

    def clear(self) -> None:
        """Let go of the compressed bytes (they keep a packet of FFmpeg's alive), and of what others may need."""
        self._compressed = memoryview(b"")
        if self._extra:
            self._spares.give_back(self._extra.values())
            self._made.difference_update(self._extra)
            self._extra = {}
            self._rows = 0

    def _open(self, data: jpeg.Compressed, size: tuple[int, int]) -> still.Opened:
        """Decode into the slot's buffers."""
        self.clear()
        self._made.clear()
        self._rows = 0
        mend = self.way is not still.Way.AS_IS
        opened = still.open_jpeg(data, size, self._buffer, mend=mend, max_pixels=self._max_pixels)
        self.way = opened.way
        if (opened.header.height, opened.header.width) != (self._header.height, self._header.width):
            self._pictures = {shape: held for shape, held in self._pictures.items() if held is opened.picture}
        self._header, self._strict = opened.header, opened.strict
        self._opened = (opened.picture.shape[0], opened.picture.shape[1])
        self._made.add(self._opened)
        return opened

    def _turned(self, turn: int) -> tuple[int, int]:
        """(height, width) of the source's picture when it is upright."""
        size = self._header.height, self._header.width
        return size[::-1] if swaps(turn) else size

    def _decode(self, min_height: int, min_width: int) -> Image:
        size = self._header.scaled(min_height, min_width)
        full = size == (self._header.height, self._header.width)
        picture = self._extra_buffer(size)
        if size not in self._made:
            size_of_all = self._header.height, self._header.width
            jpeg.decode_into(self._compressed, picture, full=size_of_all, fast=not full, strict=self._strict)
            self._made.add(size)
        return picture

    def _decode_rows(self, rows: int) -> Image:
        size = self._header.height, self._header.width
        picture = self._extra_buffer(size)
        if size not in self._made and self._rows < rows:
            self._rows = jpeg.decode_rows(self._compressed, picture, rows, strict=self._strict)
            if self._rows == self._header.height:
                self._made.add(size)
        return picture

    def _buffer(self, size: tuple[int, int]) -> Image:
        """That of inference."""
        picture = self._pictures.get(size)
        if picture is None:
            picture = self._pictures[size] = self._new(size)
        return picture

    def _extra_buffer(self, size: tuple[int, int]) -> Image:
        """That of inference, if it is of this size, or one beside it until the frame is released."""
        if size == self._opened:
            return self._pictures[size]
        picture = self._extra.get(size)
        if picture is None:
            picture = self._spares.take(size)
            self._extra[size] = picture = self._new(size) if picture is None else picture
        return picture

    def _new(self, size: tuple[int, int]) -> Image:
        self.allocations += 1
        return page_aligned(*size)

    def _copied(self, data: jpeg.Compressed) -> memoryview:
        if len(self._scratch) < len(data):
            # Half as much again: compressed sizes vary from frame to frame.
            self._scratch = bytearray(len(data) * 3 // 2)
        view = memoryview(self._scratch)[: len(data)]
        view[:] = data
        return view.toreadonly()


class _Turned:
    """A decoder of pictures that lie on their side, upright."""

    __slots__ = ("_decode", "_turn")

    def __init__(self, decode: Decoder, turn: int) -> None:
        self._decode = decode
        self._turn = turn

    def __call__(self, min_height: int, min_width: int) -> Image:
        size = (min_width, min_height) if swaps(self._turn) else (min_height, min_width)
        return upright(self._decode(*size), self._turn)


def _decoded(
    picture: Picture, turn: int, size: tuple[int, int], sequence: int, on_release: Callable[[], None]
) -> Frame:
    """The lease on a picture that its source has decoded; size is that of the picture as it lies."""
    height, width = picture.planes[0].shape[:2]
    if turn != 1:
        lying = picture.planes[0] if picture.decode is None else picture.decode(*size)
        full = (width, height) if swaps(turn) else (height, width)
        decode = None if picture.decode is None else _Turned(picture.decode, turn)
        return _frame(picture, upright(lying, turn), decode, full, sequence, on_release)
    return Frame(
        width=width,
        height=height,
        planes=picture.planes,
        pixels=picture.pixels,
        full_range=picture.full_range,
        matrix=picture.matrix,
        sequence=sequence,
        time=picture.time,
        captured=picture.captured,
        name=picture.name,
        decode=picture.decode,
        on_release=on_release,
    )


def _frame(
    picture: Picture,
    plane: Image,
    decode: Decoder | None,
    full: tuple[int, int],
    sequence: int,
    on_release: Callable[[], None],
) -> Frame:
    """The lease on a picture that was turned: BGR, without the compressed bytes, which still lie."""
    return Frame(
        width=full[1],
        height=full[0],
        planes=(plane,),
        sequence=sequence,
        time=picture.time,
        captured=picture.captured,
        name=picture.name,
        decode=decode,
        on_release=on_release,
    )
