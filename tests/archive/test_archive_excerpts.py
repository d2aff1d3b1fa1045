"""A part of an MP4 gives what the whole gives, whatever its tables look like; FFmpeg's index is as long as the part."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from mp4 import boxes, damaged, frames_of

from lengths import length
from saccade.archive import boxes as room
from saccade.archive import edits, excerpt, fragments, places, samples, survey
from saccade.archive.boxes import Unproven
from saccade.archive.excerpt import Film
from saccade.archive.find import Found
from saccade.archive.frames import VideoFile
from saccade.errors import SourceError
from videos import picture

FRAMES = 600
KINDS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "closed.mp4": ("libx264", {"g": "20", "bf": "2", "sc_threshold": "0"}, {}),
    "plain.mov": ("libx264", {"g": "20", "bf": "0", "sc_threshold": "0"}, {}),
    "open.mp4": ("libx264", {"g": "20", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}, {"movflags": "faststart"}),
    "negative.mp4": ("libx264", {"g": "20", "bf": "3"}, {"movflags": "negative_cts_offsets"}),
    "unedited.mp4": ("libx264", {"g": "30", "bf": "2"}, {"use_editlist": "0"}),
    "refresh.mp4": (
        "libx264",
        {"g": "10", "bf": "0", "forced-idr": "1", "x264-params": "intra-refresh=1:scenecut=0"},
        {},
    ),
    "rare.mp4": ("libx264", {"g": "250", "bf": "2", "sc_threshold": "0"}, {}),
    "open265.mp4": (
        "libx265",
        {"x265-params": "keyint=20:min-keyint=20:bframes=3:open-gop=1:scenecut=0:log-level=none:pools=none"},
        {"tag": "hvc1"},
    ),
    "m4.mp4": ("mpeg4", {"g": "12", "bf": "2"}, {}),
    "pictures.mov": ("mjpeg", {}, {}),
}


IN_FRAGMENTS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "keys.mp4": (
        "libx264",
        {"g": "20", "bf": "2", "sc_threshold": "0"},
        {"movflags": "frag_keyframe+empty_moov+default_base_moof"},
    ),
    "absolute.mp4": ("libx264", {"g": "20", "bf": "0"}, {"movflags": "frag_keyframe+empty_moov"}),
    "between.mp4": (
        "libx264",
        {"g": "20", "bf": "3", "x264-params": "open-gop=1:scenecut=0"},
        {"movflags": "empty_moov+default_base_moof", "frag_duration": "700000"},
    ),
    "each.mp4": ("libx264", {"g": "20", "bf": "2"}, {"movflags": "frag_every_frame+empty_moov+default_base_moof"}),
    "begins265.mp4": (
        "libx265",
        {"x265-params": "keyint=20:min-keyint=20:bframes=3:open-gop=1:scenecut=0:log-level=none:pools=none"},
        {"movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov", "tag": "hvc1"},
    ),
}  # fmt: skip
KINDS |= IN_FRAGMENTS


def film(path: Path, frames: int = FRAMES, *, uneven: bool = False, sound: bool = False) -> Path:
    """Ten frames a second that tell their number. uneven : at times that no rate tells. sound : a second track."""
    codec, options, muxer = KINDS[path.name.rpartition("-")[2]]
    with av.open(str(path), "w", options={k: v for k, v in muxer.items() if k != "tag"}) as container:
        stream: Any = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.time_base = 64, 48, Fraction(1, 10)
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if "tag" in muxer:
            stream.codec_context.codec_tag = muxer["tag"]
        other: Any = container.add_stream("aac", rate=8000, layout="mono") if sound else None
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index % 100, (48, 64)), format="bgr24")
            frame.pts = index // 2 * 10 + index % 2 * 3 + index // 7 * 2 if uneven else index
            frame.time_base = Fraction(1, 10)
            if "forced-idr" in options and index % 190 == 0:
                frame.pict_type = PictureType.I
            container.mux(stream.encode(frame))
            if other is not None:
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.float32), "fltp", "mono")
                tone.sample_rate, tone.pts, tone.time_base = 8000, index * 800, Fraction(1, 8000)
                container.mux(other.encode(tone))
        container.mux(stream.encode(None))
        if other is not None:
            container.mux(other.encode(None))
    return path


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts, blocks and margins so short that a film of a minute has several; no film is too small."""
    for module in (room, samples, excerpt):
        monkeypatch.setattr(module, "BLOCK", 32)
    monkeypatch.setattr(edits, "WORTH_BYTES", 0)
    monkeypatch.setattr(excerpt, "SECTION", 40)
    monkeypatch.setattr(excerpt, "MARGIN_SECONDS", 5)
    for module in (excerpt, fragments):
        monkeypatch.setattr(module, "MARGIN_SAMPLES", 16)
    monkeypatch.setattr(fragments, "WORTH_BYTES", 0)
    monkeypatch.setattr(fragments, "SECTION_BYTES", 3000)


def listed(path: Path, *, parts: bool) -> tuple[list[tuple[Any, ...]], bool]:
    """What is to be known of each packet, and whether that comes out of parts."""
    video = VideoFile(str(path), str(path), listed=parts)
    try:
        video.open()
        found = [
            (p.pts, p.pos, bytes(p), p.is_keyframe, p.is_discard, p.is_corrupt, video.begins_group(p))
            for p in video.packets()
        ]
        return [(video.clock.start, video.clock.unit), *found], video._part is not None
    finally:
        video.close()


@contextlib.contextmanager
def opened(path: Path, **options: Any) -> Iterator[VideoFile]:
    video = VideoFile(str(path), str(path), **options)
    video.open()
    yield video
    video.close()


HOW = ("", "uneven", "sound")
CASES = [(name, how) for number, name in enumerate(KINDS) for how in (HOW[number % 3 :] + HOW)[: length(1, 3)]]


@pytest.mark.parametrize(("name", "how"), CASES)
def test_parts_give_what_the_whole_gives(tmp_path: Path, short: None, name: str, how: str) -> None:
    path = film(tmp_path / name, uneven=how == "uneven", sound=how == "sound")
    assert listed(path, parts=True) == (listed(path, parts=False)[0], True)
    items = survey.survey(Found(str(path), path.stat().st_size, "", None), 20 if how == "uneven" else 5)
    assert isinstance(items, list)
    assert len(items) >= 3
    for rate in (None, 3, 0.3):
        with opened(path, rate=rate) as video:
            assert video._part is None
            whole = frames_of(video)
        union, counts = [], []
        for item in items:
            with opened(path, rate=rate, start=item.start, stop=item.stop, position=item.position) as video:
                counts.append(video._part.count if video._part is not None else FRAMES)
                union += frames_of(video)
        assert union == whole
        assert max(counts) < FRAMES / 2 or name in ("rare.mp4", "refresh.mp4")


def test_where_decoding_may_begin_lies_too_far_before(tmp_path: Path, short: None) -> None:
    """Of the marks of key frames each second few are any, and what is shared with the segment before begins at one."""
    path = film(tmp_path / "refresh.mp4", 800)
    items = survey.survey(Found(str(path), path.stat().st_size, "", None), 5)
    assert isinstance(items, list)
    assert [item.frames for item in items] == [190, 190, 190, 190, 40]
    with opened(path, rate=0.3) as video:
        whole = frames_of(video)
    union = []
    for item in items:
        with opened(path, rate=0.3, start=item.start, stop=item.stop) as video:
            assert (video._part is None) == bool(item.segment)
            union += frames_of(video)
    assert union == whole


def test_a_film_that_is_cut_short_is_listed_to_its_end(tmp_path: Path, short: None) -> None:
    path = film(tmp_path / "open.mp4", 300)  # its tables are at the begin
    data = path.read_bytes()
    for share in (0.4, 0.7, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        found, by_parts = listed(path, parts=True)
        assert by_parts
        assert found == listed(path, parts=False)[0]
        assert 20 < len(found) < 301


@pytest.mark.parametrize("name", ["keys.mp4", "absolute.mp4"])
def test_a_recording_in_fragments_that_broke_off_is_listed_to_its_end(tmp_path: Path, short: None, name: str) -> None:
    path = film(tmp_path / name, 300)
    data = path.read_bytes()
    for share in (0.4, 0.7, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        found, by_parts = listed(path, parts=True)
        assert by_parts
        # Where the head of a fragment is cut, FFmpeg loses others, too, or all.
        with contextlib.suppress(SourceError):
            whole = listed(path, parts=False)[0]
            assert found[: len(whole)] == whole
        assert len(found) > 20
        items = survey.survey(Found(str(path), path.stat().st_size, "", None), 1000)
        assert isinstance(items, list)
        with opened(path, position=items[0].position) as video:
            count = sum(1 for _ in iter(video.read, None))
            assert len(found) - 2 <= count + video.damaged <= len(found) - 1  # the last packet may be cut


@pytest.mark.parametrize("name", ["each.mp4", "closed.mp4"])
def test_of_a_bucket_a_segment_reads_little_more_than_its_own(
    tmp_path: Path, short: None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / name)
    data, asked = path.read_bytes(), set()

    def get(bucket: str, key: str, *, Range: str, IfMatch: str) -> bytes:
        first, last = map(int, Range.removeprefix("bytes=").split("-"))
        asked.add(first)
        return data[first : last + 1]

    monkeypatch.setattr(places, "s3_get", get)
    monkeypatch.setattr(places, "BLOCK_BYTES", 1024)
    items = survey.survey(Found("s3://bucket/film.mp4", len(data), '"1"', None), 5)
    assert isinstance(items, list)
    union = []
    for item in items:
        asked.clear()
        video, _ = survey.opened(item, start=item.start, stop=item.stop, position=item.position, rate=3)
        video.open()
        union += frames_of(video)
        assert len(asked) < 0.7 * len(data) / 1024 or name == "closed.mp4"
    with opened(path, rate=3) as video:
        assert union == frames_of(video)


def test_fragments_that_do_not_say_when_they_begin_are_listed_whole(tmp_path: Path, short: None) -> None:
    path = film(tmp_path / "keys.mp4")
    items = survey.survey(Found(str(path), path.stat().st_size, "", None), 5)
    assert isinstance(items, list)
    assert all(item.position for item in items)
    data = path.read_bytes()
    late = data.rindex(b"tfdt")
    path.write_bytes(data[:late] + b"free" + data[late + 4 :])
    without = survey.survey(Found(str(path), path.stat().st_size, "", None), 5)
    assert isinstance(without, list)
    assert [item.position for item in without] == [None] * len(items)
    assert [(item.start, item.stop) for item in without] == [(item.start, item.stop) for item in items]


def test_damaged_tables_never_give_other_packets(tmp_path: Path, short: None) -> None:
    chance = random.Random(3)
    names = (b"elst", b"mvhd", b"mdhd", b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"hdlr", b"tkhd", b"stsd")
    originals = [film(tmp_path / f"{n}-{name}", 120).read_bytes() for n, name in enumerate(("closed.mp4", "plain.mov"))]
    path, count = tmp_path / "damaged.mp4", 0
    for turn in range(length(150, 5000, "SACCADE_EXAMPLES")):
        path.write_bytes(damaged(originals[turn % 2], names, chance))
        # It may not open any more.
        with contextlib.suppress(SourceError, av.error.FFmpegError):
            whole = listed(path, parts=False)[0]
            found, by_parts = listed(path, parts=True)
            count += by_parts
            assert found == whole
    assert count > 20


def test_an_excerpt_is_read_like_any_file(tmp_path: Path, short: None) -> None:
    path = film(tmp_path / "closed.mp4", 300)
    data = path.read_bytes()
    with path.open("rb") as file:
        part = next(Film(file).sections())
        part.seek(0)
        whole = part.read()
        assert len(whole) == len(data)
        at = boxes(data)[b"moov"] - 8
        assert whole[:at] == data[:at]
        for begin, count in ((0, 10), (at - 3, 20), (at + 5, 7), (len(data) - 4, 9), (len(data) + 5, 1)):
            part.seek(begin)
            assert part.tell() == begin
            buffer = bytearray(count)
            assert bytes(buffer[: part.readinto(buffer)]) == whole[begin : begin + count][: part.tell() - begin]
        assert part.seek(-4, io.SEEK_END) == len(data) - 4


def test_a_title_that_is_no_text_does_not_matter_wherever_the_film_is_read_from(tmp_path: Path, short: None) -> None:
    path = film(tmp_path / "closed.mp4")
    data = bytearray(path.read_bytes())
    at = boxes(bytes(data))[b"hdlr"] + 24
    data[at : at + 5] = b"\xffideo"
    path.write_bytes(data)
    assert len(listed(path, parts=False)[0]) == FRAMES + 1
    assert listed(path, parts=True) == (listed(path, parts=False)[0], True)
    video = VideoFile(io.BytesIO(data), "of a bucket")  # type: ignore[arg-type]
    video.open()
    assert len(list(video.packets())) == FRAMES
    video.close()


def test_a_part_that_does_not_open_is_done_without(
    tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "closed.mp4", 300)
    whole = listed(path, parts=False)[0]
    monkeypatch.setattr(Film, "_excerpt", lambda self, first, stop: excerpt.Excerpt(self._file, 0, bytes(4096), 4096))
    assert listed(path, parts=True) == (whole, False)


def test_what_is_uncertain_has_no_parts(tmp_path: Path, short: None) -> None:
    path = film(tmp_path / "closed.mp4", 120)
    assert not _has_parts(path, b"stss", 8, 0)  # no sample has the number 0
    assert not _has_parts(path, b"stsc", 16, 2)  # another description of pictures
    assert not _has_parts(path, b"elst", 12, 5000)
    assert _has_parts(path, b"mvhd", 4, 1)  # when it was made


def _has_parts(path: Path, name: bytes, offset: int, value: int) -> bool:
    data = bytearray(path.read_bytes())
    at = boxes(bytes(data))[name] + offset
    data[at : at + 4] = value.to_bytes(4, "big")
    with contextlib.suppress(Unproven):
        return sum(part.count for part in Film(io.BytesIO(data)).sections()) == 120
    return False
