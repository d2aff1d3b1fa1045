"""What YUV means: matrix and range as the stream says, or by the customary rule; measured against FFmpeg's own."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from capture_tools import scene

from conditions import PATIENCE
from lengths import length
from saccade.capture import Capture, open_source
from saccade.frame import Frame

SPACES = {"bt709": 1, "bt470bg": 5, "smpte170m": 6}
FULL = 2


def write(
    path: Path, height: int, space: int = 2, colour_range: int = 0, form: str = "yuv420p", frames: int = 2
) -> Path:
    """A lossless video whose header says this much of its colours."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = height, height * 4 // 3, form
        stream.options = {"preset": "ultrafast", "qp": "0"}
        stream.codec_context.colorspace, stream.codec_context.color_range = space, colour_range
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(scene(height, height * 4 // 3, index), "bgr24")
            converted = picture.reformat(format=form)
            converted.colorspace, converted.color_range = space, colour_range
            container.mux(stream.encode(converted))
        container.mux(stream.encode())
    return path


def by_ffmpeg(path: Path, matrix: str, full_range: bool, size: tuple[int, int]) -> np.ndarray:
    """The first frame, uint8 BGR, as the ffmpeg command converts it."""
    ranges = "full" if full_range else "limited"
    scale = f"scale=in_color_matrix={matrix}:in_range={ranges}:out_range=full,format=bgr24"
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", scale, "-frames:v", "1", "-f", "rawvideo", "-"]
    result = subprocess.run(command, check=True, capture_output=True)
    return np.frombuffer(result.stdout, np.uint8).reshape(*size, 3)


def first(path: Path) -> Frame:
    with Capture(open_source(path)) as capture:
        return capture.latest(PATIENCE)


@pytest.mark.parametrize(
    ("full_range", "height", "space"),
    list(product((False, True), (240, 720), (*SPACES, "unspecified")))[:: length(3, 1)],
)
def test_as_the_stream_says_or_by_the_rule(tmp_path, height, space, full_range):
    path = write(tmp_path / "a.mp4", height, SPACES.get(space, 2), FULL if full_range else 1)
    expected = {"bt709": "bt709", "unspecified": "bt709" if height >= 720 else "bt601"}.get(space, "bt601")
    with first(path) as frame:
        assert (frame.pixels, frame.matrix, frame.full_range) == ("i420", expected, full_range)
        reference = by_ffmpeg(path, expected, full_range, (frame.height, frame.width)).astype(int)
        assert abs(frame.bgr().astype(int) - reference).mean() < 1
        assert abs(frame.crop(10, 20, 110, 120).astype(int) - reference[20:120, 10:110]).mean() < 1
        small = frame.at_least(height // 4, height // 3)
        assert abs(small.astype(int).mean((0, 1)) - reference.mean((0, 1))).max() < 1.5


def test_without_a_word_video_is_of_limited_range(tmp_path):
    with first(write(tmp_path / "a.mp4", 240)) as frame:
        assert (frame.matrix, frame.full_range) == ("bt601", False)


@pytest.mark.parametrize(
    ("full_range", "space", "form"),
    list(product((False, True), ("bt709", "smpte170m"), ("yuv444p", "yuv420p10le", "yuv422p")))[:: length(4, 1)],
)
def test_other_forms_keep_their_colours(tmp_path, form, space, full_range):
    path = write(tmp_path / "a.mkv", 240, SPACES[space], FULL if full_range else 1, form)
    expected = "bt709" if space == "bt709" else "bt601"
    with first(path) as frame:
        assert (frame.pixels, frame.matrix, frame.full_range) == ("i420", expected, full_range)
        reference = by_ffmpeg(path, expected, full_range, (frame.height, frame.width)).astype(int)
        assert abs(frame.bgr().astype(int) - reference).mean() < 1


def test_a_matrix_that_no_kernel_knows_is_converted(tmp_path):
    path = write(tmp_path / "a.mp4", 240, 9, 1)
    with first(path) as frame:
        assert (frame.pixels, frame.matrix, frame.full_range) == ("i420", "bt709", False)
        reference = by_ffmpeg(path, "bt2020", False, (frame.height, frame.width)).astype(int)
        assert abs(frame.bgr().astype(int) - reference).mean() < 1


@pytest.mark.parametrize("codec", ["png", "qtrle", "rawvideo"])
def test_video_in_rgb_stays_as_it_is(tmp_path, codec):
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(96, 128, 3), "bgr24").reformat(format="rgb24")))
        container.mux(stream.encode())
    with first(path) as frame:
        assert frame.pixels == "bgr"
        np.testing.assert_array_equal(frame.bgr(), scene(96, 128, 3))
