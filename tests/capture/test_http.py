"""HTTP cameras: who they let in, where they send one, what they send, and what they say when it is nothing."""

from __future__ import annotations

import itertools
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import capture_tools
import cv2
import numpy as np
import odd_jpeg
import pytest
from capture_tools import mark, scene, stop_while_it_opens, wait_for, write_video

import http_cameras
from conditions import PATIENCE
from http_cameras import HEAD, MULTIPART, HttpCamera, Request, answer, basic, challenge, digest, status, stream
from saccade.capture import Capture, connection, jpeg, open_source, pipe
from saccade.errors import ConfigError, SourceError

LOGIN = "admin:secret@"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(connection, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(connection, "LONGEST_PAUSE", 0.1)


@pytest.fixture
def camera() -> Iterator[HttpCamera]:
    with http_cameras.serving() as camera:
        yield camera


def shown(url: str, count: int = 1, **options) -> list[int]:
    """Marks of the first pictures."""
    return [mark(picture) % 16 for picture in capture_tools.shown(url, count, realtime=False, **options)[0]]


MD5, SHA = challenge("MD5"), challenge("SHA-256")
UNKNOWN = challenge("SHA-512-256")
HEADERS = {
    "MD5": [f"WWW-Authenticate: {MD5}"],
    "SHA-256": [f"WWW-Authenticate: {SHA}"],
    "MD5-sess": [f"WWW-Authenticate: {challenge('MD5-sess')}"],
    "without qop": [f"WWW-Authenticate: {challenge('MD5', '')}"],
    "two qops": ["WWW-Authenticate: " + challenge("SHA-256", 'qop="auth-int,auth", ')],
    "SHA-256 before MD5": [f"WWW-Authenticate: {SHA}", f"WWW-Authenticate: {MD5}"],
    "MD5 before SHA-256": [f"WWW-Authenticate: {MD5}", f"WWW-Authenticate: {SHA}"],
    "in one header": [f"WWW-Authenticate: {SHA}, {MD5}"],
    "unknown first": [f"WWW-Authenticate: {UNKNOWN}", f"WWW-Authenticate: {SHA}"],
    "unknown first in one header": [f"WWW-Authenticate: {UNKNOWN}, Negotiate, {MD5}"],
    "digest before basic": [f"WWW-Authenticate: {SHA}", 'WWW-Authenticate: Basic realm="cam"'],
    "another scheme first": ["WWW-Authenticate: Negotiate", f"www-authenticate: {MD5}"],
}


@pytest.mark.parametrize("name", HEADERS)
def test_the_first_challenge_that_can_be_answered_is(camera, pictures, name):
    camera.paths["/x?a=1"] = digest(stream(pictures), *HEADERS[name])
    assert shown(camera.url("/x?a=1", LOGIN), 3) == [0, 1, 2]
    first = HEADERS[name][0].partition(": ")[2]
    if "unknown" not in name and "scheme" not in name:
        assert first.partition("algorithm=")[2].partition(",")[0] in camera.requests[-1][1]["authorization"]
    assert camera.connections == 1


def test_basic_with_and_without_being_asked(camera, pictures):
    camera.paths["/basic"] = basic(stream(pictures))
    assert shown(camera.url("/basic", LOGIN), 2) == [0, 1]
    refuse = status("401 Unauthorized")
    camera.paths["/mute"] = lambda request: (
        stream(pictures) if request.headers.get("authorization", "").startswith("Basic ") else refuse
    )(request)
    assert shown(camera.url("/mute", LOGIN), 2) == [0, 1]


def test_special_characters_are_percent_encoded(camera, pictures, monkeypatch):
    monkeypatch.setattr(http_cameras, "PASSWORD", "p@s:s/#?é")
    camera.paths["/basic"] = basic(stream(pictures))
    assert shown(camera.url("/basic", "admin:p%40s%3As%2F%23%3F%C3%A9@")) == [0]


def test_a_refusal_says_what_to_do_and_no_secret(camera, pictures, caplog):
    camera.paths["/basic"] = basic(stream(pictures))
    with pytest.raises(SourceError, match=r"HTTP 401 Unauthorized; the address takes a user name and password") as none:
        shown(camera.url("/basic"))
    with pytest.raises(SourceError, match="401 Unauthorized; user name or password are not accepted") as bad:
        shown(camera.url("/basic", "admin:hunter2@"))
    assert "hunter2" not in str(none.value) + str(bad.value) + caplog.text


def redirect(location: str, code: str = "302 Found"):
    return status(code, f"Location: {location}")


@pytest.mark.parametrize("code", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect"])
@pytest.mark.parametrize("inner", ["basic", "digest"])
def test_credentials_stay_with_the_host(camera, pictures, code, inner):
    camera.paths["/old"] = redirect(camera.url("/new"), code)
    guard = basic if inner == "basic" else lambda serve: digest(serve, *HEADERS["SHA-256 before MD5"])
    camera.paths["/new"] = guard(stream(pictures))
    assert shown(camera.url("/old", LOGIN), 2) == [0, 1]


def test_relative_redirects_are_followed(camera, pictures):
    camera.paths["/a/old"] = redirect("new?x=1")
    camera.paths["/a/new?x=1"] = basic(stream(pictures))
    assert shown(camera.url("/a/old", LOGIN)) == [0]


def test_credentials_go_to_no_other_host_port_or_scheme(camera, pictures):
    with http_cameras.serving() as other:
        other.paths["/"] = basic(stream(pictures))
        camera.paths["/away"] = redirect(other.url("/"))
        camera.paths["/back"] = basic(redirect(other.url("/")))
        for path in ("/away", "/back"):
            with pytest.raises(SourceError, match=r"HTTP 401 Unauthorized by 127\.0\.0\.1, to which it redirects"):
                shown(camera.url(path, LOGIN))
        other.paths["/"] = stream(pictures)
        assert shown(camera.url("/away", LOGIN)) == [0]
        assert not any("authorization" in headers for _, headers in other.requests)


def test_redirect_loops_are_one_line(camera):
    camera.paths["/a"], camera.paths["/b"] = redirect("/b"), redirect("/a")
    with pytest.raises(SourceError, match=r"^http://127.0.0.1:\d+/a: redirected more than 10 times"):
        shown(camera.url("/a"))
    camera.paths["/c"] = redirect("rtsp://user:hush@host.invalid/x")
    with pytest.raises(SourceError, match=r"redirected to rtsp://host.invalid/x; give that address"):
        shown(camera.url("/c"))
    camera.paths["/d"] = redirect("http://user:hush@a..b/x")
    with pytest.raises(SourceError, match=r"redirected to http://a\.\.b/x: 'a\.\.b' is no host name"):
        shown(camera.url("/d"))


@pytest.mark.parametrize(
    "head", [HEAD % b"application/octet-stream" + b"\r\n", b"HTTP/1.0 200 OK\r\n\r\n", HEAD % b"text/plain" + b"\r\n"]
)
def test_a_stream_of_no_known_type_is_read_over_the_first_connection(camera, pictures, head):
    camera.paths["/one"] = stream(pictures, head)
    assert shown(camera.url("/one"), 3) == [0, 1, 2]
    assert camera.connections == 1


def test_a_video_is_read_over_the_first_connection(camera, tmp_path):
    video = write_video(tmp_path / "a.mp4", "libx264", 20).read_bytes()
    transport = write_video(tmp_path / "a.ts", "libx264", 20).read_bytes()
    camera.paths["/a.mp4"] = answer("application/octet-stream", video)

    def live(request):
        request.send(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + transport)
        raise ConnectionAbortedError("an end without a length")

    camera.paths["/live.ts"] = live
    assert len(shown(camera.url("/a.mp4"), 30)) == 20
    assert camera.connections == 1
    assert len(shown(camera.url("/live.ts"), 15)) == 15


def test_a_gate_says_what_is_decoded_of_a_video_over_http(camera, tmp_path):
    class Still:
        moving = False

        def worth_decoding(self, size, time, *, place=0, later=False):
            return False

        def worth_a_look(self, luma, time):
            return True

        def differs(self, luma):
            return False

    video = write_video(tmp_path / "a.mp4", "libx264", 20).read_bytes()
    camera.paths["/a.mp4"] = answer("video/mp4", video)
    capture = Capture(open_source(camera.url("/a.mp4"), realtime=False))
    capture.gate = Still()
    with capture:
        while (frame := capture.latest(PATIENCE)) is not None:
            frame.release()
    account = capture.ledger.account()
    assert (account.arrived, account.ended["still"]) == (20, 19)  # all but the key frame


def test_a_video_with_its_index_at_the_end_is_read_in_ranges(camera, tmp_path):
    import av

    path = tmp_path / "late.mp4"
    with av.open(str(path), "w") as container:
        added = container.add_stream("libx264", rate=30)
        added.width, added.height, added.pix_fmt = 640, 360, "yuv420p"
        for index in range(20):
            container.mux(added.encode(av.VideoFrame.from_ndarray(scene(360, 640, index), "bgr24")))
        container.mux(added.encode())
    video = path.read_bytes()
    assert video.index(b"moov") > video.index(b"mdat")

    def ranges(request):
        wanted = request.headers.get("range", "bytes=0-")
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        line = b"HTTP/1.1 206 Partial Content" if "range" in request.headers else b"HTTP/1.1 200 OK"
        head = b"\r\nContent-Type: video/mp4\r\nAccept-Ranges: bytes\r\nContent-Length: %d\r\n\r\n"
        request.send(line + head % (len(video) - start) + video[start:])

    camera.paths["/late.mp4"] = basic(ranges)
    marks = shown(camera.url("/late.mp4", LOGIN), 30)
    assert [abs(seen - index % 16) <= 1 for index, seen in enumerate(marks)] == [True] * 20


def encoded(suffix: str, index: int) -> bytes:
    return cv2.imencode(suffix, scene(120, 160, index))[1].tobytes()


@pytest.mark.parametrize(("kind", "suffix"), [("image/png", ".png"), ("image/bmp", ".bmp"), ("image/x-any", ".webp"),
                                             ("image/jpeg", ".jpg"), ("application/octet-stream", ".jpg")])  # fmt: skip
def test_one_picture_is_one_frame_and_the_end(camera, kind, suffix):
    camera.paths["/snapshot"] = answer(kind, encoded(suffix, 5))
    assert shown(camera.url("/snapshot"), 3) == [5]
    assert len(camera.requests) == 1


def test_snapshots_are_polled_at_a_rate(camera):
    served = iter(range(1, 100))
    camera.paths["/snapshot"] = lambda request: answer("image/png", encoded(".png", next(served) % 16))(request)
    start = time.monotonic()
    source = open_source(camera.url("/snapshot"), rate=20)
    with Capture(source, policy="every") as capture:
        assert source.live
        marks = []
        for _ in range(5):
            with capture.latest(PATIENCE) as frame:
                marks.append(mark(frame.bgr()))
        assert capture.statistics().frame_rate == 20
    assert time.monotonic() - start >= 4 / 20
    assert marks == [1, 2, 3, 4, 5]
    assert camera.connections < 5, "kept open, unless the machine stood still for longer than one is kept"


def test_a_polled_camera_that_fails_comes_back(camera):
    served = iter(range(1, 100))

    def snapshot(request):
        index = next(served)
        content = jpeg.encode(scene(120, 160, index % 16))
        if index == 3:
            status("503 Service Unavailable")(request)
        else:
            answer("image/jpeg", content[:900] if index == 5 else content)(request)

    camera.paths["/snapshot"] = snapshot
    with Capture(open_source(camera.url("/snapshot"), rate=50), policy="every") as capture:
        for _ in range(5):
            capture.latest(PATIENCE).release()
        figures = capture.statistics()
    assert (figures.reconnects, figures.damaged) == (1, 1)


def test_snapshots_are_turned(camera):
    upright = scene(120, 160, 5)
    lying = jpeg.encode(np.ascontiguousarray(np.rot90(upright)))
    camera.paths["/snapshot"] = answer("image/jpeg", odd_jpeg.with_app(lying, odd_jpeg.exif(6)))
    camera.paths["/stream"] = stream([odd_jpeg.with_app(lying, odd_jpeg.exif(6))])
    for path in ("/snapshot", "/stream"):
        with Capture(open_source(camera.url(path)), size=(30, 40)) as capture, capture.latest(PATIENCE) as frame:
            assert (frame.height, frame.width, frame.planes[0].shape, frame.jpeg) == (120, 160, (30, 40, 3), None)
            assert abs(frame.bgr().astype(int) - upright).mean() < 8
            assert abs(frame.crop(80, 60, 160, 120).astype(int) - upright[60:, 80:]).mean() < 8


def test_pictures_without_eoi_come_at_once(camera, pictures):
    """The part's length ends the picture, not the next part: a slow camera would be a picture late."""
    taken = threading.Event()

    def serve(request):
        request.send(http_cameras.MULTIPART)
        picture = pictures[3][:-2]
        request.send(b"--frame\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(picture), picture))
        taken.wait(PATIENCE)

    camera.paths["/slow"] = serve
    with Capture(open_source(camera.url("/slow"))) as capture, capture.latest(PATIENCE / 2) as frame:
        taken.set()
        assert mark(frame.bgr()) == 3


def test_parts_without_a_picture_are_counted_and_named_once(camera, caplog):
    camera.paths["/garbage"] = stream([bytes(range(1, 200)) * 20])
    with Capture(open_source(camera.url("/garbage"))) as capture:
        wait_for(lambda: capture.statistics().damaged >= 5)
        assert capture.statistics().state == "connecting"
    assert sum("holds none" in record.getMessage() for record in caplog.records if record.levelname == "WARNING") == 1


def test_a_stream_of_nothing_usable_says_so_and_is_opened_again(camera, caplog, monkeypatch):
    """Bytes do not keep it alive: what counts is pictures."""
    monkeypatch.setattr(pipe, "UNUSABLE_SECONDS", 0.1)
    camera.paths["/noise"] = lambda request: (
        request.send(http_cameras.MULTIPART),
        [(request.send(b"no picture " * 50), time.sleep(0.01)) for _ in range(1000)],
    )
    source = open_source(camera.url("/noise"))
    source.stall = 0.4
    with Capture(source) as capture:
        wait_for(lambda: camera.connections >= 3)
        figures = capture.statistics()
        assert (figures.state, figures.damaged >= 1) == ("lost", True)
        assert "bytes without a picture" in figures.reason
    assert sum("expected is MJPEG" in record.getMessage() for record in caplog.records) == 1


class SteppingClock:
    """What limits of time are judged by: it goes on by a `step`, s, each time that somebody looks at it, as all do who
    read from a camera."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 2.0

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch) -> SteppingClock:
    clock = SteppingClock()
    monkeypatch.setattr("saccade.capture.http_client.time", clock)
    return clock


def drip(head: bytes, rest: bytes = b"1") -> Callable[[Request], None]:
    """An answer that goes on by a byte now and then, without end."""

    def serve(request: Request) -> None:
        request.send(head)
        for byte in itertools.cycle(rest):
            request.send(bytes([byte]))
            time.sleep(0.001)

    return serve


LONG = b"Content-Length: 1000000\r\n\r\n"
PART = b"--frame\r\nContent-Type: image/jpeg\r\n"
CHUNKED = (HEAD % b"multipart/x-mixed-replace; boundary=frame") + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Drip: ", "no whole answer in 30 s"),
        (HEAD % b"image/jpeg" + LONG, "no whole picture in 90 s"),
        (HEAD % b"image/jpeg" + b"Transfer-Encoding: chunked\r\n\r\n1;", "no whole picture in 90 s"),
    ],
    ids=["answer", "picture", "chunk"],
)
def test_a_polled_camera_that_drips_is_lost_and_asked_again(camera, pictures, clock, caplog, head, reason):
    serve = [answer("image/jpeg", pictures[0]), drip(head)]
    camera.paths["/snapshot"] = lambda request: serve[len(camera.requests) == 2](request)
    with Capture(open_source(camera.url("/snapshot"), rate=50), policy="every") as capture:
        for _ in range(3):
            capture.latest(PATIENCE).release()
        assert capture.statistics().reconnects == 1
    assert reason in caplog.text


@pytest.mark.parametrize(
    "head",
    [MULTIPART + PART + LONG, MULTIPART + PART, CHUNKED + b"1;"],
    ids=["picture", "head of a part", "chunk"],
)
def test_a_stream_that_drips_is_lost_and_opened_again(camera, pictures, clock, caplog, head):
    serve = [stream(pictures), drip(head)]
    camera.paths["/stream"] = lambda request: serve[len(camera.requests) == 1](request)
    with Capture(open_source(camera.url("/stream"))) as capture:
        capture.latest(PATIENCE).release()
    assert "no whole picture in 90 s" in caplog.text


@pytest.mark.parametrize("length", [LONG, b"\r\n"], ids=["with a length", "without one"])
def test_one_picture_that_drips_is_an_error(camera, clock, length):
    camera.paths["/picture"] = drip(HEAD % b"image/jpeg" + length + b"\xff\xd8\xff")
    with pytest.raises(SourceError, match="no whole picture in 90 s, and less than 65536 bytes a second"):
        shown(camera.url("/picture"))


@pytest.mark.parametrize("opens", [False, True])
def test_a_video_that_drips_is_an_error(camera, clock, tmp_path, opens):
    data = write_video(tmp_path / "film.mkv", "libx264", 20).read_bytes()
    here = len(data) // 2 if opens else 600
    camera.paths["/film"] = drip(HEAD % b"video/x-matroska" + LONG + data[:here], data[here:])

    def read_all() -> None:
        with closing(open_source(camera.url("/film"))) as source:
            source.open()
            while source.read() is not None:
                pass

    with pytest.raises(SourceError, match="no whole picture in 90 s"):
        read_all()


def test_a_slow_camera_goes_on(camera, clock):
    """60 MB over 4 Mbit/s take two minutes."""
    picture = jpeg.encode(scene(120, 160, 5))
    camera.paths["/large"] = answer("image/jpeg", picture + bytes(60_000_000 - len(picture)))
    clock.step = 1 / 16  # a read of 64 KiB takes two of them
    assert shown(camera.url("/large")) == [5]
    assert clock.now > 90


@pytest.mark.parametrize("login", ["", LOGIN])
def test_a_camera_that_accepts_and_stays_silent_is_left_at_once(camera, login, monkeypatch):
    over = threading.Event()
    camera.paths["/silent"] = lambda request: over.wait(2 * PATIENCE) and None
    monkeypatch.setattr("saccade.capture.http.OPEN_SECONDS", 2 * PATIENCE)
    stop_while_it_opens(Capture(open_source(camera.url("/silent", login))), lambda: camera.requests)
    over.set()


def test_a_page_in_place_of_pictures_is_named(camera):
    camera.paths["/login"] = answer("text/html; charset=utf-8", b"<html>log in</html>" * 50)
    with pytest.raises(SourceError, match="answers with text/html, expected is a picture or a video"):
        shown(camera.url("/login"))


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path) -> tuple[Path, Path]:
        return http_cameras.self_signed(tmp_path)

    @pytest.fixture
    def camera(self, certificate, pictures) -> Iterator[HttpCamera]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        with http_cameras.serving(context) as camera:
            camera.paths["/"] = basic(stream(pictures))
            yield camera

    def test_nobody_signed_it(self, camera):
        with pytest.raises(SourceError, match=r"certificate verify failed.*--ca FILE.*--insecure"):
            shown(camera.url("/", LOGIN))
        assert camera.requests == []

    def test_any_certificate_is_taken_if_asked_for(self, camera):
        assert shown(camera.url("/", LOGIN), 2, insecure=True) == [0, 1]

    def test_the_certificate_itself_is_known_whatever_its_name(self, camera, certificate):
        assert shown(camera.url("/", LOGIN), 2, ca=certificate[0]) == [0, 1]
        assert camera.connections == 1

    def test_another_certificate_is_not(self, camera, tmp_path):
        other, _ = http_cameras.self_signed(tmp_path, "other.invalid")
        with pytest.raises(SourceError, match="certificate verify failed"):
            shown(camera.url("/", LOGIN), ca=other)
        assert camera.requests == []

    def test_files_that_hold_no_certificate(self, tmp_path):
        empty = tmp_path / "empty.pem"
        empty.touch()
        with pytest.raises(SourceError, match=r"empty\.pem' holds no certificate"):
            shown("https://127.0.0.1:1/", ca=empty)
        with pytest.raises(ConfigError, match="is no file"):
            open_source("https://host/", ca=tmp_path / "nowhere.pem")
        with pytest.raises(ConfigError, match="contradict"):
            open_source("https://host/", ca=empty, insecure=True)


@pytest.mark.parametrize("rate", [0, -1, 5000, float("nan")])
def test_rates_that_cannot_be(rate):
    with pytest.raises(ConfigError, match="is not usable"):
        open_source("http://host/", rate=rate)
