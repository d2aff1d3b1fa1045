"""The emotion function's logic, in process, against real services over HTTP."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from saccade.cloud.aws import Clients
from saccade.cloud.emotions import EMOTIONS, EmotionRecorder, EmotionSettings, TryAgainError, data_points
from saccade.deploy.local import LocalAws

from .conftest import LAMBDAS, Script, crop, face, points, put, rows
from .test_events import eventbridge, in_sqs, s3_record

NOW = 1795168800.0 + 60
"""A minute after the records' time."""
HAPPY = {"HAPPY": 81.25, "CALM": 10.0, "SAD": 10.01, "FEAR": 0.5}


class Context:
    aws_request_id = "request-1"

    def __init__(self, left_ms: int = 60_000) -> None:
        self.left_ms = left_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The deployed stack without functions of its own: the tests here call the logic themselves."""
    with LocalAws(LAMBDAS, Script(), folder=tmp_path_factory.mktemp("aws"), processes=0) as aws:
        yield aws


@pytest.fixture
def recorder(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> EmotionRecorder:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint)
    clock = lambda: NOW  # noqa: E731
    return EmotionRecorder(
        Clients(aws.session.client), EmotionSettings(table=aws.outputs["FacesTableName"]), clock=clock
    )


def record_for(aws: LocalAws, key: str, **fields: Any) -> dict[str, Any]:
    """The record that S3 sends for what is under the key now."""
    record = s3_record(key, **({"eTag": etag(aws, unquote_plus(key))} | fields))
    record["s3"]["bucket"]["name"] = aws.outputs["FacesBucketName"]
    return record


def etag(aws: LocalAws, key: str) -> str | None:
    try:
        stored = aws.client("s3").head_object(Bucket=aws.outputs["FacesBucketName"], Key=key)
    except ClientError:
        return None
    return str(stored["ETag"]).strip('"')


def decisions(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(line.decision, line.message) for line in caplog.records if hasattr(line, "decision")]


def fail(client: Any, operation: str, error: Exception | str, times: int = 1_000) -> None:
    """Let the next calls of an operation fail before they leave."""
    left = [times]

    def hook(**_: Any) -> None:
        if left[0] > 0:
            left[0] -= 1
            if isinstance(error, Exception):
                raise error
            raise ClientError({"Error": {"Code": error, "Message": "as the test says"}}, operation)

    client.meta.events.register(f"before-call.*.{operation}", hook)


def test_a_row_holds_numbers_top_emotion_time_and_expiry(aws: LocalAws, recorder: EmotionRecorder) -> None:
    put(aws, "faces/one.jpg", crop(face(HAPPY)))
    answer = recorder({"Records": [record_for(aws, "faces/one.jpg")]}, Context())
    assert answer == {
        "batchItemFailures": [], "pictures": 1, "faces": 1, "new": 1, "rejected": 0, "gone": 0, "ignored": 0
    }  # fmt: skip
    (row,) = rows(aws)
    assert row == {
        "s3key": {"S": "faces/one.jpg"},
        "face": {"S": f"{etag(aws, 'faces/one.jpg')}#000"},
        "bucket": {"S": aws.outputs["FacesBucketName"]},
        "emotion": {"S": "HAPPY"},
        "time": {"N": "1795168800000"},
        "expires": {"N": str(1795168800 + 30 * 86_400)},
        "faceConfidence": {"N": "99.50"},
        "box": {"M": {n: {"N": v} for n, v in zip(("left", "top", "width", "height"), ("0.250000", "0.250000", "0.500000", "0.500000"), strict=True)}},  # noqa: E501
        "HAPPY": {"N": "81.25"},
        "SAD": {"N": "10.01"},
    }  # fmt: skip
    assert points(aws) == Counter({("HAPPY", 81.25): 1, ("SAD", 10.01): 1})


def test_rows_are_found_by_top_emotion_and_time(aws: LocalAws, recorder: EmotionRecorder) -> None:
    for number, emotion in enumerate(("HAPPY", "SAD", "HAPPY")):
        put(aws, f"faces/{number}", crop(face({emotion: 90.0})))
        record = record_for(aws, f"faces/{number}") | {"eventTime": f"2026-11-20T10:00:0{number}.000Z"}
        recorder({"Records": [record]}, Context())
    answer = aws.client("dynamodb").query(
        TableName=aws.outputs["FacesTableName"], IndexName="emotion-time", ScanIndexForward=False,
        KeyConditionExpression="emotion = :e AND #t >= :since", ExpressionAttributeNames={"#t": "time"},
        ExpressionAttributeValues={":e": {"S": "HAPPY"}, ":since": {"N": "1795168800000"}},
    )  # fmt: skip
    assert [row["s3key"]["S"] for row in answer["Items"]] == ["faces/2", "faces/0"]


def test_every_face_of_a_picture_has_a_row(aws: LocalAws, recorder: EmotionRecorder) -> None:
    put(aws, "faces/three", crop(face({"HAPPY": 90.0}), face({"SAD": 80.0}), face({"HAPPY": 90.0})))
    put(aws, "faces/none", crop())
    put(aws, "faces/unsure", crop(face(dict.fromkeys(EMOTIONS, 10.0))))
    put(aws, "faces/unknown", crop(face({"UNKNOWN": 55.0})))
    event = {"Records": [record_for(aws, f"faces/{name}") for name in ("three", "none", "unsure", "unknown")]}
    answer = recorder(event, Context())
    assert (answer["pictures"], answer["faces"], answer["new"]) == (4, 5, 4)
    assert sorted(row["face"]["S"] for row in rows(aws) if row["s3key"]["S"] == "faces/three") == [
        f"{etag(aws, 'faces/three')}#00{n}" for n in range(3)
    ]
    assert points(aws) == Counter({("HAPPY", 90.0): 2, ("SAD", 80.0): 1, ("UNKNOWN", 55.0): 1})


def test_one_hundred_faces_are_one_cloudwatch_call(aws: LocalAws, recorder: EmotionRecorder) -> None:
    calls: list[int] = []
    client = recorder._cloudwatch
    client.meta.events.register("before-call.cloudwatch.PutMetricData", lambda **_: calls.append(1))
    faces = [face({"HAPPY": 50 + number / 4, "SAD": 20.0}) for number in range(100)]
    for number in range(3):
        put(aws, f"faces/crowd{number}", crop(*faces))
    events = [{"Records": [record_for(aws, f"faces/crowd{number}")]} for number in range(3)]
    answer = recorder(in_sqs(*events), Context())
    assert answer["new"] == 300
    assert calls == [1]
    assert points(aws).total() == 600
    assert points(aws)["SAD", 20.0] == 300


def test_data_points_keep_within_the_limits_of_a_call() -> None:
    rows = [
        {"time": {"N": str(second * 1000)}, "HAPPY": {"N": str(value / 10)}}
        for second in range(3)
        for value in range(400)
    ]
    data = list(data_points(rows, "Confidence"))
    assert len(data) == 3 * 3
    assert all(len(datum["Values"]) == len(datum["Counts"]) <= 150 for datum in data)
    assert {datum["StorageResolution"] for datum in data} == {1}
    assert sum(sum(datum["Counts"]) for datum in data) == 1200


def test_duplicates_and_their_order_change_nothing(aws: LocalAws, recorder: EmotionRecorder) -> None:
    put(aws, "faces/a", crop(face({"HAPPY": 90.0})))
    put(aws, "faces/b", crop(face({"SAD": 80.0})))
    a, b = ({"Records": [record_for(aws, f"faces/{name}")]} for name in "ab")
    assert recorder(in_sqs(a, b, a), Context())["new"] == 2
    assert recorder(in_sqs(b, a), Context())["new"] == 0
    assert recorder({"Records": [*b["Records"], *b["Records"]]}, Context())["new"] == 0
    assert recorder(eventbridge_for(aws, "faces/a"), Context())["new"] == 0
    assert len(rows(aws)) == 2
    assert points(aws) == Counter({("HAPPY", 90.0): 1, ("SAD", 80.0): 1})


def eventbridge_for(aws: LocalAws, key: str) -> dict[str, Any]:
    event = eventbridge(key)
    event["detail"] = {
        "bucket": {"name": aws.outputs["FacesBucketName"]}, "object": {"key": key, "etag": etag(aws, key)}
    }  # fmt: skip
    return event


def test_a_new_content_under_an_old_key_is_a_new_row(aws: LocalAws, recorder: EmotionRecorder) -> None:
    s3, bucket = aws.client("s3"), aws.outputs["PhotosBucketName"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    records = []
    for emotion in ("HAPPY", "SAD"):
        stored = s3.put_object(Bucket=bucket, Key="faces/same", Body=crop(face({emotion: 90.0})))
        record = s3_record("faces/same", eTag=stored["ETag"].strip('"'), versionId=stored["VersionId"])
        record["s3"]["bucket"]["name"] = bucket
        records.append(record)
    # The newer one first: each version is looked at as it is, so the order does not matter.
    recorder({"Records": records[::-1]}, Context())
    assert sorted(row["emotion"]["S"] for row in rows(aws)) == ["HAPPY", "SAD"]
    assert points(aws) == Counter({("HAPPY", 90.0): 1, ("SAD", 90.0): 1})


def test_an_overwritten_key_leaves_no_row_of_a_picture_that_was_not_seen(
    aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    put(aws, "faces/same", crop(face({"HAPPY": 90.0})))
    first = record_for(aws, "faces/same")
    put(aws, "faces/same", crop(face({"SAD": 90.0})))
    second = record_for(aws, "faces/same")
    answer = recorder(in_sqs({"Records": [first]}, {"Records": [second]}), Context())
    assert (answer["gone"], answer["new"], answer["batchItemFailures"]) == (1, 1, [])
    assert [row["emotion"]["S"] for row in rows(aws)] == ["SAD"]
    assert decisions(caplog) == [("drop", "picture was overwritten; its key has an event of its own")]


def test_a_value_that_nobody_expected_fails_its_own_record_only(
    aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    put(aws, "faces/good", crop(face({"HAPPY": 90.0})))
    put(aws, "faces/odd", crop(face({"HAPPY": 90.0}) | {"Emotions": [{"Type": "SAD"}]}))
    recorder._clock = time.time  # impossible times are the real present
    good = record_for(aws, "faces/good") | {"eventTime": "9999-12-31T23:59:59-14:00"}
    bad = record_for(aws, "faces/good") | {"eventTime": "0001-01-01T00:00:00+14:00"}
    worse = record_for(aws, "faces/good")
    worse["s3"]["bucket"] = {"name": "b"}  # no service takes a bucket's name of one letter
    event = in_sqs({"Records": [record_for(aws, "faces/odd"), good]}, {"Records": [bad, worse, 7]})
    answer = recorder(event, Context())
    assert answer["batchItemFailures"] == [{"itemIdentifier": "m0"}]
    assert (answer["new"], answer["ignored"]) == (1, 2)
    assert {row["s3key"]["S"] for row in rows(aws)} == {"faces/good"}
    assert sorted(decisions(caplog)) == [
        ("drop", "event not understood"), ("drop", "picture cannot be asked for"), ("retry", "picture failed"),
    ]  # fmt: skip


def test_data_that_cloudwatch_refuses_fail_their_own_message_only(aws: LocalAws, recorder: EmotionRecorder) -> None:
    for name, confidence in (("a", 90.0), ("b", 80.0)):
        put(aws, f"faces/{name}", crop(face({"HAPPY": confidence})))
    client = recorder._cloudwatch

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if b"90.0" in params["body"] if isinstance(params["body"], bytes) else "90.0" in str(params["body"]):
            raise ClientError({"Error": {"Code": "InvalidParameterValue", "Message": "as the test says"}}, "Put")

    client.meta.events.register("before-call.cloudwatch.PutMetricData", refuse)
    event = in_sqs(*({"Records": [record_for(aws, f"faces/{name}")]} for name in "ab"))
    assert recorder(event, Context())["batchItemFailures"] == [{"itemIdentifier": "m0"}]
    assert points(aws) == Counter({("HAPPY", 80.0): 1})


def test_a_row_too_old_for_its_data_point_is_kept(aws: LocalAws, recorder: EmotionRecorder) -> None:
    put(aws, "faces/late", crop(face({"HAPPY": 90.0})))
    late = record_for(aws, "faces/late") | {"eventTime": "2026-11-05T10:00:00.000Z"}
    assert recorder(in_sqs({"Records": [late]}), Context())["batchItemFailures"] == []
    assert points(aws) == Counter()
    assert [("claim" in row) for row in rows(aws)] == [False]


def test_throttling_is_retried_within_the_call(aws: LocalAws, recorder: EmotionRecorder) -> None:
    put(aws, "faces/a", crop(face({"HAPPY": 90.0})))
    aws.rekognition.faults.extend(["ThrottlingException", "ProvisionedThroughputExceededException"])
    before = aws.rekognition.calls
    assert recorder(in_sqs({"Records": [record_for(aws, "faces/a")]}), Context())["new"] == 1
    assert aws.rekognition.calls - before == 3


def test_lasting_throttling_fails_its_own_message_only(
    aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    recorder = EmotionRecorder(Clients(aws.session.client), EmotionSettings(workers=1), clock=recorder._clock)
    for name in "ab":
        put(aws, f"faces/{name}", crop(face({"HAPPY": 90.0})))
    aws.rekognition.faults.extend(["ThrottlingException"] * 5)
    event = in_sqs(*({"Records": [record_for(aws, f"faces/{name}")]} for name in "ab"))
    answer = recorder(event, Context())
    assert answer["batchItemFailures"] == [{"itemIdentifier": "m0"}]
    assert [row["s3key"]["S"] for row in rows(aws)] == ["faces/b"]
    assert decisions(caplog) == [("retry", "picture failed")]
    assert recorder(event, Context())["new"] == 1
    assert points(aws) == Counter({("HAPPY", 90.0): 2})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"not a picture", "InvalidImageFormatException"),
        (b"", "InvalidImageFormatException"),
        (b"\xff\xd8\xff" + bytes(15 << 20), "ImageTooLargeException"),
        (crop("InvalidParameterException"), "InvalidParameterException"),
    ],
    ids=["text", "empty", "large", "refused"],
)
def test_a_poison_picture_is_rejected_and_not_tried_again(
    content: bytes, code: str, aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    put(aws, "faces/poison+ %.jpg", content)
    put(aws, "faces/good", crop(face({"HAPPY": 90.0})))
    keys = ("faces/poison%2B+%25.jpg", "faces/good")
    event = in_sqs(*({"Records": [record_for(aws, key)]} for key in keys))
    before = aws.rekognition.calls
    answer = recorder(event, Context())
    assert answer["batchItemFailures"] == []
    assert (answer["rejected"], answer["new"]) == (1, 1)
    assert aws.rekognition.calls - before == 2
    kept = aws.client("s3").get_object(Bucket=aws.outputs["FacesBucketName"], Key="rejected/faces/poison+ %.jpg")
    assert kept["Body"].read() == content
    assert kept["Metadata"] == {"refused": code}
    assert decisions(caplog) == [("reject", "picture refused")]
    assert [row["s3key"]["S"] for row in rows(aws)] == ["faces/good"]


def test_a_poison_key_too_long_to_be_prefixed_is_rejected_under_its_hash(
    aws: LocalAws, recorder: EmotionRecorder
) -> None:
    key = "faces/" + "x" * 1018
    put(aws, key, b"not a picture")
    assert recorder({"Records": [record_for(aws, key)]}, Context())["rejected"] == 1
    listed = aws.client("s3").list_objects_v2(Bucket=aws.outputs["FacesBucketName"], Prefix="rejected/")
    assert any(len(stored["Key"]) == len("rejected/") + 64 for stored in listed["Contents"])


def test_an_object_that_is_gone_is_dropped(
    aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    s3, bucket = aws.client("s3"), aws.outputs["ZipsBucketName"]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=bucket, Key="faces/gone", Body=b"x")["VersionId"]
    s3.put_object(Bucket=bucket, Key="faces/gone", Body=b"y")
    s3.delete_object(Bucket=bucket, Key="faces/gone", VersionId=version)
    versioned = record_for(aws, "faces/gone", versionId=version)
    versioned["s3"]["bucket"]["name"] = bucket
    event = in_sqs({"Records": [record_for(aws, "faces/gone")]}, {"Records": [versioned]})
    answer = recorder(event, Context())
    assert (answer["gone"], answer["batchItemFailures"]) == (2, [])
    assert decisions(caplog) == [("drop", "picture is gone")] * 2


def test_a_poison_picture_that_vanishes_is_gone(aws: LocalAws, recorder: EmotionRecorder) -> None:
    aws.rekognition.faults.append("InvalidImageFormatException")
    assert recorder({"Records": [record_for(aws, "faces/never")]}, Context())["gone"] == 1


@pytest.mark.parametrize(
    ("service", "operation", "error"),
    [
        ("rekognition", "DetectFaces", "AccessDeniedException"),
        ("rekognition", "DetectFaces", "SomethingNewException"),
        ("rekognition", "DetectFaces", EndpointConnectionError(endpoint_url="http://rekognition")),
        ("dynamodb", "PutItem", "AccessDeniedException"),
        ("dynamodb", "PutItem", "ResourceNotFoundException"),
        ("cloudwatch", "PutMetricData", "AccessDenied"),
    ],
)
def test_denied_or_broken_services_are_one_line_and_a_retry(
    service: str, operation: str, error: Exception | str, aws: LocalAws, recorder: EmotionRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    put(aws, "faces/a", crop(face({"HAPPY": 90.0})))
    put(aws, "faces/none", crop())
    event = in_sqs({"Records": [record_for(aws, "faces/a")]}, {"Records": [record_for(aws, "faces/none")]})
    fail(getattr(recorder, f"_{service}"), operation, error, times=2 if service == "rekognition" else 1)
    answer = recorder(event, Context())
    failed = {"m0", "m1"} if service == "rekognition" else {"m0"}
    assert {failure["itemIdentifier"] for failure in answer["batchItemFailures"]} == failed
    assert {decision for decision, _ in decisions(caplog)} == {"retry"}
    assert len(decisions(caplog)) == len(failed)
    # The same messages again, with the service well: nothing is missing and nothing is there twice.
    assert recorder(event, Context())["batchItemFailures"] == []
    assert points(aws) == Counter({("HAPPY", 90.0): 1})
    assert len(rows(aws)) == 1
    assert "claim" not in rows(aws)[0]


def test_denied_access_to_the_object_is_a_retry(
    aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    fail(recorder._s3, "HeadObject", "403")
    answer = recorder(in_sqs({"Records": [record_for(aws, "faces/secret")]}), Context())
    assert answer["batchItemFailures"] == [{"itemIdentifier": "m0"}]
    assert decisions(caplog) == [("retry", "picture failed")]


def test_what_is_owed_after_a_failed_publication_is_paid_by_the_redelivery_only(
    aws: LocalAws, recorder: EmotionRecorder
) -> None:
    put(aws, "faces/a", crop(face({"HAPPY": 90.0})))
    record = {"Records": [record_for(aws, "faces/a")]}
    fail(recorder._cloudwatch, "PutMetricData", "InternalServiceFault", times=1)
    assert recorder(in_sqs(record), Context())["batchItemFailures"]
    assert rows(aws)[0]["claim"] == {"S": "m0"}
    other = in_sqs(record)
    other["Records"][0]["messageId"] = "another"
    assert recorder(other, Context())["new"] == 0
    assert points(aws) == Counter()
    assert recorder(in_sqs(record), Context())["new"] == 1
    assert points(aws) == Counter({("HAPPY", 90.0): 1})
    assert "claim" not in rows(aws)[0]


def test_what_a_dead_message_owed_is_paid_after_its_redrive(
    aws: LocalAws, recorder: EmotionRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that come back from the dead letters have new ids."""
    put(aws, "faces/a", crop(face({"HAPPY": 90.0})))
    record = {"Records": [record_for(aws, "faces/a")]}
    fail(recorder._cloudwatch, "PutMetricData", "InternalServiceFault", times=1)
    assert recorder(in_sqs(record), Context())["batchItemFailures"]
    redriven = in_sqs(record)
    redriven["Records"][0]["messageId"] = "new"
    monkeypatch.setattr(recorder, "_clock", lambda: NOW + 901)
    assert recorder(redriven, Context())["new"] == 1
    assert recorder(redriven, Context())["new"] == 0
    assert points(aws) == Counter({("HAPPY", 90.0): 1})
    assert not {"claim", "claimed"} & set(rows(aws)[0])


def test_an_event_that_is_no_batch_raises_after_all_else_is_done(aws: LocalAws, recorder: EmotionRecorder) -> None:
    put(aws, "faces/ok", crop(face({"HAPPY": 90.0})))
    fail(recorder._s3, "HeadObject", "403", times=1)
    event = {"Records": [record_for(aws, "faces/secret"), record_for(aws, "faces/ok")]}
    with pytest.raises(TryAgainError):
        recorder(event, Context())
    assert [row["s3key"]["S"] for row in rows(aws)] == ["faces/ok"]
    assert points(aws).total() == 1


def test_without_time_left_nothing_is_begun(
    aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    put(aws, "faces/a", crop(face({"HAPPY": 90.0})))
    before = aws.rekognition.calls
    answer = recorder(in_sqs({"Records": [record_for(aws, "faces/a")]}), Context(left_ms=500))
    assert answer["batchItemFailures"] == [{"itemIdentifier": "m0"}]
    assert aws.rekognition.calls == before
    assert decisions(caplog) == [("retry", "picture failed")]


@pytest.mark.parametrize("event", [{}, [], None, 7, {"Records": 5}, {"Records": [{}]}, {"detail": {}}])
def test_unknown_events_are_one_line_and_no_retry(
    event: object, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    assert recorder(event, Context())["ignored"] == 1
    assert decisions(caplog) == [("drop", "event not understood")]


def test_broken_messages_are_dropped_alone_and_logged_with_their_text(
    aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    put(aws, "faces/a", crop(face({"HAPPY": 90.0})))
    answer = recorder(in_sqs("{half", {"Records": [record_for(aws, "faces/a")]}, {"hello": 1}), Context())
    assert (answer["batchItemFailures"], answer["new"], answer["ignored"]) == ([], 1, 2)
    lines = [line for line in caplog.records if line.levelno >= logging.WARNING]
    assert [line.__dict__["body"] for line in lines] == ["{half", '{"hello": 1}']


def test_other_prefixes_and_test_events_are_left_alone(
    aws: LocalAws, recorder: EmotionRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    before = aws.rekognition.calls
    answer = recorder(in_sqs({"Records": [record_for(aws, "rejected/faces/a")]}, {"Event": "s3:TestEvent"}), Context())
    assert (answer["ignored"], answer["batchItemFailures"]) == (1, [])
    assert decisions(caplog) == [("drop", "key outside the prefix")]
    assert aws.rekognition.calls == before


def test_settings_come_from_the_environment() -> None:
    assert EmotionSettings.from_environment({}) == EmotionSettings()
    assert EmotionSettings.from_environment({"EMOTION_THRESHOLD": "", "TABLE_NAME": "t"}) == EmotionSettings(table="t")
    assert EmotionSettings.from_environment({"EMOTION_THRESHOLD": "25.5", "KEEP_DAYS": "3"}) == EmotionSettings(
        threshold=25.5, keep_days=3
    )


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("KEEP_DAYS", "soon", "a whole number of at least 1"), ("KEEP_DAYS", "0", "a whole number of at least 1"),
        ("WORKERS", "0", "a whole number of at least 1"), ("WORKERS", "2.5", "a whole number of at least 1"),
        ("EMOTION_THRESHOLD", "10%", "a number of at least 0"), ("EMOTION_THRESHOLD", "nan", "a number of at least 0"),
        ("EMOTION_THRESHOLD", "inf", "a number of at least 0"),
    ],
)  # fmt: skip
def test_a_setting_that_is_no_number_is_named(name: str, text: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is '{text}'; expected {wanted}$"):
        EmotionSettings.from_environment({name: text})
