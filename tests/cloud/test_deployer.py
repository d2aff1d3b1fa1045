"""The deployer's rights: what the commands call and what CloudFormation does in the caller's name, and nothing else."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

import saccade.deploy
from saccade.deploy import template

from .conftest import LAMBDAS

DEPLOY = Path(saccade.deploy.__file__).parent

MODULES = ("account", "bucket", "cloudformation", "component", "device", "photo", "stack")
"""What the commands that go into an account are made of."""

ENDPOINT = ("endpoint", "image")
"""Those of an endpoint, whose deployer has a policy of its own; test_endpoint.py compares it with the calls."""

LOCAL = ("dashboard", "demo", "local")
"""Those that speak with the local AWS only."""

# Where IAM has another name for what an operation asks, or more than one: Service Authorization Reference.
ASKS = {
    "s3:ListObjectsV2": ["s3:ListBucket"],
    "s3:HeadBucket": ["s3:ListBucket"],
    "s3:ListObjectVersions": ["s3:ListBucketVersions"],
    "s3:ListMultipartUploads": ["s3:ListBucketMultipartUploads"],
    "s3:DeleteObjects": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
    "s3:PutPublicAccessBlock": ["s3:PutBucketPublicAccessBlock"],
    "lambda:Invoke": ["lambda:InvokeFunction"],
    # A deployment to a thing is a job and a part of its shadow (Greengrass guide, minimal policy of the installer); AWS
    # reads the component's artifact with the caller's rights (component recipe reference).
    "greengrassv2:CreateDeployment": [
        "greengrass:CreateDeployment", "iot:CancelJob", "iot:CreateJob", "iot:DeleteThingShadow", "iot:DescribeJob",
        "iot:DescribeThing", "iot:GetThingShadow", "iot:UpdateJob", "iot:UpdateThingShadow",
    ],
    "greengrassv2:CreateComponentVersion": [
        "greengrass:CreateComponentVersion", "greengrass:TagResource", "s3:GetObject",
    ],
}  # fmt: skip

PREFIXES = {"greengrassv2": "greengrass"}
"""Client -> IAM's name of the service."""

# What CloudFormation's handlers call for the properties that the template uses: `handlers` in the registry's schema of
# each type, without listing, without taking tags away, and without keys of KMS, networks, streams and the like, which
# it does not use.
OF_TYPES = {
    "AWS::Budgets::Budget": "budgets: ModifyBudget ViewBudget",
    "AWS::CloudWatch::Alarm":
        "cloudwatch: DeleteAlarms DescribeAlarms ListTagsForResource PutMetricAlarm TagResource",
    "AWS::CloudWatch::Dashboard": "cloudwatch: DeleteDashboards GetDashboard PutDashboard",
    "AWS::DynamoDB::Table":
        "dynamodb: CreateTable DeleteTable DescribeContinuousBackups DescribeContributorInsights"
        " DescribeKinesisStreamingDestination DescribeTable DescribeTimeToLive GetResourcePolicy ListTagsOfResource"
        " TagResource UpdateTable UpdateTimeToLive",
    "AWS::IAM::Role":
        "iam: CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies ListRolePolicies"
        " PutRolePolicy TagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
    "AWS::IoT::RoleAlias":
        "iam: GetRole PassRole; iot: CreateRoleAlias DeleteRoleAlias DescribeRoleAlias ListTagsForResource TagResource"
        " UpdateRoleAlias",
    "AWS::Lambda::EventInvokeConfig":
        "lambda: DeleteFunctionEventInvokeConfig GetFunctionEventInvokeConfig PutFunctionEventInvokeConfig"
        " UpdateFunctionEventInvokeConfig",
    "AWS::Lambda::EventSourceMapping":
        "lambda: CreateEventSourceMapping DeleteEventSourceMapping GetEventSourceMapping ListTags TagResource"
        " UpdateEventSourceMapping",
    "AWS::Lambda::Function":
        "iam: PassRole; lambda: CreateFunction DeleteFunction GetFunction GetFunctionCodeSigningConfig"
        " GetRuntimeManagementConfig ListTags TagResource UpdateFunctionCode UpdateFunctionConfiguration;"
        " s3: GetObject",
    "AWS::Lambda::Permission": "lambda: AddPermission GetPolicy RemovePermission",
    "AWS::Logs::LogGroup":
        "logs: CreateLogGroup DeleteLogGroup DescribeLogGroups GetDataProtectionPolicy ListTagsForResource"
        " PutRetentionPolicy TagResource",
    "AWS::Logs::MetricFilter": "logs: DeleteMetricFilter DescribeMetricFilters PutMetricFilter",
    "AWS::S3::Bucket":
        "s3: CreateBucket DeleteBucket GetBucketNotification GetBucketOwnershipControls GetBucketPublicAccessBlock"
        " GetBucketTagging GetEncryptionConfiguration GetLifecycleConfiguration ListBucket PutBucketNotification"
        " PutBucketOwnershipControls PutBucketPublicAccessBlock PutBucketTagging PutEncryptionConfiguration"
        " PutLifecycleConfiguration",
    "AWS::S3::BucketPolicy": "s3: DeleteBucketPolicy GetBucketPolicy PutBucketPolicy",
    "AWS::SNS::Subscription": "sns: GetSubscriptionAttributes GetTopicAttributes Subscribe Unsubscribe",
    "AWS::SNS::Topic":
        "sns: CreateTopic DeleteTopic GetDataProtectionPolicy GetTopicAttributes ListSubscriptionsByTopic"
        " ListTagsForResource TagResource",
    "AWS::SQS::Queue":
        "sqs: CreateQueue DeleteQueue GetQueueAttributes GetQueueUrl ListQueueTags SetQueueAttributes TagQueue",
    "AWS::SQS::QueuePolicy": "sqs: SetQueueAttributes",
}  # fmt: skip

# Actions that know no resources: they are granted on all, or not at all.
WITHOUT_RESOURCES = {
    "iot:CreateCertificateFromCsr", "iot:CreateKeysAndCertificate", "iot:DescribeEndpoint",
    "iot:ListAttachedPolicies", "lambda:CreateEventSourceMapping", "logs:DescribeLogGroups", "sts:GetCallerIdentity",
}  # fmt: skip

ON_ALL = {"cloudwatch:DescribeAlarms", "greengrass:ListDeployments"}
"""On all resources, as they list."""


@pytest.fixture(scope="module")
def policy() -> list[dict[str, Any]]:
    return list(json.loads((LAMBDAS / "deployer-policy.json").read_text())["Statement"])


def granted(policy: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for statement in policy:
        actions = statement["Action"]
        for action in actions if isinstance(actions, list) else [actions]:
            yield action, statement


@functools.cache
def methods(service: str) -> dict[str, str]:
    """Of a service's client: method -> operation."""
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names}


@functools.cache
def waiters(service: str) -> dict[str, str]:
    session = botocore.session.get_session()
    if service not in session.get_component("data_loader").list_available_services("waiters-2"):
        return {}
    model = session.get_waiter_model(service)
    return {xform_name(name): model.get_waiter(name).operation for name in model.waiter_names}


def called(module: str) -> set[str]:
    """Operations that a module's text calls, as service:Operation."""
    tree = ast.parse((DEPLOY / f"{module}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            services = [service for service in services_of(MODULES) if node.attr in methods(service)]
            owner = re.sub(r"\W", "", ast.unparse(node.value)).lower()
            named = [service for service in services if re.search(rf"{PREFIXES.get(service, service)}(v2)?$", owner)]
            if services:
                assert len(named or services) == 1, f"{module}: {ast.unparse(node)} may be of any of {services}"
                (service,) = named or services
                found.add(f"{service}:{methods(service)[node.attr]}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            kind = node.func.attr
            if kind in ("get_paginator", "get_waiter"):
                known = methods if kind == "get_paginator" else waiters
                for text in [n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)]:
                    (service,) = (s for s in services_of(MODULES) if text in known(s))
                    found.add(f"{service}:{known(service)[text]}")
    return found


@functools.cache
def services_of(modules: tuple[str, ...]) -> list[str]:
    """Services that a client is made of anywhere in the modules."""
    texts = "".join((DEPLOY / f"{module}.py").read_text() for module in modules)
    return sorted(set(re.findall(r'client\("([a-z0-9-]+)"\)', texts)))


@functools.cache
def expanded() -> dict[str, Any]:
    code = {folder.name: f"s3://code/{folder.name}.zip" for folder in template.functions(LAMBDAS)}
    return template.expand(template.with_code(template.load(LAMBDAS / "template.yaml"), code), "eu-central-1", {})


def needed() -> set[str]:
    """All that the calls and the template's resources ask for."""
    actions: set[str] = set()
    for module in MODULES:
        for operation in called(module):
            service, name = operation.split(":")
            actions.update(ASKS.get(operation, [f"{PREFIXES.get(service, service)}:{name}"]))
    plain = expanded()
    for kind in {resource["Type"] for resource in plain["Resources"].values()}:
        for part in OF_TYPES[kind].split(";"):
            service, _, names = part.partition(":")
            actions.update(f"{service.strip()}:{name}" for name in names.split())
    return actions


def test_the_deployer_may_do_what_the_commands_and_the_template_need_and_nothing_else(
    policy: list[dict[str, Any]],
) -> None:
    may = {action for action, _ in granted(policy)}
    assert sorted(needed() - may) == [], "needed and not granted"
    assert sorted(may - needed()) == [], "granted and not needed"


def test_no_right_is_wider_than_iam_can_name(policy: list[dict[str, Any]]) -> None:
    for action, statement in granted(policy):
        resources = statement["Resource"]
        everything = "*" in (resources if isinstance(resources, list) else [resources])
        assert statement["Effect"] == "Allow"
        assert everything == (action in WITHOUT_RESOURCES | ON_ALL), action
    (passing,) = (statement for action, statement in granted(policy) if action == "iam:PassRole")
    services = passing["Condition"]["StringEquals"]["iam:PassedToService"]
    plain = expanded()
    trusted = {
        statement["Principal"]["Service"]
        for resource in plain["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
        for statement in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    }
    assert trusted <= set(services)


def test_the_policy_is_one_that_iam_takes() -> None:
    text = (LAMBDAS / "deployer-policy.json").read_text()
    filled = text.replace("STACK", "s" * 20).replace("ACCOUNT", "1" * 12).replace("REGION", "ap-southeast-2")
    assert len(re.sub(r"\s", "", filled)) <= 6144  # of a managed policy


def test_every_module_that_speaks_with_aws_is_in_one_of_these_lists() -> None:
    speaking = {path.stem for path in DEPLOY.glob("*.py") if re.search(r'client\("', path.read_text())}
    assert speaking <= {*MODULES, *ENDPOINT, *LOCAL}
