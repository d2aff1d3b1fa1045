"""Maps of anchor-based YOLOs as the last convolutions, or RegionYolo layers, give them: how they lie in memory.

An anchor of a cell has a row of box, objectness and classes. A map of h x w cells and k anchors comes as planes
(1, k * row, h, w), as (1, k, h, w, row), or channels last as (1, h, w, k * row) or (1, h, w, k, row).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from saccade.kernels import decode_yolo, grid_cells
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import PX, from_rows, sigmoid, softmax
from saccade.results import Detections

Pairs = tuple[tuple[float, float], ...]
"""Widths and heights of anchors, px of the input."""

STRIDES = (8, 16, 32, 64)

ACTIVATIONS = frozenset({
    "Relu", "Clamp", "PRelu", "Swish", "HSwish", "HSigmoid", "Mish", "Elu", "Gelu", "Tanh", "SoftPlus", "Softmax",
    "MaxPool", "AvgPool",
})  # fmt: skip
"""Layers behind which no head's last convolution stands: the output is a map of features."""


class Map(NamedTuple):
    """An output with a grid.

    numbers : of a cell, all anchors together. anchors : of a cell; 0: not known yet.
    form : planes (1, anchors * row, h, w); anchors (1, anchors, h, w, row); cells (1, h, w, anchors * row), where
        anchors and row may be dimensions of their own.
    """

    port: Port
    stride: int
    numbers: int
    form: Literal["planes", "anchors", "cells"]
    anchors: int = 0

    @property
    def classes(self) -> int:
        """Classes of a row; less than 1 where the numbers are not those of the anchors."""
        whole = self.anchors and self.numbers % self.anchors == 0
        return self.numbers // self.anchors - 5 if whole else 0

    def of(self, anchors: int) -> Map:
        """This map, if it can have so many anchors; else one without classes."""
        return self._replace(anchors=anchors if self.anchors in (0, anchors) else 0)

    def parts(self, outputs: Outputs) -> list[Floats]:
        """A view for each anchor: (row, cells) of planes, else (cells, row)."""
        array, row = outputs[self.port.name], 5 + self.classes
        if self.form == "planes":
            return list(array.reshape(self.anchors, row, -1))
        if self.form == "anchors":
            return list(array.reshape(self.anchors, -1, row))
        return list(array.reshape(-1, self.anchors, row).transpose(1, 0, 2))


def find_maps(evidence: Evidence) -> tuple[Map, ...]:
    """The outputs as maps, finest first; none unless each output is one, all alike, and of a grid of its own."""
    found = sorted(filter(None, (map_of(evidence, port) for port in evidence.outputs)), key=lambda m: m.stride)
    forms = {(m.numbers, m.form, m.anchors) for m in found}
    if len(found) < len(evidence.outputs) or len(forms) != 1 or len({m.stride for m in found}) < len(found):
        return ()
    return tuple(found)


def map_of(evidence: Evidence, port: Port) -> Map | None:
    """The map that an output is: it has a grid's size, and nothing but a sigmoid stands behind its last weights, which
    are one layer's.
    """
    shape = port.shape
    if len(shape) not in (4, 5) or shape[0] != 1 or port.after & ACTIVATIONS or port.layer_type == "Concat":
        return None
    for stride in STRIDES:
        grid = evidence.grid(stride)
        if len(shape) == 5:
            if shape[2:4] == grid:
                return Map(port, stride, shape[1] * shape[4], "anchors", shape[1])
            if shape[1:3] == grid:
                return Map(port, stride, shape[3] * shape[4], "cells", shape[3])
        elif shape[2:] == grid:
            return Map(port, stride, shape[1], "planes")
        elif shape[1:3] == grid:
            return Map(port, stride, shape[3], "cells")
    return None


def cells_of(evidence: Evidence, stride: int, anchors: Pairs, scale_xy: float = 1.0) -> Floats:
    """Cells of one map for `decode_yolo`, whose centres lie `scale_xy` times as far from the cell's own centre.

    The factor is part of the cells since maps of one network differ in it: s * x - (s - 1) / 2 strides from the corner
    is x times s strides from another corner.
    """
    cells = grid_cells(*evidence.size, (stride,), anchors=[anchors])
    cells[:, :2] -= (scale_xy - 1) / 2 * stride
    cells[:, 2] *= scale_xy
    return cells


class AnchorMaps:
    """Boxes of maps with anchors.

    maps : all with as many classes. layout : of `decode_yolo`. cells : float32 (n, 5), of all anchors of all maps, in
    their order.
    """

    task: Task = "detect"
    defaults = Settings(score=0.25, iou=0.45)

    def __init__(
        self, family: str, maps: Sequence[Map], cells: Sequence[Floats], names: tuple[str, ...], *, layout: str
    ) -> None:
        self.family = family
        self.names = names
        self.classes = maps[0].classes
        self._maps = tuple(maps)
        self._cells = np.concatenate(cells)
        self._layout = layout
        self._planes = maps[0].form == "planes"

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        rows = [part for each in self._maps for part in each.parts(outputs)]
        return self._decoded(rows, self._layout, self._cells, self._planes, settings)

    def _decoded(
        self, rows: Floats | list[Floats], layout: str, cells: Floats, planes: bool, settings: Settings
    ) -> Detections:
        found = decode_yolo(
            rows,
            layout=layout,
            cells=cells,
            channels_first=planes,
            **settings.limits(),
        )
        return from_rows(found, PX, self.names)


class SoftmaxMap(AnchorMaps):
    """One map of YOLOv2 before its region layer, which makes probabilities of the classes with a softmax."""

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects. Only rows whose objectness reaches the threshold are looked at."""
        (found,) = self._maps
        table = np.stack([part[4] if self._planes else part[:, 4] for part in found.parts(outputs)])
        anchor, cell = np.nonzero(sigmoid(table) >= settings.score)
        views = [part.T if self._planes else part for part in found.parts(outputs)]
        rows = np.array([views[a][c] for a, c in zip(anchor, cell, strict=True)], np.float32)
        rows = rows.reshape(len(anchor), 5 + self.classes)
        activated = np.hstack([sigmoid(rows[:, :2]), rows[:, 2:4], sigmoid(rows[:, 4:5]), softmax(rows[:, 5:])])
        cells = self._cells[anchor * table.shape[1] + cell]
        return self._decoded(activated, "region-obj", cells, False, settings)
