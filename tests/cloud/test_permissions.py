"""Least privilege, both ways: the code's calls are allowed by its role, and the role allows nothing else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

import saccade.cloud
from saccade.cloud.aws import Clients
from saccade.cloud.emotions import EmotionRecorder
from saccade.cloud.emotions import EmotionSettings as EmotionSettings
from saccade.cloud.facezip import FaceZipper
from saccade.cloud.facezip import FaceZipSettings as ZipSettings
from saccade.deploy.local import LocalAws

from .conftest import LAMBDAS, Script, crop, face
from .test_emotions import Context
from .test_events import s3_record


@dataclass(frozen=True)
class Right:
    """An action on a resource, as IAM names them. namespace : the context key that CloudWatch gives."""

    action: str
    resource: str = "*"
    namespace: str = ""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(LAMBDAS, Script(), folder=tmp_path_factory.mktemp("aws"), processes=0) as aws:
        yield aws


class Watch:
    """Every call that a session's clients make, as the rights that AWS asks for it."""

    def __init__(self, aws: LocalAws) -> None:
        self.rights: set[Right] = set()
        self.operations: set[str] = set()
        core = botocore.session.Session()
        core.set_credentials("local", "local")
        core.register("provide-client-params", self._see)
        self.session = boto3.Session(botocore_session=core, region_name=aws.region)
        self._region = aws.region

    def _see(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        service, operation = model.service_model.service_id.hyphenize(), model.name
        self.operations.add(operation)
        self.rights |= set(self._needed(service, operation, params))

    def _needed(self, service: str, operation: str, params: dict[str, Any]) -> Iterator[Right]:
        match service, operation:
            case "s3", "GetObject" | "HeadObject":
                yield self._read(params)
                # The code tells a missing object from a forbidden one; without this right both are 403.
                yield Right("s3:ListBucket", f"arn:aws:s3:::{params['Bucket']}")
            case "s3", "CopyObject":
                yield self._read(params["CopySource"])
                yield Right("s3:PutObject", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")
            case "s3", "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload":
                yield Right("s3:PutObject", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")
            case "s3", "AbortMultipartUpload":
                yield Right("s3:AbortMultipartUpload", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")
            case "rekognition", "DetectFaces":
                stored = params["Image"]["S3Object"]
                yield Right("rekognition:DetectFaces")
                yield self._read(
                    {"Bucket": stored["Bucket"], "Key": stored["Name"], "VersionId": stored.get("Version")}
                )
            case "dynamodb", "PutItem":
                yield self._table("PutItem", params["TableName"])
            case "dynamodb", "BatchWriteItem":
                for table in params["RequestItems"]:
                    yield self._table("BatchWriteItem", table)
            case "cloudwatch", "PutMetricData":
                yield Right("cloudwatch:PutMetricData", namespace=params["Namespace"])
            case _:
                raise AssertionError(f"{service} {operation}: say here which rights it needs")

    def _read(self, stored: dict[str, Any]) -> Right:
        action = "s3:GetObjectVersion" if stored.get("VersionId") else "s3:GetObject"
        return Right(action, f"arn:aws:s3:::{stored['Bucket']}/{stored['Key']}")

    def _table(self, action: str, table: str) -> Right:
        return Right(f"dynamodb:{action}", f"arn:aws:dynamodb:{self._region}:123456789012:table/{table}")


def platform_rights(aws: LocalAws, function: str, queue: str | None) -> set[Right]:
    """What AWS does with the role around the code: it takes messages and writes the log."""
    log = f"arn:aws:logs:{aws.region}:123456789012:log-group:/aws/lambda/{function}:log-stream:1"
    rights = {Right("logs:CreateLogStream", log), Right("logs:PutLogEvents", log)}
    if queue is not None:
        arn = f"arn:aws:sqs:{aws.region}:123456789012:{queue}"
        rights |= {Right(f"sqs:{name}", arn) for name in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")}
    return rights


def statements(aws: LocalAws, logical: str) -> list[dict[str, Any]]:
    """The role's policy as deployed, references resolved."""
    resources = aws.client("cloudformation").describe_stack_resources(StackName=aws.stack)["StackResources"]
    (role,) = (r["PhysicalResourceId"] for r in resources if r.get("LogicalResourceId") == logical)
    iam = aws.client("iam")
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    found = []
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        found += (ast.literal_eval(document) if isinstance(document, str) else document)["Statement"]
    return found


def grants(statement: dict[str, Any], right: Right) -> bool:
    assert statement["Effect"] == "Allow"
    assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
    condition = statement.get("Condition")
    if condition is not None:
        assert set(condition) == {"StringEquals"}
        assert set(condition["StringEquals"]) == {"cloudwatch:namespace"}
        if condition["StringEquals"]["cloudwatch:namespace"] != right.namespace:
            return False
    return any(fnmatchcase(right.action.lower(), action.lower()) for action in _list(statement["Action"])) and any(
        fnmatchcase(right.resource, re.sub(r"\[", "[[]", pattern)) for pattern in _list(statement["Resource"])
    )


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def check(policy: list[dict[str, Any]], rights: set[Right]) -> None:
    denied = {right for right in rights if not any(grants(statement, right) for statement in policy)}
    assert not denied, "the code calls what its role may not do"
    for statement in policy:
        for action in _list(statement["Action"]):
            assert "*" not in action
            for resource in _list(statement["Resource"]):
                single = {**statement, "Action": action, "Resource": resource}
                assert any(grants(single, right) for right in rights), f"nothing needs {action} on {resource}"
                if resource == "*":
                    assert action in ("rekognition:DetectFaces", "cloudwatch:PutMetricData")  # have no resources


def versioned(aws: LocalAws, key: str, body: bytes) -> dict[str, Any]:
    stored = aws.client("s3").put_object(Bucket=aws.outputs["FacesBucketName"], Key=key, Body=body)
    record = s3_record(key, eTag=stored["ETag"].strip('"'))
    record["s3"]["bucket"]["name"] = aws.outputs["FacesBucketName"]
    if "VersionId" in stored:
        record["s3"]["object"]["versionId"] = stored["VersionId"]
    return record


def use_emotions(aws: LocalAws, watch: Watch) -> None:
    """Every path of the emotion function that makes a call."""
    record = EmotionRecorder(Clients(watch.session.client), EmotionSettings(table=aws.outputs["FacesTableName"]))
    gone = s3_record("faces/gone")
    gone["s3"]["bucket"]["name"] = aws.outputs["FacesBucketName"]
    record({"Records": [versioned(aws, "faces/a", crop(face({"SAD": 90.0}))), gone]}, Context())
    record({"Records": [versioned(aws, "faces/poison", b"poison")]}, Context())
    setting = {"Status": "Enabled"}
    aws.client("s3").put_bucket_versioning(Bucket=aws.outputs["FacesBucketName"], VersioningConfiguration=setting)
    record({"Records": [versioned(aws, "faces/b", crop(face({"SAD": 90.0})))]}, Context())
    record({"Records": [versioned(aws, "faces/poison", b"another")]}, Context())


def use_zip(aws: LocalAws, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every path of the face-zip function that makes a call."""
    bucket = aws.outputs["PhotosBucketName"]
    zipper = FaceZipper(
        Clients(watch.session.client), ZipSettings(input_bucket=bucket, output_bucket=aws.outputs["ZipsBucketName"])
    )
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="p.jpg", Body=crop(face({"SAD": 90.0})))
    assert zipper({"key": "p.jpg"})["status"] == 200
    assert zipper({"key": "missing.jpg"})["status"] == 404
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="p.jpg", Body=crop(*[face({"SAD": 90.0})] * 3))["VersionId"]
    monkeypatch.setattr("saccade.cloud.facezip._png", lambda _: bytes(5 << 20))
    assert zipper({"key": "p.jpg", "version": version})["status"] == 200
    calls: list[int] = []

    def failing(_: Any) -> bytes:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("no more")
        return bytes(5 << 20)

    monkeypatch.setattr("saccade.cloud.facezip._png", failing)
    with pytest.raises(RuntimeError, match="no more"):
        zipper({"key": "p.jpg"})


@pytest.fixture
def watch(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    return Watch(aws)


def test_the_emotion_function_may_do_what_it_does_and_nothing_else(aws: LocalAws, watch: Watch) -> None:
    use_emotions(aws, watch)
    rights = watch.rights | platform_rights(aws, aws.outputs["RekognizeEmotionsName"], f"{aws.stack}-faces")
    policy = statements(aws, "RekognizeEmotionsRole")
    check(policy, rights)
    bucket, table = aws.outputs["FacesBucketName"], f"arn:aws:dynamodb:{aws.region}:123456789012:table/rekognize-faces"
    for right in (
        Right("s3:DeleteObject", f"arn:aws:s3:::{bucket}/faces/a"),
        Right("s3:PutObject", f"arn:aws:s3:::{bucket}/faces/a"),
        Right("s3:GetObject", f"arn:aws:s3:::{bucket}/other/a"),
        Right("s3:GetObject", f"arn:aws:s3:::{aws.outputs['PhotosBucketName']}/a"),
        Right("dynamodb:Scan", table),
        Right("dynamodb:PutItem", f"{table}-of-somebody-else"),
        Right("cloudwatch:PutMetricData", namespace="AWS/Lambda"),
        Right("logs:CreateLogGroup", "*"),
    ):
        assert not any(grants(statement, right) for statement in policy), right


def test_the_zip_function_may_do_what_it_does_and_nothing_else(
    aws: LocalAws, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_zip(aws, watch, monkeypatch)
    assert {"CreateMultipartUpload", "AbortMultipartUpload", "PutObject"} <= watch.operations
    told = Right("sns:Publish", f"arn:aws:sns:{aws.region}:123456789012:{aws.stack}-alarms")
    rights = watch.rights | platform_rights(aws, aws.outputs["FacesZipName"], None) | {told}
    check(statements(aws, "FacesZipRole"), rights)


def test_no_call_in_the_code_escapes_these_tests(aws: LocalAws, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    use_emotions(aws, watch)
    use_zip(aws, watch, monkeypatch)
    written = set()
    for path in Path(saccade.cloud.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                if owner != "s3" and re.search(r"(\b|_)(s3|rekognition|dynamodb|cloudwatch)$", owner):
                    written.add(node.func.attr.replace("_", ""))
    assert written == {operation.lower() for operation in watch.operations}


def test_a_device_may_put_crops_below_its_name_and_fetch_components(aws: LocalAws) -> None:
    bucket, code = aws.outputs["FacesBucketName"], f"{aws.stack}-artifacts-123456789012-{aws.region}"
    check(
        statements(aws, "DeviceRole"),
        {
            Right("s3:PutObject", f"arn:aws:s3:::{bucket}/faces/${{credentials-iot:ThingName}}/11_20/10_01/1_0.jpg"),
            Right("s3:GetObject", f"arn:aws:s3:::{code}/components/0/saccade.zip"),
            Right("s3:GetBucketLocation", f"arn:aws:s3:::{code}"),
        },
    )
