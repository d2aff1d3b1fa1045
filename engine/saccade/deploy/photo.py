"""A photo through the face-zip function: put, invoke, fetch the zip."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from saccade.errors import ConfigError
from saccade.storage import atomic

MAX_BYTES = 15 << 20
"""Rekognition's limit for pictures in S3."""

READ_TIMEOUT = 75
"""Of a client that waits for the function, s: it may take 63 s, and a call that is given up is made again."""


def zip_faces(
    client: Callable[[str], Any], outputs: Mapping[str, str], photo: Path, out: Path | None, *, owner: str = ""
) -> dict[str, Any]:
    """The function's answer for a photo; its zip goes to `out` if one is given. Raises ConfigError.

    client : makes a client of a service. outputs : of the stack. owner : account whose buckets they have to be.
    """
    try:
        with photo.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{photo}: cannot be read ({error.strerror})") from None
    if not data.startswith((b"\xff\xd8", b"\x89PNG")) or len(data) > MAX_BYTES:
        raise ConfigError(f"{photo}: expected a JPEG or PNG of up to 15 MiB")
    plain = re.sub(r"[^\w.-]", "_", photo.name, flags=re.ASCII)
    key = f"{hashlib.sha256(data).hexdigest()[:12]}/{plain}"  # two photos of one name do not meet
    own = {"ExpectedBucketOwner": owner} if owner else {}
    try:
        client("s3").put_object(Bucket=outputs["PhotosBucketName"], Key=key, Body=data, **own)
        said = client("lambda").invoke(FunctionName=outputs["FacesZipName"], Payload=json.dumps({"key": key}).encode())
        answer: dict[str, Any] = json.loads(said["Payload"].read())
        if "FunctionError" in said:
            raise ConfigError(f"the function failed: {answer.get('errorMessage', answer)}")
        if answer["status"] != 200:
            raise ConfigError(f"{photo}: {answer['status']}, {answer.get('error')}")
        if out is not None:
            bucket, _, name = answer["output_location"].partition("/")
            atomic.write(out, client("s3").get_object(Bucket=bucket, Key=name, **own)["Body"].read())
    except KeyError as error:
        raise ConfigError(f"the stack has no {error}; deploy it again") from None
    except (ClientError, BotoCoreError) as error:
        raise ConfigError(f"{photo} cannot be zipped: {error}") from error
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from None
    return answer
