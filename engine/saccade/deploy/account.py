"""An AWS account and region, as the commands that deploy into it need it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from saccade.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Account:
    """session : with credentials and region. id : twelve digits."""

    session: boto3.Session
    id: str

    @property
    def region(self) -> str:
        """Its name, as eu-central-1."""
        return str(self.session.region_name)

    def client(self, service: str) -> Any:
        """A client of a service in this region."""
        return self.session.client(service)

    def arn(self, service: str, resource: str) -> str:
        """Name of a resource here, as AWS writes it."""
        partition = self.session.get_partition_for_region(self.region)
        return f"arn:{partition}:{service}:{self.region}:{self.id}:{resource}"

    def artifacts(self, stack: str) -> str:
        """The bucket that holds a stack's code."""
        return f"{stack}-artifacts-{self.id}-{self.region}"

    @contextlib.contextmanager
    def said(self, what: str) -> Iterator[None]:
        """What AWS refuses, as one line that begins with `what`."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise ConfigError(f"{what}: {error}") from error


def open_account(profile: str | None, region: str | None) -> Account:
    """The account that the credentials at hand belong to; ConfigError where there are none, or no region."""
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
        if not session.region_name:
            raise ConfigError("no AWS region; give --region or set AWS_DEFAULT_REGION")
        return Account(session, session.client("sts").get_caller_identity()["Account"])
    except ConfigError:
        raise
    except (ClientError, BotoCoreError, ValueError) as error:  # ValueError: an address that is none
        raise ConfigError(f"no AWS account: {error}") from error
