from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest
from capture_tools import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.capture import jpeg
from saccade.errors import JpegError

SUBSAMPLINGS = ("444", "422", "420")


def compressed(height=360, width=640, subsampling="420", **options) -> bytes:
    return jpeg.encode(scene(height, width), subsampling=subsampling, **options)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (360, 640), (361, 639)])
def test_header_gives_size_and_subsampling(size, subsampling):
    assert jpeg.read_header(compressed(*size, subsampling)) == jpeg.Header(*size, subsampling)


def test_header_of_a_grey_picture():
    good, data = cv2.imencode(".jpg", np.full((40, 60), 90, np.uint8))
    assert good
    assert jpeg.read_header(data.tobytes()) == jpeg.Header(40, 60, "Gray")
    assert np.all(abs(jpeg.decode(data.tobytes()).astype(int) - 90) <= 1)


def test_pictures_above_the_limit_are_refused_before_anything_is_allocated():
    data = bytearray(compressed())
    position = data.index(b"\xff\xc0") + 5
    data[position : position + 4] = b"\xea\x60\xea\x60"
    with pytest.raises(JpegError, match=r"60000x60000 px is above the limit"):
        jpeg.decode(bytes(data))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"GIF89a" * 50, bytes(1000)])
def test_what_is_no_jpeg_is_one_clear_error(data):
    with pytest.raises(JpegError):
        jpeg.read_header(data)
    with pytest.raises(JpegError):
        jpeg.decode(data)


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    min_height=st.integers(-1, 3000),
    min_width=st.integers(-1, 3000),
)
def test_scaled_is_the_smallest_sufficient_factor(height, width, min_height, min_width):
    scaled = jpeg.Header(height, width, "420").scaled(min_height, min_width)
    sizes = [(-(-height // f), -(-width // f)) for f in (8, 4, 2, 1)]
    sufficient = (
        [s for s in sizes if s[0] >= min_height and s[1] >= min_width] if min(min_height, min_width) > 0 else []
    )
    assert scaled == (sufficient[0] if sufficient else (height, width))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize(("factor", "flag"), [(1, 1), (2, 17), (4, 33), (8, 65)])
def test_accurate_decoding_equals_opencv(factor, flag, subsampling):
    data = compressed(361, 637, subsampling)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    height, width = -(-361 // factor), -(-637 // factor)
    out = np.empty((height, width, 3), np.uint8)
    assert jpeg.decode_into(data, out, fast=False) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_fast_decoding_is_close(factor):
    data = compressed(360, 640)
    shape = (-(-360 // factor), -(-640 // factor), 3)
    fast, accurate = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    jpeg.decode_into(data, fast)
    jpeg.decode_into(data, accurate, fast=False)
    difference = abs(fast.astype(int) - accurate)
    assert difference.mean() < 3
    assert (fast != accurate).any() or factor > 1


def test_decodes_into_the_given_memory_and_nowhere_else():
    data = jpeg.encode(scene(360, 640, 5))
    memory = np.zeros((182, 320, 3), np.uint8)
    jpeg.decode_into(data, memory[1:181])
    assert memory[1:181].any(axis=2).all()
    assert not memory[0].any()
    assert not memory[181].any()


@pytest.mark.parametrize("shape", [(100, 100, 3), (359, 640, 3), (720, 1280, 3)])
def test_a_buffer_of_another_size_is_refused(shape):
    with pytest.raises(JpegError):
        jpeg.decode_into(compressed(), np.empty(shape, np.uint8))


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9, 0.999])
def test_truncated_pictures_are_named(kept):
    data = compressed()
    with pytest.raises(JpegError, match="JPEG"):
        jpeg.decode(data[: int(len(data) * kept)])


def test_a_picture_without_end_marker_is_damaged():
    with pytest.raises(JpegError, match="Premature end"):
        jpeg.decode(compressed()[:-2])


def test_a_hole_in_the_scan_is_damage():
    data = bytearray(compressed())
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    with pytest.raises(JpegError, match=r"damaged JPEG of 640x360 px"):
        jpeg.decode(bytes(data))


def test_padding_of_camera_chips_is_no_damage():
    data = compressed()
    padded = data[:-2] + bytes(3) + data[-2:] + bytes(4000)
    np.testing.assert_array_equal(jpeg.decode(padded), jpeg.decode(data))


def test_pictures_without_huffman_tables_decode():
    """As UVC cameras send them, and AVI files keep them: the standard tables are understood."""
    data = compressed(fast=False)
    bare, position = bytearray(data[:2]), 2
    while data[position + 1] != 0xDA:
        length = 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position + 1] != 0xC4:
            bare += data[position : position + length]
        position += length
    np.testing.assert_array_equal(jpeg.decode(bytes(bare + data[position:])), jpeg.decode(data))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_hostile_bytes_end_in_a_picture_or_a_jpeg_error(data):
    picture = bytearray(compressed(64, 96, data.draw(st.sampled_from(SUBSAMPLINGS))))
    for _ in range(data.draw(st.integers(1, 8))):
        picture[data.draw(st.integers(2, len(picture) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(picture)))
    for use in (jpeg.read_header, jpeg.decode, lambda d: jpeg.decode_rows(d, np.empty((64, 96, 3), np.uint8), 10)):
        with contextlib.suppress(JpegError):
            use(bytes(picture[:end]))


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("rows", [1, 16, 100, 320, 360])
def test_rows_equal_those_of_the_whole(subsampling, rows):
    data = compressed(360, 640, subsampling)
    out = np.zeros((360, 640, 3), np.uint8)
    right = jpeg.decode_rows(data, out, rows)
    assert rows <= right <= 360
    np.testing.assert_array_equal(out[:right], jpeg.decode(data)[:right])


def test_rows_stop_early():
    out = np.zeros((360, 640, 3), np.uint8)
    assert jpeg.decode_rows(compressed(), out, 50) == 64
    assert not out[96:].any()


def test_rows_of_a_progressive_picture_fall_back_to_the_whole():
    good, data = cv2.imencode(".jpg", scene(360, 640), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    assert good
    out = np.zeros((360, 640, 3), np.uint8)
    assert jpeg.decode_rows(data.tobytes(), out, 10) == 360
    np.testing.assert_array_equal(out, jpeg.decode(data.tobytes()))


def test_encode_takes_strided_pictures_and_refuses_empty_ones():
    picture = scene(200, 300)
    np.testing.assert_array_equal(
        jpeg.decode(jpeg.encode(picture[10:90:2, 20:100])), jpeg.decode(jpeg.encode(picture[10:90:2, 20:100].copy()))
    )
    with pytest.raises(ValueError, match="holds no pixel"):
        jpeg.encode(picture[5:5])
