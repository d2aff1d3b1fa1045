"""SSD networks that give every prior's box and scores: whoever reads them suppresses overlapping boxes.

Decoded: boxes as x1, y1, x2, y2 in [0, 1] and probabilities with the background first, (1, n, 4) and (1, n, classes)
    (ONNX files of qfgaohao/pytorch-ssd and its descendants).
Raw: offsets from priors, which the file does not have: they are made here for networks whose number of priors tells
    which they are. PyTorch's have offsets of x, y, w, h and a softmax; TensorFlow's those of y, x, h, w and a sigmoid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saccade.kernels import decode_ssd, decode_yolo, nms
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers import priors
from saccade.predict.parsers.common import (
    are_chances,
    corners_unit,
    from_rows,
    just_below,
    logit,
    own_names,
    sigmoid,
    softmax,
    sound,
)
from saccade.predict.parsers.face_priors import SMALL_FACES
from saccade.results import Detections

VARIANCES = (0.1, 0.1, 0.2, 0.2)

_PYTORCH: dict[str, Any] = {"swap_rb": True, "mean": (127.0,) * 3, "scale": (128.0,) * 3}
_VGG: dict[str, Any] = {"swap_rb": True, "mean": (123.0, 117.0, 104.0)}
_NVIDIA: dict[str, Any] = {"swap_rb": True, "mean": (128.0,) * 3, "scale": (128.0,) * 3}
_TENSORFLOW: dict[str, Any] = {"swap_rb": True, "mean": (127.5,) * 3, "scale": (127.5,) * 3}

_MOST, _MOST_OF_A_CLASS = 10_000, 400
"""Boxes that are looked at, best first: at thresholds near 0 all others are noise."""

_LEAST_PRIORS = 1000
"""An SSD has more; fewer boxes with scores are queries of a transformer."""


@dataclass(frozen=True, slots=True)
class Tables:
    """Two outputs of as many rows. channels_first : (1, 4, n) and (1, classes, n)."""

    boxes: Port
    scores: Port
    count: int
    classes: int
    channels_first: bool


def claims(evidence: Evidence) -> Claims:
    """Boxes in [0, 1] beside a softmax; or as many offsets as a known set of priors has."""
    tables = find_tables(evidence)
    if tables is None or tables.count < _LEAST_PRIORS or tables.classes < 2 or _is_ultraface(evidence, tables):
        return
    names = own_names(evidence, first=1, classes=tables.classes)
    boxes, scores = evidence.values[tables.boxes.name], evidence.values[tables.scores.name]
    probable = tables.scores.layer_type == "Softmax" or _sums_to_one(_rows(scores, tables))
    if probable and _are_boxes(_rows(boxes, tables)):
        sure = tables.scores.layer_type == "Softmax" and "Exp" in tables.boxes.after
        changes = _VGG if tables.count in map(_boxes_of, (priors.VGG300, priors.VGG512)) else _PYTORCH
        yield Claim("ssd", "detect", 2 if sure else 1, f"{tables.count} boxes in [0, 1] and probabilities",
                    DecodedSsd(tables, names, evidence.size), changes)  # fmt: skip
        return
    for why, parser, changes in _raw(evidence, tables, names, probable=probable):
        yield Claim("ssd", "detect", 1, why, parser, changes)


def find_tables(evidence: Evidence) -> Tables | None:
    """The boxes and scores of a network that has nothing else."""
    if len(evidence.outputs) != 2 or any(len(port.shape) not in (2, 3) or port.attributes for port in evidence.outputs):
        return None
    shapes = [(1, *port.shape)[-3:] for port in evidence.outputs]
    if any(shape[0] != 1 for shape in shapes):
        return None
    for first in (False, True):
        rows, columns = (2, 1) if first else (1, 2)
        if shapes[0][rows] != shapes[1][rows] or shapes[0][rows] <= max(shape[columns] for shape in shapes):
            continue
        places = [i for i in (0, 1) if shapes[i][columns] == 4]
        if len(places) == 2:
            chances = [i for i in places if evidence.outputs[i].layer_type == "Softmax"]
            named = [i for i in places if "box" in evidence.outputs[i].name.lower()]
            places = [1 - chances[0]] if len(chances) == 1 else named
        if len(places) == 1:
            boxes, scores = (evidence.outputs[i] for i in (places[0], 1 - places[0]))
            return Tables(boxes, scores, shapes[0][rows], shapes[1 - places[0]][columns], first)
    return None


def _rows(values: Floats, tables: Tables) -> Floats:
    """(n, columns) of an output."""
    table = values.reshape(values.shape[-2:])
    return table.T if tables.channels_first else table


def _sums_to_one(scores: Floats) -> bool:
    return are_chances(scores) and bool((abs(scores.sum(1) - 1) <= 0.02).all())


def _are_boxes(boxes: Floats) -> bool:
    """Corners in [0, 1], or a little outside, in the right order: offsets are in the wrong order every other time."""
    ordered = (boxes[:, 2:] > boxes[:, :2]).all(1).mean() if len(boxes) else 0.0
    return bool(ordered > 0.98 and (abs(boxes - 0.5) <= 2).all())


def _is_ultraface(evidence: Evidence, tables: Tables) -> bool:
    """As many priors as UltraFace has on such an input, and its two or three scores: a family of its own."""
    if tables.classes > 3 or evidence.head == "ssd":
        return False
    return tables.count == sum(len(sides) * evidence.cells(stride) for stride, sides in SMALL_FACES.items())


def _boxes_of(layers: priors.Layers) -> int:
    return sum(cells**2 * (2 + 2 * len(ratios)) for cells, _, _, _, ratios in layers)


def _raw(
    evidence: Evidence, tables: Tables, names: tuple[str, ...], *, probable: bool
) -> Iterator[tuple[str, RawSsd, dict[str, Any]]]:
    """Parsers with the priors of networks that have as many of them on such an input."""
    height, width = size = evidence.size
    if (height, width) == (300, 300) and tables.channels_first:
        if tables.count == _boxes_of(priors.VGG300):
            boxes = priors.nvidia_ssd300()
            yield "the 8732 priors of NVIDIA's SSD300", RawSsd(tables, boxes, names, size, done=probable), _NVIDIA
        return
    for layers, side, changes in (
        (priors.VGG300, 300, _VGG), (priors.MOBILENET300, 300, _PYTORCH), (priors.VGG512, 512, _VGG)
    ):  # fmt: skip
        if (height, width) == (side, side) and tables.count == _boxes_of(layers):
            boxes = priors.pytorch_ssd(layers, side)
            why = f"the {len(boxes)} priors of a PyTorch SSD{side}"
            yield why, RawSsd(tables, boxes, names, size, done=probable), changes
    sets = [priors.tensorflow_fpn(height, width)] + ([priors.tensorflow_ssd(height)] if height == width else [])
    for anchors in sets:
        if tables.count == len(anchors) and not probable:
            done = tables.scores.layer_type == "Sigmoid"
            parser = RawSsd(tables, anchors, names, size, done=done, tensorflow=True)
            yield f"the {len(anchors)} anchors of TensorFlow's SSD", parser, _TENSORFLOW


class DecodedSsd:
    """Every class that scores is an object; label 0 is the background."""

    family = "ssd"
    task: Task = "detect"
    defaults = Settings(score=0.4, iou=0.45)

    def __init__(self, tables: Tables, names: tuple[str, ...], size: tuple[int, int]) -> None:
        self.names = names
        self._tables = tables
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        tables = self._tables
        scores = outputs[tables.scores.name]
        rows = decode_yolo(
            outputs[tables.boxes.name],
            layout="xyxy",
            scores=scores[..., 1:, :] if tables.channels_first else scores[..., 1:],
            channels_first=tables.channels_first,
            every_class=True,
            top_k=_MOST,
            **settings.limits(),
        )
        return from_rows(rows, self._unit, self.names, first_label=1)


class RawSsd:
    """Offsets from priors.

    boxes : the priors. done : the scores are probabilities already; otherwise they still need a softmax, or
        TensorFlow's a sigmoid. tensorflow : offsets of y, x, h, w.
    """

    family = "ssd"
    task: Task = "detect"
    defaults = Settings(score=0.4, iou=0.45)

    def __init__(
        self,
        tables: Tables,
        boxes: Floats,
        names: tuple[str, ...],
        size: tuple[int, int],
        *,
        done: bool,
        tensorflow: bool = False,
    ) -> None:
        self.names = names
        self._tables = tables
        # The kernel's x and y are whatever comes first.
        self._columns = [1, 0, 3, 2] if tensorflow else [0, 1, 2, 3]
        self._priors = np.ascontiguousarray(boxes[:, self._columns])
        self._done = done
        self._sigmoid = tensorflow and not done
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        tables = self._tables
        loc, scores = (_rows(outputs[port.name], tables) for port in (tables.boxes, tables.scores))
        boxes, least = self._priors, settings.score
        if self._sigmoid:
            least = logit(settings.score)
        elif not self._done:
            # A class reaches p only where it is that far above the background: few rows need their softmax.
            with np.errstate(invalid="ignore", over="ignore"):
                rows = np.flatnonzero(scores[:, 1:].max(1) - scores[:, 0] >= logit(settings.score))
            loc, scores, boxes = loc[rows], softmax(scores[rows]), boxes[rows]
        found = decode_ssd(
            loc, scores, boxes, variances=VARIANCES, background=0, score_threshold=just_below(least),
            iou_threshold=1 if settings.agnostic else settings.iou, top_k=_MOST_OF_A_CLASS, keep_top_k=-1,
        )  # fmt: skip
        if settings.agnostic:
            found = found[nms(found[:, 2:], found[:, 1], settings.iou)]
        chances = sigmoid(found[:, 1]) if self._sigmoid else found[:, 1]
        corners = found[:, 2:][:, self._columns] * self._unit
        return sound(corners, chances, found[:, 0], self.names, settings.top)
