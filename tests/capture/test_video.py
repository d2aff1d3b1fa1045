from __future__ import annotations

import contextlib
import gc
import socket
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from capture_tools import asked_to_wait, mark, outrun, scene, stop, stop_while_it_opens, wait_for, write_video

from conditions import PATIENCE
from saccade.capture import Capture, connection, jpeg, open_source, video
from saccade.errors import SourceError


@pytest.fixture(scope="module")
def mjpeg_avi(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.avi", "mjpeg", 24)


@pytest.fixture(scope="module")
def h264_mp4(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", "libx264", 24)


@pytest.fixture(scope="module")
def h265_mkv(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.mkv", "libx265", 24)


def test_mjpeg_avi_keeps_the_compressed_bytes(mjpeg_avi):
    with av.open(str(mjpeg_avi)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    with Capture(open_source(str(mjpeg_avi)), size=(90, 160)) as capture:
        for index, packet in enumerate(packets):
            with capture.latest() as frame:
                assert bytes(frame.jpeg) == packet
                assert frame.planes[0].shape == (90, 160, 3)
                assert frame.time == pytest.approx(index / 30)
                assert mark(frame.planes[0]) % 16 == index % 16
        assert capture.latest() is None
        assert capture.statistics().frame_rate == pytest.approx(30)
        assert capture.statistics().bytes_read == sum(map(len, packets))


def test_pictures_of_a_video_are_gone_without_the_garbage_collector(h264_mp4):
    source = open_source(h264_mp4)
    source.open()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert source.read() is not None
        held = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
        source.close()
    assert held <= 2


@pytest.mark.parametrize("kind", ["h264_mp4", "h265_mkv"])
def test_decoded_video_gives_planes_without_a_copy(kind, request):
    path = request.getfixturevalue(kind)
    held = []
    with Capture(open_source(path), slots=40) as capture:
        while (frame := capture.latest()) is not None:
            held.append(frame)
    assert len(held) == 24
    # All frames are still held: each keeps its own picture alive.
    for index, frame in enumerate(held):
        with frame:
            luma, u, v = frame.planes
            assert (frame.pixels, frame.full_range, frame.jpeg) == ("i420", False, None)
            assert (luma.shape, u.shape, v.shape) == ((360, 640), (180, 320), (180, 320))
            assert not luma.flags.owndata
            assert frame.time == pytest.approx(index / 30, abs=1e-3)
            expected = scene(360, 640, index).astype(int)
            small = frame.at_least(90, 160)
            assert small.shape == (90, 160, 3)
            assert abs(mark(small) - index % 16) <= 1
            bgr = frame.bgr()
            assert bgr.shape == (360, 640, 3)
            assert abs(bgr - expected).mean() < 25
            assert abs(mark(bgr) - index % 16) <= 1
            assert frame.crop(0, 0, 160, 90).shape == (90, 160, 3)


def test_planes_are_what_opencv_reads(h264_mp4):
    reader = cv2.VideoCapture(str(h264_mp4))
    with Capture(open_source(h264_mp4)) as capture:
        for _ in range(24):
            good, expected = reader.read()
            assert good
            with capture.latest() as frame:
                packed = np.concatenate([np.ascontiguousarray(p).ravel() for p in frame.planes]).reshape(540, 640)
                converted = cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420)
                assert abs(converted.astype(int) - expected).mean() < 3
                assert abs(frame.bgr().astype(int) - expected).mean() < 3
    reader.release()


def test_a_new_frame_size_in_mid_stream(tmp_path):
    parts = [write_video(tmp_path / f"{h}.h264", "libx264", 5, size=(h, 2 * h)) for h in (96, 144)]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    held = []
    with Capture(open_source(path), slots=12) as capture:
        while (frame := capture.latest()) is not None:
            held.append(frame)
        assert capture.statistics().resizes == 1
    assert [(f.height, f.planes[0].shape) for f in held] == [(96, (96, 192))] * 5 + [(144, (144, 288))] * 5
    for index, frame in enumerate(held):
        assert abs(mark(frame.bgr()) - index % 5) <= 1
        frame.release()


def test_ten_bit_video_is_converted(tmp_path):
    path = tmp_path / "ten.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p10le"
        for index in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(96, 128, index), "bgr24")))
        container.mux(stream.encode())
    with Capture(open_source(path)) as capture, capture.latest() as frame:
        assert frame.pixels == "i420"
        assert frame.planes[0].shape == (96, 128)


def test_realtime_paces_a_file_and_drops(mjpeg_avi):
    start = time.monotonic()
    with Capture(open_source(mjpeg_avi, realtime=True)) as capture:
        sequences, newest = [], 0
        while (frame := capture.latest()) is not None:
            with frame:
                sequences.append(frame.sequence)
                assert frame.sequence >= newest
                assert frame.captured - start >= frame.sequence / 30
                outrun(capture, frame, 2, ends_at=24)
            newest = capture.statistics().captured - 1
        statistics = capture.statistics()
    assert sequences == sorted(set(sequences))
    assert len(sequences) <= 13
    assert statistics.captured == 24
    assert statistics.dropped + statistics.delivered == 24


def test_realtime_paces_decoded_video(h264_mp4):
    source = open_source(h264_mp4, realtime=True)
    asked, start = asked_to_wait(source), time.monotonic()
    with Capture(source) as capture:
        while (frame := capture.latest()) is not None:
            with frame:
                assert frame.captured - start >= frame.sequence / 30
    assert time.monotonic() - start >= 23 / 30
    assert sum(asked) <= 23 / 30 + 1e-3


def test_stop_while_paced(tmp_path):
    # The second picture is due in half an hour.
    path = write_video(tmp_path / "slow.avi", "mjpeg", 2, rate=Fraction(1, 1800))
    capture = Capture(open_source(path, realtime=True)).start()
    capture.latest().release()
    stop(capture)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.mp4", b"this is no video, whatever its name says" * 30), ("b.avi", b""), ("c.mkv", bytes(5000))],
)
def test_files_that_are_not_what_their_name_says(tmp_path, name, content, capfd):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=name), Capture(open_source(path)):
        pass
    assert capfd.readouterr().err == ""


def test_a_file_without_video(tmp_path):
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(SourceError, match="holds no video"), Capture(open_source(path)):
        pass


def test_a_missing_file():
    with pytest.raises(SourceError, match=r"/nowhere/a\.mp4.*No such file"):
        open_source("/nowhere/a.mp4")


@pytest.mark.parametrize("kind", ["mjpeg_avi", "h264_mp4"])
def test_damage_in_a_file_is_counted_and_passed_over(kind, request, tmp_path):
    path = request.getfixturevalue(kind)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for offset in range(0, 6000, 3):
        content[middle - 3000 + offset] ^= 0x55
    broken = tmp_path / path.name
    broken.write_bytes(content)
    frames = 0
    with Capture(open_source(broken)) as capture:
        while (frame := capture.latest()) is not None:
            frame.release()
            frames += 1
        damaged = capture.statistics().damaged
    assert damaged >= 1
    assert frames >= 12
    assert frames + damaged >= 20


def test_hostile_files_end_in_frames_or_one_error(mjpeg_avi, h264_mp4, h265_mkv, tmp_path):
    random = np.random.default_rng(3)
    for index in range(90):
        original = (mjpeg_avi, h264_mp4, h265_mkv)[index % 3]
        content = bytearray(original.read_bytes()[: 40_000 if index % 2 else None])
        reach = (300, 3000, len(content))[index // 3 % 3]
        for position in random.integers(0, min(reach, len(content)), 12):
            content[position] = random.integers(256)
        path = tmp_path / original.name
        path.write_bytes(content)
        with contextlib.suppress(SourceError), Capture(open_source(path), size=(45, 80)) as capture:
            while (frame := capture.latest(PATIENCE)) is not None:
                frame.release()
            assert capture.ended


def test_titles_that_are_not_utf8_do_no_harm(tmp_path):
    path = tmp_path / "titled.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "abcdefgh"
        stream = container.add_stream("mjpeg", rate=10)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuvj420p"
        packet = av.Packet(jpeg.encode(scene(96, 128, 3)))
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 10)
        container.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"\xe4\xf6\xfc\xdf\xff\xfe\x80\x81"))
    with Capture(open_source(path)) as capture, capture.latest() as frame:
        assert mark(frame.bgr()) == 3


def test_a_truncated_file_gives_what_is_there(mjpeg_avi, tmp_path):
    content = mjpeg_avi.read_bytes()
    short = tmp_path / "short.avi"
    short.write_bytes(content[: len(content) // 2])
    frames = 0
    with Capture(open_source(short)) as capture:
        while (frame := capture.latest()) is not None:
            frame.release()
            frames += 1
    assert 8 <= frames <= 13


def test_a_folder_and_a_glob_of_pictures(tmp_path):
    for index, suffix in enumerate((".jpg", ".png", ".jpeg")):
        cv2.imwrite(str(tmp_path / f"{index}{suffix}"), scene(120, 160, index + 1))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "3.png").write_bytes(b"broken")
    (tmp_path / "4.jpg").write_bytes(b"\xff\xd8 broken")
    for text, expected in ((str(tmp_path), [1, 2, 3]), (str(tmp_path / "*.png"), [2])):
        seen = []
        with Capture(open_source(text)) as capture:
            while (frame := capture.latest()) is not None:
                with frame:
                    seen.append(mark(frame.bgr()))
            damaged = capture.statistics().damaged
        assert seen == expected
        assert damaged == (2 if text == str(tmp_path) else 1)


def test_pictures_taken_on_the_side_are_turned(tmp_path):
    upright = scene(120, 160, 5)
    data = jpeg.encode(np.ascontiguousarray(np.rot90(upright)))
    for order, tiff in (
        ("big", b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00" + bytes(4)),
        ("little", b"II\x2a\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00" + bytes(4)),
    ):
        exif = b"Exif\0\0" + tiff
        path = tmp_path / f"{order}.jpg"
        path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
        with Capture(open_source(path)) as capture, capture.latest() as frame:
            assert (frame.height, frame.width) == (120, 160)
            assert abs(frame.bgr().astype(int) - upright).mean() < 8
    assert jpeg.orientation(data) == 1
    assert jpeg.orientation(b"\xff\xd8Exif\0\0MM" + b"\xff" * 40) == 1


def test_video_filmed_on_the_side_is_turned(h264_mp4, tmp_path):
    content = bytearray(h264_mp4.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 360 << 16, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in quarter)
    path = tmp_path / "turned.mp4"
    path.write_bytes(content)
    reader = cv2.VideoCapture(str(path))
    good, expected = reader.read()
    reader.release()
    assert good
    with Capture(open_source(path)) as capture, capture.latest() as frame:
        assert (frame.height, frame.width, frame.pixels) == (640, 360, "bgr")
        assert abs(frame.planes[0].astype(int) - expected).mean() < 3


def test_one_damaged_picture_is_an_error(tmp_path):
    path = tmp_path / "one.jpg"
    path.write_bytes(jpeg.encode(scene(120, 160, 4))[:2000])
    with Capture(open_source(path)) as capture, pytest.raises(SourceError, match="all 1 pictures are damaged"):
        capture.latest()


def test_one_picture_is_a_video_of_one_frame(tmp_path):
    path = tmp_path / "one.jpg"
    path.write_bytes(jpeg.encode(scene(120, 160, 4)))
    with Capture(open_source(path)) as capture:
        with capture.latest() as frame:
            assert mark(frame.planes[0]) == 4
        assert capture.latest() is None


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(SourceError, match="holds no pictures"):
        open_source(tmp_path)


class Server:
    """A TCP server that treats each connection as `serve` says."""

    def __init__(self, serve) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._serve = serve
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                with contextlib.suppress(OSError):
                    self._serve(connection)

    def close(self) -> None:
        for line in self._open:
            line.close()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)


@pytest.fixture
def silent_server() -> Iterator[Server]:
    """Accepts, and never says a word."""
    server = Server(lambda connection: None)
    yield server
    server.close()


def test_rtsp_refused_is_one_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(SourceError, match=rf"rtsp://127.0.0.1:{port}/x: Connection refused") as caught:
        Capture(open_source(f"rtsp://user:secret@127.0.0.1:{port}/x")).start()
    assert "secret" not in str(caught.value)


def test_rtsp_server_that_never_answers(silent_server, monkeypatch):
    monkeypatch.setattr(video, "OPEN_SECONDS", 0.4)
    with pytest.raises(SourceError, match="no answer in 0 s"):
        Capture(open_source(f"rtsp://127.0.0.1:{silent_server.port}/x")).start()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_stop_while_a_server_does_not_answer(silent_server, scheme, monkeypatch):
    # Long enough to show that stop() does not wait for it.
    monkeypatch.setattr(video, "OPEN_SECONDS", 2 * PATIENCE)
    monkeypatch.setattr("saccade.capture.http.OPEN_SECONDS", 2 * PATIENCE)
    capture = Capture(open_source(f"{scheme}://127.0.0.1:{silent_server.port}/x"))
    stop_while_it_opens(capture, lambda: silent_server.connections)


def test_an_outage_is_logged_once_however_often_opening_fails(silent_server, monkeypatch, caplog):
    monkeypatch.setattr(video, "OPEN_SECONDS", 0.05)
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.02)
    source = open_source(f"rtsp://127.0.0.1:{silent_server.port}/x")
    first = iter([True])
    real_open, real_read = source.open, source.read

    def read():
        raise SourceError("lost")

    monkeypatch.setattr(source, "open", lambda: None if next(first, False) else real_open())
    monkeypatch.setattr(source, "read", read)
    with Capture(source) as capture:
        wait_for(lambda: silent_server.connections >= 3)
        assert capture.statistics().reconnects == 0
        assert capture.latest(0.01) is None
        assert not capture.ended
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == ["lost; trying again"]
    assert real_read() is None
