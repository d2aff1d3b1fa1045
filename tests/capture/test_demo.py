from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from capture_tools import asked_to_wait, outrun

from conditions import PATIENCE
from saccade.capture import Capture, demo, jpeg, open_source
from saccade.errors import SourceError


def portrait(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    """A head and shoulders, roughly."""
    picture = np.full((height, width, 3), (200, 200, 190), np.uint8)
    cv2.ellipse(picture, (int(0.47 * width), int(0.24 * height)), (width // 7, height // 5), 0, 0, 360, colour, -1)
    cv2.rectangle(picture, (int(0.22 * width), int(0.45 * height)), (int(0.62 * width), height), colour, -1)
    return picture


PORTRAITS = [portrait(256, 256, (60, 80, 220)), portrait(300, 256, (90, 40, 30))]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path))
    monkeypatch.setattr(demo, "SIZES", {"": (270, 480), "4mp": (380, 672)})
    monkeypatch.setattr(demo, "FRAMES", 20)
    monkeypatch.setattr(demo.make_loop, "__kwdefaults__", {**demo.make_loop.__kwdefaults__, "frames": 20})
    (tmp_path / "pictures").mkdir()
    for name, picture in zip(demo.PORTRAITS, PORTRAITS, strict=True):
        cv2.imwrite(str(tmp_path / "pictures" / name), picture)
    return tmp_path


def test_without_the_portraits_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path))
    with pytest.raises(SourceError, match="saccade models pull demo"):
        Capture(open_source("demo:")).start()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_demo_is_refused_with_those_there_are():
    with pytest.raises(SourceError, match="demo:4mp"):
        open_source("demo:8k")


def test_the_demo_is_a_live_mjpeg_stream(cache):
    source = open_source("demo:")
    assert source.live
    assert not source.every_frame
    start = time.monotonic()
    with Capture(source, size=(100, 200)) as capture:
        asked = asked_to_wait(source)
        capture.latest(PATIENCE).release()
        for _ in range(15):
            newest = capture.statistics().captured - 1
            with capture.latest(PATIENCE) as frame:
                assert frame.jpeg is not None
                assert (frame.height, frame.width) == (270, 480)
                assert frame.planes[0].shape == (135, 240, 3)
                assert frame.sequence >= newest
                assert frame.captured - start >= frame.sequence / 30
        assert capture.statistics().frame_rate == 30
        assert max(asked) <= 1 / 30 + 1e-6


def test_slow_consumers_skip_and_see_what_is_new(cache):
    with Capture(open_source("demo:")) as capture:
        sequences = []
        for _ in range(5):
            with capture.latest(PATIENCE) as frame:
                sequences.append(frame.sequence)
                outrun(capture, frame, 3)
        statistics = capture.statistics()
    assert np.diff(sequences).min() >= 2
    assert statistics.dropped >= 8


def test_every_frame_is_unpaced_and_endless(cache, monkeypatch):
    monkeypatch.setattr(demo, "FRAME_RATE", 1 / 600)  # at this pace the second picture would come in ten minutes
    with Capture(open_source("demo:4mp", realtime=False)) as capture:
        for sequence in range(90):
            with capture.latest(PATIENCE) as frame:
                assert frame.sequence == sequence


def test_the_loop_has_no_seam(cache):
    path = cache / "loop.mjpeg"
    assert demo.make_loop(PORTRAITS, (270, 480), path, frames=30)
    pictures = [jpeg.decode(data).astype(int) for data in _pictures(path)]
    assert len(pictures) == 30
    steps = [abs(a - b).mean() for a, b in zip(pictures, pictures[1:] + pictures[:1], strict=True)]
    assert steps[-1] <= 1.5 * max(steps[:-1])
    assert min(steps) > 0.05


def test_drawing_is_repeatable(cache):
    for name in ("a", "b"):
        demo.make_loop(PORTRAITS, (270, 480), cache / name, frames=3)
    assert (cache / "a").read_bytes() == (cache / "b").read_bytes()


def test_an_interrupted_drawing_leaves_nothing(cache):
    path = cache / "sub" / "loop.mjpeg"
    assert not demo.make_loop(PORTRAITS, (270, 480), path, interrupted=lambda: True)
    assert list((cache / "sub").iterdir()) == []


def test_a_loop_that_is_no_loop_is_one_clear_error(cache):
    path = demo.demo_path((270, 480))
    path.parent.mkdir()
    for content in (b"", b"not a loop", b"garbage\xff\xd9"):
        path.write_bytes(content)
        with pytest.raises(SourceError, match="delete it"):
            Capture(open_source("demo:")).start()


def test_many_at_once_draw_without_harm(cache):
    def first() -> bytes:
        with Capture(open_source("demo:", realtime=False)) as capture, capture.latest(PATIENCE) as frame:
            return bytes(frame.jpeg)

    with ThreadPoolExecutor(4) as pool:
        assert len({future.result() for future in [pool.submit(first) for _ in range(4)]}) == 1
    assert [path.name for path in (cache / "demo").iterdir()] == ["loop-480x270.mjpeg"]


def test_frames_outlive_the_loop(cache):
    with Capture(open_source("demo:", realtime=False), size=(30, 30)) as capture:
        frame = capture.latest(PATIENCE)
    with frame:
        assert frame.bgr().shape == (270, 480, 3)


def test_importing_the_room_is_cheap():
    script = (
        "import sys, saccade.capture, saccade.capture.demo\n"
        "print([m for m in ('cv2', 'av', 'openvino', 'numba') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert result.stdout.strip() == "[]", result.stderr


def _pictures(path) -> list[bytes]:
    data = path.read_bytes()
    return [part + b"\xff\xd9" for part in data.split(b"\xff\xd9")[:-1]]
