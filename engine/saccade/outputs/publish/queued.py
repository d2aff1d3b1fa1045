"""Queue, rate cap and sender thread that the publishers to a network share."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from saccade.errors import ConfigError, OutputError
from saccade.frame import Frame
from saccade.outputs.events import to_json
from saccade.outputs.publish.publisher import PAYLOAD_LIMIT, PublishStatistics
from saccade.outputs.publish.topics import check_topic
from saccade.results import Result

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message on its way. retain : the broker keeps it for whoever comes later."""

    topic: str
    body: bytes
    retain: bool = False


class QueuedPublisher:
    """Queue, rate cap and sender thread that the network publishers share.

    Parameters
    ----------
    topic : where results go. queue : most messages that wait. rate : most messages a second (AWS IoT Core: 100).
    payload_limit : most bytes of one message. aws : check topics against AWS IoT Core's limits.

    A subclass has a `name` for people, and sends one message in `_deliver`, which may block but must look at `_stop`,
    and raises OSError or OutputError when it did not go out; the message then stays first and is tried again after a
    pause.
    """

    leases = 0
    name: str
    any_topic = False
    keeps_state = False

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
        self._queue: deque[OutgoingMessage] = deque()
        self._retained: dict[str, bytes] = {}
        self._change = threading.Condition()
        self._stop = threading.Event()
        self._sending = False
        self._accepted = self._delivered = self._refused = self._dropped = self._replaced = self._connects = 0
        self._problem = ""
        self._refusals: set[str] = set()
        self._thread: threading.Thread | None = None

    def publish(self, payload: str | bytes, topic: str | None = None, *, retain: bool = False) -> bool:
        """Queue one message; False if it was refused, with the reason in the log once."""
        # What is said may name a file whose name is no UTF-8.
        body = payload.encode("utf-8", "backslashreplace") if isinstance(payload, str) else bytes(payload)
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
            if retain:
                self._replace(topic)
                if body:
                    self._retained[topic] = body
                else:
                    self._retained.pop(topic, None)
            self._append(OutgoingMessage(topic, body, retain))
        return True

    def accept(self, frame: Frame, result: Result) -> None:
        """Publish the result's event."""
        self.publish(to_json(result.to_event()))

    def statistics(self) -> PublishStatistics:
        """Figures so far."""
        with self._change:
            return PublishStatistics(
                self._accepted, self._delivered, self._refused, self._dropped, len(self._queue) + self._unconfirmed(),
                self._connects, self._problem, self._replaced,
            )  # fmt: skip

    def drained(self, timeout: float) -> bool:
        """Wait until everything is confirmed; False if `timeout` s were not enough."""
        with self._change:
            return self._change.wait_for(lambda: not self._queue and not self._unconfirmed(), timeout)

    def forget(self) -> None:
        """Take away what was said of this client to stay."""

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
                "%s: closed with %d messages unsent%s", self.name, left, f" ({self._problem})" if self._problem else ""
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
                message = self._queue.popleft()
                self._sending = True
            # The cap is kept over any second: no saved-up burst after a quiet time.
            now = time.monotonic()
            if due > now and self._stop.wait(due - now):
                break
            due = max(due, time.monotonic() - 1.0 / self.rate) + 1.0 / self.rate
            try:
                self._deliver(message)
                pause = 0.1
            except (OSError, OutputError) as error:
                if not self._stop.is_set():
                    self._trouble(str(error))
                with self._change:
                    if len(self._queue) < self._limit:
                        self._queue.appendleft(message)
                    else:
                        self._dropped += 1
                self._sending = False
                self._stop.wait(pause)
                pause = min(30.0, pause * 2)
                continue
            with self._change:
                self._sending = False
                self._change.notify_all()

    def _append(self, message: OutgoingMessage) -> None:
        """Queue a message behind the others; `_change` is held."""
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._dropped += 1
            if self._dropped == 1:
                log.warning("%s: the queue of %d messages is full, the oldest are dropped", self.name, self._limit)
        self._queue.append(message)
        self._accepted += 1
        self._change.notify_all()

    def _retain_again(self) -> None:
        """Queue all that was said to stay: a broker that was started anew may have lost it; `_change` is held."""
        waiting = {message.topic for message in self._queue if message.retain}
        for topic, body in self._retained.items():
            if topic not in waiting:
                self._append(OutgoingMessage(topic, body, retain=True))

    def _replace(self, topic: str) -> None:
        """Of a state only the newest matters: an outage must not fill the queue with pictures; `_change` is held."""
        for place, waiting in enumerate(self._queue):
            if waiting.retain and waiting.topic == topic:
                del self._queue[place]
                self._replaced += 1
                return

    def _refuse(self, message: str, kind: str | None = None) -> bool:
        with self._change:
            self._refused += 1
            first = (kind or message) not in self._refusals and len(self._refusals) < 100
            if first:
                self._refusals.add(kind or message)
        if first:
            log.error("%s: not published: %s", self.name, message)
        return False

    def _trouble(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s: %s (messages wait in the queue)", self.name, problem)
            self._problem = problem

    def _well(self) -> None:
        if self._problem:
            log.warning("%s: works again", self.name)
            self._problem = ""

    def _unconfirmed(self) -> int:
        """Messages that have left the queue and are not confirmed; called with `_change` held."""
        return int(self._sending)

    def _deliver(self, message: OutgoingMessage) -> None:
        raise OutputError("a publisher must say how it delivers")

    def _disconnect(self) -> None:
        """End the connection."""
