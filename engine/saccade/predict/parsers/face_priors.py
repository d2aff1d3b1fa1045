"""Boxes and points as offsets from prior boxes, as the SSD kind of face detectors codes them.

Priors are float32 (n, 4) of centre and size, cx, cy, w, h, in [0, 1] of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil

import numpy as np

from saccade.kernels import nms
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import softmax
from saccade.predict.parsers.dense import are_probabilities, as_detections, is_sound
from saccade.results import Detections

Variances = tuple[float, float, float]
"""Of the centre, of the width and of the height."""

USUAL: Variances = (0.1, 0.2, 0.2)

SMALL_FACES = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
"""Sides of the square priors by stride, px, of networks for small faces (UltraFace, YuNet 2021)."""

LARGE_FACES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""The same of RetinaFace."""


def square_priors(size: tuple[int, int], sides: Mapping[int, Sequence[int]], *, whole_cells: bool = False) -> Floats:
    """Square priors of grids of ceil(size / stride) cells, by stride, row, column and side.

    size : (height, width) of the input, px. whole_cells : cells are squares of the stride, also where the last ones
    reach over the input's edge; otherwise the grid is stretched over the input.
    """
    height, width = size
    parts = []
    for stride, lengths in sides.items():
        rows, columns = ceil(height / stride), ceil(width / stride)
        down, right = (height / stride, width / stride) if whole_cells else (rows, columns)
        y, x = (np.mgrid[:rows, :columns] + 0.5).reshape(2, -1)
        centres = np.stack([x / right, y / down], 1)[:, None]
        extents = np.array([[length / width, length / height] for length in lengths])[None]
        shape = (rows * columns, len(lengths), 2)
        parts.append(np.concatenate([np.broadcast_to(centres, shape), np.broadcast_to(extents, shape)], 2))
    return np.concatenate([part.reshape(-1, 4) for part in parts]).astype(np.float32)


def boxes_of(loc: Floats, priors: Floats, variances: Variances = USUAL) -> Floats:
    """Corners, float32 (n, 4) in [0, 1] of the input, of offsets (n, 4) dx, dy, dw, dh; inf where those overflow."""
    with np.errstate(invalid="ignore", over="ignore"):
        centres = priors[:, :2] + loc[:, :2] * np.float32(variances[0]) * priors[:, 2:]
        halves = priors[:, 2:] * np.exp(loc[:, 2:] * np.array(variances[1:], np.float32)) / 2
        return np.concatenate([centres - halves, centres + halves], 1)


def points_of(offsets: Floats, priors: Floats, variances: Variances = USUAL) -> Floats:
    """Points, float32 (n, 2 k) x, y in [0, 1] of the input, of offsets (n, 2 k)."""
    with np.errstate(invalid="ignore", over="ignore"):
        pairs = offsets.reshape(len(offsets), offsets.shape[1] // 2, 2) * np.float32(variances[0]) * priors[:, None, 2:]
        placed = priors[:, None, :2] + pairs
    return np.asarray(placed.reshape(offsets.shape), np.float32)


def suppressed(
    boxes: Floats,
    scores: Floats,
    labels: Floats,
    settings: Settings,
    size: tuple[int, int],
    names: tuple[str, ...],
    points: Floats | None = None,
) -> Detections:
    """Candidates in [0, 1] of the input, of which overlapping ones count once, as objects in px of the input.

    size : (height, width) of the input, px; (1, 1) where the candidates are in px already.
    """
    height, width = size
    unit = np.array([width, height], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        boxes = boxes * np.tile(unit, 2)
        points = None if points is None else points * np.tile(unit, points.shape[1] // 2)
    whole = np.flatnonzero(is_sound(boxes))
    order = nms(boxes[whole], scores[whole], settings.iou, labels=None if settings.agnostic else labels[whole])
    kept = whole[order[: settings.top]]
    found = np.column_stack([labels[kept], scores[kept], boxes[kept], kept]).astype(np.float32)
    points = None if points is None else points[kept]
    return as_detections(found, names, points)


def candidates(scores: Floats, settings: Settings) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], Floats, Floats]:
    """Rows whose best class reaches the threshold; that class, and its score. scores : float32 (n, classes)."""
    if scores.shape[1] == 1:
        labels, best = np.zeros(len(scores), np.intp), scores[:, 0]
    else:
        labels = scores.argmax(1)
        best = scores[np.arange(len(scores)), labels]
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero(np.isfinite(best) & (best >= np.float32(settings.score)))
    return rows, labels[rows].astype(np.float32), best[rows]


def chances_of(evidence: Evidence, port: Port) -> Callable[[Floats], Floats]:
    """What makes probabilities of a table with the background first: nothing, or a softmax where the graph has none."""
    done = "Softmax" in (port.layer_type, *port.after) or are_probabilities(evidence, [port])
    return (lambda table: table) if done else softmax


class PriorFaces:
    """Faces with points, as offsets from prior boxes.

    read : of a run's outputs the offsets of boxes (n, 4) and of points (n, 2 k), and the scores (n, 1).
    """

    task: Task = "detect"

    def __init__(
        self,
        family: str,
        defaults: Settings,
        priors: Floats,
        size: tuple[int, int],
        names: tuple[str, ...],
        read: Callable[[Outputs], tuple[Floats, Floats, Floats]],
    ) -> None:
        self.family = family
        self.defaults = defaults
        self.priors = priors
        self.names = names
        self._size = size
        self._read = read

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Faces."""
        loc, points, scores = self._read(outputs)
        rows, labels, best = candidates(scores, settings)
        priors = self.priors[rows]
        boxes, places = boxes_of(loc[rows], priors), points_of(points[rows], priors)
        return suppressed(boxes, best, labels, settings, self._size, self.names, places)
