"""A face crop becomes rows and data points: S3 event -> Rekognition -> DynamoDB and CloudWatch.

Events arrive more than once and in any order, and a function may be killed at any moment. What keeps that harmless:

* A row's key is the object's key plus its content tag and the face's number, so that the same content always means
  the same rows; a conditional write decides which of them are new. Nothing depends on the order of arrival.
* A new row carries the claim of the message that made it until its data points have been accepted; only then is the
  claim removed. A redelivery of the same message finds its own claim and publishes what is still owed; so does any
  other message when the claim is older than a function can live, as after a redrive of dead letters. CloudWatch has no
  conditional write, so a kill between its answer and the removal of the claim (milliseconds) repeats those points.
* What can never succeed (a picture that Rekognition refuses) is copied elsewhere and not tried again; what may succeed
  later (throttling, an outage, a missing right) fails its own message only, which the queue delivers again and in the
  end moves to its dead letters. So does whatever nobody has thought of.
* A row belongs to the picture that was looked at: a key that was overwritten in between is left to its own event.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from saccade.cloud.aws import REFUSED, Clients, code
from saccade.cloud.environment import number
from saccade.cloud.events import MAX_KEY_BYTES, EventError, Message, StoredPicture, messages

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef
    from mypy_boto3_rekognition.type_defs import FaceDetailTypeDef

log = logging.getLogger("saccade.cloud")

EMOTIONS = ("HAPPY", "SAD", "ANGRY", "CONFUSED", "DISGUSTED", "SURPRISED", "CALM", "FEAR")
"""Rekognition's emotion types; UNKNOWN may appear too."""

_NO_SUCH_OBJECT = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})
_VALUES_PER_DATUM = 150  # limits of PutMetricData
_DATA_PER_CALL = 1000
_ROWS_PER_CALL = 25  # limit of BatchWriteItem
_WRITE_TRIES = 5
_OLDEST_POINT = 14 * 86_400 - 3600  # CloudWatch takes no points older than two weeks
_NEWEST_POINT = 7200 - 60
_SPOILT = frozenset(
    {"InvalidParameterValue", "InvalidParameterCombination", "MissingParameter", "ValidationError",
     "ValidationException"}
)  # fmt: skip
"""PutMetricData's errors that are about the data of the call."""
_CLAIM_SECONDS = 900  # the longest that a function may run

_EMOTION = re.compile(r"[A-Z][A-Z_]{0,49}")

Row = dict[str, Any]
"""One face as a DynamoDB item in the low-level form, ``{name: {type: value}}``."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmotionSettings:
    """What a deployment may choose.

    table : DynamoDB table, partition key ``s3key`` (S), sort key ``face`` (S). namespace, metric : CloudWatch names.
    threshold : emotions at or below this confidence are left out, percent.
    prefix : keys outside it are not looked at. rejected : prefix under which refused pictures are copied to.
    keep_days : rows expire after this many days. workers : pictures in work at once.
    reserve_ms : a picture is not begun with less of the function's time left than this.
    """

    table: str = "rekognize-faces"
    namespace: str = "Saccade/Faces"
    metric: str = "Confidence"
    threshold: float = 10.0
    prefix: str = "faces/"
    rejected: str = "rejected/"
    keep_days: int = 30
    workers: int = 4
    reserve_ms: int = 8_000

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> EmotionSettings:
        """Settings from ``TABLE_NAME``, ``METRIC_NAMESPACE``, ``EMOTION_THRESHOLD`` and so on; empty means default.

        Raises ValueError for what is no number.
        """
        default = cls()
        return cls(
            table=environment.get("TABLE_NAME") or default.table,
            namespace=environment.get("METRIC_NAMESPACE") or default.namespace,
            metric=environment.get("METRIC_NAME") or default.metric,
            threshold=number(environment, "EMOTION_THRESHOLD", default.threshold),
            prefix=environment.get("FACES_PREFIX") or default.prefix,
            rejected=environment.get("REJECTED_PREFIX") or default.rejected,
            keep_days=number(environment, "KEEP_DAYS", default.keep_days, least=1),
            workers=number(environment, "WORKERS", default.workers, least=1),
        )


class TryAgainError(Exception):
    """This picture may succeed later. The message says what stood in the way."""


@dataclass(slots=True)
class _Outcome:
    """What became of one message. rows : new rows whose data points are still owed, by (s3key, face)."""

    message: Message
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    failed: bool = False
    counts: Counter[str] = field(default_factory=Counter)


class EmotionRecorder:
    """The function's logic; call it with an event and a Lambda context."""

    def __init__(
        self, clients: Clients, settings: EmotionSettings | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings or EmotionSettings()
        self._clock = clock
        self._threads = ThreadPoolExecutor(self.settings.workers, thread_name_prefix="picture")
        # Made here, outside the handler, so that a cold start pays once and the first event finds them ready.
        self._rekognition, self._dynamodb, self._cloudwatch = clients.rekognition, clients.dynamodb, clients.cloudwatch
        self._s3 = clients.s3

    @classmethod
    def from_environment(cls) -> EmotionRecorder:
        """As configured by environment variables."""
        settings = EmotionSettings.from_environment()
        return cls(Clients(connections=settings.workers + 1), settings)

    def __call__(self, event: object, context: Any) -> dict[str, Any]:
        """Record the faces of every picture in the event.

        Returns `{"batchItemFailures": [...], "pictures", "faces", "new", ...}`. An event that is not an SQS batch has
        no partial failures: it raises `TryAgainError` after everything else in it has been done.
        """
        # A redelivered SQS message keeps its id and a retried asynchronous event its request id: that is the claim.
        request = getattr(context, "aws_request_id", None) or str(uuid.uuid4())
        outcomes = list(
            self._threads.map(lambda message: self._message(message, message.id or request, context), messages(event))
        )
        if owing := [outcome for outcome in outcomes if outcome.rows]:
            self._publish(owing)

        counts: Counter[str] = Counter()
        for outcome in outcomes:
            counts += outcome.counts
        summary: dict[str, Any] = {
            name: counts[name] for name in ("pictures", "faces", "new", "rejected", "gone", "ignored")
        }
        failures = [outcome.message.id for outcome in outcomes if outcome.failed]
        log.info("recorded", extra={**summary, "failed": len(failures)})
        if None in failures:
            raise TryAgainError("part of this event failed and should be delivered again; see the log lines above")
        return {"batchItemFailures": [{"itemIdentifier": id} for id in failures], **summary}

    def _message(self, message: Message, claim: str, context: Any) -> _Outcome:
        outcome = _Outcome(message)
        for picture in dict.fromkeys(message.pictures()):
            if isinstance(picture, EventError):
                _line(logging.ERROR, "event not understood", "drop", reason=str(picture), body=str(message.body)[:2000])
                outcome.counts["ignored"] += 1
                continue
            try:
                if context is not None and context.get_remaining_time_in_millis() < self.settings.reserve_ms:
                    raise TryAgainError("too little of the function's time is left")
                self._picture(picture, claim, outcome)
            except TryAgainError as error:
                _line(logging.WARNING, "picture failed", "retry", picture, reason=str(error))
                outcome.failed = True
            except ParamValidationError as error:  # a name that no service takes, from somebody else's event
                _line(logging.ERROR, "picture cannot be asked for", "drop", picture, reason=str(error))
                outcome.counts["ignored"] += 1
            except (ClientError, BotoCoreError) as error:
                _line(logging.ERROR, "picture failed", "retry", picture, reason=str(error), error=_name(error))
                outcome.failed = True
            except Exception as error:
                # One record must not take its batch along. The queue brings it again, and in the end to the dead
                # letters, where it can be looked at.
                _line(logging.ERROR, "picture failed", "retry", picture, reason=repr(error), error=_name(error))
                log.debug("picture failed", exc_info=True)
                outcome.failed = True
        return outcome

    def _picture(self, picture: StoredPicture, claim: str, outcome: _Outcome) -> None:
        counts = outcome.counts
        if not picture.key.startswith(self.settings.prefix):
            _line(logging.WARNING, "key outside the prefix", "drop", picture, prefix=self.settings.prefix)
            counts["ignored"] += 1
            return
        try:
            faces = self._detect(picture)
        except ClientError as error:
            if code(error) in REFUSED:
                if self._reject(picture, error):
                    counts["rejected"] += 1
                    return
            elif code(error) != "InvalidS3ObjectException" or self._exists(picture):
                raise
            _line(logging.WARNING, "picture is gone", "drop", picture)
            counts["gone"] += 1
            return
        if self._is_overwritten(picture):
            _line(logging.WARNING, "picture was overwritten; its key has an event of its own", "drop", picture)
            counts["gone"] += 1
            return
        counts["pictures"] += 1
        counts["faces"] += len(faces)
        for index, face in enumerate(faces):
            row = self._row(picture, index, face)
            if row is not None and self._is_owed(row, claim):
                outcome.rows[row["s3key"]["S"], row["face"]["S"]] = row
                counts["new"] += 1

    def _detect(self, picture: StoredPicture) -> Sequence[FaceDetailTypeDef]:
        if picture.version is None:
            image: Any = {"S3Object": {"Bucket": picture.bucket, "Name": picture.key}}
        else:
            image = {"S3Object": {"Bucket": picture.bucket, "Name": picture.key, "Version": picture.version}}
        return self._rekognition.detect_faces(Image=image, Attributes=["EMOTIONS"]).get("FaceDetails", [])

    def _is_overwritten(self, picture: StoredPicture) -> bool:
        """Whether the key has another content by now than the event is about, so that the other may have been seen."""
        if picture.version is not None or picture.etag is None:
            return False
        try:
            self._s3.head_object(Bucket=picture.bucket, Key=picture.key, IfMatch=f'"{picture.etag}"')
        except ClientError as error:
            if code(error) in ("412", "PreconditionFailed"):
                return True
            if code(error) in _NO_SUCH_OBJECT:  # deleted since it was looked at
                return False
            raise
        return False

    def _row(self, picture: StoredPicture, index: int, face: FaceDetailTypeDef) -> Row | None:
        """The face's row; None where no emotion is above the threshold."""
        emotions = {
            emotion["Type"]: round(emotion["Confidence"], 2)
            for emotion in face.get("Emotions", ())
            if self.settings.threshold < emotion["Confidence"] < math.inf and _EMOTION.fullmatch(emotion["Type"])
        }
        if not emotions:
            return None
        row: Row = {
            "s3key": {"S": picture.key},
            "face": {"S": f"{picture.tag}#{index:03d}"},
            "bucket": {"S": picture.bucket},
            "emotion": {"S": max(emotions, key=emotions.__getitem__)},
            "time": {"N": str(round(picture.time * 1000))},
            "expires": {"N": str(round(picture.time) + self.settings.keep_days * 86_400)},
            "faceConfidence": {"N": f"{face.get('Confidence', 0.0):.2f}"},
            "box": {"M": {name: {"N": f"{value:.6f}"} for name, value in _box(face)}},
        }
        return row | {emotion: {"N": str(confidence)} for emotion, confidence in emotions.items()}

    def _is_owed(self, row: Row, claim: str) -> bool:
        """Write the row unless it is there; True where its data points are for this message to publish."""
        now = self._clock()
        try:
            self._dynamodb.put_item(
                TableName=self.settings.table,
                Item={**row, "claim": {"S": claim}, "claimed": {"N": str(round(now))}},
                ConditionExpression="attribute_not_exists(s3key)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if code(error) != "ConditionalCheckFailedException":
                raise
            stored: Any = error.response.get("Item", {})
            if "claim" not in stored:
                return False
            return bool(stored["claim"]["S"] == claim or now - float(stored["claimed"]["N"]) > _CLAIM_SECONDS)
        return True

    def _publish(self, outcomes: Sequence[_Outcome]) -> None:
        """Send the data points of new rows, then take the claims off. Failing that, their messages fail."""
        rows = {key: row for outcome in outcomes for key, row in outcome.rows.items()}
        try:
            for data in _chunks(data_points(self._in_time(rows.values()), self.settings.metric), _DATA_PER_CALL):
                self._cloudwatch.put_metric_data(Namespace=self.settings.namespace, MetricData=data)
        except (ClientError, BotoCoreError) as error:
            if len(outcomes) > 1 and (isinstance(error, ParamValidationError) or _name(error) in _SPOILT):
                for outcome in outcomes:  # one message's data must not take the others' along
                    self._publish([outcome])
                return
            _line(logging.ERROR, "data points failed", "retry", reason=str(error), error=_name(error))
            for outcome in outcomes:
                outcome.failed = True
            return
        try:
            for chunk in _chunks(rows.values(), _ROWS_PER_CALL):
                self._write(chunk)
        except (ClientError, BotoCoreError, TryAgainError) as error:
            # The points are out, so the messages are done; the claims would matter only if SQS sent one twice.
            _line(logging.WARNING, "claims stay on their rows", "drop", reason=str(error), error=_name(error))

    def _in_time(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows whose points CloudWatch still takes; a redrive of dead letters may come too late for it."""
        now = self._clock()
        for row in rows:
            if now - _OLDEST_POINT < int(row["time"]["N"]) / 1000 < now + _NEWEST_POINT:
                yield row
            else:
                _line(
                    logging.WARNING,
                    "not of a time that a data point may have",
                    "drop",
                    key=row["s3key"]["S"],
                    face=row["face"]["S"],
                )

    def _write(self, rows: Sequence[Row]) -> None:
        table = self.settings.table
        owed: Any = {table: [{"PutRequest": {"Item": row}} for row in rows]}
        for attempt in range(_WRITE_TRIES):
            owed = self._dynamodb.batch_write_item(RequestItems=owed).get("UnprocessedItems")
            if not owed:
                return
            time.sleep(0.05 * 2**attempt)  # as BatchWriteItem asks for
        raise TryAgainError(f"the table takes no more rows for now; {len(owed[table])} are left")

    def _reject(self, picture: StoredPicture, error: ClientError) -> bool:
        """Copy a refused picture out of the way; False where it is gone."""
        key = self.settings.rejected + picture.key
        if len(key.encode()) > MAX_KEY_BYTES:
            key = self.settings.rejected + hashlib.sha256(picture.key.encode()).hexdigest()
        try:
            self._s3.copy_object(
                CopySource=_stored(picture), Bucket=picture.bucket, Key=key,
                Metadata={"refused": code(error)}, MetadataDirective="REPLACE", ContentType="application/octet-stream",
            )  # fmt: skip
        except ClientError as failure:
            if code(failure) in _NO_SUCH_OBJECT:
                return False
            raise
        _line(logging.ERROR, "picture refused", "reject", picture, reason=str(error), error=_name(error), copy=key)
        return True

    def _exists(self, picture: StoredPicture) -> bool:
        """Whether the object is there; raises where that may not be asked, which is a fault of the set-up."""
        stored = _stored(picture)
        try:
            if "VersionId" in stored:
                self._s3.head_object(**stored)
            else:
                self._s3.head_object(Bucket=picture.bucket, Key=picture.key)
        except ClientError as error:
            if code(error) in _NO_SUCH_OBJECT:
                return False
            raise
        return True


def data_points(rows: Iterable[Row], metric: str) -> Iterator[MetricDatumTypeDef]:
    """Rows as CloudWatch data: one datum per emotion and second, with each confidence in it and its count."""
    groups: dict[tuple[str, int], Counter[float]] = {}
    for row in rows:
        second = int(row["time"]["N"]) // 1000
        for name, value in row.items():
            if name.isupper():  # emotion types are upper case, the row's own fields are not
                groups.setdefault((name, second), Counter())[float(value["N"])] += 1
    for (emotion, second), counts in sorted(groups.items()):
        for chunk in _chunks(sorted(counts.items()), _VALUES_PER_DATUM):
            yield {
                "MetricName": metric,
                "Dimensions": [{"Name": "Emotion", "Value": emotion}],
                "Timestamp": datetime.fromtimestamp(second, timezone.utc),
                "Values": [value for value, _ in chunk],
                "Counts": [count for _, count in chunk],
                "Unit": "Percent",
                "StorageResolution": 1,
            }


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def _box(face: FaceDetailTypeDef) -> Iterator[tuple[str, float]]:
    box = face.get("BoundingBox", {})
    for name in ("Left", "Top", "Width", "Height"):
        yield name.lower(), float(box.get(name, 0.0))  # type: ignore[arg-type]


def _stored(picture: StoredPicture) -> Any:
    address = {"Bucket": picture.bucket, "Key": picture.key}
    return address if picture.version is None else {**address, "VersionId": picture.version}


def _name(error: Exception) -> str:
    return (code(error) if isinstance(error, ClientError) else "") or type(error).__name__


def _line(level: int, message: str, decision: str, picture: StoredPicture | None = None, **fields: object) -> None:
    """One structured line. decision : `retry`, `drop` or `reject`: what happens to the thing it is about."""
    if picture is not None:
        fields = {"bucket": picture.bucket, "key": picture.key, "version": picture.version, **fields}
    log.log(level, message, extra={"decision": decision, **fields})
