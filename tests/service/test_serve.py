"""The engine behind HTTP, and pipelines that use it in place of a local model."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pages import fetched

from conditions import PATIENCE, answering, meanwhile, wait_for
from saccade.config import RunConfig
from saccade.errors import ConfigError, DeviceError, ModelError
from saccade.networks import catalogue, open_network
from saccade.networks import remote as remote_module
from saccade.networks.remote import RemoteModel
from saccade.pipeline.post import PATIENCE as ENGINE_PATIENCE
from saccade.predict import Predictor, open_predictor
from saccade.service.serve import MAX_BODY, Server, Service
from saccade.service.session import open_session

MODEL = "blazeface-full"
DESCRIBED = {
    "model": "m", "device": "CPU", "precision": "f32", "family": "yolo", "task": "detect", "names": ["a"],
    "input": {"width": 8, "height": 8, "resize": "stretch", "pad": 0},
}  # fmt: skip


@pytest.fixture(scope="module")
def local() -> Predictor:
    return open_predictor(MODEL, precision="f32", threads=1)


@pytest.fixture(scope="module")
def server(local: Predictor) -> Iterator[Server]:
    with Server(Service(local), ("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    (path,) = catalogue.pull("demo-astronaut")
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.ascontiguousarray(picture, np.uint8)


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def post(server: Server, body: bytes, kind: str, path: str = "/invocations", **headers: str) -> tuple[int, Any]:
    code, _, answer = fetched(server.url + path, body, {"Content-Type": kind, **headers})
    return code, json.loads(answer)


def local_event(predictor: Predictor, picture: NDArray[np.uint8]) -> list[dict[str, Any]]:
    found = predictor(picture).detections
    assert found is not None
    return found.to_event()


def test_a_server_that_is_up_answers_a_ping(server: Server) -> None:
    with urllib.request.urlopen(server.url + "/ping") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/invocations", "/endpoints/faces/invocations"])
def test_an_array_gives_what_a_local_run_gives(
    path: str, server: Server, local: Predictor, portrait: NDArray[np.uint8]
) -> None:
    status, answer = post(server, npy(portrait), "application/x-npy", path)
    assert status == 200
    assert answer["detections"] == local_event(local, portrait)
    assert (answer["width"], answer["height"], answer["model"]) == (512, 512, MODEL)


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "image/jpeg"), (".png", "image/png; charset=x")])
def test_compressed_pictures_are_answered_as_decoded_ones(
    suffix: str, kind: str, server: Server, local: Predictor, portrait: NDArray[np.uint8]
) -> None:
    status, answer = post(server, cv2.imencode(suffix, portrait)[1].tobytes(), kind)
    assert status == 200
    (found,), (expected,) = answer["detections"], local_event(local, portrait)
    for side in ("xmin", "ymin", "xmax", "ymax"):
        assert found[side] == pytest.approx(expected[side], abs=3)


def test_a_large_jpeg_is_decoded_small_and_answered_in_its_own_pixels(
    server: Server, local: Predictor, portrait: NDArray[np.uint8]
) -> None:
    large = cv2.resize(portrait, (2048, 2048), interpolation=cv2.INTER_CUBIC)
    _, answer = post(server, cv2.imencode(".jpg", large)[1].tobytes(), "image/jpeg")
    (found,), (expected,) = answer["detections"], local_event(local, portrait)
    assert found["xmin"] == pytest.approx(4 * expected["xmin"], abs=16)
    assert found["ymax"] == pytest.approx(4 * expected["ymax"], abs=16)


def test_several_pictures_at_once(server: Server, local: Predictor, portrait: NDArray[np.uint8]) -> None:
    batch = np.stack([portrait, portrait[:, ::-1], np.zeros_like(portrait)])
    status, answer = post(server, npy(batch), "application/x-npy")
    assert status == 200
    assert [len(one["detections"]) for one in answer["predictions"]] == [1, 1, 0]
    assert answer["predictions"][0]["detections"] == local_event(local, portrait)


@pytest.mark.parametrize(
    ("body", "kind", "status", "complaint"),
    [
        (b"", "image/jpeg", 400, ""),
        (b"not a picture", "image/jpeg", 400, ""),
        (b"not a picture", "image/png", 400, "are no picture"),
        (b"", "image/png", 400, "are no picture"),
        (b"x", "text/plain", 415, "not known"),
        (b"x", "", 415, "not known"),
        (b"not numpy", "application/x-npy", 400, "no NumPy array"),
        (npy(np.zeros((4, 4), np.uint8)), "application/x-npy", 400, "expected uint8"),
        (npy(np.zeros((4, 4, 3), np.float32)), "application/x-npy", 400, "expected uint8"),
        (npy(np.zeros((0, 4, 3), np.uint8)), "application/x-npy", 400, "expected uint8"),
        (npy(np.zeros((65, 2, 2, 3), np.uint8)), "application/x-npy", 413, "65 pictures"),
        (npy(np.zeros((8, 8, 3), np.uint8))[:-10], "application/x-npy", 400, "needs 192 bytes and has 182"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "application/x-npy", 400, "no NumPy array"),
        (npy(np.array([{}], dtype=object)), "application/x-npy", 400, "expected uint8"),
        (npy(np.asfortranarray(np.zeros((4, 5, 3), np.uint8))), "application/x-npy", 400, "by columns; expected uint8"),
        (b"{", "application/json", 400, "not JSON"),
        (b"[1]", "application/json", 400, "may only ask"),
        (b"[" + b"[]," * 1000 + b"{", "application/json", 400, "may only ask"),
    ],
)
def test_bad_requests_say_what_is_wrong(body: bytes, kind: str, status: int, complaint: str, server: Server) -> None:
    code, answer = post(server, body, kind)
    assert code == status
    assert complaint in answer["error"]


@pytest.mark.parametrize(
    "text", ["nan", "-nan", "inf", "-inf", "1e999", "9" * 400, "-0.1", "1.01", "x", "0x1", "1_0_0"]
)
def test_a_threshold_that_is_none(server: Server, text: str) -> None:
    code, answer = post(
        server, npy(np.zeros((8, 8, 3), np.uint8)), "application/x-npy", accept=f"application/x-npz; threshold={text}"
    )
    assert (code, answer["error"]) == (400, f"threshold is {text[:40]!r}; expected a number from 0 to 1")


def test_an_array_that_promises_too_much_is_refused(server: Server) -> None:
    header = io.BytesIO()
    shape = (100_000, 100_000, 3)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    status, answer = post(server, header.getvalue() + b"x", "application/x-npy")
    assert (status, "needs 30000000000 bytes and has 1" in answer["error"]) == (400, True)


def test_the_rules_of_http(server: Server) -> None:
    assert post(server, b"x", "image/jpeg", "/elsewhere")[0] == 404
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(server.url + "/elsewhere")
    host, port = server.url.removeprefix("http://").split(":")
    for length, status in ((f": {MAX_BODY + 1}", b"413"), ("-Not: 5", b"411"), (": x", b"400")):
        with socket.create_connection((host, int(port))) as line:
            line.sendall(f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length{length}\r\n\r\n".encode())
            assert line.recv(4096).split(b" ")[1] == status


def test_beyond_the_queue_come_again(local: Predictor, portrait: NDArray[np.uint8]) -> None:
    with Server(Service(local, requests=1, waiting=2), ("127.0.0.1", 0)) as server:
        held = threading.Event()
        server.service._threads.submit(held.wait, PATIENCE)
        body = cv2.imencode(".jpg", portrait)[1].tobytes()
        with ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(post, server, body, "image/jpeg") for _ in range(8)]
            wait_for(lambda: server.service.statistics().refused == 5)
            held.set()
            codes = sorted(answer.result()[0] for answer in answers)
        assert codes == [200] * 3 + [503] * 5
        assert server.service.statistics().requests == 3


def test_a_stopped_server_finishes_what_it_has(tmp_path: Path, portrait: NDArray[np.uint8]) -> None:
    """`saccade serve` as a process, told to stop in the middle of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "saccade", "serve", "--model", MODEL, "--address", "127.0.0.1:0", "--requests", "1"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline().split(" at ")[1].strip()
    batch = npy(np.stack([portrait] * 24))
    sent: list[int] = []
    answers: list[int] = []

    def ask() -> None:
        with contextlib.closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)) as line:
            line.request("POST", "/invocations", batch, {"Content-Type": "application/x-npy"})
            sent.append(len(batch))
            answers.append(len(json.loads(line.getresponse().read())["predictions"]))

    with meanwhile(*[ask] * 4):
        wait_for(lambda: len(sent) == 4)
        process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert answers == [24] * 4
    assert "4 requests, 96 pictures, 0 refused" in process.stdout.read()
    process.stdout.close()


# --- In place of a local model ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, portrait: NDArray[np.uint8]) -> Path:
    """Pictures as a source: the person moves through the frame."""
    for number in range(6):
        canvas = np.full((720, 1280, 3), 90, np.uint8)
        canvas[100:612, 60 * number : 60 * number + 512] = portrait
        # PNG, because how small a JPEG is decoded depends on when the pipeline has told the capture what it needs.
        (tmp_path / f"{number}.png").write_bytes(cv2.imencode(".png", canvas)[1].tobytes())
    return tmp_path


def run(app: str, folder: Path, model: str, **options: Any) -> list[dict[str, Any]]:
    events = folder / "events.jsonl"
    session = open_session(app, RunConfig(source=str(folder), model=model, events=str(events), **options))
    session.run()
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    events.unlink()
    return lines


@pytest.mark.parametrize("encoding", ["npy", "jpeg"])
def test_a_pipeline_takes_the_address_for_the_model(encoding: str, server: Server, folder: Path) -> None:
    here = run("faces", folder, MODEL, precision="f32", tiles="off")  # as for any model but the app's own
    there = run("faces", folder, f"{server.url}?encoding={encoding}")
    assert len(here) == len(there) == 6
    tolerance = 0.6 if encoding == "npy" else 14  # px of the frame; two of the network's input
    for one, other in zip(here, there, strict=True):
        (a,), (b,) = one["detections"], other["detections"]
        for side in ("xmin", "ymin", "xmax", "ymax"):
            assert b[side] == pytest.approx(a[side], abs=tolerance)


def test_a_lower_threshold_is_asked_for(server: Server, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = run("faces", folder, MODEL, precision="f32", threshold=0.2, tiles="off")
    there = run("faces", folder, f"{server.url}?encoding=npy&threshold=20", threshold=0.2)
    for one, other in zip(here, there, strict=True):
        assert len(other["detections"]) == len(one["detections"])
    assert not caplog.records
    run("faces", folder, server.url, threshold=0.2)
    assert [line.message for line in caplog.records] == [
        "boxes below 0.50 are not sent; add ?threshold=20 to the address"
    ]


def test_head_pose_takes_it_too(folder: Path) -> None:
    mesh = open_predictor("face-mesh", precision="f32", threads=1)
    with Server(Service(mesh), ("127.0.0.1", 0)) as server:
        here = run("head-pose", folder, "face-mesh", precision="f32")
        there = run("head-pose", folder, f"{server.url}?encoding=npy", precision="f32")
    for one, other in zip(here, there, strict=True):
        assert other["pose"]["direction"] == one["pose"]["direction"]
        assert other["pose"]["yaw"] == pytest.approx(one["pose"]["yaw"], abs=1.0)


def test_a_sagemaker_endpoint(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real boto3 client, pointed at the server, which answers under SageMaker's path."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    here = run("faces", folder, f"{server.url}?encoding=npy")
    there = run("faces", folder, "sagemaker://faces?encoding=npy&region=eu-central-1")
    assert [event["detections"] for event in here] == [event["detections"] for event in there]


def test_requests_are_bound_like_local_ones(server: Server) -> None:
    model = open_network(server.url)
    assert isinstance(model, RemoteModel)
    request = model.request()
    assert request.done
    request.start()
    with pytest.raises(ModelError, match="in flight"):
        _ = request.outputs
    request.wait()
    assert set(request.outputs) == {"boxes", "scores", "labels", "keypoints"}
    called = threading.Event()
    request.start(lambda _: called.set())
    assert called.wait(PATIENCE)
    with pytest.raises(ModelError, match="there it is uint8"):
        model.infer(np.zeros((1, 3, 192, 192), np.float32))
    figures = model.statistics()
    assert (figures.calls, figures.retries) == (3, 0)
    assert 0 < figures.bytes_sent < 10_000
    model.close()


class Flaky(threading.Thread):
    """Hands connections on to a server, but cuts some."""

    def __init__(self, target: str, cuts: int) -> None:
        super().__init__(name="flaky", daemon=True)
        host, port = target.removeprefix("http://").split(":")
        self._target = host, int(port)
        self.cuts = cuts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            if self.cuts > 0:
                self.cuts -= 1
                line.close()
                continue
            threading.Thread(target=self._hand_on, args=(line,), daemon=True).start()

    def _hand_on(self, line: socket.socket) -> None:
        with line, socket.create_connection(self._target) as server:
            with meanwhile(partial(self._pump, server, line)):
                self._pump(line, server)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other direction has ended first
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def test_a_cut_connection_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "BACK_OFF", 0.0)
    flaky = Flaky(server.url, cuts=2)
    model = RemoteModel(flaky.url)
    assert model.statistics().retries == 2
    model.close()
    flaky.listener.close()


class Dripping(BaseHTTPRequestHandler):
    """Hands requests on to a server; while `drips` is set the answer's head comes at once and its body never ends."""

    protocol_version = "HTTP/1.1"
    target = ""
    drips = threading.Event()
    left = threading.Semaphore(0)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = {name: self.headers[name] for name in ("Content-Type", "Accept")}
        status, _, answer = fetched(self.target + self.path, body, said)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if not self.drips.is_set():
            self.wfile.write(answer)
            return
        try:
            for index in range(len(answer)):
                self.wfile.write(answer[index : index + 1])
                threading.Event().wait(0.02)
        except ConnectionError:
            self.left.release()

    def log_message(self, *_: object) -> None:
        """Quietly."""


def test_a_server_that_drips_ends_a_call_in_time_and_nothing_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "BACK_OFF", 0.0)
    monkeypatch.setattr(Dripping, "target", server.url)
    before = set(threading.enumerate())
    with ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as there:
        threading.Thread(target=there.serve_forever, args=(0.01,), daemon=True).start()
        model = RemoteModel(f"http://127.0.0.1:{there.server_port}?timeout=1")
        request = model.request()
        Dripping.drips.set()
        request.start()
        with pytest.raises(DeviceError, match=r"does not answer \(no whole answer in 1 s; tries: 3 in "):
            request.wait()
        for _ in range(remote_module.TRIES):
            assert Dripping.left.acquire(timeout=PATIENCE)
        Dripping.drips.clear()
        request.infer()
        assert "boxes" in request.outputs
        model.close()
        assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("remote")]
        there.shutdown()


class Describing(BaseHTTPRequestHandler):
    """Says what it is. To pictures it answers `status`; 0: nothing, before the test has `ended`."""

    status = 0
    ended = threading.Event()
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = 200, json.dumps(DESCRIBED).encode()
        if self.headers["Content-Type"] != "application/json":
            type(self).asked += 1
            status, answer = self.status, b""
            if not status:
                self.ended.wait(PATIENCE)
                return
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quietly."""


@pytest.mark.parametrize(
    ("status", "error", "asked"),
    [(408, DeviceError, 3), (429, DeviceError, 3), (502, DeviceError, 3), (400, ModelError, 1)],
)
def test_what_a_slow_line_or_a_busy_server_answers_is_tried_again(
    status: int, error: type[Exception], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_module, "BACK_OFF", 0.0)
    monkeypatch.setattr(Describing, "asked", 0)
    monkeypatch.setattr(Describing, "status", status)
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Describing)) as url:
        model = RemoteModel(url)
        with pytest.raises(error, match=f"status {status}"):
            model.request().infer()
        assert Describing.asked == asked
        model.close()


def test_a_call_ends_before_all_its_tries_where_they_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "BACK_OFF", 0.0)
    monkeypatch.setattr(remote_module, "CALL_SECONDS", 2.95)  # a third try, after two of a second, would be too long
    monkeypatch.setattr(remote_module, "MAX_CALLS", 1)
    monkeypatch.setattr(Describing, "asked", 0)
    Describing.ended.clear()
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Describing)) as url:
        model = RemoteModel(f"{url}?timeout=1")
        first, waiting = model.request(), model.request()
        first.start()
        waiting.start()
        with pytest.raises(DeviceError, match=r"does not answer \(no whole answer in 1 s; tries: 2 in "):
            first.wait()
        with pytest.raises(
            DeviceError, match=r"does not answer \(what was to be asked before it took too long; tries: 0 in "
        ):
            waiting.wait()
        assert Describing.asked == 2
        model.close()
        Describing.ended.set()


def test_a_call_is_over_before_an_engine_takes_it_for_one_that_hangs() -> None:
    assert remote_module.LONGEST_TIMEOUT < remote_module.CALL_SECONDS
    assert remote_module.CALL_SECONDS + 5 < ENGINE_PATIENCE


class Crowd(BaseHTTPRequestHandler):
    """Answers when four ask at once, and keeps their connections."""

    protocol_version = "HTTP/1.1"
    together = threading.Barrier(4)
    lines: ClassVar[list[socket.socket]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if len(self.lines) < 4:
            self.lines.append(self.connection)
            self.together.wait(PATIENCE)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quietly."""


def test_connections_that_a_server_has_left_cost_one_try_and_not_one_each() -> None:
    with answering(ThreadingHTTPServer(("127.0.0.1", 0), Crowd)) as url:
        line = remote_module._HttpLine("http", url.removeprefix("http://"), "", PATIENCE)
        with ThreadPoolExecutor(4) as threads:
            assert [status for status, _ in threads.map(lambda _: line.post(b"", "a/b", "a/b", 99), range(4))] == [
                200
            ] * 4
        for connection in Crowd.lines:
            connection.shutdown(socket.SHUT_RDWR)
        with pytest.raises((OSError, http.client.HTTPException)):
            line.post(b"", "a/b", "a/b", 99)
        assert line.post(b"", "a/b", "a/b", 99) == (200, b"")
        line.close()


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("http://127.0.0.1:9/", "does not answer"),
        ("http://127.0.0.1:notaport/", "expected HOST:PORT"),
        ("http://127.0.0.1:99999/", "expected HOST:PORT"),
        ("http://[::1/", "expected HOST:PORT"),
        ("http://:8080/", "expected HOST:PORT"),
        ("http://", "expected HOST:PORT"),
        ("sagemaker://[endpoint", "expected"),
        ("http://user:secret@127.0.0.1:9/", r"^http://127.0.0.1:9/: .* leave them out"),
        ("http://127.0.0.1:9/käse und brot\x07", "does not answer"),
        ("http://a..b:80/", r"'a\.\.b' is no host name: .*; expected HOST:PORT"),
        (f"https://{'n' * 70}/", "is no host name"),
        ("http://127.0.0.1:9/?encoding=gif", "expected jpeg or npy"),
        ("http://127.0.0.1:9/?quality=900", "expected 1 to 100"),
        ("http://127.0.0.1:9/?quatily=90", "quatily is not an option"),
        ("http://127.0.0.1:9/?timeout=60", "timeout is '60'; expected 1 to 20"),
    ],
)
def test_addresses_that_do_not_work(address: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "BACK_OFF", 0.0)
    with pytest.raises((ConfigError, DeviceError), match=complaint):
        open_network(address)


class Page(BaseHTTPRequestHandler):
    says = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.says)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize(
    "says",
    [
        b"<html>",
        json.dumps({k: v for k, v in DESCRIBED.items() if k != "names"}).encode(),
        json.dumps(DESCRIBED | {"names": [1]}).encode(),
        json.dumps(DESCRIBED | {"input": DESCRIBED["input"] | {"width": 10**9, "height": 10**9}}).encode(),
        json.dumps(DESCRIBED | {"input": DESCRIBED["input"] | {"width": "8"}}).encode(),
    ],
    ids=["page", "no names", "names that are none", "vast", "a text for a number"],
)
def test_another_server_is_told_apart(says: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A web server that answers everything with its page, or says what no server of ours would."""
    monkeypatch.setattr(Page, "says", says)
    with (
        answering(HTTPServer(("127.0.0.1", 0), Page)) as url,
        pytest.raises(ModelError, match="is not a saccade server"),
    ):
        RemoteModel(url)


def test_the_command_takes_a_bad_address_for_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from saccade.cli import serve
    from saccade.cli.serve import _address, _sagemaker_model

    assert _address("0.0.0.0:80") == ("0.0.0.0", 80)
    monkeypatch.setitem(os.environ, "SAGEMAKER_BIND_TO_PORT", "8081")
    assert _address("") == ("127.0.0.1", 8081)
    monkeypatch.setattr(serve, "SAGEMAKER_MODEL", tmp_path)
    assert _address("") == ("0.0.0.0", 8081)
    monkeypatch.setitem(os.environ, "SAGEMAKER_BIND_TO_PORT", "")
    assert _address("") == ("0.0.0.0", 8080)
    for text in ("http", "99999", "-1", "8080 ", "²"):
        monkeypatch.setitem(os.environ, "SAGEMAKER_BIND_TO_PORT", text)
        with pytest.raises(ConfigError, match=r"SAGEMAKER_BIND_TO_PORT is '.*'; expected a port"):
            _address("")
    assert _address("[::1]:80") == ("::1", 80)
    assert _address("8080") == ("127.0.0.1", 8080)
    for text in ("host", "::1:80", "host:port", "host:99999", "host:²", f"host:{'9' * 5000}"):
        with pytest.raises(ConfigError, match=r"^--address is .*; expected HOST:PORT"):
            _address(text)
    with pytest.raises(ConfigError, match="give --model"):
        _sagemaker_model()
