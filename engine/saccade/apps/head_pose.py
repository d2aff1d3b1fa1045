"""Head pose in nine directions, from three kinds of network.

- `CentredHeadPose`: a nine-direction classifier or a pan/tilt regressor on a fixed square in the middle of the
  mirrored frame; the contract of the DeepLens head-pose project, with its 640 px of a 1520 px high frame kept as a
  part of the frame's height.
- `FaceHeadPose`: finds a face first, then asks a second network about it: face-mesh landmarks, or angles.

Both mirror: the person sees a mirror image, and "right" is the right of that image.
"""

from __future__ import annotations

from dataclasses import replace
from math import atan2, degrees, hypot
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from saccade.frame import Frame
from saccade.geometry import Region
from saccade.pipeline import App
from saccade.results import Angles, HeadPose, Landmarks, Result

if TYPE_CHECKING:
    from saccade.predict.predictor import Predictor

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

LEAST_PRESENCE = 0.5
"""Probability from which on landmarks are those of a face."""

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


class CentredSquare:
    """Shows a network the centred square of the mirrored frame."""

    mirror = True

    def regions(self, width: int, height: int) -> tuple[Region, ...]:
        """One region."""
        part = min(CROP_HEIGHT, width / height)
        across = part * height / width
        return (((1 - across) / 2, (1 - part) / 2, across, part),)


class CentredHeadPose(App):
    """A network that looks at the middle of the mirrored frame: nine directions, or pan and tilt.

    predictor : of a nine-class classifier or a pan/tilt regressor, with `CentredSquare` as its framing.
    """

    name = "head-pose"

    def interpret(self, frame: Frame, result: Result) -> Result:
        """Direction and, from a regressor, angles."""
        ((x, y, w, h),) = self.predictor.regions(frame.width, frame.height)
        box = _box((1 - x - w, y, w, h), frame)  # regions are those of the mirrored frame
        if result.angles is not None:
            angles = result.angles
            scores = direction_scores(angles.yaw, angles.pitch)
            pose = HeadPose(int(scores.argmax()), scores, box, angles.yaw, angles.pitch, angles.roll)
        else:
            assert result.classes is not None
            scores = np.zeros(9, np.float32)
            scores[result.classes.labels] = result.classes.scores
            pose = HeadPose(int(scores.argmax()), scores, box)
        return replace(result, app=self.name, classes=None, angles=None, pose=pose, mirrored=True)


class FaceHeadPose(App):
    """Finds the largest face, then asks a second network how it is turned.

    The frame is inferred as it comes, and not mirrored; the angles are mirrored afterwards.

    predictor : finds faces. second : gives landmarks or angles of a face that fills its view.
    """

    name = "head-pose"

    def __init__(self, predictor: Predictor, second: Predictor) -> None:
        super().__init__(predictor)
        self.second = second

    @property
    def model_name(self) -> str:
        """Both networks."""
        return f"{self.predictor.name} + {self.second.name}"

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """The detector's input, and enough for the second network's view of a face."""
        least_h, least_w = super().least_size(width, height)
        scale = self.second.spec.height / (LEAST_FACE * FACE_MARGIN * height)
        return min(height, max(least_h, round(height * scale))), min(width, max(least_w, round(width * scale)))

    def interpret(self, frame: Frame, result: Result) -> Result:
        """Detections, and the pose of the largest face if there is one."""
        faces = result.detections
        pose = None
        if faces is not None and len(faces):
            boxes = faces.boxes
            largest = boxes[int(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).argmax())]
            region = _square(largest, frame)
            pose = None if region is None else self._pose(frame, region)
        return replace(result, app=self.name, pose=pose, mirrored=True)

    def _pose(self, frame: Frame, region: Region) -> HeadPose | None:
        found, view = self.second.find(frame, region)
        if isinstance(found, Landmarks):
            if found.score < LEAST_PRESENCE:
                return None
            # The square may have been cut at the frame's edge, which stretches the two axes differently.
            unit = np.array([abs(view.scale_x), view.scale_y, abs(view.scale_x)], np.float32)
            found = Angles(*mesh_angles(found.points * unit))
        assert isinstance(found, Angles)
        scores = direction_scores(found.yaw, found.pitch)
        return HeadPose(int(scores.argmax()), scores, _box(region, frame), found.yaw, found.pitch, found.roll)


def _box(region: Region, frame: Frame) -> NDArray[np.float32]:
    """Corners of a region, source px."""
    x, y, w, h = region
    return np.array([x, y, x + w, y + h], np.float32) * np.array([frame.width, frame.height] * 2, np.float32)


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
