"""A camera in an AWS account: thing, certificate and policy that a Greengrass core device connects with.

The policy names the thing literally: variables of AWS IoT policies hold for MQTT connections only, and a core device
also speaks HTTPS. So one device cannot connect, publish or write as another, whatever its software does.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
from botocore.exceptions import BotoCoreError, ClientError

from saccade.deploy.account import Account
from saccade.errors import ConfigError, SaccadeError
from saccade.private import private_folder
from saccade.storage import atomic

log = logging.getLogger(__name__)

POLICY_CHARACTERS = 2048
"""Most that AWS IoT takes of a policy, white space not counted."""

NUCLEI = {
    "classic": ("aws.greengrass.Nucleus", "/greengrass/v2"),
    "lite": ("aws.greengrass.NucleusLite", "/var/lib/greengrass"),
}
"""Kind of nucleus -> its component, and its folder on the device."""

_ROOT = "Amazon Root CA 1"


@dataclass(frozen=True, slots=True)
class Registered:
    """What a device was given. folder : with certificate, key and configuration, for the device."""

    thing: str
    certificate: str
    policy: str
    folder: Path


def check_name(name: str) -> str:
    """A thing's name, else ConfigError. It is part of topics, keys and client names: plain characters only."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ConfigError(f"device {name!r}: use up to 64 of a-z, A-Z, 0-9, - and _")
    return name


def policy(account: Account, stack: str, thing: str) -> dict[str, Any]:
    """The device's IoT policy; ConfigError where it would be longer than AWS IoT allows."""

    def arn(kind: str) -> str:
        return account.arn("iot", kind)

    own, shadow, jobs = f"$aws/things/{thing}", "shadow/*", "jobs/*"
    health = [f"{own}/{version}/health/json" for version in ("greengrass", "greengrassv2")]
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {  # the nucleus' further connections are called THING#2 and so on
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": [arn(f"client/{thing}"), arn(f"client/{thing}#*")],
            },
            {"Effect": "Allow", "Action": "iot:Publish", "Resource": arn(f"topic/saccade/{thing}/*")},
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": [arn(f"topic/{name}") for name in (*health, f"{own}/{jobs}", f"{own}/{shadow}")],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [arn(f"topicfilter/{own}/{jobs}"), arn(f"topicfilter/{own}/{shadow}")],
            },
            {
                "Effect": "Allow",
                "Action": "iot:AssumeRoleWithCertificate",
                "Resource": arn(f"rolealias/{role_alias(stack)}"),
            },
            {  # the certificate says which device asks; these have no narrower resource that AWS documents as working
                "Effect": "Allow",
                "Action": [
                    "greengrass:GetComponentVersionArtifact",
                    "greengrass:GetDeploymentConfiguration",
                    "greengrass:ListThingGroupsForCoreDevice",
                    "greengrass:ResolveComponentCandidates",
                ],
                "Resource": "*",
            },
        ],
    }
    size = len(re.sub(r"\s", "", json.dumps(document)))
    if size > POLICY_CHARACTERS:
        raise ConfigError(f"device {thing}: its policy has {size} characters, AWS IoT takes 2048; use a shorter name")
    return document


def role_alias(stack: str) -> str:
    """The alias by which devices take on the stack's role."""
    return f"{stack}-device"


def policy_name(stack: str, thing: str) -> str:
    """Of a device's policy."""
    return f"{stack}-device-{thing}"


def register(account: Account, stack: str, thing: str, folder: Path, *, csr: str = "", nucleus: str = "") -> Registered:
    """Make thing, certificate and policy, and write what the device needs into `folder`.

    csr : certificate request (PEM) made on the device, whose key then never leaves it; empty: a key is made too.
    nucleus : one of `NUCLEI`. Raises ConfigError; what was made before the failure is removed again.
    """
    document = json.dumps(policy(account, stack, check_name(thing)), separators=(",", ":"))
    iot = account.client("iot")
    with account.said(f"device {thing} cannot be registered"):
        if _thing(iot, thing):
            raise ConfigError(f"device {thing} is registered already; `saccade device remove {thing}` takes it away")
        alias = _alias(iot, stack)
        is_new = _private_folder(folder)
        certificate, files = "", {"device.pem.crt": "", "AmazonRootCA1.pem": _root_certificate()}
        try:
            iot.create_thing(thingName=thing)
            made = (
                iot.create_certificate_from_csr(certificateSigningRequest=csr, setAsActive=True)
                if csr
                else iot.create_keys_and_certificate(setAsActive=True)
            )
            certificate, name = str(made["certificateArn"]), policy_name(stack, thing)
            # Exclusive: the certificate speaks for this thing and no other.
            iot.attach_thing_principal(thingName=thing, principal=certificate, thingPrincipalType="EXCLUSIVE_THING")
            iot.create_policy(policyName=name, policyDocument=document)
            iot.attach_policy(policyName=name, target=certificate)
            files["device.pem.crt"] = made["certificatePem"]
            if not csr:
                files["private.pem.key"] = made["keyPair"]["PrivateKey"]
            files["config.yaml"] = _configuration(iot, account, alias, thing, nucleus or "classic")
            _write(folder, files)
        except BaseException:
            # A key whose certificate is gone is of no use, and would be in the way of the next try.
            for file in files:
                (folder / file).unlink(missing_ok=True)
            if is_new:
                folder.rmdir()
            try:
                remove(account, stack, thing)
                if certificate and _absent(iot.describe_certificate, certificateId=_identity(certificate)) is not None:
                    _end_certificate(iot, certificate)  # it was not the thing's yet
            except (SaccadeError, ClientError, BotoCoreError) as error:
                log.warning("device %s: what was made of it stays: %s; saccade device remove %s", thing, error, thing)
            raise
    return Registered(thing, certificate, name, folder)


def remove(account: Account, stack: str, thing: str) -> list[str]:
    """Take a device away, certificates and all; what is not there is no error. Returns what was removed, in words."""
    iot, done = account.client("iot"), []
    name = policy_name(stack, check_name(thing))
    with account.said(f"device {thing} cannot be removed"):
        try:
            if _absent(account.client("greengrassv2").delete_core_device, coreDeviceThingName=thing) is not None:
                done.append("core device")  # one that never connected is none
        except (ClientError, BotoCoreError) as error:
            log.warning("core device %s stays in Greengrass's list: %s", thing, error)
        if _thing(iot, thing):
            for principal in _all(iot.get_paginator("list_thing_principals"), "principals", thingName=thing):
                iot.detach_thing_principal(thingName=thing, principal=principal)
                done.append(_end_certificate(iot, principal))
            iot.delete_thing(thingName=thing)
            done.append("thing")
        if _absent(iot.get_policy, policyName=name) is not None:
            for target in _all(iot.get_paginator("list_targets_for_policy"), "targets", policyName=name):
                iot.detach_policy(policyName=name, target=target)
            iot.delete_policy(policyName=name)
            done.append("policy")
    return done


def _end_certificate(iot: Any, principal: str) -> str:
    identity = _identity(principal)
    for policy in _all(iot.get_paginator("list_attached_policies"), "policies", target=principal):
        iot.detach_policy(policyName=policy["policyName"], target=principal)
    iot.update_certificate(certificateId=identity, newStatus="INACTIVE")
    iot.delete_certificate(certificateId=identity, forceDelete=True)
    return "certificate"


def _identity(certificate: str) -> str:
    return certificate.rpartition("/")[2]


def _thing(iot: Any, thing: str) -> bool:
    return _absent(iot.describe_thing, thingName=thing) is not None


def _alias(iot: Any, stack: str) -> str:
    alias = role_alias(stack)
    if _absent(iot.describe_role_alias, roleAlias=alias) is None:
        raise ConfigError(f"stack {stack} is not in this account and region: deploy it first (saccade cloud deploy)")
    return alias


def _all(paginator: Any, what: str, **arguments: str) -> list[Any]:
    """What a call lists, of all its pages."""
    return [item for page in paginator.paginate(**arguments) for item in page[what]]


def _absent(call: Any, **arguments: str) -> Any:
    """The answer, or None where there is no such thing."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None


def _write(folder: Path, files: Mapping[str, str]) -> None:
    try:
        for file, text in files.items():
            atomic.write(folder / file, text.encode(), mode=0o600)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; give another folder with --out") from None


def _private_folder(folder: Path) -> bool:
    """Make a folder that is its owner's only, or make an empty one so; True for a new one."""
    try:
        is_new = not folder.exists()
        private_folder(folder)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; give another folder with --out")
        folder.chmod(0o700)
        return is_new
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; give another folder with --out") from None


def _root_certificate() -> str:
    """Amazon's root, as the certificate bundle has it that HTTPS goes by here."""
    bundle = Path(certifi.where()).read_text(encoding="utf-8")
    found = re.search(
        rf"# Label: \"{_ROOT}\".*?(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)", bundle, re.S
    )
    if found is None:
        raise ConfigError(f"{certifi.where()} has no {_ROOT}; renew certifi")
    return found[1] + "\n"


def _configuration(iot: Any, account: Account, alias: str, thing: str, kind: str) -> str:
    """The nucleus' own configuration, for the place that its manual names."""
    component, root = NUCLEI[kind]
    endpoints = {
        name: iot.describe_endpoint(endpointType=kind_of)["endpointAddress"]
        for name, kind_of in (("iotDataEndpoint", "iot:Data-ATS"), ("iotCredEndpoint", "iot:CredentialProvider"))
    }
    users: Mapping[str, Any] = {"runWithDefault": {"posixUser": "gg_component:gg_component"}} if kind == "lite" else {}
    document = {
        "system": {
            "certificateFilePath": f"{root}/device.pem.crt",
            "privateKeyPath": f"{root}/private.pem.key",
            "rootCaPath": f"{root}/AmazonRootCA1.pem",
            "rootPath" if kind == "lite" else "rootpath": root,
            "thingName": thing,
        },
        "services": {
            component: {
                "componentType": "NUCLEUS",
                "configuration": {"awsRegion": account.region, "iotRoleAlias": alias, **endpoints, **users},
            }
        },
    }
    return json.dumps(document, indent=2) + "\n"  # JSON is YAML
