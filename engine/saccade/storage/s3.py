"""S3 as everything here talks to it: one way to make a client, one list of what its refusals mean."""

from __future__ import annotations

from typing import Any

from saccade.errors import ConfigError

_HINTS = {
    "NoSuchBucket": "make it, or give another name",
    "AccessDenied": "the credentials need {permission} on it",
    "403": "the credentials need {permission} on it",
    "AllAccessDisabled": "the bucket is closed; ask its owner",
    "InvalidAccessKeyId": "check the credentials",
    "SignatureDoesNotMatch": "check the credentials",
    "ExpiredToken": "renew the credentials",
    "RequestTimeTooSkewed": "set this machine's clock",
}


def hint(code: str, permission: str) -> str:
    """What to do about an error code of S3, or "". permission : what the request needs, as s3:GetObject."""
    return _HINTS.get(code, "").format(permission=permission)


def client(*, connect_timeout: float, read_timeout: float, attempts: int, connections: int) -> Any:
    """A client for S3, with credentials looked up anew.

    Time limits in s; attempts : requests in all, with botocore's pauses between them. connections : kept open at most.
    Raises ConfigError where profile, region or address, which boto3 finds for itself, are none.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        tcp_keepalive=True,
    )
    try:
        return boto3.Session().client("s3", config=config)
    except (BotoCoreError, ValueError) as error:  # botocore has no error of its own for an address that is none
        raise ConfigError(
            f"S3: {error}; look at the variables AWS_PROFILE, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL and at ~/.aws/config"
        ) from None
