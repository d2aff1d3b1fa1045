from __future__ import annotations

import pytest
from capture_tools import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.capture import jpeg
from saccade.capture.split import JpegSplitter

SMALL = [jpeg.encode(scene(24 + i, 40)) for i in range(4)]
BOUNDARY = b"\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 4711\r\n\r\n"


def split(stream: bytes, chunk: int, splitter: JpegSplitter | None = None) -> list[bytes]:
    splitter = splitter or JpegSplitter()
    found, position = [], 0
    while position < len(stream):
        space = splitter.space()
        assert len(space) >= 1 << 16
        part = stream[position : position + min(chunk, len(space))]
        space[: len(part)] = part
        splitter.fed(len(part))
        position += len(part)
        while (picture := splitter.next()) is not None:
            found.append(bytes(picture))
    return found


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100, 1 << 16])
@pytest.mark.parametrize("between", [b"", BOUNDARY, b"\xff\xd8\x00\xff\xd9\xff", bytes(300)])
def test_finds_each_picture_whatever_is_between(chunk, between):
    assert split(between + between.join(SMALL), chunk) == SMALL


def test_a_picture_that_breaks_off_is_left_out():
    splitter = JpegSplitter()
    cut = SMALL[1][: len(SMALL[1]) // 2 + 200]
    assert split(SMALL[0] + cut + SMALL[2] + SMALL[3], 100, splitter) == [SMALL[0], SMALL[2], SMALL[3]]
    assert splitter.broken == 1


def test_a_picture_that_breaks_off_in_its_header_is_left_out():
    splitter = JpegSplitter()
    stream = SMALL[0] + SMALL[1][:100] + b"".join(SMALL[2:] * 2)
    assert split(stream, 50, splitter)[-2:] == SMALL[2:]
    assert splitter.broken >= 1


def test_thumbnails_in_the_header_do_not_end_a_picture():
    thumbnail = SMALL[0]
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    picture = SMALL[1][:2] + segment + SMALL[1][2:]
    assert split(picture * 3, 77) == [picture] * 3


def test_endless_pictures_are_bounded():
    splitter = JpegSplitter(max_bytes=1 << 17)
    header = SMALL[0][: SMALL[0].index(b"\xff\xda") + 14]
    stream = header + b"\x12" * (1 << 21) + b"\xff\xd9" + SMALL[1] + SMALL[2]
    assert split(stream, 1 << 16, splitter)[-2:] == SMALL[1:3]
    assert splitter.broken >= 1
    assert len(splitter._buffer) <= 1 << 20


def test_large_pictures_grow_the_buffer_once():
    large = jpeg.encode(scene(1400, 2400), quality=97, subsampling="444")
    assert len(large) > 1 << 20
    splitter = JpegSplitter()
    assert split(large * 3, 1 << 16, splitter) == [large] * 3
    grown = splitter._buffer
    assert split(large * 3, 1 << 16, splitter) == [large] * 3
    assert splitter._buffer is grown


@settings(deadline=None)
@given(
    garbage=st.lists(st.binary(max_size=60).filter(lambda b: b"\xff" not in b), min_size=3, max_size=3),
    chunk=st.integers(1, 3000),
)
def test_resynchronises_after_garbage(garbage, chunk):
    stream = b"".join(a + b for a, b in zip(garbage, SMALL, strict=False))
    assert split(stream, chunk) == SMALL[:3]


@settings(deadline=None)
@given(stream=st.binary(max_size=2000), chunk=st.integers(1, 500))
def test_any_bytes_are_passed_over(stream, chunk):
    # Whatever came before, a picture is found again once a picture's length has gone by.
    assert split(stream + b"".join(SMALL) + SMALL[0] * 80, chunk)[-1] == SMALL[0]
