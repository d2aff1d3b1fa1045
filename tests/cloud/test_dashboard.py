"""The page of the local pipeline, with real models behind it, looked at in a real Chromium."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from saccade.deploy.demo import CloudDemo, Device, ready

from .conftest import LAMBDAS, crop, face, put, rows

CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudDemo]:
    """The whole pipeline, its camera being a folder that the test fills."""
    with CloudDemo(LAMBDAS, tmp_path_factory.mktemp("demo"), source=None) as demo:
        yield demo


def portrait(name: str) -> bytes:
    """One of the demo's two people, as the device cuts them."""
    from saccade.models.catalogue import pull

    (path,) = pull(name)
    picture = cv2.imread(str(path))
    assert picture is not None
    height, width = picture.shape[:2]
    left, top, right, bottom = {"demo-astronaut": (0.25, 0.05, 0.65, 0.42), "demo-hopper": (0.2, 0.1, 0.85, 0.65)}[name]
    cut = picture[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
    return cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def data(demo: CloudDemo) -> dict[str, Any]:
    assert demo.dashboard is not None
    with urllib.request.urlopen(demo.dashboard.url + "data.json") as answer:
        return dict(json.loads(answer.read()))


def wait_for(demo: CloudDemo, faces: int) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while True:
        found = data(demo)
        if found["counts"]["faces"] >= faces and any(found["emotions"].values()):
            return found
        assert time.monotonic() < deadline, found["counts"]
        time.sleep(0.1)


def test_crops_of_a_device_become_faces_lines_and_pictures(demo: CloudDemo, tmp_path: Path) -> None:
    device = Device(demo.aws, tmp_path, None)
    try:
        for number in range(3):
            for name in ("demo-astronaut", "demo-hopper"):
                (tmp_path / f"{number}_{name}.jpg").write_bytes(portrait(name))
        (tmp_path / "half.jpg").write_bytes(portrait("demo-hopper")[:20])
        found = wait_for(demo, 6)
    finally:
        device.close()
    assert device.sent == 6
    assert found["counts"]["faces"] == found["counts"]["pictures"] == 6
    assert found["counts"]["waiting"] == found["counts"]["dead"] == 0
    assert "estimate" in found["source"] or "network" in found["source"]
    assert {shot["emotion"] for shot in found["crops"]} == {"HAPPY", "CALM"}
    assert found["emotions"]["HAPPY"]
    with urllib.request.urlopen(found["crops"][0]["url"]) as picture:
        assert picture.read(3) == b"\xff\xd8\xff"
    assert demo.summary(1.0)["faces"] == 6


def test_the_device_pipeline_feeds_it_from_the_demo_stream(demo: CloudDemo, tmp_path: Path) -> None:
    before = data(demo)["counts"]["faces"]
    device = Device(demo.aws, tmp_path, ["--source", "demo:", "--interval", "0.5"])
    try:
        wait_for(demo, before + 4)
        assert device.running
    finally:
        device.close()
    assert not device.failed
    demo.aws.drain()
    found = wait_for(demo, before + device.sent)
    assert found["counts"]["faces"] == before + device.sent
    keys = [shot["face"] for shot in found["crops"]]
    assert all(re.match(r"faces/\d+_\d+/\d+_\d+/\d+_\d+\.jpg#", key) for key in keys[:4])


def wait(page: Any, condition: str) -> None:
    """Until a JavaScript expression is true; the page's own policy forbids Playwright's way of waiting."""
    deadline = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


@pytest.mark.browser
def test_the_page_in_a_browser(demo: CloudDemo) -> None:
    from playwright.sync_api import sync_playwright

    assert demo.dashboard is not None
    put(demo.aws, "faces/first.jpg", portrait("demo-astronaut"))
    before = wait_for(demo, 1)["counts"]["faces"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM if Path(CHROMIUM).exists() else None)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: problems.append(line.text) if line.type in ("error", "warning") else None)
        page.goto(demo.dashboard.url)
        page.wait_for_selector("#state[data-state=live]")
        assert page.locator("#legend li").count() == 8
        page.wait_for_selector("polyline[data-emotion=HAPPY]", state="attached")
        line = page.get_attribute("polyline[data-emotion=HAPPY]", "points")
        put(demo.aws, "faces/<img src=x onerror=alert(1)>.jpg", portrait("demo-hopper"))  # a name is only text
        wait(page, "[...document.querySelectorAll('.crops figure')].some(crop => crop.dataset.face.includes('<img'))")
        wait(page, f"document.querySelector('polyline[data-emotion=HAPPY]').getAttribute('points') !== '{line}'")
        wait(page, "[...document.querySelectorAll('.crops img')].every(image => image.complete && image.naturalWidth)")
        assert int(page.inner_text("#faces")) > before
        assert demo.analyst.emotion_source in page.inner_text("#source")
        if target := os.environ.get("SACCADE_SCREENSHOT"):
            page.screenshot(path=target)
        browser.close()
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


@pytest.mark.parametrize("size", [(40, 30), (79, 300), (80, 80), (200, 100)])
def test_crops_too_small_for_rekognition_are_enlarged(size: tuple[int, int]) -> None:
    jpeg = crop(size=size)
    data = ready(jpeg)
    assert data is not None
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    height, width = picture.shape[:2]
    assert min(height, width) >= 80
    assert width / height == pytest.approx(size[0] / size[1], rel=0.03)
    assert (data is jpeg) == (min(size) >= 80)
    assert ready(b"") is None
