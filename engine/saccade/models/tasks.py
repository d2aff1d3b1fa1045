"""What a network's numbers mean: from output tensors to boxes, classes, angles and landmarks.

A task carries the `InputSpec` (the pixels that the network was trained on) and decodes the outputs of one run, while
they are valid; what it returns is the caller's. Detectors take the preprocess plan's `to_source`
(x_source = x * sx + tx, likewise y, with sx < 0 for a mirrored view) and answer in source pixels.

`task_for` picks the task by what the outputs look like, so that a file under any name works.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ModelError, UnsupportedError
from saccade.kernels import decode_anchors
from saccade.models import catalogue
from saccade.models.labels import read_labels
from saccade.models.remote import RemoteDetector, RemoteModel
from saccade.models.spec import InputSpec
from saccade.results import DIRECTIONS, Classification, Detections

if TYPE_CHECKING:
    from saccade.models.runner import Model, Port

__all__ = [
    "AngleRegressor",
    "BlazeFace",
    "BoxesAndLabels",
    "Classifier",
    "Detector",
    "InputSpec",
    "LandmarkRegressor",
    "SsdDetector",
    "Task",
    "blazeface_anchors",
    "task_for",
]

Kind = Literal["detection", "classification", "pan-tilt", "angles", "landmarks"]
Floats = NDArray[np.float32]
Outputs = Mapping[str, Floats]
ToSource = tuple[float, float, float, float]

EMOTIONS = ("neutral", "happy", "sad", "surprise", "anger")
"""Classes of emotions-recognition-retail-0003, in its order."""

_BLAZEFACE_CELLS = {896: ((16, 2), (8, 6)), 2304: ((48, 1),)}
"""(cells a side, anchors a cell) of each feature map, by number of anchors: short range, full range."""

_MESH_POINTS = 468


class Detector(Protocol):
    """Finds objects."""

    kind: Literal["detection"]
    spec: InputSpec

    def decode(
        self, outputs: Outputs, to_source: ToSource, *, score_threshold: float = 0.5, iou_threshold: float = 0.3
    ) -> Detections:
        """Objects of one run, best first, source px.

        score_threshold : least score. iou_threshold : overlap at which the weaker box goes, where the network leaves
            that to the caller.
        """


class BlazeFace:
    """MediaPipe's face detectors: one raw box with six key points an anchor.

    Key points are the eyes (the person's right one first), nose, mouth and ears (right, left).
    """

    kind: Literal["detection"] = "detection"
    names = ("face",)

    def __init__(self, spec: InputSpec, boxes: Port, scores: Port) -> None:
        self.spec = spec
        self._anchors = blazeface_anchors(_BLAZEFACE_CELLS[boxes.shape[1]])
        self._boxes = boxes.name
        self._scores = scores.name

    def decode(
        self, outputs: Outputs, to_source: ToSource, *, score_threshold: float = 0.5, iou_threshold: float = 0.3
    ) -> Detections:
        """Faces of one run, best first, source px. Overlapping boxes are averaged by score, as MediaPipe does."""
        rows = decode_anchors(
            outputs[self._boxes][0],
            outputs[self._scores].reshape(-1),
            self._anchors,
            size=self.spec.width,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            weighted=True,
        )
        points = _to_source(rows[:, 1:], self.spec, to_source)
        return Detections(
            boxes=_ordered(points[:, :2].reshape(-1, 4), to_source),
            scores=rows[:, 0].copy(),
            labels=np.zeros(len(rows), np.int32),
            keypoints=points[:, 2:],
            names=self.names,
        )


class SsdDetector:
    """Networks that end in a DetectionOutput layer: [1, 1, N, 7] of image, label, score, x1, y1, x2, y2.

    Rows are grouped by class; an image number of -1 ends the list, and what follows it is left over from nowhere.
    """

    kind: Literal["detection"] = "detection"

    def __init__(self, spec: InputSpec, output: Port, names: tuple[str, ...] = ()) -> None:
        self.spec = spec
        self.names = names
        self._output = output.name

    def decode(
        self, outputs: Outputs, to_source: ToSource, *, score_threshold: float = 0.5, iou_threshold: float = 0.3
    ) -> Detections:
        """Objects of one run, best first, source px. The network itself has removed overlapping boxes."""
        rows = outputs[self._output].reshape(-1, 7)
        ends = rows[:, 0] < 0
        if ends.any():
            rows = rows[: int(ends.argmax())]
        rows = rows[rows[:, 2] >= score_threshold]
        return _detections(rows[:, 3:7], rows[:, 2], rows[:, 1], self.spec, to_source, self.names)


class BoxesAndLabels:
    """Networks with two outputs: boxes [N, 5] of x1, y1, x2, y2 (input px), score; and labels [N]."""

    kind: Literal["detection"] = "detection"

    def __init__(self, spec: InputSpec, boxes: Port, labels: Port, names: tuple[str, ...] = ()) -> None:
        self.spec = spec
        self.names = names
        self._boxes = boxes.name
        self._labels = labels.name
        self._unit = np.array([spec.width, spec.height] * 2, np.float32)

    def decode(
        self, outputs: Outputs, to_source: ToSource, *, score_threshold: float = 0.5, iou_threshold: float = 0.3
    ) -> Detections:
        """Objects of one run, best first, source px. The network itself has removed overlapping boxes."""
        rows = outputs[self._boxes].reshape(-1, 5)
        keep = rows[:, 4] >= score_threshold
        rows = rows[keep]
        labels = outputs[self._labels].reshape(-1)[keep]
        return _detections(rows[:, :4] / self._unit, rows[:, 4], labels, self.spec, to_source, self.names)


class Classifier:
    """One score a class; scores that are not probabilities yet go through a softmax."""

    kind: Literal["classification"] = "classification"

    def __init__(self, spec: InputSpec, output: Port, names: tuple[str, ...] = ()) -> None:
        self.spec = spec
        self.names = names
        self._output = output.name
        self._probabilities = output.made_by in _PROBABILITIES

    def decode(self, outputs: Outputs) -> Classification:
        """All classes, best first."""
        scores = outputs[self._output].reshape(-1)
        if not self._probabilities and (scores.min() < 0 or abs(float(scores.sum()) - 1) > 0.02):
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        order = np.argsort(-scores, kind="stable")
        return Classification(order.astype(np.int32), scores[order], self.names)


class AngleRegressor:
    """Networks that give angles of the head.

    pan-tilt : one output of two numbers, tilt and pan, with -1 to 1 for -90 to 90 degrees, negative pan towards the
        right of the picture and negative tilt downwards; shown a mirrored picture. (The DeepLens head-pose project's
        training code labels its data like this.)
    angles : three outputs in degrees (Open Model Zoo: head-pose-estimation-adas); shown the picture as it is.
    """

    def __init__(self, spec: InputSpec, kind: Literal["pan-tilt", "angles"], outputs: Sequence[str]) -> None:
        self.spec = spec
        self.kind = kind
        self._outputs = tuple(outputs)

    def decode(self, outputs: Outputs) -> tuple[float, float, float | None]:
        """Yaw, pitch and roll as `HeadPose` has them, degrees; roll is None where the network does not give it."""
        if self.kind == "pan-tilt":
            tilt, pan = outputs[self._outputs[0]].reshape(-1).tolist()
            return -90.0 * pan, 90.0 * tilt, None
        # The network's yaw is to the right of the picture, pitch down, roll clockwise (seen on turned pictures).
        yaw, pitch, roll = (float(outputs[name].reshape(-1)[0]) for name in self._outputs)
        return -yaw, -pitch, -roll


class LandmarkRegressor:
    """MediaPipe's face mesh: 468 points in space and whether there is a face at all."""

    kind: ClassVar[Literal["landmarks"]] = "landmarks"

    def __init__(self, spec: InputSpec, points: Port, score: Port) -> None:
        self.spec = spec
        self._points = points.name
        self._score = score.name

    def decode(self, outputs: Outputs) -> tuple[Floats, float]:
        """Points, float32 (468, 3): x right, y down, z away from the camera, input px; and the face's probability."""
        points = outputs[self._points].reshape(_MESH_POINTS, 3).copy()
        logit = float(outputs[self._score].reshape(-1)[0])
        return points, float(1 / (1 + np.exp(-np.clip(logit, -30, 30))))


Task = BlazeFace | SsdDetector | BoxesAndLabels | Classifier | AngleRegressor | LandmarkRegressor | RemoteDetector


def task_for(
    model: Model | RemoteModel,
    *,
    name: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | Sequence[str] | None = None,
    task: Kind | None = None,
    mean: float | Sequence[float] | None = None,
    scale: float | Sequence[float] | None = None,
    swap_rb: bool | None = None,
    letterbox: bool | None = None,
) -> Task:
    """The task that fits a model.

    name : catalogue name, where the model came from there. labels : class names, or a file of them.
    task : kind of task, where the outputs leave room for doubt (two numbers: two classes, or pan and tilt?).
    mean, scale, swap_rb, letterbox : replace what is known or assumed about the input, see `InputSpec`.

    Raises UnsupportedError if the model's input is no picture or no parser fits its outputs.
    """
    entry = next(iter(catalogue.find(os.fspath(name)) if name is not None else ()), None)
    if isinstance(labels, (str, os.PathLike)):
        labels = read_labels(labels)
    if isinstance(model, RemoteModel):
        return model.task or model.adapt(_by_outputs(cast(Any, model), model.spec, tuple(labels or model.names), task))
    names = tuple(labels or ())
    spec = (entry.spec if entry is not None else None) or _input_spec(model)
    found = _by_outputs(model, spec, names, task)
    changes: dict[str, Any] = {
        key: value for key, value in (("swap_rb", swap_rb), ("letterbox", letterbox)) if value is not None
    }
    changes |= {key: _triple(value) for key, value in (("mean", mean), ("scale", scale)) if value is not None}
    found.spec = replace(found.spec, **changes)
    return found


def blazeface_anchors(cells: Sequence[tuple[int, int]]) -> Floats:
    """Anchor centres of a BlazeFace network.

    cells : (cells a side, anchors a cell) of each feature map. Returns float32 (n, 2) x, y in [0, 1].
    """
    maps = []
    for side, count in cells:
        y, x = np.mgrid[:side, :side]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / side
        maps.append(np.repeat(centres, count, axis=0))
    return np.concatenate(maps).astype(np.float32)


def _by_outputs(model: Model, spec: InputSpec, names: tuple[str, ...], task: Kind | None) -> Task:
    found: Task | None = None
    if task in (None, "detection"):
        found = _detector(model, spec, names)
    if found is None and task in (None, "landmarks", "angles", "pan-tilt"):
        found = _regressor(model, spec, task)
    if found is None and task in (None, "classification"):
        found = _classifier(model, spec, names, task)
    if found is None:
        outputs = ", ".join(f"{port.name} {list(port.shape)}" for port in model.outputs)
        raise UnsupportedError(f"{model.name}: no parser for {task or 'any task'} fits its outputs ({outputs})")
    return found


def _detector(model: Model, spec: InputSpec, names: tuple[str, ...]) -> Task | None:
    ports = sorted(model.outputs, key=_size, reverse=True)
    names = names or (("face",) if model.name.startswith("face-detection") else ())
    if len(ports) == 1 and len(ports[0].shape) == 4 and ports[0].shape[-1] == 7:
        return SsdDetector(spec, ports[0], _from_base(names, model.label_base))
    if len(ports) != 2:
        return None
    boxes, scores = ports
    if boxes.shape[-1] == 16 and _size(scores) in _BLAZEFACE_CELLS:
        return BlazeFace(replace(spec, **_MEDIAPIPE, mean=(127.5,) * 3, scale=(127.5,) * 3), boxes, scores)
    by_rank = {len(port.shape): port for port in ports}
    if by_rank.keys() == {1, 2} and by_rank[2].shape[1] == 5:
        return BoxesAndLabels(spec, by_rank[2], by_rank[1], names)
    return None


def _regressor(model: Model, spec: InputSpec, task: Kind | None) -> Task | None:
    ports = sorted(model.outputs, key=_size, reverse=True)
    sizes = [_size(port) for port in ports]
    if task != "pan-tilt" and sizes == [_MESH_POINTS * 3, 1]:
        return LandmarkRegressor(replace(spec, **_MEDIAPIPE, scale=(255.0,) * 3), *ports)
    if task != "pan-tilt" and sizes == [1, 1, 1]:
        names = [[port.name for port in ports if re.search(f"(^|_){axis}(_|$)", port.name)] for axis in "ypr"]
        if all(len(found) == 1 for found in names):
            return AngleRegressor(spec, "angles", [found[0] for found in names])
    # Two numbers may also be two classes; those end in a softmax.
    if sizes == [2] and (task == "pan-tilt" or (task is None and ports[0].made_by not in _PROBABILITIES)):
        return AngleRegressor(spec, "pan-tilt", [ports[0].name])
    return None


def _classifier(model: Model, spec: InputSpec, names: tuple[str, ...], task: Kind | None) -> Task | None:
    ports = sorted(model.outputs, key=_size, reverse=True)
    probable = [port for port in ports if port.made_by in _PROBABILITIES and _size(port) == max(port.shape)]
    if len(probable) == 1:
        ports = probable  # whatever else the graph leaves unused
    classes = _size(ports[0])
    if (len(ports) > 1 and task is None) or classes < 2 or classes != max(ports[0].shape):
        return None
    if classes == len(DIRECTIONS) and (spec.width, spec.height) == (84, 84):
        # The DeepLens head-pose project: its Lambda divides by 255.
        return Classifier(replace(spec, scale=(255.0,) * 3), ports[0], names or DIRECTIONS)
    if model.name.startswith("emotions-recognition") and classes == len(EMOTIONS):
        names = names or EMOTIONS
    return Classifier(spec, ports[0], names)


_MEDIAPIPE: dict[str, Any] = {"swap_rb": True, "letterbox": True}
_PROBABILITIES = ("Softmax", "Sigmoid")


def _size(port: Port) -> int:
    return int(np.prod(port.shape)) if -1 not in port.shape else -1


def _input_spec(model: Model) -> InputSpec:
    """What the input port itself says: size, layout and type; raw BGR pixels, stretched, as most old networks."""
    port = model.inputs[0]
    dtype = port.dtype.name
    if len(port.shape) == 4 and dtype in ("float32", "float16", "uint8"):
        batch, a, b, c = port.shape
        if batch == 1 and a == 3:
            return InputSpec(c, b, "nchw", dtype)  # type: ignore[arg-type]
        if batch == 1 and c == 3:
            return InputSpec(b, a, "nhwc", dtype)  # type: ignore[arg-type]
    raise UnsupportedError(
        f"{model.name}: its first input {port.name} {list(port.shape)} {dtype} is not one picture of three channels"
    )


def _from_base(names: tuple[str, ...], base: int) -> tuple[str, ...]:
    """Names in the network's own numbering: label 0 is the background where it counts from 1."""
    if not names or not base or names[0].strip("_").lower() == "background":
        return names
    return ("background", *names)


def _triple(value: float | Sequence[float]) -> tuple[float, float, float]:
    values = [float(v) for v in value] if isinstance(value, Sequence) else [float(value)]
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise ModelError(f"mean and scale take one number, or one a channel (three); got {len(values)}")
    return values[0], values[1], values[2]


def _detections(
    boxes: Floats, scores: Floats, labels: Floats, spec: InputSpec, to_source: ToSource, names: tuple[str, ...]
) -> Detections:
    """Best first, and in source px, from boxes in [0, 1] of the network input."""
    order = np.argsort(-scores, kind="stable")
    mapped = _to_source(boxes[order], spec, to_source).reshape(-1, 4)
    return Detections(_ordered(mapped, to_source), scores[order], labels[order].astype(np.int32), None, names)


def _to_source(points: Floats, spec: InputSpec, to_source: ToSource) -> Floats:
    """Points in [0, 1] of the network input, float32 (n, 2k) of x, y, ... -> (n, k, 2) in source px."""
    sx, sy, tx, ty = to_source
    mapped = points.reshape(len(points), points.shape[1] // 2, 2) * np.array(
        [sx * spec.width, sy * spec.height], np.float32
    )
    mapped += np.array([tx, ty], np.float32)
    return mapped


def _ordered(boxes: Floats, to_source: ToSource) -> Floats:
    """Boxes with x1 < x2 again after a mirrored mapping, float32 (n, 4)."""
    return boxes[:, [2, 1, 0, 3]] if to_source[0] < 0 else boxes
