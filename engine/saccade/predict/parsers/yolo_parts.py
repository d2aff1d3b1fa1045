"""What the YOLO families share: their input, their grids, and what a row holds besides a box and scores.

A dense YOLO has a row of channels for each cell of its grids (for each anchor of each cell, in the older ones). Rows of
detections in here are those of `decode_yolo`: label, score, x1, y1, x2, y2, number of the source row; best first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from saccade.kernels import as_objects, decode_yolo
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Evidence, bare, is_nchw
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import FARTHEST, PX, corners_unit
from saccade.results import Detections, Masks

ULTRALYTICS: dict[str, Any] = {"swap_rb": True, "scale": (255.0,) * 3, "resize": "letterbox", "pad": 114}
"""Input of Ultralytics' networks and of those that were trained like them (YOLOv5 to v12, v26)."""

GRIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Strides of the grids that networks have: the usual three, with P6, with P2, and those of the tiny v3."""

NORMALISED = 1.5
"""Boxes whose numbers are all below this are in parts of the input, not in pixels: those of a whole network do not all
lie within a pixel and a half."""


class Table(NamedTuple):
    """An output with `rows` rows of `channels` numbers; channels_first: it is stored the other way round."""

    port: Port
    rows: int
    channels: int
    channels_first: bool
    strides: tuple[int, ...]

    def view(self, outputs: Outputs) -> Floats:
        """(rows, channels) of a run's output; no copy."""
        array = outputs[self.port.name]
        if self.channels_first:
            return array.reshape(self.channels, self.rows).T
        return array.reshape(self.rows, self.channels)


def find_table(evidence: Evidence, anchors: int = 1) -> tuple[Table, tuple[Port, ...]] | None:
    """The one output with a row for each anchor of each cell, and the other outputs; None unless there is just one.

    The other outputs may be prototypes of masks, or maps of the grids that the table was made from.
    """
    found = [table for port in evidence.outputs if (table := _table(evidence, port, anchors)) is not None]
    if len(found) != 1:
        return None
    others = tuple(port for port in evidence.outputs if port is not found[0].port)
    return (found[0], others) if all(_is_map(evidence, port) for port in others) else None


def _table(evidence: Evidence, port: Port, anchors: int) -> Table | None:
    shape = bare(port.shape)
    if len(shape) != 2:
        return None
    for strides in GRIDS:
        rows = anchors * evidence.cells(*strides)
        if shape[1] == rows and shape[0] >= 5:
            return Table(port, rows, shape[0], True, strides)
        if shape[0] == rows and shape[1] >= 5:
            return Table(port, rows, shape[1], False, strides)
    return None


def _is_map(evidence: Evidence, port: Port) -> bool:
    """Whether an output has a grid's height and width side by side."""
    pairs = list(zip(port.shape[1:], port.shape[2:], strict=False))
    return any(evidence.grid(stride) in pairs for stride in (4, 8, 16, 32, 64))


def probe(evidence: Evidence, table: Table) -> Floats:
    """(rows, channels) of a run on a made-up picture, without NaN."""
    return np.nan_to_num(table.view(evidence.values), nan=0.0)


def are_scores(values: Floats) -> bool:
    """Whether all numbers may be probabilities, but for what quantisation adds."""
    return bool(values.min() >= -0.02 and values.max() <= 1.02)


def box_unit(evidence: Evidence, table: Table) -> Floats:
    """Size in px of the unit of boxes: float32 (4,), ones, or the input's size where boxes are parts of it.

    Exports to TensorFlow Lite and SavedModel have parts of the input (whose layout is NHWC), all others px.
    """
    if evidence.metadata.producer == "ultralytics" and is_nchw(evidence.picture.shape):
        return PX
    return corners_unit(evidence.size) if probe(evidence, table)[:, :4].max() <= NORMALISED else PX


def objects(rows: Floats, unit: Floats, names: tuple[str, ...]) -> tuple[Detections, Floats]:
    """Rows of `decode_yolo` as objects, and the rows that these are: a box without area is none.

    unit : float32 (4,) px of the boxes' unit.
    """
    boxes, scores, labels, chosen = as_objects(rows, unit)
    return Detections(boxes, scores, labels, None, names), rows if chosen is None else rows[chosen]


def sources(rows: Floats) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Numbers of the rows of the tensor that detections come from."""
    return rows[:, 6].astype(np.intp)


def end_to_end(table: Floats, settings: Settings) -> Floats:
    """Rows x1, y1, x2, y2, score, class, ... that the network itself has chosen, as `decode_yolo` gives them."""
    scores, labels = table[:, 4], table[:, 5]
    sound = np.isfinite(table[:, :5]).all(1) & (scores >= settings.score) & (labels >= 0) & (labels < 2**24)
    chosen = np.flatnonzero(sound)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][: settings.top]
    return np.column_stack([labels[chosen], scores[chosen], table[chosen, :4], chosen]).astype(np.float32)


class Extra(Protocol):
    """What rows hold behind box and scores."""

    @property
    def channels(self) -> int:
        """How many numbers of a row that is."""

    def added(self, found: Detections, values: Floats, outputs: Outputs, unit: Floats) -> Detections:
        """Objects with what `values`, float32 (n, channels), say of them."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """Box and scores are all."""

    channels: int = 0

    def added(self, found: Detections, values: Floats, outputs: Outputs, unit: Floats) -> Detections:
        """The same objects."""
        return found


@dataclass(frozen=True, slots=True)
class KeyPoints:
    """Points of each object. count : of the points. numbers : x and y, and the probability that the point is seen."""

    count: int
    numbers: int

    @property
    def channels(self) -> int:
        """Numbers of a row."""
        return self.count * self.numbers

    def added(self, found: Detections, values: Floats, outputs: Outputs, unit: Floats) -> Detections:
        """Objects with their points."""
        points = np.nan_to_num(values).reshape(len(found), self.count, self.numbers)
        places = np.clip(points[..., :2], -FARTHEST, FARTHEST) * unit[:2]
        seen = np.clip(points[..., 2], 0, 1) if self.numbers > 2 else None
        return replace(found, keypoints=places, keypoint_scores=seen)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Factors of prototypes, whose sum is an object's mask: more than 0 inside (a logit).

    port : the prototypes, (1, channels, h, w) or, with `last`, (1, h, w, channels), of the grid of stride `STRIDE`.
    """

    STRIDE: ClassVar = 4

    port: str
    channels: int
    last: bool

    def added(self, found: Detections, values: Floats, outputs: Outputs, unit: Floats) -> Detections:
        """Objects with their masks, computed where their boxes lie."""
        prototypes = outputs[self.port]
        prototypes = prototypes[0].transpose(2, 0, 1) if self.last else prototypes[0]
        rows, columns = prototypes.shape[1:]
        # A prototype's pixel more on each side: the mask's outline at the box is interpolated.
        cells = found.boxes / self.STRIDE + np.array([-1, -1, 2, 2])
        cells = np.clip(cells, 0, [columns, rows] * 2).astype(np.intp)
        patches = []
        with np.errstate(all="ignore"):
            for (x1, y1, x2, y2), factors in zip(cells.tolist(), values, strict=True):
                part = prototypes[:, y1:y2, x1:x2]
                patches.append((factors @ part.reshape(self.channels, -1)).reshape(part.shape[1:]))
        return replace(found, masks=Masks(tuple(patches), cells.astype(np.float32) * self.STRIDE))


def find_prototypes(evidence: Evidence, others: Sequence[Port]) -> Coefficients | None:
    """The prototypes of masks, where they are the only other output: a map at a quarter of the input's size."""
    if len(others) == 1 and len(others[0].shape) == 4:
        (port,) = others
        if port.shape[2:] == evidence.grid(Coefficients.STRIDE):
            return Coefficients(port.name, port.shape[1], False)
        if port.shape[1:3] == evidence.grid(Coefficients.STRIDE):
            return Coefficients(port.name, port.shape[3], True)
    return None


class Dense:
    """Boxes of a table as the kernel decodes them; then what its rows hold besides, of those that are left.

    layout, cells : of `decode_yolo`. unit : float32 (4,) px of the unit of boxes.
    """

    task: Task = "detect"

    def __init__(
        self,
        family: str,
        table: Table,
        names: tuple[str, ...],
        defaults: Settings,
        *,
        layout: str = "cxcywh",
        cells: Floats | None = None,
        unit: Floats = PX,
        extra: Extra | None = None,
    ) -> None:
        self.family = family
        self.names = names
        self.defaults = defaults
        self._table = table
        self._layout = layout
        self._cells = cells
        self._unit = unit
        self._extra = extra or Nothing()
        self.classes = table.channels - 4 - layout.endswith("-obj") - self._extra.channels

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        found, values = self._decoded(outputs, settings, settings.iou, -1, settings.top)
        return found if values is None else self._extra.added(found, values, outputs, self._unit)

    def _decoded(
        self, outputs: Outputs, settings: Settings, iou: float | None, most: int, top: int | None
    ) -> tuple[Detections, Floats | None]:
        """Objects, and float32 (n, channels) of what their rows hold besides, if anything.

        iou, most, top : `iou_threshold`, `top_k` and `keep_top_k` of `decode_yolo`.
        """
        rows = decode_yolo(
            outputs[self._table.port.name],
            layout=self._layout,
            classes=self.classes,
            cells=self._cells,
            channels_first=self._table.channels_first,
            score_threshold=settings.score,
            iou_threshold=iou,
            top_k=most,
            keep_top_k=top,
            agnostic=settings.agnostic,
        )
        found, rows = objects(rows, self._unit, self.names)
        if not self._extra.channels:
            return found, None
        return found, self._table.view(outputs)[sources(rows), self._table.channels - self._extra.channels :]
