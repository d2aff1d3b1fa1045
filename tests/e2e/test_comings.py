"""Cameras that come late, go and come back, and runs that are told to end: in processes of their own."""

from __future__ import annotations

import json
import os
import random
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

import http_cameras
from conditions import PATIENCE, listens, wait_for
from http_cameras import HttpCamera, answer, basic, challenge, digest, status, stream
from lengths import length
from small_networks import classifier_network
from videos import jpeg, numbered_avi, picture

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
AWAY = ("rtsp://127.0.0.1:{}/", "/dev/video99", "http://127.0.0.1:{}/", "{}.mjpeg")
LOGIN = f"{http_cameras.USER}:{http_cameras.PASSWORD}@"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier_network(tmp_path_factory.mktemp("net") / "directions.xml")


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return [jpeg(picture(index)) for index in range(8)]


@pytest.fixture
def camera(pictures: list[bytes]) -> Iterator[HttpCamera]:
    with http_cameras.serving() as camera:
        camera.paths["/"] = stream(pictures, interval=0.02)
        yield camera


class Run:
    """`saccade run classify` with all its outputs in a folder, under way."""

    def __init__(self, folder: Path, network: Path, source: object, *options: object, **environment: str) -> None:
        self.events, self.summary_file, self.fifo = folder / "events", folder / "summary", folder / "fifo"
        self._told = folder / "told"
        with self._told.open("w") as told:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "saccade", "run", "classify", "--source", str(source), "--model", network,
                    "--scale", "255", "--device", "CPU", "--events", self.events, "--summary", self.summary_file,
                    "--fifo", self.fifo, *map(str, options),
                ],
                stdout=subprocess.DEVNULL, stderr=told, env=os.environ | environment,
            )  # fmt: skip

    @property
    def errors(self) -> str:
        """What it has told until now."""
        return self._told.read_text()

    def frames(self) -> list[int]:
        lines = self.events.read_text().splitlines() if self.events.exists() else []
        return [json.loads(line)["frame"] for line in lines]

    def summary(self) -> dict[str, Any]:
        return dict(json.loads(self.summary_file.read_text()))

    def wait_for(self, what: Callable[[], object]) -> None:
        wait_for(lambda: what() or self.process.poll() is not None)
        if self.process.poll() is not None:
            assert what(), self.errors

    def end(self, numbers: tuple[signal.Signals, ...] = (signal.SIGTERM,)) -> None:
        """Send signals, one after the other, and wait for a clean end."""
        for number in numbers:
            self.process.send_signal(number)
        self.is_clean()

    def refuses(self) -> str:
        """The one line that it ends with and status 2."""
        assert self.process.wait(PATIENCE) == 2, self.errors
        (line,) = self.errors.splitlines()
        assert not self.fifo.exists()
        return line

    def is_clean(self) -> None:
        assert self.process.wait(PATIENCE) == 0, self.errors
        assert "Traceback" not in self.errors
        assert not self.fifo.exists()
        assert self.summary()["frames"] == len(self.frames())


@pytest.fixture
def run(tmp_path: Path, network: Path) -> Iterator[Callable[..., Run]]:
    started: list[Run] = []

    def start(source: object, *options: object, **environment: str) -> Run:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Run(folder, network, source, *options, **environment))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture
def silence() -> Iterator[threading.Event]:
    """Until it is set, a server says nothing."""
    over = threading.Event()
    yield over
    over.set()


def no_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# ---- signals ----


@pytest.mark.parametrize("number", SIGNALS[: length(1, 3)])
def test_a_signal_while_pictures_come(run: Callable[..., Run], camera: HttpCamera, number: signal.Signals) -> None:
    one = run(camera.url("/"))
    one.wait_for(one.frames)
    one.end((number,))
    assert one.frames()


@pytest.mark.parametrize("number", SIGNALS[: length(1, 3)])
def test_a_signal_while_connecting(
    run: Callable[..., Run], camera: HttpCamera, silence: threading.Event, number: signal.Signals
) -> None:
    camera.paths["/silent"] = lambda request: silence.wait(PATIENCE) and None
    one = run(camera.url("/silent"))
    one.wait_for(lambda: camera.requests)
    one.end((number,))
    assert "no answer" not in one.errors, "it was not the signal but patience with the server that came to its end"
    assert (one.frames(), one.summary()["up"], one.summary()["last_picture"]) == ([], False, None)


@pytest.mark.parametrize("source", AWAY[: length(2, 4)])
def test_a_signal_while_waiting_for_the_camera(run: Callable[..., Run], source: str) -> None:
    one = run(source.format(no_port()), "--wait")
    one.wait_for(one.fifo.exists)
    one.end()
    figures = one.summary()
    assert (figures["frames"], figures["up"]) == (0, False)
    assert figures["state"] in ("ended", "connecting")  # a connection that is being tried is not waited for


def test_a_signal_while_something_is_loaded(run: Callable[..., Run], camera: HttpCamera, tmp_path: Path) -> None:
    """The main thread is held in a read that never ends, as in a library that loads a network."""
    labels = tmp_path / "labels"
    os.mkfifo(labels)
    one = run(camera.url("/"), "--labels", labels)
    with labels.open("wb"):  # stands once the other end is read
        one.end()
    assert one.frames() == []


@pytest.mark.parametrize("seed", range(length(2, 6)))
def test_a_storm_of_signals_at_any_moment(run: Callable[..., Run], camera: HttpCamera, seed: int) -> None:
    chance = random.Random(seed)
    one = run(camera.url("/"))
    moment = chance.choice((0.4, 0.8, 1.2))
    wait_for(lambda: listens(one.process.pid))
    time.sleep(moment * chance.random())
    while one.process.poll() is None:
        one.process.send_signal(chance.choice(SIGNALS))
        time.sleep(0.002 * chance.random())
    one.is_clean()


def test_a_reader_that_takes_nothing_does_not_hold_the_end_up(
    tmp_path: Path, network: Path, camera: HttpCamera
) -> None:
    summary = tmp_path / "summary"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "saccade", "run", "classify", "--source", camera.url("/"), "--model", network,
            "--scale", "255", "--events", "-", "--summary", summary, "--every-frame",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        process.stdout.read(1)
        end = os.open(f"/proc/{process.pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
        wait_for(lambda: not select.select([], [end], [], 0)[1])  # no line has room
        os.close(end)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
        assert json.loads(summary.read_text())["frames"] > 0


def test_nohup_is_respected(run: Callable[..., Run], camera: HttpCamera) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        one = run(camera.url("/"))
    finally:
        signal.signal(signal.SIGHUP, before)
    one.wait_for(one.frames)
    one.process.send_signal(signal.SIGHUP)
    seen = len(one.frames())
    one.wait_for(lambda: len(one.frames()) > seen + 3)
    one.end()


# ---- coming and going ----


def test_a_camera_that_comes_later(run: Callable[..., Run], pictures: list[bytes]) -> None:
    port = no_port()
    one = run(f"http://127.0.0.1:{port}/", "--wait", "--frames", "5")
    one.wait_for(lambda: "trying again" in one.errors)
    with http_cameras.serving(port=port) as camera:
        camera.paths["/"] = stream(pictures)
        one.is_clean()
    figures = one.summary()
    assert (figures["frames"], figures["reconnects"], figures["reason"]) == (5, 0, "")
    assert abs(figures["last_picture"] - time.time()) < 60
    assert "Connection refused; trying again" in one.errors
    assert "there after" in one.errors


def test_a_pipe_that_is_made_later(run: Callable[..., Run], tmp_path: Path, pictures: list[bytes]) -> None:
    pipe = tmp_path / "camera.mjpeg"
    one = run(pipe, "--wait", "--frames", "5")
    one.wait_for(one.fifo.exists)
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_WRONLY)
    with suppress(BrokenPipeError):  # its end
        for each in cycle(pictures):
            os.write(writer, each)
    os.close(writer)
    one.is_clean()
    assert one.summary()["frames"] == 5


def test_a_file_that_comes_later_is_no_camera(run: Callable[..., Run], tmp_path: Path, pictures: list[bytes]) -> None:
    path = tmp_path / "later.mjpeg"
    one = run(path, "--wait", "--seconds", "1.5")
    one.wait_for(one.fifo.exists)
    path.write_bytes(pictures[0] * 3)
    one.is_clean()
    assert "neither a FIFO nor a camera" in one.errors or "No such file" in one.errors
    assert one.summary()["frames"] == 0


@pytest.mark.parametrize("source", AWAY)
def test_without_waiting_one_line_and_status_2(run: Callable[..., Run], source: str) -> None:
    run(source.format(no_port()), INVOCATION_ID="", NOTIFY_SOCKET="").refuses()


@pytest.mark.parametrize("name", ["film.mp4", "photo.JPG"])
def test_a_missing_file_is_no_camera(run: Callable[..., Run], tmp_path: Path, name: str) -> None:
    assert name in run(tmp_path / name, "--wait").refuses()


def test_a_service_waits_by_default(run: Callable[..., Run]) -> None:
    one = run(f"http://127.0.0.1:{no_port()}/", INVOCATION_ID="x")
    one.wait_for(lambda: "trying again" in one.errors)
    one.end()
    run(f"http://127.0.0.1:{no_port()}/", "--no-wait", INVOCATION_ID="x").refuses()


def test_what_is_said_of_a_camera_that_goes_and_comes_back(run: Callable[..., Run], pictures: list[bytes]) -> None:
    port, page = no_port(), no_port()
    one = run(f"http://127.0.0.1:{port}/", "--wait", "--view", f"127.0.0.1:{page}")

    def asked(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{page}{path}", timeout=PATIENCE) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    one.wait_for(lambda: asked("/healthz") == (503, f"connecting: http://127.0.0.1:{port}/: Connection refused\n"))
    assert 'saccade_up{camera="127.0.0.1"} 0.0\n' in asked("/metrics")[1]
    assert "saccade_last_picture" not in asked("/metrics")[1]
    assert asked("/readyz") == (200, "ready\n"), "a camera that is away is no reason to start the process again"
    with http_cameras.serving(port=port) as camera:
        camera.paths["/"] = stream(pictures)
        one.wait_for(lambda: asked("/healthz") == (200, "up\n"))
        assert 'saccade_up{camera="127.0.0.1"} 1.0\n' in asked("/metrics")[1]
    one.wait_for(lambda: asked("/healthz")[1].startswith("lost: http://127.0.0.1"))
    assert asked("/healthz")[0] == 503
    metrics = asked("/metrics")[1]
    assert 'saccade_up{camera="127.0.0.1"} 0.0\n' in metrics
    assert re.search(
        r'^saccade_source_state\{camera="127.0.0.1",state="lost",reason="http://127.+"\} 1\.0$', metrics, re.MULTILINE
    )
    (last,) = re.findall(r"^saccade_last_picture_timestamp_seconds\{\S+ (\S+)$", metrics, re.MULTILINE)
    assert abs(float(last) - time.time()) < 60
    with http_cameras.serving(port=port) as camera:
        camera.paths["/"] = stream(pictures)
        one.wait_for(lambda: asked("/healthz") == (200, "up\n"))
    one.wait_for(lambda: asked("/healthz")[0] == 503)
    one.end()
    figures = one.summary()
    assert (figures["up"], figures["reconnects"]) == (False, 1)
    assert figures["reason"].startswith("http://127.0.0.1")
    assert {"mended", "second_opinions"} <= figures.keys()


# ---- odd cameras, as the options meet them ----


@pytest.mark.parametrize(("path", "login"), [("/redirect", LOGIN), ("/one", ""), ("/digest", LOGIN)][: length(2, 3)])
def test_cameras_over_http(
    run: Callable[..., Run], camera: HttpCamera, pictures: list[bytes], path: str, login: str
) -> None:
    plain = camera.paths["/"]
    camera.paths["/digest"] = digest(plain, f"WWW-Authenticate: {challenge('SHA-256')}")
    camera.paths["/basic"] = basic(plain)
    camera.paths["/redirect"] = status("302 Found", f"Location: http://{camera.host}/basic")
    played = threading.Lock()

    def once(request: http_cameras.Request) -> None:
        if played.acquire(blocking=False):
            stream(pictures, head=http_cameras.HEAD % b"application/octet-stream" + b"\r\n")(request)

    camera.paths["/one"] = once
    one = run(camera.url(path, login), "--frames", "3")
    one.is_clean()
    assert one.summary()["frames"] == 3
    assert "secret" not in one.errors + json.dumps(one.summary())


def test_snapshots_are_asked_for_at_the_rate(
    run: Callable[..., Run], camera: HttpCamera, pictures: list[bytes]
) -> None:
    camera.paths["/snapshot"] = answer("image/jpeg", pictures[0])
    single = run(camera.url("/snapshot"))
    single.is_clean()
    assert single.frames() == [0]
    many = run(camera.url("/snapshot"), "--rate", "20", "--frames", "4", "--every-frame")
    many.is_clean()
    assert many.frames()[:2] == [0, 1]


def test_an_unknown_certificate_is_refused_unless_it_is_vouched_for(
    run: Callable[..., Run], tmp_path: Path, pictures: list[bytes]
) -> None:
    certificate, key = http_cameras.self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http_cameras.serving(context) as camera:
        camera.paths["/"] = stream(pictures)
        assert "--ca FILE" in run(camera.url("/")).refuses()
        for options in (["--insecure"], ["--ca", certificate]):
            one = run(camera.url("/"), "--frames", "2", *options)
            one.is_clean()
            assert one.summary()["frames"] == 2


def test_source_options_that_cannot_be(run: Callable[..., Run], tmp_path: Path) -> None:
    for options, says in (
        (["--rate", "0"], "--rate: got 0; expected pictures a second"),
        (["--max-pixels", "0"], "--max-pixels: got 0; expected a whole number of at least 1"),
        (["--ca", tmp_path / "none.pem"], "is no file"),
        (["--ca", __file__, "--insecure"], "leave one of them out"),
    ):
        assert says in run("http://127.0.0.1:1/", *options).refuses()


def test_a_folder_with_odd_entries(run: Callable[..., Run], tmp_path: Path, pictures: list[bytes]) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(pictures[0])
    (folder / "z.jpg").write_bytes(pictures[1])
    (folder / "folder.jpg").mkdir()
    (folder / "link.jpg").symlink_to("/nowhere.jpg")
    os.mkfifo(folder / "fifo.jpg")
    place = pictures[0].index(b"\xff\xc0") + 5
    (folder / "bomb.jpg").write_bytes(pictures[0][:place] + b"\xff\xff\xff\xff" + pictures[0][place + 4 :])
    one = run(folder)
    one.is_clean()
    assert (one.summary()["frames"], one.summary()["damaged"]) == (2, 4)
    assert all(f"{kind}.jpg" in one.errors for kind in ("folder", "link", "fifo", "bomb"))


def test_pictures_above_the_limit_are_left_out(run: Callable[..., Run], tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(picture(0)))
    (folder / "b.jpg").write_bytes(jpeg(picture(1, (480, 640))))
    one = run(folder, "--max-pixels", "100000")
    one.is_clean()
    assert (one.summary()["frames"], one.summary()["damaged"]) == (1, 1)


def test_key_frames_only(run: Callable[..., Run], tmp_path: Path) -> None:
    import av

    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt, video.gop_size = 320, 240, "yuv420p", 5
        for _ in range(20):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture(0), format="bgr24")))
        container.mux(video.encode())
    with av.open(str(path)) as container:
        keys = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert 1 < keys < 20
    whole, some = run(path), run(path, "--decode", "key")
    whole.is_clean()
    some.is_clean()
    assert (whole.summary()["frames"], some.summary()["frames"]) == (20, keys)


# ---- scripts ----


def test_a_script_ends_at_a_signal(tmp_path: Path, camera: HttpCamera) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import awscam, time\nprint(awscam.getLastFrame()[0], flush=True)\n"
        "while True:\n    try:\n        time.sleep(100)\n    except BaseException: pass\n"
    )
    for number in SIGNALS[: length(1, 3)]:
        process = subprocess.Popen(
            [sys.executable, "-m", "saccade", "run-script", script, "--source", camera.url("/"), "--fifo",
             tmp_path / "fifo", "--python", "3"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with process:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "True"
            for _ in range(20):
                process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
            assert process.returncode == 0, errors
            assert "Traceback" not in errors


def test_a_script_takes_the_options_of_sources(tmp_path: Path, pictures: list[bytes]) -> None:
    script = tmp_path / "script.py"
    script.write_text("import awscam\nfor _ in range(3):\n    print(awscam.getLastFrame()[0])\n")
    certificate, key = http_cameras.self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http_cameras.serving(context) as camera:
        camera.paths["/"] = answer("image/jpeg", pictures[0])
        done = subprocess.run(
            [sys.executable, "-m", "saccade", "run-script", script, "--source", camera.url("/"), "--frames", "3",
             "--ca", certificate.name, "--rate", "50", "--python", "3"],
            capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout.split()) == (0, ["True"] * 3), done.stderr


# ---- what the system does not have ----


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return numbered_avi(tmp_path / "v.avi", 4)


@pytest.mark.parametrize("streams", ["0<&- 1>&- 2>&-", "1>&-", "0<&-", "2>&-"][: length(1, 4)])
def test_closed_standard_streams(tmp_path: Path, network: Path, video: Path, streams: str) -> None:
    events, summary = tmp_path / "events", tmp_path / "summary"
    command = (
        f"exec {streams} {sys.executable} -m saccade -v run classify --source {video} --model {network} --scale 255 "
        f"--device CPU --events {events} --summary {summary}"
    )
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert [json.loads(line)["frame"] for line in events.read_text().splitlines()] == [0, 1, 2, 3]
    assert json.loads(summary.read_text())["frames"] == 4


@pytest.mark.parametrize("option", ["--events", "--summary"])
def test_standard_output_that_is_closed_takes_nothing(network: Path, video: Path, option: str) -> None:
    command = f"exec 1>&- {sys.executable} -m saccade run classify --source {video} --model {network} {option} -"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "standard output is closed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C.UTF-8"}][: length(1, 2)],
)
def test_names_that_are_no_text(tmp_path: Path, network: Path, video: Path, locale: dict[str, str]) -> None:
    odd = os.fsencode(tmp_path) + b"/caf\xe9 \xff"
    os.mkdir(odd)
    names = {name: odd + b"/" + name + b"\xe9\xff" for name in (b"v", b"m", b"events", b"summary", b"fifo", b"out")}
    os.rename(video, names[b"v"] + b".avi")
    for ending in (b".xml", b".bin"):
        with open(names[b"m"] + ending, "wb") as file:
            file.write(network.with_suffix(ending.decode()).read_bytes())
    done = subprocess.run(
        [
            os.fsencode(sys.executable), b"-m", b"saccade", b"-v", b"run", b"classify", b"--scale", b"255",
            b"--source", names[b"v"] + b".avi", b"--model", names[b"m"] + b".xml", b"--events", names[b"events"],
            b"--summary", names[b"summary"], b"--fifo", names[b"fifo"], b"--out", names[b"out"],
            b"--pictures", b"0.01", b"--view", b"127.0.0.1:0",
        ],
        env=os.environ | locale | {"SACCADE_CACHE": os.fsdecode(odd + b"/cache")},
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    with open(names[b"events"], encoding="ascii") as file:
        assert len(file.readlines()) == 4
    with open(names[b"summary"], encoding="ascii") as file:
        assert json.load(file)["frames"] == 4
    missing = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"saccade", b"run", b"classify", b"--source", odd + b"/nowhere",
         b"--model", names[b"m"] + b".xml"],
        env=os.environ | locale, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1), missing.stderr


def test_no_home_and_one_that_cannot_be_written(network: Path, video: Path, tmp_path: Path) -> None:
    for changes in ({"HOME": None}, {"HOME": str(video / "home")}, {"HOME": "/proc"})[: length(2, 3)]:
        environment = {k: v for k, v in os.environ.items() if k not in ("SACCADE_CACHE", "XDG_CACHE_HOME", *changes)}
        environment |= {key: value for key, value in changes.items() if value is not None}
        environment["XDG_CACHE_HOME"] = "/proc/no" if changes["HOME"] is None else ""
        done = subprocess.run(
            [sys.executable, "-m", "saccade", "run", "classify", "--source", video, "--model", network],
            env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


def test_a_pipe_has_one_writer(run: Callable[..., Run], camera: HttpCamera, network: Path) -> None:
    one = run(camera.url("/"))
    one.wait_for(one.frames)
    linked = one.fifo.parent / "folder"
    linked.symlink_to(one.fifo.parent)
    for path in (linked / one.fifo.name, one.fifo)[: length(1, 2)]:
        done = subprocess.run(
            [sys.executable, "-m", "saccade", "run", "classify", "--source", camera.url("/"), "--model", network,
             "--fifo", path],
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "is written by another process of saccade" in done.stderr
    assert one.fifo.exists()
    one.end()


def test_two_instances_share_a_cache(run: Callable[..., Run], camera: HttpCamera, tmp_path: Path) -> None:
    runs = [run(camera.url("/"), "--frames", "3", SACCADE_CACHE=str(tmp_path / "cache")) for _ in range(2)]
    for one in runs:
        one.is_clean()
        assert len(one.frames()) == 3
    (folder,) = (tmp_path / "cache" / "compiled").iterdir()
    blobs = [path for path in folder.iterdir() if path.suffix != ".sha256"]
    assert blobs
    assert all(path.with_name(path.name + ".sha256").exists() for path in blobs)
