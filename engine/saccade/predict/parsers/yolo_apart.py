"""YOLO networks without anchors whose boxes and scores are apart, decoded or not; a row, or a place of a map, a cell.

yolo-nas : a table of boxes, (1, n, 4) corners or centre and size, px or parts of the input, and one of scores, (1, n,
    classes) or (1, classes, n), n the cells of grids of stride 8, 16, 32 (YOLO-NAS, DAMO-YOLO, PP-YOLOE, and v8's kin
    where an exporter keeps the two apart).
yolov8-raw : v8's kin without their last layers, as exporters for accelerators cut them: for each grid a map of 64
    channels (four sides, each a distribution over 16 distances in strides from the cell's centre) and one with a score
    for each class, or one of both; a further map of one channel (the sum of the scores) is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saccade.kernels import decode_yolo, grid_cells
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, bare, is_nchw
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import PX, corners_unit, from_rows
from saccade.predict.parsers.dense import is_sigmoid
from saccade.predict.parsers.yolo_parts import (
    NORMALISED,
    ULTRALYTICS,
    Table,
    are_scores,
    probe,
)
from saccade.predict.parsers.yolox import follow_cells
from saccade.results import Detections

GRIDS = ((8, 16, 32), (8, 16, 32, 64))
BINS = 16
SIDES = 4 * BINS


def claims(evidence: Evidence) -> Claims:
    """Two tables with a row a cell; or maps of distributions and scores on each grid."""
    tables = _tables(evidence)
    if tables is not None:
        why = f"a box a cell, apart from its {tables.classes} scores"
        yield Claim("yolo-nas", "detect", 1, why, tables, ULTRALYTICS)
    maps = _maps(evidence)
    if maps is not None:
        why = f"maps of distances and of {maps.classes} scores on {len(maps.strides)} grids"
        yield Claim("yolov8-raw", "detect", 2, why, maps, ULTRALYTICS)


def _tables(evidence: Evidence) -> Apart | None:
    if len(evidence.outputs) != 2:
        return None
    for strides in GRIDS:
        found = [_table(port, evidence.cells(*strides), strides) for port in evidence.outputs]
        one, other = found
        if one is None or other is None:
            continue
        for boxes, scores in ((one, other), (other, one)):
            layout = _layout(evidence, boxes) if boxes.channels == 4 else None
            if layout is not None and (is_sigmoid(scores.port) or are_scores(probe(evidence, scores))):
                small = np.abs(probe(evidence, boxes)).max() <= NORMALISED
                unit = corners_unit(evidence.size) if small else PX
                return Apart(boxes, scores, layout, unit, evidence.names)
    return None


def _table(port: Port, cells: int, strides: tuple[int, ...]) -> Table | None:
    shape = bare(port.shape)
    if len(shape) == 2 and cells in shape and shape[0] != shape[1]:
        first = shape[1] == cells
        return Table(port, cells, shape[0] if first else shape[1], first, strides)
    return None


def _layout(evidence: Evidence, boxes: Table) -> str | None:
    """How boxes are given, if they lie around their cells at all."""
    values = probe(evidence, boxes)
    low, high = values[:, :2], values[:, 2:]
    corners = bool((high > low).all(1).mean() > 0.98)
    centres: Floats = np.float32(0.5) * (low + high) if corners else low
    orders = (boxes.strides, boxes.strides[::-1])
    if not any(follow_cells(evidence, order, centres) for order in orders):
        return None
    return "xyxy" if corners else "cxcywh"


class Apart:
    """Boxes and scores, decoded."""

    family = "yolo-nas"
    task: Task = "detect"
    defaults = Settings(score=0.25, iou=0.7)

    def __init__(self, boxes: Table, scores: Table, layout: str, unit: Floats, names: tuple[str, ...]) -> None:
        self.names = names
        self.classes = scores.channels
        self._boxes, self._scores = boxes, scores
        self._layout = layout
        self._unit = unit

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        rows = decode_yolo(
            self._boxes.view(outputs), layout=self._layout, scores=self._scores.view(outputs), **settings.limits()
        )
        return from_rows(rows, self._unit, self.names)


class Map(NamedTuple):
    """An output with `channels` numbers at each place of a grid; last: they are its last dimension."""

    name: str
    channels: int
    last: bool

    def view(self, outputs: Outputs) -> Floats:
        """(cells, channels) of a run's output; no copy."""
        array = outputs[self.name]
        return array.reshape(-1, self.channels) if self.last else array.reshape(self.channels, -1).T


def _maps(evidence: Evidence) -> Undecoded | None:
    for strides in GRIDS:
        grids = [_of_grid(evidence, stride) for stride in strides]
        if sum(map(len, grids)) != len(evidence.outputs) or len({len(maps) for maps in grids}) != 1:
            continue
        pairs = [_pair(evidence, maps) for maps in grids]
        known = [pair for pair in pairs if pair is not None]
        if len(known) == len(pairs) and len({scores.channels for _, scores in known}) == 1:
            values = [scores.view(evidence.values) for _, scores in known]
            logits = not all(are_scores(v[:, SIDES:] if b is s else v) for (b, s), v in zip(known, values, strict=True))
            cells = grid_cells(*evidence.size, strides, offset=0.5)
            return Undecoded(known, strides, cells, evidence.names, logits=logits)
    return None


def _of_grid(evidence: Evidence, stride: int) -> list[Port]:
    grid, first = evidence.grid(stride), is_nchw(evidence.picture.shape)
    ports = [port for port in evidence.outputs if len(port.shape) == 4 and port.shape[0] == 1]
    return [port for port in ports if (port.shape[2:] if first else port.shape[1:3]) == grid]


def _pair(evidence: Evidence, ports: Sequence[Port]) -> tuple[Map, Map] | None:
    """Distances and scores of a grid: the same map, where one has both."""
    last = not is_nchw(evidence.picture.shape)
    maps = [Map(port.name, port.shape[3] if last else port.shape[1], last) for port in ports]
    if len(maps) == 1 and maps[0].channels > SIDES:
        # As many numbers as other networks have for their anchors: names, or the user, must tell.
        told = evidence.head == "yolov8-raw" or maps[0].channels == SIDES + len(evidence.names)
        return (maps[0], maps[0]) if told else None
    boxes = [each for each in maps if each.channels == SIDES]
    scores = [each for each in maps if each.channels != SIDES and (each.channels > 1 or len(maps) == 2)]
    return (boxes[0], scores[0]) if len(maps) in (2, 3) and len(boxes) == len(scores) == 1 else None


class Undecoded:
    """Distributions and scores on grids."""

    family = "yolov8-raw"
    task: Task = "detect"
    defaults = Settings(score=0.25, iou=0.7)

    def __init__(
        self,
        pairs: Sequence[tuple[Map, Map]],
        strides: tuple[int, ...],
        cells: Floats,
        names: tuple[str, ...],
        *,
        logits: bool,
    ) -> None:
        self.names = names
        self.strides = strides
        boxes, scores = pairs[0]
        self._first = SIDES if boxes is scores else 0
        self.classes = scores.channels - self._first
        self._pairs = tuple(pairs)
        self._cells = cells
        self._logits = logits

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        rows = decode_yolo(
            [boxes.view(outputs)[:, :SIDES] for boxes, _ in self._pairs],
            layout="dfl",
            scores=[scores.view(outputs)[:, self._first :] for _, scores in self._pairs],
            cells=self._cells,
            sigmoid=self._logits,
            **settings.limits(),
        )
        return from_rows(rows, PX, self.names)
