"""Slots: the memory that frames live in.

A slot owns its buffers for as long as the source keeps its size. They are made when first needed, page-aligned,
and decoders write into them; afterwards a frame costs no allocation.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

import numpy as np

from saccade.capture import jpeg
from saccade.capture.source import Picture
from saccade.frame import Frame, Image


def page_aligned(height: int, width: int) -> Image:
    """A new uint8 (height, width, 3) picture that starts on a page; its memory goes when the last view goes."""
    return np.frombuffer(mmap.mmap(-1, height * width * 3), np.uint8).reshape(height, width, 3)


class Slot:
    """Memory of one frame at a time.

    allocations : buffers ever made, for statistics and tests.
    """

    __slots__ = ("_compressed", "_header", "_made", "_pictures", "_rows", "_scratch", "allocations")

    def __init__(self) -> None:
        self.allocations = 0
        self._header = jpeg.Header(0, 0, "")
        self._pictures: dict[tuple[int, int], Image] = {}
        self._made: set[tuple[int, int]] = set()
        self._rows = 0
        self._compressed = memoryview(b"")
        self._scratch = bytearray()

    def fill(self, picture: Picture, size: tuple[int, int], sequence: int, on_release: Callable[[], None]) -> Frame:
        """Put a picture into the slot and return the lease on it.

        size : (min_height, min_width) that inference needs, (0, 0) for full size. Raises `JpegError`.
        """
        if picture.jpeg is not None:
            return self._fill_jpeg(picture, picture.jpeg, size, sequence, on_release)
        height, width = picture.planes[0].shape[:2]
        return Frame(
            width=width,
            height=height,
            planes=picture.planes,
            pixels=picture.pixels,
            full_range=picture.full_range,
            sequence=sequence,
            time=picture.time,
            captured=picture.captured,
            decode=picture.decode,
            on_release=on_release,
        )

    def _fill_jpeg(
        self,
        picture: Picture,
        data: jpeg.Compressed,
        size: tuple[int, int],
        sequence: int,
        on_release: Callable[[], None],
    ) -> Frame:
        header = jpeg.read_header(data)
        if (header.height, header.width) != (self._header.height, self._header.width):
            self._pictures.clear()
        self._header = header
        self._made.clear()
        self._rows = 0
        scaled = header.scaled(*size)
        planes = jpeg.decode_into(data, self._buffer(scaled), full=(header.height, header.width))
        self._made.add(scaled)
        self._compressed = self._copied(data) if picture.transient else memoryview(data)
        return Frame(
            width=header.width,
            height=header.height,
            planes=(planes,),
            sequence=sequence,
            time=picture.time,
            captured=picture.captured,
            jpeg=self._compressed,
            decode=self._decode,
            decode_rows=self._decode_rows,
            on_release=on_release,
        )

    def keep(self, picture: Picture) -> None:
        """Keep the compressed bytes of a picture that will be filled in later, if it is."""
        if picture.jpeg is not None and picture.transient:
            picture.jpeg, picture.transient = self._copied(picture.jpeg), False

    def clear(self) -> None:
        """Let go of the compressed bytes (they keep a packet of FFmpeg's alive); buffers stay."""
        self._compressed = memoryview(b"")

    def _decode(self, min_height: int, min_width: int) -> Image:
        size = self._header.scaled(min_height, min_width)
        full = size == (self._header.height, self._header.width)
        picture = self._buffer(size)
        if size not in self._made:
            jpeg.decode_into(self._compressed, picture, full=(self._header.height, self._header.width), fast=not full)
            self._made.add(size)
        return picture

    def _decode_rows(self, rows: int) -> Image:
        size = self._header.height, self._header.width
        picture = self._buffer(size)
        if size not in self._made and self._rows < rows:
            self._rows = jpeg.decode_rows(self._compressed, picture, rows)
            if self._rows == self._header.height:
                self._made.add(size)
        return picture

    def _buffer(self, size: tuple[int, int]) -> Image:
        picture = self._pictures.get(size)
        if picture is None:
            picture = self._pictures[size] = page_aligned(*size)
            self.allocations += 1
        return picture

    def _copied(self, data: jpeg.Compressed) -> memoryview:
        if len(self._scratch) < len(data):
            # Half as much again: compressed sizes vary from frame to frame.
            self._scratch = bytearray(len(data) * 3 // 2)
        view = memoryview(self._scratch)[: len(data)]
        view[:] = data
        return view.toreadonly()
