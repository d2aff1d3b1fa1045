"""YOLOs that give a list of objects, already suppressed: YOLOv10, YOLO26 end to end, exports with suppression inside.

yolo-rows, -seg, -pose, -obb : (1, n, 6 + more) of x1, y1, x2, y2, score, class, and maybe coefficients of masks, key
    points, or an angle (the box is then its centre and size); unused rows are 0.

Formats: ultralytics 8.4 `nn/modules/head.py` and `engine/exporter.py` (NMSModel).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, is_nchw
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import PX, corners_unit, own_names
from saccade.predict.parsers.yolo_cells import COCO_POINTS, with_angles
from saccade.predict.parsers.yolo_parts import (
    GRIDS,
    NORMALISED,
    ULTRALYTICS,
    Extra,
    KeyPoints,
    Nothing,
    are_scores,
    end_to_end,
    find_prototypes,
    objects,
    sources,
)
from saccade.results import Detections


def claims(evidence: Evidence) -> Claims:
    """A list in one of the forms, unless the file says that it is another network's."""
    if evidence.metadata.head == "RTDETRDecoder":
        return
    main = [port for port in evidence.outputs if _is_list(evidence, port)]
    if len(main) != 1:
        return
    (port,) = main
    others = tuple(other for other in evidence.outputs if other is not port)
    for reading in _readings(evidence, port, others):
        unit = _unit(evidence, port, reading)
        if unit is not None and evidence.head in ("", reading.family):
            parser = Rows(reading, port, own_names(evidence, first=0), unit)
            yield Claim(reading.family, "detect", reading.certainty, reading.why, parser, ULTRALYTICS)


class Reading(NamedTuple):
    """What rows may mean. certainty : as in `Claim`."""

    family: str
    extra: Extra
    certainty: int
    why: str


def _is_list(evidence: Evidence, port: Port) -> bool:
    """(1, n, columns), where n is not the number of a network's cells."""
    shape = port.shape
    if len(shape) != 3 or shape[0] not in (1, -1) or not 6 <= shape[-1] < 4096:
        return False
    cells = {count * evidence.cells(*strides) for strides in GRIDS for count in (1, 3)}
    return shape[-2] not in cells or bool(evidence.metadata.end2end or evidence.metadata.nms)


def _readings(evidence: Evidence, port: Port, others: tuple[Port, ...]) -> Iterator[Reading]:
    """What rows may mean: as the file says, or as their number of columns and the graph leave no other choice."""
    metadata = evidence.metadata
    more = port.shape[-1] - 6
    sure = metadata.producer == "ultralytics" and bool(metadata.end2end or metadata.nms or metadata.head)
    certainty = 3 if sure and metadata.task else 1
    prototypes = find_prototypes(evidence, others)
    points = KeyPoints(*metadata.keypoints) if metadata.keypoints is not None else COCO_POINTS
    turned = metadata.task == "obb" or (not metadata.task and {"Sin", "Cos"} <= port.after)
    seen = f"a list of rows of {port.shape[-1]} numbers"
    if prototypes is not None:
        if more == prototypes.channels:
            yield Reading("yolo-rows-seg", prototypes, max(certainty, 2), f"{seen}, and prototypes of masks")
    elif others:
        return
    elif more == 0 and metadata.task in ("", "detect"):
        yield Reading("yolo-rows", Nothing(), certainty, f"{seen}: box, score and class")
    elif more == 1 and turned:
        yield Reading("yolo-rows-obb", Nothing(1), max(certainty, 2), f"{seen}: turned box, score, class and angle")
    elif more == points.channels and metadata.task in ("", "pose"):
        yield Reading("yolo-rows-pose", points, certainty, f"{seen}: box, score, class and {points.count} key points")


def _unit(evidence: Evidence, port: Port, reading: Reading) -> Floats | None:
    """Px of the unit of boxes; None where a run shows that the rows are none of these.

    RT-DETR's rows are the same numbers, but for boxes: centre and size in parts of the input. So what the file does
    not settle counts as a list of corners only if it shows a box in px, or the graph suppresses boxes itself.
    """
    table = np.nan_to_num(evidence.values[port.name].reshape(-1, port.shape[-1]))
    table = table[table[:, 4] > 0]
    if not len(table):
        return PX if reading.certainty == 3 or "NonMaxSuppression" in port.after or evidence.head else None
    if not (are_scores(table[:, 4]) and (table[:, 5] == np.rint(table[:, 5])).all()):
        return None
    if table[:, :4].max() > NORMALISED:
        return PX
    # Exports to SavedModel and TensorFlow Lite, whose layout is NHWC, have parts of the input.
    return corners_unit(evidence.size) if reading.certainty == 3 and not is_nchw(evidence.picture.shape) else None


class Rows:
    """Objects as the network lists them. unit : float32 (4,) px of the boxes' unit."""

    task: Task = "detect"
    defaults = Settings(score=0.25)

    def __init__(self, reading: Reading, port: Port, names: tuple[str, ...], unit: Floats) -> None:
        self.family = reading.family
        self.names = names
        self._output = port.name
        self._columns = port.shape[-1]
        self._extra = reading.extra
        self._unit = unit
        self._turned = reading.family == "yolo-rows-obb"

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        table = outputs[self._output].reshape(-1, self._columns)
        rows = end_to_end(table, settings)
        if self._turned:
            half = rows[:, 4:6] / 2
            rows[:, 2:6] = np.hstack([rows[:, 2:4] - half, rows[:, 2:4] + half])
        found, rows = objects(rows, self._unit, self.names)
        values = table[sources(rows), 6:]
        if self._turned:
            return with_angles(found, values[:, 0])[0]
        return self._extra.added(found, values, outputs, self._unit)
