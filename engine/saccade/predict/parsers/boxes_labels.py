"""Networks that list their objects: boxes, labels, scores and masks in outputs of their own, a row an object.

boxes-labels : boxes (n, 5) of x1, y1, x2, y2 (input px), score; and labels (n,). OpenVINO Model API, Geti, Open Model
    Zoo (ATSS, SSD variants).
boxes-labels-scores : boxes (n, 4), labels (n,), scores (n,), the boxes in px of the input or in [0, 1]. TorchVision's
    detectors, SSD of the ONNX model zoo.
mask-rcnn : one or the other with masks, (n, h, w), (n, 1, h, w) or (n, classes, h, w), each covering its box.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import are_chances, best_first, coco_names, corners_unit, own_names, whole
from saccade.results import Detections, Masks

TORCHVISION: dict[str, Any] = {"swap_rb": True, "scale": (255.0,) * 3}
"""Input of TorchVision's detectors; mean and standard deviation are in the graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Names of outputs.

    scores : None where they are the fifth column of the boxes. count : how many rows are real; None: all.
    """

    boxes: str
    labels: str
    scores: str | None = None
    count: str | None = None
    masks: str | None = None


def claims(evidence: Evidence) -> Claims:
    """An output of four or five columns, and others of as many rows."""
    found = find_lists(evidence)
    if found is None:
        return
    boxes, vectors, masks, left = found
    if left or len(evidence.outputs) > 4:
        return
    columns, masks_name = boxes.shape[-1], None if masks is None else masks.name
    if columns == 5 and len(vectors) == 1:
        (labels,) = vectors
        if not labels.integer and not _is_whole(evidence.values[labels.name]):
            return
        lists = Lists(boxes=boxes.name, labels=labels.name, masks=masks_name)
        why, changes, names = "boxes of five numbers, and a label each", dict[str, Any](), own_names(evidence)
        family = "boxes-labels"
    elif columns == 4 and len(vectors) == 2 and not size_inputs(evidence):
        pair = labels_and_scores(evidence, vectors)
        if pair is None:
            return
        labels, scores = pair
        lists = Lists(boxes=boxes.name, labels=labels.name, scores=scores.name, masks=masks_name)
        why, changes, names = "boxes, and a label and a score each", TORCHVISION, own_names(evidence, first=1)
        if len(boxes.shape) == 2 and _are_coco(evidence.names):
            names = coco_names(evidence.names)
        family = "boxes-labels-scores"
    else:
        return
    if masks is not None:
        family, why = "mask-rcnn", f"{why}, with masks"
    yield Claim(family, "detect", 2, why, ListedObjects(family, lists, names, evidence.size), changes,
                image_info(evidence))  # fmt: skip


_OF_COCO = {0: "person", 11: "stopsign", 25: "umbrella", 40: "wineglass", 59: "bed", 79: "toothbrush"}


def _are_coco(names: tuple[str, ...]) -> bool:
    """Whether names are those of COCO's 80 classes. TorchVision's networks count these from 1 to 90, with gaps, and
    give their boxes without a batch; SSD of the ONNX model zoo, whose boxes have one, counts them from 1 to 80.
    """
    return len(names) == 80 and all(re.sub("[^a-z]", "", names[i].lower()) == name for i, name in _OF_COCO.items())


def find_lists(evidence: Evidence) -> tuple[Port, list[Port], Port | None, list[Port]] | None:
    """Boxes, the vectors of as many numbers, the masks of as many rows or None, and what else there is."""
    tables = [port for port in evidence.outputs if is_table(port, 4) or is_table(port, 5)]
    if len(tables) != 1:
        return None
    (boxes,) = tables
    count = boxes.shape[-2]
    others = [port for port in evidence.outputs if port is not boxes]
    vectors = [port for port in others if is_vector(port, count)]
    masks = [port for port in others if is_masks(port, count)]
    left = [port for port in others if port not in vectors and port not in masks]
    return (boxes, vectors, masks[0] if masks else None, left + masks[1:])


def is_table(port: Port, columns: int) -> bool:
    """(n, columns) or (1, n, columns)."""
    return len(port.shape) in (2, 3) and port.shape[-1] == columns and port.shape[:-2] in ((), (1,))


def is_vector(port: Port, count: int) -> bool:
    """`count` numbers, in any arrangement that does not break them up."""
    return len(port.shape) <= 3 and [d for d in port.shape if d != 1] == ([count] if count != 1 else [])


def is_masks(port: Port, count: int) -> bool:
    """(n, h, w) or (n, classes, h, w), with or without a leading one, of masks that deserve the name."""
    shape = port.shape[1:] if len(port.shape) in (4, 5) and port.shape[0] == 1 != count else port.shape
    return len(shape) in (3, 4) and shape[0] == count and all(d == -1 or d >= 7 for d in shape[-2:])


def labels_and_scores(evidence: Evidence, ports: Sequence[Port]) -> tuple[Port, Port] | None:
    """Which of two vectors has the labels: that of whole numbers, else the one whose name says so."""
    one, other = ports
    if one.integer != other.integer:
        return (one, other) if one.integer else (other, one)
    values = [evidence.values[port.name] for port in ports]
    chances = [are_chances(value) and not _is_whole(value) for value in values]
    if chances[0] != chances[1] and _is_whole(values[chances[0]]):
        return (other, one) if chances[0] else (one, other)
    named = [re.search("label|class|cls", port.name.lower()) is not None for port in ports]
    if named[0] == named[1]:
        named = [re.search("score|conf|prob", port.name.lower()) is None for port in ports]
    if named[0] == named[1]:
        return None
    return (one, other) if named[0] else (other, one)


def _is_whole(values: Floats) -> bool:
    return bool(np.isfinite(values).all() and (values == np.rint(values)).all())


def size_inputs(evidence: Evidence) -> list[Port]:
    """Inputs of two numbers, which are the size that a transformer's export gives its boxes for."""
    return [port for port in evidence.network.inputs if port is not evidence.picture and port.shape in ((1, 2), (2,))]


def image_info(evidence: Evidence) -> Mapping[str, NDArray[np.float32]]:
    """Of networks of the Open Model Zoo a second input: height and width of the picture, and how far it was scaled."""
    height, width = evidence.size
    return {
        port.name: np.resize(np.array([height, width, 1], np.float32), port.shape)
        for port in evidence.network.inputs
        if port is not evidence.picture and port.shape in ((1, 3), (1, 6))
    }


class ListedObjects:
    """The network itself has removed overlapping boxes.

    order : of a box's corners. unit : px of the network's input; parts of it; or, where nobody says, what the numbers
    look like.
    """

    task: Task = "detect"

    def __init__(
        self,
        family: str,
        lists: Lists,
        names: tuple[str, ...],
        size: tuple[int, int],
        *,
        order: Literal["xyxy", "yxyx"] = "xyxy",
        unit: Literal["px", "part", ""] = "",
        score: float = 0.5,
    ) -> None:
        self.family = family
        self.names = names
        self.defaults = Settings(score=score)
        self._lists = lists
        self._columns = [0, 1, 2, 3] if order == "xyxy" else [1, 0, 3, 2]
        self._unit_is = unit
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        lists = self._lists
        rows = outputs[lists.boxes]
        rows = rows.reshape(-1, rows.shape[-1])
        scores = rows[:, 4] if lists.scores is None else outputs[lists.scores].reshape(-1)
        labels = outputs[lists.labels].reshape(-1)
        count = min(len(rows), len(scores), len(labels), self._real(outputs))
        keep = np.flatnonzero(scores[:count] >= settings.score)
        boxes = rows[keep][:, self._columns]
        if self._unit_is == "part" or (not self._unit_is and (abs(rows[:count, :4]) <= 2).all()):
            boxes = boxes * self._unit
        order = best_first(boxes, scores[keep], settings.top)
        chosen, boxes = keep[order], boxes[order].astype(np.float32)
        kinds = whole(labels[chosen])
        return Detections(
            boxes=boxes,
            scores=np.clip(scores[chosen], 0, 1).astype(np.float32),
            labels=kinds,
            names=self.names,
            masks=None if lists.masks is None else masks_of(outputs[lists.masks], len(rows), chosen, kinds, boxes),
        )

    def _real(self, outputs: Outputs) -> int:
        """How many rows are real."""
        if self._lists.count is None:
            return 2**31
        count = float(outputs[self._lists.count].reshape(-1)[0])
        return int(min(max(count, 0), 2**31)) if np.isfinite(count) else 0


def masks_of(masks: Floats, count: int, chosen: NDArray[np.intp], labels: NDArray[np.int32], boxes: Floats) -> Masks:
    """Masks of the chosen rows; of networks with a mask a class, that of the object's class."""
    if not len(chosen):
        return Masks((), boxes)
    masks = masks.reshape(count, -1, *masks.shape[-2:])
    classes = masks.shape[1]
    patches = [masks[row, min(max(label, 0), classes - 1)] for row, label in zip(chosen, labels, strict=True)]
    return Masks(tuple(inside(patch) for patch in patches), boxes)


def inside(patch: Floats) -> Floats:
    """More than 0 where an object is, from probabilities (0.5 is its outline) or logits."""
    patch = np.nan_to_num(patch, nan=-1.0)
    return np.ascontiguousarray(patch - 0.5 if are_chances(patch) else patch, np.float32)
