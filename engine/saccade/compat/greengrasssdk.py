"""`greengrasssdk` as DeepLens scripts use it: `client("iot-data")` publishes, and keeps shadows for the run."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any

from saccade.compat import device
from saccade.errors import ConfigError

_RESERVED = re.compile(r"\$aws/things/([^/]+)/infer$")
_MOST = 8192
"""Bytes of a shadow, as the core's."""


class ShadowError(Exception):
    """A shadow that cannot be changed, as the SDK says it."""


class IoTDataPlaneClient:
    """Publishes over the publisher of the device in use; shadows live as long as the client's device."""

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

    def get_thing_shadow(self, thingName: str, **_: Any) -> dict[str, bytes]:
        """The shadow as JSON below `payload`: what was put into it in this run, at first an empty one."""
        with _lock:
            shadow = _shadow(thingName)
            return {"payload": _as_json(shadow)}

    def update_thing_shadow(self, thingName: str, payload: str | bytes, **_: Any) -> dict[str, bytes]:
        """Merge JSON with a `state` into the shadow; raises ShadowError where it is none."""
        try:
            change = json.loads(payload)
            state = change["state"]
        except (ValueError, TypeError, KeyError):
            raise ShadowError(f"the shadow of {thingName}: expected JSON with a state") from None
        if not isinstance(state, dict) or len(payload) > _MOST:
            raise ShadowError(f"the shadow of {thingName}: expected an object as its state, of at most {_MOST} bytes")
        with _lock:
            shadow = _shadow(thingName)
            shadow["state"] = _merged(shadow["state"], state)
            shadow["version"] += 1
            shadow["timestamp"] = int(time.time())
            return {"payload": _as_json({**shadow, "state": state})}

    def delete_thing_shadow(self, thingName: str, **_: Any) -> dict[str, bytes]:
        """Empty the shadow."""
        with _lock:
            shadow = _shadow(thingName)
            device.current().shadows.pop(thingName, None)
            return {"payload": _as_json({key: shadow[key] for key in ("version", "timestamp")})}


_lock = threading.Lock()


def _shadow(thing: str) -> dict[str, Any]:
    current = device.current()
    current.notes(f"the shadow of {thing} is kept in this process: nothing reaches AWS IoT")
    fresh = {"state": {"desired": {}, "reported": {}}, "metadata": {}, "version": 0, "timestamp": int(time.time())}
    shadow: dict[str, Any] = current.shadows.setdefault(thing, fresh)
    return shadow


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Keys of `new` over those of `old`, objects within likewise; None takes a key away."""
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = _merged(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def client(client_type: str, *_: Any) -> IoTDataPlaneClient:
    """A client of the core; ``iot-data`` is the only one there is."""
    if client_type != "iot-data":
        raise ConfigError(
            f"greengrasssdk.client({client_type!r}): only 'iot-data' is supported; with boto3, "
            f"boto3.client({client_type!r}) asks AWS itself"
        )
    return IoTDataPlaneClient()
