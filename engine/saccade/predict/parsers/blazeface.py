"""BlazeFace, MediaPipe's face detectors: one raw box with six key points an anchor.

Format: mediapipe `tflite_tensors_to_detections_calculator` and the graphs of `face_detection`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saccade.kernels import decode_anchors
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import MEDIAPIPE, size_of
from saccade.results import Detections

CELLS = {896: ((16, 2), (8, 6)), 2304: ((48, 1),)}
"""(cells a side, anchors a cell) of each feature map, by number of anchors: short range, full range."""


def claims(evidence: Evidence) -> Claims:
    """Two outputs, (1, n, 16) and (1, n, 1), of one of the two numbers of anchors."""
    ports = sorted(evidence.outputs, key=size_of, reverse=True)
    if len(ports) != 2:
        return
    boxes, scores = ports
    if boxes.shape[-1:] == (16,) and size_of(scores) in CELLS and size_of(boxes) == 16 * size_of(scores):
        parser = BlazeFace(boxes, scores, evidence.size)
        norm = {"mean": (127.5,) * 3, "scale": (127.5,) * 3}
        yield Claim("blazeface", "detect", 2, f"{size_of(scores)} anchors of 16 numbers", parser, MEDIAPIPE | norm)


class BlazeFace:
    """Key points are the eyes (the person's right one first), nose, mouth and ears (right, left)."""

    family = "blazeface"
    task: Task = "detect"
    names: tuple[str, ...] = ("face",)
    defaults = Settings(score=0.5, iou=0.3)

    def __init__(self, boxes: Port, scores: Port, size: tuple[int, int]) -> None:
        self._anchors = anchors(CELLS[size_of(scores)])
        self._boxes = boxes.name
        self._scores = scores.name
        self._size = size
        height, width = size
        self._unit = np.array([width, height], np.float32)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Faces. Overlapping boxes are averaged by score, as MediaPipe does."""
        rows = decode_anchors(
            outputs[self._boxes].reshape(len(self._anchors), 16),
            outputs[self._scores].reshape(-1),
            self._anchors,
            size=self._size,
            score_threshold=settings.score,
            iou_threshold=settings.iou,
            weighted=True,
            keep_top_k=settings.top,
        )
        rows = rows[np.isfinite(rows).all(1)]
        points = rows[:, 1:].reshape(len(rows), 8, 2) * self._unit
        return Detections(
            boxes=points[:, :2].reshape(-1, 4),
            scores=rows[:, 0].copy(),
            labels=np.zeros(len(rows), np.int32),
            keypoints=points[:, 2:],
            names=self.names,
        )


def anchors(cells: Sequence[tuple[int, int]]) -> Floats:
    """Anchor centres of a BlazeFace network.

    cells : (cells a side, anchors a cell) of each feature map. Returns float32 (n, 2) x, y in [0, 1].
    """
    maps = []
    for side, count in cells:
        y, x = np.mgrid[:side, :side]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / side
        maps.append(np.repeat(centres, count, axis=0))
    return np.concatenate(maps).astype(np.float32)
