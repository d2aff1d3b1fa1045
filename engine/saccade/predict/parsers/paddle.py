"""Detectors of PaddleDetection whose post-processing is in the graph: PicoDet, PP-YOLO, PP-YOLOE, RT-DETR.

They want to know how the picture was resized (`scale_factor`, height and width, and for some `im_shape`) and give boxes
in px of the picture. Told of a picture that is as large as the network's input, they give px of the input.
Format: PaddlePaddle/PaddleDetection, `deploy/third_engine/demo_onnxruntime/infer_demo.py`, `ppdet/modeling/
post_process.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from saccade.kernels import decode_yolo
from saccade.networks.network import Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Parser, Settings, Task
from saccade.predict.parsers import picodet
from saccade.predict.parsers.common import own_names, size_of, sound
from saccade.predict.parsers.dense import as_detections, table
from saccade.results import Detections

FACTOR, SHAPE = "scale_factor", "im_shape"
ROW = 6
"""Columns of a row: class, score, x1, y1, x2, y2."""


def claims(evidence: Evidence) -> Claims:
    """An input for the scale factor, and rows of six numbers (with their count), or boxes and scores apart."""
    others = {port.name: port for port in evidence.network.inputs if port.name != evidence.picture.name}
    if FACTOR not in others or not set(others) <= {FACTOR, SHAPE}:
        return
    fixed = {FACTOR: np.ones((1, 2), np.float32)}
    if SHAPE in others:
        fixed[SHAPE] = np.array([evidence.size], np.float32)
    parser = _rows(evidence) or _apart(evidence)
    if parser is not None:
        yield Claim("paddle", "detect", 2, "it wants Paddle's scale_factor", parser, _input(evidence), fixed)


def _input(evidence: Evidence) -> Mapping[str, Any]:
    """Pixels as PicoDet and PP-YOLO want them; RT-DETR, which suppresses nothing, has them from 0 to 1."""
    suppresses = any(
        "NonMaxSuppression" in kind for port in evidence.outputs for kind in (port.layer_type, *port.after)
    )
    plain = any(port.name == SHAPE for port in evidence.network.inputs) and not suppresses
    norm = {"scale": (255.0,) * 3} if plain else {"mean": picodet.MEAN, "scale": picodet.SCALE}
    return {"swap_rb": True, "resize": "stretch", **norm}


def _rows(evidence: Evidence) -> Parser | None:
    rows = [port for port in evidence.outputs if port.shape[-1:] == (ROW,) and size_of(port) != ROW]
    counts = [port for port in evidence.outputs if port not in rows and len(port.shape) <= 1]
    if len(rows) != 1 or len(rows) + len(counts) != len(evidence.outputs):
        return None
    return PaddleRows(rows[0], own_names(evidence, first=0))


def _apart(evidence: Evidence) -> Parser | None:
    if len(evidence.outputs) != 2:
        return None
    for boxes, scores in (evidence.outputs, evidence.outputs[::-1]):
        box, score = table(boxes), table(scores)
        if box is not None and score is not None and box[1] == 4 and box[0] == score[1] != 4:
            return PaddleBoxes(boxes, scores, score[0], evidence.names)
    return None


class PaddleRows:
    """Rows of class, score and corners; the network itself has removed overlapping boxes. Class -1: no object."""

    family = "paddle"
    task: Task = "detect"
    defaults = Settings(score=0.5)

    def __init__(self, output: Port, names: tuple[str, ...]) -> None:
        self.names = names
        self._output = output.name

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        rows = outputs[self._output].reshape(-1, ROW)
        with np.errstate(invalid="ignore"):
            rows = rows[(rows[:, 0] >= 0) & (rows[:, 0] < 2**24) & (rows[:, 1] >= np.float32(settings.score))]
        return sound(rows[:, 2:], rows[:, 1], rows[:, 0], self.names, settings.top)


class PaddleBoxes:
    """Boxes (n, 4) and scores (classes, n) of a network that was exported without suppression."""

    family = "paddle"
    task: Task = "detect"
    defaults = Settings(score=0.5, iou=0.6)

    def __init__(self, boxes: Port, scores: Port, classes: int, names: tuple[str, ...]) -> None:
        self.names = names
        self.classes = classes
        self._boxes = boxes.name
        self._scores = scores.name
        self._count = boxes.shape[-2]

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        found = decode_yolo(
            outputs[self._boxes].reshape(self._count, 4),
            layout="xyxy",
            scores=outputs[self._scores].reshape(-1, self._count).T,
            **settings.limits(),
        )
        return as_detections(found, self.names)
