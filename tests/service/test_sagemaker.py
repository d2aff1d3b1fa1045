"""A model's archive, served as SageMaker does it and asked by boto3.

The container is a `saccade serve` process over the unpacked archive. Before it stands an endpoint that does what the
service does: it asks for a signature, passes on what the service passes on, and words the container's errors anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import saccade
from conditions import PATIENCE, answering
from local_s3 import free_port
from saccade.cli import main
from saccade.config import RunConfig
from saccade.config.commands import SERVED_OPTIONS, ServeConfig
from saccade.deploy import model_archive
from saccade.errors import ConfigError, DeviceError, ModelError, SaccadeError
from saccade.networks import remote as remote_module
from saccade.networks.remote import RemoteModel
from saccade.service.session import open_session
from small_networks import spots_network

REGION = "eu-central-1"
PASSED_ON = ("Content-Type", "Accept", "X-Amzn-SageMaker-Custom-Attributes")


class Endpoint(BaseHTTPRequestHandler):
    """InvokeEndpoint of the service's runtime. `faults` of its server: what the next calls get instead."""

    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        signed = re.search(r"AWS4-HMAC-SHA256 Credential=\w+/\d{8}/([\w-]+)/sagemaker/aws4_request, SignedHeaders=\S+, "
                           r"Signature=[0-9a-f]{64}$", self.headers.get("Authorization", ""))  # fmt: skip
        name = re.fullmatch(r"/endpoints/([^/]+)/invocations", self.path)
        if signed is None or signed[1] != REGION or fault == "denied":
            return self.refuse(403, "AccessDeniedException", "User is not authorized to perform: InvokeEndpoint")
        if fault == "throttled":
            return self.refuse(400, "ThrottlingException", "Rate exceeded")
        if fault == "starting":
            return self.refuse(429, "ModelNotReadyException", "The model is not ready for inference yet")
        if fault == "busy":
            said = {"OriginalStatusCode": 503, "OriginalMessage": "too many requests wait"}
            return self.refuse(424, "ModelError", "Received server error (503) from all", **said)
        if fault == "silent":
            self.server.ended.wait(PATIENCE)
            self.close_connection = True
            return None
        if fault.startswith("drips"):
            return self.drip(b"HTTP/1.1 200 OK\r\n" + b"Content-Length: 999\r\n\r\n" * (fault == "drips a body"))
        if fault == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nPK")
            self.close_connection = True
            return None
        if name is None or name[1] != "saccade-spots":
            return self.refuse(400, "ValidationError", "Endpoint of account 123456789012 not found.")
        passed = {key: value for key in PASSED_ON if (value := self.headers.get(key))}
        request = urllib.request.Request(f"{self.server.container}/invocations", body, passed)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return self.answer(200, answer.read(), {"Content-Type": answer.headers["Content-Type"]})
        except urllib.error.HTTPError as error:
            with error:
                said = {"OriginalStatusCode": error.code, "OriginalMessage": error.read().decode()}
            return self.refuse(424, "ModelError", "Received an error from the container", **said)

    def drip(self, begin: bytes) -> None:
        """Say it, and then a byte now and then, until the other side has left."""
        self.close_connection = True
        with contextlib.suppress(ConnectionError):
            self.wfile.write(begin)
            while not self.server.ended.wait(0.02):
                self.wfile.write(b"x")
        self.server.left.release()

    def refuse(self, status: int, code: str, message: str, **more: Any) -> None:
        self.answer(status, json.dumps({"Message": message, **more}).encode(), {"x-amzn-ErrorType": code})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Service(ThreadingHTTPServer):
    """container : address of the process behind it. left : once for each caller to whom it dripped."""

    def __init__(self, container: str) -> None:
        super().__init__(("127.0.0.1", 0), Endpoint)
        self.container = container
        self.faults: list[str] = []
        self.ended = threading.Event()
        self.left = threading.Semaphore(0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spots_network(tmp_path_factory.mktemp("model") / "spots.xml")


@pytest.fixture(scope="module")
def container(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The archive, unpacked and served by the real command in a process of its own."""
    folder = tmp_path_factory.mktemp("opt") / "ml" / "model"
    packed = model_archive.pack(ServeConfig(model=str(model), threshold=0.3, precision="f32"), folder / "../m.tar.gz")
    with tarfile.open(packed.path) as archive:
        archive.extractall(folder, filter="data")
    port = free_port()
    code = (
        "import sys; from pathlib import Path; from saccade.cli import main, serve; "
        "serve.SAGEMAKER_MODEL = Path(sys.argv[1]); main(['serve'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"SAGEMAKER_BIND_TO_PORT": str(port)},
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert f"(f32) at http://0.0.0.0:{port}" in line
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    assert process.wait(PATIENCE) == 0
    process.stdout.close()


@pytest.fixture
def service(container: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(remote_module, "BACK_OFF", 0.0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with answering(service := Service(container)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", url)
        yield service
        service.ended.set()


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """A bright and a red spot."""
    canvas = np.zeros((256, 256, 3), np.uint8)
    canvas[64:96, 32:64] = 255
    canvas[160:192, 96:128] = (0, 0, 255)
    return canvas


def test_an_archive_holds_all_that_a_model_needs_and_nothing_of_when_and_where(model: Path, tmp_path: Path) -> None:
    labels = tmp_path / "names.txt"
    labels.write_text("white\nred one\n")
    config = ServeConfig(model=str(model), labels=str(labels), classes=("white", "red one"), threshold=0.3)
    one, two = (model_archive.pack(config, tmp_path / f"{n}.tar.gz") for n in (1, 2))
    assert one.digest == two.digest
    assert one.files == ("metadata.yaml", "names.txt", SERVED_OPTIONS, "spots.bin", "spots.xml")
    assert one.task == "detect"
    with tarfile.open(one.path) as archive:
        assert {(m.mtime, m.uid, m.mode, m.uname) for m in archive.getmembers()} == {(0, 0, 0o644, "")}
        said = archive.extractfile(SERVED_OPTIONS)
        assert said is not None
        assert said.read().decode().splitlines()[1:] == [
            'classes = ["white", "red one"]', 'labels = "names.txt"', 'model = "spots.xml"', "threshold = 0.3"
        ]  # fmt: skip


def test_what_the_catalogue_knows_by_name_goes_along(tmp_path: Path, demo: Path) -> None:
    here = saccade.open("face-mesh")
    packed = model_archive.pack(ServeConfig(model="face-mesh"), tmp_path / "m.tar.gz")
    with tarfile.open(packed.path) as archive:
        archive.extractall(tmp_path / "m", filter="data")
    there = saccade.open(tmp_path / "m" / "face-mesh.tflite")
    assert (there.spec, there.task) == (here.spec, here.task)


def test_a_folder_of_tensorflow_stays_a_folder_and_takes_its_description_along(tmp_path: Path) -> None:
    folder = tmp_path / "net" / "saved_model"
    for name, content in (
        ("saved_model.pb", b"\x08\x01"),
        ("variables/variables.index", b""),
        ("../config.json", b"{}"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    model, found = model_archive.files_of(folder)
    assert model == "net"
    assert sorted(found) == ["net/config.json", "net/saved_model.pb", "net/variables/variables.index"]


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"model": "http://127.0.0.1:9"}, "is a server's address"),
        ({"model": "/nowhere.onnx"}, "no model file at /nowhere.onnx"),
        ({"model": "spots.xml", "labels": "/nowhere.txt"}, "labels /nowhere.txt: cannot be read"),
        ({"model": "lonely.xml"}, "lonely.bin"),
        ({"model": "spots.xml", "task": "classify"}, "--task classify does not fit its outputs"),
    ],
)
def test_what_cannot_be_packed_is_refused(
    config: dict[str, Any], problem: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    (model.parent / "lonely.xml").write_bytes(model.read_bytes())
    with pytest.raises(SaccadeError, match=re.escape(problem)):
        model_archive.pack(ServeConfig(**config), tmp_path / "m.tar.gz")
    assert not list(tmp_path.iterdir())


def test_what_is_no_archive_of_ours_is_told(tmp_path: Path) -> None:
    for content in (b"", b"no archive"):
        (tmp_path / "x.tar.gz").write_bytes(content)
        with pytest.raises(ConfigError, match=r"x\.tar\.gz: cannot be read"):
            model_archive.opened(tmp_path / "x.tar.gz")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(__file__, "model.py")
    with pytest.raises(ConfigError, match="no archive of ours; make one with: saccade cloud endpoint pack MODEL"):
        model_archive.opened(tmp_path / "x.tar.gz")


def test_an_endpoint_takes_the_place_of_the_model(
    service: Service, model: Path, picture: NDArray[np.uint8], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(3):
        shifted = np.roll(picture, 32 * number, axis=1)
        (frames / f"{number}.png").write_bytes(cv2.imencode(".png", shifted)[1].tobytes())
    found = {}
    for name in (str(model), "sagemaker://saccade-spots?encoding=npy"):
        events = tmp_path / "events.jsonl"
        open_session("detect", RunConfig(source=str(frames), model=name, events=str(events), precision="f32")).run()
        found[name] = [json.loads(line)["detections"] for line in events.read_text().splitlines()]
    here, there = found.values()
    assert here == there
    assert [len(detections) for detections in here] == [2, 2, 2]

    near, far = saccade.open(model, precision="f32"), saccade.open("sagemaker://saccade-spots?encoding=npy")
    assert far(picture).to_event()["detections"] == near(picture).to_event()["detections"]

    assert main(["infer", "sagemaker://saccade-spots", str(frames / "0.png"), "--parsed", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert {d["label"] for d in entry["result"]["detections"]} == {"bright", "red"}


def test_what_passes_by_itself_is_waited_for(service: Service) -> None:
    service.faults += ["starting"] * 5 + ["throttled", "busy"]
    model = RemoteModel("sagemaker://saccade-spots")
    assert (model.statistics().calls, model.statistics().retries) == (1, 7)
    service.faults += ["starting"] * 3  # once it runs, a camera does not wait for a minute
    with pytest.raises(DeviceError, match=r"does not answer .ModelNotReadyException"):
        model.call(np.zeros((1, 256, 256, 3), np.uint8))
    model.close()


@pytest.mark.parametrize("fault", ["drips a head", "drips a body"])
def test_an_endpoint_that_drips_ends_a_call_in_time_and_nothing_else(service: Service, fault: str) -> None:
    model = RemoteModel("sagemaker://saccade-spots?timeout=1")
    service.faults += [fault] * remote_module.TRIES
    with pytest.raises(DeviceError, match=r"does not answer \(no whole answer in 1 s; tries: 3 in "):
        model.call(np.zeros((1, 256, 256, 3), np.uint8))
    for _ in range(remote_module.TRIES):
        assert service.left.acquire(timeout=PATIENCE)
    assert "boxes" in model.call(np.zeros((1, 256, 256, 3), np.uint8))
    model.close()


def test_an_answer_that_is_cut_is_asked_for_again(service: Service) -> None:
    model = RemoteModel("sagemaker://saccade-spots")
    service.faults += ["cut"]
    assert "boxes" in model.call(np.zeros((1, 256, 256, 3), np.uint8))
    assert model.statistics().retries == 1
    model.close()


def test_what_stays_wrong_is_one_line_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    model = RemoteModel("sagemaker://saccade-spots")
    with pytest.raises(ModelError, match=r"refuses the picture: status 400: .*no JPEG header"):
        model._post(b"no picture", "image/jpeg", "application/json")
    with pytest.raises(ModelError, match=r"SageMaker takes 6291456: leave .encoding=npy out"):
        model._line.post(bytes((6 << 20) + 1), "application/x-npy", "application/json", 99)
    model.close()
    for fault, address, problem in (
        ("", "sagemaker://saccade-spot", "there is none in eu-central-1 .Endpoint .* not found"),
        ("denied", "sagemaker://saccade-spots", "AWS refuses .AccessDeniedException: .* sagemaker:InvokeEndpoint"),
        ("", "sagemaker://saccade-spots?region=eu-west-1", "AWS refuses .AccessDeniedException"),
        ("", "sagemaker://saccade_spots", "expected sagemaker:// and the name of an endpoint"),
        ("", "sagemaker://saccade-spots/x", "nothing may follow the endpoint's name"),
    ):
        service.faults[:] = [fault]
        with pytest.raises(ConfigError, match=problem) as caught:
            RemoteModel(address)
        assert "\n" not in str(caught.value)
    service.faults.clear()
    monkeypatch.setattr(remote_module, "STARTING", 0.0)
    monkeypatch.setattr(remote_module, "TRIES", 1)
    service.faults += ["silent"]
    with pytest.raises(DeviceError, match=r"does not answer \(no whole answer in 1 s; .*saccade cloud endpoint status"):
        RemoteModel("sagemaker://saccade-spots?timeout=1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match="there are no AWS credentials"):
        RemoteModel("sagemaker://saccade-spots")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="must specify a region"):
        RemoteModel("sagemaker://saccade-spots")
