"""YuNet: faces with five points.

2023: for each of strides 8, 16 and 32 tables of class (n, 1), objectness (n, 1), boxes (n, 4: centre in strides from
the cell's corner, logarithm of the size in strides) and points (n, 10); the score is sqrt(class * objectness).
2021 and 2022: tables of boxes and points (n, 14) as offsets from priors, of scores (n, 2) with the background first,
and of overlaps (n, 1); the score is sqrt(score * overlap). Format: opencv/opencv,
`modules/objdetect/src/face_detect.cpp`, today's and that of 4.5.4, but for the logarithms of width and height, which
are both scaled by 0.2, as in training (ShiqiYu/libfacedetection.train, `src/eiou.py`); OpenCV took 0.1 for the width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from saccade.kernels import decode_yolo, grid_cells
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.dense import (
    as_detections,
    by_grid,
    gather,
    only_name,
    read,
    strides_of,
    tables,
)
from saccade.predict.parsers.face_priors import SMALL_FACES, PriorFaces, chances_of, square_priors
from saccade.predict.parsers.scrfd import points_at
from saccade.results import Detections

POINTS = 5
INPUT = {"resize": "letterbox-top-left", "pad": 0}
SETTINGS = Settings(score=0.9, iou=0.3)


class Grids(NamedTuple):
    """Names of tables by kind, the finest grid's first; class and objectness are interchangeable."""

    classes: tuple[str, ...]
    objectness: tuple[str, ...]
    boxes: tuple[str, ...]
    points: tuple[str, ...]
    strides: tuple[int, ...]


def claims(evidence: Evidence) -> Claims:
    """Two tables of one column, one of four and one of ten for each grid; or three tables of 14, two and one column."""
    names = only_name(evidence)
    grids = _grids(evidence)
    if grids is not None:
        why = f"{len(grids.strides)} grids with two scores, a box and five points a cell"
        yield Claim("yunet", "detect", 2, why, YuNet(grids, evidence.size, names), INPUT)
    older = _with_priors(evidence, names)
    if older is not None:
        why = f"{len(older.priors)} prior boxes with 14 offsets, scores and overlaps"
        yield Claim("yunet", "detect", 2, why, older, INPUT)


def _grids(evidence: Evidence) -> Grids | None:
    ports = evidence.outputs
    shapes = tables(ports)
    if shapes is None or len(ports) % 4:
        return None
    counts = sorted({rows for rows, _ in shapes.values()}, reverse=True)
    strides = strides_of(counts, evidence)
    kinds = [
        by_grid([port for port in ports if shapes[port.name][1] == columns], shapes) for columns in (1, 4, 2 * POINTS)
    ]
    scores, boxes, points = kinds
    if len(strides) < 2 or len(ports) != 4 * len(strides):
        return None
    twice = [count for count in counts for _ in range(2)]
    if [shapes[port.name][0] for port in scores] != twice:
        return None
    if any([shapes[port.name][0] for port in kind] != counts for kind in (boxes, points)):
        return None
    return Grids(_names(scores[::2]), _names(scores[1::2]), _names(boxes), _names(points), strides)


def _names(ports: Sequence[Port]) -> tuple[str, ...]:
    return tuple(port.name for port in ports)


class YuNet:
    """Points are the eyes, the nose and the corners of the mouth, each time the person's right one first."""

    family = "yunet"
    task: Task = "detect"
    defaults = SETTINGS

    def __init__(self, grids: Grids, size: tuple[int, int], names: tuple[str, ...]) -> None:
        self.names = names
        self._grids = grids
        self._cells = grid_cells(*size, grids.strides)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Faces."""
        grids = self._grids
        both = zip(read(outputs, grids.classes, 1), read(outputs, grids.objectness, 1), strict=True)
        found = decode_yolo(
            read(outputs, grids.boxes, 4),
            layout="grid",
            scores=[_mean(first, second) for first, second in both],
            cells=self._cells,
            score_threshold=settings.score,
            iou_threshold=settings.iou,
            keep_top_k=settings.top,
        )
        rows = found[:, 6].astype(np.intp)
        offsets = gather(read(outputs, grids.points, 2 * POINTS), rows)
        return as_detections(found, self.names, points_at(offsets, self._cells[rows]))


def _mean(first: Floats, second: Floats) -> Floats:
    """Geometric mean of two scores, each cut to [0, 1]."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.clip(first, 0, 1) * np.clip(second, 0, 1))


def _with_priors(evidence: Evidence, names: tuple[str, ...]) -> PriorFaces | None:
    """The networks of 2021 and 2022, with the same points."""
    shapes = tables(evidence.outputs)
    columns = 4 + 2 * POINTS
    if shapes is None or sorted(width for _, width in shapes.values()) != [1, 2, columns]:
        return None
    counts = {rows for rows, _ in shapes.values()}
    for priors in _possible_priors(evidence.size):
        if counts == {len(priors)}:
            by_columns = {shapes[port.name][1]: port for port in evidence.outputs}
            chances = chances_of(evidence, by_columns[2])
            read = partial(_offsets, by_columns[columns].name, by_columns[2].name, by_columns[1].name, chances)
            return PriorFaces("yunet", SETTINGS, priors, evidence.size, names, read)
    return None


def _offsets(
    loc: str, conf: str, overlap: str, chances: Callable[[Floats], Floats], outputs: Outputs
) -> tuple[Floats, Floats, Floats]:
    """Offsets of boxes and points, and scores. loc, conf, overlap : names of the outputs."""
    offsets = outputs[loc].reshape(-1, 4 + 2 * POINTS)
    scores = chances(outputs[conf].reshape(-1, 2))[:, 1:]
    return offsets[:, :4], offsets[:, 4:], _mean(scores, outputs[overlap].reshape(-1, 1))


def _possible_priors(size: tuple[int, int]) -> list[Floats]:
    """Priors of grids that are rounded up, and of grids each half of the finer one, rounded down."""
    height, width = size
    rounded = square_priors(size, SMALL_FACES, whole_cells=True)
    cell_rows, cell_columns = ((height + 1) // 2) // 2, ((width + 1) // 2) // 2
    parts = []
    for stride, sides in SMALL_FACES.items():
        cell_rows, cell_columns = cell_rows // 2, cell_columns // 2
        if not cell_rows or not cell_columns:
            return [rounded]
        grid = (cell_rows * stride, cell_columns * stride)
        here = square_priors(grid, {stride: sides}, whole_cells=True)
        parts.append(here * np.tile(np.array(grid[::-1], np.float32) / np.array(size[::-1], np.float32), 2))
    return [rounded, np.concatenate(parts)]
