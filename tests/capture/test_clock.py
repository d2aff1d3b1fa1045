"""Time, orientation, choice of stream and of decoding in videos."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import capture_tools
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.stream import Disposition
from capture_tools import mark, scene, write_video

from conditions import PATIENCE
from saccade.capture import Capture, CaptureStatistics, jpeg, open_source, video
from saccade.errors import ConfigError, SourceError


def shown(path: Path, **options) -> tuple[list[float], list[int], CaptureStatistics]:
    """Times and marks of all pictures."""
    pictures, times, figures = capture_tools.shown(path, **options)
    return times, [mark(picture) % 16 for picture in pictures], figures


def encode(path: Path, codec: str, rate: int, frames: int, **options: str) -> Path:
    """A video with B frames, of 96x128."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"preset": "medium", **options})
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        stream.time_base = Fraction(1, rate)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(scene(96, 128, index), "bgr24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


CODECS = {
    "libx264": ("h264", {"bf": "3", "g": "12"}),
    "libx265": ("hevc", {"x265-params": "log-level=none:bframes=3:keyint=12:pools=1"}),
}


def bare(path: Path, codec: str) -> Path:
    """The same packets as a raw stream."""
    raw = path.with_suffix(".h264" if codec == "libx264" else ".hevc")
    kind = CODECS[codec][0]
    with av.open(str(path)) as source, av.open(str(raw), "w", format=kind) as target:
        stream = source.streams.video[0]
        added = target.add_stream_from_template(stream)
        filtered = BitStreamFilterContext(f"{kind}_mp4toannexb", stream)
        for packet in source.demux(stream):
            for out in filtered.filter(packet if packet.size else None):
                out.stream = added
                target.mux(out)
    return raw


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate", [10, 25, 30])
def test_a_raw_stream_has_the_times_of_the_same_video_in_a_container(tmp_path, codec, rate):
    path = encode(tmp_path / "a.mp4", codec, rate, 40, **CODECS[codec][1])
    times, marks, figures = shown(path)
    raw_times, raw_marks, raw_figures = shown(bare(path, codec))
    assert times == pytest.approx([index / rate for index in range(40)], abs=1e-3)
    assert raw_times == pytest.approx(times, abs=1e-3)
    assert raw_marks == marks
    assert raw_figures.frame_rate == pytest.approx(figures.frame_rate) == rate


def test_a_raw_stream_plays_in_real_time(tmp_path):
    raw = bare(encode(tmp_path / "a.mp4", "libx264", 20, 20, bf="2"), "libx264")
    start = time.monotonic()
    times, _, _ = shown(raw, realtime=True)
    assert time.monotonic() - start >= 19 / 20 - 0.05
    assert times == sorted(times)


@pytest.mark.parametrize("codec", CODECS)
def test_key_frames_only(tmp_path, codec):
    path = encode(tmp_path / "a.mp4", codec, 10, 48, **CODECS[codec][1])
    times, marks, _ = shown(path, decode="key")
    keys = [index for index in range(48) if abs(index / 10 - min(times, key=lambda t: abs(t - index / 10))) < 1e-3]
    assert 4 <= len(times) < 12
    assert marks == [index % 16 for index in keys]
    assert shown(bare(path, codec), decode="key")[0] == pytest.approx(times, abs=1e-3)


def test_frames_that_others_refer_to(tmp_path):
    path = encode(
        tmp_path / "a.mp4", "libx264", 10, 48, **{"x264-params": "scenecut=0:b-adapt=0:bframes=3:b-pyramid=none"}
    )
    times, marks, _ = shown(path, decode="nonref")
    assert 10 < len(times) < 40
    assert times == sorted(times)
    assert marks == [round(moment * 10) % 16 for moment in times]
    # Without time stamps only a count of all frames tells the time.
    assert len(shown(bare(path, "libx264"), decode="nonref")[0]) == 48


def test_all_options_are_checked():
    for options in ({"decode": "some"}, {"hwaccel": "cuda"}, {"max_pixels": 0}):
        with pytest.raises(ConfigError, match=r"not known|leaves no picture"):
            open_source("a.mp4", **options)


def test_hardware_is_used_where_it_is_there(tmp_path, caplog):
    """Machines without a GPU: `auto` decodes in software, `vaapi` says what is missing."""
    path = encode(tmp_path / "a.mp4", "libx264", 10, 12)
    assert shown(path, hwaccel="auto")[1] == list(range(12))
    if video.hardware("auto") is None:
        with pytest.raises(SourceError, match=r"hwaccel vaapi is not there: .* give auto or none"):
            shown(path, hwaccel="vaapi")
    else:
        assert shown(path, hwaccel="vaapi")[1] == list(range(12))


@pytest.mark.parametrize("order", ["small first", "large first"])
def test_the_largest_of_several_streams(tmp_path, order):
    path = tmp_path / "two.mkv"
    sizes = [(24, 32), (96, 128)]
    with av.open(str(path), "w") as container:
        streams = []
        for height, width in sizes if order == "small first" else sizes[::-1]:
            stream = container.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            streams.append(stream)
        for index in range(5):
            for stream in streams:
                picture = scene(stream.height, stream.width, index)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        for stream in streams:
            container.mux(stream.encode())
    with Capture(open_source(path)) as capture, capture.latest(PATIENCE) as frame:
        assert (frame.height, frame.width) == (96, 128)


def test_a_cover_is_no_film_however_large(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        film, cover = container.add_stream("libx264", rate=10), container.add_stream("mjpeg", rate=10)
        film.height, film.width, film.pix_fmt = 48, 64, "yuv420p"
        cover.height, cover.width, cover.pix_fmt = 480, 640, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        for index in range(5):
            for stream in (film, cover)[: 1 + (index == 0)]:
                picture = scene(stream.height, stream.width, index)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        for stream in (film, cover):
            container.mux(stream.encode())
    with Capture(open_source(path)) as capture, capture.latest(PATIENCE) as frame:
        assert (frame.height, frame.width) == (48, 64)


# a, b, c, d of the display matrix -> how numpy turns the stored picture upright.
QUARTERS = {
    "90": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "180": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "270": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda p: p[::-1]),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
}


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
@pytest.mark.parametrize("turn", QUARTERS)
def test_the_display_matrix_turns_whatever_is_inside(tmp_path, codec, turn):
    (a, b, c, d), upright = QUARTERS[turn]
    path = write_video(tmp_path / "a.mov", codec, 3, (96, 128))
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    content[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(content)
    expected = upright(scene(96, 128, 0)).astype(int)
    with Capture(open_source(path), size=(20, 20)) as capture, capture.latest(PATIENCE) as frame:
        assert (frame.height, frame.width) == expected.shape[:2]
        small = frame.planes[0]
        assert (small.shape[0] > small.shape[1]) == (expected.shape[0] > expected.shape[1])
        assert abs(frame.bgr() - expected).mean() < 12
        assert abs(frame.crop(0, 0, 50, 40) - expected[:40, :50]).mean() < 20
        assert frame.jpeg is None


def test_exif_in_a_camera_s_stream_is_heeded_too(tmp_path):
    import odd_jpeg

    upright = scene(96, 128, 2)
    lying = odd_jpeg.with_app(jpeg.encode(np.ascontiguousarray(np.rot90(upright))), odd_jpeg.exif(6))
    path = tmp_path / "a.mjpeg"
    path.write_bytes(lying * 3)
    with Capture(open_source(path)) as capture:
        for _ in range(3):
            with capture.latest(PATIENCE) as frame:
                assert abs(frame.bgr().astype(int) - upright).mean() < 8


def test_a_size_that_grows_above_the_limit_in_mid_stream(tmp_path):
    small, large = (write_video(tmp_path / f"{h}.h264", "libx264", 5, (h, 2 * h)).read_bytes() for h in (96, 480))
    path = tmp_path / "both.h264"
    # FFmpeg looks at the first 5 MB of a file to know what it is.
    path.write_bytes(small * (6_000_000 // len(small)) + large)
    _, marks, figures = shown(path, max_pixels=100_000)
    assert len(marks) == 6_000_000 // len(small) * 5
    assert figures.damaged >= 1
