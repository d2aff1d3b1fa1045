"""A page over the deployed stack: the emotion lines moving, counts, newest crops.

All of it is read back from the services through their own APIs, by one thread, however many look on.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from saccade.cloud.emotions import EMOTIONS
from saccade.cloud.emotions import Settings as EmotionSettings

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
    "/page.css": ("saccade.outputs", "page.css"),
    "/icon.svg": ("saccade.outputs", "icon.svg"),
}


class Dashboard:
    """Serves the page until `close()`.

    client : makes a boto3 client by service name. outputs : of the stack.
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
        self._server = _serve(self, address)
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address of the page."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/"

    @property
    def picture_origin(self) -> str:
        """Where the crops' links lead."""
        parts = urlsplit(self._client("s3").meta.endpoint_url)
        return f"{parts.scheme}://{parts.netloc}"

    def close(self) -> None:
        """Stop serving."""
        self._ended.set()
        self._thread.join()
        self._server.shutdown()
        self._server.server_close()

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


def _is_direct(host: str) -> bool:
    """Whether a Host header is an address or localhost, and so not somebody's domain."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _serve(owner: Dashboard, address: tuple[str, int]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if not _is_direct(self.headers.get("Host", "")):
                # Another site's name that leads here could otherwise read faces through a visitor's browser.
                self._answer(421, "text/plain", b"ask for this page by its address\n")
            elif path == "/data.json":
                self._answer(200, "application/json", json.dumps(owner.data).encode())
            elif path in _PAGES:
                package, name = _PAGES[path]
                body = (files(package) / "static" / name).read_bytes()
                self._answer(200, _TYPES[name.rpartition(".")[2]], body)
            else:
                self._answer(404, "text/plain", b"not found\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            pictures = f"img-src 'self' {owner.picture_origin}"
            self.send_header("Content-Security-Policy", f"default-src 'self'; {pictures}; frame-ancestors 'none'")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            log.debug(format, *args)

    server = ThreadingHTTPServer(address, Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="dashboard-http", daemon=True).start()
    return server
