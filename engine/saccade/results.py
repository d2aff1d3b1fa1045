"""What a model says about a frame: frozen types that every app and output accepts.

Places are in pixels of the source frame, whatever size the network saw; arrays are read-only by convention. Parsers
speak of the network's input first: `placed(view)` of each type leads from its pixels to those of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from saccade.geometry import View

Floats: TypeAlias = NDArray[np.float32]
Index: TypeAlias = NDArray[np.bool_] | NDArray[np.integer[Any]] | Sequence[int] | Sequence[bool] | slice | int
"""What chooses objects: True for each that is wanted, their numbers, a slice, or one number."""

DIRECTIONS = (
    "Down Right", "Right", "Up Right", "Down", "Middle", "Up", "Down Left", "Left", "Up Left",
)  # fmt: skip
"""The nine head directions, in the label order of the DeepLens head-pose network."""


def _numbers(index: Index, count: int) -> NDArray[np.intp]:
    """The numbers, of `count`, that an index chooses; raises IndexError where it does not fit."""
    return np.atleast_1d(
        np.arange(count)[np.asarray(index, np.intp) if isinstance(index, list) and not index else index]
    )


def name_of(names: Sequence[str], label: int) -> str:
    """Name of a class: its label's, or the label's number."""
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
        return name_of(self.names, int(self.labels[index]))

    def top(self, k: int) -> Classification:
        """The best k."""
        return Classification(self.labels[:k], self.scores[:k], self.names)

    def placed(self, view: View) -> Classification:
        """The same: a class has no place."""
        return self

    def to_event(self) -> list[dict[str, Any]]:
        """`[{"label", "prob"}]`, best first."""
        return [{"label": self.name(i), "prob": round(float(self.scores[i]), 6)} for i in range(len(self))]


@dataclass(frozen=True, slots=True)
class Masks:
    """A shape for each object, as small as the network gives it.

    patches : float32 (h, w) each; more than 0 belongs to the object, 0 is its outline.
    places : float32 (n, 4) x1, y1, x2, y2 of the part of the picture that each patch covers, px.
    """

    patches: tuple[Floats, ...]
    places: Floats

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, index: Index) -> Masks:
        chosen = _numbers(index, len(self))
        return Masks(tuple(self.patches[i] for i in chosen), self.places[chosen])

    def placed(self, view: View) -> Masks:
        """In source px, from those of the network's input."""
        patches = tuple(np.ascontiguousarray(patch[:, ::-1]) for patch in self.patches)
        return Masks(patches if view.scale_x < 0 else self.patches, view.boxes(self.places))

    def bitmap(self, index: int, box: Floats, width: int, height: int, scale: float = 1.0) -> NDArray[np.bool_]:
        """Pixels of one object, bool (height, width), of a picture that is `scale` times the source's size.

        box : x1, y1, x2, y2, source px: what lies outside it does not count.
        """
        import cv2

        whole = np.zeros((height, width), np.bool_)
        x1, y1, x2, y2 = (float(v) * scale for v in self.places[index])
        left, right = max(0, round(float(box[0]) * scale)), min(width, round(float(box[2]) * scale))
        top, bottom = max(0, round(float(box[1]) * scale)), min(height, round(float(box[3]) * scale))
        left, right = max(left, floor(x1)), min(right, ceil(x2))
        top, bottom = max(top, floor(y1)), min(bottom, ceil(y2))
        patch = self.patches[index]
        if right <= left or bottom <= top or not patch.size or not (x2 > x1 and y2 > y1):
            return whole
        # Centres of the wanted pixels, in px of the patch.
        sx, sy = patch.shape[1] / (x2 - x1), patch.shape[0] / (y2 - y1)
        to_patch = np.array([[sx, 0, (left + 0.5 - x1) * sx - 0.5], [0, sy, (top + 0.5 - y1) * sy - 0.5]], np.float64)
        part = cv2.warpAffine(
            patch, to_patch, (right - left, bottom - top), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        whole[top:bottom, left:right] = part > 0
        return whole


@dataclass(frozen=True, slots=True)
class Detections:
    """Objects found in one frame, best first.

    boxes : float32 (n, 4) x1, y1, x2, y2 in source px (may reach over the frame's edge).
    scores : float32 (n,) probabilities. labels : int32 (n,).
    keypoints : float32 (n, k, 2) x, y in source px, or None. names : a name per label number, or empty.
    keypoint_scores : float32 (n, k) probability that a key point is seen, or None.
    masks : a shape per object, or None. corners : float32 (n, 4, 2) of rotated boxes, source px, or None; `boxes`
    then encloses them.
    tracks : int64 (n,) number of each object over time, from 1 and never used again; or None. -1: it is not followed.
    """

    boxes: Floats
    scores: Floats
    labels: NDArray[np.int32]
    keypoints: Floats | None = None
    names: tuple[str, ...] = ()
    keypoint_scores: Floats | None = None
    masks: Masks | None = None
    corners: Floats | None = None
    tracks: NDArray[np.int64] | None = None

    @classmethod
    def empty(cls, names: tuple[str, ...] = ()) -> Detections:
        """No objects."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32), None, names)

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[Floats, float, int]]:
        """Box, score and label of each object."""
        for box, score, label in zip(self.boxes, self.scores, self.labels, strict=True):
            yield box, float(score), int(label)

    def __getitem__(self, index: Index) -> Detections:
        """The objects that are True in an array, that have these numbers, or that a slice chooses."""
        chosen = _numbers(index, len(self))
        parts: dict[str, Any] = {
            name: None if (value := getattr(self, name)) is None else value[chosen]
            for name in ("boxes", "scores", "labels", "keypoints", "keypoint_scores", "masks", "corners", "tracks")
        }
        return replace(self, **parts)

    def name(self, index: int) -> str:
        """Name of object `index`: its label's name, or the label's number."""
        return name_of(self.names, int(self.labels[index]))

    def placed(self, view: View) -> Detections:
        """In source px, from those of the network's input."""
        return Detections(
            boxes=view.boxes(self.boxes),
            scores=self.scores,
            labels=self.labels,
            keypoints=None if self.keypoints is None else view.points(self.keypoints),
            names=self.names,
            keypoint_scores=self.keypoint_scores,
            masks=None if self.masks is None else self.masks.placed(view),
            corners=None if self.corners is None else view.points(self.corners),
            tracks=self.tracks,
        )

    def to_event(self) -> list[dict[str, Any]]:
        """`[{"label", "prob", "xmin", "ymin", "xmax", "ymax"}]`, best first, source px; where there are any, also
        `"keypoints"` (`[[x, y]]`, or `[[x, y, prob]]`), `"corners"` (`[[x, y]]`) and `"track"`.
        """
        events = []
        for i, (box, score, _) in enumerate(self):
            x1, y1, x2, y2 = (round(float(v), 2) for v in box)
            event: dict[str, Any] = {
                "label": self.name(i), "prob": round(score, 6), "xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2
            }  # fmt: skip
            if self.keypoints is not None:
                event["keypoints"] = self._keypoint_rows(i)
            if self.corners is not None:
                event["corners"] = _rounded(self.corners[i])
            if self.tracks is not None and self.tracks[i] > 0:
                event["track"] = int(self.tracks[i])
            events.append(event)
        return events

    def to_supervision(self, size: tuple[int, int] | None = None) -> Any:
        """The same as `supervision.Detections`, for that package's tools.

        size : (height, width) of the frame, px, for which masks are made; None: without them.
        Names are `data["class_name"]`, key points and corners `data["keypoints"]` and `data["xyxyxyxy"]`.
        Raises ImportError where supervision is not installed: it is no dependency of saccade.
        """
        import supervision  # type: ignore[import-not-found, import-untyped, unused-ignore]

        data: dict[str, Any] = {"class_name": np.array([self.name(i) for i in range(len(self))], np.str_)}
        if self.keypoints is not None:
            data["keypoints"] = self.keypoints
        if self.corners is not None:
            data["xyxyxyxy"] = self.corners
        masks = None
        if self.masks is not None and size is not None and len(self):
            height, width = size
            masks = np.stack([self.masks.bitmap(i, box, width, height) for i, box in enumerate(self.boxes)])
        return supervision.Detections(
            xyxy=self.boxes, confidence=self.scores, class_id=self.labels.astype(np.intp), mask=masks,
            tracker_id=self.tracks, data=data,
        )  # fmt: skip

    def _keypoint_rows(self, index: int) -> list[list[float]]:
        assert self.keypoints is not None
        rows = _rounded(self.keypoints[index])
        if self.keypoint_scores is None:
            return rows
        return [[*row, round(float(score), 4)] for row, score in zip(rows, self.keypoint_scores[index], strict=True)]


def _rounded(points: Floats) -> list[list[float]]:
    return [[round(float(v), 2) for v in row] for row in points]


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object as it was seen in one frame. time : of the frame, s. box : x1, y1, x2, y2, source px."""

    time: float
    score: float
    box: tuple[float, float, float, float]

    def to_event(self) -> dict[str, Any]:
        """`{"time", "prob", "xmin", "ymin", "xmax", "ymax"}`."""
        x1, y1, x2, y2 = (round(v, 2) for v in self.box)
        prob = round(self.score, 6)
        return {"time": round(self.time, 6), "prob": prob, "xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """What becomes of an object: `new` once it is sure to be one, `update` while it is seen, `end` when it has gone.

    track : its number, as in `Detections.tracks`. label, name : the class that it was taken for most often.
    time : of the frame that this was decided with, s. start : when it was first seen, s. end : when it was last seen,
    s, of one that has gone; else None. last, best : how it was last seen, and with which score it was highest.
    stationary : it has stood still for some time.
    """

    kind: Literal["new", "update", "end"]
    track: int
    label: int
    name: str
    time: float
    start: float
    end: float | None
    last: Sighting
    best: Sighting
    stationary: bool

    def to_event(self) -> dict[str, Any]:
        """The JSON object: the fields, with `last` and `best` as `Sighting.to_event` has them."""
        return {
            "type": self.kind, "track": self.track, "label": self.name, "time": round(self.time, 6),
            "start": round(self.start, 6), "end": None if self.end is None else round(self.end, 6),
            "stationary": self.stationary, "last": self.last.to_event(), "best": self.best.to_event(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A class for each pixel.

    labels : uint8 or int32 (h, w) class numbers at the network's output size.
    place : float32 (4,) x1, y1, x2, y2 of the part of the picture that the map covers, source px.
    names : a name per class, or empty. background : class that is nothing, or None.
    """

    labels: NDArray[Any]
    place: Floats
    names: tuple[str, ...] = ()
    background: int | None = None

    def name(self, label: int) -> str:
        """Name of a class, or its number."""
        return name_of(self.names, label)

    def shares(self) -> dict[int, float]:
        """Part of the map that each class has, largest first."""
        if self.labels.dtype == np.uint8:
            counts = np.bincount(self.labels.ravel())
            present = counts.nonzero()[0]
            counts = counts[present]
        else:  # a number that is no class would have bincount count as far as that
            present, counts = np.unique(self.labels, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {int(present[i]): float(counts[i] / self.labels.size) for i in order}

    def placed(self, view: View) -> Segmentation:
        """In source px, from those of the network's input."""
        labels = self.labels[:, ::-1] if view.scale_x < 0 else self.labels
        return replace(self, labels=labels, place=view.boxes(self.place[None])[0])

    def within(self, width: int, height: int) -> Segmentation:
        """Without the rows and columns that lie outside a picture of that size, as the padding's do."""
        rows, columns = self.labels.shape
        x1, y1, x2, y2 = (float(v) for v in self.place)
        step_x, step_y = (x2 - x1) / columns, (y2 - y1) / rows
        left, right = _inside(x1, step_x, columns, width)
        top, bottom = _inside(y1, step_y, rows, height)
        place = np.array([x1 + left * step_x, y1 + top * step_y, x1 + right * step_x, y1 + bottom * step_y], np.float32)
        return replace(self, labels=self.labels[top:bottom, left:right], place=place)

    def to_event(self) -> list[dict[str, Any]]:
        """`[{"label", "share"}]`, the largest first, the background apart."""
        return [
            {"label": self.name(label), "share": round(share, 6)}
            for label, share in self.shares().items()
            if label != self.background
        ]


def _inside(start: float, step: float, count: int, extent: float) -> tuple[int, int]:
    """First and last + 1 of `count` cells whose centres lie in [0, extent]."""
    first = max(0, ceil(-start / step - 0.5 - 1e-6))
    last = min(count, floor((extent - start) / step + 0.5 + 1e-6))
    return (first, last) if first < last else (0, count)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Points of one object that fills the network's view (a face, a hand).

    points : float32 (k, 3) x right, y down, source px, and z away from the camera, in px of the same unit as x.
    score : probability that the object is there at all.
    """

    points: Floats
    score: float

    def placed(self, view: View) -> Landmarks:
        """In source px, from those of the network's input."""
        flat = view.points(self.points[:, :2])
        depth = self.points[:, 2:] * np.float32(abs(view.scale_x))
        return Landmarks(np.concatenate([flat, depth], 1), self.score)

    def to_event(self) -> dict[str, Any]:
        """`{"prob", "points": [[x, y, z]]}`, source px."""
        return {"prob": round(self.score, 6), "points": _rounded(self.points)}


@dataclass(frozen=True, slots=True)
class Angles:
    """How what fills the network's view is turned, degrees; in the mirrored view that people see of themselves:
    yaw > 0 to the right of the picture, pitch > 0 up, roll > 0 clockwise. roll : None where the network has none.
    """

    yaw: float
    pitch: float
    roll: float | None = None

    def placed(self, view: View) -> Angles:
        """The same: an angle has no place."""
        return self

    def to_event(self) -> dict[str, Any]:
        """`{"yaw", "pitch", "roll"}`."""
        roll = None if self.roll is None else round(self.roll, 2)
        return {"yaw": round(self.yaw, 2), "pitch": round(self.pitch, 2), "roll": roll}


@dataclass(frozen=True, slots=True)
class Embedding:
    """What identifies the object that fills the network's view, to be compared with others of the same network.

    vector : float32 (n,) of length 1.
    """

    vector: Floats

    def placed(self, view: View) -> Embedding:
        """The same: a vector has no place."""
        return self

    def similarity(self, other: Embedding) -> float:
        """Cosine, -1 to 1."""
        return float(self.vector @ other.vector)

    def to_event(self) -> list[float]:
        """The vector's numbers."""
        return [round(float(v), 6) for v in self.vector]


@dataclass(frozen=True, slots=True)
class Heads:
    """A classification for each head of a network that has several. by_name : in the file's order."""

    by_name: Mapping[str, Classification]

    def placed(self, view: View) -> Heads:
        """The same: a class has no place."""
        return self


Finding: TypeAlias = Detections | Classification | Heads | Segmentation | Landmarks | Angles | Embedding
"""What one run of a network says."""


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
    file : of the frame, where it comes from one of several files.
    width, height : the source frame's size, px.
    detections, segmentation, landmarks, angles, embedding, pose : what the network is for, in source px; the others
    are None. extra : what an app adds to the event, of plain values.
    classes : of a network with several heads the first; heads : all of them, by name, where there are several.
    mirrored : True where people expect to see the picture as in a mirror; all coordinates stay those of the source.
    life : what became of the followed objects with this frame; not a part of the frame's own event.
    """

    frame: int
    time: float
    app: str
    width: int
    height: int
    detections: Detections | None = None
    classes: Classification | None = None
    heads: Mapping[str, Classification] = field(default_factory=dict)
    segmentation: Segmentation | None = None
    landmarks: Landmarks | None = None
    angles: Angles | None = None
    embedding: Embedding | None = None
    pose: HeadPose | None = None
    mirrored: bool = False
    file: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    life: tuple[LifeEvent, ...] = ()

    def to_event(self) -> dict[str, Any]:
        """The JSON object of one frame."""
        event: dict[str, Any] = {"frame": self.frame, "time": round(self.time, 6), "app": self.app}
        if self.file:
            event["file"] = self.file
        for name in ("detections", "classes", "segmentation", "landmarks", "angles", "embedding", "pose"):
            value = getattr(self, name)
            if value is not None:
                event[name] = value.to_event()
        if self.heads:
            event["heads"] = {name: head.to_event() for name, head in self.heads.items()}
        event.update(self.extra)
        return event
