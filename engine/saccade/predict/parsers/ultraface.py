"""UltraFace: scores (n, 2) with the background first, and boxes (n, 4), decoded or not under the same names and shapes.

A third column of scores is the face that wears a mask. Format: Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB,
`vision/ssd/config/fd_config.py`, `detect_imgs_onnx.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.dense import tables
from saccade.predict.parsers.face_priors import (
    SMALL_FACES,
    boxes_of,
    candidates,
    chances_of,
    square_priors,
    suppressed,
)
from saccade.results import Detections

NAMES = {2: ("face",), 3: ("face", "masked face")}

INPUT = {"mean": (127.0,) * 3, "scale": (128.0,) * 3, "swap_rb": True, "resize": "stretch"}

DECODED = 0.98
"""Least share of rows with x1 < x2 and y1 < y2 of decoded boxes; of offsets it is about a quarter."""
RAW = 0.8
"""Largest share of the others."""


def claims(evidence: Evidence) -> Claims:
    """A table of two or three columns and one of four, with a row for each prior box of the input's size."""
    shapes = tables(evidence.outputs)
    priors = square_priors(evidence.size, SMALL_FACES)
    if shapes is None or len(shapes) != 2 or any(rows != len(priors) for rows, _ in shapes.values()):
        return
    by_columns = {shapes[port.name][1]: port for port in evidence.outputs}
    boxes = by_columns.pop(4, None)
    if boxes is None or len(by_columns) != 1:
        return
    ((columns, scores),) = by_columns.items()
    decoded = _are_corners(evidence, boxes)
    if columns not in NAMES or decoded is None:
        return
    names = evidence.names[-(columns - 1) :] or NAMES[columns]
    chances = chances_of(evidence, scores)
    parser = UltraFace(scores, boxes, evidence.size, names, chances, decoded=decoded)
    why = f"{len(priors)} prior boxes of a {evidence.size[1]}x{evidence.size[0]} input, boxes " + (
        "decoded in the graph" if decoded else "as offsets from them"
    )
    yield Claim("ultraface", "detect", 2, why, parser, INPUT)


def _are_corners(evidence: Evidence, boxes: Port) -> bool | None:
    """Whether boxes are corners and not offsets, as one run shows; None where it does not."""
    x1, y1, x2, y2 = evidence.values[boxes.name].reshape(-1, 4).T
    with np.errstate(invalid="ignore"):
        share = float(((x2 > x1) & (y2 > y1)).mean())
    return True if share >= DECODED else False if share <= RAW else None


class UltraFace:
    """chances : makes probabilities of the scores. decoded : boxes are corners in [0, 1]."""

    family = "ultraface"
    task: Task = "detect"
    defaults = Settings(score=0.7, iou=0.3)

    def __init__(
        self,
        scores: Port,
        boxes: Port,
        size: tuple[int, int],
        names: tuple[str, ...],
        chances: Callable[[Floats], Floats],
        *,
        decoded: bool,
    ) -> None:
        self.names = names
        self._scores = scores.name
        self._columns = scores.shape[-1]
        self._boxes = boxes.name
        self._size = size
        self._chances = chances
        self._priors = None if decoded else square_priors(size, SMALL_FACES).clip(0, 1)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Faces."""
        scores = self._chances(outputs[self._scores].reshape(-1, self._columns))[:, 1:]
        rows, labels, best = candidates(scores, settings)
        boxes = outputs[self._boxes].reshape(-1, 4)[rows]
        if self._priors is not None:
            boxes = boxes_of(boxes, self._priors[rows])
        return suppressed(boxes, best, labels, settings, self._size, self.names)
