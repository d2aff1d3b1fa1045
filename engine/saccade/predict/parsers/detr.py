"""Detection transformers: a box as centre and size in [0, 1] and scores for each query; nothing is suppressed.

detr : `logits` (1, q, classes + 1) that go through a softmax, whose last column is "no object"; `pred_boxes` (1, q, 4).
rt-detr : RT-DETR, D-FINE, Deformable and Conditional DETR: the same with a sigmoid and without that column; the best of
    all pairs of query and class count, so that a query may give two objects. Ultralytics' files have one table of box,
    scores (1, q, 4 + classes), or of box, score, class (1, q, 6).
rf-detr : like rt-detr, called `dets` and `labels`, perhaps with masks of the whole picture, (1, q, h, w), as logits.
Original exports of RT-DETR and D-FINE take `orig_target_sizes` and give labels, boxes (corners, px) and scores.
Sources: huggingface/transformers `models/detr`, `models/rt_detr`, roboflow/rf-detr `PostProcess`, ultralytics
`models/rtdetr/predict.py`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.kernels import decode_yolo
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.boxes_labels import ListedObjects, Lists, find_lists, labels_and_scores, size_inputs
from saccade.predict.parsers.common import are_chances, best_first, corners_unit, own_names, softmax, sound, whole
from saccade.results import Detections, Masks

_PLAIN: dict[str, Any] = {"swap_rb": True, "scale": (255.0,) * 3}
_IMAGENET: dict[str, Any] = {"swap_rb": True, "mean": (123.675, 116.28, 103.53), "scale": (58.395, 57.12, 57.375)}

_MOST_QUERIES = 1000
_MOST_COLUMNS = 1500
_MOST_OBJECTS = 300
COCO_NUMBERS = 91
"""Classes of networks that count COCO's from 1 to 90, with 0 for nothing."""


def claims(evidence: Evidence) -> Claims:
    """Boxes and scores of queries, in two outputs, in one, or as lists in px of a size that is fed in."""
    if any(port.attributes for port in evidence.outputs):
        return  # inputs of a layer that was cut off
    yield from _listed(evidence)
    if len(evidence.outputs) == 1:
        yield from _one_table(evidence)
    tables = _two_tables(evidence)
    if tables is None:
        return
    classes = tables.scores.shape[-1]
    names = own_names(evidence, classes=classes)
    queries = f"{tables.boxes.shape[-2]} queries"
    if tables.boxes.name == "dets" or (tables.masks is not None and not _has_no_object(evidence, tables.scores)):
        family, why, changes = "rf-detr", f"{queries}, in outputs like RF-DETR's", _IMAGENET
    elif _has_no_object(evidence, tables.scores):
        family, why, changes = "detr", f"{queries}, with a last class that stands for no object", _IMAGENET
    else:
        family, why = "rt-detr", f"{queries}, each class by itself"
        changes = _IMAGENET if _wants_mean(evidence, classes) else _PLAIN
    probable = tables.scores.layer_type in ("Sigmoid", "Softmax") or are_chances(evidence.values[tables.scores.name])
    parser = Detr(family, tables, names, evidence.size, logits=not probable)
    yield Claim(family, "detect", 2 if tables.named else 1, why, parser, changes, _whole_picture(evidence))


def _wants_mean(evidence: Evidence, classes: int) -> bool:
    """Whether a network of sigmoids was trained with ImageNet's mean: as its file calls it; else those that number
    COCO's classes from 1 to 90 were, which are Deformable, Conditional and DAB DETR.
    """
    called = evidence.metadata.head.lower().replace("-", "").replace("_", "")
    if called.startswith(("rtdetr", "dfine")):
        return False
    return classes == COCO_NUMBERS or called.startswith(("deformable", "conditional", "dab"))


class Tables(NamedTuple):
    """Boxes (1, q, 4), scores (1, q, classes), masks (1, q, h, w) or None. named : they are called what they are."""

    boxes: Port
    scores: Port
    masks: Port | None
    named: bool


_NAMES = (("pred_boxes", "logits", "pred_masks"), ("dets", "labels", "masks"))


def _two_tables(evidence: Evidence) -> Tables | None:
    """The outputs that are a transformer's, found by their names, or by their shapes where there are no others."""
    ports = {port.name: port for port in evidence.outputs}
    found = None
    for boxes, scores, masks in _NAMES:
        if boxes in ports and scores in ports:
            found = Tables(ports[boxes], ports[scores], ports.get(masks), named=True)
    found = found or _by_shape(evidence)
    if found is None:
        return None
    shapes = found.boxes.shape, found.scores.shape
    if any(len(shape) != 3 or shape[0] != 1 for shape in shapes) or found.boxes.shape[2] != 4:
        return None
    queries = found.boxes.shape[1]
    alike = found.scores.shape[1] == queries and (found.masks is None or found.masks.shape[:2] == (1, queries))
    if not alike or not 0 < queries <= _MOST_QUERIES or found.scores.shape[2] < 1:
        return None
    return found if _are_centred(evidence.values[found.boxes.name]) else None


def _by_shape(evidence: Evidence) -> Tables | None:
    tables = [port for port in evidence.outputs if len(port.shape) == 3]
    masks = [port for port in evidence.outputs if len(port.shape) == 4]
    if len(tables) != 2 or len(masks) > 1 or len(tables) + len(masks) != len(evidence.outputs):
        return None
    boxes = [port for port in tables if port.shape[2] == 4]
    if len(boxes) == 2:
        # Logits of scores are negative nearly everywhere; where they are sigmoids, only the names can tell.
        centred = [port for port in tables if _are_centred(evidence.values[port.name])]
        boxes = centred if len(centred) == 1 else [port for port in tables if "box" in port.name.lower()]
    if len(boxes) != 1:
        return None
    (scores,) = [port for port in tables if port is not boxes[0]]
    return Tables(boxes[0], scores, masks[0] if masks else None, named=False)


def _whole_picture(evidence: Evidence) -> dict[str, NDArray[np.int64]]:
    """Of some exports a second input, `pixel_mask`: which pixels are the picture's. All are."""
    return {
        port.name: np.ones(port.shape, np.int64)
        for port in evidence.network.inputs
        if port is not evidence.picture and len(port.shape) == 3 and port.dtype.kind in "iub"
    }


def _are_centred(boxes: Floats) -> bool:
    """Centres in [0, 1] and sizes that fit a picture."""
    return bool(np.isfinite(boxes).all() and (boxes >= -0.05).all() and (boxes <= 1.5).all())


def _has_no_object(evidence: Evidence, scores: Port) -> bool:
    """Whether the last column is the class of queries that see nothing: the file's names or COCO's numbers leave one
    over, or it wins nearly everywhere on a picture of nothing, as sure of itself as no sigmoid is there.
    """
    classes = scores.shape[-1]
    if evidence.head in ("detr", "rt-detr", "rf-detr"):
        return evidence.head == "detr"
    if scores.layer_type in ("Sigmoid", "Softmax") or classes == 1:
        return scores.layer_type == "Softmax"
    numbers = evidence.metadata.label_ids
    known = max(numbers) + 1 if numbers else len(evidence.names)
    if classes == COCO_NUMBERS + 1 or known in (classes - 1, classes):
        return known != classes
    logits = evidence.values[scores.name].reshape(-1, classes)
    last = logits[:, -1]
    return bool((last >= logits.max(1)).mean() > 0.9 and np.median(last) > 0)


def _one_table(evidence: Evidence) -> Claims:
    """Ultralytics' files. Six columns may also be corners in px of another family, unless the numbers are too small."""
    (port,) = evidence.outputs
    if len(port.shape) != 3 or port.shape[0] != 1 or not 0 < port.shape[1] <= _MOST_QUERIES:
        return
    if not 5 <= port.shape[2] <= _MOST_COLUMNS:
        return
    said = evidence.metadata.head == "RTDETRDecoder" or evidence.head == "rt-detr"
    if evidence.metadata.head and not said:
        return
    # Tables with a row, or a column, a cell are other families'.
    grids = ((8, 16, 32), (8, 16, 32, 64), (16, 32))
    cells = {count * evidence.cells(*strides) for strides in grids for count in (1, 3)}
    if port.shape[2] in cells or (not said and port.shape[1] in cells):
        return
    values = evidence.values[port.name].reshape(port.shape[1:])
    if not said and not _are_rows_of_queries(values):
        return
    listed = port.shape[2] == 6 and bool((values[:, 5] == np.rint(values[:, 5])).all())
    names = own_names(evidence, classes=port.shape[2] - 4)
    parser = QueryRows(port, names, evidence.size, listed=listed)
    why = "metadata: RTDETRDecoder" if evidence.metadata.head else f"{port.shape[1]} queries with boxes in [0, 1]"
    yield Claim("rt-detr", "detect", 3 if evidence.metadata.head else 1, why, parser, _PLAIN)


def _are_rows_of_queries(values: Floats) -> bool:
    """Whether numbers of one run are boxes in [0, 1] beside probabilities, or beside a probability and a class."""
    boxes, rest = values[:, :4], values[:, 4:]
    if not _are_centred(boxes) or not (boxes.max(0) > 0).all():
        return False
    if rest.shape[1] == 2 and are_chances(rest[:, :1]):
        return bool((rest[:, 1] == np.rint(rest[:, 1])).all()) or are_chances(rest)
    return are_chances(rest)


def _listed(evidence: Evidence) -> Claims:
    """Exports that end in their post-processing, which wants to know the size (width, height) to give boxes for."""
    sizes = size_inputs(evidence)
    found = find_lists(evidence)
    if len(sizes) != 1 or found is None or found[0].shape[-1] != 4 or len(found[1]) != 2 or found[2] or found[3]:
        return
    pair = labels_and_scores(evidence, found[1])
    if pair is None:
        return
    lists = Lists(boxes=found[0].name, labels=pair[0].name, scores=pair[1].name)
    height, width = evidence.size
    size = np.array([width, height]).reshape(sizes[0].shape)
    names = own_names(evidence, first=0)
    parser = ListedObjects("rt-detr", lists, names, evidence.size, unit="px")
    why = f"labels, boxes and scores for a size that is fed in ({sizes[0].name})"
    yield Claim("rt-detr", "detect", 2, why, parser, _PLAIN, {sizes[0].name: size})


class Detr:
    """Of a softmax the best class of each query, unless that is "no object"; of sigmoids the best pairs of query and
    class. Masks are the whole picture's, as logits.
    """

    task: Task = "detect"
    defaults = Settings(score=0.5)

    def __init__(
        self, family: str, tables: Tables, names: tuple[str, ...], size: tuple[int, int], *, logits: bool
    ) -> None:
        self.family = family
        self.names = names
        self._boxes, self._scores = tables.boxes.name, tables.scores.name
        self._softmax = family == "detr"
        self._logits = logits
        self._masks = None if tables.masks is None else tables.masks.name
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        scores = outputs[self._scores]
        scores = scores.reshape(-1, scores.shape[-1])
        if self._softmax:
            scores = (softmax(scores) if self._logits else scores)[:, :-1]
        rows = decode_yolo(
            outputs[self._boxes].reshape(-1, 4),
            layout="cxcywh",
            scores=scores,
            sigmoid=self._logits and not self._softmax,
            score_threshold=settings.score,
            iou_threshold=None,
            every_class=not self._softmax,
            keep_top_k=_MOST_OBJECTS if settings.top is None else settings.top,
        )
        boxes = rows[:, 2:6] * self._unit
        order = best_first(boxes, rows[:, 1], settings.top)
        boxes, rows = boxes[order], rows[order]
        return Detections(
            boxes=boxes,
            scores=rows[:, 1].clip(0, 1),
            labels=whole(rows[:, 0]),
            names=self.names,
            masks=None if self._masks is None else self._cut(outputs[self._masks], rows[:, 6].astype(int), boxes),
        )

    def _cut(self, masks: Floats, queries: NDArray[Any], boxes: Floats) -> Masks:
        """The part of each query's mask that its box needs."""
        height, width = masks.shape[-2:]
        steps = np.asarray(self._unit / np.array([width, height, width, height], np.float32), np.float32)
        cells = boxes / steps
        low = np.floor(cells[:, :2]).clip(0, [width - 1, height - 1]).astype(int)
        high = np.maximum(np.ceil(cells[:, 2:]).clip(1, [width, height]).astype(int), low + 1)
        patches = tuple(
            np.nan_to_num(masks[0, query, y1:y2, x1:x2], nan=-1.0, posinf=1e6, neginf=-1e6)
            for query, (x1, y1), (x2, y2) in zip(queries, low, high, strict=True)
        )
        places: Floats = np.concatenate([low, high], 1).astype(np.float32)
        places *= steps
        return Masks(patches, places)


class QueryRows:
    """One row a query: box, then the probability of each class, or (listed) a probability and a class."""

    family = "rt-detr"
    task: Task = "detect"
    defaults = Settings(score=0.25)

    def __init__(self, output: Port, names: tuple[str, ...], size: tuple[int, int], *, listed: bool) -> None:
        self.names = names
        self.classes = None if listed else output.shape[2] - 4
        self._output = output.name
        self._listed = listed
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        rows = outputs[self._output].reshape(-1, outputs[self._output].shape[-1])
        if self._listed:
            scores, labels = rows[:, 4], rows[:, 5]
        else:
            # Ultralytics takes the best class of each query.
            labels = np.nan_to_num(rows[:, 4:], nan=-1.0).argmax(1)
            scores = rows[np.arange(len(rows)), 4 + labels]
        keep = np.flatnonzero(scores >= settings.score)
        boxes = corners(rows[keep, :4]) * self._unit
        return sound(boxes, scores[keep], labels[keep], self.names, settings.top)


def corners(boxes: Floats) -> Floats:
    """x1, y1, x2, y2 of boxes with centre and size."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], 1)
