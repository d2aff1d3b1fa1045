from __future__ import annotations

import contextlib

import av
import odd_jpeg
import pytest
from capture_tools import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.capture import jpeg, still
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


def test_a_picture_that_breaks_off_ends_at_the_next():
    """Whether it is whole without its EOI is for the decoder to say."""
    splitter = JpegSplitter()
    cut = SMALL[1][: len(SMALL[1]) // 2 + 200]
    assert split(SMALL[0] + cut + SMALL[2] + SMALL[3], 100, splitter) == [SMALL[0], cut, SMALL[2], SMALL[3]]
    assert splitter.broken == 0


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


def levels(stream: bytes, chunks: list[int]) -> tuple[list[int], JpegSplitter]:
    """The greys of the pictures that the splitter finds in a stream read in pieces, each decoded."""
    splitter, position, found, turn = JpegSplitter(), 0, [], 0
    while position < len(stream):
        space = splitter.space()
        part = stream[position : position + min(chunks[turn % len(chunks)], len(space))]
        space[: len(part)] = part
        splitter.fed(len(part))
        position, turn = position + len(part), turn + 1
        found += pictures_of(splitter)
    splitter.finish()
    return found + pictures_of(splitter), splitter


def pictures_of(splitter: JpegSplitter) -> list[int]:
    found = []
    while (picture := splitter.next()) is not None:
        found.append(round(float(still.open_jpeg(picture).picture.mean())))
    return found


def levels_by_ffmpeg(stream: bytes) -> list[int]:
    """The same by FFmpeg's parser and decoder."""
    context = av.CodecContext.create("mjpeg", "r")
    context.thread_count = 1
    found = []
    for packet in [*context.parse(stream), *context.parse(None), None]:
        with contextlib.suppress(av.error.InvalidDataError):
            for frame in context.decode(packet):
                found.append(round(float(frame.to_ndarray(format="gray", dst_color_range=2).mean())))
    return found


def grey(level: int) -> bytes:
    return odd_jpeg.tiny(16, 32, odd_jpeg.flat(level), app=odd_jpeg.jfif(0x0101))


THUMBNAIL = odd_jpeg.thumbnail(grey(250))
WAYS = {
    "plain": lambda data: data,
    "fill": odd_jpeg.filled,
    "many fill bytes": lambda data: odd_jpeg.filled(data, 500),
    "two SOI": lambda data: odd_jpeg.SOI + data,
    "SOI, fill, SOI": lambda data: odd_jpeg.SOI + b"\xff\xff" + data,
    "padding": lambda data: odd_jpeg.padded(data, bytes(604)),
    "no EOI": lambda data: data[:-2],
    "thumbnail": lambda data: odd_jpeg.with_app(data, THUMBNAIL),
    "se": lambda data: odd_jpeg.with_se(data, 0),
    "JFIF 2": lambda data: odd_jpeg.with_app(data, odd_jpeg.jfif(0x0201)),
}
PART = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n"
BETWEEN = st.one_of(
    st.just(b""), st.just(PART), st.just(bytes(300)), st.binary(max_size=60).filter(lambda b: b"\xff" not in b)
)


@settings(deadline=None, max_examples=200)
@given(
    parts=st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.integers(1, 28), BETWEEN), min_size=1, max_size=8),
    chunks=st.lists(st.integers(1, 4000), min_size=1, max_size=5),
)
def test_finds_the_pictures_that_ffmpeg_finds(parts, chunks):
    """However the stream is cut into reads, whatever stands in and between its pictures."""
    expected = [8 * level for _, level, _ in parts]
    stream = b"".join(between + WAYS[way](grey(8 * level)) for way, level, between in parts)
    found, splitter = levels(stream, chunks)
    assert found == expected
    assert splitter.broken == 0
    assert levels_by_ffmpeg(stream) == expected


@settings(deadline=None)
@given(garbage=st.lists(st.binary(max_size=400), min_size=3, max_size=3), chunk=st.integers(1, 900))
def test_garbage_of_any_kind_eats_no_picture(garbage, chunk):
    stream = b"".join(a + b for a, b in zip(garbage, SMALL, strict=False))
    found = split(stream, chunk)
    assert [picture for picture in found if picture in SMALL[:3]] == SMALL[:3]


@pytest.mark.parametrize("cut", [25, 100, 300, 500])
@pytest.mark.parametrize("chunk", [1, 50, 1 << 16])
def test_what_breaks_off_in_its_header_takes_nothing_with_it(cut, chunk):
    splitter = JpegSplitter()
    stream = SMALL[0] + SMALL[1][:cut] + SMALL[2] + SMALL[3]
    assert split(stream, chunk, splitter) == [SMALL[0], SMALL[2], SMALL[3]]
    assert splitter.broken == 1


def test_a_segment_that_claims_too_much_takes_nothing_with_it():
    splitter = JpegSplitter()
    claim = b"\xff\xd8\xff\xe1\xff\xff"
    assert split(claim + b"".join(SMALL * 30), 1000, splitter)[-120:] == SMALL * 30
    assert splitter.broken == 1


def part(data: bytes, length: int | None = None, kind: bytes = b"image/jpeg") -> bytes:
    size = len(data) if length is None else length
    return b"--frame\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s\r\n" % (kind, size, data)


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_a_length_ends_a_picture_without_eoi_before_the_next_part_comes(chunk):
    bare = [picture[:-2] for picture in SMALL]
    assert split(b"".join(map(part, bare)), chunk) == bare


def test_a_wrong_length_is_not_believed():
    for wrong in (1, 700, 10**8):
        assert split(b"".join(part(picture, wrong) for picture in SMALL), 500) == SMALL


def test_a_boundary_ends_a_picture_without_eoi_and_length():
    bare = [picture[:-2] for picture in SMALL]
    stream = b"".join(b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n" + picture for picture in bare)
    splitter = JpegSplitter()
    assert split(stream, 333, splitter) == bare[:3]
    splitter.finish()
    assert bytes(splitter.next()) == bare[3]
    assert splitter.next() is None


@pytest.mark.parametrize("end", [b"", b"\r\n--frame--\r\n", b"\r\n--frame--"])
def test_the_end_of_the_stream_ends_a_picture(end):
    splitter = JpegSplitter()
    assert split(SMALL[0] + SMALL[1][:-2] + end, 100, splitter) == [SMALL[0]]
    splitter.finish()
    assert bytes(splitter.next()) == SMALL[1][:-2]
    assert splitter.next() is None
    assert splitter.broken == 0


@pytest.mark.parametrize("chunk", [1, 100, 1 << 16])
def test_parts_without_a_picture_are_counted(chunk):
    splitter = JpegSplitter()
    junk = part(bytes(range(1, 200)) * 20)
    stream = part(SMALL[0]) + junk * 3 + part(SMALL[1]) + part(SMALL[2]) + junk
    assert split(stream, chunk, splitter) == SMALL[:3]
    assert splitter.broken == 3
    splitter.finish()
    assert splitter.next() is None
    assert splitter.broken == 4


def test_endless_garbage_is_bounded():
    splitter = JpegSplitter()
    for seed in (b"\x12", b"\xff\xd8\xff\xe1", b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"):
        assert split(seed * ((4 << 20) // len(seed)), 1 << 16, splitter) == []
    assert len(splitter._buffer) <= 2 << 20
    assert split(SMALL[1] + SMALL[2], 1 << 16, splitter)[-2:] == SMALL[1:3]
