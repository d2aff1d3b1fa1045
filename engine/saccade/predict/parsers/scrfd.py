"""SCRFD: faces as distances from the corners of cells, with or without five points.

For each grid a table of scores (n, 1), of box distances (n, 4) and, where it has any, of points (n, 10), in strides.
Two anchors a cell on three grids, or one on three or five. Format: deepinsight/insightface,
`python-package/insightface/model_zoo/scrfd.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from saccade.kernels import decode_yolo, grid_cells
from saccade.networks.network import Floats, Outputs
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.dense import (
    are_probabilities,
    as_detections,
    by_grid,
    gather,
    is_sigmoid,
    only_name,
    read,
    strides_of,
    tables,
)
from saccade.results import Detections

POINTS = 5
INPUT = {
    "mean": (127.5,) * 3, "scale": (128.0,) * 3, "swap_rb": True, "resize": "letterbox-top-left", "pad": 0,
    "round_down": True,
}  # fmt: skip


class Grids(NamedTuple):
    """Names of tables by kind, the finest grid's first. points : empty where there are none."""

    scores: tuple[str, ...]
    boxes: tuple[str, ...]
    points: tuple[str, ...]
    strides: tuple[int, ...]
    anchors: int
    logits: bool


def claims(evidence: Evidence) -> Claims:
    """Tables of one, of four and mostly of ten columns for each grid, in whatever order."""
    grids = _grids(evidence)
    if grids is not None:
        points = "five points" if grids.points else "no points"
        why = f"{len(grids.strides)} grids of {grids.anchors} anchors a cell with a score, distances and {points}"
        yield Claim("scrfd", "detect", 2, why, Scrfd(grids, evidence.size, only_name(evidence)), INPUT)


def _grids(evidence: Evidence) -> Grids | None:
    ports = evidence.outputs
    shapes = tables(ports)
    if shapes is None:
        return None
    counts = sorted({rows for rows, _ in shapes.values()}, reverse=True)
    kinds = {
        columns: by_grid([port for port in ports if shapes[port.name][1] == columns], shapes)
        for columns in {columns for _, columns in shapes.values()}
    }
    if set(kinds) not in ({1, 4}, {1, 4, 2 * POINTS}):
        return None
    if any([shapes[port.name][0] for port in kind] != counts for kind in kinds.values()):
        return None
    for anchors in (2, 1):
        strides = strides_of(counts, evidence, anchors)
        if len(strides) >= 3:
            names = {columns: tuple(port.name for port in kind) for columns, kind in kinds.items()}
            logits = not (all(map(is_sigmoid, kinds[1])) or are_probabilities(evidence, kinds[1]))
            return Grids(names[1], names[4], names.get(2 * POINTS, ()), strides, anchors, logits)
    return None


class Scrfd:
    """Points are the eyes, the nose and the corners of the mouth, each time the left one of the picture first."""

    family = "scrfd"
    task: Task = "detect"
    defaults = Settings(score=0.5, iou=0.4)

    def __init__(self, grids: Grids, size: tuple[int, int], names: tuple[str, ...]) -> None:
        self.names = names
        self._grids = grids
        self._cells = np.concatenate(
            [np.repeat(grid_cells(*size, (stride,)), grids.anchors, axis=0) for stride in grids.strides]
        )

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Faces."""
        grids = self._grids
        found = decode_yolo(
            read(outputs, grids.boxes, 4),
            layout="ltrb",
            scores=read(outputs, grids.scores, 1),
            cells=self._cells,
            sigmoid=grids.logits,
            score_threshold=settings.score,
            iou_threshold=settings.iou,
            keep_top_k=settings.top,
        )
        points: Floats | None = None
        if grids.points:
            rows = found[:, 6].astype(np.intp)
            offsets = gather(read(outputs, grids.points, 2 * POINTS), rows)
            points = points_at(offsets, self._cells[rows])
        return as_detections(found, self.names, points)


def points_at(offsets: Floats, cells: Floats) -> Floats:
    """Points, float32 (n, 2 k), px, of offsets (n, 2 k) in strides from cells (n, 3) x, y, stride."""
    with np.errstate(invalid="ignore", over="ignore"):
        placed = offsets.reshape(len(offsets), offsets.shape[1] // 2, 2) * cells[:, None, 2:3] + cells[:, None, :2]
    return np.asarray(placed.reshape(offsets.shape), np.float32)
