"""Where decoding of H.264 may begin (ITU-T H.264, 7.3.1, 7.3.3, D.2.8).

Parsers and the writers that trust them mark every recovery point as a key frame. With intra refresh, as low-delay
cameras send it, that is a frame like any other, from which on some frames later the whole picture is there: what begins
at it shows nothing for so long.
"""

from __future__ import annotations

from collections.abc import Iterator

_SLICE, _PARTITION, _IDR, _SEI = 1, 2, 5, 6
_RECOVERY_POINT = 6
_INTRA = (2, 4, 7, 9)


def length_size(extradata: bytes | None) -> int:
    """Bytes before each NAL unit that give its length; 0 where start codes part them. extradata : of the stream."""
    return (extradata[4] & 3) + 1 if extradata and len(extradata) > 6 and extradata[0] == 1 else 0


def begins_whole(data: bytes, length: int) -> bool:
    """Whether the picture of a packet that is marked as a key frame is whole without any before it.

    length : see `length_size`.
    """
    recovers_later = False
    for unit in _units(data, length):
        kind = unit[0] & 31
        if kind == _IDR:
            return True
        if kind == _SEI:
            delay = _recovery(unit)
            if delay is not None and delay:
                recovers_later = True
        elif kind in (_SLICE, _PARTITION):
            return not recovers_later and _slice_type(unit) in _INTRA
    return True  # nothing that is known here: the mark is trusted


def _units(data: bytes, length: int) -> Iterator[bytes]:
    """The first bytes of each NAL unit, or all of it where it is short."""
    at = 0
    if length:
        while at + length < len(data):
            size = int.from_bytes(data[at : at + length], "big")
            at += length
            if size:
                yield data[at : at + min(size, 256)]
            at += size
        return
    while (at := data.find(b"\0\0\1", at)) >= 0 and at + 3 < len(data):
        at += 3
        yield data[at : at + 256]


def _recovery(unit: bytes) -> bool | None:
    """Whether a recovery point lies some frames ahead; None where the message is another."""
    data, at = unit.replace(b"\0\0\3", b"\0\0"), 1
    while at + 2 < len(data) and data[at] != 0x80:
        numbers = []
        for _ in range(2):  # kind and size of a message, each a sum of bytes
            total = 0
            while at < len(data) and data[at] == 255:
                total, at = total + 255, at + 1
            if at >= len(data):
                return None
            numbers.append(total + data[at])
            at += 1
        if numbers[0] == _RECOVERY_POINT:
            return at < len(data) and data[at] < 128  # an Exp-Golomb 0 is a single 1
        at += numbers[1]
    return None


def _slice_type(unit: bytes) -> int:
    """Second number of a slice's header."""
    bits = "".join(f"{byte:08b}" for byte in unit[1:16].replace(b"\0\0\3", b"\0\0"))
    value = at = 0
    for _ in range(2):
        zeros = bits.find("1", at) - at
        if zeros < 0 or at + 2 * zeros + 1 > len(bits):
            return -1
        value = int(bits[at + zeros : at + 2 * zeros + 1], 2) - 1
        at += 2 * zeros + 1
    return value
