"""Publishers: results and messages to a file, an MQTT broker or a Greengrass core device, behind one interface.

`publish(payload, topic)` and `accept(frame, result)` return at once. A publisher that talks to a network keeps a
bounded queue and one sender thread: messages wait out an outage in order, the oldest are dropped and counted when
the queue is full, the rate is capped, and what a broker would never take (a payload over the limit, a topic that is
none) is refused before it is sent.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from saccade.errors import ConfigError, OutputError
from saccade.frame import Frame
from saccade.outputs.events import EventWriter, to_json
from saccade.results import Result

log = logging.getLogger(__name__)

PAYLOAD_LIMIT = 128 * 1024
"""Bytes of one message that AWS IoT Core takes; a larger one makes it close the connection."""


class Publisher(Protocol):
    """What every publisher offers. `any_topic` is True where no topic is reserved."""

    leases: int
    any_topic: bool

    def publish(self, payload: str | bytes, topic: str | None = None) -> bool:
        """Queue one message; False if it was refused. `topic` is the publisher's own if None."""

    def accept(self, frame: Frame, result: Result) -> None:
        """Publish the result's event, as outputs do."""

    def statistics(self) -> PublishStatistics:
        """Figures so far."""

    def close(self) -> None:
        """Send what is queued, for a few seconds at most, and end."""


@dataclass(frozen=True, slots=True)
class PublishStatistics:
    """What became of messages.

    accepted : taken into the queue. delivered : confirmed by the other side. refused : turned away before sending
    (payload or topic). dropped : oldest messages lost to a full queue. pending : queued or not yet confirmed.
    connects : connections made. problem : the newest trouble in words while it lasts, else "".
    """

    accepted: int
    delivered: int
    refused: int
    dropped: int
    pending: int
    connects: int
    problem: str


def default_topic(thing: str) -> str:
    """`saccade/{thing}/infer`; the `$aws/things/.../infer` of the old projects is reserved, and AWS IoT may hang up."""
    return f"saccade/{thing}/infer"


def thing_name() -> str:
    """Name of this device: $AWS_IOT_THING_NAME, else `deeplens`."""
    return os.environ.get("AWS_IOT_THING_NAME") or "deeplens"


def check_topic(topic: str, *, aws: bool = False) -> str:
    """`topic` if a message may be published to it, else ConfigError. `aws` adds the limits of AWS IoT Core."""
    why = ""
    if not topic:
        why = "is empty"
    elif any(c in topic for c in "+#") or any(ord(c) < 32 or ord(c) == 127 for c in topic):
        why = "holds a wildcard (+ #) or a control character"
    elif len(topic.encode(errors="surrogatepass")) > (256 if aws else 65535) or "\ud800" <= max(topic) <= "\udfff":
        why = f"is longer than {256 if aws else 65535} bytes or no valid text"
    elif aws and topic.count("/") > 7 and not topic.startswith("$"):
        why = "has more than 7 slashes, which AWS IoT Core refuses"
    elif topic.startswith("$") and not re.match(r"\$aws/(rules/[^/]+|things/[^/]+/shadow)/", topic):
        why = f"is reserved (it begins with $); publish to one of your own, as {default_topic('NAME')}"
    if why:
        raise ConfigError(f"topic {topic[:80]!r}: {why}")
    return topic


class QueuedPublisher:
    """Queue, rate cap and sender thread that the network publishers share.

    Parameters
    ----------
    topic : where results go. queue : most messages that wait. rate : most messages a second (AWS IoT Core: 100).
    payload_limit : most bytes of one message. aws : check topics against AWS IoT Core's limits.

    A subclass sends one message in `_deliver`, which may block but must look at `_stop`, and raises OSError or
    OutputError when it did not go out; the message then stays first and is tried again after a pause.
    """

    leases = 0
    any_topic = False

    def __init__(
        self,
        topic: str,
        *,
        queue: int = 1000,
        rate: float = 100.0,
        payload_limit: int = PAYLOAD_LIMIT,
        aws: bool = False,
    ) -> None:
        if queue < 1 or not rate > 0 or payload_limit < 1:
            raise ConfigError(
                f"publisher: got queue {queue}, rate {rate}, payload_limit {payload_limit}; expected positive numbers"
            )
        self.topic = check_topic(topic, aws=aws)
        self.payload_limit, self.rate, self._aws = payload_limit, rate, aws
        self._limit = queue
        self._queue: deque[tuple[str, bytes]] = deque()
        self._change = threading.Condition()
        self._stop = threading.Event()
        self._sending = False
        self._accepted = self._delivered = self._refused = self._dropped = self._connects = 0
        self._problem = ""
        self._refusals: set[str] = set()
        self._thread: threading.Thread | None = None

    def publish(self, payload: str | bytes, topic: str | None = None) -> bool:
        """Queue one message; False if it was refused, with the reason in the log once."""
        body = payload.encode() if isinstance(payload, str) else bytes(payload)
        try:
            topic = self.topic if topic is None else check_topic(topic, aws=self._aws)
        except ConfigError as error:
            return self._refuse(str(error))
        if len(body) > self.payload_limit:
            return self._refuse(
                f"topic {topic!r}: a message of {len(body)} bytes; at most {self.payload_limit} can be sent",
                f"{topic} size",
            )
        with self._change:
            if self._stop.is_set():
                self._refused += 1
                return False
            if len(self._queue) >= self._limit:
                self._queue.popleft()
                self._dropped += 1
                if self._dropped == 1:
                    log.warning("%s: the queue of %d messages is full, the oldest are dropped", self, self._limit)
            self._queue.append((topic, body))
            self._accepted += 1
            self._change.notify_all()
        return True

    def accept(self, frame: Frame, result: Result) -> None:
        """Publish the result's event."""
        self.publish(to_json(result.to_event()))

    def statistics(self) -> PublishStatistics:
        """Figures so far."""
        with self._change:
            return PublishStatistics(
                self._accepted, self._delivered, self._refused, self._dropped, len(self._queue) + self._unconfirmed(),
                self._connects, self._problem,
            )  # fmt: skip

    def drained(self, timeout: float) -> bool:
        """Wait until everything is confirmed; False if `timeout` s were not enough."""
        with self._change:
            return self._change.wait_for(lambda: not self._queue and not self._unconfirmed(), timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Send what is queued for at most `timeout` s, then end the connection; once is enough."""
        if self._stop.is_set():
            return
        self.drained(timeout)
        self._stop.set()
        with self._change:
            self._change.notify_all()
            left = len(self._queue) + self._unconfirmed()
        if left:
            log.warning(
                "%s: closed with %d messages unsent%s", self, left, f" ({self._problem})" if self._problem else ""
            )
        if self._thread is not None:
            self._thread.join(timeout)
        self._disconnect()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="saccade-publish", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due, pause = time.monotonic(), 0.1
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue or self._stop.is_set())
                if self._stop.is_set():
                    return
                topic, body = self._queue.popleft()
                self._sending = True
            # The cap is kept over any second: no saved-up burst after a quiet time.
            now = time.monotonic()
            if due > now and self._stop.wait(due - now):
                break
            due = max(due, time.monotonic() - 1.0 / self.rate) + 1.0 / self.rate
            try:
                self._deliver(topic, body)
                pause = 0.1
            except (OSError, OutputError) as error:
                if not self._stop.is_set():
                    self._trouble(str(error))
                with self._change:
                    if len(self._queue) < self._limit:
                        self._queue.appendleft((topic, body))
                    else:
                        self._dropped += 1
                self._sending = False
                self._stop.wait(pause)
                pause = min(30.0, pause * 2)
                continue
            with self._change:
                self._sending = False
                self._change.notify_all()

    def _refuse(self, message: str, kind: str | None = None) -> bool:
        with self._change:
            self._refused += 1
            first = (kind or message) not in self._refusals and len(self._refusals) < 100
            if first:
                self._refusals.add(kind or message)
        if first:
            log.error("%s: not published: %s", self, message)
        return False

    def _trouble(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s: %s (messages wait in the queue)", self, problem)
            self._problem = problem

    def _well(self) -> None:
        if self._problem:
            log.warning("%s: works again", self)
            self._problem = ""

    def _unconfirmed(self) -> int:
        """Messages that have left the queue and are not confirmed; called with `_change` held."""
        return int(self._sending)

    def _deliver(self, topic: str, body: bytes) -> None:
        raise OutputError("a publisher must say how it delivers")

    def _disconnect(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    payload: str
    time: float

    def to_event(self) -> dict[str, Any]:
        return {"time": self.time, "topic": self.topic, "payload": self.payload}


class JsonLines(EventWriter):
    """Messages as lines `{"time", "topic", "payload"}` and results as their events, in a file or on standard output.

    Written at once and in the caller's thread: a file does not keep anybody waiting, and a reader that is slow must
    hold the stream up rather than lose lines.
    """

    any_topic = True

    def __init__(self, target: str, *, topic: str = "", append: bool = False) -> None:
        super().__init__(target, append=append)
        self.topic = topic or default_topic(thing_name())

    def publish(self, payload: str | bytes, topic: str | None = None) -> bool:
        """Write one message; bytes that are no UTF-8 become escapes."""
        text = payload if isinstance(payload, str) else bytes(payload).decode("utf-8", "backslashreplace")
        lost = self._lost
        self.accept(None, _Message(topic or self.topic, text, round(time.time(), 3)))  # type: ignore[arg-type]
        return self._lost == lost

    def statistics(self) -> PublishStatistics:  # type: ignore[override]
        """Figures so far."""
        return PublishStatistics(self._written + self._lost, self._written, 0, self._lost, 0, 1, "")


def open_publisher(text: str, *, topic: str | None = None, thing: str | None = None) -> Publisher:
    """The publisher that `text` names.

    ``-`` or a path: JSON lines. ``mqtt://[user:password@]host[:port]``, ``mqtts://host[:port]?ca=FILE&cert=FILE&key=FILE``:
    MQTT. ``greengrass:``: the core device's own connection. Raises ConfigError for anything else.
    """
    thing = thing or thing_name()
    topic = topic or default_topic(thing)
    if text == "greengrass:":
        from saccade.outputs.publish.greengrass import GreengrassPublisher

        return GreengrassPublisher(topic)
    scheme = text.partition("://")[0] if "://" in text else ""
    if scheme in ("mqtt", "mqtts"):
        from saccade.outputs.publish.mqtt import MqttPublisher, Tls

        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise ConfigError(f"publisher {text!r}: {error}") from None
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        unknown = sorted(set(query) - {"ca", "cert", "key", "client_id"})
        if not host or unknown:
            raise ConfigError(
                f"publisher {text!r}: {'unknown ' + ', '.join(unknown) if unknown else 'no host'}; "
                "expected mqtts://HOST[:PORT]?ca=FILE&cert=FILE&key=FILE"
            )
        tls = Tls(ca=query.get("ca"), cert=query.get("cert"), key=query.get("key")) if scheme == "mqtts" else None
        return MqttPublisher(
            host, port, topic=topic, tls=tls, client_id=query.get("client_id", thing),
            username=url.username, password=url.password,
        )  # fmt: skip
    if scheme and scheme != "file":
        raise ConfigError(f"publisher {text!r}: expected a file, -, mqtt://, mqtts:// or greengrass:")
    return JsonLines(text.removeprefix("file://"), topic=topic, append=True)
