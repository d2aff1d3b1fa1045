"""Whole projects in the style of the public ones, as folders: messages, pictures, files and uploads by value."""

from __future__ import annotations

import base64
import csv
import hashlib
import http.server
import json
import os
import shutil
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_models
from script_runs import Device, Run

import local_s3
from conditions import answering, meanwhile
from lengths import EXHAUSTIVE

PROJECTS = Path(__file__).parent / "projects"


@pytest.fixture(scope="module")
def aws_server() -> Iterator[str]:
    with local_s3.moto_server() as url:
        yield url


def project(device: Device, name: str) -> Path:
    """A copy of a project's folder; its script."""
    folder = device.folder / name
    shutil.copytree(PROJECTS / name, folder)
    for file in folder.rglob("*.py.txt"):
        file.rename(file.with_suffix(""))
    return folder / f"{name}.py"


def start(device: Device, name: str, *options: str, **named: Any) -> Run:
    return device.run(project(device, name), *options, **named)


def test_objects_are_counted_with_two_models(device: Device) -> None:
    tiny_models.ssd(device.artifacts / "people.xml")
    tiny_models.classifier(device.artifacts / "kinds.xml", size=16, classes=3)
    run = start(device, "counter", frames=3)
    lines = run.out.splitlines()
    kinds = [line.rpartition(", ")[2] for line in lines]
    assert set(kinds) <= {"Katze", "Hund", "Möwe"}
    assert [line.rpartition(", ")[0] for line in lines] == [
        f"frame {n}: 2 of 2, best 0.9@15, half {n // 2}" for n in (1, 2, 3)
    ]
    messages = [json.loads(payload) for payload in run.payloads]
    assert messages == [{"line": line, "ids": [0, 1], "labels": 3} for line in lines]
    assert {message["topic"] for message in run.messages} == {"people/counted"}
    assert "settings.py" not in run.adapted or "Python 2" in run.adapted


def test_a_viewer_of_the_fifo_sees_only_what_was_announced(device: Device) -> None:
    """Each picture that a viewer of the FIFO sees is one that the script announced."""
    with device.watched() as got:
        run = start(device, "doorbell", frames=8)
    announced = [payload.split() for payload in run.payloads if payload.startswith("md5")]
    assert len(announced) == 8
    assert {words[3] for words in announced} == {"ffd8"}
    assert "opened for the viewer" in run.payloads
    seen = [b"\xff\xd8\xff" + part for part in bytes(got).split(b"\xff\xd8\xff")[1:]]
    assert {hashlib.md5(picture).hexdigest() for picture in seen} <= {words[1] for words in announced}
    assert len({bytes(picture) for picture in seen}) >= 2
    for picture in seen:
        decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == (135, 240, 3)


def test_pictures_go_out_by_tcp_and_datagrams_by_udp(device: Device) -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.create_server(("127.0.0.1", 0))
    received = bytearray()

    def serve() -> None:
        connection, _ = tcp.accept()
        with connection:
            assert connection.recv(100) == b"HELLO lens1\r\n"
            connection.sendall(b"WELCOME\r\n")
            while data := connection.recv(65536):
                received.extend(data)

    with udp, tcp:
        udp.bind(("127.0.0.1", 0))
        device.environment = {"ALARM": f"127.0.0.1:{udp.getsockname()[1]}:{tcp.getsockname()[1]}"}
        with meanwhile(serve):
            run = start(device, "alarm", frames=3)
        datagrams = [udp.recv(100) for _ in range(3)]
    parts = bytes(received).split(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ")[1:]
    assert run.out.splitlines() == [f"WELCOME {n} True True 'JPEG' True" for n in (1, 2, 3)]
    for n, (part, datagram) in enumerate(zip(parts, datagrams, strict=True), 1):
        size, _, rest = part.partition(b"\r\n\r\n")
        jpeg = rest[: int(size)]
        assert rest == jpeg + b"\r\n"
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (36, 64, 3)
        assert datagram == struct.pack(">4sIII", b"JPEG", n, len(jpeg), zlib.crc32(jpeg)) + jpeg[:8]


def test_differences_of_frames_are_pythons_and_numpys_of_the_time(device: Device) -> None:
    run = start(device, "motion", frames=4)
    messages = [json.loads(payload) for payload in run.payloads]
    assert len(messages) == 3
    for message in messages:
        first = message["first"][0] - 1000
        assert message["first"] == [first + 1000, first * 1000, first // 2, first - 300]
        assert message["list"] == f"[0.5, {first}]"
        assert (message["type"], message["shape"]) == ("uint16", [90, 160])
        assert cv2.imread(str(device.folder / "motion" / f"{first + 1000}.png")).shape == (90, 160, 3)
        assert 0 < message["mean"] < message["most"] <= 255
        assert message["sum"] >= 0


def test_pictures_are_written_beside_the_script_and_logged(device: Device) -> None:
    run = start(device, "picture_log", frames=2)
    folder = device.folder / "picture_log"
    pictures = [json.loads(m["payload"]) for m in run.messages if m["topic"] == "pictures"]
    assert [m["payload"] for m in run.messages if m["topic"] == "plain"] == [
        "Tür 1 0.333333333333",
        "Tür 2 0.666666666667",
    ]
    assert [(p["place"], p["third"]) for p in pictures] == [("Tür", "0.333333333333"), ("Tür", "0.666666666667")]
    files = [(folder / p["name"]).read_bytes() for p in pictures]
    for picture, data in zip(pictures, files, strict=True):
        assert base64.b64decode(picture["image"].partition(",")[2]) == data
        assert picture["name"] == hashlib.md5(data).hexdigest() + ".jpg"
        assert cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape == (135, 240, 3)
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    shares = ["0.3333333333333333", "0.6666666666666666"]
    assert rows == [["name", "größe", "share"]] + [
        [p["name"], str(len(data)), share] for p, data, share in zip(pictures, files, shares, strict=True)
    ]


def test_rows_go_to_a_table_and_pictures_to_a_bucket(device: Device, aws_server: str) -> None:
    import boto3

    device.environment = local_s3.CREDENTIALS | {"AWS_ENDPOINT_URL": aws_server}
    options = {
        "endpoint_url": aws_server, "region_name": "us-east-1", "aws_access_key_id": "testing",
        "aws_secret_access_key": "testing",
    }  # fmt: skip
    s3, table = boto3.client("s3", **options), boto3.client("dynamodb", **options)
    s3.create_bucket(Bucket="your-bucket")
    table.create_table(
        TableName="sightings", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )  # fmt: skip
    run = start(device, "table", frames=2)
    assert run.payloads == ["True True 0.333333333333 ffd8", "True True 0.666666666667 ffd8"]
    for n in (1, 2):
        item = table.get_item(TableName="sightings", Key={"id": {"S": f"frame{n}"}})["Item"]
        picture = item["picture"]["B"]
        assert picture == s3.get_object(Bucket="your-bucket", Key=f"frame{n}.jpg")["Body"].read()
        assert cv2.imdecode(np.frombuffer(picture, np.uint8), 1).shape == (90, 160, 3)
    assert "ACL='public-read' was left out" in run.adapted


def test_messages_go_to_a_web_hook(device: Device) -> None:
    seen: list[tuple[str, str, str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers.get("Content-Type", "")
            seen.append((self.command, self.path, kind, body))
            answer = b'{"echo": "frame"}' if "json" in kind else b"got " + str(len(body)).encode()
            self.send_response(404 if self.path.endswith("missing") else 200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *_: Any) -> None:
            pass

    with answering(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        device.environment = {"HOOK": url}
        run = start(device, "hook", frames=1)
    form, posted, put, missing = seen
    assert form[:3] == ("POST", "/", "application/x-www-form-urlencoded")
    assert form[3] == b"payload=%7B%22text%22%3A+%22frame+1%22%7D"
    assert posted == ("POST", "/json?share=0.333333333333", "application/json", b'{"n": 1}')
    assert put[:3] == ("PUT", "/picture", "image/jpeg")
    assert cv2.imdecode(np.frombuffer(put[3], np.uint8), 1).shape == (18, 32, 3)
    assert missing[0] == "GET"
    assert run.out.splitlines() == ["got 41 6 True", "200 text/plain frame", f"200 got {len(put[3])}", "404 got 0"]


def test_state_is_kept_from_run_to_run(device: Device) -> None:
    script = project(device, "state")
    assert device.run(script, frames=2).payloads == [
        "1 ['FRAME001', 'start'] [0, None, u'x', 8L]", "2 ['FRAME001', 'FRAME002', 'start'] [1, None, u'x', 8L]",
    ]  # fmt: skip
    assert device.run(script, frames=1).payloads[0].startswith("3 ['FRAME001', 'FRAME002', 'FRAME003', 'start'] [1,")


def test_a_server_of_the_scripts_own_streams_its_pictures(device: Device) -> None:
    assert start(device, "stream", frames=2).payloads == ["True 2 True --frame"] * 2


def test_python_that_is_read_when_it_runs_is_python_2_too(device: Device) -> None:
    run = start(device, "rules", frames=3)
    assert run.out.splitlines() == ["rules 3"]
    assert run.payloads == [
        "1 odd 3 3 n2 refused: number 0", "3 odd 3 3 n2 wrong: two", "4 even 3 3 n2 fine",
    ]  # fmt: skip


def test_a_folder_with_libraries_in_it(device: Device) -> None:
    """Binaries of another Python, copied libraries, an environment below the script: none of them is the script's."""
    script = project(device, "copied")
    folder = script.parent
    for name in ("numpy", "requests"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("print 'from the folder'\nraise ImportError('of another Python')\n")
    (folder / "numpy" / "multiarray.so").write_bytes(b"\x7fELF")
    (folder / "cv2.so").write_bytes(b"\x7fELF")
    (folder / "requests-2.18.dist-info").mkdir()
    site = folder / ".venv" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (site / "strictlib.py").write_text(
        "import base64\nassert 3 / 2 == 1.5 and str(1 / 3) == '0.3333333333333333'\n"
        "def pairs(a, b):\n    assert not isinstance({}.keys(), list)\n    return list(zip(a, b, strict=True))\n"
        "def encoded(text):\n    try:\n        return base64.b64encode(text).decode()\n"
        "    except TypeError:\n        return 'as it is'\n"
    )
    device.environment = {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    run = device.run(script, frames=2)
    assert [json.loads(payload) for payload in run.payloads] == [
        [0.5, "numpy", False, 3, [[1, "a"]], "as it is"], [0.5, "numpy", False, 3, [[1, "a"]], "as it is"],
    ]  # fmt: skip
    assert "strictlib" not in run.adapted


def test_python_3_with_numpy_1(device: Device) -> None:
    run = start(device, "third", frames=1)
    assert run.report["python"] == 3
    assert json.loads(run.payloads[0]) == {
        "text": "{'box': [0.5, 3]}", "type": "uint16", "wide": 1000, "half": 3.5, "first": 255, "int": 3,
        "wrapped": [44, 255],
    }  # fmt: skip


# The cases of the corpus


def _cases(corpus: Path) -> Path:
    folder = corpus / "cases" / "scripts"
    if not folder.is_dir():
        pytest.skip("the corpus has no scripts")
    return folder


@pytest.mark.corpus
def test_idioms_of_the_time_complete(device: Device, corpus: Path) -> None:
    """All that complete under CPython 2.7; Haar cascades are refused by name."""
    device.environment = {"IDIOMS_OUT": str(device.folder / "idioms")}
    script = device.folder / "idioms.py"
    shutil.copy(_cases(corpus) / "idioms.py", script)
    device.run(script, frames=60)
    lines = (device.folder / "idioms").read_text().splitlines()
    wrong = [line for line in lines[:-1] if not line.endswith(" ok")]
    assert len(lines) == 90
    assert [line.partition(":")[0] for line in wrong] == ["t_cv2_cascade AttributeError"]
    assert "Haar cascades left OpenCV" in wrong[0]


LANGUAGE = """blob_parameter cmp_method comprehension_variable contours contours_second csv_binary exc_pattern
    exec_inside_function execfile_division float_text getslice hex_and_base64 mixed_sort multipart_by_hand numpy_in_text
    old_class_raise process_output sort_with_cmp string_module text_to_binary_file thread_stop_attribute udp_text
    uint8_overflow url_post utf8_len"""


@pytest.mark.corpus
@pytest.mark.parametrize("names", LANGUAGE.split() if EXHAUSTIVE else [LANGUAGE])
def test_cases_of_the_language_complete(device: Device, corpus: Path, names: str) -> None:
    """As modules of one script, which are read as it is itself; in the exhaustive form each in a run of its own."""
    for name in names.split():
        shutil.copy(_cases(corpus) / f"{name}.py", device.folder)
    script = device.script("".join(f"import {name}\nprint '{name}'\n" for name in names.split()))
    run = device.run(script, frames=len(names.split()))
    assert run.report["problem"] == ""
    assert [line for line in run.out.splitlines() if line in names.split()] == names.split()
    assert run.report["frames"] == len(names.split())


def test_the_converted_form_alone_is_enough(device: Device) -> None:
    """A model of which only the converted form is left, and Pillow as it was."""
    tiny_models.classifier(device.artifacts / "image-classification.xml", classes=3)
    run = start(device, "sorter", frames=3)
    names = ["compost", "landfill", "recycling"]
    for message in map(json.loads, run.payloads):
        best, second = sorted(message["classes"].items(), key=lambda item: -item[1])
        assert {best[0], second[0]} <= {name + "\n" for name in names}
        assert message["text"] == f"{best[0].strip()}: {best[1]:.2f}"
        assert message["size"][0] > message["size"][1] > 5
    assert len(run.payloads) == 3
    assert cv2.imread(str(device.folder / "sorter" / "last.png")).shape == (224, 224, 3)
    assert "image-classification.xml was taken for image-classification: what it was made from" in run.adapted


def test_a_camera_in_a_process_of_its_own_gives_each_frame_once(device: Device) -> None:
    """The camera in a process of its own, as scripts have it that fork: each frame once, and counted."""
    run = start(device, "reader", frames=6)
    assert run.report["frames"] == 6
    seen = run.payloads[:-1] if run.payloads[-1] == "over" else run.payloads
    assert len(set(seen)) == len(seen) == 6
    assert all(payload.startswith("(1080, 1920, 3) ") for payload in seen)
    assert "lost" not in run.out
