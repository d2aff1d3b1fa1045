"""A photo becomes a zip of its faces, one folder per emotion, with the answer that the photo-to-zip exercise gives.

The face boxes are the exercise's own arithmetic, held to the picture. Rekognition gives boxes in the picture as it is
looked at (after the EXIF rotation of a JPEG), so a box is turned back and cut from the stored pixels, and only the cut
piece is turned: the decoded photo is never copied. One photo and one face are in memory at a time; the zip streams out.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError
from PIL import ExifTags, Image, UnidentifiedImageError

from saccade.cloud.aws import REFUSED, Clients, code
from saccade.cloud.environment import number
from saccade.cloud.events import MAX_KEY_BYTES, EventError, messages
from saccade.cloud.upload import S3Writer

if TYPE_CHECKING:
    from mypy_boto3_rekognition.type_defs import FaceDetailTypeDef

log = logging.getLogger("saccade.cloud")

MAX_PHOTO_BYTES = 15 << 20
"""Rekognition's limit for pictures in S3."""

_AT_REST = 160 << 20
_BYTES_PER_PIXEL = 16
"""Memory, bytes: of the function with a photo of 15 MiB still packed; of a pixel in the largest mode (4 bytes) four
times over, where one face is the whole photo: stored, cut, turned, and as a PNG."""

Box = tuple[int, int, int, int]

_STATUS = {
    "NoSuchKey": 404, "NoSuchVersion": 404, "NoSuchBucket": 404, "404": 404,
    "AccessDenied": 403, "AllAccessDisabled": 403,
    "InvalidBucketName": 400, "KeyTooLongError": 400, "InvalidArgument": 400, "InvalidURI": 400,
    "PermanentRedirect": 400, "AuthorizationHeaderMalformed": 400,  # a bucket of another region
    "InvalidObjectState": 409,  # archived: it has to be restored first
}  # fmt: skip
"""S3's refusals that the same request will always get -> the answer's status."""

_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored picture upright."""


class PhotoError(Exception):
    """The photo cannot be used, now or later. status : the answer's status, as in HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceZipSettings:
    """What a deployment may choose; an event may name all but the last two for itself.

    input_bucket, input_file : the photo. output_bucket, output : where the zip goes, as `output` + ``.zip``; without
    `output` the photo's name without its suffix. confidence : faces below it are left out, percent.
    max_pixels : larger photos are refused, as a few bytes may unpack to gigabytes; held to the function's memory.
    """

    input_bucket: str = ""
    input_file: str = ""
    output_bucket: str = ""
    output: str = ""
    confidence: float = 97.0
    max_pixels: int = 64_000_000

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> FaceZipSettings:
        """Settings from ``INPUT_BUCKET_NAME``, ``OUTPUT_BUCKET_NAME``, ``CONFIDENCE_THRESHOLD`` and so on.

        Empty means default. Raises ValueError for what is no number.
        """
        default = cls()
        memory = number(environment, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 0) << 20
        fits = (memory - _AT_REST) // _BYTES_PER_PIXEL if memory else default.max_pixels
        return cls(
            input_bucket=environment.get("INPUT_BUCKET_NAME", ""),
            input_file=environment.get("INPUT_FILE", ""),
            output_bucket=environment.get("OUTPUT_BUCKET_NAME", ""),
            output=environment.get("OUTPUT_FOLDER", ""),
            confidence=number(environment, "CONFIDENCE_THRESHOLD", default.confidence),
            max_pixels=max(1, min(number(environment, "MAX_PIXELS", default.max_pixels, least=1), fits)),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """One photo to do. name : of the zip, without its suffix."""

    bucket: str
    key: str
    version: str | None
    output_bucket: str
    name: str


class FaceZipper:
    """The function's logic; call it with an event and a Lambda context."""

    def __init__(self, clients: Clients, settings: FaceZipSettings) -> None:
        self.settings = settings
        self._rekognition, self._s3 = clients.rekognition, clients.s3

    @classmethod
    def from_environment(cls) -> FaceZipper:
        """As configured by environment variables."""
        return cls(Clients(connections=2), FaceZipSettings.from_environment())

    def __call__(self, event: object, context: Any = None) -> dict[str, Any]:
        """Make the zip and return the answer: status, categories, numCategories, numFaces, output_location.

        A photo that cannot be used gives `{"status": 4xx, "error": ...}`; what may succeed later raises.
        An event that S3 sent may hold several photos: each is done; the answer is the first one's, or that of the
        first that cannot be used.
        """
        answers: list[dict[str, Any]] = []
        trouble: Exception | None = None
        for job in self.jobs(event):
            try:
                if isinstance(job, PhotoError):
                    raise job
                answers.append(self.zip(job))
            except PhotoError as error:
                log.error("photo not zipped", extra={"decision": "drop", "status": error.status, "reason": str(error)})
                answers.append({"status": error.status, "error": str(error)})
            except Exception as error:
                log.error("photo not zipped", extra={"decision": "retry", "reason": repr(error)})
                trouble = trouble or error
        if trouble is not None:
            raise trouble
        return max(answers, key=lambda answer: answer["status"] >= 400, default={"status": 204})

    def jobs(self, event: object) -> list[Job | PhotoError]:
        """The photos of an event: one from S3, or `{"bucket", "key", "output_bucket", "output"}`, each optional.

        What cannot be a photo stands as its error.
        """
        if not isinstance(event, Mapping):
            return [PhotoError(400, f"event is {type(event).__name__}; expected an object")]
        if not event.keys() & {"Records", "source", "Event"}:
            bucket = event.get("bucket") or self.settings.input_bucket
            return [self._job(bucket, event.get("key") or self.settings.input_file, event.get("version"), event)]
        return [
            PhotoError(400, str(picture))
            if isinstance(picture, EventError)
            else self._job(picture.bucket, picture.key, picture.version, event)
            for message in messages(event)
            for picture in message.pictures()
        ]

    def _job(self, bucket: object, key: object, version: object, event: Mapping[str, Any]) -> Job | PhotoError:
        output_bucket = event.get("output_bucket") or self.settings.output_bucket
        output = event.get("output") or self.settings.output or _stem(key)
        for name, value in (("bucket", bucket), ("key", key), ("output_bucket", output_bucket), ("output", output)):
            if name == "output" and value == "":
                return PhotoError(400, f"key {key!r} has no name that a zip could have; name an output in the event")
            if not isinstance(value, str) or not value:
                shown = repr(value)[:80]
                return PhotoError(400, f"{name} is {shown}; name it in the event or in the function's environment")
            if problem := _name_problem(value, MAX_KEY_BYTES - (len(".zip") if name == "output" else 0)):
                return PhotoError(400, f"{name} {value[:80]!r}: {problem}")
        if not isinstance(version, str | None):
            return PhotoError(400, f"version is {repr(version)[:80]}; expected text")
        return Job(str(bucket), str(key), version or None, output_bucket, str(output))

    def zip(self, job: Job) -> dict[str, Any]:
        """Do one photo."""
        photo = self._photo(job)
        faces = self._faces(job)
        emotions: set[str] = set()
        key = f"{job.name}.zip"
        with (
            photo,
            _told_apart(f"place {key!r} in bucket {job.output_bucket!r}"),
            S3Writer(self._s3, job.output_bucket, key, content_type="application/zip") as target,
        ):
            # Stored, not deflated: PNG is compressed already.
            with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
                for number, face in enumerate(faces, start=1):
                    emotion = emotion_of(face)
                    emotions.add(emotion)
                    archive.writestr(f"{emotion}/cropped_{number}.png", _png(cut(photo, face)))
        log.info("photo zipped", extra={"bucket": job.bucket, "key": job.key, "faces": len(faces)})
        return {
            "status": 200,
            "categories": sorted(emotions),
            "numCategories": len(emotions),
            "numFaces": len(faces),
            "output_location": f"{job.output_bucket}/{key}",
        }

    def _photo(self, job: Job) -> Image.Image:
        version: Any = {"VersionId": job.version} if job.version else {}
        with _told_apart(f"photo {job.key!r} in bucket {job.bucket!r}"):
            answer = self._s3.get_object(Bucket=job.bucket, Key=job.key, **version)
        if answer["ContentLength"] > MAX_PHOTO_BYTES:
            raise PhotoError(413, f"{job.key!r} has {answer['ContentLength']} bytes; Rekognition takes 15 MiB")
        return open_photo(answer["Body"].read(), job.key, self.settings.max_pixels)

    def _faces(self, job: Job) -> list[FaceDetailTypeDef]:
        stored: Any = {"Bucket": job.bucket, "Name": job.key} | ({"Version": job.version} if job.version else {})
        try:
            answer = self._rekognition.detect_faces(Image={"S3Object": stored}, Attributes=["EMOTIONS"])
        except ClientError as error:
            if code(error) in REFUSED:
                raise PhotoError(422, f"Rekognition refuses {job.key!r}: {code(error)}") from None
            if code(error) == "InvalidS3ObjectException":  # it was read a moment ago: Rekognition alone cannot
                raise PhotoError(422, f"Rekognition cannot read {job.key!r}: is its bucket in this region?") from None
            raise
        return [face for face in answer["FaceDetails"] if face.get("Confidence", 0.0) >= self.settings.confidence]


def _stem(key: object) -> str:
    """The key without the suffix of its last part, as the photo's zip is called; empty where it names nothing."""
    folder, slash, name = str(key).rpartition("/")
    stem, dot, _ = name.rpartition(".")
    plain = stem if dot and stem else name
    return f"{folder}{slash}{plain}" if plain.strip(".") else ""


def _name_problem(name: str, limit: int) -> str:
    """Why S3 has nothing of this name, or nothing."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "not UTF-8"
    return f"{size} bytes; at most {limit} make a key" if size > limit else ""


@contextlib.contextmanager
def _told_apart(what: str) -> Iterator[None]:
    """S3's refusals that will not change become answers; the rest may succeed later and is raised as it is."""
    try:
        yield
    except ParamValidationError as error:
        raise PhotoError(400, f"no {what}: {error}") from None
    except ClientError as error:
        status = _STATUS.get(code(error))
        if status is None:
            raise
        raise PhotoError(status, f"no {what}: {code(error)}") from None


def open_photo(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Decode a JPEG or PNG into its own mode, not turned."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # max_pixels is the limit here
            photo = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
        width, height = photo.size
        if width * height > max_pixels:
            raise PhotoError(413, f"{name!r} has {width}x{height} pixels; this function takes {max_pixels}")
        photo.load()
    except Image.DecompressionBombError as error:
        raise PhotoError(413, f"{name!r} is too large: {error}") from None
    except UnidentifiedImageError:
        raise PhotoError(422, f"{name!r} is neither JPEG nor PNG") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise PhotoError(422, f"{name!r} is damaged: {error}") from None
    return photo


def face_box(face: FaceDetailTypeDef, width: int, height: int) -> Box:
    """A face's box in a picture of width x height px: left, top, right, bottom, inside it and never empty."""
    box = face["BoundingBox"]
    left, top = int(width * box.get("Left", 0.0)), int(height * box.get("Top", 0.0))
    right, bottom = left + int(width * box.get("Width", 0.0)), top + int(height * box.get("Height", 0.0))
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return left, top, max(min(right, width), left + 1), max(min(bottom, height), top + 1)


def cut(photo: Image.Image, face: FaceDetailTypeDef) -> Image.Image:
    """The face, upright."""
    orientation = _orientation(photo)
    width, height = photo.size
    if orientation >= 5:
        width, height = height, width
    piece = photo.crop(_stored_box(face_box(face, width, height), orientation, width, height))
    turn = _TURNS.get(orientation)
    return piece if turn is None else piece.transpose(turn)


def _orientation(photo: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Rekognition looks for it in JPEG only; damaged EXIF means upright."""
    if photo.format not in ("JPEG", "MPO"):
        return 1
    try:
        orientation = photo.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, OSError, struct.error):
        return 1
    return orientation if orientation in _TURNS else 1


def _stored_box(box: Box, orientation: int, width: int, height: int) -> Box:
    """Where a box of the upright width x height picture lies in the picture as stored."""
    left, top, right, bottom = box
    if orientation in (2, 3, 6, 7):
        left, right = width - right, width - left
    if orientation in (3, 4, 7, 8):
        top, bottom = height - bottom, height - top
    if orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    return left, top, right, bottom


def emotion_of(face: FaceDetailTypeDef) -> str:
    """The face's most confident emotion; UNKNOWN where there is none, or none that can name a folder."""
    best = max(face.get("Emotions", ()), key=lambda emotion: emotion["Confidence"], default=None)
    name = best["Type"] if best else "UNKNOWN"
    return name if re.fullmatch(r"[A-Z_]+", name) else "UNKNOWN"


def _png(picture: Image.Image) -> bytes:
    # PNG holds neither CMYK nor YCbCr, LAB or floats.
    buffer = io.BytesIO()
    (picture if picture.mode in _PNG_MODES else picture.convert("RGB")).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
