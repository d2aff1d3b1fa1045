"""Messages as lines of a file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from saccade.outputs.events import EventWriter
from saccade.outputs.publish.publisher import PublishStatistics
from saccade.outputs.publish.topics import default_topic, thing_name


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
    keeps_state = False
    _kind = "publish"

    def __init__(self, target: str, *, topic: str = "", append: bool = False) -> None:
        super().__init__(target, append=append)
        self.topic = topic or default_topic(thing_name())

    def publish(self, payload: str | bytes, topic: str | None = None, *, retain: bool = False) -> bool:
        """Write one message; bytes that are no UTF-8 become escapes."""
        text = payload if isinstance(payload, str) else bytes(payload).decode("utf-8", "backslashreplace")
        lost = self._lost
        self.accept(None, _Message(topic or self.topic, text, round(time.time(), 3)))  # type: ignore[arg-type]
        return self._lost == lost

    def forget(self) -> None:
        """Nothing: what is written stays."""

    def close(self, timeout: float = 5.0) -> None:
        """Close the file; nothing waits to be sent."""
        super().close()

    def statistics(self) -> PublishStatistics:  # type: ignore[override]
        """Figures so far."""
        return PublishStatistics(self._written + self._lost, self._written, 0, self._lost, 0, 1, "")
