"""YOLOs without anchors: a row a cell of box and class scores, and maybe of a mask, key points or an angle.

yolov8, yolov8-seg, yolov8-pose, yolov8-obb : Ultralytics' v8, v9, v11, v12, v5u and v26 as they are exported without
    suppression: (1, 4 + classes + more, cells), or the same transposed. There is no objectness.
yolov6 : (1, cells, 5 + classes), whose fifth column is 1.

Formats: ultralytics 8.4 `nn/modules/head.py` and `engine/exporter.py`; YOLOv6 `effidehead.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, Refusal
from saccade.predict.parser import Settings
from saccade.predict.parsers import oriented, yolox
from saccade.predict.parsers.yolo_parts import (
    ULTRALYTICS,
    Dense,
    Extra,
    KeyPoints,
    Nothing,
    Table,
    are_scores,
    box_unit,
    find_prototypes,
    find_table,
    probe,
)
from saccade.results import Detections

COCO_POINTS = KeyPoints(17, 3)
DEFAULTS = Settings(score=0.25, iou=0.7, top=300)
MOST_TURNED = 2000
"""Turned boxes, best first, that are compared with each other."""


class Reading(NamedTuple):
    """What a table may mean. certainty : as in `Claim`."""

    family: str
    classes: int
    extra: Extra
    certainty: int
    why: str


def claims(evidence: Evidence) -> Claims:
    """A table with a row a cell; where it may mean several things, what the file says, its graph, and a run decide."""
    found = find_table(evidence)
    metadata = evidence.metadata
    if found is None or metadata.head == "RTDETRDecoder" or metadata.end2end or metadata.nms:
        return
    table, others = found
    if not table.channels_first and not _says_ultralytics(evidence):
        form = yolox.form_of(evidence, table)
        if form == "yolov6":
            yield _yolov6(evidence, table)
        if form not in ("yolov8", "either", "more"):
            return
    for reading in _readings(evidence, table, others):
        if reading.classes >= 1 and evidence.head in ("", reading.family) and _has_scores(evidence, table, reading):
            if not reading.certainty:
                yield Refusal(reading.family, "detect", 0, reading.why)
                continue
            parser = _parser(evidence, table, reading)
            yield Claim(reading.family, "detect", reading.certainty, reading.why, parser, ULTRALYTICS)


def _has_scores(evidence: Evidence, table: Table, reading: Reading) -> bool:
    """Whether the numbers behind the box may be scores, as the file says if it does not name another number of classes,
    or as all of them lie in [0, 1]. Boxes that it calls turned are then made with the sine and cosine of an angle.
    """
    names = len(evidence.metadata.names)
    if reading.certainty == 0 or (reading.certainty == 3 and names in (0, reading.classes)):
        return True
    after = table.port.after
    if reading.certainty == 3 and reading.family == "yolov8-obb" and after and not {"Sin", "Cos"} <= after:
        return False
    return are_scores(probe(evidence, table)[:, 4 : 4 + reading.classes])


def _parser(evidence: Evidence, table: Table, reading: Reading) -> Dense:
    names, unit = evidence.names, box_unit(evidence, table)
    kind = Turned if reading.family == "yolov8-obb" else Dense
    return kind(reading.family, table, names, DEFAULTS, unit=unit, extra=reading.extra)


def _says_ultralytics(evidence: Evidence) -> bool:
    return evidence.metadata.producer == "ultralytics" or evidence.metadata.task in ("segment", "pose", "obb")


def _readings(evidence: Evidence, table: Table, others: tuple[Port, ...]) -> Iterator[Reading]:
    """What the table may mean; more than one only where nothing decides."""
    numbers = table.channels - 4
    prototypes = find_prototypes(evidence, others)
    points = _points(evidence, numbers)
    turned = Reading("yolov8-obb", numbers - 1, Nothing(1), 2, "a row a cell, and its boxes are turned")
    posed = Reading("yolov8-pose", numbers - points.channels, points, 1, f"a row a cell with {points.count} key points")
    plain = Reading("yolov8", numbers, Nothing(), 1, f"a row a cell with {numbers} class scores")
    task = evidence.metadata.task
    if task == "segment" or (task in ("", "detect") and prototypes is not None):
        if prototypes is not None:
            why = f"a row a cell with {prototypes.channels} coefficients of masks"
            certainty = 3 if task == "segment" else 2
            yield Reading("yolov8-seg", numbers - prototypes.channels, prototypes, certainty, why)
    elif task == "obb":
        yield turned._replace(certainty=3)
    elif task == "pose":
        yield posed._replace(certainty=3)
    elif task == "detect":
        yield plain._replace(certainty=3)
    elif not task:
        yield from _without_metadata(evidence, table, turned, posed, plain)


def _points(evidence: Evidence, numbers: int) -> KeyPoints:
    """Key points as the file gives them; else as many as are left where the user says that there are some."""
    if evidence.metadata.keypoints is not None:
        return KeyPoints(*evidence.metadata.keypoints)
    if evidence.head == "yolov8-pose":
        left = max(0, numbers - max(1, len(evidence.names)))
        return KeyPoints(left // 3, 3) if left % 3 == 0 else KeyPoints(left // 2, 2)
    return COCO_POINTS


def _without_metadata(
    evidence: Evidence, table: Table, turned: Reading, posed: Reading, plain: Reading
) -> Iterator[Reading]:
    """The box of a turned row is made with the sine and cosine of its angle. A score lies in [0, 1], a place in px
    does not; where places are parts of the input, the number of names is all that can tell.
    """
    by_head = {reading.family: reading for reading in (turned, posed, plain)}
    if evidence.head in by_head:
        yield by_head[evidence.head]
    elif {"Sin", "Cos"} <= table.port.after:
        yield turned
    elif are_scores(probe(evidence, table)[:, 4:]):
        as_many = [reading for reading in (posed, plain) if reading.classes == len(evidence.names) > 0]
        likely = [posed, plain] if plain.classes == 1 + COCO_POINTS.channels and _is_normalised(evidence, table) else []
        yield from as_many or likely or [plain]
    elif posed.classes == max(1, len(evidence.names)):
        yield posed
    else:
        why = (
            "a row a cell, but not all of its numbers behind the box are scores in [0, 1]; say --head yolov8-pose "
            "(key points) or --head yolov8-obb (turned boxes) where they are that, and give the names with --labels"
        )
        yield plain._replace(certainty=0, why=why)


def _is_normalised(evidence: Evidence, table: Table) -> bool:
    return bool((box_unit(evidence, table) != 1).any())


def _yolov6(evidence: Evidence, table: Table) -> Claim:
    names, unit = evidence.names, box_unit(evidence, table)
    parser = Dense("yolov6", table, names, Settings(score=0.25, iou=0.45), layout="cxcywh-obj", unit=unit)
    return Claim(parser.family, "detect", 2, "a row a cell whose objectness is always 1", parser, ULTRALYTICS)


class Turned(Dense):
    """Boxes that are turned by the angle in the last channel."""

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects, without those that overlap a better one."""
        found, angles = self._decoded(outputs, settings, None, MOST_TURNED, -1)
        assert angles is not None
        found, turned = with_angles(found, angles[:, 0])
        kept = oriented.distinct(turned, found.labels, settings.iou, top=settings.top, agnostic=settings.agnostic)
        return found[kept]


def with_angles(found: Detections, angles: Floats) -> tuple[Detections, Floats]:
    """Objects whose boxes are turned by angles, float32 (n,) radians, about their centres; and the turned boxes,
    float32 (n, 5) centre x, y, width, height, angle.
    """
    corners = found.boxes.reshape(-1, 2, 2)
    turned = np.column_stack([corners.mean(1), corners[:, 1] - corners[:, 0], np.nan_to_num(angles)])
    points = oriented.corners(turned)
    return replace(found, corners=points, boxes=oriented.enclosing(points)), turned
