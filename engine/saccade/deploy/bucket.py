"""The private bucket of a stack: code, templates, models. Nobody else's bucket of that name is ever written to."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from saccade.deploy.account import Account
from saccade.errors import ConfigError

log = logging.getLogger(__name__)

KEPT = timedelta(days=1)
"""Age that an object has to have before it is pruned: a younger one may be of a deployment that is under way."""


def make(s3: Any, account: Account, bucket: str) -> None:
    """Make the bucket where it is not there; ConfigError where it is somebody else's."""
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.id)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 403:
            raise ConfigError(f"bucket {bucket} belongs to somebody else; use another --stack name") from None
        if status != 404:
            raise
        # us-east-1 is the one region that may not be named here.
        region = account.region
        place: Any = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        s3.create_bucket(Bucket=bucket, **place)
        closed = dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
        )
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed, ExpectedBucketOwner=account.id)
        log.info("made the bucket %s for code", bucket)


def put(s3: Any, account: Account, bucket: str, key: str, body: bytes | Path, *, replace: bool = False) -> None:
    """Put an object, unless its key is there; keys hold a digest of what they are of."""
    condition: Any = {} if replace else {"IfNoneMatch": "*"}
    with body.open("rb") if isinstance(body, Path) else contextlib.nullcontext(body) as data:
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=data, ExpectedBucketOwner=account.id, **condition)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
                raise
            log.info("%s is there already", key)


def empty(s3: Any, account: Account, bucket: str, prefix: str = "") -> bool:
    """Delete all objects, versions and unfinished uploads below a prefix; False where there is no such bucket."""
    own = {"Bucket": bucket, "ExpectedBucketOwner": account.id}
    below = {**own, "Prefix": prefix}
    try:
        for page in s3.get_paginator("list_object_versions").paginate(**below):
            keys = [
                {"Key": item["Key"], "VersionId": item["VersionId"]}
                for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            ]
            if keys and (trouble := _deleted(s3, own, keys)):
                raise ConfigError(f"{bucket}/{trouble}")
        for page in s3.get_paginator("list_multipart_uploads").paginate(**below):
            for upload in page.get("Uploads", ()):
                s3.abort_multipart_upload(**own, Key=upload["Key"], UploadId=upload["UploadId"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchBucket", "404"):
            raise
        return False
    return True


def prune(s3: Any, account: Account, bucket: str, folder: str, unused: Callable[[str], bool]) -> None:
    """Delete what lies directly in a folder ("" or ending in a slash), is `KEPT` old, and is unused, by its key.

    What cannot be deleted is told and stays: whoever prunes has done what matters.
    """
    own = {"Bucket": bucket, "ExpectedBucketOwner": account.id}
    before = datetime.now(timezone.utc) - KEPT
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(**own, Prefix=folder, Delimiter="/")
        found = [item for page in pages for item in page.get("Contents", ())]
        keys = [{"Key": item["Key"]} for item in found if item["LastModified"] <= before and unused(item["Key"])]
        troubles = [_deleted(s3, own, keys[i : i + 1000]) for i in range(0, len(keys), 1000)]
    except ClientError as error:
        troubles = [str(error)]
    for trouble in filter(None, troubles):
        log.warning("%s: what is not used any more stays: %s", bucket, trouble)


def _deleted(s3: Any, own: Mapping[str, str], keys: Sequence[Mapping[str, str]]) -> str:
    """Delete up to 1000 objects; says which one could not be, and why."""
    errors = s3.delete_objects(**own, Delete={"Objects": keys, "Quiet": True}).get("Errors")
    return f"{errors[0]['Key']} cannot be deleted: {errors[0]['Message']}" if errors else ""


def count(s3: Any, account: Account, bucket: str, prefix: str = "") -> int | None:
    """Objects below a prefix, up to a thousand; None where there is no such bucket."""
    try:
        return int(s3.list_objects_v2(Bucket=bucket, Prefix=prefix, ExpectedBucketOwner=account.id)["KeyCount"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchBucket", "404"):
            raise
        return None


def folders(s3: Any, account: Account, bucket: str, prefix: str) -> list[str]:
    """Names of the folders directly below a prefix that ends in a slash; none where there is no such bucket."""
    own = {"Bucket": bucket, "ExpectedBucketOwner": account.id, "Prefix": prefix, "Delimiter": "/"}
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(**own)
        found = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", ())]
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchBucket", "404"):
            raise
        return []
    return [each.removeprefix(prefix).rstrip("/") for each in found]
