"""MediaPipe's detectors of faces, palms and people: one raw box with key points an anchor.

Format: mediapipe `tensors_to_detections_calculator`, `ssd_anchors_calculator` and the graphs of `face_detection`,
`palm_detection` and `pose_detection`. Anchors have no size: a box is in px of the input, from the middle of its cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saccade.kernels import decode_anchors
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import MEDIAPIPE, size_of
from saccade.predict.parsers.dense import as_detections
from saccade.results import Detections

Grids = tuple[tuple[int, int], ...]
"""(cells a side, anchors a cell) of each feature map."""

_SHORT: Grids = ((16, 2), (8, 6))


@dataclass(frozen=True, slots=True)
class BlazeDetector:
    """One of them.

    name : of what it finds. grids : by number of anchors. unit : numbers of anchors of those that want pixels in
    [0, 1]; the others want [-1, 1].
    """

    family: str
    name: str
    grids: Mapping[int, Grids]
    unit: frozenset[int] = frozenset()


DETECTORS = {
    # The eyes (the person's right one first), nose, mouth and ears (right, left). Short range, full range.
    16: BlazeDetector("blazeface", "face", {896: _SHORT, 2304: ((48, 1),)}),
    # Wrist, knuckles of the four fingers from the index on, both joints of the thumb. Of 128, 192 and 256 px.
    18: BlazeDetector(
        "blazepalm",
        "palm",
        {896: _SHORT, 2016: ((24, 2), (12, 6)), 2944: ((32, 2), (16, 2), (8, 6))},
        frozenset({2016}),
    ),
    # Middle of the hips, a point of the circle around the whole body, middle of the shoulders, a point of the circle
    # around the upper body. MediaPipe goes by the points alone; the box is about the head and neck. Of 128 and 224 px.
    12: BlazeDetector("blazepose", "person", {896: _SHORT, 2254: ((28, 2), (14, 2), (7, 6))}),
}
"""By numbers an anchor: a box and x, y of each key point."""


def claims(evidence: Evidence) -> Claims:
    """Two outputs, (1, n, numbers) and (1, n, 1), as one of the detectors has them."""
    ports = sorted(evidence.outputs, key=size_of, reverse=True)
    if len(ports) != 2:
        return
    boxes, scores = ports
    numbers, count = boxes.shape[-1], size_of(scores)
    detector = DETECTORS.get(numbers)
    if detector is None or count not in detector.grids or size_of(boxes) != numbers * count:
        return
    parser = Blaze(detector, boxes, scores, evidence.size)
    norm = {"mean": (0.0,) * 3, "scale": (255.0,) * 3} if count in detector.unit else _SIGNED
    yield Claim(detector.family, "detect", 2, f"{count} anchors of {numbers} numbers", parser, MEDIAPIPE | norm)


_SIGNED = {"mean": (127.5,) * 3, "scale": (127.5,) * 3}


class Blaze:
    """Objects of one kind with key points; see `DETECTORS`."""

    task: Task = "detect"
    defaults = Settings(score=0.5, iou=0.3)

    def __init__(self, detector: BlazeDetector, boxes: Port, scores: Port, size: tuple[int, int]) -> None:
        self.family = detector.family
        self.names: tuple[str, ...] = (detector.name,)
        self._anchors = anchors(detector.grids[size_of(scores)])
        self._numbers = int(boxes.shape[-1])
        self._boxes = boxes.name
        self._scores = scores.name
        self._size = size
        height, width = size
        self._unit = np.array([width, height] * (self._numbers // 2), np.float32)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects. Overlapping boxes are averaged by score, as MediaPipe does."""
        rows = decode_anchors(
            outputs[self._boxes].reshape(len(self._anchors), self._numbers),
            outputs[self._scores].reshape(-1),
            self._anchors,
            size=self._size,
            score_threshold=settings.score,
            iou_threshold=settings.iou,
            weighted=True,
        )
        with np.errstate(over="ignore"):
            places = rows[:, 1:] * self._unit
        found = np.column_stack([np.zeros(len(rows), np.float32), rows[:, 0], places[:, :4]])
        return as_detections(found, self.names, places[:, 4:])[: settings.top]


def anchors(cells: Sequence[tuple[int, int]]) -> Floats:
    """Anchor centres.

    cells : (cells a side, anchors a cell) of each feature map. Returns float32 (n, 2) x, y in [0, 1].
    """
    maps = []
    for side, count in cells:
        y, x = np.mgrid[:side, :side]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / side
        maps.append(np.repeat(centres, count, axis=0))
    return np.concatenate(maps).astype(np.float32)
