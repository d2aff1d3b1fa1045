"""Takes away what a broker keeps of a camera that does not run any more."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from saccade.address import without_credentials
from saccade.config import APPS
from saccade.config.run import DISCOVERY_PREFIX
from saccade.errors import ConfigError, OutputError
from saccade.outputs.publish.home_assistant import discovery_topic
from saccade.outputs.publish.mqtt import unique_id
from saccade.outputs.publish.opening import broker_address
from saccade.outputs.publish.topics import topic_prefix

PATIENCE = 10.0
"""How long the broker may take for each step, s."""


def retained_topics(
    prefix: str, camera: str, *, frigate: bool, home: str, beside: Collection[str] = ()
) -> tuple[str, ...]:
    """Filters of all that may be kept of a camera, and of those that its further apps were told of as.

    prefix : of topics, home : of Home Assistant's discovery; empty: the usual. beside : cameras that stay, one of which
    may be called as a further app of this one would be.
    """
    first = topic_prefix(prefix, frigate=frigate)
    names = (camera, *(name for app in APPS if (name := f"{camera}-{app}") not in beside))
    return (
        *(f"{first}/{name}/#" for name in names),
        *(discovery_topic(home or DISCOVERY_PREFIX, name) for name in names),
    )


def forget_retained(target: str, topics: Sequence[str]) -> tuple[str, ...]:
    """Delete what a broker keeps under these topics; those that were there, in order.

    target : as `mqtt://HOST`. topics : may have wildcards. Raises ConfigError where that is no broker of one's own, and
    OutputError where it does not answer or refuses.
    """
    broker, shown = broker_address(target), without_credentials(target)
    if ".amazonaws." in broker.host:
        raise ConfigError(f"{shown}: saccade leaves nothing to stay with AWS IoT Core; there is nothing to forget")
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=unique_id("saccade-forget"))
    client.connect_timeout = PATIENCE
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    if broker.tls is not None:
        client.tls_set_context(broker.tls.context())
    try:
        client.connect(broker.host, broker.port or (8883 if broker.tls else 1883))
        client.loop_start()
        return _emptied(client, topics, shown)
    except OSError as error:
        raise OutputError(f"{shown}: cannot connect ({error}); is the broker there?") from None
    finally:
        client.disconnect()
        client.loop_stop()


def _emptied(client: paho.Client, topics: Sequence[str], shown: str) -> tuple[str, ...]:
    """Ask for all of them. A broker sends what it keeps before what is published later: a last word says it is all."""
    mark = unique_id("saccade/forget")
    kept: list[str] = []
    subscribed, complete = threading.Event(), threading.Event()

    def came(client: Any, data: Any, message: paho.MQTTMessage) -> None:
        if message.topic == mark:
            complete.set()
        elif message.retain and message.topic not in kept:
            kept.append(message.topic)

    client.on_message = came
    client.on_subscribe = lambda *_: subscribed.set()
    client.subscribe([(topic, 1) for topic in (*topics, mark)])
    _wait(subscribed.wait(PATIENCE), shown)
    client.publish(mark, b"", qos=1)
    _wait(complete.wait(PATIENCE), shown)
    for topic in kept:
        said = client.publish(topic, b"", qos=1, retain=True)
        said.wait_for_publish(PATIENCE)
        _wait(said.is_published(), shown)
    return tuple(kept)


def _wait(answered: bool, shown: str) -> None:
    if not answered:
        raise OutputError(f"{shown}: the broker does not answer; look at its log, and who may read and write there")
