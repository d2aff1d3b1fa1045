"""Rekognition's DetectFaces for the local AWS, which moto lacks: the service's rules here, the faces from a detector.

The picture is read from the local S3 and checked as the service checks it; what refuses a picture and what answers to a
missing object are the service's own errors, so that a function's code meets them over real HTTP.
"""

from __future__ import annotations

import base64
import binascii
import collections
import json
from collections.abc import Callable
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import BaseResponse
from moto.rekognition.responses import RekognitionResponse
from moto.s3.models import s3_backends

MAX_S3_BYTES = 15 << 20
MAX_INLINE_BYTES = 5 << 20
MIN_SIDE = 80

Detector = Callable[[bytes], list[dict[str, Any]]]
"""A JPEG or PNG picture -> Rekognition's FaceDetails. Raises `InvalidImageError` for a picture it cannot take."""


class InvalidImageError(ValueError):
    """The picture is not one that the service takes. kind : the service's error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Rekognition:
    """The local service. `faults` holds errors that the next calls get instead of an answer, for tests.

    calls : DetectFaces requests so far, faults included.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.faults: collections.deque[str] = collections.deque()
        self.calls = 0

    def install(self) -> None:
        """Let moto's Rekognition answer DetectFaces by this object; the newest one installed counts."""
        RekognitionResponse.detect_faces = lambda response: self._answer(response)  # type: ignore[attr-defined]

    def _answer(self, response: BaseResponse) -> str:
        self.calls += 1
        try:
            fault = self.faults.popleft()
        except IndexError:
            pass
        else:
            raise JsonRESTError(fault, f"{fault} asked for by a test")
        request = json.loads(response.body)
        try:
            faces = self.detector(_picture(request.get("Image", {}), response.current_account))
        except InvalidImageError as error:
            raise JsonRESTError(error.kind, str(error)) from None
        if "ALL" not in request.get("Attributes", ()):
            wanted = {"BoundingBox", "Confidence", "Landmarks", "Pose", "Quality"}
            wanted |= {name.capitalize() for name in request.get("Attributes", ())}
            faces = [{name: value for name, value in face.items() if name in wanted} for face in faces]
        return json.dumps({"FaceDetails": faces})


def _picture(image: dict[str, Any], account: str) -> bytes:
    if "S3Object" in image:
        address = image["S3Object"]
        backend = s3_backends[account]["aws"]
        stored = None
        if address["Bucket"] in backend.buckets:
            stored = backend.get_object(address["Bucket"], address["Name"], version_id=address.get("Version"))
        if stored is None:
            raise InvalidImageError(
                "InvalidS3ObjectException",
                "Unable to get object metadata from S3. Check object key, region and/or access permissions.",
            )
        data, limit = bytes(stored.value), MAX_S3_BYTES
    else:
        try:
            data, limit = base64.b64decode(image["Bytes"], validate=True), MAX_INLINE_BYTES
        except (KeyError, binascii.Error):
            raise InvalidImageError("InvalidParameterException", "Request has invalid parameters") from None
    if len(data) > limit:
        raise InvalidImageError("ImageTooLargeException", f"Image size is too large: {len(data)} bytes")
    if not data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        raise InvalidImageError("InvalidImageFormatException", "Request has invalid image format")
    return data
