"""What a camera says through a real broker: results, the life of its objects, whether it is there, Home Assistant."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import local_broker
import local_s3
from conditions import PATIENCE, wait_for
from local_broker import Mosquitto, Subscriber
from saccade.cli import main
from saccade.config import RunConfig
from saccade.errors import ConfigError
from saccade.outputs.opening import Outputs
from saccade.outputs.publish.bodies import FrigateBodies, frame_body
from saccade.outputs.publish.camera import CameraMessages
from saccade.outputs.publish.forgetting import retained_topics
from saccade.outputs.publish.home_assistant import identity
from saccade.outputs.publish.mqtt import MqttPublisher
from saccade.outputs.publish.topics import CameraTopics, topic_level
from saccade.results import Detections, LifeEvent, Result, Sighting
from saccade.tracking import Tracker

ROOT = Path(__file__).resolve().parents[2]
needs_broker = pytest.mark.skipif(local_broker.MOSQUITTO is None, reason="mosquitto is not installed")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


def kept(broker: Mosquitto) -> dict[str, bytes]:
    """What somebody is told who comes late; a last word of its own says when all of it is there."""
    with Subscriber(broker, client_id=f"late-{time.monotonic_ns()}") as reader:
        with MqttPublisher("127.0.0.1", broker.port, topic="mark") as publisher:
            publisher.publish("now")
            wait_for(lambda: any(topic == "mark" for topic, _ in reader.messages))
        return {topic: payload for topic, payload in reader.messages if topic != "mark"}


def scene(seen: int = 20) -> Iterator[Result]:
    """A person walks through the picture for `seen` frames of 0.1 s, and is gone until nobody waits any more."""
    tracker = Tracker()
    for number in range(seen + 25):
        there = int(number < seen)
        boxes = np.array([[10.0 + number, 20, 60 + number, 120]] * there, np.float32).reshape(-1, 4)
        found = Detections(boxes, np.array([0.9] * there, np.float32), np.zeros(there, np.int32), names=("per/son",))
        result = Result(frame=number, time=1.7e9 + number / 10, app="detect", width=640, height=480, detections=found)
        yield tracker.follow(result)


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(demo: Path) -> Iterator[Start]:
    """Starts processes whose broker is to notice what becomes of them; none outlives its test."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SACCADE_", "AWS_"))}
    inherited |= {"PYTHONPATH": str(ROOT / "engine"), "SACCADE_CACHE": str(demo)}
    processes: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [sys.executable, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                env=inherited | environment,
            )
        )  # fmt: skip
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


def end(process: subprocess.Popen[str]) -> None:
    """Wait for the end of a process that has nothing to complain of."""
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said


@needs_broker
def test_a_run_tells_brokers_files_and_home_assistant(broker: Mosquitto, tmp_path: Path, start: Start) -> None:
    with Subscriber(broker) as reader:
        process = start(
            "-m", "saccade", "run", "faces", "--source", "demo:", "--every-frame", "--frames", "60",
            "--name", "door", "--out", str(tmp_path / "crops"), "--publish", f"mqtt://127.0.0.1:{broker.port}",
            "--publish", f"jsonl:{tmp_path / 'lines'}", "--home-assistant", "--mqtt-pictures", "0.5", "--summary",
            str(tmp_path / "summary"),
        )  # fmt: skip
        end(process)
        came = list(reader.messages)
    frames = [json.loads(body) for topic, body in came if topic == "saccade/door/results"]
    assert [frame["frame"] for frame in frames] == list(range(60))
    assert {(f["camera"], f["width"], f["height"]) for f in frames} == {("door", 1920, 1080)}
    assert all("track" in found for frame in frames for found in frame["detections"])
    life = [json.loads(body) for topic, body in came if topic == "saccade/door/objects"]
    tracks = {event["track"] for event in life}
    for track in tracks:
        kinds = [event["type"] for event in life if event["track"] == track]
        assert (kinds[0], kinds[-1]) == ("new", "end")
        assert set(kinds[1:-1]) <= {"update"}
    crops = [event["crop"] for event in life if event["type"] == "end"]
    assert crops
    assert all(Path(crop).read_bytes()[:2] == b"\xff\xd8" for crop in crops)
    states = [body for topic, body in came if topic == "saccade/door/availability"]
    assert states == [b"online", b"offline"]
    assert [body for topic, body in came if topic == "saccade/door/state"][-2:] == [b"up", b"ended"]
    counts = [int(body) for topic, body in came if topic == "saccade/door/face"]
    assert max(counts) == len(tracks)
    assert counts[-1] == 0

    stays = kept(broker)
    assert set(stays) == {
        "homeassistant/device/saccade_door/config", "saccade/door/availability", "saccade/door/all",
        "saccade/door/face", "saccade/door/picture", "saccade/door/state",
    }  # fmt: skip
    picture = cv2.imdecode(np.frombuffer(stays["saccade/door/picture"], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (720, 1280, 3)
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    of_file = [json.loads(line["payload"]) for line in lines if line["topic"] == "saccade/door/results"]
    assert of_file == frames, "every publisher gets the same"
    summary = json.loads((tmp_path / "summary").read_text())
    assert summary["publish"]["dropped"] == summary["publish"]["refused"] == 0


@needs_broker
def test_the_broker_tells_of_a_killed_process_and_a_removed_camera_leaves_nothing(
    broker: Mosquitto, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    address = f"mqtt://127.0.0.1:{broker.port}"
    with Subscriber(broker) as reader:
        process = start(
            "-m", "saccade", "run", "faces", "--source", "demo:", "--name", "door", "--publish", address,
            "--home-assistant",
        )  # fmt: skip
        wait_for(lambda: any(topic == "saccade/door/results" for topic, _ in reader.messages))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        wait_for(lambda: ("saccade/door/availability", b"offline") in reader.messages)
    assert kept(broker)["saccade/door/availability"] == b"offline"

    outputs = Outputs(RunConfig(source="demo:", name="door", publish=(address,), home_assistant="homeassistant"))
    outputs.open("faces", wait=False, objects=True)
    outputs.watch(lambda: "up")
    for result in scene():
        outputs.by_name["publish"].accept(None, result)
    for output in outputs.by_name.values():
        output.close()
    outputs.forget()
    outputs.finish()
    assert set(kept(broker)) <= {"saccade/door/face"}, "of the process that was killed"
    other = "saccade/doorbell/state"
    with MqttPublisher("127.0.0.1", broker.port, topic="x") as publisher:
        for topic in ("saccade/door/dog", "homeassistant/device/saccade_door/config", other):
            publisher.publish("1", topic, retain=True)
    assert main(["cameras", "forget", "door", "--publish", address]) == 0
    assert set(kept(broker)) == {other}
    assert main(["cameras", "forget", "door", "--publish", f"mqtt://127.0.0.1:{local_s3.free_port()}"]) == 2
    assert main(["cameras", "forget", "d#", "--publish", address]) == 2


def test_a_camera_that_gave_a_result_was_up_however_short_the_run() -> None:
    class Said:
        name, keeps_state = "said", True

        def __init__(self) -> None:
            self.states: list[str] = []

        def publish(self, body: str | bytes, topic: str = "", *, retain: bool = False) -> None:
            if topic == "saccade/door/state":
                self.states.append(str(body))

    for before, after in (([], ["up"]), (["connecting"], ["connecting", "up"]), (["lost"], ["lost"])):
        said = Said()
        messages = CameraMessages(said, CameraTopics("saccade", "door"), body=frame_body, objects=False)  # type: ignore[arg-type]
        for state in before:
            messages.tell_state(state)
        for result in scene(2):
            messages.accept(None, result)  # type: ignore[arg-type]
        messages.tell_state("ended")
        assert said.states == [*after, "ended"]


@needs_broker
def test_two_functions_of_one_thing_do_not_evict_each_other(broker: Mosquitto, tmp_path: Path, start: Start) -> None:
    address = f"mqtt://127.0.0.1:{broker.port}"
    with Subscriber(broker) as reader:
        processes = [
            start(
                str(ROOT / "lambdas" / "faces_to_s3" / "app.py"), SACCADE_SOURCE="demo:",
                SACCADE_PUBLISH=address, AWS_IOT_THING_NAME="cam", SACCADE_SUMMARY=str(tmp_path / f"summary{number}"),
            )
            for number in range(2)
        ]  # fmt: skip
        wait_for(lambda: sum(b'"detections"' in body for _, body in reader.messages) > 15)
        wait_for(lambda: [body for _, body in reader.messages].count(b"Model loaded") == 2)
        for process in processes:
            process.send_signal(signal.SIGTERM)
            end(process)
        bodies = [body for topic, body in reader.messages if topic == "saccade/cam/infer"]
    for number in range(2):
        counts = json.loads((tmp_path / f"summary{number}").read_text())["publish"]
        assert counts["connects"] == 1
        assert counts["delivered"] > 3
    assert bodies.count(b"Loading model") == bodies.count(b"Model loaded") == 2
    frame = next(json.loads(body) for body in bodies if b'"face"' in body)
    assert {"face", "detections", "camera", "time", "width", "height"} <= set(frame)
    assert frame["camera"] == "cam-faces"


@needs_broker
def test_ends_carry_the_key_of_the_spooled_crop(broker: Mosquitto, tmp_path: Path, start: Start) -> None:
    with local_s3.moto_server() as url, Subscriber(broker, "saccade/+/objects") as reader:
        s3 = local_s3.client(url)
        bucket = local_s3.versioned_bucket(s3, "crops-of-runs")
        process = start(
            "-m", "saccade", "run", "faces", "--source", "demo:", "--every-frame", "--frames", "45",
            "--bucket", bucket, "--spool", str(tmp_path / "spool"), "--publish", f"mqtt://127.0.0.1:{broker.port}",
            AWS_ENDPOINT_URL=url, **local_s3.CREDENTIALS,
        )  # fmt: skip
        end(process)
        wait_for(lambda: any(b'"end"' in body for _, body in reader.messages))
        keys = {json.loads(body)["crop"] for _, body in reader.messages if b'"type":"end"' in body}
        assert keys
        assert keys <= set(local_s3.versions(s3, bucket))
        s3.close()


@needs_broker
def test_an_outage_keeps_the_life_of_objects_and_the_newest_state(broker: Mosquitto) -> None:
    address = f"mqtt://127.0.0.1:{broker.port}"
    with Subscriber(broker) as reader:
        outputs = Outputs(RunConfig(source="demo:", name="yard", publish=(address,), every=1000.0))
        outputs.open("detect", wait=False, objects=True)
        messages = outputs.by_name["publish"]
        wait_for(lambda: ("saccade/yard/availability", b"online") in reader.messages)
        broker.stop()
        for _ in range(3):
            for result in scene():
                messages.accept(None, result)
        waiting = messages.statistics()
        assert waiting.pending > 6
        broker.start()
        outputs.by_name["publish"].close()
        wait_for(lambda: messages.statistics().pending == 0)
        outputs.finish()
        wait_for(lambda: sum(b'"type":"end"' in body for _, body in reader.messages) >= 3)
    kinds = [json.loads(body)["type"] for topic, body in reader.messages if topic == "saccade/yard/objects"]
    assert kinds.count("new") >= 3
    assert kinds.count("end") >= 3
    assert kept(broker)["saccade/yard/per_son"] == b"0"


@needs_broker
def test_a_broker_that_has_lost_what_stays_is_told_again(broker: Mosquitto) -> None:
    address = f"mqtt://127.0.0.1:{broker.port}"
    outputs = Outputs(RunConfig(source="demo:", name="yard", publish=(address,), home_assistant="homeassistant"))
    outputs.open("detect", wait=False, objects=True)
    messages = outputs.by_name["publish"]
    messages.tell_state("up")
    for result in itertools.islice(scene(), 10):
        messages.accept(None, result)
    wait_for(lambda: messages.statistics().pending == 0)
    before = kept(broker)
    assert before["saccade/yard/state"] == b"up"
    assert before["saccade/yard/per_son"] == b"1"
    broker.stop()
    (broker.folder / "mosquitto.db").unlink()
    broker.start()
    wait_for(lambda: messages.statistics().connects == 2)
    wait_for(lambda: messages.statistics().pending == 0)
    assert kept(broker) == before
    for output in outputs.by_name.values():
        output.close()
    outputs.finish()
    figures = messages.statistics()
    assert (figures.accepted, figures.dropped) == (figures.delivered + figures.replaced, 0)


def test_frigate_events_have_the_fields_that_its_consumers_read(tmp_path: Path) -> None:
    target = tmp_path / "lines"
    outputs = Outputs(RunConfig(source="demo:", name="door", publish=(f"jsonl:{target}",), mqtt_schema="frigate"))
    outputs.open("detect", wait=False, objects=True)
    for result in scene():
        outputs.by_name["publish"].accept(None, result)
    outputs.by_name["publish"].close()
    outputs.finish()
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    events = [json.loads(line["payload"]) for line in lines if line["topic"] == "frigate/events"]
    assert [event["type"] for event in (events[0], events[-1])] == ["new", "end"]
    for event in events:
        after = event["after"]
        assert {
            "id", "camera", "frame_time", "label", "top_score", "box", "area", "region", "stationary", "start_time",
            "end_time", "false_positive", "has_snapshot", "has_clip", "current_zones", "entered_zones",
        } <= set(after)  # fmt: skip
        assert set(event["before"]) == set(after)
        x1, y1, x2, y2 = after["box"]
        assert after["area"] == (x2 - x1) * (y2 - y1)
        assert after["camera"] == "door"
    assert len({event["after"]["id"] for event in events}) == 1
    assert [event["before"] for event in events[1:]] == [event["after"] for event in events[:-1]]
    assert events[-1]["after"]["end_time"] == pytest.approx(1.7e9 + 1.9)
    assert events[0]["after"]["end_time"] is None


def test_boxes_at_the_edge_and_classes_with_any_name_make_messages() -> None:
    seen = Sighting(1.7e9, 0.5, (-3.4, 0.0, 2.0, 0.0))
    event = LifeEvent("new", 1, 0, "a/b+c", 1.7e9, 1.7e9, None, seen, seen, False)
    result = Result(frame=0, time=1.7e9, app="detect", width=4, height=4)
    assert FrigateBodies("x").body(event, result)["after"]["ratio"] == 0.0
    ended = FrigateBodies("x").body(replace(event, kind="end", end=1.7e9), result)
    assert ended["before"] == ended["after"], "of an object that nobody was told of"
    topics = CameraTopics("saccade", "x")
    assert topic_level("a/b+c") == "a_b_c"
    counts = {topics.count(name) for name in ("picture", "results", "state", "person")}
    assert len(counts | {topics.picture, topics.results, topics.state}) == 7
    assert identity("a.b") != identity("a_b") != identity("a-b")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mqtt_prefix": "a/#"}, "wildcard"),
        ({"home_assistant": "+"}, "wildcard"),
        ({"publish": ("ftp://x",)}, "expected mqtt://HOST"),
        ({"publish": ("mqtt://127.0.0.1", "mqtts://x?ca=/nowhere")}, "no such file"),
    ],
)
def test_what_cannot_be_published_to_is_said_before_the_run(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Outputs(RunConfig(source="demo:", **options))


def test_a_camera_that_is_called_like_another_ones_app_is_not_forgotten_with_it() -> None:
    topics = retained_topics("", "door", frigate=False, home="", beside={"door-faces"})
    assert any("door-detect" in topic for topic in topics)
    assert not any("door-faces" in topic for topic in topics)
