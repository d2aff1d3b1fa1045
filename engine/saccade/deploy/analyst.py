"""What a face says, from saccade's own models: the answers that the local DetectFaces gives.

Boxes come from two BlazeFace networks (one for close faces, one for far ones), landmarks and pose from the face mesh,
brightness and sharpness from the pixels. Emotions come from an emotion network where one is installed. Otherwise they
are a geometric estimate: how the mouth, the brows and the eyes of the mesh stand to each other, weighed by hand. That
is enough to see the pipeline move and no measure of anybody's feelings; it is called an estimate wherever it shows.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from math import atan2, degrees, exp
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from saccade.apps.head_pose import FACE_MARGIN, mesh_angles
from saccade.capture import still
from saccade.deploy.detect import MIN_SIDE, InvalidImageError
from saccade.errors import JpegError, SaccadeError
from saccade.frame import Frame, Image
from saccade.geometry import WHOLE_FRAME
from saccade.networks import catalogue
from saccade.predict import open_predictor
from saccade.results import Landmarks

if TYPE_CHECKING:
    from saccade.predict.predictor import Predictor

log = logging.getLogger(__name__)

EMOTION_NETWORK = "emotions-recognition-retail-0003"
EMOTION_OF_CLASS = {"neutral": "CALM", "happy": "HAPPY", "sad": "SAD", "surprise": "SURPRISED", "anger": "ANGRY"}

MAX_FACES = 100  # Rekognition's limit
LEAST_SCORE = 0.5
SAME_FACE = 0.3  # intersection over union

Floats = NDArray[np.float32]

# Points of the MediaPipe face mesh; "left" and "right" are the person's own.
_RIGHT_EYE, _LEFT_EYE = (33, 133), (362, 263)
_RIGHT_LIDS, _LEFT_LIDS = (159, 145), (386, 374)
_RIGHT_BROW, _LEFT_BROW = (105, 55), (334, 285)
_MOUTH_RIGHT, _MOUTH_LEFT, _UPPER_LIP, _LOWER_LIP, _NOSE = 61, 291, 13, 14, 1


@dataclass(frozen=True, slots=True)
class _Found:
    """A detector's face, px. box : x1, y1, x2, y2. points : (6, 2), the person's right eye first, then the left."""

    box: Floats
    points: Floats
    score: float


class FaceAnalyst:
    """A picture in, Rekognition's FaceDetails out; may be called from several threads.

    emotions : emotion network, a path or catalogue name; None: the catalogue's where it is installed already; empty:
    the geometric estimate.
    """

    def __init__(self, emotions: str | None = None, *, device: str = "CPU", threads: int = 1) -> None:
        options: dict[str, Any] = {"device": device, "threads": threads}
        self._detectors = [
            open_predictor(name, threshold=LEAST_SCORE, **options) for name in ("blazeface-short", "blazeface-full")
        ]
        self._mesh = open_predictor("face-mesh", **options)
        self._emotions: Predictor | None = None
        if emotions is None and any(entry.is_pulled() for entry in catalogue.find(EMOTION_NETWORK)):
            emotions = EMOTION_NETWORK
        if emotions:
            predictor = open_predictor(emotions, labels=tuple(EMOTION_OF_CLASS), **options)
            if predictor.task != "classify":
                raise SaccadeError(f"{emotions} names no classes; give an emotion classifier")
            self._emotions = predictor
        self._lock = threading.Lock()

    @property
    def emotion_source(self) -> str:
        """Where emotions come from, in words for a person."""
        if self._emotions is None:
            return "geometric estimate from face landmarks; no emotion network is installed"
        return f"emotion network {self._emotions.name}"

    def __call__(self, data: bytes) -> list[dict[str, Any]]:
        """FaceDetails of a JPEG or PNG, largest face first, as Rekognition orders them."""
        # EXIF rotation is applied, as the service does.
        try:
            picture = still.decode(data)
        except JpegError:
            raise InvalidImageError("InvalidImageFormatException", "Request has invalid image format") from None
        height, width = picture.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise InvalidImageError("InvalidParameterException", f"Image of {width}x{height}; sides need {MIN_SIDE} px")
        # A crop's face touches its edges; with a border round it the detectors see it as they were trained to.
        # A strip gets less: bordered, a picture has four times its pixels at most.
        border = min(max(height, width) // 4, min(height, width) // 2)
        bordered: Any = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_CONSTANT)
        with self._lock:  # the machine has better use for its cores than several runs at once
            faces = self._find(Frame.from_bgr(bordered))
            details = [
                detail for face in faces if (detail := self._detail(bordered, face, border, width, height)) is not None
            ]
        details.sort(key=lambda face: -face["BoundingBox"]["Width"] * face["BoundingBox"]["Height"])
        return details[:MAX_FACES]

    def _find(self, frame: Frame) -> list[_Found]:
        found: list[_Found] = []
        for detector in self._detectors:
            faces = detector(frame).detections
            assert faces is not None
            assert faces.keypoints is not None
            found += map(_Found, faces.boxes, faces.keypoints, faces.scores.tolist())
        found.sort(key=lambda face: -face.score)
        kept: list[_Found] = []
        for face in found:
            if all(_overlap(face.box, other.box) < SAME_FACE for other in kept):
                kept.append(face)
        return kept

    def _mesh_points(self, picture: Image, face: _Found) -> tuple[Floats, float]:
        """Mesh in px of the picture, and its probability. The network sees the face upright, as with MediaPipe."""
        spec = self._mesh.spec
        x1, y1, x2, y2 = face.box.tolist()
        side = FACE_MARGIN * max(x2 - x1, y2 - y1)
        across = face.points[1] - face.points[0]
        angle = degrees(atan2(across[1], across[0]))
        centre = (x1 + x2) / 2, (y1 + y2) / 2
        to_patch = cv2.getRotationMatrix2D(centre, angle, spec.width / side)
        to_patch[:, 2] += spec.width / 2 - centre[0], spec.height / 2 - centre[1]
        patch = cv2.warpAffine(picture, to_patch, (spec.width, spec.height))
        found, _ = self._mesh.find(Frame.from_bgr(cast(Image, patch)), WHOLE_FRAME)
        assert isinstance(found, Landmarks)
        points, present = found.points, found.score
        back = cv2.invertAffineTransform(to_patch)
        points[:, :2] = points[:, :2] @ back[:, :2].T + back[:, 2]
        points[:, 2] *= side / spec.width
        return points, present

    def _detail(self, picture: Image, found: _Found, border: int, width: int, height: int) -> dict[str, Any] | None:
        points, present = self._mesh_points(picture, found)
        if present < LEAST_SCORE:
            return None
        yaw, pitch, roll = mesh_angles(points)
        points[:, :2] -= border
        x1, y1, x2, y2 = (value - border for value in found.box.tolist())
        face = picture[max(0, int(y1) + border) : int(y2) + border + 1, max(0, int(x1) + border) : int(x2) + border + 1]
        emotions = self._network(face) if self._emotions is not None else estimate(points)
        return {
            "BoundingBox": {
                "Left": x1 / width, "Top": y1 / height, "Width": (x2 - x1) / width, "Height": (y2 - y1) / height
            },
            # Two networks that agree are surer than either.
            "Confidence": round(100 * (1 - (1 - found.score) * (1 - present)), 4),
            "Landmarks": [
                {"Type": name, "X": float(x) / width, "Y": float(y) / height} for name, (x, y) in _landmarks(points)
            ],
            # The mesh's angles are those of the mirrored view.
            "Pose": {"Roll": round(-roll, 3), "Yaw": round(-yaw, 3), "Pitch": round(pitch, 3)},
            "Quality": _quality(face),
            "Emotions": [
                {"Type": name, "Confidence": round(100 * value, 4)}
                for name, value in sorted(emotions.items(), key=lambda item: -item[1])
            ],
        }  # fmt: skip

    def _network(self, face: Image) -> dict[str, float]:
        assert self._emotions is not None
        classes = self._emotions(np.ascontiguousarray(face)).classes
        assert classes is not None
        names = list(EMOTION_OF_CLASS.values())
        found = {names[label]: float(p) for label, p in zip(classes.labels, classes.scores, strict=True)}
        return {name: found.get(name, 0.0) for name in _WEIGHTS}


def estimate(points: Floats) -> dict[str, float]:
    """A probability for each emotion from the mesh's geometry; a hand-weighed estimate, see the module's text.

    points : float32 (468, 3) x right, y down, z; any unit.
    """
    signs = features(points)
    scores = {
        name: exp(bias + sum(weight * signs[sign] for sign, weight in weights.items()))
        for name, (bias, weights) in _WEIGHTS.items()
    }
    total = sum(scores.values())
    return {name: score / total for name, score in scores.items()}


def features(points: Floats) -> dict[str, float]:
    """How a mesh differs from a face at rest, about -1 to 1 each: smile, gape, brows, frown, lids, skew."""
    right, left = points[list(_RIGHT_EYE)].mean(axis=0), points[list(_LEFT_EYE)].mean(axis=0)
    across = left - right
    unit = float(np.linalg.norm(across))
    across = across / unit
    down = points[152] - points[10]
    down = down - across * float(down @ across)
    down = down / float(np.linalg.norm(down))

    def height(*indices: int) -> float:
        return float(points[list(indices)].mean(axis=0) @ down) / unit

    def distance(a: int, b: int) -> float:
        return float(np.linalg.norm(points[a] - points[b])) / unit

    lids = (distance(*_RIGHT_LIDS) + distance(*_LEFT_LIDS)) / 2
    brow_right = height(*_RIGHT_LIDS) - height(_RIGHT_BROW[0])
    brow_left = height(*_LEFT_LIDS) - height(_LEFT_BROW[0])
    return {
        "smile": 6 * (height(_UPPER_LIP, _LOWER_LIP) - height(_MOUTH_RIGHT, _MOUTH_LEFT))
        + 2.5 * (distance(_MOUTH_RIGHT, _MOUTH_LEFT) - 0.85),
        "gape": 3 * distance(_UPPER_LIP, _LOWER_LIP),
        "brows": 4 * ((brow_right + brow_left) / 2 - 0.42),
        "frown": 5 * (0.42 - distance(_RIGHT_BROW[1], _LEFT_BROW[1])),
        "lids": 8 * (lids - 0.17),
        "skew": 5 * abs(brow_right - brow_left),
    }


_WEIGHTS: dict[str, tuple[float, dict[str, float]]] = {
    "HAPPY": (0.0, {"smile": 3.0}),
    "SAD": (-1.5, {"smile": -3.0, "frown": 1.0, "lids": -1.0}),
    "ANGRY": (-1.8, {"frown": 2.5, "brows": -2.0, "smile": -1.0}),
    "CONFUSED": (-1.8, {"skew": 3.0, "frown": 0.5}),
    "DISGUSTED": (-2.5, {"frown": 1.0, "lids": -2.0, "gape": 1.0}),
    "SURPRISED": (-2.5, {"gape": 2.5, "brows": 2.5, "lids": 1.5}),
    "CALM": (1.2, {"gape": -2.0}),
    "FEAR": (-2.5, {"brows": 1.5, "lids": 2.0, "smile": -1.0}),
}


def _landmarks(points: Floats) -> list[tuple[str, Floats]]:
    """Rekognition's five first; its left is the picture's, and so the person's right."""
    flat = points[:, :2]
    return [
        ("eyeLeft", flat[list(_RIGHT_EYE)].mean(axis=0)),
        ("eyeRight", flat[list(_LEFT_EYE)].mean(axis=0)),
        ("mouthLeft", flat[_MOUTH_RIGHT]),
        ("mouthRight", flat[_MOUTH_LEFT]),
        ("nose", flat[_NOSE]),
    ]


def _quality(face: Image) -> dict[str, float]:
    """Brightness and sharpness, 0 to 100."""
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    edges = cv2.Laplacian(cv2.resize(grey, (96, 96), interpolation=cv2.INTER_AREA), cv2.CV_32F)
    return {
        "Brightness": round(float(grey.mean()) / 2.55, 3),
        "Sharpness": round(100 * (1 - exp(-float(edges.var()) / 500)), 3),
    }


def _overlap(a: Floats, b: Floats) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
    return float(w * h / union)
