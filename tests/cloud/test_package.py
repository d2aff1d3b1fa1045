"""The functions' packages: small, reproducible, ready to start, and without what they must not hold."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import urllib.request
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from saccade.deploy import bucket, costs, package, stack, template
from saccade.deploy.account import Account, open_account
from saccade.errors import ConfigError

from .conftest import LAMBDAS

FORBIDDEN = (
    "cv2",
    "openvino",
    "numba",
    "numpy",
    "boto3",
    "botocore",
    "av",
    "saccade/formats",
    "saccade/networks",
    "saccade/capture",
)


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


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="by choice: Python 3.10 does not compile the same source to the same bytes twice"
)
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
            " 'samtranslator', 'saccade.networks', 'saccade.formats', 'saccade.deploy') if m in sys.modules]))"
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
        account = Account(session, "123456789012")
        # moto gives no outputs for a stack that a change set made, so what is there is looked at itself.
        assert all(row[0] == "Add" for row in stack.preview(account, "faces", LAMBDAS / "template.yaml", built, {}))
        assert session.client("s3").list_buckets()["Buckets"] == []  # a look changes nothing
        stack.deploy(account, "faces", LAMBDAS / "template.yaml", built, {"AcceptEmotionUse": "yes"})
        table = session.client("dynamodb").describe_table(TableName="rekognize-faces")["Table"]
        assert table["GlobalSecondaryIndexes"][0]["IndexName"] == "emotion-time"
        code = session.client("lambda").get_function(FunctionName="faces-faces-zip")["Configuration"]
        assert code["CodeSize"] == built[0].bytes
        said: list[dict[str, object]] = []

        def given(params: dict[str, Any], **_: object) -> dict[str, Any]:
            """moto keeps what is left out, and does not know UsePreviousValue in change sets."""
            said.extend(params["Parameters"])
            return {**params, "Parameters": [p for p in params["Parameters"] if "ParameterValue" in p]}

        session.events.register("provide-client-params.cloudformation.CreateChangeSet", given)
        s3, code_bucket = session.client("s3"), account.artifacts("faces")

        def held() -> set[str]:
            return {item["Key"] for item in s3.list_objects_v2(Bucket=code_bucket)["Contents"]}

        kept = held() | {f"components/{'0' * 32}/saccade.zip", "of-somebody-else.zip"}
        before = f"faces_zip-{'0' * 32}.zip"
        for key in (kept | {before}) - held():
            s3.put_object(Bucket=code_bucket, Key=key, Body=b"")
        stack.deploy(account, "faces", LAMBDAS / "template.yaml", built, {})
        assert held() == kept | {before}  # so young, it may be of somebody who deploys now
        monkeypatch.setattr(bucket, "KEPT", timedelta(0))
        stack.deploy(account, "faces", LAMBDAS / "template.yaml", built, {"RowDays": "7"})
        assert held() == kept
        # What was given before stays: without this AWS would take the template's default.
        assert {"ParameterKey": "AcceptEmotionUse", "UsePreviousValue": True} in said
        assert {"ParameterKey": "RowDays", "ParameterValue": "7"} in said
        variables = session.client("lambda").get_function_configuration(FunctionName="faces-rekognize-emotions")
        assert str(variables["Environment"]["Variables"]["KEEP_DAYS"]) == "7"
        report = stack.status(account, "faces")
        assert report["state"] == "UPDATE_COMPLETE"
        assert report["parameters"]["RowDays"] == "7"
        buckets, tables = stack.holdings(account, "faces", LAMBDAS / "template.yaml")
        assert len(buckets) == 3
        assert tables == ["rekognize-faces"]
        s3.put_bucket_versioning(Bucket=buckets[0], VersioningConfiguration={"Status": "Enabled"})
        for body in (b"1", b"2"):
            s3.put_object(Bucket=buckets[0], Key="faces/a.jpg", Body=body)
        s3.delete_object(Bucket=buckets[0], Key="faces/a.jpg")
        s3.create_multipart_upload(Bucket=buckets[0], Key="faces/b.jpg")
        # moto looks for the role alias under another name than it made it with.
        monkeypatch.setattr("moto.iot.models.FakeRoleAlias.delete_from_cloudformation_json", lambda *_: None)

        # moto does not know RetainExceptOnCreate, by which AWS leaves the table.
        monkeypatch.setattr("moto.dynamodb.models.table.Table.delete", lambda *_: None)

        def interrupted(client: Any, name: str) -> None:
            client.delete_stack(StackName=name)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("saccade.deploy.cloudformation.delete", interrupted)
            with pytest.raises(KeyboardInterrupt):
                stack.delete(account, "faces", LAMBDAS / "template.yaml")
        stack.delete(account, "faces", LAMBDAS / "template.yaml")  # what AWS went on with meanwhile has left nothing
        assert s3.list_buckets()["Buckets"] == []
        assert session.client("dynamodb").list_tables()["TableNames"] == []
        with pytest.raises(ConfigError, match="there is no stack faces in account 123456789012, eu-central-1"):
            stack.status(account, "faces")
    finally:
        server.stop()


def test_what_can_be_told_before_anything_is_built_is(monkeypatch: pytest.MonkeyPatch) -> None:
    source = template.load(LAMBDAS / "template.yaml")
    for name, region, parameters, problem in (
        ("My_Stack", "eu-central-1", {}, "buckets are named after it"),
        ("faces", "eu-west-3", {}, "region eu-west-3 has no Rekognition; use one of"),
        ("faces", "eu-central-1", {"RowDay": "1"}, "no such parameter; there are TableName"),
        ("faces", "eu-central-1", {"RowDays": "0"}, "RowDays=0: expected 1 or more"),
        ("faces", "eu-central-1", {"ConfidenceThreshold": "101"}, "expected 0 or more, up to 100"),
        ("faces", "eu-central-1", {"RowDays": "many"}, "expected a number"),
        ("faces", "eu-central-1", {"AcceptEmotionUse": "oui"}, "expected one of '', 'yes'"),
    ):
        with pytest.raises(ConfigError, match=problem):
            stack.check(name, region, source, parameters)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="no AWS account: Could not connect"):
        open_account(None, "eu-central-1")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="give --region"):
        open_account(None, None)


def test_costs_grow_with_what_is_looked_at() -> None:
    use = costs.Use(cameras=1, faces=2, hours=8, interval=3)
    assert use.crops == 576_000
    monthly = costs.monthly(use)
    assert monthly["Rekognition"] == pytest.approx(576)
    assert monthly["together"] == pytest.approx(sum(monthly.values()) / 2)
    assert costs.monthly(use, emotions=False)["together"] < 10
    assert costs.monthly(costs.Use(interval=6))["Rekognition"] == pytest.approx(288)


def test_a_bucket_of_more_than_a_page_is_emptied() -> None:
    account = Account(boto3.Session("local", "local", region_name="eu-central-1"), "123456789012")
    s3 = account.client("s3")
    own = {"Bucket": "b", "ExpectedBucketOwner": account.id}
    below = {**own, "Prefix": "p/"}
    with Stubber(s3) as stub:
        for page in (0, 1):
            items = [{"Key": f"p/{page}-{i}", "VersionId": "1"} for i in range(3)]
            rest = {"KeyMarker": "p/0-2", "VersionIdMarker": "1"} if page else {}
            more = {"IsTruncated": True, "NextKeyMarker": "p/0-2", "NextVersionIdMarker": "1"}
            listed: Any = {"Versions": items[:2], "DeleteMarkers": items[2:], **({} if page else more)}
            stub.add_response("list_object_versions", listed, {**below, **rest})
            stub.add_response("delete_objects", {}, {**own, "Delete": {"Objects": items, "Quiet": True}})
        for page in (0, 1):
            rest = {"KeyMarker": "p/0", "UploadIdMarker": "u0"} if page else {}
            more = {"IsTruncated": True, "NextKeyMarker": "p/0", "NextUploadIdMarker": "u0"}
            upload = {"Key": f"p/{page}", "UploadId": f"u{page}"}
            listed = {"Uploads": [upload], **({} if page else more)}
            stub.add_response("list_multipart_uploads", listed, {**below, **rest})
            stub.add_response("abort_multipart_upload", {}, {**own, **upload})
        assert bucket.empty(s3, account, "b", "p/")
        for page in (0, 1):
            rest = {"ContinuationToken": "t"} if page else {}
            listed = {"CommonPrefixes": [{"Prefix": f"p/{page}/"}]} | ({} if page else {"NextContinuationToken": "t"})
            listed["IsTruncated"] = not page
            stub.add_response("list_objects_v2", listed, {**below, "Delimiter": "/", **rest})
        assert bucket.folders(s3, account, "b", "p/") == ["0", "1"]
        stub.assert_no_pending_responses()
