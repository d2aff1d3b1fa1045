"""Events of every form become pictures; what is not understood ends in one error."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saccade.cloud.events import EventError, Message, StoredPicture, messages

HOSTILE = [
    "faces/a b.jpg",
    "faces/a+b.jpg",
    "faces/100%.jpg",
    "faces/%2F%20.jpg",
    "faces/späße/脸 😀.jpg",
    "faces/../../etc/passwd",
    "faces//.jpg",
    "faces/quote'\"<script>&;.jpg",
    "faces/line\nbreak\ttab.jpg",
    "faces/" + "x" * (1024 - len("faces/")),
    "faces/" + "脸" * 339 + "x",
]


def s3_record(key: str, **fields: Any) -> dict[str, Any]:
    """One record as S3 sends it, key already encoded."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-11-20T10:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": "faces-bucket", "arn": "arn:aws:s3:::faces-bucket"},
            "object": {"key": key, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e", **fields},
        },
    }


def in_sqs(*bodies: object) -> dict[str, Any]:
    """An SQS batch with these message bodies."""
    return {
        "Records": [
            {"messageId": f"m{i}", "body": b if isinstance(b, str) else json.dumps(b), "eventSource": "aws:sqs"}
            for i, b in enumerate(bodies)
        ]
    }


def eventbridge(key: str, **fields: Any) -> dict[str, Any]:
    """The event that S3 sends to EventBridge, key raw."""
    stored = {"key": key, "size": 5, "etag": "abc", "version-id": "v1", "sequencer": "00617F08299329D189"}
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "time": "2026-11-20T10:00:00Z",
        "detail": {"version": "0", "bucket": {"name": "faces-bucket"}, "object": stored, "reason": "PutObject"},
        **fields,
    }


def found(event: object) -> list[StoredPicture | EventError]:
    return [picture for message in messages(event) for picture in message.pictures()]


def pictures(event: object) -> list[StoredPicture]:
    return [picture for picture in found(event) if isinstance(picture, StoredPicture)]


@pytest.mark.parametrize("encode", [quote_plus, quote, lambda key: quote(key, safe="")])
@pytest.mark.parametrize("key", HOSTILE)
def test_keys_of_notifications_are_decoded_whoever_encoded_them(key: str, encode: Any) -> None:
    (picture,) = pictures({"Records": [s3_record(encode(key))]})
    etag = "d41d8cd98f00b204e9800998ecf8427e"
    assert picture == StoredPicture("faces-bucket", key, etag, None, 1795168800.0, etag)


@pytest.mark.parametrize("key", HOSTILE)
def test_keys_of_eventbridge_are_left_alone(key: str) -> None:
    assert pictures(eventbridge(key)) == [StoredPicture("faces-bucket", key, "abc", "v1", 1795168800.0, "abc")]
    assert pictures(in_sqs(eventbridge(key)))[0].key == key


@given(st.text(min_size=1, max_size=200).filter(lambda t: len(t.encode("utf-8", "replace")) <= 1024))
def test_any_text_is_a_key_or_an_error(key: str) -> None:
    try:
        encoded = quote_plus(key)
    except UnicodeEncodeError:
        assert "not UTF-8" in str(found(eventbridge(key)))
    else:
        assert pictures({"Records": [s3_record(encoded)]})[0].key == key


def test_all_records_of_all_messages_are_seen() -> None:
    event = in_sqs({"Records": [s3_record("faces/1"), s3_record("faces/2")]}, {"Records": [s3_record("faces/3")]})
    assert [message.id for message in messages(event)] == ["m0", "m1"]
    assert [picture.key for picture in pictures(event)] == ["faces/1", "faces/2", "faces/3"]


def test_content_is_told_by_etag_then_version_then_sequencer() -> None:
    assert pictures({"Records": [s3_record("k", versionId="v7")]})[0].version == "v7"
    assert pictures({"Records": [s3_record("k", versionId="null")]})[0].version is None
    assert pictures({"Records": [s3_record("k", versionId="v7", eTag="")]})[0].tag == "v7"
    assert pictures({"Records": [s3_record("k", sequencer="55", eTag=None)]})[0].tag == "55"
    assert pictures({"Records": [s3_record("k", eTag=None)]})[0].tag == ""
    assert pictures({"Records": [s3_record("k", eTag='"quoted"')]})[0].tag == "quoted"
    assert pictures({"Records": [s3_record("k", eTag="e" * 2000, sequencer="55")]})[0].tag == "55"


@pytest.mark.parametrize("version", ["2.0", "2.1", "2.6", "3.0", None])
def test_the_record_version_does_not_matter(version: str | None) -> None:
    assert len(pictures({"Records": [s3_record("k") | {"eventVersion": version}]})) == 1


def test_test_events_and_other_events_hold_no_picture() -> None:
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "faces-bucket", "RequestId": "5582815E1AEA5ADF"}
    assert pictures(test) == pictures(in_sqs(test)) == []
    assert pictures({"Records": [s3_record("k") | {"eventName": "ObjectRemoved:Delete"}]}) == []
    assert pictures(eventbridge("k", **{"detail-type": "Object Deleted"})) == []
    assert pictures({"Records": []}) == []


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({}, "neither Records nor an S3 detail"),
        ([], "event is list"),
        (None, "event is NoneType"),
        (7, "event is int"),
        ("text", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ({"Records": 5}, "Records is int"),
        ({"Records": [None]}, "record is NoneType"),
        ({"Records": [{}]}, "eventName is None"),
        ({"Records": [{"eventName": "ObjectCreated:Put"}]}, "s3 is NoneType"),
        ({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}, "object": {}}}]}, "name is None"),
        ({"Records": [s3_record("")]}, "key is ''"),
        ({"Records": [s3_record("%ff%fe")]}, "not UTF-8"),
        ({"Records": [s3_record("k" * 1025)]}, "1025 bytes"),
        ({"Records": [s3_record("k") | {"s3": {"bucket": {"name": "\ud800"}, "object": {"key": "k"}}}]}, "bucket"),
        ({"source": "aws.s3", "detail-type": "Object Created", "detail": None}, "detail is NoneType"),
        ({"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"key": 5}}}, "detail.bucket"),
    ],
)
def test_unknown_shapes_are_one_error(event: object, complaint: str) -> None:
    (error,) = found(event)
    assert isinstance(error, EventError)
    assert complaint in str(error)


def test_a_broken_message_or_record_takes_nothing_else_along() -> None:
    broken = [s3_record("k" * 1025), s3_record("k", versionId="v\n7"), None]
    first, second = messages(in_sqs("{", {"Records": [broken[0], s3_record("faces/ok"), *broken[1:]]}))
    assert [type(picture) for picture in first.pictures()] == [EventError]
    assert [type(picture) for picture in second.pictures()] == [EventError, StoredPicture, EventError, EventError]
    assert messages({"Records": [{"eventSource": "aws:sqs"}]}) == [Message("", None)]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["Records", "s3", "object", "bucket", "key", "name", "eventName", "source", "detail"]) | st.text(), inner)))  # fmt: skip # noqa: E501
def test_no_event_raises(event: object) -> None:
    found(event)


@pytest.mark.parametrize(
    "time",
    ["yesterday", None, 5, "2026-11-20T10:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
     "1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_missing_or_impossible_time_is_the_present(time: object) -> None:
    now = datetime.now(timezone.utc).timestamp()
    assert 1_700_000_000 < pictures({"Records": [s3_record("k") | {"eventTime": time}]})[0].time <= now + 60


def test_a_time_with_an_offset_is_the_same_moment() -> None:
    (there,) = pictures({"Records": [s3_record("k") | {"eventTime": "2026-11-20T12:00:00+02:00"}]})
    (here,) = pictures({"Records": [s3_record("k")]})
    assert there.time == here.time == datetime(2026, 11, 20, 10, tzinfo=timezone.utc).timestamp()


def test_no_field_makes_a_message_long() -> None:
    (error,) = found({"Records": [s3_record("k") | {"eventName": ["x" * 10**5]}]})
    assert len(str(error)) < 200
