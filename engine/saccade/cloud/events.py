"""What S3, SQS and EventBridge send to a function, as pictures.

Forms understood: S3 notifications, EventBridge's "Object Created", either of them in SQS messages, and the test event
that S3 sends when a notification is set up. Everything in an event is somebody else's text: a field that is missing, of
the wrong type or out of range ends in one `EventError` that names it, and takes no other record along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote_plus

MAX_KEY_BYTES = 1024

_EARLIEST = datetime(2006, 3, 14, tzinfo=timezone.utc).timestamp()
"""S3's first day."""
_AHEAD = 7200.0
"""How far a time may lie ahead of this machine's clock, s; CloudWatch takes no more either."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_MARK = re.compile(r"[!-~]{1,200}")
"""ETags, versions and sequencers: printable ASCII, short enough for a table's key."""


class EventError(ValueError):
    """An event, or one message of it, is not of a form that is understood."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One object that was put into a bucket.

    key : as the object is called, decoded. version : its version where the bucket keeps versions, else None.
    tag : tells one content of the key from another (the ETag; else version or sequencer; else empty), so that the same
        content reported twice is the same picture, and an overwritten key is a new one. etag : the ETag, or None.
    time : when it was put, POSIX seconds.
    """

    bucket: str
    key: str
    tag: str
    version: str | None
    time: float
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What succeeds or fails as a whole: one SQS message, or the whole of any other event.

    id : the SQS message's, None for other events. body : the event in it, as text (SQS) or already parsed.
    """

    id: str | None
    body: object

    def pictures(self) -> list[StoredPicture | EventError]:
        """The pictures of this message; none for test events and for events other than a creation.

        What is not understood stands as its error in the place of its picture: of the record, where the rest is sound.
        """
        try:
            event = self._event()
            if event.get("Event") == "s3:TestEvent":
                return []
            if event.get("source") == "aws.s3" and "detail" in event:
                return [*_from_eventbridge(event)]
            if "Records" not in event:
                fields = str(sorted(map(str, event)))
                raise EventError(f"event has neither Records nor an S3 detail; its fields are {fields[:500]}")
            records = _records(event)
        except EventError as error:
            return [error]
        pictures: list[StoredPicture | EventError] = []
        for record in records:
            try:
                pictures += _from_s3(_mapping(record, "record"))
            except EventError as error:
                pictures.append(error)
        return pictures

    def _event(self) -> Mapping[str, Any]:
        body = self.body
        if isinstance(body, str):
            try:
                body = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise EventError(f"message body is not JSON: {error}") from None
        return _mapping(body, "event")


def messages(event: object) -> list[Message]:
    """Split an event into what may succeed or fail on its own."""
    if isinstance(event, Mapping) and isinstance(event.get("Records"), list):
        records = event["Records"]
        if records and all(isinstance(r, Mapping) and r.get("eventSource") == "aws:sqs" for r in records):
            return [Message(str(record.get("messageId", "")), record.get("body")) for record in records]
    return [Message(None, event)]


def _from_s3(record: Mapping[str, Any]) -> list[StoredPicture]:
    # Versions 2.0 to 2.6 of the record differ in fields that are not used here, so the version is not looked at.
    if not _text(record, "eventName").removeprefix("s3:").startswith("ObjectCreated"):
        return []
    s3 = _mapping(record.get("s3"), "s3")
    stored = _mapping(s3.get("object"), "s3.object")
    return [
        _picture(
            bucket=_text(_mapping(s3.get("bucket"), "s3.bucket"), "name"),
            # Notifications carry the key form-encoded: a space is "+" from S3, "%20" from some tools.
            key=unquote_plus(_text(stored, "key"), errors="surrogateescape"),
            etag=stored.get("eTag"),
            version=stored.get("versionId"),
            sequencer=stored.get("sequencer"),
            time=record.get("eventTime"),
        )
    ]


def _from_eventbridge(event: Mapping[str, Any]) -> list[StoredPicture]:
    if event.get("detail-type") != "Object Created":
        return []
    detail = _mapping(event["detail"], "detail")
    stored = _mapping(detail.get("object"), "detail.object")
    return [
        _picture(
            bucket=_text(_mapping(detail.get("bucket"), "detail.bucket"), "name"),
            key=_text(stored, "key"),  # EventBridge does not encode the key
            etag=stored.get("etag") or stored.get("eTag"),
            version=stored.get("version-id"),
            sequencer=stored.get("sequencer"),
            time=event.get("time"),
        )
    ]


def _picture(*, bucket: str, key: str, etag: object, version: object, sequencer: object, time: object) -> StoredPicture:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise EventError(f"key {key!r} is not UTF-8") from None
    if size > MAX_KEY_BYTES:
        raise EventError(f"key of {size} bytes, beginning {key[:40]!r}; S3 allows {MAX_KEY_BYTES}")
    if not _BUCKET.fullmatch(bucket):
        raise EventError(f"bucket {bucket[:80]!r} is not a name of one")
    if version in ("", "null"):  # S3's name for the only version in a bucket without versions
        version = None
    if version is not None and not _mark(version):
        raise EventError(f"version {str(version)[:80]!r} is not one of S3's")
    tag = next(filter(None, map(_mark, (etag, version, sequencer))), "")
    return StoredPicture(bucket, key, tag, _mark(version), _posix(time), _mark(etag))


def _mark(value: object) -> str | None:
    """An ETag, version or sequencer without its quotes; None for anything else."""
    text = value.strip('"') if isinstance(value, str) else ""
    return text if _MARK.fullmatch(text) else None


def _posix(time: object) -> float:
    """POSIX seconds of an ISO time; the present where an event has none or an impossible one: only graphs need it."""
    now = datetime.now(timezone.utc).timestamp()
    try:
        moment = datetime.fromisoformat(str(time).replace("Z", "+00:00"))
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):  # not a time, or one whose UTC lies outside the calendar
        return now
    return seconds if _EARLIEST <= seconds <= now + _AHEAD else now


def _records(event: Mapping[str, Any]) -> list[Any]:
    records = event["Records"]
    if not isinstance(records, list):
        raise EventError(f"Records is {type(records).__name__}; expected a list")
    return records


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise EventError(f"{name} is {type(value).__name__}; expected an object")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise EventError(f"{name} is {repr(value)[:80]}; expected text")
    return value
