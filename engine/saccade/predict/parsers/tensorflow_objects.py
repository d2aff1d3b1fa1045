"""TensorFlow's Object Detection API: boxes as ymin, xmin, ymax, xmax in [0, 1], classes, scores, their number.

tf-objects : frozen graphs and SavedModels, `detection_boxes`, `detection_scores`, `detection_classes` (from 1),
    `num_detections`, perhaps `detection_masks`. They resize and normalise by themselves and want RGB pixels; their
    `raw_...` outputs, and all others, are what these were made of.
tf-lists : four outputs like those of TFLite_Detection_PostProcess, in any order and by any name; classes are counted
    from 0 and the background is not one of them.
Source: tensorflow/models `object_detection/exporter.py`, tensorflow `lite/kernels/detection_postprocess.cc`.
"""

from __future__ import annotations

import re
from typing import Any

from saccade.networks.network import Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parsers.boxes_labels import (
    ListedObjects,
    Lists,
    find_lists,
    is_masks,
    is_table,
    is_vector,
    labels_and_scores,
)
from saccade.predict.parsers.common import own_names

_MOST_CLASSES = 91
_TFLITE = re.compile(r"(?:TFLite_Detection_PostProcess|StatefulPartitionedCall)(?::\d)?$")


def claims(evidence: Evidence) -> Claims:
    """The API's names, or the operator's four outputs."""
    named = _named(evidence)
    if "boxes" in named and "scores" in named and "classes" in named:
        yield _exported(evidence, named)
        return
    if len(evidence.outputs) == 4:
        yield from _of_operator(evidence)


def _named(evidence: Evidence) -> dict[str, Port]:
    """Outputs that are called detection_boxes and so on, by what follows `detection_`."""
    found = {}
    for port in evidence.outputs:
        name = re.fullmatch(r"(?:.*/)?(?:detection_(\w+)|(num)_detections)(?::\d+)?", port.name)
        if name is not None:
            found[name[1] or name[2]] = port
    boxes = found.get("boxes")
    if boxes is None or not is_table(boxes, 4):
        return {}
    count = boxes.shape[-2]
    return {
        part: port
        for part, port in found.items()
        if part in ("boxes", "num") or is_vector(port, count) or (part == "masks" and is_masks(port, count))
    }


def _exported(evidence: Evidence, named: dict[str, Port]) -> Claim:
    ports = {part: port.name for part, port in named.items()}
    lists = Lists(
        boxes=ports["boxes"], labels=ports["classes"], scores=ports["scores"], count=ports.get("num"),
        masks=ports.get("masks"),
    )  # fmt: skip
    names = own_names(evidence, first=1, classes=_MOST_CLASSES)
    parser = ListedObjects("tf-objects", lists, names, evidence.size, order="yxyx", unit="part")
    why = "outputs named as TensorFlow's Object Detection API names them"
    return Claim("tf-objects", "detect", 2, why, parser, {"swap_rb": True})


def _of_operator(evidence: Evidence) -> Claims:
    """Boxes in [0, 1], labels, scores and their number, where the operator is not there to say what is what."""
    if any(port.attributes or _TFLITE.search(port.name) for port in evidence.outputs):
        return
    found = find_lists(evidence)
    if found is None:
        return
    boxes, vectors, masks, left = found
    if len(vectors) != 2 or len(left) != 1 or masks is not None or not is_vector(left[0], 1) or not is_table(boxes, 4):
        return
    pair = labels_and_scores(evidence, vectors)
    values = evidence.values[boxes.name]
    if pair is None or not (abs(values) <= 2).all() or not values.any():
        return
    labels, scores = pair
    lists = Lists(boxes=boxes.name, labels=labels.name, scores=scores.name, count=left[0].name)
    names = own_names(evidence, first=0)
    parser = ListedObjects("tf-lists", lists, names, evidence.size, order="yxyx", unit="part")
    changes: dict[str, Any] = {"swap_rb": True}
    if evidence.picture.dtype.kind == "f":
        changes |= {"mean": (127.5,) * 3, "scale": (127.5,) * 3}
    yield Claim("tf-lists", "detect", 1, "boxes in [0, 1], classes, scores and their number", parser, changes)
