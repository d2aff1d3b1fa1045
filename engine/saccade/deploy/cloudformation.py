"""CloudFormation: what a stack is, change sets that bring it up, its end."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from saccade.deploy import bucket as buckets
from saccade.deploy.account import Account
from saccade.errors import ConfigError

log = logging.getLogger(__name__)

INLINE_BYTES = 51_200
"""Largest template in a request."""

_BROKEN = ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED")
"""States of a stack that never came up; it can only be deleted."""

Change = tuple[str, str, str]
"""Action, resource, type."""


def bring_up(
    account: Account, name: str, bucket: str, plain: Mapping[str, Any], parameters: Mapping[str, str], *,
    template_key: str = "template.json",
) -> dict[str, str]:  # fmt: skip
    """Create or update a stack by a plain template; returns its outputs.

    bucket : private, made before; the template is put there. Parameters that are not given stay as they are, and have
    the template's defaults the first time. A stack that never came up is deleted and made anew.
    """
    client = account.client("cloudformation")
    there = described(client, name)
    if there is not None and there["StackStatus"] in _BROKEN:
        log.warning("%s never came up (%s): it is deleted and made anew", name, there["StackStatus"])
        delete(client, name)
        there = None
    body, said = _request(name, plain, there, parameters)
    buckets.put(account.client("s3"), account, bucket, template_key, body.encode(), replace=True)
    url = f"https://{bucket}.s3.{account.region}.amazonaws.com/{template_key}"
    _apply(client, name, {"TemplateURL": url, "Parameters": said}, exists=_exists(there))
    return outputs(described(client, name))


def preview(account: Account, name: str, plain: Mapping[str, Any], parameters: Mapping[str, str]) -> list[Change]:
    """What `bring_up` would do. Nothing is changed; an empty list means up to date."""
    client = account.client("cloudformation")
    there = described(client, name)
    body, said = _request(name, plain, there, parameters)
    if there is None or not _exists(there) or there["StackStatus"] in _BROKEN:
        return [("Add", resource, about["Type"]) for resource, about in plain["Resources"].items()]
    if len(body) > INLINE_BYTES:
        raise ConfigError(f"the template has {len(body)} bytes, too many to be compared without an upload")
    change = _change_set(client, name, {"TemplateBody": body, "Parameters": said}, exists=True)
    if change is None:
        return []
    found = client.describe_change_set(ChangeSetName=change)["Changes"]
    client.delete_change_set(ChangeSetName=change)
    changes = [item["ResourceChange"] for item in found]
    return [
        ("Replace" if c.get("Replacement") == "True" else c["Action"], c["LogicalResourceId"], c["ResourceType"])
        for c in changes
    ]


def described(client: Any, name: str) -> Any:
    """The stack, or None where there is none."""
    try:
        stack = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return None
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def status(account: Account, name: str) -> dict[str, Any]:
    """State, parameters and outputs of a stack; ConfigError where there is none."""
    there = described(account.client("cloudformation"), name)
    if there is None:
        raise ConfigError(f"there is no stack {name} in account {account.id}, {account.region}")
    report: dict[str, Any] = {
        "stack": name, "account": account.id, "region": account.region, "state": there["StackStatus"],
        "parameters": given(there), "outputs": outputs(there),
    }  # fmt: skip
    if reason := there.get("StackStatusReason"):
        report["reason"] = reason
    return report


def outputs(stack: Any) -> dict[str, str]:
    """Of a stack that is described."""
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}


def given(there: Any) -> dict[str, str]:
    """The parameters that a stack was given so far; none where there is no stack."""
    if there is None or not _exists(there):
        return {}
    return {p["ParameterKey"]: str(p.get("ParameterValue", "")) for p in there.get("Parameters", ())}


def check_kind(name: str, plain: Mapping[str, Any], there: Any) -> None:
    """ConfigError where the stack of that name was made by another template: it would lose all that it has.

    there : as it is described; None where there is none.
    """
    if _exists(there) and not given(there).keys() & plain["Parameters"].keys():
        raise ConfigError(f"stack {name} is there and is something else; use another name")


def resources(client: Any, name: str) -> list[dict[str, Any]]:
    """What a stack has made."""
    pages = client.get_paginator("list_stack_resources").paginate(StackName=name)
    return [r for page in pages for r in page["StackResourceSummaries"] if r.get("PhysicalResourceId")]


def delete(client: Any, name: str) -> None:
    """Delete a stack, and wait until it is gone."""
    client.delete_stack(StackName=name)
    try:
        client.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 240})
    except WaiterError as error:
        raise ConfigError(f"stack {name} was not deleted: {_first_failure(client, name)}") from error


def _request(
    name: str, plain: Mapping[str, Any], there: Any, parameters: Mapping[str, str]
) -> tuple[str, list[dict[str, Any]]]:
    """The template as text, and what is said of its parameters."""
    check_kind(name, plain, there)
    said: list[dict[str, Any]] = [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()]
    # One that is left out would fall back to the template's default.
    kept = given(there).keys() & plain["Parameters"].keys() - parameters.keys()
    said += [{"ParameterKey": key, "UsePreviousValue": True} for key in sorted(kept)]
    return json.dumps(plain, sort_keys=True, separators=(",", ":")), said


def _change_set(client: Any, name: str, request: Mapping[str, Any], *, exists: bool) -> str | None:
    """Its name; None where there is nothing to change."""
    kind = {"ChangeSetType": "UPDATE"} if exists else {"ChangeSetType": "CREATE", "OnStackFailure": "DELETE"}
    change: str = client.create_change_set(
        StackName=name,
        ChangeSetName=f"saccade-{time.time_ns()}",  # one that was left over must not be in the way
        Capabilities=["CAPABILITY_IAM"],
        **kind,
        **request,
    )["Id"]
    try:
        client.get_waiter("change_set_create_complete").wait(
            ChangeSetName=change, WaiterConfig={"Delay": 3, "MaxAttempts": 100}
        )
    except WaiterError:
        reason = client.describe_change_set(ChangeSetName=change).get("StatusReason", "")
        client.delete_change_set(ChangeSetName=change)
        if "didn't contain changes" in reason or "No updates" in reason:
            return None
        raise ConfigError(f"CloudFormation refuses the change of {name}: {reason}") from None
    return change


def _apply(client: Any, name: str, request: Mapping[str, Any], *, exists: bool) -> None:
    change = _change_set(client, name, request, exists=exists)
    if change is None:
        log.info("%s is up to date", name)
        return
    client.execute_change_set(ChangeSetName=change)
    waiter: Any = client.get_waiter("stack_update_complete" if exists else "stack_create_complete")
    try:
        waiter.wait(StackName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 240})
    except WaiterError as error:
        raise ConfigError(f"stack {name} did not come up: {_first_failure(client, name)}") from error


def _exists(there: Any) -> bool:
    """Whether it can be updated; a change set alone, which a creation may replace, cannot."""
    return there is not None and there["StackStatus"] != "REVIEW_IN_PROGRESS"


def _first_failure(client: Any, name: str) -> str:
    try:
        events = client.describe_stack_events(StackName=name)["StackEvents"]
    except ClientError:  # it was taken back already
        return "the events of the stack in the console of CloudFormation (deleted stacks) say why"
    begun = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
    last = [  # the newest come first; what is older than this change is another story
        i for i, e in enumerate(events) if e.get("ResourceStatus") in begun and e["PhysicalResourceId"] == e["StackId"]
    ]
    events = events[: last[0] + 1] if last else events
    failed = [event for event in reversed(events) if event.get("ResourceStatus", "").endswith("_FAILED")]
    if not failed:
        return "no reason given"
    return f"{failed[0].get('LogicalResourceId')}: {failed[0].get('ResourceStatusReason')}"
