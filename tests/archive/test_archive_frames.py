"""Segments give exactly the frames that decoding all of a video gives, and decode less."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from saccade.archive.find import Found
from saccade.archive.frames import VideoFile
from saccade.archive.survey import LeftOut, survey
from videos import numbered_avi, picture

CLOSED = {"g": "20", "bf": "2", "sc_threshold": "0"}
OPEN = {"g": "20", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}


def h264(path: Path, options: dict[str, str], frames: int = 100) -> Path:
    """H.264 of 10 frames a second whose frames tell their number."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", Fraction(1, 10)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, (48, 64)), format="bgr24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def seen(path: Path, **options: Any) -> list[tuple[float, bytes]]:
    """Time and luma of the frames that are looked at."""
    video = VideoFile(str(path), str(path), **options)
    video.open()
    found = []
    while (frame := video.read()) is not None:
        content = bytes(frame.jpeg) if frame.jpeg is not None else np.ascontiguousarray(frame.planes[0]).tobytes()
        found.append((round(frame.time, 6), content))
    assert not video.damaged
    video.close()
    return found


@pytest.mark.parametrize(
    ("name", "options"), [("closed.mp4", CLOSED), ("open.ts", OPEN), ("open.mkv", OPEN), ("old.avi", None)]
)
def test_segments_together_are_the_whole_at_any_rate(tmp_path: Path, name: str, options: dict[str, str] | None) -> None:
    path = h264(tmp_path / name, options) if options else numbered_avi(tmp_path / name, 100, (48, 64))
    items = survey(Found(str(path), path.stat().st_size, "", None), 2.5 if options else 0.8)
    assert not isinstance(items, LeftOut)
    assert len(items) >= 3
    everything = seen(path)
    assert len(everything) == sum(item.frames for item in items) == 100
    for rate in (None, 30, 5, 3, 0.3):
        whole = seen(path, rate=rate)
        parts = [seen(path, rate=rate, start=item.start, stop=item.stop) for item in items]
        assert whole == [frame for part in parts for frame in part]
        # What is left out before decoding changes no pixel of the rest.
        assert set(whole) <= set(everything)
        slots = [int(time * rate + 1e-3) for time, _ in everything] if rate else list(range(100))
        assert len(whole) == len(set(slots))


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
