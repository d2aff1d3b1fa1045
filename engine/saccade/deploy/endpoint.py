"""A model behind Amazon SageMaker: a stack of its own with repository, build, model and endpoint.

The stack comes up in two steps, as a model cannot be made before its image: first repository and build, then, with the
image's digest, the rest. The endpoint, its stack and its repository have one name. Model and source lie in the bucket
of the cloud stage, below a folder of the endpoint.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import ClientError

from saccade.deploy import bucket as buckets
from saccade.deploy import cloudformation, image, stack, template
from saccade.deploy.account import Account
from saccade.deploy.model_archive import Packed
from saccade.errors import ConfigError

log = logging.getLogger(__name__)

MEMORY = (1024, 2048, 3072, 4096, 5120, 6144)
"""That a serverless endpoint may have, MB."""

Builder = Literal["codebuild", "buildah"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an endpoint runs on; None: as it is, the first time as the template says.

    instance : type of machine that always runs; empty: serverless. instances : how many. memory : MB of a serverless
    one. concurrency : pictures that it works on at the same time.
    """

    instance: str | None = None
    instances: int | None = None
    memory: int | None = None
    concurrency: int | None = None

    def parameters(self) -> dict[str, str]:
        """Those of the template that are given."""
        said = {
            "Instance": self.instance, "Instances": self.instances, "Memory": self.memory,
            "Concurrency": self.concurrency,
        }  # fmt: skip
        return {name: str(value) for name, value in said.items() if value is not None}


def full_name(stack_name: str, name: str) -> str:
    """Of endpoint, stack and repository; ConfigError for a name that cannot be."""
    if not re.fullmatch(r"(?=.{1,20}$)[a-z](-?[a-z0-9])*", stack_name):
        raise ConfigError(f"stack name {stack_name!r}: use up to 20 of a-z, 0-9 and single -")
    if not re.fullmatch(r"[a-z0-9](-?[a-z0-9]){0,30}", name):
        raise ConfigError(f"endpoint {name!r}: use up to 31 of a-z, 0-9 and single -")
    return f"{stack_name}-{name}"


def check(account: Account, shape: Shape, builder: Builder) -> None:
    """Everything that can be told before anything is built; ConfigError for what cannot be."""
    session, region = account.session, account.region
    with account.said(f"region {region}"):
        partition = session.get_partition_for_region(region)
    for service in ("sagemaker", "codebuild") if builder == "codebuild" else ("sagemaker",):
        regions = session.get_available_regions(service, partition)
        if region not in regions:
            hint = "build with --build buildah" if service == "codebuild" else f"use one of {', '.join(regions)}"
            raise ConfigError(f"region {region} has no {service}; {hint}")
    if shape.memory is not None and shape.memory not in MEMORY:
        raise ConfigError(f"--memory {shape.memory}: expected one of {', '.join(map(str, MEMORY))}")
    for name, value, most in (("concurrency", shape.concurrency, 200), ("instances", shape.instances, 10)):
        if value is not None and not 1 <= value <= most:
            raise ConfigError(f"--{name} {value}: expected 1 to {most}")
    if shape.instance:
        _check_instance(account, shape.instance)


def _check_instance(account: Account, instance: str) -> None:
    known = account.client("sagemaker").meta.service_model.shape_for("ProductionVariantInstanceType").enum
    if instance not in known:
        raise ConfigError(f"--instance {instance}: SageMaker has no such type; ml.c5.large and ml.m5.large are small")
    if not re.match(r"ml\.[tmcr]\d+(?!g)[a-z]*\.", instance):
        raise ConfigError(f"--instance {instance}: the image is for x86-64 processors; use ml.c5., ml.m5. and the like")


def parameters(account: Account, name: str, shape: Shape, plain: Mapping[str, Any]) -> dict[str, str]:
    """What the endpoint will be: what is given over what it was given over the template's defaults.

    ConfigError where it cannot become that.
    """
    with account.said(f"{name} cannot be looked at"):
        there = cloudformation.described(account.client("cloudformation"), name)
    cloudformation.check_kind(name, plain, there)
    before = cloudformation.given(there)
    if before.get("Instance") and before.get("Image") and shape.instance == "":
        raise ConfigError(f"{name} runs on machines, of which SageMaker makes nothing serverless; take it down first")
    defaults = {key: str(about.get("Default", "")) for key, about in plain["Parameters"].items()}
    return {**defaults, **before, **shape.parameters()}


def preview(
    account: Account, stack_name: str, name: str, template_path: Path, packed: Packed, source: image.BuildContext,
    shape: Shape,
) -> tuple[bool, list[cloudformation.Change]]:  # fmt: skip
    """Whether an image would be built, and what would change in the stack. Nothing is changed."""
    plain = template.load(template_path)
    with account.said(f"{name} cannot be looked at"):
        there = image.find(account, name, source.tag)
        said = _parameters(account, stack_name, name, packed, shape) | {"Image": there or f"{name}:{source.tag}"}
        return not there, cloudformation.preview(account, name, plain, said)


def up(
    account: Account, stack_name: str, name: str, template_path: Path, packed: Packed, source: image.BuildContext,
    shape: Shape, builder: Builder = "codebuild",
) -> dict[str, str]:  # fmt: skip
    """Create or update the endpoint `name`; returns its stack's outputs. Raises ConfigError with what AWS says.

    stack_name : the cloud stage, whose devices may ask the endpoint; without one nobody but the account may.
    """
    plain = template.load(template_path)
    parameters(account, name, shape, plain)
    with account.said(f"endpoint {name} did not come up"):
        s3, bucket = account.client("s3"), account.artifacts(stack_name)
        buckets.make(s3, account, bucket)
        said = _parameters(account, stack_name, name, packed, shape)
        buckets.put(s3, account, bucket, said["Model"], packed.path)
        place = {"template_key": f"{said['Prefix']}/template.json"}
        there = image.find(account, name, source.tag)
        if not there:
            key = f"{said['Prefix']}/source-{source.tag}.zip" if builder == "codebuild" else ""
            if key:
                buckets.put(s3, account, bucket, key, source.path)
            first = {"Bucket": bucket, "Prefix": said["Prefix"], "Source": key, "Base": source.base}
            cloudformation.bring_up(account, name, bucket, plain, first, **place)
            if key:
                image.build_there(account, name, source.tag)
            else:
                image.build_here(account, name, source)
            there = image.find(account, name, source.tag)
            if not there:
                raise ConfigError(f"the image {name}:{source.tag} was built and is not in its repository")
        outputs = cloudformation.bring_up(account, name, bucket, plain, said | {"Image": there}, **place)
        now = cloudformation.given(cloudformation.described(account.client("cloudformation"), name))
        # Machines that are added or replaced fetch the model anew: that of the stack stays.
        used = {said["Model"], now["Source"], place["template_key"]}
        buckets.prune(s3, account, bucket, f"{said['Prefix']}/", lambda key: key not in used)
    return outputs


def status(account: Account, name: str) -> dict[str, Any]:
    """State, parameters and outputs of the stack; the endpoint's own state, and why it failed."""
    with account.said(f"{name} cannot be looked at"):
        report = cloudformation.status(account, name)
        try:
            found = account.client("sagemaker").describe_endpoint(EndpointName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ValidationException", "ValidationError", "ResourceNotFound"):
                raise
            return report | {"endpoint": "not made yet"}
    report["endpoint"] = found["EndpointStatus"]
    if reason := found.get("FailureReason"):
        report["why"] = reason
    return report


def down(account: Account, stack_name: str, name: str, template_path: Path) -> list[str]:
    """Take endpoint, image and model away; what is not there is no error. Returns what was deleted, in words."""
    plain, done = template.load(template_path), []
    with account.said(f"endpoint {name} cannot be deleted"):
        s3, client, bucket = account.client("s3"), account.client("cloudformation"), account.artifacts(stack_name)
        there = cloudformation.described(client, name)
        if there is not None:
            cloudformation.check_kind(name, plain, there)
            cloudformation.delete(client, name)
            done.append("stack")
        if buckets.count(s3, account, bucket, _prefix(name) + "/"):
            buckets.empty(s3, account, bucket, _prefix(name) + "/")
            done.append("model")
        if cloudformation.described(client, stack_name) is None and buckets.count(s3, account, bucket) == 0:
            s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account.id)  # nobody else uses it
            done.append("bucket")
    return done


def _prefix(name: str) -> str:
    return f"{stack.ENDPOINTS}{name}"


def _parameters(account: Account, stack_name: str, name: str, packed: Packed, shape: Shape) -> dict[str, str]:
    role = stack.device_role(account, stack_name)
    if not role:
        log.info("there is no stack %s: devices get no right to ask %s", stack_name, name)
    return {
        "Bucket": account.artifacts(stack_name),
        "Prefix": _prefix(name),
        "Model": f"{_prefix(name)}/model-{packed.digest[:32]}.tar.gz",
        "DeviceRole": role,
        **shape.parameters(),
    }
