"""Edit lists of MP4 are left aside exactly where that changes nothing."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from mp4 import boxes, damaged, film, packets

from lengths import length
from saccade.archive import edits
from saccade.archive.edits import change_nothing
from saccade.archive.frames import VideoFile


def proven(path: Path) -> bool:
    return change_nothing(io.BytesIO(path.read_bytes()), 0)


def check(path: Path) -> bool:
    """Whether it is proven; packets must be the same then."""
    found = proven(path)
    if found:
        assert packets(path, obeyed=True) == packets(path, obeyed=False)
    return found


def patched(path: Path, name: bytes, offset: int, value: int, length: int = 4) -> Path:
    """The file with another number in one of its boxes."""
    data = bytearray(path.read_bytes())
    at = boxes(bytes(data))[name] + offset
    data[at : at + length] = value.to_bytes(length, "big", signed=value < 0)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("frames_between", ["0", "2"])
@pytest.mark.parametrize("flags", ["", "faststart", "negative_cts_offsets"])
def test_whole_films_are_proven(tmp_path: Path, suffix: str, frames_between: str, flags: str) -> None:
    options = {"movflags": flags} if flags else {}
    path = film(tmp_path / f"a.{suffix}", frames_between=frames_between, **options)
    assert b"elst" in boxes(path.read_bytes())
    assert check(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda length, begin: (length - 150, begin),  # ends before the last frames
        lambda length, begin: (length - 2500, begin),  # leaves two groups out
        lambda length, begin: (length - 1500, begin + 1500),  # begins amid a group
        lambda length, begin: (length, begin + 1),
        lambda length, begin: (0, begin),
        lambda length, begin: (length, -1),  # nothing but an empty edit
    ],
)
@pytest.mark.parametrize("frames_between", ["0", "2"])
def test_what_leaves_frames_out_or_moves_them_is_obeyed(
    tmp_path: Path, change: Callable[[int, int], tuple[int, int]], frames_between: str
) -> None:
    path = film(tmp_path / "a.mp4", frames_between=frames_between)
    data = path.read_bytes()
    at = boxes(data)[b"elst"] + 8
    length, begin = (int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "big") for i in range(2))
    for place, value in zip((8, 12), change(length, begin), strict=True):
        patched(path, b"elst", place, value)
    assert not proven(path)


def test_shorter_edits_are_proven_where_no_frame_ends_later(tmp_path: Path) -> None:
    # The last frame begins at 5.9 s: some writers cut the length down to whole ticks.
    path = film(tmp_path / "a.mp4")
    patched(path, b"elst", 8, 5950)
    assert check(path)
    patched(path, b"elst", 8, 5900)
    assert not proven(path)


@pytest.mark.parametrize(("first", "seconds"), [(30, 3.0), (-5, 0.0)])
def test_films_that_do_not_begin_at_0(tmp_path: Path, first: int, seconds: float) -> None:
    path = film(tmp_path / "a.mp4", first=first)
    check(path)
    times = [time for time, _ in _frames(path)]
    assert times == [index / 10 for index in range(len(times))]


def test_fragments_and_several_edits_are_obeyed(tmp_path: Path) -> None:
    assert not proven(film(tmp_path / "fragments.mp4", movflags="frag_keyframe+empty_moov"))
    assert not proven(film(tmp_path / "parts.mp4", movflags="frag_keyframe"))
    data = bytearray(film(tmp_path / "two.mp4").read_bytes())
    edit = boxes(bytes(data))[b"elst"]
    sizes = [boxes(bytes(data))[name] - 8 for name in (b"moov", b"trak", b"edts", b"elst")]
    for at in sizes:
        data[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + 12).to_bytes(4, "big")
    data[edit + 4 : edit + 8] = (2).to_bytes(4, "big")
    data[edit + 20 : edit + 20] = data[edit + 8 : edit + 20]
    two = tmp_path / "two.mp4"
    two.write_bytes(data)
    assert len(packets(two, obeyed=True)) > len(packets(two, obeyed=False))
    assert not proven(two)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize(
    "words",
    [("-ss", "1.5"), ("-ss", "2.05", "-t", "2"), ("-itsoffset", "2"), ("-itsoffset", "-0.35"), ("-t", "3.3"), ()],
)
def test_what_ffmpeg_cuts_without_decoding(tmp_path: Path, words: tuple[str, ...]) -> None:
    whole, path = film(tmp_path / "whole.mp4"), tmp_path / "a.mp4"
    subprocess.run(["ffmpeg", "-v", "error", *words, "-i", whole, "-c", "copy", path], check=True)
    assert check(path) == (not words or words[0] == "-t")


def test_damaged_boxes_prove_nothing_wrong(tmp_path: Path) -> None:
    chance = random.Random(1)
    names = (b"elst", b"mvhd", b"mdhd", b"stts", b"ctts", b"stss", b"stsc", b"stsz", b"stco", b"hdlr", b"tkhd")
    originals = [film(tmp_path / f"{n}.mp4", 30, frames_between=n).read_bytes() for n in ("0", "2")]
    path, count = tmp_path / "damaged.mp4", 0
    for number in range(length(300, 5000, "SACCADE_EXAMPLES")):
        path.write_bytes(damaged(originals[number % 2], names, chance))
        # It may not open any more, hold no video, or have a name that is no text.
        with contextlib.suppress(av.error.FFmpegError, IndexError, UnicodeDecodeError):
            count += check(path)
    assert count > 20


def test_a_video_is_opened_without_a_second_index_where_that_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path / "a.mp4")
    monkeypatch.setattr(edits, "WORTH_BYTES", 0)
    whole = _frames(path)
    assert _options(path) == {"protocol_whitelist": "file", "advanced_editlist": "0"}
    monkeypatch.setattr(edits, "WORTH_BYTES", 1 << 20)
    assert _options(path) == {"protocol_whitelist": "file"}
    assert _frames(path) == whole
    assert len(whole) == 60


def _options(path: Path) -> dict[str, str]:
    return VideoFile(str(path), str(path))._format_options()


def _frames(path: Path) -> list[tuple[float, bytes]]:
    video = VideoFile(str(path), str(path))
    video.open()
    found = []
    while (frame := video.read()) is not None:
        found.append((round(frame.time, 6), frame.planes[0].tobytes()))
    video.close()
    return found
