"""The corpus of detector heads: opening a folder, running it both ways, and comparing with its expected results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from saccade.frame import Frame
from saccade.predict import Predictor, open_predictor
from saccade.predict.framing import make_plan
from saccade.results import Detections

SUFFIXES = (".xml", ".onnx", ".tflite", ".prototxt")
NEAR_THRESHOLD = 0.011
"""Rows as near as that to the threshold may be there or not."""


@dataclass(frozen=True)
class Head:
    """A folder of the corpus.

    expected : its expected.json. picture : the picture that belongs to it. models : its model files.
    """

    folder: Path
    expected: dict[str, Any]
    picture: NDArray[np.uint8]
    models: tuple[Path, ...]

    @classmethod
    def at(cls, shared: Path, name: str) -> Head:
        """The folder of that name."""
        folder = shared / "corpus" / "heads" / name
        expected = json.loads((folder / "expected.json").read_text())
        own = folder.parent / expected["image"]
        picture = cv2.imread(str(own if own.is_file() else shared / "images" / expected["image"]))
        assert picture is not None
        models = tuple(sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES))
        if name == "aizoo_mask_tflite":
            models = tuple((shared / "corpus" / "tensorflow" / "aizoo_facemask").glob("*.pb"))
        return cls(folder, expected, picture, models)

    def open(self, model: Path | None = None, **options: Any) -> Predictor:
        """The predictor of one of its models, at the expected threshold."""
        threshold = self.expected["score_threshold"]
        return open_predictor(model or self.models[0], precision="f32", threshold=threshold, **options)

    def from_picture(self, predictor: Predictor) -> Detections:
        """The whole path."""
        found = predictor(self.picture).detections
        assert found is not None
        return found

    def decoded(self, predictor: Predictor) -> Detections:
        """The parser alone, on outputs that another runtime computed."""
        frame = Frame.from_bgr(self.picture)
        (region,) = predictor.regions(frame.width, frame.height)
        _, view = make_plan(frame, predictor.spec, region)
        found = predictor.parser.parse(self.raw_outputs(predictor), predictor.settings).placed(view)
        assert isinstance(found, Detections)
        return found

    def raw_outputs(self, predictor: Predictor) -> dict[str, NDArray[np.float32]]:
        """The other runtime's outputs under this network's names: by name where they agree, else by shape or place."""
        ports = {port.name: port for port in predictor.network.outputs}
        with np.load(self.folder / "raw.npz") as arrays:
            raw = {key.split(":", 2)[2]: arrays[key] for key in arrays.files if key.startswith("out:")}
        outputs = {name: value for name, value in raw.items() if name in ports}
        left = [name for name in ports if name not in outputs]
        for name, value in raw.items():
            if name not in outputs:
                fits = [n for n in left if ports[n].shape == value.shape] or left
                outputs[fits[0]] = value
                left.remove(fits[0])
        return {name: value.astype(np.float32) for name, value in outputs.items()}

    def compare(self, found: Detections, *, score: float | None = None, px: float | None = None) -> tuple[float, float]:
        """Largest difference of scores and of places; raises AssertionError where rows are missing, extra or off."""
        tolerance = self.expected["tolerance"]
        score = tolerance["score"] if score is None else score
        px = tolerance["px"] if px is None else px
        reach = 4 * px + 4
        threshold = self.expected["score_threshold"]
        height, width = self.picture.shape[:2]
        wanted = [row for row in self.expected["detections"] if _area(row["xyxy"], width, height) > 0]
        boxes = _clipped(found.boxes, width, height)
        left = set(range(len(found)))
        worst_score = worst_px = 0.0
        for row in wanted:
            box = _clipped(np.array([row["xyxy"]], np.float32), width, height)[0]
            same = [i for i in left if int(found.labels[i]) == row["label_id"]]
            near = [i for i in same if abs(boxes[i] - box).max() <= reach]
            if not near:
                assert row["score"] < threshold + max(NEAR_THRESHOLD, score), f"{row} was not found"
                continue
            best = min(near, key=lambda i: (abs(found.scores[i] - row["score"]) > score, abs(boxes[i] - box).max()))
            left.remove(best)
            worst_score = max(worst_score, abs(float(found.scores[best]) - row["score"]))
            worst_px = max(worst_px, float(abs(boxes[best] - box).max()))
            if "label" in row and found.names:
                assert found.name(best) == row["label"]
            worst_px = max(worst_px, _points_apart(found, best, row, width, height))
        extra = [i for i in left if _area(boxes[i], width, height) > 0]
        allowed = 1 if "OBB" in self.expected.get("family", "") else 0
        sure = [i for i in extra if found.scores[i] > threshold + max(NEAR_THRESHOLD, score)]
        assert len(sure) <= allowed, f"{[(found.boxes[i], found.scores[i], found.labels[i]) for i in sure]} is too much"
        assert worst_score <= score, f"scores are off by {worst_score}"
        assert worst_px <= px, f"places are off by {worst_px} px"
        return worst_score, worst_px


def _points_apart(found: Detections, index: int, row: dict[str, Any], width: int, height: int) -> float:
    """Largest distance of key points, and of corners, of an expected row."""
    apart = 0.0
    if "keypoints" in row:
        assert found.keypoints is not None
        wanted = np.array(row["keypoints"], np.float32)
        limit = np.array([width, height], np.float32)
        apart = float(abs(np.clip(found.keypoints[index], 0, limit) - np.clip(wanted[:, :2], 0, limit)).max())
        if wanted.shape[1] == 3:
            assert found.keypoint_scores is not None
            np.testing.assert_allclose(found.keypoint_scores[index], wanted[:, 2], atol=0.02)
    if "corners" in row:
        assert found.corners is not None
        corners = np.array(row["corners"], np.float32)
        turned = [np.roll(corners[::step], k, axis=0) for step in (1, -1) for k in range(4)]
        apart = max(apart, min(float(abs(found.corners[index] - each).max()) for each in turned))
    return apart


def _clipped(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    limits: NDArray[np.float32] = np.clip(boxes, 0, np.array([width, height] * 2, np.float32))
    return limits


def _area(box: Any, width: int, height: int) -> float:
    x1, y1, x2, y2 = _clipped(np.array([box], np.float32), width, height)[0]
    return float(max(0.0, x2 - x1) * max(0.0, y2 - y1))
