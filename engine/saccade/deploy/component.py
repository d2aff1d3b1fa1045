"""An edge function as a Greengrass component: recipe, artifact, version, deployment."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError

from saccade.deploy import bucket as buckets
from saccade.deploy.account import Account
from saccade.errors import ConfigError

log = logging.getLogger(__name__)

FOLDERS = {"faces": "faces_to_s3", "head-pose": "head_pose", "classify": "classify"}
"""App -> folder of its function."""

MODELS = {"faces": ("blazeface-full",), "head-pose": ("blazeface-full", "face-mesh"), "classify": ("dog-or-cat",)}
"""App -> networks of the catalogue that it takes where none is given."""

_TAG = "saccade-recipe"


def recipe(function: Path, artifact: str, version: str) -> dict[str, Any]:
    """The function's recipe, filled in. artifact : bucket and folder of saccade.zip. version : as 0.1.0."""
    path = function / "recipe.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    filled: dict[str, Any] = yaml.safe_load(text.replace("s3://ARTIFACT/", f"s3://{artifact}/"))
    filled["ComponentVersion"] = version
    return filled


def configuration(filled: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """What a deployment lays over the recipe's defaults; ConfigError for a setting that the recipe does not have."""
    known = filled["ComponentConfiguration"]["DefaultConfiguration"].keys() - {"accessControl"}
    for name in given:
        if name not in known:
            raise ConfigError(f"--set {name}: no such setting of {filled['ComponentName']}; it has {sorted(known)}")
    return dict(given)


def variables(filled: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """The function's environment on the device, as far as it says something; its file is not in it.

    given : settings of a deployment, over the recipe's defaults.
    """
    defaults = filled["ComponentConfiguration"]["DefaultConfiguration"]
    said = {name: text for name, text in {**defaults, **given}.items() if name not in ("accessControl", "config")}
    return {f"SACCADE_{name.upper()}": text for name, text in said.items() if text}


def upload(account: Account, bucket: str, artifact: Path) -> str:
    """Put the zip under its hash into the bucket; returns bucket and folder, for `recipe`."""
    digest = hashlib.sha256()
    with artifact.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    folder = f"components/{digest.hexdigest()[:32]}"
    with account.said(f"the component cannot be put into {bucket}"):
        buckets.put(account.client("s3"), account, bucket, f"{folder}/saccade.zip", artifact)
    return f"{bucket}/{folder}"


def publish(account: Account, function: Path, artifact: str, version: str) -> tuple[dict[str, Any], str]:
    """Make the component's version, unless this very recipe is there; returns the recipe and its version's name.

    A version can never be changed: a recipe that differs from all that are there gets the next number.
    """
    greengrass = account.client("greengrassv2")
    bare = recipe(function, artifact, "0.0.0")
    digest = hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()
    arn = account.arn("greengrass", f"components:{bare['ComponentName']}")
    with account.said(f"component {bare['ComponentName']} cannot be published"):
        versions = []
        for page in _pages(greengrass.list_component_versions, "componentVersions", arn=arn):
            about = greengrass.describe_component(arn=page["arn"])
            if about.get("tags", {}).get(_TAG) == digest:
                log.info("%s %s is there already", bare["ComponentName"], page["componentVersion"])
                return recipe(function, artifact, page["componentVersion"]), str(page["componentVersion"])
            versions.append(page["componentVersion"])
        version = _next(version, versions)
        filled = recipe(function, artifact, version)
        greengrass.create_component_version(inlineRecipe=json.dumps(filled).encode(), tags={_TAG: digest})
    return filled, version


def deploy(account: Account, thing: str, filled: Mapping[str, Any], merge: Mapping[str, str], nucleus: str = "") -> str:
    """Put the component on a device, beside what it runs already; returns the deployment's number.

    nucleus : version of the classic nucleus to stay on; without one AWS may bring a newer one with any deployment.
    """
    greengrass = account.client("greengrassv2")
    target = account.arn("iot", f"thing/{thing}")
    with account.said(f"{filled['ComponentName']} cannot be deployed to {thing}"):
        components = dict(_present(greengrass, target))
        components[filled["ComponentName"]] = {
            "componentVersion": filled["ComponentVersion"],
            # Values of an earlier deployment that are not given now become the recipe's defaults again.
            "configurationUpdate": {"reset": [""], "merge": json.dumps(dict(merge), sort_keys=True)},
        }
        if nucleus:
            components["aws.greengrass.Nucleus"] = {"componentVersion": nucleus}
        made = greengrass.create_deployment(
            targetArn=target,
            deploymentName=f"saccade on {thing}",
            components=components,
            deploymentPolicies={"failureHandlingPolicy": "ROLLBACK"},
        )
    return str(made["deploymentId"])


def _present(greengrass: Any, target: str) -> dict[str, Any]:
    """What the last deployment to a device put on it: a new one replaces all of it."""
    found = greengrass.list_deployments(targetArn=target, historyFilter="LATEST_ONLY").get("deployments", [])
    if not found:
        return {}
    return dict(greengrass.get_deployment(deploymentId=found[0]["deploymentId"]).get("components", {}))


def _next(version: str, there: list[str]) -> str:
    """The version, or the one after the highest of those that are there."""
    numbers = [tuple(map(int, v.split("."))) for v in there if re.fullmatch(r"\d+\.\d+\.\d+", v)]
    wanted = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if numbers and max(numbers) >= wanted:
        major, minor, patch = max(numbers)
        wanted = (major, minor, patch + 1)
    return ".".join(map(str, wanted))


def _pages(call: Any, name: str, **arguments: str) -> list[Any]:
    found, token = [], ""
    while True:
        try:
            answer = call(**arguments, **({"nextToken": token} if token else {}))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":  # the first version of all
                return []
            raise
        found += answer.get(name, [])
        token = answer.get("nextToken") or ""
        if not token:
            return found
