"""Segments give exactly the frames that decoding all of a video gives, and decode less."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from mp4 import frames_of

from lengths import length
from saccade.archive.find import Found
from saccade.archive.frames import VideoFile
from saccade.archive.survey import LeftOut, survey
from videos import numbered_avi, picture

CLOSED = {"g": "20", "bf": "2", "sc_threshold": "0"}
OPEN = {"g": "20", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}
REFRESH = {"g": "20", "bf": "0", "x264-params": "intra-refresh=1:scenecut=0"}
OPEN_265 = {"x265-params": "keyint=20:min-keyint=20:bframes=3:open-gop=1:scenecut=0:log-level=none:pools=none"}
WRAPS = 2**33 / 9000
"""Tenths of a second after which the clock of MPEG-TS begins anew."""


def film(
    path: Path, codec: str, options: dict[str, str], frames: int = 100, *, offset: int = 0, uneven: bool = False
) -> Path:
    """Frames that tell their number, ten in a second; offset : time stamp of the first one, in tenths of a second.

    uneven : two frames in each second, with gaps that no rate tells.
    """
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", Fraction(1, 10)
        if codec.startswith("mjpeg"):
            stream.pix_fmt = "yuvj420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, (48, 64)), format="bgr24")
            frame.pts = offset + (index // 2 * 10 + index % 2 * 3 + index // 7 * 2 if uneven else index)
            frame.time_base = Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def h264(path: Path, options: dict[str, str], frames: int = 100) -> Path:
    """H.264 of 10 frames a second whose frames tell their number."""
    return film(path, "libx264", options, frames)


def seen(path: Path, **options: Any) -> list[tuple[float, bytes]]:
    """Time and luma of the frames that are looked at."""
    video = VideoFile(str(path), str(path), **options)
    video.open()
    return frames_of(video)


FILMS: dict[str, tuple[str, dict[str, str]]] = {
    **{f"closed.{suffix}": ("libx264", CLOSED) for suffix in ("mp4", "mov", "mkv", "ts", "flv")},
    **{f"open.{suffix}": ("libx264", OPEN) for suffix in ("mp4", "mkv", "ts")},
    **{f"open265.{suffix}": ("libx265", OPEN_265) for suffix in ("mp4", "mkv", "ts")},
    **{f"m2.{suffix}": ("mpeg2video", {"g": "12", "bf": "2"}) for suffix in ("avi", "mkv", "ts")},
    **{f"m4.{suffix}": ("mpeg4", {"g": "12", "bf": "2"}) for suffix in ("avi", "mp4")},
    "plain.avi": ("libx264", CLOSED | {"bf": "0"}),
    "vp8.webm": ("libvpx", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}),
    "vp9.webm": ("libvpx-vp9", {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"}),
}
OFFSETS = {
    "later": 37, "negative": -13, "to wrap": round(WRAPS) - 60, "at a key frame": round(WRAPS) - 40, "soon": 5,
}  # fmt: skip


def union(path: Path, seconds: float, rates: tuple[float | None, ...] = (None, 30, 5, 3, 0.3)) -> int:
    """Check that the segments give what the whole gives, and that what nobody looks at is not missed; their number."""
    items = survey(Found(str(path), path.stat().st_size, "", None), seconds)
    assert not isinstance(items, LeftOut)
    everything = seen(path)
    assert len(everything) == sum(item.frames for item in items)
    assert [time for time, _ in everything] == sorted({time for time, _ in everything})
    for rate in rates:
        whole = seen(path, rate=rate)
        parts = [seen(path, rate=rate, start=item.start, stop=item.stop) for item in items]
        assert whole == [frame for part in parts for frame in part]
        # What is left out before decoding changes no pixel of the rest.
        firsts: dict[int, tuple[float, bytes]] = {}
        for number, frame in enumerate(everything):
            firsts.setdefault(math.floor(frame[0] * rate + 2e-3) if rate else number, frame)
        assert whole == list(firsts.values())
    return len(items)


@pytest.mark.parametrize("name", list(FILMS)[:: length(2, 1)])
def test_segments_together_are_the_whole_at_any_rate(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name, *FILMS[name])
    assert union(path, 2.5) >= 3
    assert len(seen(path)) == 100


@pytest.mark.parametrize(
    ("name", "when"),
    list(product(("closed.ts", "open.ts", "closed.mkv", "closed.mp4"), OFFSETS))[:: length(3, 1)],  # each of both
)
def test_segments_wherever_the_clock_begins(tmp_path: Path, name: str, when: str) -> None:
    path = film(tmp_path / name, *FILMS[name], offset=OFFSETS[when])
    assert union(path, 1.5) >= 3


@pytest.mark.parametrize("name", ["closed.mp4", "closed.mkv", "open.ts"])
def test_segments_of_frames_that_come_unevenly(tmp_path: Path, name: str) -> None:
    codec, options = FILMS[name]
    assert union(film(tmp_path / name, codec, options | {"g": "5"}, uneven=True), 3, (None, 5, 3, 0.3, 0.17)) >= 3


def test_segments_of_key_frames_at_a_rate(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", "libx264", CLOSED | {"g": "7"})
    items = survey(Found(str(path), path.stat().st_size, "", None), 1)
    assert not isinstance(items, LeftOut)
    for rate in (None, 2, 0.9, 0.3):
        whole = seen(path, rate=rate, keys=True)
        parts = [seen(path, rate=rate, keys=True, start=item.start, stop=item.stop) for item in items]
        assert whole == [frame for part in parts for frame in part]


def test_segments_of_motion_jpeg_make_up_the_whole(tmp_path: Path) -> None:
    path = numbered_avi(tmp_path / "old.avi", 100, (48, 64))
    assert union(path, 0.8) >= 3
    # Pictures one behind the other, without a container, have the times of a rate that is supposed.
    raw = tmp_path / "raw.mjpeg"
    raw.write_bytes(b"".join(content for _, content in seen(path)))
    assert union(raw, 0.8, (None, 5)) == 1
    assert len(seen(raw, rate=5)) == 20


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_decoding_never_begins_where_a_picture_is_refreshed_bit_by_bit(tmp_path: Path, name: str) -> None:
    assert union(film(tmp_path / name, "libx264", REFRESH), 1.5) == 1
    assert len(seen(tmp_path / name)) == 100
    assert len(seen(tmp_path / name, keys=True)) == 1


@pytest.mark.parametrize("options", [CLOSED, OPEN])
def test_h264_that_its_container_puts_in_order_of_decoding(tmp_path: Path, options: dict[str, str]) -> None:
    path = film(tmp_path / "a.avi", "libx264", options)
    assert union(path, 1.5) == 1
    # In the order in which they were taken, each at its time.
    for index, (time, luma) in enumerate(seen(path)):
        assert time == index / 10
        grey = cv2.cvtColor(picture(index, (48, 64)), cv2.COLOR_BGR2GRAY).mean() * 219 / 255 + 16
        assert abs(np.frombuffer(luma, np.uint8).mean() - grey) < 3
    assert len(seen(path, rate=5)) == 50
    assert len(seen(path, keys=True)) == 5


def test_what_an_edit_list_leaves_out_is_not_looked_at(tmp_path: Path) -> None:
    path = h264(tmp_path / "a.mp4", CLOSED)
    data = bytearray(path.read_bytes())
    edit = data.index(b"elst") + 12
    for at, value in ((edit, 5900), (edit + 4, 10240 * 33 // 10)):  # ms of the film, ticks of the track
        data[at : at + 4] = value.to_bytes(4, "big")
    path.write_bytes(data)
    assert union(path, 1.5) == 3
    assert len(seen(path)) == 59


def test_a_recording_whose_time_goes_back_is_one_segment(tmp_path: Path) -> None:
    part = h264(tmp_path / "part.ts", CLOSED)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part.read_bytes() * 2)
    items = survey(Found(str(joined), joined.stat().st_size, "", None), 2.5)
    assert not isinstance(items, LeftOut)
    (item,) = items
    assert (item.start, item.stop) == (None, None)
    assert len(seen(joined)) == item.frames
    assert item.frames >= 199  # of two times 100: a demuxer may lose one at the seam
    assert len(seen(joined, rate=1)) == 20


def test_what_nobody_looks_at_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = h264(tmp_path / "film.mp4", CLOSED)
    sent: list[int] = []
    chosen = VideoFile._chosen

    def counted(self: VideoFile, stream: Any, packets: Any) -> Any:
        for packet in chosen(self, stream, packets):
            sent.append(packet.size)
            yield packet

    monkeypatch.setattr(VideoFile, "_chosen", counted)
    assert len(seen(path, rate=0.25)) == 3
    assert sum(size > 0 for size in sent) <= 45  # of 100: to the third frame wanted, in its group
    sent.clear()
    assert len(seen(path, keys=True)) == 5
    assert sum(size > 0 for size in sent) == 5


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("notes.txt", b"no picture", ""),
        ("code.ts", b"export const a = 1", ""),
        ("list.m3u8", b"#EXTM3U\nhttp://example.com/a.ts", ""),
        ("IMG_1", b"\xff\xd8\xff\xe0....", "picture"),
        ("clip", b"\0\0\0\x18ftypisom", "video"),
        ("broken.mp4", b"nothing that a video has", "video"),
    ],
)
def test_a_file_is_taken_for_what_it_holds(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    answer = survey(Found(str(path), len(content), "", None), 60)
    assert [item.kind for item in answer] == [kind] if kind else isinstance(answer, LeftOut)
