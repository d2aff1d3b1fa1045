"""Live streams from real servers and writers: a FIFO, standard input, HTTP, RTSP."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from capture_tools import mark, outrun, stop, wait_for, write_video

from conditions import PATIENCE, answering, meanwhile
from saccade.capture import Capture, connection, open_source
from saccade.errors import SourceError

WRITER = """
import sys, time
pictures = [open(p, "rb").read() for p in sys.argv[2:]]
with open(sys.argv[1], "wb", buffering=0) as pipe:
    while True:
        for picture in pictures:
            pipe.write(picture)
            time.sleep(0.01)
"""


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(connection, "LONGEST_PAUSE", 0.1)


@pytest.fixture
def picture_files(pictures, tmp_path) -> list[str]:
    files = []
    for index, picture in enumerate(pictures):
        files.append(tmp_path / f"{index:02}.jpg")
        files[-1].write_bytes(picture)
    return list(map(str, files))


@pytest.fixture
def fifo(tmp_path) -> str:
    path = tmp_path / "camera.mjpeg"
    os.mkfifo(path)
    return str(path)


def start_writer(fifo: str, files: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, fifo, *files])


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_fifo_whose_writer_dies_and_comes_back(fifo, picture_files, caplog):
    with Capture(open_source(fifo), size=(90, 160)) as capture:
        assert capture.latest(0.05) is None
        assert not capture.ended
        for life in range(3):
            writer = start_writer(fifo, picture_files)
            try:
                last = -1
                for _ in range(10):
                    frame = capture.latest(PATIENCE)
                    assert frame is not None
                    with frame:
                        assert frame.sequence > last
                        last = frame.sequence
                        assert abs(frame.time - time.time()) < PATIENCE
                        assert bytes(frame.jpeg) in [Path(f).read_bytes() for f in picture_files]
            finally:
                kill(writer)
            wait_for(lambda: capture.statistics().state == "lost")
            assert capture.statistics().reconnects == life
        stop(capture)
    # Three outages, of which two ended: one line at each end.
    assert sum("trying again" in r.getMessage() for r in caplog.records) == 3
    assert sum("back after" in r.getMessage() for r in caplog.records) == 2


def test_fifo_with_garbage_between_and_pictures_cut_short(fifo, pictures):
    stream = b"\x00garbage" * 40 + pictures[0] + b"\xff\xd8\xffnonsense" + pictures[1][:9000] + pictures[2] + b"tail"
    with Capture(open_source(fifo, realtime=False)) as capture:
        seen = []
        with meanwhile(lambda: Path(fifo).write_bytes(stream)):
            for _ in range(2):
                with capture.latest(PATIENCE) as frame:
                    seen.append(mark(frame.bgr()) % 16)
        assert seen == [0, 2]
        assert capture.statistics().damaged >= 1


def test_a_slow_reader_of_a_fifo_gets_the_newest(fifo, picture_files):
    writer = start_writer(fifo, picture_files)
    try:
        with Capture(open_source(fifo)) as capture:
            for _ in range(5):
                with capture.latest(PATIENCE) as frame:
                    outrun(capture, frame, 5)
            statistics = capture.statistics()
        assert statistics.dropped > 15
        assert statistics.damaged == 0
        assert statistics.captured >= statistics.dropped + statistics.delivered
    finally:
        kill(writer)


def test_a_silent_writer_counts_as_lost(fifo, pictures, caplog):
    source = open_source(fifo)
    source.stall = 0.3
    with Capture(source) as capture, open(fifo, "wb", buffering=0) as pipe:
        pipe.write(pictures[0])
        capture.latest(PATIENCE).release()
        wait_for(lambda: "silent for 0 s" in caplog.text)
        pipe.write(pictures[1])
        capture.latest(PATIENCE).release()
        assert capture.statistics().reconnects == 1


def test_standard_input_ends(pictures):
    script = (
        "from saccade.capture import Capture, open_source\n"
        "n = 0\n"
        "with Capture(open_source('-', realtime=False)) as capture:\n"
        "    while (frame := capture.latest()) is not None:\n"
        "        frame.release()\n"
        "        n += 1\n"
        "print(n)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], input=b"".join(pictures), capture_output=True, timeout=PATIENCE
    )
    assert (result.stdout, result.stderr) == (b"16\n", b"")


class Camera(BaseHTTPRequestHandler):
    """A network camera: /stream (multipart), /chunked, /snapshot, /secret, /video.mp4, /nothing."""

    protocol_version = "HTTP/1.1"
    pictures: ClassVar[list[bytes]] = []
    video = b""
    parts = 1 << 30
    silent_after = 1 << 30
    over: threading.Event

    def log_message(self, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        credentials = base64.b64encode(b"user:pa ss").decode()
        if self.path == "/secret" and self.headers.get("Authorization") != f"Basic {credentials}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/snapshot":
            self.answer("image/jpeg", self.pictures[3])
        elif self.path == "/video.mp4":
            self.answer("video/mp4", self.video)
        elif self.path in ("/stream", "/secret", "/chunked"):
            self.stream(chunked=self.path == "/chunked")
        else:
            self.send_error(404)

    def answer(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self, *, chunked: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.send_header("Transfer-Encoding" if chunked else "Connection", "chunked" if chunked else "close")
        self.end_headers()
        self.close_connection = True
        for part in range(self.parts):
            picture = self.pictures[part % 16]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
            body = head + picture + b"\r\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if chunked else body)
            if part + 1 == self.silent_after:
                self.over.wait(600)
            time.sleep(0.01)


@pytest.fixture
def camera(pictures) -> Iterator[tuple[type[Camera], str]]:
    handler = type("TestCamera", (Camera,), {"pictures": pictures, "over": threading.Event()})
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as url:
        yield handler, url
        handler.over.set()


@pytest.mark.parametrize("path", ["/stream", "/chunked"])
def test_each_part_of_an_http_stream_is_a_frame_as_it_came(camera, path, pictures):
    with Capture(open_source(camera[1] + path, realtime=False), size=(90, 160)) as capture:
        for index in range(20):
            with capture.latest(PATIENCE) as frame:
                assert bytes(frame.jpeg) == pictures[index % 16]
                assert frame.planes[0].shape == (90, 160, 3)
        stop(capture)


def test_http_stream_that_ends_is_opened_again(camera):
    camera[0].parts = 5
    with Capture(open_source(camera[1] + "/stream", realtime=False)) as capture:
        for _ in range(12):
            capture.latest(PATIENCE).release()
        assert capture.statistics().reconnects == 2


def test_http_credentials_in_the_url(camera, caplog):
    host = camera[1].removeprefix("http://")
    with Capture(open_source(f"http://user:pa%20ss@{host}/secret")) as capture:
        capture.latest(PATIENCE).release()
    with pytest.raises(SourceError, match="401") as caught, Capture(open_source(f"http://user:wrong@{host}/secret")):
        pass
    assert "wrong" not in str(caught.value) + caplog.text


def test_http_errors_are_one_clear_line(camera):
    with pytest.raises(SourceError, match="HTTP 404"), Capture(open_source(camera[1] + "/nothing")):
        pass
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(SourceError, match="refused"), Capture(open_source(f"http://127.0.0.1:{port}/")):
        pass
    with pytest.raises(SourceError, match=r"no\.such\.host"), Capture(open_source("http://no.such.host.invalid/")):
        pass


def test_http_snapshot_is_one_picture(camera):
    with Capture(open_source(camera[1] + "/snapshot", realtime=False)) as capture:
        with capture.latest(PATIENCE) as frame:
            assert mark(frame.bgr()) == 3
        assert capture.latest(PATIENCE) is None


def test_http_video_goes_through_ffmpeg_and_ends(camera, tmp_path):
    camera[0].video = write_video(tmp_path / "v.mp4", "libx264", 10).read_bytes()
    with Capture(open_source(camera[1] + "/video.mp4", realtime=False)) as capture:
        frames = 0
        while (frame := capture.latest(PATIENCE)) is not None:
            assert frame.pixels == "i420"
            frame.release()
            frames += 1
        assert capture.ended
    assert frames == 10


def test_http_server_that_falls_silent_counts_as_lost(camera):
    camera[0].silent_after = 2
    source = open_source(camera[1] + "/stream", realtime=False)
    source.stall = 0.3
    with Capture(source) as capture:
        for _ in range(4):
            capture.latest(PATIENCE).release()
        assert capture.statistics().reconnects


def test_stop_while_an_http_server_is_silent(camera):
    camera[0].silent_after = 1
    with Capture(open_source(camera[1] + "/stream")) as capture:
        capture.latest(PATIENCE).release()
        stop(capture)


class RtspServer:
    """GStreamer's RTSP server in a process of its own."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        self._process = subprocess.Popen(
            ["/usr/bin/python3", str(script), str(self.port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self.stop()
            pytest.skip("needs GStreamer's RTSP server: see tests/capture/rtsp_server.py")

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            kill(self._process)
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def rtsp() -> Iterator[RtspServer]:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("needs the system's Python and GStreamer's RTSP server")
    server = RtspServer()
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("path", ["mjpeg", "h264"])
def test_frames_of_rtsp_are_dated_and_as_they_were_sent(rtsp, path):
    with Capture(open_source(f"rtsp://127.0.0.1:{rtsp.port}/{path}")) as capture:
        for _ in range(15):
            with capture.latest(PATIENCE) as frame:
                assert (frame.height, frame.width) == (240, 320)
                assert (frame.jpeg is not None) == (path == "mjpeg")
                assert frame.bgr().shape == (240, 320, 3)
                assert abs(frame.time - time.time()) < PATIENCE
        stop(capture)


def test_rtsp_server_that_dies_and_comes_back(rtsp):
    with Capture(open_source(f"rtsp://127.0.0.1:{rtsp.port}/h264")) as capture:
        capture.latest(PATIENCE).release()
        rtsp.stop()
        wait_for(lambda: capture.statistics().state == "lost")
        while (frame := capture.latest(0)) is not None:
            frame.release()
        assert not capture.ended
        rtsp.start()
        capture.latest(PATIENCE).release()
        assert capture.statistics().reconnects == 1


def test_rtsp_server_that_stops_for_a_while(rtsp):
    """Shorter than a stall: the same connection goes on after several empty slices."""
    source, checked = open_source(f"rtsp://127.0.0.1:{rtsp.port}/mjpeg"), []
    check = source._check_patience
    source._check_patience = lambda what, *stall: (checked.append(what), check(what, *stall))
    with Capture(source) as capture:
        capture.latest(PATIENCE).release()
        rtsp.signal(signal.SIGSTOP)
        wait_for(lambda: checked.count("silent") >= 2)
        while (frame := capture.latest(0)) is not None:
            frame.release()
        rtsp.signal(signal.SIGCONT)
        for _ in range(10):
            capture.latest(PATIENCE).release()
        assert capture.statistics().reconnects == 0


def test_rtsp_server_that_stalls_counts_as_lost(rtsp, caplog):
    source = open_source(f"rtsp://127.0.0.1:{rtsp.port}/mjpeg")
    source.stall = 1.0
    with Capture(source) as capture:
        capture.latest(PATIENCE).release()
        rtsp.signal(signal.SIGSTOP)
        wait_for(lambda: "trying again" in caplog.text)
        rtsp.signal(signal.SIGCONT)
        wait_for(lambda: capture.statistics().reconnects == 1)
