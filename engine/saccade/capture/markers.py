"""The marker segments of a JPEG picture (ITU-T T.81 annex B): what its header says, and a header put right.

Nothing is decoded here. Cameras write headers that decoders only warn of: an unknown JFIF revision or Adobe
transform, odd scan parameters, a second SOI, zeros behind the scan, no EOI. `mended` writes the same picture as the
standard has it, so that a strict decoder's verdict is about the picture and not about its header.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from saccade.errors import JpegError

DHT, SOI, EOI, SOS, APP0, APP1, APP14 = 0xC4, 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_ALONE = frozenset({0x01, *range(0xD0, 0xDA)})
_YCBCR = 1
MAX_SCANS = 200
"""Encoders write ten scans, optimisers some sixty."""


class MarkerSegment(NamedTuple):
    """One marker with its payload. start, end : offsets of the payload; start is behind the two bytes of length."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What SOF says. process : low byte of the marker.

    height_at : offset of the two bytes of height.
    """

    process: int
    height: int
    width: int
    height_at: int

    @property
    def sequential(self) -> bool:
        """True for baseline and extended Huffman pictures."""
        return self.process in _SEQUENTIAL


def segment(data: bytes | bytearray | memoryview, position: int, end: int) -> MarkerSegment | None:
    """The marker at `position`, fill bytes before it passed over (T.81 B.1.1.2); None when more bytes are needed.

    Marker 0 stands for bytes that are no marker, or one whose length cannot be.
    """
    if position < end and data[position] != 0xFF:
        return MarkerSegment(0, position, position)
    while position + 1 < end and data[position + 1] == 0xFF:
        position += 1
    if position + 1 >= end:
        return None
    marker = data[position + 1]
    if marker in _ALONE:
        return MarkerSegment(marker, position + 2, position + 2)
    if marker < 0xC0:
        return MarkerSegment(0, position, position)
    if position + 4 > end:
        return None
    length = data[position + 2] << 8 | data[position + 3]
    if length < 2:
        return MarkerSegment(0, position, position)
    return MarkerSegment(marker, position + 4, position + 2 + length)


def header(data: bytes | bytearray | memoryview) -> Iterator[MarkerSegment]:
    """The segments behind SOI up to SOS, which is the last; ends early where the bytes are none."""
    position, end = 2, len(data)
    while (found := segment(data, position, end)) is not None and found.marker and found.end <= end:
        yield found
        if found.marker in (SOS, EOI):
            return
        position = found.end


def frame_header(data: bytes | bytearray | memoryview) -> FrameHeader | None:
    """Size of the picture; None where no usable SOF stands before the scan."""
    for found in header(data):
        start = found.start
        if found.marker in _FRAMES and found.end - start >= 6:
            count = data[start + 5]
            if found.end - start < 6 + 3 * count:
                return None
            return FrameHeader(
                process=found.marker,
                height=data[start + 1] << 8 | data[start + 2],
                width=data[start + 3] << 8 | data[start + 4],
                height_at=start + 1,
            )
    return None


def check_scans(data: bytes | bytearray | memoryview) -> None:
    """Raises `JpegError` for a picture of more scans than any encoder writes.

    A progressive scan goes over all blocks, and may do so in a hundred bytes: a small file keeps a decoder busy for
    minutes.
    """
    frame = frame_header(data)
    if (frame is None or not frame.sequential) and (count := bytes(data).count(b"\xff\xda")) > MAX_SCANS:
        raise JpegError(f"JPEG of {count} scans; expected at most {MAX_SCANS}")


def exif(data: bytes | bytearray | memoryview) -> bytes:
    """The TIFF structure of the EXIF segment; empty where there is none before the frame header."""
    for found in header(data):
        if found.marker == APP1 and data[found.start : found.start + 6] == b"Exif\0\0":
            return bytes(data[found.start + 6 : found.end])
        if found.marker in _FRAMES:
            break
    return b""


def mended(data: bytes | bytearray | memoryview) -> list[bytes]:
    """The same picture with a header as the standard has it, no zeros behind its scan, and an EOI.

    Two where the scan ended in zeros, of which the first may belong to it. Scan data is left alone otherwise: whether
    it is all there is for the decoder to say. Raises `JpegError` where no header with frame and scan is found.
    """
    source = bytes(data)
    position, end, parts = _picture_start(source), len(source), [b"\xff\xd8"]
    frame, tables = b"", b""
    while True:
        found = segment(source, position, end)
        if found is None or found.marker == EOI or found.end > end:
            raise JpegError(f"JPEG header in {end} bytes ends before its scan")
        if found.marker == 0:
            # Bytes between two segments: decoders look for the next marker.
            position = source.find(b"\xff", position + 1)
            if position < 0:
                raise JpegError(f"JPEG header in {end} bytes ends before its scan")
            continue
        position = found.end
        if found.marker == SOI:
            parts, frame = [b"\xff\xd8"], b""
            continue
        if found.marker in _ALONE:
            continue
        payload = source[found.start : found.end]
        if found.marker in _FRAMES:
            frame = bytes([found.marker]) + payload
        elif found.marker == DHT:
            tables += payload
        parts.append(b"\xff" + bytes([found.marker]) + source[found.start - 2 : found.start] + _right(found, payload))
        if found.marker == SOS:
            break
    if len(frame) < 7:
        raise JpegError(f"JPEG of {end} bytes has a scan but no frame header")
    scan = _scan_of(source, position)
    bare = scan if _blocks_may_be_zeros(tables) else scan.rstrip(b"\0")
    if frame[0] in _SEQUENTIAL:
        parts[-1] = _sequential(parts[-1])
        bare = _sequential_scans(bare)
    # A last byte of 0xFF is stuffed with a zero of its own.
    ends = [b"\0"] if bare.endswith(b"\xff") else [b""] if len(bare) == len(scan) else [b"", b"\0"]
    return [b"".join([*parts, bare, end, b"\xff\xd9"]) for end in ends]


def _picture_start(source: bytes) -> int:
    if source[:2] != b"\xff\xd8":
        raise JpegError(f"{len(source)} bytes do not start a JPEG picture")
    return 2


def _right(found: MarkerSegment, payload: bytes) -> bytes:
    """The payload of an application segment with a revision and a transform that every decoder knows."""
    if found.marker == APP0 and payload[:5] == b"JFIF\0" and len(payload) >= 7 and payload[5] != 1:
        return payload[:5] + b"\x01\x02" + payload[7:]
    if found.marker == APP14 and payload[:5] == b"Adobe" and len(payload) >= 12 and payload[11] > 2:
        # Decoders take an unknown transform for YCbCr.
        return payload[:11] + bytes([_YCBCR]) + payload[12:]
    return payload


def _sequential(scan_header: bytes) -> bytes:
    """SOS of a sequential picture: spectral selection 0 to 63, no approximation (T.81 table B.3)."""
    return scan_header[:-3] + b"\x00\x3f\x00" if len(scan_header) >= 8 else scan_header


def _sequential_scans(scan: bytes) -> bytes:
    """The same for further scans, where components come one after the other."""
    position = scan.find(b"\xff\xda")
    while position >= 0:
        found = segment(scan, position, len(scan))
        if found is not None and found.end <= len(scan):
            scan = scan[:position] + _sequential(scan[position : found.end]) + scan[found.end :]
        position = scan.find(b"\xff\xda", position + 2)
    return scan


def _scan_of(source: bytes, start: int) -> bytes:
    """Scan data up to the first EOI without fill bytes before it, or up to the end."""
    end = source.find(b"\xff\xd9", start)
    return source[start:end].rstrip(b"\xff") if end >= 0 else source[start:]


def _blocks_may_be_zeros(tables: bytes) -> bool:
    """True where all blocks may end with the code of zeros, as Huffman tables made for flat pictures have it.

    The first symbol of a table has that code (T.81 C.2). Zeros behind a scan may be its last blocks then. With the
    tables of T.81 K.3 this holds for chrominance only, of which no more than one byte can stand at the end.
    """
    position, firsts = 0, set()
    while position + 17 < len(tables):
        if tables[position] >> 4:
            firsts.add(tables[position + 17])
        position += 17 + sum(tables[position + 1 : position + 17])
    return firsts == {0}
