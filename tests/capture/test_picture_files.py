"""Files and folders: whatever a name says, what is in it counts; one odd entry costs itself and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import capture_tools
import cv2
import numpy as np
import odd_jpeg
import pytest
from capture_tools import mark, scene, write_video
from test_still import BOMBS

from conditions import PATIENCE, meanwhile
from saccade.capture import Capture, CaptureStatistics, jpeg, open_source
from saccade.capture.camera import CameraSource
from saccade.capture.pipe import MjpegFileSource
from saccade.errors import SourceError


def shown(text: object, **options) -> tuple[list[int], CaptureStatistics]:
    """Marks of all pictures."""
    pictures, _, figures = capture_tools.shown(text, **options)
    return [mark(picture) % 16 for picture in pictures], figures


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two good pictures, with room for an odd one between."""
    path = tmp_path / "pictures"
    path.mkdir()
    for name, index in (("a.jpg", 1), ("c.jpg", 3)):
        (path / name).write_bytes(jpeg.encode(scene(120, 160, index)))
    return path


def make_odd(kind: str, path: Path) -> Path:
    if kind == "folder":
        path.mkdir()
    elif kind == "dead link":
        path.symlink_to("/nonexistent.jpg")
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("no picture")
    elif kind == "cut":
        path.write_bytes(jpeg.encode(scene(120, 160, 2))[:2000])
    elif kind == "cut png":
        path = path.with_suffix(".png")
        path.write_bytes(cv2.imencode(".png", scene(120, 160, 2))[1].tobytes()[:9000])
    elif kind == "JPEG bomb":
        data = bytearray(jpeg.encode(scene(120, 160)))
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = b"\xea\x60\xea\x60"
        path.write_bytes(data)
    else:
        path.write_bytes(BOMBS[kind])
    return path


ODD = ["folder", "dead link", "link to itself", "FIFO", "device", "empty", "text", "cut", "cut png", "JPEG bomb",
       "png header", "tiff"]  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("way", ["folder", "glob"])
def test_one_odd_entry_is_left_out_named_and_counted(folder, kind, way, caplog):
    odd = make_odd(kind, folder / "b.jpg")
    marks, figures = shown(folder if way == "folder" else folder / "*")
    assert marks == [1, 3]
    assert figures.damaged == 1
    assert figures.captured - figures.damaged <= figures.delivered == 2
    assert sum(odd.name in record.getMessage() for record in caplog.records if record.levelname == "WARNING") == 1


@pytest.mark.parametrize("kind", [kind for kind in ODD if kind not in ("folder", "dead link", "FIFO", "device")])
def test_alone_it_is_one_clear_error(tmp_path, kind):
    odd = make_odd(kind, tmp_path / "b.jpg")
    with pytest.raises(SourceError, match=odd.name):
        shown(odd)


def test_a_folder_of_nothing_but_odd_entries(tmp_path):
    make_odd("cut", tmp_path / "a.jpg")
    make_odd("png header", tmp_path / "b.png")
    with pytest.raises(SourceError, match="all 2 pictures are damaged"):
        shown(tmp_path)


SUFFIXES = [".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".jp2"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".gif", "", ".picture"])
def test_a_folder_reads_what_a_single_file_may_be(tmp_path, suffix):
    encoder = suffix if suffix in (*SUFFIXES, ".gif") else ".png"
    path = tmp_path / f"one{suffix}"
    path.write_bytes(cv2.imencode(".jpg" if suffix == ".jpe" else encoder, scene(120, 160, 7))[1].tobytes())
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").write_bytes(jpeg.encode(scene(120, 160, 9)))
    assert shown(path)[0] == [7]
    assert shown(tmp_path)[0] == [7]
    assert shown(tmp_path)[1].damaged == 0


@pytest.mark.parametrize("name", ["upright.jpg", "upright.jpe", "upright", "upright.data"])
def test_files_are_turned_whatever_their_name(tmp_path, name):
    upright = scene(120, 160, 5)
    lying = jpeg.encode(np.ascontiguousarray(np.rot90(upright)))
    path = tmp_path / name
    path.write_bytes(odd_jpeg.with_app(lying, odd_jpeg.exif(6)))
    for text in (path, tmp_path):
        with Capture(open_source(text), size=(30, 40)) as capture, capture.latest() as frame:
            if name.endswith("jpg") or text == tmp_path:
                assert frame.name == str(path)
            assert (frame.height, frame.width, frame.planes[0].shape) == (120, 160, (30, 40, 3))
            assert abs(frame.at_least(60, 80).astype(int) - cv2.resize(upright, (80, 60))).mean() < 12
            assert abs(frame.bgr().astype(int) - upright).mean() < 8
            assert abs(frame.crop(80, 60, 160, 120).astype(int) - upright[60:, 80:]).mean() < 8


def test_a_picture_of_more_pixels_than_wanted(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg.encode(scene(120, 160)))
    with pytest.raises(SourceError, match="damaged"):
        shown(path, max_pixels=1000)
    path.with_suffix(".png").write_bytes(cv2.imencode(".png", scene(120, 160))[1].tobytes())
    with pytest.raises(SourceError, match="160x120 px is above the limit of 1000 pixels"):
        shown(path.with_suffix(".png"), max_pixels=1000)
    with pytest.raises(SourceError, match="video of 160x120 px is above the limit of 1000 pixels"):
        shown(write_video(tmp_path / "a.mp4", "libx264", 3, (120, 160)), max_pixels=1000)


@pytest.mark.parametrize("name", ["a.mjpeg", "a.mjpg", "a", "a.bin"])
@pytest.mark.parametrize("form", ["bare", "multipart", "no EOI", "odd"])
def test_mjpeg_in_a_file(tmp_path, pictures, name, form):
    part = b"--b\r\nContent-Type: image/jpeg\r\n\r\n"
    stream = {
        "bare": b"".join(pictures),
        "multipart": b"\r\n".join(part + picture for picture in pictures) + b"\r\n--b--\r\n",
        "no EOI": b"".join(picture[:-2] for picture in pictures),
        "odd": b"".join(odd_jpeg.padded(odd_jpeg.SOI + picture, bytes(300)) for picture in pictures),
    }[form]
    path = tmp_path / name
    path.write_bytes(stream)
    assert isinstance(open_source(path), MjpegFileSource)
    with Capture(open_source(path)) as capture:
        times = []
        for index in range(16):
            with capture.latest() as frame:
                assert mark(frame.bgr()) % 16 == index
                times.append(frame.time)
        assert capture.latest() is None
        assert capture.statistics().damaged == 0
    assert times == pytest.approx([index / 25 for index in range(16)])


def test_mjpeg_in_a_file_plays_in_real_time(tmp_path, pictures):
    import time

    path = tmp_path / "a.mjpeg"
    path.write_bytes(b"".join(pictures))
    start = time.monotonic()
    marks, figures = shown(path, realtime=True)
    assert time.monotonic() - start >= 15 / 25
    assert figures.captured == 16
    assert figures.delivered + figures.dropped == 16
    assert marks == sorted(marks)


READER = """
import sys
from saccade.capture import Capture, open_source
from saccade.errors import SourceError
count = 0
try:
    with Capture(open_source(sys.argv[1], realtime=False)) as capture:
        while (frame := capture.latest(180)) is not None:
            frame.release()
            count += 1
        print(count, capture.ended)
except SourceError as error:
    print(error)
"""


def read_by_shell(command: str, text: str, **options) -> str:
    """What a reader of `text` prints; `command` runs it as "$@"."""
    result = subprocess.run(
        ["bash", "-c", command, "reader", sys.executable, "-c", READER, text],
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


@pytest.fixture
def stream(tmp_path, pictures) -> Path:
    path = tmp_path / "stream.mjpeg"
    path.write_bytes(b"".join(pictures))
    return path


def test_process_substitution_ends(stream):
    """The shell puts a path such as /dev/fd/63 in place of <(...)."""
    assert read_by_shell(f'"${{@:1:3}}" <(cat {stream})', "unused") == "16 True\n"


@pytest.mark.parametrize("text", ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
@pytest.mark.parametrize("how", ["pipe", "file", "socket"])
def test_standard_input_by_any_name_ends(stream, text, how):
    import socket

    if how == "file":
        assert read_by_shell(f'"$@" < {stream}', text) == "16 True\n"
    elif how == "pipe":
        assert read_by_shell(f'cat {stream} | "$@"', text) == "16 True\n"
    elif text != "/proc/self/fd/0":
        ours, theirs = socket.socketpair()
        with meanwhile(lambda: (ours.sendall(stream.read_bytes()), ours.close())), theirs:
            assert read_by_shell('"$@"', text, stdin=theirs) == "16 True\n"


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".mp4", "MP4 or MOV"), (".mkv", "Matroska"), (".avi", "AVI"), (".h264", "raw H.264"), (".ts", "MPEG-TS")],
)
def test_a_video_on_standard_input_is_told_what_is_expected(tmp_path, suffix, name):
    path = write_video(tmp_path / f"a{suffix}", "libx264", 3, (96, 128))
    message = read_by_shell(f'cat {path} | "$@"', "-")
    assert name in message
    assert "expected is MJPEG" in message
    assert message.count("\n") == 1


def test_garbage_on_standard_input(tmp_path):
    path = tmp_path / "garbage"
    path.write_bytes(bytes(range(1, 200)) * 500)
    message = read_by_shell(f'cat {path} | "$@"', "-")
    assert "99500 bytes hold no picture; expected is MJPEG" in message


def test_cameras_by_any_device_path(monkeypatch):
    for text in (
        "/dev/v4l/by-id/usb-046d_Cam-video-index0@1280x720",
        "/dev/v4l/by-path/pci-0000:00:14.0-usb-0:5@9x9@5",
    ):
        assert isinstance(open_source(text), CameraSource)
        assert open_source(text).name == text
    # Any other character device is one too, with a size behind it or without.
    assert isinstance(open_source("/dev/zero@640x480@15"), CameraSource)
    assert isinstance(open_source("/dev/zero"), CameraSource)


def test_names_with_an_at_are_files(tmp_path):
    path = tmp_path / "photo@2x640.jpg"
    path.write_bytes(jpeg.encode(scene(120, 160, 4)))
    assert shown(path)[0] == [4]
