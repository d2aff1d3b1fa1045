"""End to end over real HTTP: S3 -> SQS -> the emotion function in its own process -> DynamoDB and CloudWatch."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from urllib.parse import quote_plus

import pytest
from moto.cloudwatch.models import CloudWatchBackend
from moto.core.utils import unix_time_millis
from moto.dynamodb.models.table import Table
from moto.sqs.models import Message, Queue

from conditions import PATIENCE
from saccade.cloud.emotions import EMOTIONS
from saccade.deploy.invoking import _failed
from saccade.deploy.local import LocalAws

from .conftest import Emotions, Script, crop, face, log_lines, points, put, row_emotions, rows
from .test_events import HOSTILE

Expected = dict[tuple[str, int], Emotions]


def crowd(count: int, seed: int = 1) -> dict[str, list[Emotions]]:
    """Crops by key: mostly one face, hostile keys among them, one with three faces and one with none."""
    dice = random.Random(seed)
    hostile = [key for key in HOSTILE if "\n" not in key]  # moto's own routing has no keys with line breaks
    keys = [f"faces/11_20/10_{number:02d}/1795168800_{number}.jpg" for number in range(count - len(hostile))] + hostile
    pictures = {}
    for key in keys:
        weights = [dice.random() ** 4 for _ in EMOTIONS]
        pictures[key] = [
            {name: round(100 * weight / sum(weights), 2) for name, weight in zip(EMOTIONS, weights, strict=True)}
        ]
    pictures[keys[0]] = [{"HAPPY": 90.0, "SAD": 10.0}, {"SAD": 60.0, "CALM": 40.0}, {"HAPPY": 90.0}]
    pictures[keys[1]] = []
    return pictures


def expected(pictures: dict[str, list[Emotions]]) -> Expected:
    return {
        (key, number): {name: value for name, value in emotions.items() if value > 10}
        for key, faces in pictures.items()
        for number, emotions in enumerate(faces)
    }


def expected_points(faces: Expected) -> Counter[tuple[str, float]]:
    return Counter(point for emotions in faces.values() for point in emotions.items())


def stored(aws: LocalAws) -> Expected:
    found: Expected = {}
    for row in rows(aws):
        assert "claim" not in row
        place = row["s3key"]["S"], int(row["face"]["S"].split("#")[1])
        assert place not in found
        found[place] = row_emotions(row)
    return found


def send(aws: LocalAws, pictures: dict[str, list[Emotions]]) -> None:
    for key, faces in pictures.items():
        put(aws, key, crop(*(face(emotions) for emotions in faces)))


def repeat_notifications(aws: LocalAws, keys: list[str], times: int) -> None:
    """The same notifications again, shuffled, several records in one message: as S3 may send them."""
    listed = {
        item["Key"]: item
        for page in aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=aws.outputs["FacesBucketName"])
        for item in page["Contents"]
    }
    records: list[dict[str, Any]] = [
        {
            "eventVersion": "2.6", "eventSource": "aws:s3", "eventTime": "2026-11-20T09:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "bucket": {"name": aws.outputs["FacesBucketName"]},
                "object": {"key": quote_plus(key), "eTag": listed[key]["ETag"].strip('"')},
            },
        }
        for key in keys * times
    ]  # fmt: skip
    random.Random(2).shuffle(records)
    for start in range(0, len(records), 3):
        body = json.dumps({"Records": records[start : start + 3]})
        aws.client("sqs").send_message(QueueUrl=aws.outputs["FacesQueueUrl"], MessageBody=body)


def test_exactly_the_expected_rows_and_points(aws: LocalAws) -> None:
    (poller,) = aws.pollers
    poller.stop()
    pictures = crowd(24)
    send(aws, pictures)
    put(aws, "faces/poison.jpg", b"\xff\xd8\xff not a JPEG after all")
    put(aws, "faces/text.jpg", b"hello")
    put(aws, "faces/refused.jpg", crop("InvalidParameterException"))
    put(aws, "faces/gone.jpg", crop(face({"HAPPY": 99.0})))
    aws.client("s3").delete_object(Bucket=aws.outputs["FacesBucketName"], Key="faces/gone.jpg")
    put(aws, "other/ignored.jpg", crop(face({"HAPPY": 99.0})))
    aws.client("sqs").send_message(QueueUrl=aws.outputs["FacesQueueUrl"], MessageBody="not JSON")
    repeat_notifications(aws, list(pictures), times=2)
    aws.rekognition.faults.extend(["ThrottlingException", "ThrottlingException"])
    poller.start()
    aws.drain(PATIENCE)

    faces = expected(pictures)
    assert len(faces) == 25
    assert stored(aws) == faces
    assert points(aws) == expected_points(faces)
    assert aws.waiting("DeadFacesQueueUrl") == 0
    rejected = aws.client("s3").list_objects_v2(Bucket=aws.outputs["FacesBucketName"], Prefix="rejected/")
    assert {item["Key"] for item in rejected["Contents"]} == {
        "rejected/faces/text.jpg", "rejected/faces/refused.jpg", "rejected/faces/poison.jpg"
    }  # fmt: skip
    decisions = Counter((line.get("decision"), line["message"]) for line in log_lines(aws))
    assert decisions["drop", "picture is gone"] == 1
    assert decisions["drop", "event not understood"] == 1
    assert decisions["reject", "picture refused"] == 3
    assert not [decision for decision in decisions if decision[0] == "retry"]


def test_the_graph_shows_what_was_sent(aws: LocalAws) -> None:
    pictures = {f"faces/{number}": [{"HAPPY": 60.0 + number}] for number in range(5)}
    send(aws, pictures)
    aws.drain(PATIENCE)
    now = datetime.now(timezone.utc)
    answer = aws.client("cloudwatch").get_metric_data(
        StartTime=now - timedelta(minutes=5), EndTime=now + timedelta(minutes=1),
        MetricDataQueries=[
            {
                "Id": stat.lower(),
                "MetricStat": {
                    "Metric": {
                        "Namespace": "Saccade/Faces", "MetricName": "Confidence",
                        "Dimensions": [{"Name": "Emotion", "Value": "HAPPY"}],
                    },
                    "Period": 3600, "Stat": stat,
                },
            }
            for stat in ("SampleCount", "Average")
        ],
    )  # fmt: skip
    values = {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}
    assert values == {"samplecount": [5.0], "average": [62.0]}


def kill(aws: LocalAws) -> None:
    pid = aws.function("RekognizeEmotionsName").pid
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def kill_while_detecting(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything of the picture is written."""
    script = aws.rekognition.detector
    assert isinstance(script, Script)
    calls = Counter[str]()

    def during(picture: bytes) -> None:
        calls["all"] += 1
        if calls["all"] in (3, 17):
            kill(aws)

    script.during = during


def kill_before_publication(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all rows of a batch are written and none of its data points is out."""
    put_metric_data = CloudWatchBackend.put_metric_data
    calls = Counter[str]()

    def dying(self: CloudWatchBackend, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        calls["all"] += 1
        if calls["all"] in (1, 3):
            kill(aws)
            raise RuntimeError("the caller is gone")
        put_metric_data(self, namespace, metric_data)

    monkeypatch.setattr(CloudWatchBackend, "put_metric_data", dying)


def test_a_kill_between_answer_and_claim_repeats_points_of_that_batch_only(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one window that CloudWatch, without conditional writes, leaves open."""
    (poller,) = aws.pollers
    poller.stop()
    put_metric_data = CloudWatchBackend.put_metric_data
    calls = Counter[str]()

    def dying(self: CloudWatchBackend, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        put_metric_data(self, namespace, metric_data)
        calls["all"] += 1
        if calls["all"] == 2:
            kill(aws)

    monkeypatch.setattr(CloudWatchBackend, "put_metric_data", dying)
    pictures = {f"faces/{number}": [{"HAPPY": 20.0 + number}] for number in range(30)}
    send(aws, pictures)
    poller.start()
    aws.drain(PATIENCE)
    faces = expected(pictures)
    assert stored(aws) == faces
    found = points(aws)
    assert set(found) == set(expected_points(faces))
    assert Counter(found.values()) == Counter({1: 20, 2: 10})


@pytest.mark.parametrize("disturb", [kill_while_detecting, kill_before_publication])
def test_a_killed_process_loses_and_repeats_nothing(
    disturb: Callable[[LocalAws, pytest.MonkeyPatch], None], aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    (poller,) = aws.pollers
    starts = aws.function("RekognizeEmotionsName").starts
    poller.stop()
    pictures = crowd(24, seed=3)
    send(aws, pictures)
    disturb(aws, monkeypatch)
    poller.start()
    aws.drain(PATIENCE)
    repeat_notifications(aws, list(pictures), times=1)
    aws.drain(PATIENCE)

    faces = expected(pictures)
    assert stored(aws) == faces
    assert points(aws) == expected_points(faces)
    assert aws.waiting("DeadFacesQueueUrl") == 0
    assert aws.function("RekognizeEmotionsName").starts - starts >= 2


def test_what_fails_for_good_ends_in_the_dead_letters(aws: LocalAws) -> None:
    aws.rekognition.faults.extend(["AccessDeniedException"] * 5)
    put(aws, "faces/denied.jpg", crop(face({"HAPPY": 90.0})))
    aws.drain(PATIENCE)
    assert aws.waiting("DeadFacesQueueUrl") == 1
    assert rows(aws) == []
    retries = [line for line in log_lines(aws) if line.get("error") == "AccessDeniedException"]
    assert [line["decision"] for line in retries] == ["retry"] * 5
    assert {line["key"] for line in retries} == {"faces/denied.jpg"}


def test_a_message_is_counted_also_in_the_moment_in_which_it_comes_back(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It turns from "in work" to "waiting" at any of the looks at the clock that a count takes."""
    (poller,) = aws.pollers
    poller.stop()
    put(aws, "faces/one.jpg", crop(face({"HAPPY": 90.0})))
    assert aws.client("sqs").receive_message(QueueUrl=aws.outputs["FacesQueueUrl"])["Messages"]
    now = unix_time_millis()
    for looks in range(40):
        times = itertools.chain(itertools.repeat(now, looks), itertools.repeat(now + 60_000))
        monkeypatch.setattr("moto.sqs.models.unix_time_millis", times.__next__)
        assert aws.waiting() == 1, looks


def test_a_message_on_its_way_to_the_dead_letters_is_in_one_of_the_queues(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    (poller,) = aws.pollers
    poller.stop()
    put(aws, "faces/one.jpg", crop(face({"HAPPY": 90.0})))
    found: list[tuple[int, int]] = []
    counting = threading.Thread(target=lambda: found.append((aws.waiting(), aws.waiting("DeadFacesQueueUrl"))))
    add = Queue.add_message

    def adding(queue: Queue, message: Message) -> None:
        counting.start()
        counting.join(0.5)  # over at once, unless counting waits for the move
        add(queue, message)

    monkeypatch.setattr(Queue, "add_message", adding)
    receive = partial(aws.client("sqs").receive_message, QueueUrl=aws.outputs["FacesQueueUrl"], VisibilityTimeout=0)
    assert [len(receive().get("Messages", ())) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    counting.join(PATIENCE)
    assert found == [(0, 1)]


def test_of_two_that_write_on_one_condition_one_succeeds(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Barrier(2)
    get = Table.get_item

    def looking(*arguments: Any, **keywords: Any) -> Any:
        found = get(*arguments, **keywords)
        with contextlib.suppress(threading.BrokenBarrierError):
            looked.wait(0.5)  # for the other, which may not look yet
        return found

    monkeypatch.setattr(Table, "get_item", looking)
    table = aws.client("dynamodb")
    row = {"s3key": {"S": "faces/a"}, "face": {"S": "0"}}

    def written(_: int) -> bool:
        try:
            table.put_item(
                TableName=aws.outputs["FacesTableName"], Item=row, ConditionExpression="attribute_not_exists(s3key)"
            )
        except table.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(written, range(2))) == [False, True]


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (None, ""), ({"batchItemFailures": None}, ""), ({"batchItemFailures": [{"itemIdentifier": "a"}]}, "a"),
        ({"batchItemFailures": [{"itemIdentifier": "x"}]}, "ab"), ({"batchItemFailures": [{"id": "a"}]}, "ab"),
        ({"batchItemFailures": ["a"]}, "ab"), ({"batchItemFailures": [{"itemIdentifier": None}]}, "ab"),
    ],
)  # fmt: skip
def test_a_report_that_makes_no_sense_fails_its_batch_and_not_the_poller(answer: object, failed: str) -> None:
    assert _failed(answer, {"a", "b"}) == set(failed)


def test_the_function_runs_its_own_package(aws: LocalAws) -> None:
    """Not the checkout that the tests run from."""
    code = aws.function("RekognizeEmotionsName").function.code
    assert sorted(path.name for path in (code / "saccade").iterdir() if path.suffix != ".pyc") == [
        "__init__.py", "__pycache__", "cloud"
    ]  # fmt: skip
