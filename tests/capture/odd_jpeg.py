"""JPEG pictures as odd cameras write them: any sampling factors, odd headers, padding, missing markers."""

from __future__ import annotations

from collections.abc import Callable

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_DC_BITS = bytes([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
_DC_CODES: dict[int, tuple[int, int]] = {}
_code = _next = 0
for _length, _count in enumerate(_DC_BITS, 1):
    for _ in range(_count):
        _DC_CODES[_next] = _code, _length
        _code, _next = _code + 1, _next + 1
    _code <<= 1

Plane = Callable[[int, float, float], float]
"""``plane(component, x, y)`` -> level from 0 to 255; x and y from 0 to 1."""


def ramps(component: int, x: float, y: float) -> float:
    """A slope in each component."""
    return (60 + 150 * x, 90 + 70 * y, 180 - 90 * x * y)[component]


def flat(level: float) -> Plane:
    """One grey."""
    return lambda component, x, y: 128 if component else level


def segment(marker: int, payload: bytes) -> bytes:
    """A marker segment with its length."""
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def tiny(
    height: int,
    width: int,
    plane: Plane = ramps,
    sampling: tuple[tuple[int, int], ...] = ((2, 2), (1, 1), (1, 1)),
    app: bytes = b"",
    se: int = 63,
) -> bytes:
    """A baseline picture of flat blocks of 8x8 samples, by the letter of ITU-T T.81; app : segments behind SOI."""
    most_h, most_v = max(h for h, _ in sampling), max(v for _, v in sampling)
    columns, rows = -(-width // (8 * most_h)), -(-height // (8 * most_v))
    bits: list[str] = []
    before = [0] * len(sampling)
    for row in range(rows):
        for column in range(columns):
            for component, (h, v) in enumerate(sampling):
                for j in range(v):
                    for i in range(h):
                        x, y = (column * h + i + 0.5) / (columns * h), (row * v + j + 0.5) / (rows * v)
                        level = round(plane(component, x, y) - 128)
                        difference, before[component] = level - before[component], level
                        bits.append(_dc(difference) + "00")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")
    count = bytes([len(sampling)])
    frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + count
    frame += b"".join(bytes([index + 1, h << 4 | v, 0]) for index, (h, v) in enumerate(sampling))
    components = b"".join(bytes([index + 1, 0]) for index in range(len(sampling)))
    return b"".join(
        [
            SOI,
            app,
            segment(0xDB, b"\0" + bytes([8] * 64)),
            segment(0xC0, frame),
            segment(0xC4, b"\0" + _DC_BITS + bytes(range(12))),
            segment(0xC4, b"\x10" + bytes([0, 1] + [0] * 14) + b"\0"),
            segment(0xDA, count + components + bytes([0, se, 0])),
            scan,
            EOI,
        ]
    )


def _dc(difference: int) -> str:
    size = abs(difference).bit_length()
    code, length = _DC_CODES[size]
    value = difference if difference > 0 else difference + (1 << size) - 1
    return format(code, f"0{length}b") + (format(value, f"0{size}b") if size else "")


def scan_start(data: bytes) -> int:
    """Offset of the SOS marker."""
    position = 2
    while data[position + 1] != 0xDA:
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position


def with_app(data: bytes, app: bytes) -> bytes:
    """The picture with segments put in behind SOI, in place of a JFIF segment."""
    end = 2
    if data[2:4] == b"\xff\xe0":
        end += 2 + int.from_bytes(data[4:6], "big")
    return data[:2] + app + data[end:]


def jfif(version: int) -> bytes:
    """APP0 of a JFIF version, such as 0x0201."""
    return segment(0xE0, b"JFIF\0" + version.to_bytes(2, "big") + b"\0\0\1\0\1\0\0")


def adobe(transform: int) -> bytes:
    """APP14 with a colour transform."""
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def exif(orientation: int, order: str = "big") -> bytes:
    """APP1 with an orientation."""
    mark = b"MM" if order == "big" else b"II"

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, order)  # type: ignore[arg-type]

    entry = number(0x0112, 2) + number(3, 2) + number(1, 4) + number(orientation, 2) + bytes(2)
    return segment(0xE1, b"Exif\0\0" + mark + number(42, 2) + number(8, 4) + number(1, 2) + entry + bytes(4))


def thumbnail(data: bytes) -> bytes:
    """APP1 that holds a whole picture."""
    return segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + data)


def padded(data: bytes, padding: bytes) -> bytes:
    """Bytes between scan and EOI."""
    return data[:-2] + padding + data[-2:]


def filled(data: bytes, count: int = 3) -> bytes:
    """Fill bytes before the first marker behind SOI, before SOS and before EOI."""
    position, fill = scan_start(data), b"\xff" * count
    return data[:2] + fill + data[2:position] + fill + data[position:-2] + fill + data[-2:]


def with_se(data: bytes, se: int) -> bytes:
    """Another end of spectral selection in the scan header."""
    position = scan_start(data)
    end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data[: end - 2] + bytes([se]) + data[end - 1 :]
