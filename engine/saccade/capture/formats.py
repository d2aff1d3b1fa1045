"""Sizes of still pictures from their headers, and whether a file is all there, before any decoder sees it.

OpenCV allocates what a header claims, and hands out the upper part of a truncated file as if it were the picture.
Each format that saccade reads has a line in `_FORMATS`: how to know it, its size, and what it is short of. JPEG is
not among them; see `saccade.capture.markers`.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from saccade.errors import JpegError

Size = tuple[int, int]
"""(width, height), px."""

JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file.

    magic : pattern at its start. size : from the bytes of its head. lack : what the file is short of, empty if nothing.
    """

    name: str
    magic: re.Pattern[bytes]
    size: Callable[[bytes], Size]
    lack: Callable[[bytes], str]


def format_of(head: bytes) -> Format | None:
    """The format whose magic number the bytes start with; None for everything that is no known still picture."""
    return next((known for known in _FORMATS if known.magic.match(head)), None)


def is_picture(head: bytes) -> bool:
    """True where the first bytes are those of a picture, JPEG or another."""
    return head.startswith(JPEG) or format_of(head) is not None


def size_of(known: Format, data: bytes) -> Size:
    """(width, height) that the header claims, px. Raises `JpegError` for headers that make no sense."""
    try:
        width, height = known.size(data)
    except (struct.error, IndexError, ValueError) as error:
        raise JpegError(f"{known.name} header of {len(data)} bytes is cut short or makes no sense") from error
    if width <= 0 or height <= 0:
        raise JpegError(f"{known.name} header gives {width}x{height} px; both must be positive")
    return width, height


def check_whole(known: Format, data: bytes) -> None:
    """Raises `JpegError` where a part of the file is missing or its checksums do not hold."""
    try:
        lack = known.lack(data)
    except (struct.error, IndexError, ValueError):
        lack = "its end"
    if lack:
        raise JpegError(f"damaged {known.name} of {len(data)} bytes: {lack} is missing or broken")


def _number(data: bytes, form: str, position: int) -> Any:
    return struct.unpack_from(form, data, position)[0]


def _nothing(data: bytes) -> str:
    return ""


def _png_size(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _png_lack(data: bytes) -> str:
    """Chunks up to IEND, each with its checksum (PNG specification, 5.3)."""
    position, seen = 8, False
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = position + 8
        if body + length + 4 > len(data):
            return f"a part of chunk {kind.decode('ascii', 'replace')}"
        if kind.isupper() and zlib.crc32(data[position + 4 : body + length]) != _number(data, ">I", body + length):
            return f"the checksum of chunk {kind.decode('ascii')}"
        seen |= kind == b"IDAT"
        if kind == b"IEND":
            return "" if seen else "chunk IDAT"
        position = body + length + 4
    return "chunk IEND"


def _gif_size(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _gif_lack(data: bytes) -> str:
    """Blocks up to the end of the first picture's data (GIF89a, 19 to 22)."""
    position = 13 + _gif_table(data[10])
    while True:
        kind = data[position]
        if kind == 0x2C:
            position = _gif_after_blocks(data, position + 11 + _gif_table(data[position + 9]))
            return "" if position <= len(data) else "a part of its picture"
        if kind != 0x21:
            return "its picture"
        position = _gif_after_blocks(data, position + 2)


def _gif_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _gif_after_blocks(data: bytes, position: int) -> int:
    while data[position]:
        position += 1 + data[position]
    return position + 1


def _bmp_size(data: bytes) -> Size:
    if _number(data, "<I", 14) == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _bmp_lack(data: bytes) -> str:
    """Rows of the uncompressed kinds; run lengths tell themselves."""
    width, height = _bmp_size(data)
    core = _number(data, "<I", 14) == 12
    bits = _number(data, "<H", 24 if core else 28)
    compression = 0 if core else _number(data, "<I", 30)
    rows = -(-width * bits // 32) * 4 * height
    short = compression in (0, 3) and _number(data, "<I", 10) + rows > len(data)
    return "a part of its rows" if short else ""


def _webp_size(data: bytes) -> Size:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = _number(data, "<I", 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _webp_lack(data: bytes) -> str:
    return "its end" if _number(data, "<I", 4) + 8 > len(data) else ""


def _tiff_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """The whole-number tags of the first directory (TIFF 6.0, section 2; BigTIFF).

    Of a tag that stands there twice the larger counts: decoders differ in which of the two they take.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = _number(data, order + "H", 2) == 43
    position = _number(data, order + ("Q" if big else "I"), 8 if big else 4)
    count = _number(data, order + ("Q" if big else "H"), position)
    position += 8 if big else 2
    tags: dict[int, tuple[int, ...]] = {}
    for _ in range(min(count, 4096)):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, position)
        letter, value = _TIFF_WHOLE.get(kind), position + (12 if big else 8)
        if letter is not None and number <= len(data):
            form = f"{order}{number}{letter}"
            if struct.calcsize(form) > (8 if big else 4):
                value = _number(data, order + ("Q" if big else "I"), value)
            tags[tag] = max(tags.get(tag, ()), struct.unpack_from(form, data, value))
        position += 20 if big else 12
    return tags


_TIFF_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
"""Types of whole numbers, which decoders take for one another."""


def _tiff_size(data: bytes) -> Size:
    tags = _tiff_tags(data)
    width, height = max(tags.get(256, (0,))), max(tags.get(257, (0,)))
    # Decoders allocate a tile, however small the picture in it.
    return max(width, *tags.get(322, (0,))), max(height, *tags.get(323, (0,)))


def _tiff_lack(data: bytes) -> str:
    """Strips or tiles inside the file."""
    tags = _tiff_tags(data)
    offsets, counts = tags.get(273) or tags.get(324, ()), tags.get(279) or tags.get(325, ())
    if not offsets:
        return "its data"
    reach = max((a + b for a, b in zip(offsets, counts, strict=False)), default=max(offsets))
    return "a part of its data" if reach > len(data) else ""


def _pnm_head(data: bytes) -> tuple[list[int], int]:
    """Width, height and, but for bitmaps, the largest value; and where the pixels start (Netpbm)."""
    wanted = 2 if data[1:2] in b"14" else 3
    text = re.match(rb"P\d(?:\s+(?:#[^\r\n]*[\r\n]\s*)*(\d{1,9})){%d}\s" % wanted, data[:4096])
    if text is None:
        raise ValueError("no Netpbm header")
    bare = re.sub(rb"#[^\r\n]*[\r\n]", b" ", text[0])
    return [int(word) for word in bare.split()[1:]], text.end()


def _pnm_size(data: bytes) -> Size:
    width, height, *_ = _pnm_head(data)[0]
    return width, height


def _pnm_lack(data: bytes) -> str:
    (width, height, *most), start = _pnm_head(data)
    kind = data[1:2]
    if kind in b"123":
        needed = width * height * (3 if kind == b"3" else 1)
        have = len(data[start:].split()) if kind != b"1" else sum(map(data[start:].count, (b"0", b"1")))
        return "" if have >= needed else "a part of its pixels"
    row = -(-width // 8) if kind == b"4" else width * (3 if kind == b"6" else 1) * (2 if most[0] > 255 else 1)
    return "" if start + row * height <= len(data) else "a part of its pixels"


def _jpeg2000_size(data: bytes) -> Size:
    """SIZ of the code stream (T.800 A.5.1): reference grid less offset; the largest where several seem to be there."""
    sizes = [struct.unpack_from(">IIII16xH", data, found.end()) for found in _SIZ.finditer(data)]
    if not sizes:
        raise ValueError("no code stream")
    if any(components > 4 for *_, components in sizes):
        raise ValueError("more than four components")
    return max(right - left for right, _, left, _, _ in sizes), max(low - up for _, low, _, up, _ in sizes)


_SIZ = re.compile(rb"\xff\x4f\xff\x51.{4}", re.DOTALL)


def _jpeg2000_lack(data: bytes) -> str:
    return "" if b"\xff\xd9" in data[-64:] else "the end of its code stream"


def _avif_size(data: bytes) -> Size:
    """The largest of its item sizes (ISO 23008-12, 6.5.3)."""
    sizes = list(_ispe(data))
    if not sizes:
        raise ValueError("no size box")
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _ispe(data: bytes) -> Iterator[Size]:
    position = data.find(b"ispe")
    while position >= 0:
        width, height = struct.unpack_from(">II", data, position + 8)
        yield width, height
        position = data.find(b"ispe", position + 4)


def _format(name: str, magic: bytes, size: Callable[[bytes], Size], lack: Callable[[bytes], str] = _nothing) -> Format:
    return Format(name, re.compile(magic, re.DOTALL), size, lack)


_FORMATS = (
    _format("PNG", rb"\x89PNG\r\n\x1a\n", _png_size, _png_lack),
    _format("GIF", rb"GIF8[79]a", _gif_size, _gif_lack),
    _format("BMP", rb"BM.{12}[\x0c\x28-\x80]\0\0\0", _bmp_size, _bmp_lack),
    _format("WebP", rb"RIFF.{4}WEBPVP8[ LX]", _webp_size, _webp_lack),
    _format("TIFF", rb"II[*+]\0|MM\0[*+]", _tiff_size, _tiff_lack),
    _format("PNM", rb"P[1-6]\s", _pnm_size, _pnm_lack),
    _format("JPEG 2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", _jpeg2000_size, _jpeg2000_lack),
    _format("AVIF", rb".{4}ftypavi[fs]", _avif_size),
)

HEAD_BYTES = 1 << 12
"""Enough of a file to know its format."""
