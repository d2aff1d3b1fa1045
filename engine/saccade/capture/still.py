"""The one door for compressed pictures: size limit, verdict on damage, orientation, decoding.

JPEG goes to libjpeg-turbo as it is, and whatever that warns of refuses the picture. The refused are put right where
only the header is odd, and asked again. On those refused still, FFmpeg gives a second opinion: where it finds every
block of the picture, libjpeg-turbo decodes without minding its warnings (OpenCV where the binding has no name for the
sampling factors); where not, the picture is damaged. Other formats have their size and completeness checked before
OpenCV sees them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from saccade.capture import formats, jpeg, markers
from saccade.capture.orientation import upright
from saccade.errors import JpegError
from saccade.frame import Image

MAX_PIXELS = jpeg.MAX_PIXELS
"""Default limit of every source, px."""

_SENTINEL = b"\xff\x00" * 64
"""No Huffman code is all ones (T.81 C.2): a decoder that needs bits beyond the scan stumbles over these."""


class Way(Enum):
    """Who could decode a picture."""

    AS_IS = "as it is"
    MENDED = "mended"
    SECOND = "second opinion"


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded JPEG picture.

    header : size. picture : BGR at the size asked for. data : what libjpeg-turbo decodes again at another size, the
    bytes given or mended ones; None where only OpenCV can: `picture` is of full size then. strict : see
    `jpeg.decode_into`.
    """

    header: jpeg.Header
    way: Way
    picture: Image
    data: jpeg.Compressed | None
    strict: bool = True


def new_picture(size: tuple[int, int]) -> Image:
    """Memory for a picture of (height, width)."""
    return np.empty((*size, 3), np.uint8)


def open_jpeg(
    data: jpeg.Compressed,
    size: tuple[int, int] = (0, 0),
    memory: Callable[[tuple[int, int]], Image] = new_picture,
    *,
    mend: bool = False,
    fast: bool = True,
    max_pixels: int = MAX_PIXELS,
) -> Opened:
    """Decode a JPEG picture by whatever decodes all of it.

    size : (min_height, min_width), (0, 0) for full size. memory : gives the buffer for a (height, width). mend : put
    the header right at once, for sources of which earlier pictures needed it. fast : see `jpeg.decode_into`.

    Raises
    ------
    JpegError : the picture is damaged, cut short or above `max_pixels`, by the last decoder's words.
    """

    def turbo(candidate: jpeg.Compressed, way: Way, *, strict: bool = True) -> Opened:
        header = jpeg.read_header(candidate, max_pixels=max_pixels)
        markers.check_scans(candidate)
        out = memory(header.scaled(*size))
        jpeg.decode_into(candidate, out, full=(header.height, header.width), fast=fast, strict=strict)
        return Opened(header, way, out, candidate, strict)

    refused: JpegError | None = None
    if not mend:
        try:
            return turbo(data, Way.AS_IS)
        except JpegError as error:
            refused = error
    try:
        candidates = markers.mended(data)
    except JpegError as error:
        raise refused or error from None
    for right in candidates:
        try:
            clean = len(right) == len(data) and right == bytes(data)
            return turbo(right, Way.AS_IS if clean else Way.MENDED)
        except JpegError as error:
            refused = error
    if not _is_whole(right, max_pixels=max_pixels, ended=b"\xff\xd9" in bytes(data[-4096:])):
        assert refused is not None
        raise refused
    try:
        return turbo(right, Way.SECOND, strict=False)
    except JpegError:
        picture = _opencv(right, "JPEG")
        height, width = picture.shape[:2]
        return Opened(jpeg.Header(height, width, "unknown"), Way.SECOND, picture, None)


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Any still picture, upright, uint8 (h, w, 3) BGR.

    Raises
    ------
    JpegError : no format that saccade reads, damaged or cut short, or more than `max_pixels` pixels.
    """
    if data.startswith(formats.JPEG[:2]):
        return upright(open_jpeg(data, fast=False, max_pixels=max_pixels).picture, jpeg.orientation(data))
    known = formats.format_of(data)
    if known is None:
        raise JpegError(f"{len(data)} bytes are no picture; expected JPEG, PNG, WebP, BMP, TIFF, GIF or PNM")
    check_size(known.name, *formats.size_of(known, data), max_pixels)
    formats.check_whole(known, data)
    if known.name == "AVIF":
        _check_coded_sizes(data, max_pixels)
    return _opencv(data, known.name)


def check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    """Raises `JpegError` for a picture of more pixels than are allowed."""
    if width * height > max_pixels:
        raise JpegError(f"{name} of {width}x{height} px is above the limit of {max_pixels} pixels")


def _check_coded_sizes(data: bytes, max_pixels: int) -> None:
    """Ask FFmpeg for each coded picture of an AVIF file: its boxes may say another size than the pictures inside.

    Raises `JpegError` for one that is larger than allowed, or that cannot be decoded.
    """
    import av

    limit = {"max_pixels": str(max_pixels)}
    try:
        with av.open(io.BytesIO(data), "r", options=limit) as container:
            for stream in container.streams.video:
                stream.codec_context.options = limit
                stream.thread_count = 1
                if not any(packet.decode() for packet in container.demux(stream)):
                    raise JpegError(f"damaged AVIF of {len(data)} bytes: a picture in it is missing or broken")
                container.seek(0)
    except (av.error.FFmpegError, ValueError) as error:
        raise JpegError(f"AVIF of {len(data)} bytes is damaged, or above the limit of {max_pixels} pixels") from error


def _is_whole(data: bytes, *, max_pixels: int, ended: bool) -> bool:
    """The second opinion on JPEG bytes that end in EOI: True where FFmpeg finds every block of the picture.

    ended : the picture came with an EOI of its own. Where FFmpeg lacks the sampling factors, that has to do.
    """
    import av

    frame = markers.frame_header(data)
    if frame is None:
        return False
    check_size("JPEG", frame.width, frame.height, max_pixels)
    context = av.CodecContext.create("mjpeg", "r")
    context.thread_count = 1
    context.options = {"err_detect": "explode"}
    try:
        frames = context.decode(av.Packet(data[:-2] + _SENTINEL + data[-2:])) or context.decode(None)
    except av.error.PatchWelcomeError:
        return ended
    except (av.error.FFmpegError, ValueError):
        return False
    return [(found.width, found.height) for found in frames] == [(frame.width, frame.height)]


def _opencv(data: bytes, name: str) -> Image:
    import cv2

    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if name == "JPEG" else 0)
    log = cv2.utils.logging
    level = log.setLogLevel(log.LOG_LEVEL_SILENT)  # what it says of a file goes to standard error, unescaped
    try:
        picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise JpegError(f"{name} of {len(data)} bytes cannot be decoded: {error.err or error.code}") from error
    finally:
        log.setLogLevel(level)
    if picture is None:
        raise JpegError(f"{name} of {len(data)} bytes cannot be decoded")
    return picture  # type: ignore[no-any-return]
