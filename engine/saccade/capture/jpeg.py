"""JPEG access: the one module that talks to libjpeg-turbo (through simplejpeg).

Decoders write into the caller's buffer. Fast settings (fast DCT and chroma upsampling) are for pictures that a
network looks at; accurate ones are for crops that people look at. They save a seventh of the time at full size and
nothing at reduced sizes, where entropy decoding is what is left. Compressed bytes are hostile: sizes are checked
before anything is allocated, and whatever is wrong with them ends in one `JpegError`.

Scaling happens in the inverse DCT, by 1/2, 1/4 or 1/8 only: libjpeg-turbo has no SIMD for the other ratios, and
they cost more than they save. Neither simplejpeg nor any kept library with wheels offers the lossless transform of
libjpeg-turbo (jpegtran's crop), so a region is cut by decoding the rows down to its lower edge; see `decode_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import simplejpeg

from saccade.capture import markers
from saccade.capture.orientation import of_tiff
from saccade.errors import JpegError
from saccade.frame import Image

Compressed = bytes | bytearray | memoryview
"""Anything that holds the bytes of one JPEG picture in one piece."""

MAX_PIXELS = 1 << 26
"""Pictures of more pixels than this are refused: 64 MP, 200 MB as BGR."""

_FACTORS = (8, 4, 2)
# simplejpeg looks up what libjpeg-turbo said of the picture, and says KeyError where it said nothing.
_FAULTS = (ValueError, RuntimeError, KeyError)


@dataclass(frozen=True, slots=True)
class Header:
    """What a JPEG header says. subsampling : ``444``, ``422``, ``420``, ``440``, ``411``, ``Gray`` or ``unknown``."""

    height: int
    width: int
    subsampling: str

    def scaled(self, min_height: int, min_width: int) -> tuple[int, int]:
        """(height, width) of the smallest DCT scale that is at least the size asked for; full size if none is."""
        if min_height > 0 and min_width > 0:
            for factor in _FACTORS:
                height, width = -(-self.height // factor), -(-self.width // factor)
                if height >= min_height and width >= min_width:
                    return height, width
        return self.height, self.width


def read_header(data: Compressed, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and subsampling of a JPEG picture; about 1 us, touches nothing behind the header.

    Raises
    ------
    JpegError : the bytes do not start a JPEG picture, or it has more than `max_pixels` pixels.
    """
    if len(data) < 4:
        raise JpegError(f"{len(data)} bytes are no JPEG picture; the shortest header is longer")
    try:
        height, width, _, subsampling = simplejpeg.decode_jpeg_header(data, strict=False)
    except _FAULTS as error:
        # Sampling factors that the binding has no name for; most of them it decodes.
        frame = markers.frame_header(data)
        if frame is None:
            raise JpegError(f"no JPEG header in {len(data)} bytes: {_reason(error)}") from error
        height, width, subsampling = frame.height, frame.width, "unknown"
    if height <= 0 or width <= 0:
        raise JpegError(f"JPEG header gives {width}x{height} px; both must be positive")
    if height * width > max_pixels:
        raise JpegError(f"JPEG of {width}x{height} px is above the limit of {max_pixels} pixels")
    return Header(height, width, subsampling)


def orientation(data: Compressed) -> int:
    """EXIF orientation, 1 to 8; 1 (upright) where the picture does not say."""
    return of_tiff(tiff) if (tiff := markers.exif(data)) else 1


def decode_into(
    data: Compressed, out: Image, *, full: tuple[int, int] | None = None, fast: bool = True, strict: bool = True
) -> Image:
    """Decode a whole picture to BGR into a buffer of the caller's.

    out : uint8 (h, w, 3), contiguous; (h, w) is full size, or one of the sizes that `Header.scaled` returns.
    full : (height, width) in the header, where the caller has read it already.
    fast : fast DCT and plain chroma upsampling (a few levels off); otherwise the accurate ones.

    strict : raise for whatever libjpeg-turbo so much as warns of. Many such pictures are whole: see
        `saccade.capture.still.open_jpeg`.

    Raises `JpegError` when the picture is damaged, or its size is not what `out` expects.
    """
    height, width = out.shape[:2]
    if full is None:
        header = read_header(data)
        full = header.height, header.width
    # A size of exactly the asked scale makes simplejpeg choose that scale; none means full size.
    scaled = full != (height, width)
    try:
        picture = simplejpeg.decode_jpeg(
            data,
            "BGR",
            fastdct=fast,
            fastupsample=fast,
            min_height=height if scaled else 0,
            min_width=width if scaled else 0,
            buffer=out,
            strict=strict,
        )
    except _FAULTS as error:
        raise JpegError(f"damaged JPEG of {full[1]}x{full[0]} px ({len(data)} bytes): {_reason(error)}") from error
    if picture.shape != out.shape:
        raise JpegError(f"JPEG decodes to {picture.shape[1]}x{picture.shape[0]} px; the buffer is for {width}x{height}")
    return out


def decode(data: Compressed, min_height: int = 0, min_width: int = 0, *, fast: bool = False) -> Image:
    """Decode to a new BGR array, at the smallest DCT scale that is at least the size asked for (0: full size)."""
    header = read_header(data)
    out = np.empty((*header.scaled(min_height, min_width), 3), np.uint8)
    return decode_into(data, out, full=(header.height, header.width), fast=fast)


def decode_luma(data: Compressed, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Brightness at an eighth of the size: uint8 (ceil(H / 8), ceil(W / 8)), new; the cheapest way to see a picture.

    Damage that leaves something to see is no error. Raises `JpegError` for the rest.
    """
    header = read_header(data, max_pixels=max_pixels)
    height, width = -(-header.height // _FACTORS[0]), -(-header.width // _FACTORS[0])
    try:
        luma: Image = simplejpeg.decode_jpeg(
            data, "GRAY", fastdct=True, fastupsample=True, min_height=height, min_width=width, strict=False
        )[:, :, 0]
    except _FAULTS as error:
        raise JpegError(f"damaged JPEG of {header.width}x{header.height} px: {_reason(error)}") from error
    return luma


def decode_rows(data: Compressed, out: Image, rows: int, *, strict: bool = True) -> int:
    """Decode at least the upper `rows` rows at full size, accurately, and return how many are right in `out`.

    The decoder is told of a lower picture, so that it stops there: a region in the upper part of a frame costs
    only its share of the full picture. Rows equal those of an accurate full decode.

    out : uint8 (height, width, 3) of the full picture's size, C-contiguous; rows below the result are undefined.
    """
    header = read_header(data)
    if out.shape != (header.height, header.width, 3):
        raise JpegError(f"JPEG of {header.width}x{header.height} px; the buffer is for {out.shape[1]}x{out.shape[0]}")
    # An MCU has at most 32 rows. One row of MCUs more, since smooth chroma upsampling looks one row ahead.
    cut = -(-rows // 32) * 32 + 32
    frame = markers.frame_header(data)
    if cut >= header.height or frame is None or not frame.sequential:
        decode_into(data, out, full=(header.height, header.width), fast=False, strict=strict)
        return header.height
    lower = bytearray(data)
    lower[frame.height_at : frame.height_at + 2] = cut.to_bytes(2, "big")
    try:
        # The rest of the scan is foreign data to the decoder, hence not strict.
        simplejpeg.decode_jpeg(lower, "BGR", buffer=out[:cut], strict=False)
    except _FAULTS as error:
        raise JpegError(f"damaged JPEG of {header.width}x{header.height} px: {_reason(error)}") from error
    return cut - 32


def encode(
    picture: Image, *, quality: int = 85, subsampling: Literal["444", "422", "420"] = "420", fast: bool = True
) -> bytes:
    """Compress a BGR picture, uint8 (h, w, 3), to JPEG."""
    if picture.size == 0:
        raise ValueError(f"picture of shape {picture.shape} holds no pixel; give at least 1x1")
    contiguous: Any = np.ascontiguousarray(picture)
    data: bytes = simplejpeg.encode_jpeg(contiguous, quality, "BGR", subsampling, fastdct=fast)
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "no picture header"
    return str(error).removeprefix("tjDecompressHeader3(): ").removeprefix("Corrupt JPEG data: ")
