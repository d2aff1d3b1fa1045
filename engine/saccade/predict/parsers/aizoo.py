"""AIZOO's face mask detector: an SSD head without a background class, scores through a sigmoid.

Tables of offsets (n, 4) and of scores (n, 2: mask, no mask), four priors a cell of five grids. Format:
AIZOOTech/FaceMaskDetection, `utils/anchor_generator.py`, `utils/anchor_decode.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, Refusal, is_nchw
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.dense import are_probabilities, is_sigmoid, tables
from saccade.predict.parsers.face_priors import boxes_of, candidates, suppressed
from saccade.results import Detections

SIZES = ((0.04, 0.056), (0.08, 0.11), (0.16, 0.22), (0.32, 0.45), (0.64, 0.72))
"""Of the square priors of each grid, as parts of the input."""
RATIOS = (0.62, 0.42)
"""Width to height of two more priors, of the first size."""
NAMES = ("Mask", "NoMask")
MADE_FOR = ((260, 260), (360, 360))
"""(height, width) of the inputs that it was trained for: at others its grids lie differently below the priors."""
_EACH = len(SIZES[0]) + len(RATIOS)


def claims(evidence: Evidence) -> Claims:
    """A table of four columns and one of two, of probabilities, with a row for each prior."""
    shapes = tables(evidence.outputs)
    if shapes is None or sorted(columns for _, columns in shapes.values()) != [2, 4]:
        return
    by_columns = {shapes[port.name][1]: port for port in evidence.outputs}
    loc, scores = by_columns[4], by_columns[2]
    grids = _grids(evidence.size, shapes[loc.name][0])
    if grids is None or shapes[scores.name][0] != shapes[loc.name][0]:
        return
    if not (is_sigmoid(scores) or are_probabilities(evidence, [scores])):
        return
    why = f"{shapes[loc.name][0]} prior boxes of five grids, and two probabilities each"
    if evidence.size not in MADE_FOR and evidence.head != "aizoo":
        yield Refusal("aizoo", "detect", 2, _reason(evidence))
        return
    names = evidence.names or NAMES
    spec = {"scale": (255.0,) * 3, "swap_rb": True, "resize": "stretch"}
    yield Claim("aizoo", "detect", 2, why, FaceMask(loc, scores, grids, evidence.size, names), spec)


def _reason(evidence: Evidence) -> str:
    height, width = evidence.size
    layout = "1,3,260,260" if is_nchw(evidence.picture.shape) else "1,260,260,3"
    return (
        "it is AIZOO's face mask detector, whose prior boxes fit an input of 260x260 or 360x360, not of "
        f"{width}x{height}; give --input-shape {layout}, or --head aizoo if it was trained for that size"
    )


def _grids(size: tuple[int, int], count: int) -> tuple[tuple[int, int], ...] | None:
    """(rows, columns) of the five grids that have that many priors; None where they have not.

    Each grid is half of the finer one, rounded up; the last one of some has no padding, or more of it.
    """
    grids = [(-(-size[0] // 8), -(-size[1] // 8))]
    for _ in SIZES[1:]:
        rows, columns = grids[-1]
        grids.append((-(-rows // 2), -(-columns // 2)))
    rows, columns = grids.pop()
    for more in (0, 1, -1):
        found = (*grids, (rows + more, columns + more))
        if min(found[-1]) > 0 and _EACH * sum(h * w for h, w in found) == count:
            return found
    return None


def anchors(grids: Sequence[tuple[int, int]]) -> Floats:
    """Priors of the grids, float32 (n, 4) cx, cy, w, h in [0, 1]."""
    parts = []
    for (rows, columns), sizes in zip(grids, SIZES, strict=True):
        y, x = (np.mgrid[:rows, :columns] + 0.5).reshape(2, -1)
        centres = np.stack([x / columns, y / rows], 1)
        square = [(size, size) for size in sizes]
        others = [(sizes[0] * ratio**0.5, sizes[0] / ratio**0.5) for ratio in RATIOS]
        extents = np.array(square + others)
        part = np.concatenate([np.repeat(centres, len(extents), axis=0), np.tile(extents, (len(centres), 1))], axis=1)
        parts.append(part)
    return np.concatenate(parts).astype(np.float32)


class FaceMask:
    """Overlapping boxes of either class suppress each other, as upstream does it."""

    family = "aizoo"
    task: Task = "detect"
    defaults = Settings(score=0.5, iou=0.4, agnostic=True)

    def __init__(
        self, loc: Port, scores: Port, grids: Sequence[tuple[int, int]], size: tuple[int, int], names: tuple[str, ...]
    ) -> None:
        self.names = names
        self.classes = len(NAMES)
        self._loc = loc.name
        self._scores = scores.name
        self._priors = anchors(grids)
        self._size = size

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Faces, with a mask or without."""
        scores = outputs[self._scores].reshape(len(self._priors), len(NAMES))
        rows, labels, best = candidates(scores, settings)
        boxes = boxes_of(outputs[self._loc].reshape(-1, 4)[rows], self._priors[rows])
        return suppressed(boxes, best, labels, settings, self._size, self.names)
