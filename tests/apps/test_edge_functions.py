"""The edge functions as they are deployed: by hand, as a component, as a service; their recipes, policies and units."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml

import local_s3
from conditions import PATIENCE, wait_for
from local_broker import Nucleus
from saccade.capture import jpeg
from saccade.capture.source import Picture, Source
from saccade.config import check_variables
from saccade.errors import SourceError
from saccade.outputs.publish.bodies import DIRECTION_FIELDS
from saccade.outputs.upload import crop_key
from saccade.service import edge
from small_networks import classifier_network

LAMBDAS = Path(__file__).resolve().parents[2] / "lambdas"
FUNCTIONS = {"head_pose": "head-pose", "classify": "classify", "faces_to_s3": "faces"}
FRAME_FIELDS = {"camera", "frame", "time", "width", "height"}
KEY = re.compile(r"faces/\d{1,2}_\d{1,2}/\d{1,2}_\d{1,2}/\d{10}_\d{12}\.jpg")

LIFECYCLE = {
    "type": "object",
    "propertyNames": {"enum": ["setenv", "bootstrap", "install", "startup", "run", "shutdown", "recover"]},
    "additionalProperties": {
        "type": "object",
        "required": ["script"],
        "properties": {
            "script": {"type": "string"}, "timeout": {"type": ["integer", "string"]},
            "requiresprivilege": {"type": ["boolean", "string"]},
            "setenv": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        },
        "additionalProperties": False,
    },
}  # fmt: skip
# What the recipe format of 2020-01-25 asks for, with keys in lower case, as Greengrass reads them.
RECIPE = {
    "type": "object",
    "required": ["recipeformatversion", "componentname", "componentversion", "manifests"],
    "additionalProperties": False,
    "properties": {
        "recipeformatversion": {"const": "2020-01-25"},
        "componentname": {"type": "string", "pattern": "^[a-zA-Z0-9_.-]+$", "maxLength": 128},
        "componentversion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+", "maxLength": 64},
        "componenttype": {"enum": ["aws.greengrass.generic"]},
        "componentdescription": {"type": "string"},
        "componentpublisher": {"type": "string"},
        "componentconfiguration": {
            "type": "object", "required": ["defaultconfiguration"], "additionalProperties": False,
            "properties": {"defaultconfiguration": {"type": "object"}},
        },
        "componentdependencies": {
            "type": "object",
            "additionalProperties": {
                "type": "object", "required": ["versionrequirement"],
                "properties": {"versionrequirement": {"type": "string"}, "dependencytype": {"enum": ["HARD", "SOFT"]}},
            },
        },
        "manifests": {
            "type": "array", "minItems": 1,
            "items": {
                "type": "object", "required": ["lifecycle"], "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"}, "platform": {"type": "object", "required": ["os"]},
                    "lifecycle": LIFECYCLE,
                    "artifacts": {
                        "type": "array",
                        "items": {
                            "type": "object", "required": ["uri"], "additionalProperties": False,
                            "properties": {
                                "uri": {"type": "string", "pattern": "^s3://[A-Za-z_.-]+/"},
                                "unarchive": {"enum": ["NONE", "ZIP"]}, "permission": {"type": "object"},
                            },
                        },
                    },
                },
            },
        },
    },
}  # fmt: skip


def lowered(value: Any) -> Any:
    """Keys in lower case, as Greengrass compares them."""
    if isinstance(value, dict):
        return {str(key).lower(): lowered(item) for key, item in value.items()}
    return [lowered(item) for item in value] if isinstance(value, list) else value


def run(function: str, *, frames: int = 40, status: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SACCADE_", "AWS_"))}
    environment |= local_s3.CREDENTIALS
    environment |= {"SACCADE_SOURCE": "demo:", "SACCADE_FRAMES": str(frames)} | settings
    if "SACCADE_CACHE" in os.environ:
        environment["SACCADE_CACHE"] = os.environ["SACCADE_CACHE"]
    done = subprocess.run(
        [sys.executable, "-u", str(LAMBDAS / function / "app.py")],
        capture_output=True, text=True, timeout=PATIENCE, env=environment,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def messages(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Running


def test_faces_reach_s3(tmp_path: Path, s3_server: str) -> None:
    s3 = local_s3.client(s3_server)
    bucket = local_s3.versioned_bucket(s3, "edge-faces")
    run(
        "faces_to_s3", AWS_ENDPOINT_URL=s3_server, SACCADE_BUCKET=bucket, SACCADE_SPOOL=str(tmp_path / "spool"),
        SACCADE_PUBLISH=str(tmp_path / "events"), SACCADE_INTERVAL="0.5", SACCADE_SUMMARY=str(tmp_path / "summary"),
    )  # fmt: skip
    stored = local_s3.versions(s3, bucket)
    summary = json.loads((tmp_path / "summary").read_text())
    assert len(stored) == len(set(stored)) == summary["crops"]["written"] >= 2
    assert all(KEY.fullmatch(key) for key in stored)
    assert summary["spool"]["pending"] == 0
    assert s3.get_object(Bucket=bucket, Key=stored[0])["Body"].read(2) == b"\xff\xd8"
    sent = messages(tmp_path / "events")
    assert [m["payload"] for m in sent[:2]] == ["Loading model", "Model loaded"]
    assert {m["topic"] for m in sent} == {"saccade/deeplens/infer"}
    bodies = [json.loads(m["payload"]) for m in sent[2:]]
    assert len(bodies) == 40
    assert any(body.get("face", 0) > 0.5 and body["detections"][0]["xmin"] > 0 for body in bodies)
    s3.close()


def test_faces_stay_in_the_spool_without_a_network(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{local_s3.free_port()}"
    run("faces_to_s3", AWS_ENDPOINT_URL=dead, SACCADE_BUCKET="some-bucket", SACCADE_SPOOL=str(tmp_path / "spool"),
        SACCADE_SUMMARY=str(tmp_path / "summary"))  # fmt: skip
    summary = json.loads((tmp_path / "summary").read_text())
    assert summary["spool"]["pending"] == summary["crops"]["written"] >= 1
    assert "EndpointConnectionError" in summary["uploads"]["problem"]
    assert summary["frames"] == 40


def test_head_pose_as_a_component(tmp_path: Path) -> None:
    with Nucleus(tmp_path / "ipc", allowed="saccade/") as nucleus:
        run(
            "head_pose", SACCADE_PUBLISH="greengrass:", AWS_IOT_THING_NAME="cam",
            AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT=str(nucleus.path), SVCUID="token",
        )  # fmt: skip
        bodies = [json.loads(body) for _, body, _ in nucleus.messages if body.startswith(b"{")]
    assert {topic for topic, _, _ in nucleus.messages} == {"saccade/cam/infer"}
    poses = [body for body in bodies if body]
    assert poses
    directions = [{name: value for name, value in body.items() if name in DIRECTION_FIELDS} for body in poses]
    faces = [body for body in directions if body]
    assert faces
    assert all(len(body) == len(DIRECTION_FIELDS) for body in faces)
    assert all(list(body.values()) == sorted(body.values(), reverse=True) for body in faces)
    assert all(set(body) - set(DIRECTION_FIELDS) - {"detections"} == FRAME_FIELDS for body in poses)
    assert poses[0]["camera"] == "cam-head-pose"


class TornOff(Source):
    """Twenty pictures, and then the cable goes for good."""

    def __init__(self) -> None:
        super().__init__("camera")
        self._picture, self._left = jpeg.encode(np.zeros((96, 128, 3), np.uint8)), 20

    def open(self) -> None:
        self._left = 20

    def read(self) -> Picture:
        if not self._left:
            raise SourceError("camera: torn off")
        self._left -= 1
        return Picture(time=0.0, captured=time.monotonic(), size=len(self._picture), jpeg=self._picture)

    def close(self) -> None:
        pass


@pytest.mark.usefixtures("own_signals")
def test_a_camera_that_fails_in_mid_run_is_told_to_the_broker_before_the_unit_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.capture.open_source", lambda *_, **__: TornOff())
    with Nucleus(tmp_path / "ipc", allowed="saccade/") as nucleus:
        monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", str(nucleus.path))
        monkeypatch.setenv("SVCUID", "token")
        assert edge.main("head-pose", {"SACCADE_SOURCE": "camera", "SACCADE_PUBLISH": "greengrass:"}) == 1
        sent = [body.decode() for _, body, _ in nucleus.messages]
    assert sent[:2] == ["Loading model", "Model loaded"]
    frames = [json.loads(text) for text in sent[2:-1]]
    assert all(set(body) == {"detections"} | FRAME_FIELDS and body["width"] == 128 for body in frames)
    assert len(sent) >= 20
    assert sent[-1] == "Lambda has failure, error msg camera: torn off"


@pytest.mark.usefixtures("own_signals")
def test_a_function_whose_cameras_have_all_broken_off_fails_so_that_the_unit_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.capture.open_source", lambda *_, **__: TornOff())
    network, file, events = classifier_network(tmp_path / "net.xml"), tmp_path / "cameras.toml", tmp_path / "events"
    file.write_text(
        f'[defaults]\nmodel = "{network}"\ndevice = "CPU"\npublish = ["jsonl:{events}"]\nwait = false\n'
        '[[camera]]\nname = "door"\nsource = "camera"\n'
    )
    assert edge.main("classify", {"SACCADE_CONFIG": str(file)}) == 1
    assert messages(events)[-1]["payload"] == "Lambda has failure, error msg camera door: camera: torn off"


@pytest.mark.usefixtures("own_signals")
def test_what_nobody_has_thought_of_is_told_and_fails_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("saccade.service.session.open_session", broken)
    events = tmp_path / "events"
    assert edge.main("classify", {"SACCADE_SOURCE": "demo:", "SACCADE_PUBLISH": f"jsonl:{events}"}) == 1
    assert messages(events)[-1]["payload"] == "Lambda has failure, error msg RuntimeError: a fault"
    assert "classify: failed" in caplog.text


def test_the_best_classes_are_published_by_their_labels(tmp_path: Path) -> None:
    import openvino as ov
    from openvino import opset13 as ops

    data = ops.parameter([1, 3, 32, 32], np.float32, name="data")
    out = ops.softmax(
        ops.matmul(ops.reduce_mean(data, np.array([2, 3])), np.eye(3, 2, dtype=np.float32), False, False), 1
    )
    ov.save_model(ov.Model([out], [data], "pets"), str(tmp_path / "pets.xml"))
    (tmp_path / "labels.txt").write_text("dog\ncat\n")
    run("classify", frames=5, SACCADE_MODEL=str(tmp_path / "pets.xml"), SACCADE_LABELS=str(tmp_path / "labels.txt"),
        SACCADE_PUBLISH=str(tmp_path / "events"), SACCADE_TOP="2")  # fmt: skip
    bodies = [json.loads(m["payload"]) for m in messages(tmp_path / "events")[2:]]
    assert [set(body) - FRAME_FIELDS for body in bodies] == [{"cat", "dog"}] * 5


def test_several_cameras_of_one_function_share_its_topic_and_say_which_they_are(tmp_path: Path, s3_server: str) -> None:
    s3 = local_s3.client(s3_server)
    bucket = local_s3.versioned_bucket(s3, "edge-several")
    file = tmp_path / "cameras.toml"
    file.write_text(
        '[defaults]\nprefix = "faces/{thing}/{camera}/"\ninterval = 0.5\n'
        '[[camera]]\nname = "door"\nsource = "demo:"\n[[camera]]\nname = "yard"\nsource = "demo:"\n'
        '[[camera]]\nname = "gone"\nsource = "/gone.avi"\n'
    )
    # As a component's recipe gives them: each variable is there, also those that say nothing.
    run(
        "faces_to_s3", frames=60, AWS_ENDPOINT_URL=s3_server, AWS_IOT_THING_NAME="cam", SACCADE_CONFIG=str(file),
        SACCADE_BUCKET=bucket, SACCADE_SPOOL=str(tmp_path / "spool"), SACCADE_PUBLISH=str(tmp_path / "events"),
        SACCADE_MODEL="", SACCADE_SUMMARY=str(tmp_path / "summary"), XDG_RUNTIME_DIR=str(tmp_path),
    )  # fmt: skip
    sent = messages(tmp_path / "events")
    assert {message["topic"] for message in sent} == {"saccade/cam/infer"}
    texts = [message["payload"] for message in sent if not message["payload"].startswith("{")]
    assert texts[0] == "Loading model"
    assert texts[1].startswith("Lambda has failure, error msg camera gone: source '/gone.avi': No such file")
    assert texts[2:] == ["Model loaded"]
    bodies = [json.loads(message["payload"]) for message in sent if message["payload"].startswith("{")]
    assert {body["camera"] for body in bodies} == {"door", "yard"}
    assert all(FRAME_FIELDS | {"detections"} <= set(body) <= FRAME_FIELDS | {"detections", "face"} for body in bodies)
    stored = local_s3.versions(s3, bucket)
    assert {key.rsplit("/", 3)[0] for key in stored} == {"faces/cam/door", "faces/cam/yard"}
    cameras = json.loads((tmp_path / "summary").read_text())["cameras"]
    assert {name: camera["state"] for name, camera in cameras.items()} == {
        "door": "ended", "yard": "ended", "gone": "failed"
    }  # fmt: skip
    assert len(bodies) == cameras["door"]["frames"] + cameras["yard"]["frames"] >= 60
    s3.close()


@pytest.mark.parametrize(
    ("settings", "status", "says"),
    [
        ({"SACCADE_SPOOL_BYTES": "lots"}, 2, "SACCADE_SPOOL_BYTES: spool_bytes: got 'lots'; expected a whole number"),
        ({"SACCADE_BUCKETS": "x"}, 2, "SACCADE_BUCKETS: there is no such setting; did you mean SACCADE_BUCKET?"),
        ({"SACCADE_SPOOL_FULL": "newest"}, 2, "SACCADE_SPOOL_FULL"),
        ({"SACCADE_EVERY": "-1"}, 2, "SACCADE_EVERY"),
        ({"SACCADE_FRAMES": "x"}, 2, "SACCADE_FRAMES"),
        ({"SACCADE_BUCKET": "no such name"}, 2, "not a bucket name"),
        ({"SACCADE_PUBLISH": "http://x"}, 2, "publisher 'http://x'"),
        ({"SACCADE_PUBLISH": "-", "SACCADE_TOPIC": "$aws/things/x/infer"}, 0, ""),
        ({"SACCADE_PUBLISH": "mqtt://127.0.0.1", "SACCADE_TOPIC": "$aws/things/x/infer"}, 2, "is reserved"),
        ({"SACCADE_SOURCE": "/nowhere.mp4"}, 1, "/nowhere.mp4"),
        ({"SACCADE_SPOOL": "/dev/null/x"}, 1, "cannot be used"),
        ({"SACCADE_SUMMARY": "/nowhere/s"}, 1, "faces: summary /nowhere/s: cannot be written (No such file"),
    ],
)
@pytest.mark.usefixtures("own_signals")
def test_a_bad_setting_is_named_and_ends_the_run(
    tmp_path: Path, settings: dict[str, str], status: int, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    usual = {"SACCADE_SOURCE": "demo:", "SACCADE_FRAMES": "3", "SACCADE_SPOOL": str(tmp_path / "spool")}
    assert edge.main("faces", usual | settings) == status
    assert says in caplog.text


def test_a_bad_setting_is_all_that_a_function_says(tmp_path: Path) -> None:
    done = run("faces_to_s3", status=2, SACCADE_SPOOL=str(tmp_path / "spool"), SACCADE_BUCKETS="x")
    (line,) = done.stderr.splitlines()
    assert "SACCADE_BUCKETS: there is no such setting; did you mean SACCADE_BUCKET?" in line


def test_stops_when_told(tmp_path: Path) -> None:
    environment = os.environ | {"SACCADE_SOURCE": "demo:", "SACCADE_PUBLISH": str(tmp_path / "events"),
                                "SACCADE_SPOOL": str(tmp_path / "spool")}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(LAMBDAS / "faces_to_s3" / "app.py")], stderr=subprocess.PIPE, text=True, env=environment
    )
    events = tmp_path / "events"
    wait_for(lambda: events.exists() and len(events.read_text().splitlines()) > 20)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    # The best crop of each face under way is kept.
    assert len(list((tmp_path / "spool" / "queue").iterdir())) >= 1


def test_keys_of_files_are_those_of_now() -> None:
    assert KEY.fullmatch(crop_key("faces/", 3.2).replace("{digest}", "0" * 12))
    moment = time.mktime((2026, 3, 4, 5, 6, 7, 0, 0, -1))
    assert crop_key("faces/", moment) == f"faces/3_4/5_6/{int(moment)}_{{digest}}.jpg"


def test_settings_are_typed_and_a_function_waits_for_its_camera(tmp_path: Path) -> None:
    file = tmp_path / "function.toml"
    file.write_text("every = 0.2\nspool-bytes = 1000\n")
    config = edge.settings("faces", {"SACCADE_CONFIG": str(file), "SACCADE_EVERY": "0.5", "SACCADE_FRAMES": "3"})
    assert (config.every, config.spool_bytes, config.publish, config.frames, config.wait) == (0.5, 1000, (), 3, True)
    assert edge.settings("faces", {"SACCADE_WAIT": "no"}).wait is False


# What goes with them


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_recipe_uses_each_of_its_settings_with_defaults_that_are_taken(function: str) -> None:
    recipe = yaml.safe_load((LAMBDAS / function / "recipe.yaml").read_text())
    jsonschema.validate(lowered(recipe), RECIPE)
    published = os.environ.get("SACCADE_RECIPE_SCHEMA")
    if published:
        jsonschema.validate(lowered(recipe), json.loads(Path(published).read_text()))
    configuration = recipe["ComponentConfiguration"]["DefaultConfiguration"]
    manifest = recipe["Manifests"][0]
    run_step = manifest["Lifecycle"]["run"]
    used = set(re.findall(r"\{configuration:/([^}]+)\}", json.dumps(run_step)))
    assert used == set(configuration) - {"accessControl"}
    # The defaults are values that the settings take.
    environment = {f"SACCADE_{key.upper()}": str(configuration[key]) for key in used}
    edge.settings(FUNCTIONS[function], environment)
    check_variables(run_step["Setenv"])
    access = configuration["accessControl"]["aws.greengrass.ipc.mqttproxy"]
    rule = access[f"{recipe['ComponentName']}:mqttproxy:1"]
    assert rule["operations"] == ["aws.greengrass#PublishToIoTCore"]
    assert rule["resources"] == ["saccade/{iot:thingName}/infer"]
    assert ("aws.greengrass.TokenExchangeService" in recipe["ComponentDependencies"]) == (function == "faces_to_s3")
    assert manifest["Platform"] == {"os": "linux", "runtime": "*"}  # both nuclei
    assert all(isinstance(configuration[key], str) for key in used)  # numbers may come back as others
    (artifact,) = manifest["Artifacts"]
    assert artifact["Uri"] == "s3://ARTIFACT/saccade.zip"
    install = manifest["Lifecycle"]["install"]["Script"]
    assert "--no-index" in install
    assert "--require-hashes" in install


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handler_and_entry(function: str) -> None:
    text = (LAMBDAS / function / "app.py").read_text()
    assert f'main("{FUNCTIONS[function]}")' in text
    scope: dict[str, Any] = {"__name__": "app"}
    exec(compile(text, "app.py", "exec"), scope)
    assert scope["function_handler"]({}, None) is None


@pytest.mark.parametrize("function", FUNCTIONS)
def test_policies_grant_what_is_needed(function: str) -> None:
    iot = json.loads((LAMBDAS / function / "iot-policy.json").read_text())
    assert [s["Action"] for s in iot["Statement"]] == ["iot:Connect", "iot:Publish"]
    assert iot["Statement"][1]["Resource"].endswith("topic/saccade/${iot:Connection.Thing.ThingName}/infer")


def test_the_policy_is_enough_to_upload_and_for_nothing_more(tmp_path: Path, s3_server: str) -> None:
    """The uploader with a user that has this policy only; moto enforces it."""
    import boto3
    from botocore.exceptions import ClientError

    from saccade.storage.spool import Spool
    from saccade.storage.uploader import Uploader

    s3 = local_s3.client(s3_server)
    s3.create_bucket(Bucket="faces-bucket")
    iam = boto3.client("iam", endpoint_url=s3_server, aws_access_key_id="testing", aws_secret_access_key="testing",
                       region_name="us-east-1")  # fmt: skip
    policy = (LAMBDAS / "faces_to_s3" / "iam-policy.json").read_text().replace("FACES_BUCKET", "faces-bucket")
    iam.create_user(UserName="camera")
    iam.put_user_policy(UserName="camera", PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName="camera")["AccessKey"]
    camera = boto3.client(
        "s3", endpoint_url=s3_server, aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"], region_name="us-east-1",
    )  # fmt: skip
    _enforce(s3_server, 0)
    try:
        with Spool(tmp_path, min_free=0) as spool:
            for _ in range(2):
                spool.put(b"face", crop_key("faces/", time.time() - 60))
            uploader = Uploader(spool, "faces-bucket", client=camera, back_off=(0.01, 0.1))
            assert uploader.flush(PATIENCE), uploader.statistics().problem
            with pytest.raises(ClientError, match="AccessDenied"):
                camera.put_object(Bucket="faces-bucket", Key="elsewhere/x", Body=b"")
            with pytest.raises(ClientError, match="AccessDenied"):
                camera.list_objects_v2(Bucket="faces-bucket")
            with pytest.raises(ClientError, match=r"AccessDenied|403|Forbidden"):
                camera.get_object(Bucket="faces-bucket", Key="faces/x")
    finally:
        _enforce(s3_server, 10**9)
        for client in (s3, iam, camera):
            client.close()


def _enforce(server: str, after: int) -> None:
    import urllib.request

    request = urllib.request.Request(
        f"{server}/moto-api/reset-auth", str(after).encode(), {"Content-Type": "text/plain"}, method="POST"
    )
    urllib.request.urlopen(request).close()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_unit_starts_the_function_and_is_sound_for_systemd(function: str) -> None:
    path = LAMBDAS / function / f"saccade-{function.replace('_', '-')}.service"
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(path.read_text())
    assert unit["Service"]["ExecStart"].endswith(f"lambdas/{function}/app.py")
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    analyze = shutil.which("systemd-analyze")
    if analyze:
        done = subprocess.run([analyze, "verify", str(path)], capture_output=True, text=True)
        complaints = [line for line in done.stderr.splitlines() if path.name in line and "not executable" not in line]
        assert not complaints, complaints
