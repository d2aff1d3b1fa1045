"""A local AWS for tests, whose DetectFaces answers with what a picture's JPEG comment says."""

from __future__ import annotations

import io
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends
from PIL import Image, UnidentifiedImageError

from saccade.deploy.detect import InvalidImageError
from saccade.deploy.local import LocalAws

ROOT = Path(__file__).resolve().parents[2]
LAMBDAS = ROOT / "lambdas"

Emotions = dict[str, float]


def face(emotions: Emotions, **fields: Any) -> dict[str, Any]:
    """A FaceDetail."""
    box = {"Left": 0.25, "Top": 0.25, "Width": 0.5, "Height": 0.5}
    ordered = sorted(emotions.items(), key=lambda item: -item[1])
    listed = [{"Type": name, "Confidence": confidence} for name, confidence in ordered]
    return {"BoundingBox": box, "Confidence": 99.5, "Emotions": listed, **fields}


def crop(*faces: dict[str, Any] | str, size: tuple[int, int] = (96, 96)) -> bytes:
    """A JPEG that the scripted DetectFaces answers with these faces, or refuses with the error named by a text."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (90, 120, 150)).save(buffer, "JPEG", comment=json.dumps(faces).encode())
    return buffer.getvalue()


class Script:
    """DetectFaces by comment. `during` is called first, with the picture, for tests that disturb a call."""

    def __init__(self) -> None:
        self.during: Callable[[bytes], None] | None = None

    def __call__(self, picture: bytes) -> list[dict[str, Any]]:
        if self.during is not None:
            self.during(picture)
        try:
            image = Image.open(io.BytesIO(picture))
        except UnidentifiedImageError:
            raise InvalidImageError("InvalidImageFormatException", "Request has invalid image format") from None
        found = json.loads(image.info.get("comment", b"[]"))
        if found and isinstance(found[0], str):
            raise InvalidImageError(found[0], "refused as the picture asks")
        return list(found)


@pytest.fixture(scope="package", autouse=True)
def _no_account() -> Iterator[None]:
    """No test may reach an account, whatever the machine is configured for."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    os.environ.update(
        AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local", AWS_DEFAULT_REGION="eu-central-1",
        AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    )  # fmt: skip
    yield
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(kept)


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a proxy was asked for that the environment names for all of HTTP; it refuses everything."""
    asked: list[str] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.requestline)
            self.send_error(502)

        do_POST = do_PUT = do_HEAD = do_DELETE = do_CONNECT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="test-proxy")
        thread.start()
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_port}")
        yield asked
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """Address of moto's services, in this process: what it holds can be looked at."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The deployed stack, its emotion function polled; failed messages come again after a second."""
    with LocalAws(LAMBDAS, Script(), folder=tmp_path_factory.mktemp("aws"), visibility=1) as aws:
        yield aws


@pytest.fixture
def aws(local: LocalAws) -> LocalAws:
    """The stack without rows, data points, messages and faults of earlier tests."""
    script = local.rekognition.detector
    assert isinstance(script, Script)
    script.during = None
    local.rekognition.faults.clear()
    for poller in local.pollers:
        poller.stop()
    clean(local)
    for poller in local.pollers:
        poller.start()
    return local


def clean(aws: LocalAws) -> None:
    # Row by row, as the API has it, a hundred of them take a tenth of a minute.
    dynamodb_backends[DEFAULT_ACCOUNT_ID][aws.region].tables[aws.outputs["FacesTableName"]].items.clear()
    cloudwatch_backends[DEFAULT_ACCOUNT_ID][aws.region].metric_data.clear()
    for queue in sqs_backends[DEFAULT_ACCOUNT_ID][aws.region].queues.values():
        queue._messages.clear()  # the API's purge is allowed once a minute


def rows(aws: LocalAws) -> list[dict[str, Any]]:
    """All rows of the table."""
    pages = aws.client("dynamodb").get_paginator("scan").paginate(TableName=aws.outputs["FacesTableName"])
    return [row for page in pages for row in page["Items"]]


def row_emotions(row: dict[str, Any]) -> Emotions:
    return {name: float(value["N"]) for name, value in row.items() if name.isupper()}


def points(aws: LocalAws) -> Counter[tuple[str, float]]:
    """Every data point that was accepted, with how often."""
    found: Counter[tuple[str, float]] = Counter()
    for datum in cloudwatch_backends[DEFAULT_ACCOUNT_ID][aws.region].metric_data:
        assert (datum.name_space if hasattr(datum, "name_space") else datum.namespace) == "Saccade/Faces"
        assert [dimension.name for dimension in datum.dimensions] == ["Emotion"]
        found[datum.dimensions[0].value, datum.value] += 1
    return found


def put(aws: LocalAws, key: str, picture: bytes) -> None:
    """As a device does: private by the bucket's own rules, no ACL."""
    aws.client("s3").put_object(Bucket=aws.outputs["FacesBucketName"], Key=key, Body=picture)


def log_lines(aws: LocalAws, output: str = "RekognizeEmotionsName") -> list[dict[str, Any]]:
    """The function's structured log."""
    text = aws.function(output).function.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("logger") == "saccade.cloud"]
