"""What is said of a frame and of an object, as JSON values."""

from __future__ import annotations

import hashlib
from typing import Any

from saccade.results import HeadPose, LifeEvent, Result, Sighting

DIRECTION_FIELDS = (
    "Bottom Right", "Middle Right", "Top Right", "Bottom Middle", "Middle Middle", "Top Middle",
    "Bottom Left", "Middle Left", "Top Left",
)  # fmt: skip
"""Names of the nine directions in the tutorials' messages, in label order; pictures show `results.DIRECTIONS`."""


def about_frame(result: Result, camera: str) -> dict[str, Any]:
    """Whose frame it is, of when and how large: `{"camera", "frame", "time", "width", "height"}`."""
    return {
        "camera": camera, "frame": result.frame, "time": round(result.time, 6), "width": result.width,
        "height": result.height,
    }  # fmt: skip


def frame_body(result: Result, camera: str) -> dict[str, Any]:
    """The result's event with the frame it is of."""
    return about_frame(result, camera) | result.to_event()


def tutorial_body(result: Result, camera: str) -> dict[str, Any]:
    """A probability by name, as the tutorials' functions had it, the boxes, and the frame they are of.

    Head pose has all nine directions, best first; a classifier its best classes, those of every head in `heads` where
    there are several; a detector the best probability of each label, with every object in `detections`; a
    segmentation the part of the picture that each class has, also in `segmentation`. A label that is named as a field
    of the frame keeps its place: whoever reads the tutorials' fields finds them.
    """
    fields: dict[str, Any] = {}
    if result.pose is not None:
        fields |= _directions(result.pose)
    if result.classes is not None:
        fields |= {entry["label"]: entry["prob"] for entry in result.classes.to_event()}
    if result.detections is not None and result.pose is None:
        objects = result.detections.to_event()
        for entry in reversed(objects):
            fields[entry["label"]] = entry["prob"]
        fields["detections"] = objects
    if result.heads:
        fields["heads"] = {name: head.to_event() for name, head in result.heads.items()}
    if result.segmentation is not None:
        fields["segmentation"] = result.segmentation.to_event()
        fields |= {entry["label"]: entry["share"] for entry in fields["segmentation"]}
    return fields | {key: value for key, value in about_frame(result, camera).items() if key not in fields}


def _directions(pose: HeadPose) -> dict[str, float]:
    order = sorted(range(len(DIRECTION_FIELDS)), key=lambda i: -float(pose.scores[i]))
    return {DIRECTION_FIELDS[i]: round(float(pose.scores[i]), 6) for i in order}


def object_body(event: LifeEvent, result: Result, camera: str, crop: str = "") -> dict[str, Any]:
    """What becomes of an object. crop : key or path of its best crop, where there is one."""
    about = about_frame(result, camera) | event.to_event()
    return about | {"crop": crop or None} if event.kind == "end" else about


class FrigateBodies:
    """Events as consumers of Frigate's read them: `{"type", "before", "after"}` with the state before and after.

    The fields are those of its page on MQTT (docs.frigate.video/integrations/mqtt) that have a meaning here; boxes are
    whole px.
    """

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._before: dict[int, dict[str, Any]] = {}

    def body(self, event: LifeEvent, result: Result, crop: str = "") -> dict[str, Any]:
        """The message of one event; `before` is what the last one said."""
        after = self._state(event, result, crop)
        before = self._before.pop(event.track, after)
        if event.kind != "end":
            self._before[event.track] = after
        return {"type": event.kind, "before": before, "after": after}

    def _state(self, event: LifeEvent, result: Result, crop: str) -> dict[str, Any]:
        x1, y1, x2, y2 = _whole(event.last)
        width, height = x2 - x1, y2 - y1
        return {
            "id": _identity(event, self._camera), "camera": self._camera, "frame_time": round(event.last.time, 6),
            "label": event.name, "sub_label": None, "score": round(event.last.score, 6),
            "top_score": round(event.best.score, 6), "false_positive": False, "start_time": round(event.start, 6),
            "end_time": None if event.end is None else round(event.end, 6), "box": [x1, y1, x2, y2],
            "area": width * height, "ratio": round(width / height, 2) if height else 0.0,
            "region": [0, 0, result.width, result.height], "stationary": event.stationary,
            "active": not event.stationary and event.end is None, "current_zones": [], "entered_zones": [],
            "attributes": {}, "has_clip": False, "has_snapshot": bool(crop),
            "snapshot": {"frame_time": round(event.best.time, 6), "box": list(_whole(event.best)),
                         "score": round(event.best.score, 6), "key": crop or None},
        }  # fmt: skip


def _whole(seen: Sighting) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (round(v) for v in seen.box)
    return x1, y1, x2, y2


def _identity(event: LifeEvent, camera: str) -> str:
    """An id as Frigate's, `{start}-{six characters}`; the same for all events of one object."""
    digest = hashlib.sha256(f"{camera} {event.track} {event.start!r}".encode()).hexdigest()
    return f"{event.start:.6f}-{digest[:6]}"
