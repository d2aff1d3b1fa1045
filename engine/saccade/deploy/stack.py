"""Packages and template -> a CloudFormation stack in an AWS account, by way of a change set.

The template is expanded here, with the translator that AWS itself runs, so that what is deployed is what was tested and
the account needs no right to expand macros. Code goes to a private bucket under its hash: what did not change is not
uploaded and not replaced.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from saccade.deploy import template
from saccade.deploy.package import Package
from saccade.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


def deploy(
    session: boto3.Session,
    name: str,
    template_path: Path,
    packages: Iterable[Package],
    parameters: Mapping[str, str],
) -> dict[str, str]:
    """Create or update stack `name`; returns its outputs. Raises `ConfigError` with what AWS says."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise ConfigError(f"stack name {name!r}: buckets are named after it; use up to 20 of a-z, 0-9 and -")
    region = session.region_name
    if not region:
        raise ConfigError("no AWS region; give --region or set AWS_REGION")
    try:
        account = session.client("sts").get_caller_identity()["Account"]
        s3: S3Client = session.client("s3")
        bucket = f"{name}-artifacts-{account}-{region}"
        _make_bucket(s3, bucket, region)
        locations = {}
        for package in packages:
            key = f"{package.name}-{package.digest[:32]}.zip"
            _put(s3, bucket, key, package.path.read_bytes())
            locations[package.name] = f"s3://{bucket}/{key}"
        plain = template.expand(template.with_code(template.load(template_path), locations), region, parameters)
        body = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
        _put(s3, bucket, "template.json", body, replace=True)
        cloudformation: CloudFormationClient = session.client("cloudformation")
        _apply(cloudformation, name, f"https://{bucket}.s3.{region}.amazonaws.com/template.json", parameters)
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except (ClientError, BotoCoreError) as error:
        raise ConfigError(f"deployment of {name} failed: {error}") from error
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}


def _make_bucket(s3: S3Client, bucket: str, region: str) -> None:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        # us-east-1 is the one region that may not be named here.
        place: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **place)
        closed = dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
        )
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed)  # type: ignore[arg-type]
        log.info("made the bucket %s for code", bucket)


def _put(s3: S3Client, bucket: str, key: str, data: bytes, *, replace: bool = False) -> None:
    condition: Any = {} if replace else {"IfNoneMatch": "*"}
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=data, **condition)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
            raise
        log.info("%s is there already", key)


def _apply(cloudformation: CloudFormationClient, name: str, url: str, parameters: Mapping[str, str]) -> None:
    exists = _exists(cloudformation, name)
    change = cloudformation.create_change_set(
        StackName=name,
        ChangeSetName="saccade",
        ChangeSetType="UPDATE" if exists else "CREATE",
        TemplateURL=url,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )["Id"]
    try:
        cloudformation.get_waiter("change_set_create_complete").wait(
            ChangeSetName=change, WaiterConfig={"Delay": 3, "MaxAttempts": 100}
        )
    except WaiterError:
        described = cloudformation.describe_change_set(ChangeSetName=change)
        reason = described.get("StatusReason", "")
        cloudformation.delete_change_set(ChangeSetName=change)
        if "didn't contain changes" in reason or "No updates" in reason:
            log.info("%s is up to date", name)
            return
        raise ConfigError(f"CloudFormation refuses the change of {name}: {reason}") from None
    cloudformation.execute_change_set(ChangeSetName=change)
    waiter: Any = cloudformation.get_waiter("stack_update_complete" if exists else "stack_create_complete")
    try:
        waiter.wait(StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 240})
    except WaiterError as error:
        raise ConfigError(f"stack {name} did not come up: {_first_failure(cloudformation, name)}") from error


def _exists(cloudformation: CloudFormationClient, name: str) -> bool:
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError:
        return False
    return stack["StackStatus"] != "REVIEW_IN_PROGRESS"  # a change set alone, which CREATE may replace


def _first_failure(cloudformation: CloudFormationClient, name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failed = [event for event in reversed(events) if event.get("ResourceStatus", "").endswith("_FAILED")]
    if not failed:
        return "no reason given"
    return f"{failed[0].get('LogicalResourceId')}: {failed[0].get('ResourceStatusReason')}"
