"""`greengrasssdk` as DeepLens scripts use it: `client("iot-data").publish(topic=..., payload=...)`."""

from __future__ import annotations

import re
from typing import Any

from saccade.compat import device
from saccade.errors import ConfigError

_RESERVED = re.compile(r"\$aws/things/([^/]+)/infer$")


class IoTDataPlaneClient:
    """Publishes over the publisher of the device in use."""

    def publish(self, topic: str, payload: str | bytes | bytearray = b"", **_: Any) -> None:
        """Publish one message; returns at once.

        ``$aws/things/NAME/infer``, which the tutorials use, is reserved at AWS IoT: towards a network it becomes
        ``saccade/NAME/infer``.
        """
        current = device.current()
        publisher = current.publisher
        if not isinstance(payload, (str, bytes, bytearray)):
            raise TypeError(f"payload: got {type(payload).__name__}; expected text or bytes")
        old = _RESERVED.match(topic)
        if old and not publisher.any_topic:
            topic = f"saccade/{old[1]}/infer"
            current.notes(f"messages to {old[0]} go to {topic}: topics under $aws are reserved")
        publisher.publish(bytes(payload) if isinstance(payload, bytearray) else payload, topic)

    def __getattr__(self, name: str) -> Any:
        if name in ("get_thing_shadow", "update_thing_shadow", "delete_thing_shadow"):
            raise ConfigError(f"greengrasssdk: {name} is not supported; only publish(topic=, payload=) is")
        raise AttributeError(name)


def client(client_type: str, *_: Any) -> IoTDataPlaneClient:
    """A client of the core; ``iot-data`` is the only one there is."""
    if client_type != "iot-data":
        raise ConfigError(f"greengrasssdk.client({client_type!r}): only 'iot-data' is supported")
    return IoTDataPlaneClient()
