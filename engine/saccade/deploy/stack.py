"""Packages and template -> a CloudFormation stack in an AWS account, by way of a change set; its state; its end.

The template is expanded here, with the translator that AWS itself runs, so that what is deployed is what was tested and
the account needs no right to expand macros. Code goes to a private bucket under its hash: what did not change is not
uploaded and not replaced. Code that the stack does not name any more is deleted once a deployment has succeeded: Lambda
has a copy of its own, and a later deployment that fails goes back to what the stack names now.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from saccade.deploy import bucket as buckets
from saccade.deploy import cloudformation, template
from saccade.deploy.account import Account
from saccade.deploy.package import Package
from saccade.errors import ConfigError

log = logging.getLogger(__name__)

REKOGNITION = frozenset({
    "ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "ap-southeast-5",
    "ap-southeast-7", "ca-central-1", "eu-central-1", "eu-south-2", "eu-west-1", "eu-west-2", "il-central-1",
    "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2", "us-gov-west-1",
})  # fmt: skip
"""Regions that have it."""

NO_GREENGRASS = frozenset({"sa-east-1", "us-west-1", "il-central-1", "ap-southeast-7"})
"""Those of them where devices cannot be deployed to."""

ENDPOINTS = "endpoints/"
"""Folder of the artifact bucket with a folder for each endpoint."""

ENDPOINT_POLICY = "endpoint-"
"""What policies begin with by which an endpoint's stack lets devices ask it; its name follows."""


def check(name: str, region: str, source: template.Template, parameters: Mapping[str, str]) -> None:
    """Everything that can be told before anything is built; ConfigError for what cannot be."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise ConfigError(f"stack name {name!r}: buckets are named after it; use up to 20 of a-z, 0-9 and -")
    if region not in REKOGNITION:
        raise ConfigError(f"region {region} has no Rekognition; use one of {', '.join(sorted(REKOGNITION))}")
    if region in NO_GREENGRASS:
        log.warning("%s has no Greengrass: the stack works, `saccade device` does not", region)
    known = source["Parameters"]
    for key, value in parameters.items():
        if key not in known:
            raise ConfigError(f"--set {key}: no such parameter; there are {', '.join(known)}")
        if problem := _problem(known[key], value):
            raise ConfigError(f"--set {key}={value}: {problem}")


def _problem(parameter: Mapping[str, Any], value: str) -> str:
    """What is wrong with a parameter's value, or nothing."""
    allowed = parameter.get("AllowedValues")
    if allowed is not None and value not in allowed:
        return f"expected one of {', '.join(map(repr, allowed))}"
    if parameter["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            return "expected a number"
        least, most = parameter.get("MinValue", number), parameter.get("MaxValue", number)
        return (
            ""
            if least <= number <= most
            else f"expected {least} or more" + (f", up to {most}" if "MaxValue" in parameter else "")
        )
    return ""


def deploy(
    account: Account,
    name: str,
    template_path: Path,
    packages: Sequence[Package],
    parameters: Mapping[str, str],
) -> dict[str, str]:
    """Create or update stack `name`; returns its outputs. Raises `ConfigError` with what AWS says.

    Parameters that are not given stay as they are, and have the template's defaults the first time.
    """
    source = template.load(template_path)
    check(name, account.region, source, parameters)
    with account.said(f"deployment of {name} failed"):
        s3, bucket = account.client("s3"), account.artifacts(name)
        there = cloudformation.described(account.client("cloudformation"), name)
        cloudformation.check_kind(name, source, there)
        buckets.make(s3, account, bucket)
        for package in packages:
            buckets.put(s3, account, bucket, _code_key(package), package.path)
        plain = _plain(account, name, source, packages, {**cloudformation.given(there), **parameters})
        outputs = cloudformation.bring_up(account, name, bucket, plain, parameters)
        now = {_code_key(package) for package in packages}
        buckets.prune(s3, account, bucket, "", lambda key: bool(_CODE.fullmatch(key)) and key not in now)
    return outputs


def preview(
    account: Account, name: str, template_path: Path, packages: Sequence[Package], parameters: Mapping[str, str]
) -> list[cloudformation.Change]:
    """What `deploy` would do: (action, resource, type) each. Nothing is changed; an empty list means up to date."""
    source = template.load(template_path)
    check(name, account.region, source, parameters)
    with account.said(f"{name} cannot be looked at"):
        before = cloudformation.given(cloudformation.described(account.client("cloudformation"), name))
        plain = _plain(account, name, source, packages, {**before, **parameters})
        return cloudformation.preview(account, name, plain, parameters)


def present_parameters(account: Account, name: str) -> dict[str, str]:
    """What the stack was given so far; empty where there is none."""
    with account.said(f"{name} cannot be looked at"):
        return cloudformation.given(cloudformation.described(account.client("cloudformation"), name))


def status(account: Account, name: str) -> dict[str, Any]:
    """State, outputs, messages that wait or are dead, alarms that ring."""
    with account.said(f"{name} cannot be looked at"):
        report = cloudformation.status(account, name)
        outputs, sqs = report["outputs"], account.client("sqs")
        for output, word in (("FacesQueueUrl", "waiting"), ("DeadFacesQueueUrl", "dead")):
            if output in outputs:
                names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
                counts = sqs.get_queue_attributes(QueueUrl=outputs[output], AttributeNames=names)["Attributes"]
                report[word] = sum(int(counts[n]) for n in names)
        alarms = account.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{name}-", StateValue="ALARM")
        report["alarms"] = [alarm["AlarmName"] for alarm in alarms["MetricAlarms"]]
    return report


def holdings(account: Account, name: str, template_path: Path) -> tuple[list[str], list[str]]:
    """Buckets and tables of a stack, which hold data: what `delete` would take away.

    ConfigError where the stack is another template's.
    """
    with account.said(f"{name} cannot be looked at"):
        client = account.client("cloudformation")
        there = cloudformation.described(client, name)
        cloudformation.check_kind(name, template.load(template_path), there)
        found = cloudformation.resources(client, name) if there is not None else []
    kinds = ("AWS::S3::Bucket", "AWS::DynamoDB::Table")
    held, tables = ([r["PhysicalResourceId"] for r in found if r["ResourceType"] == kind] for kind in kinds)
    return held, tables


def delete(account: Account, name: str, template_path: Path) -> None:
    """Stack, pictures, rows and code go. Devices and endpoints are things and stacks of their own.

    ConfigError, and nothing is touched, while there are endpoints, and where the stack is another template's.
    """
    held, tables = holdings(account, name, template_path)
    with account.said(f"{name} cannot be deleted"):
        s3, client = account.client("s3"), account.client("cloudformation")
        if users := _endpoints(account, name):
            raise ConfigError(f"endpoint {users[0]} still hangs on {name}: saccade cloud endpoint down, then again")
        for bucket in held:
            buckets.empty(s3, account, bucket)
        # Before the stack, which leaves them there: once it has gone nobody knows of them any more.
        dynamodb = account.client("dynamodb")
        for table in tables:
            try:
                dynamodb.delete_table(TableName=table)
            except ClientError as error:
                if error.response["Error"]["Code"] != "ResourceNotFoundException":  # went with a try before
                    raise
        if cloudformation.described(client, name) is not None:
            cloudformation.delete(client, name)
        code = account.artifacts(name)
        if buckets.empty(s3, account, code):
            s3.delete_bucket(Bucket=code, ExpectedBucketOwner=account.id)


def device_role(account: Account, name: str) -> str:
    """Name of the role that devices take on; empty where there is no such stack."""
    client = account.client("cloudformation")
    if cloudformation.described(client, name) is None:
        return ""
    found = [r for r in cloudformation.resources(client, name) if r["LogicalResourceId"] == "DeviceRole"]
    return str(found[0]["PhysicalResourceId"]) if found else ""


def _endpoints(account: Account, name: str) -> list[str]:
    """Endpoints that would break: their models lie in the stack's bucket, and their stacks' policies hold its role."""
    found = set(buckets.folders(account.client("s3"), account, account.artifacts(name), ENDPOINTS))
    if role := device_role(account, name):
        pages = account.client("iam").get_paginator("list_role_policies").paginate(RoleName=role)
        names = [name for page in pages for name in page["PolicyNames"]]
        found |= {n.removeprefix(ENDPOINT_POLICY) for n in names if n.startswith(ENDPOINT_POLICY)}
    return sorted(found)


_CODE = re.compile(r"[a-z0-9_]+-[0-9a-f]{32}\.zip")
"""Keys that `_code_key` makes."""


def _code_key(package: Package) -> str:
    return f"{package.name}-{package.digest[:32]}.zip"


def _plain(
    account: Account, name: str, source: template.Template, packages: Sequence[Package], parameters: Mapping[str, str]
) -> template.Template:
    """The plain template, with the places of the code."""
    locations = {p.name: f"s3://{account.artifacts(name)}/{_code_key(p)}" for p in packages}
    return template.expand(template.with_code(source, locations), account.region, parameters)
