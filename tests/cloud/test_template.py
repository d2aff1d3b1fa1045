"""The deployment template: what cfn-lint finds, and what it does not look at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from saccade.cloud.emotions import EMOTIONS
from saccade.deploy import template

from .conftest import LAMBDAS

PATH = LAMBDAS / "template.yaml"
BOTH = (PATH, LAMBDAS / "endpoint.yaml")
Resources = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    return template.load(PATH)


@pytest.fixture(scope="module")
def plain(source: dict[str, Any]) -> dict[str, Any]:
    code = {"rekognize_emotions": "s3://code/a.zip", "faces_zip": "s3://code/b.zip"}
    return template.expand(template.with_code(source, code), "eu-central-1")


def of_type(plain: dict[str, Any], kind: str) -> Resources:
    return {name: r["Properties"] for name, r in plain["Resources"].items() if r["Type"] == kind}


def test_cfn_lint_has_no_complaint() -> None:
    command = [
        str(Path(sys.executable).with_name("cfn-lint")),
        "--include-checks",
        "I",
        "--ignore-checks",
        "I3011",
        "--",
        *map(str, BOTH),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("path", BOTH, ids=lambda path: path.name)
def test_the_template_needs_no_yaml_aliases(path: Path) -> None:
    """CloudFormation refuses them, though every local tool resolves them."""
    tokens = yaml.scan(path.read_text())
    assert not [t.start_mark.line for t in tokens if isinstance(t, (yaml.AliasToken, yaml.AnchorToken))]


def test_the_dashboard_is_json_with_a_line_for_each_emotion(source: dict[str, Any]) -> None:
    body = source["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    names = set(re.findall(r"\$\{([^}]+)\}", body))
    known = set(source["Resources"]) | set(source["Parameters"]) | {"AWS::Region", "AWS::StackName"}
    assert {name.split(".")[0] for name in names} <= known
    dashboard = json.loads(re.sub(r"\$\{([^}]+)\}", lambda match: match[1], body))
    assert set(dashboard) <= {"start", "end", "periodOverride", "widgets", "variables"}
    for widget in dashboard["widgets"]:
        assert set(widget) == {"type", "x", "y", "width", "height", "properties"}
        assert set(widget["properties"]) <= {
            "title", "view", "stacked", "region", "period", "stat", "yAxis", "metrics"
        }  # fmt: skip
        assert widget["properties"]["region"] == "AWS::Region"
        assert widget["x"] + widget["width"] <= 24
    graph = dashboard["widgets"][0]["properties"]
    assert graph["period"] == 10
    assert [(line[1], line[2], line[3]) for line in graph["metrics"]] == [
        ("Confidence", "Emotion", emotion) for emotion in EMOTIONS
    ]


def test_every_sub_names_something_that_exists(source: dict[str, Any]) -> None:
    known = set(source["Resources"]) | set(source["Parameters"])
    for text in _subs(source):
        for name in re.findall(r"\$\{([^!}][^}]*)\}", text):
            assert name.startswith("AWS::") or name.split(".")[0] in known, text


def _subs(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [node["Fn::Sub"]] if isinstance(node.get("Fn::Sub"), str) else []
        return found + [text for value in node.values() for text in _subs(value)]
    return [text for value in node for text in _subs(value)] if isinstance(node, list) else []


def test_sam_took_every_property_of_the_event_source(source: dict[str, Any], plain: dict[str, Any]) -> None:
    """SAM drops what it does not know, and cfn-lint does not look into events."""
    wanted = source["Resources"]["RekognizeEmotions"]["Properties"]["Events"]["Faces"]["Properties"]
    (mapping,) = of_type(plain, "AWS::Lambda::EventSourceMapping").values()
    assert set(mapping) - {"FunctionName", "EventSourceArn"} == set(wanted) - {"Queue"}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] <= 10


def test_a_message_stays_hidden_longer_than_its_function_may_run(plain: dict[str, Any]) -> None:
    queue = plain["Resources"]["FacesQueue"]["Properties"]
    function = plain["Resources"]["RekognizeEmotions"]["Properties"]
    (mapping,) = of_type(plain, "AWS::Lambda::EventSourceMapping").values()
    assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + mapping["MaximumBatchingWindowInSeconds"] - 1
    assert queue["VisibilityTimeout"] * queue["RedrivePolicy"]["maxReceiveCount"] < queue["MessageRetentionPeriod"]
    dead = plain["Resources"]["DeadFacesQueue"]["Properties"]
    assert dead["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_buckets_are_private_encrypted_expiring_and_without_acls(plain: dict[str, Any]) -> None:
    buckets = of_type(plain, "AWS::S3::Bucket")
    assert len(buckets) == 3
    for name, bucket in buckets.items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}, name
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        assert rule["Status"] == "Enabled"
        assert rule["ExpirationInDays"] == {"Ref": "FaceDays"}
        assert "Prefix" not in rule
        assert "AccessControl" not in bucket
    for policy in of_type(plain, "AWS::S3::BucketPolicy").values():
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Deny"


def test_functions_run_a_current_python_on_arm_with_roles_of_their_own(plain: dict[str, Any]) -> None:
    functions = of_type(plain, "AWS::Lambda::Function")
    roles = [function["Role"]["Fn::GetAtt"][0] for function in functions.values()]
    assert len(set(roles)) == len(functions) == 2
    for function in functions.values():
        assert function["Architectures"] == ["arm64"]
        assert tuple(int(part) for part in function["Runtime"].removeprefix("python").split(".")) >= (3, 13)
        assert function["LoggingConfig"]["LogFormat"] == "JSON"
        assert (LAMBDAS / "rekognize_emotions" / "app.py").read_text().count("def lambda_handler") == 1
        assert function["Handler"] == "app.lambda_handler"
    for role in of_type(plain, "AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role


def test_a_photo_that_fails_for_good_is_told_of(plain: dict[str, Any]) -> None:
    (asked,) = of_type(plain, "AWS::Lambda::EventInvokeConfig").values()
    assert asked["FunctionName"] == {"Ref": "FacesZip"}
    assert asked["DestinationConfig"]["OnFailure"]["Destination"] == {"Ref": "AlarmTopic"}
    assert asked["MaximumRetryAttempts"] == 2
    # The topic names nothing of the functions, else there would be a circle.
    assert "Ref" not in str(plain["Resources"]["AlarmTopic"]["Properties"]["TopicName"])


def test_the_table_is_the_exercise_s_with_expiry_and_an_index(plain: dict[str, Any]) -> None:
    table = plain["Resources"]["FacesTable"]["Properties"]
    assert plain["Parameters"]["TableName"]["Default"] == "rekognize-faces"
    keys = {key["KeyType"]: key["AttributeName"] for key in table["KeySchema"]}
    assert keys == {"HASH": "s3key", "RANGE": "face"}
    (index,) = table["GlobalSecondaryIndexes"]
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["emotion", "time"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}


def test_alarms_tell_somebody(plain: dict[str, Any]) -> None:
    alarms = of_type(plain, "AWS::CloudWatch::Alarm")
    assert len(alarms) == 5
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}]
        assert alarm["TreatMissingData"] == "notBreaching"


def test_unknown_packages_are_named(source: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"RekognizeEmotions wants rekognize_emotions\.zip, which was not built"):
        template.with_code(source, {})
    with pytest.raises(Exception, match="cannot read the template"):
        template.load(Path("missing.yaml"))
