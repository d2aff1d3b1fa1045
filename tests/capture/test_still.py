"""The door for still pictures: what is a loss and what only a warning, limits, truncation, orientation."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import odd_jpeg
import pytest
from capture_tools import scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from saccade.capture import jpeg, still
from saccade.capture.still import Way
from saccade.errors import JpegError

PLAIN = jpeg.encode(scene(96, 128))
ODD = {
    "JFIF 2.1": odd_jpeg.with_app(PLAIN, odd_jpeg.jfif(0x0201)),
    "JFIF 3.0": odd_jpeg.with_app(PLAIN, odd_jpeg.jfif(0x0300)),
    "JFIF 0.9": odd_jpeg.with_app(PLAIN, odd_jpeg.jfif(0x0009)),
    "Adobe 7": odd_jpeg.with_app(PLAIN, odd_jpeg.adobe(7)),
    "Adobe 255": odd_jpeg.with_app(PLAIN, odd_jpeg.adobe(255)),
    "Se 0": odd_jpeg.with_se(PLAIN, 0),
    "Se 10": odd_jpeg.with_se(PLAIN, 10),
    "padding 96": odd_jpeg.padded(PLAIN, bytes(96)),
    "padding 604": odd_jpeg.padded(PLAIN, bytes(604)),
    "padding 9000": odd_jpeg.padded(PLAIN, bytes(9000)),
    "two SOI": odd_jpeg.SOI + PLAIN,
    "three SOI": 2 * odd_jpeg.SOI + PLAIN,
    "SOI behind a segment": PLAIN[:20] + PLAIN,
    "no EOI": PLAIN[:-2],
    "no EOI, zeros": PLAIN[:-2] + bytes(400),
    "half an EOI": PLAIN[:-1],
    "bytes between segments": PLAIN[:20] + b"\0\0junk" + PLAIN[20:],
    "several at once": odd_jpeg.padded(
        odd_jpeg.with_se(odd_jpeg.with_app(PLAIN, odd_jpeg.jfif(0x0201)), 0), bytes(300)
    ),
}
OTHERS_SAY = {
    "padding of text": odd_jpeg.padded(PLAIN, b"camera 7 " * 40),
    "padding of noise": odd_jpeg.padded(PLAIN, np.random.default_rng(1).integers(0, 200, 500, np.uint8).tobytes()),
    "a boundary in place of EOI": PLAIN[:-2] + b"\r\n--frame\r\nContent-Type: image/jpeg\r\n",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_headers_are_put_right(name):
    opened = still.open_jpeg(ODD[name], fast=False)
    assert opened.way is Way.MENDED
    np.testing.assert_array_equal(opened.picture, jpeg.decode(PLAIN))
    # What was put right is a clean picture for whoever gets it next.
    np.testing.assert_array_equal(jpeg.decode(opened.data), jpeg.decode(PLAIN))


@pytest.mark.parametrize("name", OTHERS_SAY)
def test_what_ffmpeg_finds_whole_is_whole(name):
    opened = still.open_jpeg(OTHERS_SAY[name], fast=False)
    assert opened.way is Way.SECOND
    np.testing.assert_array_equal(opened.picture, jpeg.decode(PLAIN))
    small = still.open_jpeg(OTHERS_SAY[name], (24, 32))
    assert small.picture.shape == (24, 32, 3)


@pytest.mark.parametrize("name", ["plain", "fill bytes", "trailing bytes"])
def test_what_is_legal_goes_the_short_way(name, monkeypatch):
    data = {"plain": PLAIN, "fill bytes": odd_jpeg.filled(PLAIN), "trailing bytes": PLAIN + bytes(5000)}[name]
    monkeypatch.setattr(still.markers, "mended", None)
    monkeypatch.setattr(still, "_is_whole", None)
    opened = still.open_jpeg(data)
    assert opened.way is Way.AS_IS
    assert opened.data is data


def test_a_source_of_odd_pictures_is_asked_for_no_clean_one_first(monkeypatch):
    strict = []
    real = jpeg.decode_into

    def counting(data, *args, **options):
        strict.append(bytes(data))
        return real(data, *args, **options)

    monkeypatch.setattr(jpeg, "decode_into", counting)
    assert still.open_jpeg(ODD["Se 0"], mend=True).way is Way.MENDED
    assert still.open_jpeg(PLAIN, mend=True).way is Way.AS_IS
    assert len(strict) == 2


LEGAL_FACTORS = [
    ((h, v), chroma)
    for h in (1, 2, 3, 4)
    for v in (1, 2, 3, 4)
    for chroma in ((1, 1), (1, 2), (2, 1))
    # At most ten blocks in a unit (T.81 B.2.3), and whole ratios, which is all that libjpeg has.
    if h * v + 2 * chroma[0] * chroma[1] <= 10 and max(h, chroma[0]) % h == max(h, chroma[0]) % chroma[0] == 0
    if max(v, chroma[1]) % v == max(v, chroma[1]) % chroma[1] == 0
]


@pytest.mark.parametrize(("luma", "chroma"), LEGAL_FACTORS)
def test_all_sampling_factors(luma, chroma):
    data = odd_jpeg.tiny(97, 131, sampling=(luma, chroma, chroma))
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    picture = still.open_jpeg(data, fast=False).picture
    assert picture.shape == (97, 131, 3)
    assert abs(picture.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("sampling", [((2, 2), (1, 1), (1, 1)), ((4, 2), (1, 1), (1, 1)), ((1, 4), (1, 1), (1, 1))])
def test_what_is_cut_short_is_damaged_wherever_it_is_cut(sampling):
    """Down to the last bits of the scan, whoever decodes it."""
    data = odd_jpeg.tiny(48, 64, lambda c, x, y: 255 * (x * 7 % 1), sampling)
    start = odd_jpeg.scan_start(data)
    for end in (*range(2, start, 9), *range(start, len(data) - 3)):
        for tail in (b"", odd_jpeg.EOI):
            with pytest.raises(JpegError):
                still.open_jpeg(data[:end] + tail)


@pytest.mark.parametrize(("kind", "least"), [("zeros", 28), ("dropped", 30), ("noise", 22)])
def test_holes_in_the_scan_are_damage(kind, least):
    """Codes fall into step again: by chance a hole leaves as many blocks as it took, or a few less."""
    data = jpeg.encode(scene(360, 640))
    random = np.random.default_rng(2)
    start, refused = odd_jpeg.scan_start(data) + 14, 0
    for _ in range(30):
        at = int(random.integers(start, len(data) - 1000))
        hole = {"zeros": bytes(500), "dropped": b"", "noise": random.integers(0, 255, 500, np.uint8).tobytes()}[kind]
        try:
            still.open_jpeg(data[:at] + hole + data[at + 500 :])
        except JpegError:
            refused += 1
    assert refused >= least


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_hostile_jpeg_ends_in_a_picture_or_an_error(data):
    picture = bytearray(data.draw(st.sampled_from([PLAIN, odd_jpeg.tiny(48, 64, sampling=((4, 2), (1, 1), (1, 1)))])))
    for _ in range(data.draw(st.integers(1, 8))):
        picture[data.draw(st.integers(2, len(picture) - 1))] = data.draw(st.integers(0, 255))
    try:
        opened = still.open_jpeg(bytes(picture), max_pixels=1 << 20)
    except JpegError:
        return
    assert opened.picture.shape == (opened.header.height, opened.header.width, 3)


def encoded(suffix: str, picture: np.ndarray) -> bytes:
    good, data = cv2.imencode(suffix, picture)
    assert good
    return data.tobytes()


def by_pillow(name: str, picture: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture[..., ::-1]).save(file, name, **options)
    return file.getvalue()


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], -1).astype(np.uint8)


SMOOTH = smooth(60, 90)
FILES = {
    "png": encoded(".png", SMOOTH),
    "bmp": encoded(".bmp", SMOOTH),
    "webp": encoded(".webp", SMOOTH),
    "lossless webp": by_pillow("WEBP", SMOOTH, lossless=True),
    "extended webp": by_pillow("WEBP", SMOOTH, exif=Image.Exif().tobytes() or b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
    "tiff": encoded(".tiff", SMOOTH),
    "tiled tiff": by_pillow("TIFF", SMOOTH, tile=(16, 16)),
    "packed tiff": by_pillow("TIFF", SMOOTH, compression="tiff_lzw"),
    "ppm": encoded(".ppm", SMOOTH),
    "jp2": encoded(".jp2", SMOOTH),
    "gif": by_pillow("GIF", SMOOTH),
    "jpg": jpeg.encode(SMOOTH),
}


@pytest.mark.parametrize("name", FILES)
def test_each_format_decodes(name):
    picture = still.decode(FILES[name])
    assert picture.shape == (60, 90, 3)
    assert abs(picture.astype(int) - SMOOTH).mean() < 12


@pytest.mark.parametrize("name", FILES)
def test_the_limit_holds_for_each_format(name):
    with pytest.raises(JpegError, match=r"of 90x60 px is above the limit of 5000 pixels"):
        still.decode(FILES[name], max_pixels=5000)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9])
def test_no_format_is_good_when_it_is_cut_short(name, kept):
    data = FILES[name]
    with pytest.raises(JpegError):
        still.decode(data[: int(len(data) * kept)])


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
    )


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"\x2c" + bytes(20)


def webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 100) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + bytes(80)


def tiff(width: int, height: int, big: bool = False) -> bytes:
    entries = [(256, width), (257, height), (273, 8), (279, 10)]
    if big:
        body = b"".join(struct.pack("<HHQII", tag, 4, 1, value, 0) for tag, value in entries)
        return b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", len(entries)) + body + bytes(8)
    body = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in entries)
    return b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", len(entries)) + body + bytes(4)


BOMBS = {
    "png bits": png(30000, 30000, bytes(3751 * 30000)),
    "png header": png(100000, 100000),
    "bmp": bmp(60000, 60000),
    "bmp upside down": bmp(60000, -60000),
    "gif": gif(60000, 60000),
    "webp": webp(1 << 14, 1 << 14),
    "tiff": tiff(60000, 60000),
    "big tiff": tiff(60000, 60000, big=True),
    "ppm": b"P6 # comment\n60000 60000\n255\n" + bytes(100),
    "jp2": b"\xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">IIII", 60000, 60000, 0, 0) + bytes(60),
    "avif": b"\0\0\0\x1cftypavif" + bytes(30) + b"\0\0\0\x14ispe" + bytes(4) + struct.pack(">II", 60000, 60000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_are_decoded(name, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(JpegError, match=r"above the limit of 67108864 pixels"):
        still.decode(BOMBS[name])


def test_a_jpeg_bomb_is_refused_whichever_way_up_it_is():
    data = bytearray(PLAIN)
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xea\x60\xea\x60"
    for picture in (bytes(data), odd_jpeg.with_app(bytes(data), odd_jpeg.exif(6)), odd_jpeg.SOI + bytes(data)):
        with pytest.raises(JpegError, match=r"JPEG of 60000x60000 px is above the limit"):
            still.decode(picture)


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"P6\n", b"GIF89a", bytes(50), b"no picture at all" * 20, b"BM" * 9])
def test_what_is_no_picture_is_one_clear_error(data):
    with pytest.raises(JpegError):
        still.decode(data)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_hostile_headers_end_in_a_picture_or_an_error(name, data):
    content = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 120) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = still.decode(bytes(content), max_pixels=1 << 20)
    except JpegError:
        return
    assert picture.shape[0] * picture.shape[1] <= 1 << 20


def test_a_broken_checksum_is_damage():
    content = bytearray(FILES["png"])
    content[len(content) // 2] ^= 0x10
    with pytest.raises(JpegError, match="checksum of chunk IDAT"):
        still.decode(bytes(content))


TURNED_BACK = {1: None, 2: (1,), 3: (0, 1), 4: (0,)}


def lying(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The stored picture that EXIF's orientation turns upright (Exif 2.3, 4.6.4)."""
    if orientation <= 4:
        return np.ascontiguousarray(np.flip(upright, TURNED_BACK[orientation] or ()))
    stored = upright.swapaxes(0, 1)
    return np.ascontiguousarray({5: stored, 6: stored[::-1], 7: stored[::-1, ::-1], 8: stored[:, ::-1]}[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["big", "little"])
def test_all_orientations_of_exif(orientation, order):
    data = odd_jpeg.with_app(jpeg.encode(lying(SMOOTH, orientation)), odd_jpeg.exif(orientation, order))
    assert jpeg.orientation(data) == orientation
    picture = still.decode(data)
    assert picture.shape == SMOOTH.shape
    assert abs(picture.astype(int) - SMOOTH).mean() < 3
    np.testing.assert_array_equal(picture, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_a_pillow_tiff_is_turned_too():
    data = by_pillow("TIFF", lying(SMOOTH, 6), tiffinfo={274: 6})
    assert abs(still.decode(data).astype(int) - SMOOTH).mean() < 3
