"""What a model says about a frame: frozen types that every app and output accepts.

Boxes are in pixels of the source frame, whatever size the network saw; arrays are read-only by convention.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = (
    "Down Right", "Right", "Up Right", "Down", "Middle", "Up", "Down Left", "Left", "Up Left",
)  # fmt: skip
"""The nine head directions, in the label order of the DeepLens head-pose network."""


def _name(names: tuple[str, ...], label: int) -> str:
    return names[label] if 0 <= label < len(names) else str(label)


@dataclass(frozen=True, slots=True)
class Classification:
    """Classes of one picture, best first.

    labels : int32 (k,) class numbers. scores : float32 (k,) probabilities. names : a name per class number, or empty.
    """

    labels: NDArray[np.int32]
    scores: NDArray[np.float32]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        """Name of entry `index`: its label's name, or the label's number."""
        return _name(self.names, int(self.labels[index]))

    def top(self, k: int) -> Classification:
        """The best k."""
        return Classification(self.labels[:k], self.scores[:k], self.names)

    def to_event(self) -> list[dict[str, Any]]:
        """`[{"label", "prob"}]`, best first."""
        return [{"label": self.name(i), "prob": round(float(self.scores[i]), 6)} for i in range(len(self))]


@dataclass(frozen=True, slots=True)
class Detections:
    """Objects found in one frame, best first.

    boxes : float32 (n, 4) x1, y1, x2, y2 in source px (may reach over the frame's edge).
    scores : float32 (n,). labels : int32 (n,).
    keypoints : float32 (n, k, 2) x, y in source px, or None. names : a name per label number, or empty.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int32]
    keypoints: NDArray[np.float32] | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def empty(cls, names: tuple[str, ...] = ()) -> Detections:
        """No objects."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), None, names)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], float, int]]:
        """Box, score and label of each object."""
        for box, score, label in zip(self.boxes, self.scores, self.labels, strict=True):
            yield box, float(score), int(label)

    def name(self, index: int) -> str:
        """Name of object `index`: its label's name, or the label's number."""
        return _name(self.names, int(self.labels[index]))

    def to_event(self) -> list[dict[str, Any]]:
        """`[{"label", "prob", "xmin", "ymin", "xmax", "ymax"}]`, best first, source px."""
        events = []
        for i, (box, score, _) in enumerate(self):
            x1, y1, x2, y2 = (round(float(v), 2) for v in box)
            events.append(
                {"label": self.name(i), "prob": round(score, 6), "xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}
            )
        return events


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A class for each pixel.

    mask : uint8 or int32 (h, w) class numbers at the network's output size. names : a name per class, or empty.
    """

    mask: NDArray[Any]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Where a head points.

    direction : 0-8, index into `DIRECTIONS`. scores : float32 (9,) probability of each direction.
    yaw, pitch, roll : degrees where the network gives angles, else None. In the mirrored view that people see of
    themselves: yaw > 0 to the right of the picture, pitch > 0 up, roll > 0 clockwise.
    region : float32 (4,) x1, y1, x2, y2, the part of the frame that was looked at, source px.
    """

    direction: int
    scores: NDArray[np.float32]
    region: NDArray[np.float32]
    yaw: float | None = None
    pitch: float | None = None
    roll: float | None = None

    @property
    def name(self) -> str:
        """The direction in words."""
        return DIRECTIONS[self.direction]

    def to_event(self) -> dict[str, Any]:
        """`{"direction", "prob", "probabilities", "yaw", "pitch", "roll"}`; angles are null where unknown."""
        angles = {
            key: None if value is None else round(value, 2)
            for key, value in (("yaw", self.yaw), ("pitch", self.pitch), ("roll", self.roll))
        }
        return {
            "direction": self.name,
            "prob": round(float(self.scores[self.direction]), 6),
            "probabilities": {name: round(float(p), 6) for name, p in zip(DIRECTIONS, self.scores, strict=True)},
            **angles,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that an app says about one frame.

    frame : the frame's sequence number. time : the frame's time, s (see `Frame`). app : name of the app.
    width, height : the source frame's size, px.
    mirrored : True where people expect to see the picture as in a mirror; all coordinates stay those of the source.
    """

    frame: int
    time: float
    app: str
    width: int
    height: int
    detections: Detections | None = None
    classes: Classification | None = None
    pose: HeadPose | None = None
    mirrored: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    def to_event(self) -> dict[str, Any]:
        """The JSON object of one frame."""
        event: dict[str, Any] = {"frame": self.frame, "time": round(self.time, 6), "app": self.app}
        if self.detections is not None:
            event["detections"] = self.detections.to_event()
        if self.classes is not None:
            event["classes"] = self.classes.to_event()
        if self.pose is not None:
            event["pose"] = self.pose.to_event()
        event.update(self.extra)
        return event
