"""A photo becomes a zip of its faces, with the answer, names and boxes of the exercise that it comes from."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from PIL import ExifTags, Image, ImageOps

import memory
from saccade.cloud.aws import Clients
from saccade.cloud.facezip import FaceZipper, FaceZipSettings, cut, emotion_of, face_box, open_photo
from saccade.cloud.upload import S3Writer
from saccade.deploy import template
from saccade.deploy.local import LocalAws
from saccade.deploy.photo import READ_TIMEOUT, zip_faces
from saccade.errors import ConfigError

from .conftest import LAMBDAS, Script, face
from .test_events import eventbridge, s3_record


class Faces(Script):
    """DetectFaces with the faces that a test sets."""

    def __init__(self) -> None:
        super().__init__()
        self.faces: list[dict[str, Any]] | None = None

    def __call__(self, picture: bytes) -> list[dict[str, Any]]:
        return super().__call__(picture) if self.faces is None else self.faces


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with LocalAws(LAMBDAS, Faces(), folder=tmp_path_factory.mktemp("aws")) as aws:
        for poller in aws.pollers:
            poller.stop()
        yield aws


@pytest.fixture
def zipper(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> FaceZipper:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    settings = FaceZipSettings(
        input_bucket=aws.outputs["PhotosBucketName"], output_bucket=aws.outputs["ZipsBucketName"]
    )
    return FaceZipper(Clients(aws.session.client), settings)


def scene(width: int = 240, height: int = 160) -> Image.Image:
    """A picture in which every pixel differs from its neighbours."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x % 256, y % 256, (x * 7 + y * 13) % 256], axis=-1).astype(np.uint8))


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def boxed(left: float, top: float, width: float, height: float, **fields: Any) -> dict[str, Any]:
    return face({"CALM": 90.0}, BoundingBox={"Left": left, "Top": top, "Width": width, "Height": height}) | fields


def run(aws: LocalAws, zipper: FaceZipper, photo: bytes, faces: list[dict[str, Any]], key: str = "p.jpg") -> Any:
    script = aws.rekognition.detector
    assert isinstance(script, Faces)
    script.faces = faces
    aws.client("s3").put_object(Bucket=aws.outputs["PhotosBucketName"], Key=key, Body=photo)
    return zipper({"key": key}, None)


def unzip(aws: LocalAws, answer: dict[str, Any]) -> dict[str, Image.Image]:
    bucket, _, key = answer["output_location"].partition("/")
    data = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: Image.open(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def tutorial_box(detail: dict[str, Any], width: int, height: int) -> tuple[int, int, int, int]:
    """The exercise's arithmetic, as it stands there."""
    box = detail["BoundingBox"]
    left, top = int(width * box["Left"]), int(height * box["Top"])
    return left, top, int(width * box["Width"]) + left, int(height * box["Height"]) + top


def test_the_answer_and_the_zip_are_the_exercise_s(aws: LocalAws, zipper: FaceZipper) -> None:
    faces = [
        boxed(0.1, 0.1, 0.2, 0.3, Emotions=[{"Type": "HAPPY", "Confidence": 80.0}, {"Type": "SAD", "Confidence": 9.0}]),
        boxed(0.5, 0.5, 0.2, 0.3, Confidence=96.99),
        boxed(0.4, 0.2, 0.25, 0.3, Confidence=97.0),
        boxed(0.7, 0.6, 0.2, 0.3),
    ]
    photo = scene()
    answer = run(aws, zipper, encoded(photo), faces, key="party/in put.png")
    assert answer == {
        "status": 200,
        "categories": ["CALM", "HAPPY"],
        "numCategories": 2,
        "numFaces": 3,
        "output_location": f"{aws.outputs['ZipsBucketName']}/party/in put.zip",
    }
    entries = unzip(aws, answer)
    assert list(entries) == ["HAPPY/cropped_1.png", "CALM/cropped_2.png", "CALM/cropped_3.png"]
    for entry, detail in zip(entries.values(), (faces[0], faces[2], faces[3]), strict=True):
        assert np.array_equal(np.asarray(entry), np.asarray(photo.crop(tutorial_box(detail, *photo.size))))


def test_no_faces_make_an_empty_zip(aws: LocalAws, zipper: FaceZipper) -> None:
    answer = run(aws, zipper, encoded(scene()), [])
    assert (answer["categories"], answer["numCategories"], answer["numFaces"]) == ([], 0, 0)
    assert unzip(aws, answer) == {}


@pytest.mark.parametrize("orientation", range(9))
def test_boxes_refer_to_the_upright_picture(orientation: int) -> None:
    picture = scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = open_photo(encoded(picture, "JPEG", exif=exif, quality=95), "p", 10**6)
    upright = ImageOps.exif_transpose(photo)
    for detail in (boxed(0.1, 0.3, 0.25, 0.2), boxed(-0.1, -0.1, 0.4, 0.3), boxed(0.9, 0.8, 0.4, 0.6)):
        piece = cut(photo, detail)
        expected = upright.crop(face_box(detail, *upright.size))
        assert np.array_equal(np.asarray(piece), np.asarray(expected))


def test_rekognition_does_not_turn_a_png() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = open_photo(encoded(scene(), "PNG", exif=exif), "p", 10**6)
    assert cut(photo, boxed(0.0, 0.0, 1.0, 1.0)).size == photo.size


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0.25, 0.25, 0.5, 0.5), (60, 40, 180, 120)),
        ((-0.25, -0.5, 0.5, 1.0), (0, 0, 60, 80)),
        ((0.75, 0.75, 0.5, 0.5), (180, 120, 240, 160)),
        ((-0.5, -0.5, 2.0, 2.0), (0, 0, 240, 160)),
        ((0.5, 0.5, 0.0, 0.0), (120, 80, 121, 81)),
        ((0.5, 0.5, 0.001, 0.3), (120, 80, 121, 128)),
        ((1.5, 1.5, 0.2, 0.2), (239, 159, 240, 160)),
        ((-1.5, -1.5, 0.2, 0.2), (0, 0, 1, 1)),
    ],
)
def test_boxes_are_held_to_the_picture_and_never_empty(box: Any, expected: Any) -> None:
    assert face_box(boxed(*box), 240, 160) == expected


def _sixteen_bit() -> Image.Image:
    return Image.fromarray((np.arange(160 * 240).reshape(160, 240) % 65536).astype(np.uint16))


@pytest.mark.parametrize(
    ("stored", "kind", "mode"),
    [
        ("CMYK", "JPEG", "RGB"),
        ("L", "JPEG", "L"),
        ("YCbCr", "JPEG", "RGB"),
        ("I;16", "PNG", "I;16"),
        ("P", "PNG", "P"),
        ("RGBA", "PNG", "RGBA"),
        ("LA", "PNG", "LA"),
        ("1", "PNG", "1"),
    ],
)
def test_pictures_of_every_kind(stored: str, kind: str, mode: str, aws: LocalAws, zipper: FaceZipper) -> None:
    special = {"I;16": _sixteen_bit, "P": lambda: scene().quantize(64)}
    photo = special[stored]() if stored in special else scene().convert(stored)
    answer = run(aws, zipper, encoded(photo, kind), [boxed(0.25, 0.25, 0.5, 0.5)])
    (entry,) = unzip(aws, answer).values()
    assert entry.mode == mode
    assert entry.size == (120, 80)
    if kind == "PNG":
        assert np.array_equal(np.asarray(entry.convert(photo.mode)), np.asarray(photo.crop((60, 40, 180, 120))))


def test_one_hundred_faces_of_a_large_photo_stream_out_in_bounded_memory(aws: LocalAws) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (2900, 2900, 3), np.uint8)
    photo = encoded(Image.fromarray(noise), "JPEG", quality=98)
    assert 12 << 20 < len(photo) <= 15 << 20
    script = aws.rekognition.detector
    assert isinstance(script, Faces)
    script.faces = [boxed(i % 10 / 10, i // 10 / 10, 0.16, 0.16) for i in range(100)]
    aws.client("s3").put_object(Bucket=aws.outputs["PhotosBucketName"], Key="large.jpg", Body=photo)
    function = aws.function("FacesZipName")
    answer = function.invoke({"key": "large.jpg"})
    assert answer["numFaces"] == 100
    stored = aws.client("s3").head_object(Bucket=aws.outputs["ZipsBucketName"], Key="large.zip")
    assert stored["ContentLength"] > 50 << 20
    assert stored["ETag"].strip('"').endswith(f"-{-(-stored['ContentLength'] // (8 << 20))}")
    status = Path(f"/proc/{function.pid}/status").read_text()
    (peak,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 180_000, f"{peak} kB at the peak; the zip alone has {stored['ContentLength'] >> 10}"


MEASURE = (
    f"{Path(memory.__file__).read_text()}\n"
    + """
import sys
from saccade.cloud import facezip
data = Path(sys.argv[1]).read_bytes()
before = reset_peak()
photo = facezip.open_photo(data, "photo", 1 << 26)
facezip._png(facezip.cut(photo, {"BoundingBox": {"Left": 0, "Top": 0, "Width": 1, "Height": 1}}))
print((peak() - before) / photo.width / photo.height)
"""
)


def test_the_largest_photo_fits_the_functions_memory(tmp_path: Path) -> None:
    """The dearest kind: progressive, four channels, turned, and its face is all of it."""
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    noise = np.random.default_rng(1).integers(0, 255, (2000, 2000, 4), np.uint8)
    path = tmp_path / "photo.jpg"
    Image.fromarray(noise, mode="CMYK").save(path, progressive=True, subsampling=0, exif=turned)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 17


def test_a_failure_leaves_no_object_and_no_parts(
    aws: LocalAws, zipper: FaceZipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3 = aws.client("s3")
    bucket = aws.outputs["ZipsBucketName"]
    writer = S3Writer(s3, bucket, "half.zip", content_type="x", part_bytes=5 << 20)
    writer.write(bytes(11 << 20))
    assert len(s3.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1
    writer.__exit__(KeyError, KeyError(), None)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert "half.zip" not in [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"more")

    monkeypatch.setattr("saccade.cloud.facezip.cut", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(aws, zipper, encoded(scene()), [boxed(0, 0, 1, 1)], key="broken.jpg")
    assert "broken.zip" not in [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_what_went_wrong_is_told_also_where_its_parts_cannot_be_deleted(
    aws: LocalAws, caplog: pytest.LogCaptureFixture
) -> None:
    s3, bucket = aws.client("s3"), aws.outputs["ZipsBucketName"]

    def half() -> None:
        with S3Writer(s3, bucket, "half.zip", content_type="x", part_bytes=5 << 20) as writer:
            writer.write(bytes(6 << 20))
            (upload,) = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
            s3.abort_multipart_upload(Bucket=bucket, Key="half.zip", UploadId=upload["UploadId"])
            raise KeyError("the photo")

    with pytest.raises(KeyError, match="the photo"):
        half()
    assert "parts of half.zip stay until" in caplog.text


def test_an_object_that_is_refused_raises_and_ends_the_writer() -> None:
    s3 = boto3.client("s3", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(s3) as stub:
        stub.add_client_error("put_object", "AccessDenied", "no", 403)
        writer = S3Writer(s3, "bucket", "key", content_type="x")
        writer.write(b"all of it")
        with pytest.raises(ClientError, match="AccessDenied"):
            writer.close()
    assert writer.closed
    writer.close()


def test_a_writer_that_is_dropped_publishes_nothing(aws: LocalAws) -> None:
    writer = S3Writer(aws.client("s3"), aws.outputs["ZipsBucketName"], "dropped.zip", content_type="x")
    writer.write(b"half")
    del writer
    listed = aws.client("s3").list_objects_v2(Bucket=aws.outputs["ZipsBucketName"]).get("Contents", ())
    assert "dropped.zip" not in [item["Key"] for item in listed]


def test_the_event_names_what_it_wants(aws: LocalAws, zipper: FaceZipper) -> None:
    script = aws.rekognition.detector
    assert isinstance(script, Faces)
    script.faces = []
    other = aws.outputs["FacesBucketName"]
    aws.client("s3").put_object(Bucket=other, Key="x y.jpg", Body=encoded(scene(), "JPEG"))
    assert zipper({"bucket": other, "key": "x y.jpg", "output": "pseudonym"})["output_location"].endswith(
        "/pseudonym.zip"
    )
    record = s3_record("x+y.jpg")
    record["s3"]["bucket"]["name"] = other
    assert zipper({"Records": [record]})["output_location"].endswith("/x y.zip")
    event = eventbridge("x y.jpg")
    event["detail"] = {"bucket": {"name": other}, "object": {"key": "x y.jpg"}}
    assert zipper(event)["output_location"].endswith("/x y.zip")
    assert zipper({"Event": "s3:TestEvent"}) == {"status": 204}


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (None, 400),
        ([], 400),
        ({}, 400),
        ({"key": 5}, 400),
        ({"Records": [{}]}, 400),
        ({"key": "missing.jpg"}, 404),
        ({"key": "/"}, 400),
        ({"key": "."}, 400),
        ({"key": "a/.."}, 400),
        ({"Records": [s3_record("./")]}, 400),
        ({"key": "\ud800.jpg"}, 400),
        ({"key": "k" * 1025}, 400),
        ({"key": "k" * 1024}, 400),  # the zip's name would be too long
        ({"key": "missing.jpg", "bucket": "not a bucket"}, 400),
        ({"key": "missing.jpg", "output": ["x"]}, 400),
        ({"key": "missing.jpg", "version": 5}, 400),
        ({"bucket": "no-such-bucket", "key": "missing.jpg"}, 404),
    ],
)
def test_bad_events_get_an_answer(
    event: object, status: int, zipper: FaceZipper, caplog: pytest.LogCaptureFixture
) -> None:
    answer = zipper(event)
    assert answer["status"] == status
    assert answer["error"]
    assert [line.__dict__["decision"] for line in caplog.records if line.levelno >= logging.ERROR] == ["drop"]


SMALL = encoded(scene(64, 64), "PNG")
"""Of which Rekognition wants nothing."""


@pytest.mark.parametrize(
    ("photo", "status"),
    [
        (lambda: b"not a picture", 422),
        (lambda: b"", 422),
        (lambda: encoded(scene(), "GIF"), 422),
        (lambda: encoded(scene(), "JPEG")[:2000], 422),
        (lambda: encoded(scene())[:700], 422),
        (lambda: SMALL, 422),
        (lambda: b"\xff\xd8\xff" + bytes(15 << 20), 413),
        (lambda: encoded(Image.new("1", (13000, 13000))), 413),
        (lambda: encoded(Image.new("1", (20000, 20000))), 413),
    ],
    ids=["text", "empty", "gif", "half-jpeg", "half-png", "small", "bytes", "pixels", "bomb"],
)
def test_unusable_photos_get_an_answer(
    photo: Callable[[], bytes], status: int, aws: LocalAws, zipper: FaceZipper
) -> None:
    data = photo()
    if data == SMALL:
        aws.rekognition.faults.append("InvalidParameterException")
    answer = run(aws, zipper, data, [])
    assert answer["status"] == status
    assert answer["error"]


def test_a_photo_that_cannot_be_used_does_not_stop_the_others(aws: LocalAws, zipper: FaceZipper) -> None:
    script = aws.rekognition.detector
    assert isinstance(script, Faces)
    script.faces = []
    photos, zips = aws.outputs["PhotosBucketName"], aws.outputs["ZipsBucketName"]
    aws.client("s3").put_object(Bucket=photos, Key="second.jpg", Body=encoded(scene(), "JPEG"))
    records = [s3_record("absent.jpg"), s3_record("second.jpg"), {}]
    for record in records[:2]:
        record["s3"]["bucket"]["name"] = photos
    assert zipper({"Records": records})["status"] == 404
    assert aws.client("s3").head_object(Bucket=zips, Key="second.zip")
    answer = zipper({"bucket": photos, "key": "second.jpg", "output_bucket": "no-such-bucket"})
    assert (answer["status"], "no-such-bucket" in answer["error"]) == (404, True)


def test_lasting_throttling_raises(aws: LocalAws, zipper: FaceZipper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    aws.rekognition.faults.extend(["ThrottlingException"] * 5)
    with pytest.raises(Exception, match="ThrottlingException"):
        run(aws, zipper, encoded(scene()), [])


def test_emotions_that_cannot_name_a_folder_are_unknown() -> None:
    assert emotion_of(face({"SAD": 40.0, "CALM": 60.0})) == "CALM"
    assert emotion_of(face({})) == "UNKNOWN"
    assert emotion_of(face({"../../x": 60.0})) == "UNKNOWN"


def test_settings_come_from_the_environment() -> None:
    given = {
        "INPUT_BUCKET_NAME": "in",
        "OUTPUT_BUCKET_NAME": "out",
        "CONFIDENCE_THRESHOLD": "90",
        "OUTPUT_FOLDER": "me",
    }
    assert FaceZipSettings.from_environment(given) == FaceZipSettings(
        input_bucket="in", output_bucket="out", confidence=90.0, output="me"
    )
    assert FaceZipSettings.from_environment({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1536"}).max_pixels == 64_000_000
    assert FaceZipSettings.from_environment({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}).max_pixels < 24_000_000


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("CONFIDENCE_THRESHOLD", "high", "a number of at least 0"),
        ("CONFIDENCE_THRESHOLD", "nan", "a number of at least 0"),
        ("MAX_PIXELS", "64e6", "a whole number of at least 1"),
        ("MAX_PIXELS", "-1", "a whole number of at least 1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "all", "a whole number of at least 0"),
    ],
)  # fmt: skip
def test_a_setting_that_is_no_number_is_named(name: str, text: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is '{text}'; expected {wanted}$"):
        FaceZipSettings.from_environment({name: text})


def test_what_is_no_photo_is_told_before_it_is_read_whole() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: expected a JPEG or PNG of up to 15 MiB"):
        zip_faces(lambda _: None, {}, Path("/dev/zero"), None)


def test_who_asks_waits_longer_than_the_function_works() -> None:
    functions = template.load(LAMBDAS / "template.yaml")["Resources"].values()
    assert max(f["Properties"]["Timeout"] for f in functions if f["Type"] == "AWS::Serverless::Function") < READ_TIMEOUT
