"""The collected inputs of the corpus that were once answered wrongly, with what is right."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from capture_tools import shown, stop_while_it_opens, wait_for

from conditions import PATIENCE, meanwhile
from saccade.capture import Capture, open_source
from saccade.errors import SourceError

pytestmark = pytest.mark.corpus

LEVELS = 20
"""How far a pixel may be from the reference picture."""
JPEGS = ["plain", "sos_se0", "jfif2", "adobe7", "pad96", "pad604", "fill_bytes", "two_soi", "no_eoi", "s1x4", "s4x2"]


@pytest.fixture
def cases(corpus) -> Path:
    folder = corpus / "cases"
    if not folder.is_dir():
        pytest.skip("this corpus has no collected cases")
    return folder


def near(picture: np.ndarray, reference: Path) -> bool:
    expected = cv2.imread(str(reference))
    return picture.shape == expected.shape and int(abs(picture.astype(int) - expected).max()) <= LEVELS


def reference_of(cases: Path, name: str) -> Path:
    return cases / "jpeg" / (f"{name}.png" if name in ("s1x4", "s4x2") else "plain.png")


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_as_a_file(cases, name):
    pictures, _, figures = shown(cases / "jpeg" / f"{name}.jpg")
    assert [near(picture, reference_of(cases, name)) for picture in pictures] == [True]
    assert figures.damaged == 0


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_five_times_in_a_fifo(cases, name, tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    content = (cases / "jpeg" / f"{name}.jpg").read_bytes() * 5
    with Capture(open_source(path, realtime=False)) as capture:
        with meanwhile(lambda: path.write_bytes(content)):
            for _ in range(5):
                with capture.latest(PATIENCE) as frame:
                    assert near(frame.bgr(), reference_of(cases, name))
        assert capture.statistics().damaged == 0


@pytest.mark.parametrize("name", ["pad96", "fill", "two_soi", "no_eoi"])
def test_mjpeg_in_a_file(cases, name):
    pictures, times, figures = shown(cases / "video" / f"{name}.mjpeg")
    assert [near(picture, cases / "jpeg" / "plain.png") for picture in pictures] == [True] * 5
    assert times == pytest.approx([index / 25 for index in range(5)])
    assert figures.damaged == 0


def test_a_raw_stream_has_the_times_of_the_same_video(cases):
    _, times, _ = shown(cases / "video" / "noclock.h264")
    assert times == pytest.approx(shown(cases / "video" / "clock.mp4")[1])
    assert times == pytest.approx([index / 10 for index in range(160)])


def test_a_display_matrix_turns_mjpeg(cases):
    assert {picture.shape for picture in shown(cases / "video" / "rotated_mjpeg.mov")[0]} == {(96, 64, 3)}


def test_the_larger_track(cases):
    assert {picture.shape for picture in shown(cases / "video" / "two_tracks.mkv")[0]} == {(64, 96, 3)}


@pytest.mark.parametrize("name", ["exif6.jpg", "exif6.jpe", "exif6"])
def test_exif_by_any_name(cases, name):
    (picture,), _, _ = shown(cases / "pictures" / name)
    assert near(picture, cases / "pictures" / "exif6_upright.png")


@pytest.mark.parametrize("name", ["bits50000.png", "bits30000.png", "header100000.png", "header60000_exif6.jpg"])
def test_bombs_are_refused_in_one_line(cases, name):
    with pytest.raises(SourceError) as caught:
        shown(cases / "pictures" / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "name", ["dir_named_jpg", "dangling_link", "bomb_between", "huge_header_between", "fifo_named_jpg"]
)
def test_one_odd_entry_in_a_folder(cases, name, tmp_path, caplog):
    subprocess.run(["bash", cases / "pictures" / "make_folders.sh", tmp_path], check=True)
    pictures, _, figures = shown(tmp_path / name)
    assert len(pictures) == 2
    assert figures.damaged == 1
    assert "b." in caplog.text


@pytest.fixture(scope="module")
def http_camera(corpus) -> Iterator[str]:
    script = corpus / "cases" / "http" / "camera.py"
    if not script.is_file():
        pytest.skip("this corpus has no collected cases")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(script), str(port)], stdout=subprocess.DEVNULL)

    def is_up(number: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", number)) == 0

    try:
        wait_for(lambda: is_up(port) and is_up(port + 1))
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("login", "path"), [("", "/plain"), ("admin:secret@", "/digest256"), ("admin:secret@", "/redirect"),
                        ("admin:secret@", "/basic"), ("", "/one"), ("", "/noeoi")],
)  # fmt: skip
def test_a_stream_of_http_cameras_comes_undamaged_however_it_is_asked_for(cases, http_camera, login, path):
    pictures, _, figures = shown(f"http://{login}{http_camera}{path}", 3, realtime=False)
    assert [near(picture, cases / "jpeg" / "plain.png") for picture in pictures] == [True] * 3
    assert figures.damaged == 0


def test_http_over_tls(cases, http_camera):
    host, _, port = http_camera.partition(":")
    url = f"https://{host}:{int(port) + 1}/plain"
    with pytest.raises(SourceError, match=r"--ca FILE.*--insecure"):
        shown(url)
    pictures, _, _ = shown(url, 2, realtime=False, insecure=True)
    assert near(pictures[0], cases / "jpeg" / "plain.png")


def test_http_snapshots_are_of_any_kind_and_upright(http_camera):
    assert [picture.shape for picture in shown(f"http://{http_camera}/png", realtime=False)[0]] == [(48, 64, 3)]
    assert [picture.shape for picture in shown(f"http://{http_camera}/exif", realtime=False)[0]] == [(128, 96, 3)]


def test_http_garbage_is_counted_and_told_once(http_camera, caplog):
    with Capture(open_source(f"http://{http_camera}/garbage")) as capture:
        wait_for(lambda: capture.statistics().damaged >= 3)
    assert sum("garbage" in record.getMessage() for record in caplog.records if record.levelname == "WARNING") == 1


def test_http_silence_ends_at_once(http_camera, monkeypatch):
    monkeypatch.setattr("saccade.capture.http.OPEN_SECONDS", 2 * PATIENCE)
    capture, port = Capture(open_source(f"http://{http_camera}/silent")), int(http_camera.rpartition(":")[2])
    stop_while_it_opens(capture, lambda: port in {c.raddr.port for c in psutil.Process().net_connections() if c.raddr})
