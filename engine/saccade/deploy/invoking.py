"""How functions of the local AWS are invoked: through Lambda's API, and by the messages of a queue."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from saccade.deploy import front
from saccade.deploy.runtime import FunctionError, FunctionProcess

log = logging.getLogger(__name__)


class Invocations:
    """moto's application, but that functions are invoked for real: in their runtime's process, not in a container."""

    def __init__(self, application: front.Application, functions: Mapping[str, Sequence[FunctionProcess]]) -> None:
        self._application, self._functions = application, functions

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        path = str(environ["PATH_INFO"])
        named = re.fullmatch(r"/2015-03-31/functions/([^/]+)/invocations", path)
        if named is None or environ["REQUEST_METHOD"] != "POST":
            return self._application(environ, start_response)
        processes = self._functions.get(unquote(named[1]).rpartition(":")[2])
        if not processes:
            return self._application(environ, start_response)
        status, headers, answer = self._invoke(processes[0], environ)
        start_response(status, [("Content-Type", "application/json"), *headers])
        return [answer]

    @staticmethod
    def _invoke(process: FunctionProcess, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        try:
            event = json.loads(environ["wsgi.input"].read() or b"{}")
        except ValueError:
            kind = [("x-amzn-ErrorType", "InvalidRequestContentException")]
            return "400 Bad Request", kind, json.dumps({"Message": "the payload is no JSON"}).encode()
        if environ.get("HTTP_X_AMZ_INVOCATION_TYPE") == "Event":
            threading.Thread(target=_later, args=(process, event), daemon=True).start()
            return "202 Accepted", [], b""
        try:
            return "200 OK", [], json.dumps(process.invoke(event)).encode()
        except FunctionError as error:
            said = {"errorType": error.kind, "errorMessage": str(error)}
            return "200 OK", [("X-Amz-Function-Error", "Unhandled")], json.dumps(said).encode()


def _later(process: FunctionProcess, event: object) -> None:
    try:
        process.invoke(event)
    except FunctionError as error:
        log.warning("%s: %s", process.function.name, error)


class Poller:
    """Takes messages from a queue into a function, as Lambda's event source mapping does.

    Messages that the function does not report as failed are deleted; the others come again after the queue's
    visibility timeout, and after its receive limit the queue moves them to its dead letters.

    sqs : a boto3 client. url : of the queue. mapping : properties of the event source mapping.
    """

    def __init__(self, sqs: Any, process: FunctionProcess, url: str, mapping: Mapping[str, Any]) -> None:
        self.process = process
        self.invocations = 0
        self.delivered = 0
        self._sqs = sqs
        self._url = url
        self._arn = mapping["EventSourceArn"]
        self._size = min(int(mapping.get("BatchSize", 10)), 10)
        visibility = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
        # No message of a batch may come again while the batch is being filled.
        longest = int(visibility["Attributes"]["VisibilityTimeout"]) / 2
        self._window = min(float(mapping.get("MaximumBatchingWindowInSeconds", 0)), longest)
        self._partial = "ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", ())
        self._region = process.function.region
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to poll, or go on after a `stop()`."""
        if self._thread is None:
            self._ended.clear()
            name = f"poller-{self.process.function.name}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Take no further messages; an invocation under way is finished first."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                if messages := self._receive():
                    self._deliver(messages)
            except (ClientError, BotoCoreError) as error:
                if not self._ended.is_set():
                    log.warning("polling %s: %s", self._url, error)
                    self._ended.wait(0.5)

    def _receive(self) -> list[dict[str, Any]]:
        """Up to a batch of messages; after the first, waits for more as long as the mapping's window."""
        messages: list[dict[str, Any]] = []
        deadline = time.monotonic() + max(self._window, 1.0)
        while len(messages) < self._size and not self._ended.is_set():
            found = self._sqs.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=self._size - len(messages), AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])  # fmt: skip
            if found and not messages:
                deadline = time.monotonic() + self._window
            messages += found
            if time.monotonic() >= deadline:
                break
            if not found:
                self._ended.wait(0.02)
        return messages

    def _deliver(self, messages: list[dict[str, Any]]) -> None:
        event = {
            "Records": [
                {
                    "messageId": message["MessageId"],
                    "receiptHandle": message["ReceiptHandle"],
                    "body": message["Body"],
                    "attributes": message.get("Attributes", {}),
                    "messageAttributes": {},
                    "md5OfBody": message["MD5OfBody"],
                    "eventSource": "aws:sqs",
                    "eventSourceARN": self._arn,
                    "awsRegion": self._region,
                }
                for message in messages
            ]
        }
        self.invocations += 1
        try:
            answer = self.process.invoke(event)
        except FunctionError as error:
            log.warning("%s: %s", self.process.function.name, error)
            return
        failed = _failed(answer, {message["MessageId"] for message in messages}) if self._partial else frozenset()
        done = [
            {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
            for index, message in enumerate(messages)
            if message["MessageId"] not in failed
        ]
        if done:
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=done)
        self.delivered += len(done)


def _failed(answer: Any, messages: Set[str]) -> Set[str]:
    """Messages that a function reports as failed; all, as in Lambda, where it reports what makes no sense."""
    failures = answer.get("batchItemFailures") or [] if isinstance(answer, dict) else []
    try:
        failed = {failure["itemIdentifier"] for failure in failures}
    except (TypeError, KeyError):
        failed = {""}
    if failed <= messages:
        return failed
    log.warning("batchItemFailures names what was not in the batch, all of which comes again: %.200s", failures)
    return messages
