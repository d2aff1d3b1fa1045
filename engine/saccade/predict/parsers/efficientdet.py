"""EfficientDet: lists of (image, ymin, xmin, ymax, xmax, score, class), and the raw heads behind them.

Lists: (1, n, 7), boxes in px of the input, classes from 1; not the columns of DetectionOutput.
Raw: ty, tx, th, tw and a score a class for each of nine anchors a cell at strides 8 to 128, in two tables or in two
    maps a level; classes from 0 there, which is 1 in the lists.
Source: google/automl `efficientdet/tf2/postprocess.py`, `anchors.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from saccade.kernels import decode_ssd, nms
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, is_nchw
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import corners_unit, just_below, logit, own_names, sigmoid, sound
from saccade.predict.parsers.priors import efficientdet
from saccade.results import Detections

ANCHORS = 9
_MOST = 400
"""Boxes of a class and level that are looked at, best first."""

_LITE: dict[str, Any] = {"mean": (127.0,) * 3, "scale": (128.0,) * 3}
_IMAGENET: dict[str, Any] = {"mean": (123.675, 116.28, 103.53), "scale": (58.395, 57.12, 57.375)}


def claims(evidence: Evidence) -> Claims:
    """A list whose numbers are those columns; or as many rows, or cells, as there are anchors."""
    if len(evidence.outputs) == 1:
        (port,) = evidence.outputs
        form = len(port.shape) in (2, 3) and port.shape[-1] == 7 and port.layer_type != "DetectionOutput"
        if form and _is_list(evidence.values[port.name].reshape(-1, 7)):
            parser = EfficientDetList(port, own_names(evidence, first=1, classes=90))
            why = "rows of image, box, score and class"
            yield Claim("efficientdet", "detect", 2, why, parser, _input(evidence, _LITE))
        return
    heads = _tables(evidence) or _maps(evidence)
    if heads is not None:
        classes = heads[1][0].shape[-1] if len(heads[1]) == 1 else _map_channels(evidence, heads[1][0]) // ANCHORS
        parser_ = RawEfficientDet(*heads, classes, own_names(evidence, first=1, classes=classes), evidence)
        why = f"nine anchors a cell at strides 8 to 128, {classes} classes"
        yield Claim("efficientdet", "detect", 2, why, parser_, _input(evidence, _IMAGENET))


def _input(evidence: Evidence, norm: dict[str, Any]) -> dict[str, Any]:
    placed: dict[str, Any] = {"swap_rb": True, "resize": "letterbox-top-left", "pad": 0}
    return placed | (norm if evidence.picture.dtype.kind == "f" else {})


def _is_list(rows: Floats) -> bool:
    """Whether numbers of one run are such a list's, and nobody else's: one image, whole classes from 1 on after a
    score, boxes the right way round.
    """
    rows = rows[rows[:, 5] > 0]
    if not len(rows) or not np.isfinite(rows).all():
        return False
    image, score, label = rows[:, 0], rows[:, 5], rows[:, 6]
    ordered = (rows[:, 3:5] >= rows[:, 1:3]).all()
    numbered = (label == np.rint(label)).all() and label.min() >= 1
    return bool(ordered and numbered and (image == image[0]).all() and image[0] in (0, 1) and (score <= 1).all())


def _tables(evidence: Evidence) -> tuple[list[Port], list[Port]] | None:
    """(1, anchors, 4) and (1, anchors, classes), beside which there may be the anchors and feature maps."""
    count = sum(ANCHORS * evidence.cells(stride) for stride in (8, 16, 32, 64, 128))
    fitting = [port for port in evidence.outputs if port.shape[:-1] in ((1, count), (count,))]
    boxes = [port for port in fitting if port.shape[-1] == 4 and "anchor" not in port.name.lower()]
    scores = [port for port in fitting if port.shape[-1] != 4]
    others = [port for port in evidence.outputs if port not in fitting]
    if len(boxes) == 1 and len(scores) == 1 and all(len(port.shape) == 4 for port in others):
        return boxes, scores
    return None


def _maps(evidence: Evidence) -> tuple[list[Port], list[Port]] | None:
    """Ten maps, two a level: of 36 channels and of nine times the classes; the finest level first."""
    if len(evidence.outputs) != 10 or any(len(port.shape) != 4 for port in evidence.outputs):
        return None
    boxes, scores = [], []
    for stride in (8, 16, 32, 64, 128):
        level = [port for port in evidence.outputs if _map_cells(evidence, port) == evidence.grid(stride)]
        found = [port for port in level if _map_channels(evidence, port) == 4 * ANCHORS]
        rest = [port for port in level if port not in found and _map_channels(evidence, port) % ANCHORS == 0]
        if len(found) != 1 or len(rest) != 1:
            return None
        boxes += found
        scores += rest
    return (boxes, scores) if len({_map_channels(evidence, port) for port in scores}) == 1 else None


def _channels_first(evidence: Evidence) -> bool:
    return is_nchw(evidence.picture.shape)


def _map_cells(evidence: Evidence, port: Port) -> tuple[int, ...]:
    return port.shape[2:] if _channels_first(evidence) else port.shape[1:3]


def _map_channels(evidence: Evidence, port: Port) -> int:
    return port.shape[1] if _channels_first(evidence) else port.shape[3]


class EfficientDetList:
    """The network itself has removed overlapping boxes."""

    family = "efficientdet"
    task: Task = "detect"
    defaults = Settings(score=0.4)

    def __init__(self, output: Port, names: tuple[str, ...]) -> None:
        self.names = names
        self._output = output.name

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        rows = outputs[self._output].reshape(-1, 7)
        rows = rows[rows[:, 5] >= settings.score]
        return sound(rows[:, [2, 1, 4, 3]], rows[:, 5], rows[:, 6], self.names, settings.top)


class RawEfficientDet:
    """Offsets from anchors, and a logit (or a probability) a class."""

    family = "efficientdet"
    task: Task = "detect"
    defaults = Settings(score=0.4, iou=0.5)

    def __init__(
        self, boxes: Sequence[Port], scores: Sequence[Port], classes: int, names: tuple[str, ...], evidence: Evidence
    ) -> None:
        self.names = names
        levels = efficientdet(*evidence.size)
        if len(boxes) == 1:
            levels = [np.concatenate(levels)]
        # The kernel's x and y are whatever comes first: here it is y.
        self._levels = [
            (box.name, score.name, np.ascontiguousarray(anchors[:, [1, 0, 3, 2]]))
            for box, score, anchors in zip(boxes, scores, levels, strict=True)
        ]
        self._classes = classes
        self._probable = scores[0].layer_type == "Sigmoid"
        self._turned = len(boxes) > 1 and _channels_first(evidence)
        self._unit = corners_unit(evidence.size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        least = just_below(settings.score if self._probable else logit(settings.score))
        levels = [
            decode_ssd(
                self._table(outputs[boxes], 4), self._table(outputs[scores], self._classes), anchors,
                variances=(1.0,) * 4, background=None, score_threshold=least,
                iou_threshold=1 if settings.agnostic else settings.iou, top_k=_MOST,
                keep_top_k=-1,
            )
            for boxes, scores, anchors in self._levels
        ]  # fmt: skip
        rows = np.concatenate(levels)
        rows = rows[np.isfinite(rows).all(1)]
        kept = nms(rows[:, 2:], rows[:, 1], settings.iou, labels=None if settings.agnostic else rows[:, 0])
        rows = rows[kept]
        chances = rows[:, 1] if self._probable else sigmoid(rows[:, 1])
        return sound(rows[:, [3, 2, 5, 4]] * self._unit, chances, rows[:, 0] + 1, self.names, settings.top)

    def _table(self, values: Floats, columns: int) -> Floats:
        """(anchors, columns) of an output."""
        if not self._turned:
            return values.reshape(-1, columns)
        _, _, height, width = values.shape
        return values.reshape(ANCHORS, columns, height, width).transpose(2, 3, 0, 1).reshape(-1, columns)
