"""The result FIFO: when `open` waits, what viewers get, and that threads survive what they could not have met."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from script_runs import Device

from conditions import PATIENCE
from saccade import compat
from saccade.compat.fifo_file import FifoFile

HEAD = """import awscam, cv2, greengrasssdk, os, time
from threading import Thread
client = greengrasssdk.client('iot-data')
jpeg = None
writing = True
class FIFO_Thread(Thread):
    def __init__(self):
        Thread.__init__(self)
    def run(self):
        path = '/tmp/results.mjpeg'
        if not os.path.exists(path):
            os.mkfifo(path)
        f = open(path, 'w')
        client.publish(topic='t', payload='Opened Pipe')
        while writing:
            try:
                f.write(jpeg.tobytes())
            except IOError as e:
                continue
"""
LOOP = """
thread = FIFO_Thread()
thread.start()
n = 0
while True:
    ret, frame = awscam.getLastFrame()
    frame[:] = 20 * n
    n += 1
    ret, jpeg = cv2.imencode('.jpg', cv2.resize(frame, (32, 16)))
    time.sleep(0.1)
"""


def pictures(data: bytes) -> list[int]:
    """The grey value of each JPEG of a stream."""
    parts = [b"\xff\xd8" + part for part in data.split(b"\xff\xd8")[1:]]
    decoded = [cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_COLOR) for part in parts]
    assert all(picture is not None and picture.shape == (16, 32, 3) for picture in decoded)
    return [round(float(picture.mean())) for picture in decoded]


def viewer(path: Path, got: bytearray, until: Callable[[bytearray], bool] = lambda data: False) -> threading.Thread:
    def view() -> None:
        with open(path, "rb", buffering=0) as fifo:
            while not until(got):
                part = fifo.read(65536)
                if not part:
                    return
                got.extend(part)

    thread = threading.Thread(target=view)
    thread.start()
    return thread


def test_a_viewer_from_the_start_and_a_picture_that_is_none_at_first(device: Device) -> None:
    os.mkfifo(device.fifo)
    got = bytearray()
    thread = viewer(device.fifo, got)
    run = device.run(device.script(HEAD + LOOP), frames=8)
    thread.join(PATIENCE)
    shown = pictures(bytes(got))
    assert "Opened Pipe" in run.payloads
    assert "NoneType" not in run.err
    assert len(set(shown)) >= 4
    assert shown == sorted(shown)
    assert all(value % 20 <= 2 or value % 20 >= 18 for value in shown)


def test_without_a_viewer_the_thread_waits_and_the_frames_go_on(device: Device) -> None:
    run = device.run(device.script(HEAD + LOOP), frames=4)
    assert run.payloads == []
    assert "4 of 4 frames" in run.err


def test_the_page_is_a_viewer(device: Device) -> None:
    run = device.run(device.script(HEAD + LOOP), "--view", "127.0.0.1:0", frames=4)
    assert run.payloads == ["Opened Pipe"]


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[None]:
    compat.install(source="demo:", artifacts=tmp_path)
    yield
    compat.uninstall()


def _picture(value: int) -> bytes:
    return cv2.imencode(".jpg", np.full((16, 32, 3), value, np.uint8))[1].tobytes()


def test_open_waits_for_a_viewer_off_the_main_thread(camera: None, tmp_path: Path) -> None:
    path = str(tmp_path / "fifo")
    opened, ended = threading.Event(), threading.Event()

    def write() -> None:
        file = FifoFile(path)
        opened.set()
        while not ended.is_set():
            file.write(_picture(100))

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    while not os.path.exists(path):
        threading.Event().wait(0.01)
    assert not opened.wait(0.3)
    for _ in range(3):  # a viewer comes late, leaves, and returns
        got = bytearray()
        viewer(Path(path), got, lambda data: data.count(b"\xff\xd9") >= 2).join(PATIENCE)
        assert opened.is_set()
        assert set(pictures(bytes(got[: got.rindex(b"\xff\xd9") + 2]))) == {100}
    ended.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_open_on_the_main_thread_does_not_wait(camera: None, tmp_path: Path) -> None:
    file = FifoFile(str(tmp_path / "fifo"))
    assert file.write(_picture(0)) == len(_picture(0))
    file.close()
    with pytest.raises(ValueError, match="closed file"):
        file.write(b"x")


def test_text_bytes_and_arrays(camera: None, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    with FifoFile(str(path)) as file:
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        one = _picture(40)
        file.write(one.decode("latin-1"))
        file.write(np.frombuffer(one, np.uint8))
        file.buffer.write(bytearray(one))
        file.writelines([one[:9].decode("latin-1"), one[9:]])
        print("line", file=file)
        assert os.read(reader, 1 << 16) == one * 4 + b"line\n"
        with pytest.raises(TypeError):
            file.write(None)
        assert not file.isatty()
        os.close(reader)
    assert file.closed


def test_a_name_that_stays_none_holds_nobody_up(device: Device) -> None:
    os.mkfifo(device.fifo)
    got = bytearray()
    thread = viewer(device.fifo, got)
    text = HEAD.replace("client.publish", "unused\n        client.publish").replace(
        "jpeg = None", "jpeg = unused = None"
    )
    run = device.run(device.script(text + LOOP), frames=12)
    thread.join(PATIENCE)
    assert "Opened Pipe" in run.payloads
    assert pictures(bytes(got))
