"""The camera source against a stand-in for OpenCV's V4L2 capture: there is no camera on a test machine."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from capture_tools import mark, scene, stop, wait_for

from conditions import PATIENCE
from saccade.capture import Capture, camera, connection, open_source
from saccade.errors import SourceError


class FakeDevice:
    """Behaves as cv2.VideoCapture does on V4L2; `mjpeg` False is a camera that only has YUYV."""

    mjpeg = True
    pictures: list[bytes] = []  # noqa: RUF012
    silent = False
    instances: list[FakeDevice] = []  # noqa: RUF012

    def __init__(self, path: str, backend: int) -> None:
        assert backend == cv2.CAP_V4L2
        self.path, self.settings, self.reads, self.released = path, {}, 0, False
        type(self).instances.append(self)

    def isOpened(self) -> bool:
        return Path(self.path).read_text() != "busy"

    def set(self, key: int, value: float) -> bool:
        if key == cv2.CAP_PROP_FOURCC and not self.mjpeg:
            return False
        self.settings[key] = value
        return True

    def get(self, key: int) -> float:
        return float(self.settings.get(key, 0))

    def read(self):
        time.sleep(0.005)
        if self.silent or self.released or not Path(self.path).exists():
            return False, None
        picture = self.pictures[self.reads % 16]
        self.reads += 1
        if self.settings[cv2.CAP_PROP_CONVERT_RGB]:
            return True, cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        return True, np.frombuffer(picture, np.uint8).reshape(1, -1).copy()

    def release(self) -> None:
        self.released = True


@pytest.fixture
def device(tmp_path, monkeypatch, pictures):
    path = tmp_path / "video0"
    path.touch()
    fake = type("Fake", (FakeDevice,), {"pictures": pictures, "instances": []})
    monkeypatch.setattr(cv2, "VideoCapture", fake)
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.01)
    return path, fake


def open_camera(path: Path) -> camera.CameraSource:
    return camera.CameraSource(str(path))


def test_numbers_and_device_paths_are_cameras():
    for text, path in (("0", "/dev/video0"), (2, "/dev/video2"), ("/dev/video7", "/dev/video7")):
        source = open_source(text)
        assert isinstance(source, camera.CameraSource)
        assert source.live
        assert not source.every_frame
        with pytest.raises(SourceError, match=rf"camera {path}: no such device"):
            Capture(source).start()


def test_mjpeg_is_asked_for_and_kept_compressed(device, pictures):
    path, fake = device
    with Capture(open_camera(path), size=(90, 160)) as capture, capture.latest(PATIENCE) as frame:
        assert bytes(frame.jpeg) in pictures
        assert frame.planes[0].shape == (90, 160, 3)
        assert abs(frame.time - time.time()) < PATIENCE
    settings = fake.instances[0].settings
    assert settings[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    assert settings[cv2.CAP_PROP_CONVERT_RGB] == 0
    assert fake.instances[0].released


def test_cameras_without_mjpeg_give_bgr(device):
    path, fake = device
    fake.mjpeg = False
    with Capture(open_camera(path)) as capture, capture.latest(PATIENCE) as frame:
        assert frame.jpeg is None
        assert (frame.pixels, frame.planes[0].shape) == ("bgr", (360, 640, 3))
        assert mark(frame.bgr()) % 16 == frame.sequence % 16


def test_an_unplugged_camera_is_taken_again(device, caplog):
    path, fake = device
    with Capture(open_camera(path)) as capture:
        capture.latest(PATIENCE).release()
        path.unlink()
        wait_for(lambda: "unplugged" in caplog.text)
        path.touch()
        wait_for(lambda: capture.statistics().reconnects == 1)
        capture.latest(PATIENCE).release()
    assert len(fake.instances) == 2
    assert all(instance.released for instance in fake.instances)


def test_a_silent_camera_counts_as_lost(device, caplog):
    path, fake = device
    source = open_camera(path)
    source.stall = 0.1
    with Capture(source) as capture:
        capture.latest(PATIENCE).release()
        fake.silent = True
        wait_for(lambda: "silent for" in caplog.text)
        stop(capture)


def test_a_busy_camera_is_one_clear_error(device):
    path, fake = device
    path.write_text("busy")
    with pytest.raises(SourceError, match="in use by another program"):
        Capture(open_camera(path)).start()
    assert fake.instances[0].released


def test_padding_behind_the_picture_is_no_damage(device):
    path, fake = device
    from saccade.capture import jpeg

    fake.pictures = [jpeg.encode(scene(96, 128, i)) + bytes(5000) for i in range(16)]
    with Capture(open_camera(path)) as capture:
        capture.latest(PATIENCE).release()
        assert capture.statistics().damaged == 0


def test_size_and_rate_are_asked_for(device):
    path, fake = device
    with Capture(camera.CameraSource(f"{path}@2688x1520@15")) as capture:
        assert capture.latest(PATIENCE) is not None
    settings = fake.instances[0].settings
    assert settings[cv2.CAP_PROP_FRAME_WIDTH] == 2688
    assert settings[cv2.CAP_PROP_FRAME_HEIGHT] == 1520
    assert settings[cv2.CAP_PROP_FPS] == 15
    with pytest.raises(SourceError, match="is not understood; give 0, /dev/video0 or"):
        open_source("/dev/video0@large")
