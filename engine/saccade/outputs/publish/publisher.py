"""What every publisher offers, and what it tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from saccade.frame import Frame
from saccade.results import Result

PAYLOAD_LIMIT = 128 * 1024
"""Bytes of one message that AWS IoT Core takes; a larger one makes it close the connection."""


class Publisher(Protocol):
    """What every publisher offers.

    name : what it is, for people, and where it sends, as "mqtt (HOST:PORT)".
    any_topic : no topic is reserved. keeps_state : a broker of one's own, which keeps retained messages for whoever
    comes later and lets its clients publish to any topic.
    """

    leases: int
    name: str
    any_topic: bool
    keeps_state: bool

    def publish(self, payload: str | bytes, topic: str | None = None, *, retain: bool = False) -> bool:
        """Queue one message; False if it was refused.

        topic : the publisher's own if None. retain : a broker keeps it for whoever comes later; an empty one that is
        retained takes away what was kept.
        """

    def accept(self, frame: Frame, result: Result) -> None:
        """Publish the result's event, as outputs do."""

    def statistics(self) -> PublishStatistics:
        """Figures so far."""

    def forget(self) -> None:
        """Take away what was said of this client to stay."""

    def close(self, timeout: float = 5.0) -> None:
        """Send what is queued, for `timeout` s at most, and end."""


@dataclass(frozen=True, slots=True)
class PublishStatistics:
    """What became of messages.

    accepted : taken into the queue. delivered : confirmed by the other side. refused : turned away before sending
    (payload or topic). dropped : oldest messages lost to a full queue. pending : queued or not yet confirmed.
    replaced : retained messages that a newer one on their topic made useless before they were sent.
    connects : connections made. problem : the newest trouble in words while it lasts, else "".
    """

    accepted: int
    delivered: int
    refused: int
    dropped: int
    pending: int
    connects: int
    problem: str
    replaced: int = 0
