"""Head pose in nine directions, from three kinds of network.

- `CentredHeadPose`: a nine-direction classifier or a pan/tilt regressor on a fixed square in the middle of the
  mirrored frame; the contract of the DeepLens head-pose project, with its 640 px of a 1520 px high frame kept as a
  part of the frame's height.
- `FaceHeadPose`: finds a face first, then asks a second network about it: face-mesh landmarks, or angles.

Both mirror: the person sees a mirror image, and "right" is the right of that image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import atan2, degrees, hypot
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from saccade.apps.whole_frame import WholeFrame
from saccade.frame import Frame
from saccade.pipeline import Region, View, least_size_for, make_plan
from saccade.results import Detections, HeadPose, Result

if TYPE_CHECKING:
    from saccade.models import Model
    from saccade.models.tasks import AngleRegressor, Classifier, Detector, LandmarkRegressor

DEFAULT_MODEL = "face-mesh"
DEFAULT_DETECTOR = "blazeface-full"

CROP_HEIGHT = 640 / 1520
"""Side of the centred square as a part of the frame's height (640 px of the DeepLens camera's 1520)."""

YAW_LIMIT, PITCH_LIMIT = 15.0, 10.0
"""Beyond these angles a head points to the side, up or down, degrees."""

SOFTNESS = 4.0
"""Width of the change from one direction to the next, degrees."""

FACE_MARGIN = 1.5
"""Side of the square that the second network sees, as a multiple of the face box's longer side (MediaPipe's value)."""

LEAST_FACE = 0.25
"""The smallest face that is shown to the second network at its full input size, as a part of the frame's height."""

# Points of the MediaPipe face mesh: outer corners of the two eyes (the person's right one first), forehead, chin.
_RIGHT_EYE, _LEFT_EYE, _FOREHEAD, _CHIN = 33, 263, 10, 152

_MESH_PITCH = 6.0
"""The line from forehead to chin leans back by this much in a face that looks straight ahead, degrees."""


def direction_scores(yaw: float, pitch: float) -> NDArray[np.float32]:
    """Probability of each of the nine directions, float32 (9,), from angles in the mirrored view, degrees.

    Two logistic steps per axis at the limits; the nine are the products of three columns and three rows.
    """
    right, left = _step(yaw - YAW_LIMIT), _step(-yaw - YAW_LIMIT)
    up, down = _step(pitch - PITCH_LIMIT), _step(-pitch - PITCH_LIMIT)
    columns = np.array([right, max(0.0, 1.0 - right - left), left])
    rows = np.array([down, max(0.0, 1.0 - up - down), up])
    scores: NDArray[np.float32] = np.outer(columns, rows).ravel().astype(np.float32)
    scores /= scores.sum()
    return scores


def _step(degrees_over: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(degrees_over / SOFTNESS, -30.0, 30.0))))


def mesh_angles(points: NDArray[np.float32]) -> tuple[float, float, float]:
    """Yaw, pitch and roll of a face mesh in the mirrored view, degrees.

    points : float32 (n, 3) x right, y down, z away from the camera, one unit for all three. The face's plane is
    spanned by the eyes' outer corners and the line from forehead to chin; its normal points where the head does.
    """
    across = points[_LEFT_EYE] - points[_RIGHT_EYE]
    down = points[_CHIN] - points[_FOREHEAD]
    forward = -np.cross(across, down)
    yaw = degrees(atan2(forward[0], -forward[2]))
    pitch = degrees(atan2(-forward[1], hypot(forward[0], forward[2]))) + _MESH_PITCH
    roll = degrees(atan2(across[1], across[0]))
    return -yaw, pitch, -roll


class CentredHeadPose:
    """A network that looks at the middle of the mirrored frame: nine directions, or pan and tilt."""

    name = "head-pose"
    mirror = True

    def __init__(self, model: Model, task: Classifier | AngleRegressor) -> None:
        self.model = model
        self.model_name = model.name
        self.task = task
        self.input = replace(task.spec, letterbox=False)

    def region(self, frame: Frame) -> Region:
        """The centred square."""
        height = min(CROP_HEIGHT, frame.width / frame.height)
        width = height * frame.height / frame.width
        return (1 - width) / 2, (1 - height) / 2, width, height

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """The network's input within the square."""
        part = min(CROP_HEIGHT, width / height)
        return least_size_for(self.input, (0, 0, part * height / width, part), width, height)

    def interpret(self, frame: Frame, outputs: Mapping[str, NDArray[np.float32]], view: View) -> Result:
        """Direction and, from a regressor, angles."""
        yaw: float | None = None
        pitch: float | None = None
        roll: float | None = None
        x, y, w, h = self.region(frame)
        # The square is centred, so that it is the same one in the mirrored frame.
        box = np.array([x, y, x + w, y + h], np.float32) * np.array([frame.width, frame.height] * 2, np.float32)
        if self.task.kind == "classification":
            classes = self.task.decode(outputs)
            scores = np.zeros(9, np.float32)
            known = (classes.labels >= 0) & (classes.labels < 9)
            scores[classes.labels[known]] = classes.scores[known]
        else:
            angles = self.task.decode(outputs)
            yaw, pitch, roll = angles
            scores = direction_scores(angles[0], angles[1])
        pose = HeadPose(int(scores.argmax()), scores, box, yaw, pitch, roll)
        return _result(frame, pose, None)

    def close(self) -> None:
        """Nothing to let go of."""


class FaceHeadPose(WholeFrame):
    """Finds the largest face, then asks a second network how it is turned."""

    name = "head-pose"
    # The frame is inferred as it comes, and not mirrored; the angles are mirrored afterwards.

    def __init__(
        self,
        model: Model,
        detector: Detector,
        second: Model,
        regressor: LandmarkRegressor | AngleRegressor,
        *,
        threshold: float = 0.5,
    ) -> None:
        super().__init__(model, detector.spec)
        self.model_name = f"{model.name} + {second.name}"
        self.threshold = threshold
        self.detector = detector
        self.regressor = regressor
        self._request = second.request()
        self._port = second.inputs[0].name
        self._second_input = replace(regressor.spec, letterbox=False)

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """The detector's input, and enough for the second network's view of a face."""
        least_h, least_w = super().least_size(width, height)
        scale = self._second_input.height / (LEAST_FACE * FACE_MARGIN * height)
        return min(height, max(least_h, round(height * scale))), min(width, max(least_w, round(width * scale)))

    def interpret(self, frame: Frame, outputs: Mapping[str, NDArray[np.float32]], view: View) -> Result:
        """Detections, and the pose of the largest face if there is one."""
        faces = self.detector.decode(outputs, view.as_tuple(), score_threshold=self.threshold)
        if not len(faces):
            return _result(frame, None, faces)
        boxes = faces.boxes
        largest = boxes[int(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).argmax())]
        region = _square(largest, frame)
        if region is None:
            return _result(frame, None, faces)
        plan, inner = make_plan(frame, self._second_input, region)
        plan(frame.planes[0] if frame.pixels == "bgr" else frame.planes, out=self._request.inputs[self._port])
        self._request.infer()
        roll: float | None
        if self.regressor.kind == "landmarks":
            points, present = self.regressor.decode(self._request.outputs)
            if present < 0.5:
                return _result(frame, None, faces)
            # The square may have been cut at the frame's edge, which stretches the two axes differently.
            points = points * np.array([abs(inner.scale_x), inner.scale_y, abs(inner.scale_x)], np.float32)
            yaw, pitch, roll = mesh_angles(points)
        else:
            yaw, pitch, roll = self.regressor.decode(self._request.outputs)
        scores = direction_scores(yaw, pitch)
        x, y, w, h = region
        box = np.array([x, y, x + w, y + h], np.float32) * np.array([frame.width, frame.height] * 2, np.float32)
        return _result(frame, HeadPose(int(scores.argmax()), scores, box, yaw, pitch, roll), faces)


def _square(box: NDArray[np.float32], frame: Frame) -> Region | None:
    """The square round a face, cut at the frame's edges, in parts of the frame; None if nothing is left of it."""
    x1, y1, x2, y2 = (float(v) for v in box)
    half = FACE_MARGIN * max(x2 - x1, y2 - y1) / 2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    left, right = max(0.0, cx - half), min(float(frame.width), cx + half)
    top, bottom = max(0.0, cy - half), min(float(frame.height), cy + half)
    if right - left < 2 or bottom - top < 2:
        return None
    return left / frame.width, top / frame.height, (right - left) / frame.width, (bottom - top) / frame.height


def _result(frame: Frame, pose: HeadPose | None, faces: Detections | None) -> Result:
    return Result(
        frame=frame.sequence,
        time=frame.time,
        app="head-pose",
        width=frame.width,
        height=frame.height,
        detections=faces,
        pose=pose,
        mirrored=True,
    )
