"""RetinaFace: faces with five points.

With priors (biubug6/Pytorch_Retinaface, `data/config.py`, `utils/box_utils.py`): tables of boxes (n, 4), scores (n, 2)
with the background first, and points (n, 10).
With anchors (deepinsight/insightface, `detection/retinaface/retinaface.py`): for each of strides 32, 16, 8 maps of
scores (4 channels: two anchors' background, then two anchors' face), boxes (8) and points (20).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from saccade.networks.network import Floats, Outputs
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.dense import only_name, tables
from saccade.predict.parsers.face_priors import (
    LARGE_FACES,
    SMALL_FACES,
    PriorFaces,
    chances_of,
    square_priors,
    suppressed,
)
from saccade.results import Detections

POINTS = 5
SETTINGS = Settings(score=0.6, iou=0.4)
ANCHORS = LARGE_FACES
"""Sides of insightface's anchors by stride, px: those of the priors."""


def claims(evidence: Evidence) -> Claims:
    """Three tables of four, two and ten columns with a row for each prior box; or nine maps with two anchors each."""
    table = _tables(evidence)
    if table is not None:
        spec = {"mean": (104.0, 117.0, 123.0), "resize": "stretch"}
        why = f"{len(table.priors)} prior boxes with offsets, scores and five points"
        yield Claim("retinaface", "detect", 2, why, table, spec)
    maps = _maps(evidence)
    if maps is not None:
        parser = AnchoredFaces(maps, only_name(evidence))
        why = "maps of scores, boxes and five points of two anchors on grids of stride 8, 16 and 32"
        yield Claim("retinaface", "detect", 2, why, parser, {"swap_rb": True, "resize": "letterbox-top-left", "pad": 0})


def _tables(evidence: Evidence) -> PriorFaces | None:
    """Points are the eyes, the nose and the corners of the mouth, each time the left one of the picture first."""
    shapes = tables(evidence.outputs)
    if shapes is None or sorted(columns for _, columns in shapes.values()) != [2, 4, 2 * POINTS]:
        return None
    counts = {rows for rows, _ in shapes.values()}
    for sides in (LARGE_FACES, SMALL_FACES):
        priors = square_priors(evidence.size, sides, whole_cells=True)
        if counts == {len(priors)}:
            by_columns = {shapes[port.name][1]: port for port in evidence.outputs}
            chances = chances_of(evidence, by_columns[2])
            read = partial(_offsets, by_columns[4].name, by_columns[2].name, by_columns[2 * POINTS].name, chances)
            return PriorFaces("retinaface", SETTINGS, priors, evidence.size, only_name(evidence), read)
    return None


def _offsets(
    loc: str, conf: str, points: str, chances: Callable[[Floats], Floats], outputs: Outputs
) -> tuple[Floats, Floats, Floats]:
    """Offsets of boxes and points, and scores. loc, conf, points : names of their outputs."""
    scores = chances(outputs[conf].reshape(-1, 2))[:, 1:]
    return outputs[loc].reshape(-1, 4), outputs[points].reshape(-1, 2 * POINTS), scores


class Maps(NamedTuple):
    """Names of scores, boxes and points of one grid; its stride, px, and (rows, columns)."""

    scores: str
    boxes: str
    points: str
    stride: int
    grid: tuple[int, int]


def _maps(evidence: Evidence) -> tuple[Maps, ...] | None:
    ports = evidence.outputs
    if len(ports) != 3 * len(ANCHORS) or any(len(port.shape) != 4 or port.shape[0] != 1 for port in ports):
        return None
    found = []
    for stride in ANCHORS:
        grid = evidence.grid(stride)
        by_channels = {port.shape[1]: port.name for port in ports if port.shape[2:] == grid}
        if set(by_channels) != {4, 8, 4 * POINTS}:
            return None
        found.append(Maps(by_channels[4], by_channels[8], by_channels[4 * POINTS], stride, grid))
    return tuple(found)


class AnchoredFaces:
    """Anchors lie around the pixel (7.5, 7.5) of their cell; boxes count whole pixels, so that x2 is the last one."""

    family = "retinaface"
    task: Task = "detect"
    defaults = Settings(score=0.8, iou=0.4)

    def __init__(self, maps: Sequence[Maps], names: tuple[str, ...]) -> None:
        self.names = names
        self._maps = tuple(maps)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Faces."""
        parts = [self._of_grid(outputs, maps, settings) for maps in self._maps]
        boxes, scores, points = (np.concatenate(part) for part in zip(*parts, strict=True))
        labels = np.zeros(len(scores), np.float32)
        return suppressed(boxes, scores, labels, settings, (1, 1), self.names, points)

    def _of_grid(self, outputs: Outputs, maps: Maps, settings: Settings) -> tuple[Floats, Floats, Floats]:
        """Corners, scores and points, px of the input, of a grid's candidates."""
        scores = outputs[maps.scores].reshape(2, 2, *maps.grid)[1]
        with np.errstate(invalid="ignore"):
            anchor, row, column = np.nonzero(np.isfinite(scores) & (scores >= np.float32(settings.score)))
        deltas = outputs[maps.boxes].reshape(2, 4, *maps.grid)[anchor, :, row, column]
        points = outputs[maps.points].reshape(2, 2 * POINTS, *maps.grid)[anchor, :, row, column]
        side = np.array(ANCHORS[maps.stride], np.float32)[anchor, None]
        centre = np.stack([column, row], 1).astype(np.float32) * maps.stride + np.float32(7.5)
        with np.errstate(invalid="ignore", over="ignore"):
            middle = deltas[:, :2] * side + centre
            reach = (np.exp(deltas[:, 2:]) * side - 1) / 2
            places = points.reshape(-1, POINTS, 2) * side[:, None] + centre[:, None]
            corners = np.concatenate([middle - reach, middle + reach], 1)
        return corners, scores[anchor, row, column], places.reshape(-1, 2 * POINTS)
