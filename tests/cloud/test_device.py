"""A camera as code: what it installs, its registration at AWS IoT (moto), its component and deployment.

The Greengrass service answers here from a stand-in behind botocore, which still checks and writes every request.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError

from lengths import EXHAUSTIVE
from saccade.apps import classify, faces, head_pose
from saccade.cli import main
from saccade.cli.device import configurations, with_cameras
from saccade.config import RunConfig
from saccade.deploy import component, device, wheelhouse
from saccade.deploy.account import Account
from saccade.deploy.model_folder import together
from saccade.deploy.named_files import named_files
from saccade.errors import ConfigError
from saccade.formats.load import identify, read_model
from saccade.formats.parts import parts_of
from saccade.outputs.upload import crop_key
from small_networks import field, tensorflow_relu

from .conftest import LAMBDAS

HERE = wheelhouse.Platform(f"{sys.version_info[0]}.{sys.version_info[1]}")


# What a device installs


def small_wheel(folder: Path) -> Path:
    """A wheel of the project's name that needs one package, and one more for devices."""
    path = folder / "saccade_engine-0.1.0-py3-none-any.whl"
    about = (
        "Metadata-Version: 2.1\nName: saccade-engine\nVersion: 0.1.0\nRequires-Dist: paho-mqtt>=2.1\n"
        "Provides-Extra: greengrass\nProvides-Extra: test\n"
        'Requires-Dist: tomli>=2; extra == "greengrass"\nRequires-Dist: pytest; extra == "test"\n'
    )
    files = {
        "saccade_small.py": "",
        "saccade_engine-0.1.0.dist-info/METADATA": about,
        "saccade_engine-0.1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("saccade_engine-0.1.0.dist-info/RECORD", "".join(f"{n},,\n" for n in files) + ",,\n")
    return path


def test_a_component_brings_the_networks_that_its_app_takes_where_none_is_given() -> None:
    assert component.MODELS == {
        "faces": (faces.DEFAULT_MODEL,), "classify": (classify.DEFAULT_MODEL,),
        "head-pose": (head_pose.DEFAULT_DETECTOR, head_pose.DEFAULT_MODEL),
    }  # fmt: skip


def test_a_device_installs_what_the_lock_names_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)  # pip would take a checkout there for what is installed
    wheel = small_wheel(tmp_path)
    lock = tmp_path / "constraints.txt"
    lock.write_text(wheelhouse.lock(wheelhouse.requirements(wheel), HERE))
    assert [line.partition("==")[0] for line in wheelhouse.read_lock(lock)] == ["paho-mqtt", "tomli"]
    model = tmp_path / "m.tflite"
    model.write_bytes(b"model")
    zipped = wheelhouse.build(wheel, lock, {"m.tflite": model}, {"app.py": model}, tmp_path / "saccade.zip", HERE)
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path / "unpacked" / "saccade")
    if EXHAUSTIVE:
        again = wheelhouse.build(wheel, lock, {"m.tflite": model}, {"app.py": model}, tmp_path / "again.zip", HERE)
        assert again.read_bytes() == zipped.read_bytes()

    # The recipe's own step, with the places that Greengrass fills in.
    script = component.recipe(LAMBDAS / "faces_to_s3", "b/f", "0.1.0")["Manifests"][0]["Lifecycle"]["install"]["Script"]
    work = tmp_path / "work"
    work.mkdir()
    unpacked = str(tmp_path / "unpacked")
    script = script.replace("{work:path}", str(work)).replace("{artifacts:decompressedPath}", unpacked)
    script = script.replace("python3 ", f"{sys.executable} ")
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (work / "cache" / "models" / "m.tflite").read_bytes() == b"model"
    subprocess.run([work / "venv/bin/python", "-c", "import saccade_small, paho.mqtt, tomli"], check=True)

    # Another file under a right name is refused.
    (other,) = (tmp_path / "unpacked/saccade/wheels").glob("tomli-*.whl")
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr("tomli/evil.py", "")
    again = [line.replace(" install ", " install --force-reinstall ") for line in script.splitlines()[2:]]
    script = "\n".join(["set -e", *again])  # in the environment that there is
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_what_cannot_be_installed_is_told_before_it_is_sent(tmp_path: Path) -> None:
    wheel = small_wheel(tmp_path)
    lock = tmp_path / "constraints.txt"
    lock.write_text(f"paho-mqtt==2.1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ConfigError, match=r"lacks tomli; renew it with: saccade device lock"):
        wheelhouse.build(wheel, lock, {}, {}, tmp_path / "x.zip", HERE)
    lock.write_text("paho-mqtt>=2\n")
    with pytest.raises(ConfigError, match="'paho-mqtt>=2' is no NAME==VERSION"):
        wheelhouse.read_lock(lock)
    with pytest.raises(ConfigError, match="cannot be read"):
        wheelhouse.read_lock(tmp_path / "none.txt")
    for name, problem in (
        ("tracing-0.1.0-py3-none-any.whl", "no wheel of saccade-engine"),
        ("saccade_engine-0.1.0-cp39-cp39-linux_x86_64.whl", "is for cp39"),
        ("saccade_engine-0.1.0-py3-none-linux_aarch64.whl", "is for linux_aarch64"),
    ):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ConfigError, match=problem):
            wheelhouse.check_wheel(tmp_path / name, wheelhouse.Platform("3.12"))


def test_the_lock_that_is_kept_names_all_that_the_project_needs() -> None:
    project = (LAMBDAS.parent / "pyproject.toml").read_text()
    needed = project.partition("dependencies = [")[2].partition("]\n")[0]
    needed += project.partition("greengrass = [")[2].partition("]\n")[0]
    names = {name.lower() for name, marker in re.findall(r'"([\w-]+)[^";]*(;?)', needed) if not marker}
    locked = {line.partition("==")[0] for line in wheelhouse.read_lock(LAMBDAS / wheelhouse.LOCK)}
    assert names <= locked
    assert "saccade" not in locked


# Registration


class Greengrass:
    """The service's answers. `requests`: what was asked, by operation."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.versions: dict[str, dict[str, Any]] = {}
        self.components: dict[str, Any] = {}
        self.refusal: tuple[int, dict[str, Any]] | None = None

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        body = json.loads(request.body) if request.body else {}
        path = urllib.request.url2pathname(request.url.split("amazonaws.com")[-1].partition("?")[0])
        status, answer = self.refusal or self.answer(request.method, path, body)
        self.requests.append((f"{request.method} {path}", body))
        raw = io.BytesIO(json.dumps(answer).encode())
        raw.stream = lambda *_, **__: iter([raw.getvalue()])  # type: ignore[attr-defined]
        kind = {"x-amzn-ErrorType": answer["kind"]} if "kind" in answer else {}
        return AWSResponse(request.url, status, {"Content-Type": "application/json"} | kind, raw)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        if path.endswith("createComponentVersion"):
            import base64

            recipe = json.loads(base64.b64decode(body["inlineRecipe"]))
            self.versions[recipe["ComponentVersion"]] = {"recipe": recipe, "tags": body["tags"]}
            return 201, {"componentName": recipe["ComponentName"], "componentVersion": recipe["ComponentVersion"],
                         "creationTimestamp": 0, "status": {}}  # fmt: skip
        if path.endswith("/versions"):
            return 200, {"componentVersions": [
                {"componentVersion": v, "arn": f"{path.split('/')[-2]}:versions:{v}"} for v in self.versions
            ]}  # fmt: skip
        if path.endswith("/metadata"):
            return 200, {"tags": self.versions[path.removesuffix("/metadata").rpartition(":")[2]]["tags"]}
        if method == "POST" and path.endswith("/deployments"):
            self.components = body["components"]
            return 201, {"deploymentId": "d-1"}
        if path.endswith("/deployments"):
            return 200, {"deployments": [{"deploymentId": "d-0"}] if self.components else []}
        if "/deployments/" in path:
            return 200, {"components": self.components}
        return 404, {"message": "no such core device", "kind": "ResourceNotFoundException"}


@pytest.fixture
def greengrass() -> Greengrass:
    return Greengrass()


@pytest.fixture
def account(moto_url: str, greengrass: Greengrass, monkeypatch: pytest.MonkeyPatch) -> Account:
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_GREENGRASSV2", "https://greengrass.eu-central-1.amazonaws.com")
    session = boto3.Session("local", "local", region_name="eu-central-1")
    session.events.register("before-send.greengrassv2", greengrass)
    account = Account(session, "123456789012")
    account.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    account.client("iot").create_role_alias(
        roleAlias="saccade-device", roleArn="arn:aws:iam::123456789012:role/r", credentialDurationSeconds=3600
    )
    return account


def test_a_device_is_registered_once_and_removed_without_a_trace(account: Account, tmp_path: Path) -> None:
    iot = account.client("iot")
    made = device.register(account, "saccade", "door", tmp_path / "door")
    files = {path.name: path for path in made.folder.iterdir()}
    assert set(files) == {"device.pem.crt", "private.pem.key", "AmazonRootCA1.pem", "config.yaml"}
    assert made.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    configuration = yaml.safe_load(files["config.yaml"].read_text())
    assert configuration["system"]["thingName"] == "door"
    nucleus = configuration["services"]["aws.greengrass.Nucleus"]["configuration"]
    assert nucleus["iotRoleAlias"] == "saccade-device"
    assert nucleus["iotDataEndpoint"].endswith("amazonaws.com")
    assert iot.list_thing_principals(thingName="door")["principals"] == [made.certificate]
    assert iot.list_attached_policies(target=made.certificate)["policies"][0]["policyName"] == "saccade-device-door"
    with pytest.raises(ConfigError, match="door is registered already"):
        device.register(account, "saccade", "door", tmp_path / "again")
    assert device.remove(account, "saccade", "door") == ["certificate", "thing", "policy"]
    assert iot.list_things()["things"] == []
    assert iot.list_certificates()["certificates"] == []
    assert iot.list_policies()["policies"] == []
    assert device.remove(account, "saccade", "door") == []


def test_a_core_device_that_stays_is_told(
    account: Account, greengrass: Greengrass, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device.register(account, "saccade", "door", tmp_path / "door")
    device.remove(account, "saccade", "door")
    assert "core device" not in caplog.text, "one that never connected is none"
    device.register(account, "saccade", "door", tmp_path / "again")
    greengrass.refusal = 403, {"message": "not yours", "kind": "AccessDeniedException"}
    assert device.remove(account, "saccade", "door") == ["certificate", "thing", "policy"]
    assert "core device door stays in Greengrass's list: " in caplog.text
    assert "not yours" in caplog.text


def test_a_failed_registration_leaves_nothing(account: Account, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for stack, folder, problem in (("other", "new", "stack other is not in"), ("saccade", "full", "empty")):
        with pytest.raises(ConfigError, match=problem):
            device.register(account, stack, "door", tmp_path / folder)
    account.client("iot").create_policy(policyName="saccade-device-door", policyDocument="{}")
    with pytest.raises(ConfigError, match="door cannot be registered"):
        device.register(account, "saccade", "door", tmp_path / "new")
    assert account.client("iot").list_things()["things"] == []
    assert account.client("iot").list_certificates()["certificates"] == []


@pytest.mark.parametrize(
    ("call", "is_there"), [("AttachThingPrincipal", False), ("DescribeEndpoint", True), ("write", False)]
)
def test_a_registration_that_breaks_off_leaves_neither_files_nor_certificate(
    call: str, is_there: bool, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, written = tmp_path / "door", []
    if is_there:
        folder.mkdir(mode=0o755)
    write = device.atomic.write

    def full(target: Path, data: bytes, **options: Any) -> None:
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(target)
        write(target, data, **options)

    def refused(**_: Any) -> None:
        raise ConnectTimeoutError(endpoint_url="https://iot")

    event = f"before-call.iot.{call}"
    with monkeypatch.context() as patched:
        if call == "write":
            patched.setattr(device.atomic, "write", full)
        account.session.events.register_first(event, refused)
        with pytest.raises(ConfigError, match=r"cannot be registered: Connect timeout|door: No space left"):
            device.register(account, "saccade", "door", folder)
        account.session.events.unregister(event, refused)
    assert list(tmp_path.rglob("*")) == ([folder] if is_there else [])
    iot = account.client("iot")
    assert (iot.list_things()["things"], iot.list_certificates()["certificates"]) == ([], [])
    assert device.register(account, "saccade", "door", folder).folder == folder
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_refused_keeps_its_rights(account: Account, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o755)
    (folder / "x").touch()
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="mine is not empty"):
        device.register(account, "saccade", "door", folder)
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_device_acts_under_its_own_name_only_and_its_policy_is_short_enough() -> None:
    account = Account(boto3.Session("local", "local", region_name="ap-southeast-2"), "123456789012")
    document = device.policy(account, "s" * 20, "T" * 64)
    assert len(re.sub(r"\s", "", json.dumps(document))) <= 2048
    for statement in document["Statement"]:
        resources = statement["Resource"]
        for resource in [resources] if isinstance(resources, str) else resources:
            if resource == "*":
                assert all(action.startswith("greengrass:") for action in statement["Action"])
            elif "rolealias" not in resource:
                name = resource.split(":", 5)[5]
                own = r"client/T{64}(#\*)?|topic(filter)?/(\$aws/things|saccade)/T{64}/.+"
                assert re.fullmatch(own, name)
                assert name.count("/") - 1 - 3 * name.startswith("topic/$aws") <= 7
    for name in ("a/b", "", "#", "a*", "x" * 65, "ä"):
        with pytest.raises(ConfigError, match="use up to 64"):
            device.check_name(name)


# Component and deployment


def test_a_changed_recipe_gets_a_new_version_and_other_components_stay(
    account: Account, greengrass: Greengrass, tmp_path: Path
) -> None:
    account.client("s3").create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    artifact = tmp_path / "saccade.zip"
    artifact.write_bytes(b"PK" + bytes(22))
    place = component.upload(account, "code", artifact)
    assert place == component.upload(account, "code", artifact)
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()[:32]
    assert place == f"code/components/{digest}"
    function = LAMBDAS / "faces_to_s3"
    filled, version = component.publish(account, function, place, "0.1.0")
    assert version == "0.1.0"
    assert filled["Manifests"][0]["Artifacts"][0]["Uri"] == f"s3://{place}/saccade.zip"
    assert component.publish(account, function, place, "0.1.0")[1] == "0.1.0"
    changed, version = component.publish(account, function, "code/components/other", "0.1.0")
    assert (version, sorted(greengrass.versions)) == ("0.1.1", ["0.1.0", "0.1.1"])

    greengrass.components = {"aws.greengrass.Cli": {"componentVersion": "2.17.0"}}
    merge = component.configuration(changed, {"source": "/dev/video2", "interval": "5"})
    assert component.deploy(account, "door", changed, merge) == "d-1"
    request = greengrass.requests[-1][1]
    assert request["targetArn"] == "arn:aws:iot:eu-central-1:123456789012:thing/door"
    assert request["components"]["aws.greengrass.Cli"] == {"componentVersion": "2.17.0"}
    ours = request["components"]["io.saccade.FacesToS3"]
    assert ours["componentVersion"] == "0.1.1"
    assert json.loads(ours["configurationUpdate"]["merge"]) == {"source": "/dev/video2", "interval": "5"}
    with pytest.raises(ConfigError, match=r"--set sorce: no such setting of io\.saccade\.FacesToS3; it has"):
        component.configuration(changed, {"sorce": "x"})


def test_several_cameras_go_with_all_that_their_apps_need(demo: Path, tmp_path: Path) -> None:
    file, own = tmp_path / "cameras.toml", tmp_path / "own.onnx"
    own.write_bytes(b"")
    cameras = '[[camera]]\nname = "{}"\nsource = "/dev/video{}"\n'
    file.write_text(cameras.format("a", 0) + cameras.format("b", 1) + 'app = ["head-pose"]\n' + cameras.format("c", 2)
                    + 'app = "detect"\nmodel = "own.onnx"\n')  # fmt: skip
    names = {"cameras.toml", "own.onnx", "blazeface-full.tflite", "face-mesh.tflite"}
    assert set(with_cameras(str(file), "faces", {"own.onnx": own})) == names
    filled = component.recipe(LAMBDAS / "faces_to_s3", "bucket/folder", "0.1.0")
    assert component.configuration(filled, {"config": "cameras.toml"}) == {"config": "cameras.toml"}
    for app, text, fault in (
        ("faces", file.read_text(), "camera c: model own.onnx does not go with it; add it by --model FILE"),
        ("detect", cameras.format("a", 0), "camera a: detect needs a network; say its model"),
        ("faces", cameras.format("a", 0) * 2, "2 cameras are called a"),
        ("faces", 'source = "demo:"\n', r"no \[\[camera\]\] table"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=fault):
            with_cameras(str(file), app, {})


def made(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def onnx_of_weights(name: str) -> bytes:
    """A network that adds four numbers, which lie in a file."""
    tensor = field(1, 4) + field(2, 1) + field(8, "w") + field(14, 1)
    tensor += field(13, field(1, "location") + field(2, name)) + field(13, field(1, "length") + field(2, "16"))
    node = field(1, "x") + field(1, "w") + field(2, "y") + field(4, "Add")
    ports = [field(1, n) + field(2, field(1, field(1, 1) + field(2, field(1, field(1, 4))))) for n in "xy"]
    graph = field(1, node) + field(2, "g") + field(5, tensor) + field(11, ports[0]) + field(12, ports[1])
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


CAFFE = {"deploy.prototxt": b'name: "net" layer { }', "iter_450000.caffemodel": b"1", "deploy.labels": b"cat\ndog\n"}
IR = (
    b'<net name="n" version="11"><layers><layer id="0" name="c" type="Const" version="opset1">'
    b'<data element_type="f32" shape="1" offset="0" size="4"/><output><port id="0" precision="FP32"><dim>1</dim></port>'
    b"</output></layer></layers><edges/></net>"
)
MXNET = {"net-symbol.json": b'{"nodes": []}', "net-0007.params": b"1"}
ONNX = {
    "add.onnx": onnx_of_weights("./weights/part.0"),
    "weights/part.0": bytes(16),
    "metadata.yaml": b"task: detect\n",
}


def installed(files: Mapping[str, Path], work: Path) -> Path:
    """The folder that a function of these models runs in, by the recipe's own step."""
    made(work / "unpacked/saccade/models", {name: path.read_bytes() for name, path in files.items()})
    for function in component.FOLDERS.values():
        recipe = component.recipe(LAMBDAS / function, "b/f", "0.1.0")["Manifests"][0]["Lifecycle"]
        assert recipe["run"]["Script"].startswith("cd {work:path}/cache/models && ")
        step = recipe["install"]["Script"].partition("requirements.lock\n")[2]
        step = step.replace("{work:path}", str(work)).replace("{artifacts:decompressedPath}", str(work / "unpacked"))
        subprocess.run(["sh", "-ec", step], check=True)
    return work / "cache" / "models"


def test_all_files_of_a_model_go_with_it_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = tensorflow_relu(tmp_path / "graph.pb").read_bytes()
    saved = {"saved_model.pb": field(1, 1) + field(2, field(2, graph)), "assets/notes": b"1"}
    given = {"deploy.prototxt": CAFFE, "net-symbol.json": MXNET, "add.onnx": ONNX, "birds": saved}
    for name, files in given.items():
        made(tmp_path / name / "birds" if files is saved else tmp_path / name, files)
    sent = together([tmp_path / name / name for name in given])
    assert sent.networks == tuple(given)
    assert set(sent.files) == {*CAFFE, *MXNET, *ONNX, *(f"birds/{name}" for name in saved)}
    assert with_cameras_of(tmp_path, sent.networks, sent.files) == {"cameras.toml", *sent.files}

    made(tmp_path / "cache/models", {"iter_7.caffemodel": b"of the deployment before"})
    monkeypatch.chdir(installed(sent.files, tmp_path))
    for name, files in given.items():
        assert {Path(part).name for part in parts_of(identify(name))} == {
            Path(part).name for part in files if not part.endswith((".labels", ".yaml"))
        }
    assert read_model("add.onnx").inputs[0].shape == [4]
    assert read_model("birds").inputs[0].shape == [1, 4, 4, 3]


def with_cameras_of(folder: Path, models: Sequence[str], files: Mapping[str, Path]) -> set[str]:
    """Names of what goes along with cameras of these models."""
    tables = (f'[[camera]]\nname = "c{n}"\nsource = "demo:"\nmodel = "{name}"\n' for n, name in enumerate(models))
    (folder / "cameras.toml").write_text("".join(tables))
    return set(with_cameras(str(folder / "cameras.toml"), "detect", files))


@pytest.mark.parametrize(
    ("models", "files", "fault"),
    [
        (["deploy.prototxt"], {**CAFFE, "iter_450000.caffemodel": None},
         "/deploy.prototxt: its weights are missing; put deploy.caffemodel beside it"),
        (["net-symbol.json"], {**MXNET, "net-0007.params": None},
         "/net-symbol.json: its weights are missing; put net-0000.params beside it"),
        (["add.onnx"], {**ONNX, "weights/part.0": None},
         "/add.onnx needs its weights, but './weights/part.0' is missing; put it beside the .onnx"),
        (["net.xml"], {"net.xml": IR}, "/net.xml needs its weights, but net.bin is missing; put it beside the .xml"),
        (["a/x.prototxt", "b/y.prototxt"],
         {"a/x.prototxt": b"layer { }", "a/1.caffemodel": b"1", "b/y.prototxt": b"layer { }", "b/2.caffemodel": b"2"},
         "/a/x.prototxt: which of 1.caffemodel, 2.caffemodel are its weights? Call one x.caffemodel"),
        (["a/add.onnx", "b/add.onnx"], {"a/add.onnx": ONNX["add.onnx"], "b/add.onnx": onnx_of_weights("w")},
         "differ, and on the device both would be add.onnx; call one otherwise"),
        (["names.json"], {"names.json": b'["cat"]'}, "--model names.json: no network; give one too"),
        (["folder"], {"folder/net.onnx": b""}, "/folder is a folder; give the model file in it (net.onnx)"),
        (["none.onnx"], {}, "/none.onnx: no such file"),
    ],
)  # fmt: skip
def test_a_model_that_would_not_be_read_there_is_one_line_before_anything_is_made(
    models: list[str], files: dict[str, bytes | None], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, {name: content for name, content in files.items() if content is not None})
    given = [word for name in models for word in ("--model", str(tmp_path / name))]
    assert main(["device", "deploy", "door", "--app", "classify", "--wheel", "/nowhere.whl", *given]) == 2
    error = capsys.readouterr().err
    assert fault in error
    assert error.count("\n") == 1
    assert "saccade-models-" not in error


def test_weights_that_lie_elsewhere_may_be_given(tmp_path: Path) -> None:
    made(tmp_path / "a", {"deploy.prototxt": CAFFE["deploy.prototxt"]})
    made(tmp_path / "b", {"iter_450000.caffemodel": b"1", "names.txt": b"cat"})
    given = [tmp_path / "b/names.txt", tmp_path / "a/deploy.prototxt", tmp_path / "b/iter_450000.caffemodel"]
    sent = together(given)
    assert sent.files == {path.name: path for path in given}
    assert sent.first_network == "deploy.prototxt"


FILES_OF_CAMERAS = """
[defaults]
app = "detect"
model = "sagemaker://saccade-birds"
[[camera]]
name = "a"
source = "films/birds.avi"
labels = "names/birds.txt"
[[camera]]
name = "b"
source = "stills"
labels = "./plain.txt"
[[camera]]
name = "c"
source = "https://10.0.0.7/"
ca = "camera.pem"
publish = ["mqtts://10.0.0.9?ca=/etc/ssl/broker.pem&cert=keys/c.crt&key=keys/c.key"]
[[camera]]
name = "d"
source = "/dev/video0"
[[camera.apps]]
app = "detect"
labels = "more/*.txt"
"""
NAMED = {"films/birds.avi", "names/birds.txt", "stills/1.jpg", "stills/2.jpg", "plain.txt", "camera.pem", "keys/c.crt",
         "keys/c.key", "more/*.txt"}  # fmt: skip


def test_files_that_cameras_name_lie_on_the_device_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = made(tmp_path / "here", {**dict.fromkeys(NAMED, b"1"), "cameras.toml": FILES_OF_CAMERAS.encode()})
    monkeypatch.chdir(here)
    configs = configurations(Path("cameras.toml"), "faces", {})
    named = named_files("cameras.toml", configs, {"plain.txt": here / "camera.pem"})
    assert named.sent.keys() == NAMED - {"plain.txt"}, "what is given goes anyway"
    assert named.own == ("publish ca /etc/ssl/broker.pem of camera c",)
    theirs = [("", RunConfig(model="/opt/birds.onnx", labels="/opt/birds.txt"))]
    assert named_files("cameras.toml", theirs, {}).own == ("labels /opt/birds.txt",)
    assert with_cameras("cameras.toml", "faces", {}).keys() == {"cameras.toml"}, "their networks are elsewhere"
    monkeypatch.chdir(installed(named.sent | {"plain.txt": Path("plain.txt")}, tmp_path))
    assert named_files("cameras.toml", configs, {}).sent.keys() == NAMED


def test_all_files_that_cameras_name_and_that_are_missing_are_one_line_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cameras.toml").write_text(FILES_OF_CAMERAS)
    monkeypatch.chdir(tmp_path)
    deploy = ["device", "deploy", "door", "--cameras", "cameras.toml", "--wheel", "/nowhere.whl", "--set", "publish="]
    assert main(deploy) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "labels names/birds.txt of camera a, source films/birds.avi of camera a, labels ./plain.txt of cam" in error
    for missing in ("source stills of camera b", "ca camera.pem of camera c", "publish key keys/c.key of camera c"):
        assert missing in error
    assert "broker.pem" not in error


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("labels=names.txt", "device door: labels names.txt: no such file here"),
        ("labels=/etc/names.txt", "device door: labels /etc/names.txt: no such file here"),
        ("labels=../names.txt", "device door: labels ../names.txt: no such file here"),
        ("source=film.avi", "device door: source film.avi: no such file here"),
        ("publish=mqtts://h?ca=x.pem", "device door: publish ca x.pem: no such file here"),
        ("config=one.toml", "--set config=one.toml does not go with it"),
        ("top=some", "SACCADE_TOP: top: got 'some'; expected a whole number"),
    ],
)
def test_a_setting_that_would_fail_on_the_device_fails_here(
    setting: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").touch()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert main(["device", "deploy", "door", "--app", "classify", "--wheel", "/nowhere.whl", "--set", setting]) == 2
    error = capsys.readouterr().err
    assert fault in error
    assert error.count("\n") == 1


def test_a_bucket_of_somebody_else_gets_nothing(account: Account, tmp_path: Path) -> None:
    (tmp_path / "z").write_bytes(b"")
    with pytest.raises(ConfigError, match="the component cannot be put into missing"):
        component.upload(account, "missing", tmp_path / "z")


@pytest.mark.parametrize("action", [["register", "door"], ["deploy", "door", "--wheel", "/nowhere.whl"]])
def test_a_region_without_greengrass_is_refused_before_anything_is_built(
    action: list[str], account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-q", "device", *action, "--region", "us-west-1"]) == 2
    assert "region us-west-1 has no Greengrass" in capsys.readouterr().err


def test_a_network_at_an_endpoint_need_not_be_on_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    deploy = ["device", "deploy", "door", "--app", "classify", "--wheel", "/nowhere.whl", "--dry-run"]
    assert main([*deploy, "--set", "model=sagemaker://saccade-cats"]) == 2
    assert "/nowhere.whl: no wheel of saccade-engine" in capsys.readouterr().err


# Keys below the device's own name


def test_crops_of_a_device_lie_below_its_name_in_the_tutorials_form() -> None:
    key = crop_key(RunConfig(prefix="faces/{thing}/").prefix.replace("{thing}", "door"), 1_764_000_000.0)
    assert re.fullmatch(r"faces/door/\d+_\d+/\d+_\d+/1764000000_\{digest\}\.jpg", key)
    for wrong in ("faces", "/faces/", "a//b/", "../x/", "faces/{digest}/", "x" * 300 + "/"):
        with pytest.raises(ConfigError, match="prefix"):
            RunConfig(prefix=wrong)
