"""Home Assistant's MQTT discovery: one retained message makes a camera a device with its entities.

The format is that of home-assistant.io/integrations/mqtt (device discovery, since 2024.11) and of its pages
binary_sensor.mqtt, sensor.mqtt and camera.mqtt.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from typing import Any

from saccade import __version__
from saccade.outputs.publish.topics import CameraTopics


def discovery_topic(prefix: str, camera: str) -> str:
    """Where the message goes; an empty one there takes the device away."""
    return f"{prefix}/device/{identity(camera)}/config"


def identity(camera: str) -> str:
    """The device's id: letters, digits, - and _ are what node ids may hold."""
    return f"saccade_{_plain(camera)}"


def _plain(text: str) -> str:
    """A text of letters, digits, - and _, and of its own for each text."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", text)
    return plain if plain == text.replace(" ", "_") else f"{plain}_{zlib.crc32(text.encode()):08x}"


def discovery_body(
    topics: CameraTopics, labels: Iterable[str], *, model: str = "", objects: bool = True, picture: bool = True
) -> dict[str, Any]:
    """The device and its entities: for each class whether there is any and how many, and the camera's picture.

    labels : classes that have been seen or are asked for. model : of the network. objects : there are counts.
    """
    camera, own = topics.camera, identity(topics.camera)
    device = {
        "identifiers": [own], "name": camera, "manufacturer": "saccade", "model": model or "camera",
        "sw_version": __version__,
    }  # fmt: skip
    components: dict[str, dict[str, Any]] = {}
    for label in sorted({"all", *labels} if objects else ()):
        words = "Any object" if label == "all" else label.replace("_", " ").capitalize()
        plain = _plain(label)
        components[f"{plain}_occupancy"] = {
            "platform": "binary_sensor", "unique_id": f"{own}_{plain}_occupancy", "name": f"{words} occupancy",
            "device_class": "occupancy", "state_topic": topics.count(label),
            "value_template": "{{ 'ON' if value | int(0) > 0 else 'OFF' }}",
        }  # fmt: skip
        components[f"{plain}_count"] = {
            "platform": "sensor", "unique_id": f"{own}_{plain}_count", "name": f"{words} count",
            "state_class": "measurement", "unit_of_measurement": "objects", "icon": "mdi:counter",
            "state_topic": topics.count(label),
        }  # fmt: skip
    if picture:
        components["picture"] = {
            "platform": "camera", "unique_id": f"{own}_picture", "name": "Picture", "topic": topics.picture,
        }  # fmt: skip
    return {
        "device": device,
        "origin": {"name": "saccade", "sw_version": __version__},
        "availability_mode": "all",
        "availability": [
            {"topic": topics.availability},
            {"topic": topics.state, "value_template": "{{ 'online' if value == 'up' else 'offline' }}"},
        ],
        "components": components,
        "qos": 1,
    }
