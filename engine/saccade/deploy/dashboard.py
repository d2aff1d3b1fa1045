"""A page over the deployed stack: the emotion lines moving, counts, newest crops.

All of it is read back from the services through their own APIs, by one thread, however many look on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saccade.cloud.emotions import EMOTIONS
from saccade.cloud.emotions import EmotionSettings as EmotionSettings
from saccade.errors import ConfigError
from saccade.service.address import bind, reason
from saccade.service.guard import Door, keep_token, query_of
from saccade.service.server import HttpServer, json_bytes

log = logging.getLogger(__name__)

WINDOW, LEAST_WINDOW = 180, 60  # s that the graph shows, and shows in the beginning
PERIOD = 5  # s that one point of a line averages over
SHOWN = 18  # crops
LINK_SECONDS = 300

_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PAGES = {
    "/": ("saccade.deploy", "cloud.html"),
    "/cloud.css": ("saccade.deploy", "cloud.css"),
    "/cloud.js": ("saccade.deploy", "cloud.js"),
    "/page.css": ("saccade.service", "page.css"),
    "/icon.svg": ("saccade.service", "icon.svg"),
}


class Dashboard:
    """Serves the page until `close()`.

    client : makes a boto3 client by service name. outputs : of the stack.
    address : on loopback for everybody on this machine; elsewhere a token is needed, which `url` has.
    counters : adds to the counts shown. source : where emotions come from. facts : short texts for the header.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        outputs: Mapping[str, str],
        *,
        address: tuple[str, int] = ("127.0.0.1", 0),
        counters: Callable[[], Mapping[str, int]] = dict,
        source: str = "",
        facts: tuple[str, ...] = (),
        settings: EmotionSettings | None = None,
    ) -> None:
        self._client = client
        self._outputs = outputs
        self._counters = counters
        self._source = source
        self._facts = facts
        self._settings = settings or EmotionSettings()
        self._lines: dict[str, OrderedDict[float, float]] = {name: OrderedDict() for name in EMOTIONS}
        self._faces: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._face_count = 0
        self._pictures: set[str] = set()
        self._since: dict[str, int] = {}
        self._ended = threading.Event()
        self.data: dict[str, Any] = self._snapshot({"waiting": 0, "dead": 0})
        try:
            bound = bind(*address)
        except OSError as error:
            raise ConfigError(
                f"the dashboard cannot be served on {address[0]}:{address[1]}: {reason(error)}; choose another --page"
            ) from None
        where = bound.getsockname()
        policy = f"default-src 'self'; img-src 'self' {self.picture_origin}; base-uri 'none'; frame-ancestors 'none'"
        door = Door.of(
            str(where[0]), int(where[1]), asked=address[0], headers={"Content-Security-Policy": policy},
            advice="This page needs its token: open the whole address that saccade printed, with ?token=...",
        )  # fmt: skip
        self.http = HttpServer(bound, _routes(self), door=door, name="saccade-http-dashboard")
        self.http.start()
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address of the page, with the token where one is needed."""
        token = self.http.door.token
        return f"{self.http.url}/" + (f"?token={token}" if token else "")

    @property
    def picture_origin(self) -> str:
        """Where the crops' links lead."""
        parts = urlsplit(self._client("s3").meta.endpoint_url)
        return f"{parts.scheme}://{parts.netloc}"

    def close(self) -> None:
        """Stop serving."""
        self._ended.set()
        self._thread.join()
        self.http.stop()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._read_lines()
                self._read_faces()
                waiting = {"waiting": self._messages("FacesQueueUrl"), "dead": self._messages("DeadFacesQueueUrl")}
                self.data = self._snapshot(waiting)
            except (ClientError, BotoCoreError) as error:
                if not self._ended.is_set():
                    log.warning("dashboard: %s", error)
            self._ended.wait(1.0)

    def _snapshot(self, waiting: Mapping[str, int]) -> dict[str, Any]:
        now = time.time()
        first = min((next(iter(line)) for line in self._lines.values() if line), default=now)
        return {
            "start": min(max(first - PERIOD, now - WINDOW), now - LEAST_WINDOW),
            "end": now,
            "emotions": {name: list(line.items()) for name, line in self._lines.items()},
            "counts": {
                "faces": self._face_count, "pictures": len(self._pictures), **waiting, **self._counters()
            },
            "crops": list(reversed(self._faces.values()))[:SHOWN],
            "source": self._source,
            "facts": list(self._facts),
        }  # fmt: skip

    def _read_lines(self) -> None:
        """The newest points of each line; the older ones are known."""
        now = time.time()
        known = any(self._lines.values())
        start = (now - (4 * PERIOD if known else WINDOW)) // PERIOD * PERIOD
        answer = self._client("cloudwatch").get_metric_data(
            StartTime=datetime.fromtimestamp(start, timezone.utc),
            EndTime=datetime.fromtimestamp(now + 1, timezone.utc),
            ScanBy="TimestampAscending",
            MetricDataQueries=[
                {
                    "Id": name.lower(),
                    "MetricStat": {
                        "Metric": {
                            "Namespace": self._settings.namespace,
                            "MetricName": self._settings.metric,
                            "Dimensions": [{"Name": "Emotion", "Value": name}],
                        },
                        "Period": PERIOD,
                        "Stat": "Average",
                    },
                }
                for name in EMOTIONS
            ],
        )
        for result in answer["MetricDataResults"]:
            line = self._lines[result["Id"].upper()]
            for moment, value in zip(result["Timestamps"], result["Values"], strict=True):
                line[moment.timestamp()] = round(value, 2)
            while line and next(iter(line)) < now - WINDOW:
                line.popitem(last=False)

    def _read_faces(self) -> None:
        """Rows that are new since the last look, by emotion and time; a short overlap finds late ones."""
        found: list[dict[str, Any]] = []
        for emotion in (*EMOTIONS, "UNKNOWN"):
            pages = self._client("dynamodb").get_paginator("query").paginate(
                TableName=self._outputs["FacesTableName"],
                IndexName="emotion-time",
                KeyConditionExpression="emotion = :emotion AND #time >= :since",
                ExpressionAttributeNames={"#time": "time"},
                ExpressionAttributeValues={
                    ":emotion": {"S": emotion}, ":since": {"N": str(self._since.get(emotion, 0) - 5000)}
                },
            )  # fmt: skip
            found += [row for page in pages for row in page["Items"]]
        for row in sorted(found, key=lambda row: int(row["time"]["N"])):
            face = f"{row['s3key']['S']}#{row['face']['S']}"
            emotion = row["emotion"]["S"]
            self._since[emotion] = max(self._since.get(emotion, 0), int(row["time"]["N"]))
            if face in self._faces:
                continue
            self._face_count += 1
            self._pictures.add(row["s3key"]["S"])
            place = {"Bucket": row["bucket"]["S"], "Key": row["s3key"]["S"]}
            self._faces[face] = {
                "face": face,
                "emotion": emotion,
                "confidence": float(row[emotion]["N"]),
                "url": self._client("s3").generate_presigned_url("get_object", Params=place, ExpiresIn=LINK_SECONDS),
            }
            if len(self._faces) > 5000:
                self._faces.popitem(last=False)

    def _messages(self, output: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._client("sqs").get_queue_attributes(QueueUrl=self._outputs[output], AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


def _routes(owner: Dashboard) -> list[Route]:
    parts = {
        path: ((files(package) / "static" / name).read_bytes(), _TYPES[name.rpartition(".")[2]])
        for path, (package, name) in _PAGES.items()
    }

    async def part(request: Request) -> Response:
        if request.url.path == "/" and "token" in query_of(request.scope):
            return keep_token(owner.http.door)
        body, kind = parts[request.url.path]
        return Response(body, media_type=kind)

    async def data(request: Request) -> Response:
        return Response(json_bytes(owner.data), media_type="application/json")

    return [*(Route(path, part) for path in parts), Route("/data.json", data)]
