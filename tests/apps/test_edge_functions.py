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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import local_s3
from local_broker import Nucleus
from saccade.apps import edge
from saccade.errors import ConfigError

LAMBDAS = Path(__file__).resolve().parents[2] / "lambdas"
FUNCTIONS = {"head_pose": "head-pose", "classify": "classify", "faces_to_s3": "faces"}
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
        capture_output=True, text=True, timeout=120, env=environment,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


def messages(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    with local_s3.moto_server() as url:
        yield url


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
    begin = time.monotonic()
    run("faces_to_s3", AWS_ENDPOINT_URL=dead, SACCADE_BUCKET="some-bucket", SACCADE_SPOOL=str(tmp_path / "spool"),
        SACCADE_SUMMARY=str(tmp_path / "summary"))  # fmt: skip
    assert time.monotonic() - begin < 60
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
    assert all(set(body) == set(edge.DIRECTION_FIELDS) for body in poses)
    assert all(list(body.values()) == sorted(body.values(), reverse=True) for body in poses)


def test_classify(tmp_path: Path) -> None:
    import numpy as np
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
    assert [set(body) for body in bodies] == [{"cat", "dog"}] * 5


@pytest.mark.parametrize(
    ("settings", "status", "says"),
    [
        ({"SACCADE_SPOOL_BYTES": "lots"}, 2, "SACCADE_SPOOL_BYTES: got 'lots'; expected a number"),
        ({"SACCADE_SPOOL_FULL": "newest"}, 2, "SACCADE_SPOOL_FULL"),
        ({"SACCADE_EVERY": "-1"}, 2, "SACCADE_EVERY"),
        ({"SACCADE_FRAMES": "x"}, 2, "SACCADE_FRAMES"),
        ({"SACCADE_BUCKET": "no such name"}, 2, "not a bucket name"),
        ({"SACCADE_PUBLISH": "http://x"}, 2, "publisher 'http://x'"),
        ({"SACCADE_PUBLISH": "-", "SACCADE_TOPIC": "$aws/things/x/infer"}, 0, ""),
        ({"SACCADE_PUBLISH": "mqtt://127.0.0.1", "SACCADE_TOPIC": "$aws/things/x/infer"}, 2, "is reserved"),
        ({"SACCADE_SOURCE": "/nowhere.mp4"}, 1, "/nowhere.mp4"),
        ({"SACCADE_SPOOL": "/dev/null/x"}, 1, "cannot be used"),
    ],
)
def test_bad_settings(tmp_path: Path, settings: dict[str, str], status: int, says: str) -> None:
    settings = {"SACCADE_SPOOL": str(tmp_path / "spool")} | settings
    done = run("faces_to_s3", status=status, frames=3, **settings)
    assert says in done.stderr


def test_stops_when_told(tmp_path: Path) -> None:
    environment = os.environ | {"SACCADE_SOURCE": "demo:", "SACCADE_PUBLISH": str(tmp_path / "events"),
                                "SACCADE_SPOOL": str(tmp_path / "spool")}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(LAMBDAS / "faces_to_s3" / "app.py")], stderr=subprocess.PIPE, text=True, env=environment
    )
    for _ in range(600):
        if (tmp_path / "events").exists() and len((tmp_path / "events").read_text().splitlines()) > 20:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    # The best crop of each face under way is kept.
    assert len(list((tmp_path / "spool" / "queue").iterdir())) >= 1


def test_keys_of_files_are_those_of_now() -> None:
    assert KEY.fullmatch(edge.face_key(3.2).replace("{digest}", "0" * 12))
    moment = time.mktime((2026, 3, 4, 5, 6, 7, 0, 0, -1))
    assert edge.face_key(moment) == f"faces/3_4/5_6/{int(moment)}_{{digest}}.jpg"


def test_settings_are_typed() -> None:
    settings = edge.EdgeConfig.from_environment({"SACCADE_EVERY": "0.5", "SACCADE_SPOOL_BYTES": "1000"})
    assert (settings.every, settings.spool_bytes, settings.publish) == (0.5, 1000, "")
    with pytest.raises(ConfigError):
        edge.EdgeConfig.from_environment({"SACCADE_SPOOL_DAYS": "week"})


# What goes with them


@pytest.mark.parametrize("function", FUNCTIONS)
def test_recipe(function: str) -> None:
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
    known = {
        f"SACCADE_{f.upper()}" for f in (*edge.RunConfig.__dataclass_fields__, *edge.EdgeConfig.__dataclass_fields__)
    }
    assert set(run_step["Setenv"]) <= known | {"SACCADE_CACHE"}
    # The defaults are values that the settings take.
    environment = {f"SACCADE_{key.upper()}": str(configuration[key]) for key in used}
    edge.EdgeConfig.from_environment(environment)
    edge.from_environment(environment)
    access = configuration["accessControl"]["aws.greengrass.ipc.mqttproxy"]
    rule = access[f"{recipe['ComponentName']}:mqttproxy:1"]
    assert rule["operations"] == ["aws.greengrass#PublishToIoTCore"]
    assert rule["resources"] == ["saccade/*/infer"]
    assert ("aws.greengrass.TokenExchangeService" in recipe["ComponentDependencies"]) == (function == "faces_to_s3")
    uris = [artifact["Uri"] for artifact in manifest["Artifacts"]]
    policy = json.loads((LAMBDAS / function / "iam-policy.json").read_text())
    assert policy["Statement"][0]["Resource"] == [uri.replace("s3://", "arn:aws:s3:::") for uri in uris]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handler_and_entry(function: str) -> None:
    text = (LAMBDAS / function / "app.py").read_text()
    assert f'main("{FUNCTIONS[function]}")' in text
    scope: dict[str, Any] = {"__name__": "app"}
    exec(compile(text, "app.py", "exec"), scope)
    assert scope["function_handler"]({}, None) is None


@pytest.mark.parametrize("function", FUNCTIONS)
def test_policies_grant_what_is_needed(function: str) -> None:
    policy = json.loads((LAMBDAS / function / "iam-policy.json").read_text())
    actions = {s["Sid"]: s["Action"] for s in policy["Statement"]}
    expected = {"Artifacts": "s3:GetObject"} | ({"Faces": "s3:PutObject"} if function == "faces_to_s3" else {})
    assert actions == expected
    resources = [statement["Resource"] for statement in policy["Statement"]]
    assert "*" not in resources
    assert not any("*" in resource for resource in resources[0])
    iot = json.loads((LAMBDAS / function / "iot-policy.json").read_text())
    assert [s["Action"] for s in iot["Statement"]] == ["iot:Connect", "iot:Publish"]
    assert iot["Statement"][1]["Resource"].endswith("topic/saccade/${iot:Connection.Thing.ThingName}/infer")


def test_the_policy_is_enough_to_upload_and_for_nothing_more(tmp_path: Path, s3_server: str) -> None:
    """The uploader with a user that has this policy only; moto enforces it."""
    import boto3
    from botocore.exceptions import ClientError

    from saccade.outputs.spool import Spool, Uploader

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
                spool.put(b"face", edge.face_key(time.time() - 60))
            uploader = Uploader(spool, "faces-bucket", client=camera, back_off=(0.01, 0.1))
            assert uploader.flush(10), uploader.statistics().problem
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
def test_unit(function: str) -> None:
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
