"""SSD networks that end in TensorFlow Lite's TFLite_Detection_PostProcess: four outputs, a list of detections.

They are boxes (1, n, 4) of y1, x1, y2, x2 in [0, 1]; classes (1, n) from 0, without the background; scores (1, n); and
how many boxes there are, (1,): what follows them is left over from nowhere.
Format: TensorFlow's `lite/kernels/detection_postprocess.cc`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from saccade.networks.network import Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, bare
from saccade.predict.labels import is_background
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import corners_unit, sound
from saccade.results import Detections

OPERATOR = "TFLite_Detection_PostProcess"
PARTS = ("boxes", "classes", "scores", "count")

_NAMES = {OPERATOR: PARTS, "StatefulPartitionedCall": PARTS[::-1]}
"""Parts in the order of the numbers in their names, as TensorFlow 1 and 2 export them."""


def claims(evidence: Evidence) -> Claims:
    """Four outputs that the operator makes, or that are called and shaped like its own."""
    ports = {port.attributes.get("part"): port for port in evidence.outputs if port.attributes.get("op") == OPERATOR}
    certainty, why = 2, f"its outputs are those of {OPERATOR}"
    if not ports:
        ports = _by_name(evidence.outputs)
        certainty, why = 1, f"four outputs that are called and shaped like those of {OPERATOR}"
    if set(ports) != set(PARTS):
        return
    known: dict[str, Any] = {"swap_rb": True, "resize": "stretch"}
    if evidence.picture.dtype.kind == "f":  # integers take the pixels that they were calibrated for
        known |= {"mean": (127.5,) * 3, "scale": (127.5,) * 3}
    names = class_names(evidence.names, ports["classes"].attributes.get("classes"))
    parser = TFLitePostProcess(ports, names, evidence.size)
    yield Claim(parser.family, parser.task, certainty, why, parser, known)


def _by_name(outputs: tuple[Port, ...]) -> dict[str | None, Port]:
    """Parts of a network that another tool has converted; only the names tell classes from scores."""
    if len(outputs) != len(PARTS):
        return {}
    found: dict[str | None, Port] = {}
    for port in outputs:
        match = re.fullmatch(r"(\w+?)(?::(\d))?", port.name)
        parts = _NAMES.get(match[1], ()) if match else ()
        number = int(match[2] or 0) if match else 0
        if number < len(parts):
            found[parts[number]] = port
    if set(found) != set(PARTS):
        return {}
    boxes, classes, scores, count = (bare(found[part].shape) for part in PARTS)
    fits = len(boxes) == 2 and boxes[1] == 4 and classes == scores == boxes[:1] and count == ()
    return found if fits else {}


def class_names(names: tuple[str, ...], classes: int | None) -> tuple[str, ...]:
    """Names by class, without the one that stands for the background in many files of them.

    classes : how many there are, where that is known.
    """
    if names and (is_background(names[0]) or len(names) - 1 == classes):
        return names[1:]
    return names


class TFLitePostProcess:
    """The network itself has removed overlapping boxes."""

    family = "tflite-ssd"
    task: Task = "detect"
    defaults = Settings(score=0.5)

    def __init__(self, ports: Mapping[str | None, Port], names: tuple[str, ...], size: tuple[int, int]) -> None:
        self.names = names
        self._outputs = [ports[part].name for part in PARTS]
        self._per_box = int(ports["boxes"].attributes.get("per_box", 1))
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        boxes, classes, scores, count = (outputs[name] for name in self._outputs)
        rows = min(boxes.size // 4, classes.size, scores.size)
        found = np.nan_to_num(count.reshape(-1)[:1], nan=0.0, posinf=rows, neginf=0.0)
        real = min(rows, max(0, int(found[0])) * self._per_box) if found.size else 0
        label, score = classes.reshape(-1)[:real], scores.reshape(-1)[:real]
        kept = np.flatnonzero((score >= settings.score) & (label >= 0) & (label < 1 << 24))
        places = boxes.reshape(-1)[: 4 * real].reshape(-1, 4)[kept][:, [1, 0, 3, 2]]
        return sound(places * self._unit, score[kept], np.rint(label[kept]), self.names, settings.top)
