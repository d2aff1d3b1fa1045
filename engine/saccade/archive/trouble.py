"""What can be wrong with an archive's files that is no property of their content, in words."""

from __future__ import annotations

import os

from saccade.errors import SourceError
from saccade.storage import s3

_OF_OBJECTS = {
    "NoSuchKey": "it is not there any more; plan again",
    "404": "it is not there any more; plan again",
    "PreconditionFailed": "it has changed since it was planned; plan again",
    "412": "it has changed since it was planned; plan again",
    "InvalidObjectState": "it lies in an archive class of S3; restore it first",
    "SlowDown": "S3 asks for fewer requests; give fewer --workers",
}


class Unavailable(SourceError):
    """A file cannot be had now, or is another than was planned: nothing is recorded of it, and a later run tries again.

    Damage is something else: it is a property of the content, and recorded as a row with an error.
    """


def in_words(error: BaseException, permission: str = "") -> str:
    """A failure of S3 or of a file system in one line.

    permission : what the request needs, as s3:GetObject.
    """
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", "?"))
        return f"{code}: {_OF_OBJECTS.get(code) or s3.hint(code, permission) or 'S3 refuses; see its error codes'}"
    if isinstance(error, OSError):
        # Arrow has the system's words behind its own.
        return os.strerror(error.errno) if error.errno else str(error).rpartition("] ")[2]
    name = type(error).__name__
    if name in ("NoCredentialsError", "PartialCredentialsError"):
        return "no credentials were found; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or run where a role is given"
    return f"{name}: {error}".splitlines()[0]
