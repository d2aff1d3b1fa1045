"""Publishers: results and messages to a file, an MQTT broker or a Greengrass core device, behind one interface.

`publish(payload, topic)` and `accept(frame, result)` return at once. A publisher that talks to a network keeps a
bounded queue and one sender thread: messages wait out an outage in order, the oldest are dropped and counted when
the queue is full, the rate is capped, and what a broker would never take (a payload over the limit, a topic that is
none) is refused before it is sent.
"""

from __future__ import annotations

from saccade.outputs.publish.jsonl import JsonLines
from saccade.outputs.publish.opening import open_publisher
from saccade.outputs.publish.publisher import PAYLOAD_LIMIT, Publisher, PublishStatistics
from saccade.outputs.publish.queued import QueuedPublisher
from saccade.outputs.publish.topics import check_topic, default_topic, thing_name

__all__ = [
    "PAYLOAD_LIMIT", "JsonLines", "PublishStatistics", "Publisher", "QueuedPublisher", "check_topic", "default_topic",
    "open_publisher", "thing_name",
]  # fmt: skip
