"""The page of the local pipeline, with real models behind it, looked at in a real Chromium."""

from __future__ import annotations

import json
import os
import re
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.core.models import DEFAULT_ACCOUNT_ID

from browsing import MARKS, open_browser, until
from conditions import PATIENCE, wait_for
from saccade.deploy.demo import CloudDemo, EdgeProcess
from saccade.networks.catalogue import pull

from .conftest import LAMBDAS, crop, face, put, rows


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudDemo]:
    """The whole pipeline, its camera being a folder that the test fills."""
    with CloudDemo(LAMBDAS, tmp_path_factory.mktemp("demo"), sources=()) as demo:
        yield demo


def portrait(name: str) -> bytes:
    """One of the demo's two people, as the device cuts them."""
    (path,) = pull(name)
    picture = cv2.imread(str(path))
    assert picture is not None
    height, width = picture.shape[:2]
    left, top, right, bottom = {"demo-astronaut": (0.25, 0.05, 0.65, 0.42), "demo-hopper": (0.2, 0.1, 0.85, 0.65)}[name]
    cut = picture[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
    return cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def data(demo: CloudDemo) -> dict[str, Any]:
    assert demo.dashboard is not None
    with urllib.request.urlopen(demo.dashboard.url + "data.json", timeout=PATIENCE) as answer:
        return dict(json.loads(answer.read()))


def data_of(demo: CloudDemo, faces: int) -> dict[str, Any]:
    """Once there are so many faces."""
    found: dict[str, Any] = {}

    def is_there() -> bool:
        found.update(data(demo))
        return found["counts"]["faces"] >= faces and any(found["emotions"].values())

    wait_for(is_there, pause=0.1)
    return found


def test_crops_become_faces_lines_and_pictures(demo: CloudDemo) -> None:
    for number in range(3):
        for name in ("demo-astronaut", "demo-hopper"):
            put(demo.aws, f"faces/door/{number}_{name}.jpg", portrait(name))
    found = data_of(demo, 6)
    assert found["counts"]["faces"] == found["counts"]["pictures"] == 6
    assert found["counts"]["waiting"] == found["counts"]["dead"] == 0
    assert "estimate" in found["source"] or "network" in found["source"]
    assert {shot["emotion"] for shot in found["crops"]} == {"HAPPY", "CALM"}
    assert found["emotions"]["HAPPY"]
    with urllib.request.urlopen(found["crops"][0]["url"]) as picture:
        assert picture.read(3) == b"\xff\xd8\xff"
    assert demo.summary(1.0)["faces"] == 6


def test_two_cameras_of_one_stack_spool_send_and_are_counted_apart(demo: CloudDemo, tmp_path: Path) -> None:
    before = data(demo)["counts"]["faces"]
    device = demo.device = EdgeProcess(demo.aws, tmp_path, {"left": "demo:", "right": "demo:"}, 2.0)
    try:
        data_of(demo, before + 2)
        assert device.running
    finally:
        device.close()
    assert device.failed == ()
    assert demo.aws.settle(240) == 0
    summary = demo.summary(1.0)
    demo.device = None
    cameras = [summary["cameras"][name] for name in ("left", "right")]
    for camera in cameras:
        assert camera["left"] == 0
        assert camera["spooled"] == camera["in_bucket"] > 0
    assert summary["messages_left"] == 0
    found = data_of(demo, before + sum(camera["in_bucket"] for camera in cameras))
    keys = [shot["face"] for shot in found["crops"]]
    assert all(re.match(r"faces/(left|right)/\d+_\d+/\d+_\d+/\d+_\d{12}\.jpg#", key) for key in keys[:4])


def test_a_photo_is_zipped_by_the_function_in_its_own_runtime(
    demo: CloudDemo, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    proxied: list[str],
) -> None:  # fmt: skip
    from saccade.cli import main

    calls: list[tuple[str, dict[str, Any]]] = []
    ask = BaseClient._make_api_call  # type: ignore[attr-defined]

    def noting(client: BaseClient, operation: str, request: dict[str, Any]) -> Any:
        calls.append((operation, request))
        return ask(client, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", noting)
    (photo,) = pull("demo-astronaut")
    arguments = ["cloud", "zip", str(photo), "--endpoint", demo.aws.endpoint]
    assert main([*arguments, "--out", str(tmp_path / "faces.zip")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {key: answer[key] for key in ("status", "categories", "numCategories", "numFaces")} == {
        "status": 200, "categories": ["HAPPY"], "numCategories": 1, "numFaces": 1,
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "faces.zip") as archive:
        assert archive.namelist() == ["HAPPY/cropped_1.png"]
    assert proxied == []
    owners = {operation: request.get("ExpectedBucketOwner") for operation, request in calls if "Object" in operation}
    assert owners == {"PutObject": DEFAULT_ACCOUNT_ID, "GetObject": DEFAULT_ACCOUNT_ID}
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    assert main(["cloud", "zip", str(text), "--endpoint", demo.aws.endpoint]) == 2
    assert "expected a JPEG or PNG" in capsys.readouterr().err
    text.write_bytes(b"\xff\xd8\xff no picture")
    assert main(["cloud", "zip", str(text), "--endpoint", demo.aws.endpoint]) == 2
    assert "422" in capsys.readouterr().err
    with pytest.raises(ClientError, match="InvalidRequestContent"):
        demo.aws.client("lambda").invoke(FunctionName=demo.aws.outputs["FacesZipName"], Payload=b"[")


@MARKS[0]
@MARKS[1]
def test_the_page_in_a_browser(demo: CloudDemo) -> None:
    assert demo.dashboard is not None
    put(demo.aws, "faces/first.jpg", portrait("demo-astronaut"))
    before = data_of(demo, 1)["counts"]["faces"]
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE * 1000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type in ("error", "warning") else None)
        page.goto(demo.dashboard.url)
        page.wait_for_selector("#state[data-state=live]")
        assert page.locator("#legend li").count() == 8
        page.wait_for_selector("polyline[data-emotion=HAPPY]", state="attached")
        line = page.get_attribute("polyline[data-emotion=HAPPY]", "points")
        put(demo.aws, "faces/<img src=x onerror=alert(1)>.jpg", portrait("demo-hopper"))  # a name is only text
        until(page, "[...document.querySelectorAll('.crops figure')].some(crop => crop.dataset.face.includes('<img'))")
        until(page, f"document.querySelector('polyline[data-emotion=HAPPY]').getAttribute('points') !== '{line}'")
        until(page, "[...document.querySelectorAll('.crops img')].every(image => image.complete && image.naturalWidth)")
        assert int(page.inner_text("#faces")) > before
        assert demo.analyst.emotion_source in page.inner_text("#source")
        if target := os.environ.get("SACCADE_SCREENSHOT"):
            page.screenshot(path=target)
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": 390, "height": 844})
            until(page, "document.querySelector('#graph').getAttribute('viewBox').startsWith('0 0 3')")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert page.evaluate("document.documentElement.scrollHeight") < 1900
            assert page.evaluate("document.querySelector('.crops figure').clientWidth") > 90
            if target:
                page.screenshot(path=f"{target}-390-{scheme}.png", full_page=True)
    assert problems == []


def test_the_page_trusts_nothing_else(demo: CloudDemo) -> None:
    assert demo.dashboard is not None
    with urllib.request.urlopen(demo.dashboard.url) as page:
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    foreign = urllib.request.Request(demo.dashboard.url + "data.json", headers={"Host": "example.org"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(foreign)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(demo.dashboard.url + "../../etc/passwd")


def test_a_picture_without_a_face_and_one_that_is_too_small(demo: CloudDemo) -> None:
    rekognition = demo.aws.session.client("rekognition", endpoint_url=demo.aws.endpoint)
    assert rekognition.detect_faces(Image={"Bytes": crop(face({"HAPPY": 90.0}))})["FaceDetails"] == []
    with pytest.raises(rekognition.exceptions.InvalidParameterException, match="sides need 80 px"):
        rekognition.detect_faces(Image={"Bytes": crop(size=(60, 200))})
    with pytest.raises(rekognition.exceptions.InvalidImageFormatException):
        rekognition.detect_faces(Image={"Bytes": b"\xff\xd8\xff and then nothing"})
    assert rows(demo.aws) is not None


def test_the_answer_has_rekognition_s_shape(demo: CloudDemo) -> None:
    rekognition = demo.aws.session.client("rekognition", endpoint_url=demo.aws.endpoint)
    picture = portrait("demo-astronaut")
    (detail,) = rekognition.detect_faces(Image={"Bytes": picture}, Attributes=["ALL"])["FaceDetails"]
    assert detail["Confidence"] > 97
    box = detail["BoundingBox"]
    assert 0.3 < box["Width"] < 0.8
    places = {mark["Type"]: (mark["X"], mark["Y"]) for mark in detail["Landmarks"]}
    assert places["eyeLeft"][0] < places["nose"][0] < places["eyeRight"][0]
    assert places["eyeLeft"][1] < places["nose"][1] < places["mouthLeft"][1]
    assert all(box["Left"] < x < box["Left"] + box["Width"] for x, _ in places.values())
    assert abs(detail["Pose"]["Yaw"]) < 20
    assert 0 < detail["Quality"]["Brightness"] < 100
    assert detail["Emotions"][0]["Type"] == "HAPPY"
    assert sum(emotion["Confidence"] for emotion in detail["Emotions"]) == pytest.approx(100, abs=0.01)
    plain = rekognition.detect_faces(Image={"Bytes": picture})["FaceDetails"][0]
    assert set(plain) == {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
