"""moto's queues and tables, made whole for several threads.

The local AWS answers in many threads at a time, which moto does not expect. A message that comes back from "in work"
between the readings of the two counts is in neither; one on its way to the dead letters is in no queue; and one that is
added or moved in the moment in which another is deleted can be lost or doubled, since deletion builds the list of
messages anew. Here each queue has one lock for all of that, its own. And of two that write the same item on condition
that nobody has, both succeed if one looks before the other has written: here tables are written by one at a time.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import DynamoDBBackend
from moto.sqs.models import Queue, SQSBackend, sqs_backends

_WRITES = ("put_item", "update_item", "delete_item", "transact_write_items")
_writing = threading.RLock()


def guard() -> None:
    """Let taking, deleting and adding messages exclude each other in each queue, and writes in all tables, from now on;
    once is enough.
    """
    if getattr(Queue.delete_message, "guarded", False):
        return
    Queue.delete_message = _deleting(Queue.delete_message)  # type: ignore[method-assign]
    SQSBackend.receive_message = _receiving(SQSBackend.receive_message)  # type: ignore[method-assign]
    for name in _WRITES:
        setattr(DynamoDBBackend, name, _alone(getattr(DynamoDBBackend, name)))


def messages(region: str, name: str) -> int:
    """Messages of a queue: those that wait and those in work, each once."""
    queue = sqs_backends[DEFAULT_ACCOUNT_ID][region].get_queue(name)
    with queue._messages_lock:
        return len(queue._messages)


def _deleting(delete: Any) -> Any:
    @functools.wraps(delete)
    def guarded(queue: Queue, receipt_handle: str) -> None:
        with queue._messages_lock:  # moto's own, under which it adds
            delete(queue, receipt_handle)

    guarded.guarded = True  # type: ignore[attr-defined]
    return guarded


def _receiving(receive: Any) -> Any:
    @functools.wraps(receive)
    def guarded(backend: SQSBackend, queue_name: str, *arguments: Any, **keywords: Any) -> Any:
        with backend.get_queue(queue_name)._messages_lock:  # waiting for messages lets go of it
            return receive(backend, queue_name, *arguments, **keywords)

    return guarded


def _alone(write: Any) -> Any:
    @functools.wraps(write)
    def guarded(backend: DynamoDBBackend, *arguments: Any, **keywords: Any) -> Any:
        with _writing:
            return write(backend, *arguments, **keywords)

    return guarded
