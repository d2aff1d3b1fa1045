"""What Home Assistant is told, against the schemas that it reads it by."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import jsonschema
import pytest

from conditions import PATIENCE
from saccade.outputs.events import to_json
from saccade.outputs.publish.home_assistant import discovery_body, discovery_topic
from saccade.outputs.publish.topics import CameraTopics

TEXT, NUMBER = {"type": "string"}, {"enum": [0, 1, 2]}
TOPIC = {"type": "string", "pattern": "^[^+#]+$"}


def only(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    """An object that has these keys and no other."""
    return {
        "type": "object", "additionalProperties": False, "required": list(required), "properties": properties,
    }  # fmt: skip


ENTITY = {
    "unique_id": TEXT, "name": TEXT, "icon": {"type": "string", "pattern": "^mdi:[a-z-]+$"}, "object_id": TEXT,
    "enabled_by_default": {"type": "boolean"}, "entity_category": {"enum": ["config", "diagnostic"]}, "qos": NUMBER,
    "encoding": TEXT, "json_attributes_topic": TOPIC, "json_attributes_template": TEXT,
}  # fmt: skip
STATE = {"state_topic": TOPIC, "value_template": TEXT, "expire_after": {"type": "integer"}}
# As DEVICE_DISCOVERY_SCHEMA in homeassistant/components/mqtt/schemas.py and DISCOVERY_SCHEMA in binary_sensor.py,
# sensor.py and camera.py beside it have it (home-assistant/core, 2024.12), which all refuse further keys.
COMPONENTS = {
    "binary_sensor": only(
        ("platform", "state_topic", "unique_id"), **ENTITY, **STATE, platform={"const": "binary_sensor"},
        device_class={"enum": ["occupancy", "motion", "presence"]}, payload_on=TEXT, payload_off=TEXT,
        off_delay={"type": "integer"}, force_update={"type": "boolean"},
    ),
    "sensor": only(
        ("platform", "state_topic", "unique_id"), **ENTITY, **STATE, platform={"const": "sensor"},
        state_class={"enum": ["measurement", "total", "total_increasing"]}, unit_of_measurement=TEXT,
        suggested_display_precision={"type": "integer"}, force_update={"type": "boolean"},
    ),
    "camera": only(
        ("platform", "topic", "unique_id"), **ENTITY, platform={"const": "camera"}, topic=TOPIC,
        image_encoding={"const": "b64"},
    ),
}  # fmt: skip
DEVICE = only(
    ("device", "components", "origin"), qos=NUMBER, encoding=TEXT,
    availability_mode={"enum": ["all", "any", "latest"]},
    availability={
        "type": "array",
        "items": only(
            ("topic",), topic=TOPIC, payload_available=TEXT, payload_not_available=TEXT, value_template=TEXT
        ),
    }, state_topic=TOPIC, command_topic=TOPIC,
    device=only(
        ("identifiers",), identifiers={"type": "array", "items": TEXT, "minItems": 1}, manufacturer=TEXT, model=TEXT,
        name=TEXT, hw_version=TEXT, sw_version=TEXT, serial_number=TEXT, via_device=TEXT, suggested_area=TEXT,
        configuration_url={"type": "string", "pattern": "^https?://"},
    ),
    origin=only(("name",), name=TEXT, sw_version=TEXT, support_url=TEXT),
    components={
        "type": "object", "propertyNames": {"pattern": "^[A-Za-z0-9_-]+$"},
        "additionalProperties": {"anyOf": list(COMPONENTS.values())},
    },
)  # fmt: skip

CHECK = """
import json, sys
from homeassistant.components.mqtt import binary_sensor, camera, sensor
schemas = {"binary_sensor": binary_sensor, "camera": camera, "sensor": sensor}
body = json.load(sys.stdin)
shared = {key: body[key] for key in ("availability", "availability_mode", "device", "origin", "qos")}
for part in body["components"].values():
    platform = part.pop("platform")
    schemas[platform].DISCOVERY_SCHEMA({**shared, **part})
try:
    from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA
except ImportError:
    pass
else:
    DEVICE_DISCOVERY_SCHEMA(json.loads(sys.argv[1]))
"""

CASES = [
    CameraTopics("saccade", "door"), CameraTopics("a/b", "yard.2-x"), CameraTopics("frigate", "cam_1", frigate=True),
]  # fmt: skip
LABELS = ("person", "traffic light", "a/b+c", "Pkw #1", "ä")


@pytest.mark.parametrize("topics", CASES, ids=str)
def test_the_device_is_as_its_schemas_want_it(topics: CameraTopics) -> None:
    body = discovery_body(topics, LABELS, model="yolo")
    jsonschema.validate(body, DEVICE)
    parts = body["components"].values()
    ids = [part["unique_id"] for part in parts]
    assert len(set(ids)) == len(ids) == 2 * (len(LABELS) + 1) + 1
    assert re.fullmatch(r"homeassistant/device/[A-Za-z0-9_-]+/config", discovery_topic("homeassistant", topics.camera))
    assert {part["state_topic"] for part in parts if "state_topic" in part} == {
        topics.count(label) for label in ("all", *LABELS)
    }
    alone = discovery_body(topics, (), objects=False)["components"].values()
    assert [part["platform"] for part in alone] == ["camera"]
    python = os.environ.get("SACCADE_TRY_HOMEASSISTANT")
    if python:  # one that has the package homeassistant, whose own schemas then have the word
        text = to_json(body)
        subprocess.run([python, "-c", CHECK, text], input=text, text=True, check=True, timeout=PATIENCE)
