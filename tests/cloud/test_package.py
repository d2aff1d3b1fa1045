"""The functions' packages: small, reproducible, ready to start, and without what they must not hold."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import boto3
import pytest

from saccade.deploy import package, stack, template
from saccade.errors import ConfigError

from .conftest import LAMBDAS

FORBIDDEN = ("cv2", "openvino", "numba", "numpy", "boto3", "botocore", "av", "saccade/models", "saccade/capture")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[package.Package]:
    """Both packages for this machine."""
    out = tmp_path_factory.mktemp("packages")
    return [package.build(folder, out, None) for folder in template.functions(LAMBDAS)]


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def check_contents(made: package.Package) -> None:
    assert made.bytes < package.LIMIT_BYTES
    files = names(made.path)
    assert "app.py" in files
    assert "saccade/cloud/emotions.py" in files
    assert not [name for name in files if name.startswith(FORBIDDEN)]
    if made.compiled:
        sources = [name for name in files if name.endswith(".py")]
        assert len([name for name in files if name.endswith(".pyc")]) == len(sources)


def test_packages_hold_the_handler_and_the_cloud_room(built: list[package.Package]) -> None:
    assert [made.name for made in built] == ["faces_zip", "rekognize_emotions"]
    for made in built:
        check_contents(made)
        assert made.bytes < 100_000


def test_the_same_code_gives_the_same_zip(built: list[package.Package], tmp_path: Path) -> None:
    for made in built:
        assert package.build(LAMBDAS / made.name, tmp_path, None).digest == made.digest


def test_byte_code_is_not_checked_against_files(built: list[package.Package]) -> None:
    with zipfile.ZipFile(built[0].path) as archive:
        (name,) = (name for name in archive.namelist() if name.startswith("__pycache__/app."))
        code = archive.read(name)
    assert code[:4] == importlib.util.MAGIC_NUMBER
    assert int.from_bytes(code[4:8], "little") == 0b01


def test_a_handler_imports_nothing_heavy(built: list[package.Package], tmp_path: Path) -> None:
    for made in built:
        folder = tmp_path / made.name
        with zipfile.ZipFile(made.path) as archive:
            archive.extractall(folder)
        script = (
            "import app, json, sys; print(json.dumps([m for m in ('cv2', 'openvino', 'numba', 'numpy', 'av', 'moto',"
            " 'samtranslator', 'saccade.models', 'saccade.deploy') if m in sys.modules]))"
        )
        environment = {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "eu-central-1"}
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == []


def test_too_large_a_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "LIMIT_BYTES", 10_000)
    with pytest.raises(ConfigError, match="drop a requirement"):
        package.build(LAMBDAS / "rekognize_emotions", tmp_path, None)


def test_a_folder_without_functions_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the template"):
        template.functions(tmp_path)
    (tmp_path / "template.yaml").write_text((LAMBDAS / "template.yaml").read_text())
    with pytest.raises(ConfigError, match=r"no function in .*faces_zip, which the template names"):
        template.functions(tmp_path)


def test_an_interpreter_that_is_not_there_is_none() -> None:
    assert package.find_python("3.1") is None
    assert package.find_python(f"{sys.version_info[0]}.{sys.version_info[1]}") == sys.executable


def test_packages_for_lambda_are_below_15_mb(tmp_path: Path) -> None:
    for folder in template.functions(LAMBDAS):
        made = package.build(folder, tmp_path, package.Target())
        check_contents(made)
        if made.name == "faces_zip":
            libraries = [name for name in names(made.path) if name.startswith("PIL/_imaging.")]
            assert libraries == ["PIL/_imaging.cpython-313-aarch64-linux-gnu.so"]
        print(made.name, made.bytes, "compiled" if made.compiled else "without byte code")


@pytest.mark.filterwarnings("ignore:Tried to parse .* but it's not supported by moto:UserWarning")
def test_a_stack_is_created_updated_and_left_alone(
    built: list[package.Package], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        session = boto3.Session("local", "local", region_name="eu-central-1")
        # moto gives no outputs for a stack that a change set made, so what is there is looked at itself.
        stack.deploy(session, "faces", LAMBDAS / "template.yaml", built, {})
        table = session.client("dynamodb").describe_table(TableName="rekognize-faces")["Table"]
        assert table["GlobalSecondaryIndexes"][0]["IndexName"] == "emotion-time"
        code = session.client("lambda").get_function(FunctionName="faces-faces-zip")["Configuration"]
        assert code["CodeSize"] == built[0].bytes
        stack.deploy(session, "faces", LAMBDAS / "template.yaml", built, {"RowDays": "7"})
        variables = session.client("lambda").get_function_configuration(FunctionName="faces-rekognize-emotions")
        assert str(variables["Environment"]["Variables"]["KEEP_DAYS"]) == "7"
    finally:
        server.stop()


def test_deployment_without_region_or_account_is_one_sentence(
    built: list[package.Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="buckets are named after it"):
        stack.deploy(boto3.Session("local", "local"), "My_Stack", LAMBDAS / "template.yaml", built, {})
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="give --region"):
        stack.deploy(boto3.Session("local", "local"), "faces", LAMBDAS / "template.yaml", built, {})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    session = boto3.Session("local", "local", region_name="eu-central-1")
    with pytest.raises(ConfigError, match="deployment of faces failed: Could not connect"):
        stack.deploy(session, "faces", LAMBDAS / "template.yaml", built, {})
