"""YOLOs whose converters added a post-processing of their own.

yolov7-rows : (n, 7) of picture, x1, y1, x2, y2, class, score, suppressed.
yolov7-lists : `num_dets`, `det_boxes`, `det_scores`, `det_classes`, suppressed.
yolov3-zoo : boxes, scores and the numbers of those that count; the picture's size is a second input.
yolov4-lists : boxes in parts of the input, and scores, of all anchors.

Formats: YOLOv7 `models/experimental.py`; ONNX model zoo `yolov3`, `tiny-yolov3`; Tianxiaomo/pytorch-YOLOv4
`tool/yolo_layer.py`, `demo_pytorch2onnx.py`.
"""

from __future__ import annotations

import numpy as np

from saccade.kernels import decode_yolo
from saccade.networks.network import Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, bare
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import PX, corners_unit, from_rows, own_names
from saccade.predict.parsers.darknet import INPUT
from saccade.predict.parsers.yolo_parts import (
    GRIDS,
    ULTRALYTICS,
    are_scores,
    end_to_end,
)
from saccade.results import Detections

LISTS = ("num_dets", "det_boxes", "det_scores", "det_classes")


def claims(evidence: Evidence) -> Claims:
    """Outputs in one of the forms."""
    if {port.name for port in evidence.outputs} == set(LISTS):
        parser = FourLists(own_names(evidence, first=0))
        yield Claim(parser.family, "detect", 2, "lists of boxes, scores and classes", parser, ULTRALYTICS)
    elif len(evidence.outputs) == 1:
        (port,) = evidence.outputs
        if len(port.shape) == 2 and port.shape[1] == 7 and _are_seven_numbers(evidence, port):
            rows = SevenNumbers(port, own_names(evidence, first=0))
            yield Claim(rows.family, "detect", 1, "rows of picture, box, class and score", rows, ULTRALYTICS)
    yield from _zoo(evidence)
    yield from _boxes_and_scores(evidence)


def _are_seven_numbers(evidence: Evidence, port: Port) -> bool:
    """Whether nothing in a run shows that rows are not those of picture, box, class and score."""
    if port.layer_type == "DetectionOutput":
        return False
    rows = np.nan_to_num(evidence.values[port.name].reshape(-1, 7))
    whole = (rows[:, 0] == 0).all() and (rows[:, 5] == np.rint(rows[:, 5])).all()
    return bool(whole) and (not len(rows) or are_scores(rows[:, 6]))


class SevenNumbers:
    """Rows of picture, x1, y1, x2, y2, class, score."""

    family = "yolov7-rows"
    task: Task = "detect"
    defaults = Settings(score=0.25)

    def __init__(self, port: Port, names: tuple[str, ...]) -> None:
        self.names = names
        self._output = port.name

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        table = outputs[self._output].reshape(-1, 7)
        rows = end_to_end(table[:, [1, 2, 3, 4, 6, 5]], settings)
        return from_rows(rows, PX, self.names)


class FourLists:
    """Boxes, scores and classes apart, and how many of them count."""

    family = "yolov7-lists"
    task: Task = "detect"
    defaults = Settings(score=0.25)

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        number, boxes, scores, classes = (outputs[name] for name in LISTS)
        scores = scores.reshape(-1)
        count = int(np.clip(np.nan_to_num(number.reshape(-1)[:1]), 0, len(scores)).sum())
        table = np.column_stack([boxes.reshape(-1, 4), scores, classes.reshape(-1)])[:count]
        return from_rows(end_to_end(table, settings), PX, self.names)


def _zoo(evidence: Evidence) -> Claims:
    """Boxes, scores and the numbers of those that count; a second input has the picture's size."""
    extra = [port for port in evidence.network.inputs if port is not evidence.picture]
    ports = {port.shape[-1]: port for port in evidence.outputs if port.shape}
    if len(extra) != 1 or extra[0].shape != (1, 2) or len(evidence.outputs) != 3 or not {3, 4} <= set(ports):
        return
    boxes, indices = ports[4], ports[3]
    (scores,) = (port for port in evidence.outputs if port is not boxes and port is not indices)
    if len(boxes.shape) == len(scores.shape) == 3 and scores.shape[2] == boxes.shape[1]:
        parser = Zoo(boxes, scores, indices, evidence.names)
        size = np.array([evidence.size], extra[0].dtype)
        why = "boxes, scores and which of them count, of a picture whose size is an input"
        yield Claim(parser.family, "detect", 2, why, parser, INPUT | {"resize": "letterbox", "pad": 128},
                    {extra[0].name: size})  # fmt: skip


class Zoo:
    """YOLOv3 and its tiny one of the ONNX model zoo: told that the picture is as large as the input, the network gives
    boxes in px of the input. It has suppressed boxes itself.
    """

    family = "yolov3-zoo"
    task: Task = "detect"
    defaults = Settings(score=0.25)

    def __init__(self, boxes: Port, scores: Port, indices: Port, names: tuple[str, ...]) -> None:
        self.names = names
        self._boxes, self._scores, self._indices = boxes.name, scores.name, indices.name
        self.classes = scores.shape[1]

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        boxes = outputs[self._boxes].reshape(-1, 4)
        scores = outputs[self._scores].reshape(self.classes, -1)
        chosen = np.nan_to_num(outputs[self._indices].reshape(-1, 3)[:, 1:], nan=-1.0)
        chosen = chosen[((chosen >= 0) & (chosen < [self.classes, len(boxes)])).all(1)].astype(np.intp)
        label, box = chosen.T
        table = np.column_stack([boxes[box][:, [1, 0, 3, 2]], scores[label, box], label])
        return from_rows(end_to_end(table, settings), PX, self.names)


def _boxes_and_scores(evidence: Evidence) -> Claims:
    """A box and its scores for each of three anchors of each cell, in two outputs."""
    rows = [3 * evidence.cells(*strides) for strides in GRIDS]
    ports = {len(bare(port.shape)): port for port in evidence.outputs}
    if len(evidence.outputs) != 2 or not {2, 3} <= ports.keys():
        return
    boxes, scores = bare(ports[3].shape), bare(ports[2].shape)
    if boxes[0] in rows and boxes[1:] == (1, 4) and scores[0] == boxes[0]:
        parser = BoxesAndScores(evidence, ports[3], ports[2])
        why = "a box and its scores for each of three anchors a cell"
        yield Claim(parser.family, "detect", 2, why, parser, INPUT)


class BoxesAndScores:
    """Tianxiaomo/pytorch-YOLOv4's exports: boxes (1, n, 1, 4) x1, y1, x2, y2 in parts of the input, and scores
    (1, n, classes) that objectness is part of.
    """

    family = "yolov4-lists"
    task: Task = "detect"
    defaults = Settings(score=0.4, iou=0.6)

    def __init__(self, evidence: Evidence, boxes: Port, scores: Port) -> None:
        self.names = evidence.names
        self.classes = scores.shape[-1]
        self._boxes, self._scores = boxes.name, scores.name
        self._unit = corners_unit(evidence.size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        rows = decode_yolo(
            outputs[self._boxes].reshape(-1, 4),
            layout="xyxy",
            scores=outputs[self._scores].reshape(-1, self.classes),
            **settings.limits(),
        )
        return from_rows(rows, self._unit, self.names)
