"""Networks of dog-qiuqiu for small processors: FastestDet and Yolo-FastestV2.

FastestDet: one map (1, 5 + classes, height / 16, width / 16) of objectness, tx, ty, tw, th and classes; the score is
objectness^0.6 * class^0.4, the centre (column + tanh(tx)) / columns, the width the logistic function of tw, both as
parts of the picture. Format: dog-qiuqiu/FastestDet, `example/onnx-runtime/runtime.py`.
Yolo-FastestV2: for each of two grids, strides 16 and 32, three anchors' boxes (12 channels, as YOLOv5 codes them) and
objectness (3), and classes that the anchors share; as three maps, raw, or joined as one (height, width, channels),
after sigmoid and softmax. Format: dog-qiuqiu/Yolo-FastestV2, `model/detector.py`, `utils/utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saccade.kernels import decode_yolo, grid_cells, nms
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import are_chances, sigmoid, softmax
from saccade.predict.parsers.dense import as_detections, is_sound
from saccade.results import Detections

INPUT = {"scale": (255.0,) * 3, "resize": "stretch"}
ANCHORS = (
    ((12.64, 19.39), (37.88, 51.48), (55.71, 138.31)),
    ((126.91, 78.23), (131.57, 214.55), (279.92, 258.87)),
)
"""Of Yolo-FastestV2 trained on COCO, px of its input."""
STRIDES = (16, 32)
_BOX = 4 * len(ANCHORS[0])
_SHARED = _BOX + len(ANCHORS[0])
"""Channels before the classes in a joined map of Yolo-FastestV2."""


def claims(evidence: Evidence) -> Claims:
    """One map at stride 16 whose objectness and classes are probabilities; or the maps of Yolo-FastestV2."""
    ports = evidence.outputs
    if len(ports) == 1 and _is_fastestdet(evidence, ports[0]):
        parser = FastestDet(ports[0], evidence.size, evidence.names)
        why = "one map at stride 16 of objectness, a box, and classes that a softmax makes"
        yield Claim("fastestdet", "detect", 2, why, parser, INPUT)
    grids = _joined(evidence) or _apart(evidence)
    if grids is not None:
        anchors = _anchors(evidence)
        why = f"two grids of three anchors that share {grids.classes} classes"
        yield Claim(
            "yolo-fastestv2", "detect", 2, why, YoloFastestV2(grids, evidence.size, anchors, evidence.names), INPUT
        )


def _is_fastestdet(evidence: Evidence, port: Port) -> bool:
    shape = port.shape
    if len(shape) != 4 or shape[0] != 1 or shape[1] < 6 or shape[2:] != evidence.grid(16):
        return False
    values = evidence.values[port.name].reshape(shape[1], -1)
    return are_chances(values[0], values[5:]) and bool(np.allclose(values[5:].sum(0), 1, atol=1e-2))


class FastestDet:
    """A box in each cell. Overlapping boxes of any class suppress each other, as upstream does it."""

    family = "fastestdet"
    task: Task = "detect"
    defaults = Settings(score=0.65, iou=0.45, agnostic=True)

    def __init__(self, output: Port, size: tuple[int, int], names: tuple[str, ...]) -> None:
        self.names = names
        self.classes = output.shape[1] - 5
        self._output = output.name
        self._shape = output.shape[1:]
        height, width = size
        self._size = np.array([width, height], np.float32)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        channels, rows, columns = self._shape
        values = outputs[self._output].reshape(channels, rows * columns)
        labels = values[5:].argmax(0)
        with np.errstate(invalid="ignore"):
            scores = values[0] ** 0.6 * values[5:].max(0) ** 0.4
            cells = np.flatnonzero(np.isfinite(scores) & (scores >= np.float32(settings.score)))
        boxes = self._boxes(values[1:5, cells], cells)
        whole = is_sound(boxes)
        cells, boxes = cells[whole], boxes[whole]
        kept = nms(boxes, scores[cells], settings.iou, labels=None if settings.agnostic else labels[cells])
        kept = kept[: settings.top]
        found = np.column_stack([labels[cells[kept]], scores[cells[kept]], boxes[kept], cells[kept]])
        return as_detections(found.astype(np.float32), self.names)

    def _boxes(self, values: Floats, cells: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Floats:
        """Corners, float32 (n, 4), px of the input. values : (4, n) tx, ty, tw, th."""
        _, rows, columns = self._shape
        places = np.stack([cells % columns, cells // columns], 1)
        centres = (places + np.tanh(values[:2].T)) / np.array([columns, rows]) * self._size
        halves = sigmoid(values[2:].T) * self._size / 2
        return np.concatenate([centres - halves, centres + halves], 1).astype(np.float32)


class Grids(NamedTuple):
    """Outputs of Yolo-FastestV2.

    maps : names of boxes, objectness and classes for each grid; the same name three times where they are joined.
    channels_last : of joined maps. raw : before sigmoid and softmax.
    """

    maps: tuple[tuple[str, str, str], ...]
    classes: int
    joined: bool
    channels_last: bool
    raw: bool


def _anchors(evidence: Evidence) -> Sequence[Sequence[tuple[float, float]]]:
    given = evidence.metadata.anchors
    return (given[:3], given[3:]) if len(given) == 6 else ANCHORS


def _joined(evidence: Evidence) -> Grids | None:
    """Two maps, (1, height, width, channels) or (1, channels, height, width), with 15 channels before the classes."""
    ports = evidence.outputs
    if len(ports) != len(STRIDES) or any(len(port.shape) != 4 or port.shape[0] != 1 for port in ports):
        return None
    for last in (True, False):
        places = [port.shape[1:3] if last else port.shape[2:] for port in ports]
        channels = {port.shape[3] if last else port.shape[1] for port in ports}
        wanted = [evidence.grid(stride) for stride in STRIDES]
        if sorted(places, reverse=True) != wanted or len(channels) != 1:
            continue
        classes = channels.pop() - _SHARED
        by_place = dict(zip(places, ports, strict=True))
        if classes < 1 or not all(_is_joined(evidence, port, last) for port in ports):
            continue
        names = tuple((by_place[place].name,) * 3 for place in wanted)
        return Grids(names, classes, joined=True, channels_last=last, raw=False)
    return None


def _is_joined(evidence: Evidence, port: Port, last: bool) -> bool:
    """Whether all channels are probabilities and those of the classes add up to one."""
    values = evidence.values[port.name][0]
    values = values if last else np.moveaxis(values, 0, -1)
    return are_chances(values) and bool(np.allclose(values[..., _SHARED:].sum(-1), 1, atol=1e-2))


def _apart(evidence: Evidence) -> Grids | None:
    """Six maps (1, channels, height, width): 12, 3 and any number of channels on each grid."""
    ports = evidence.outputs
    if len(ports) != 3 * len(STRIDES) or any(len(port.shape) != 4 or port.shape[0] != 1 for port in ports):
        return None
    maps, classes = [], set()
    for stride in STRIDES:
        here = [port for port in ports if port.shape[2:] == evidence.grid(stride)]
        boxes = [port for port in here if port.shape[1] == _BOX]
        objectness = [port for port in here if port.shape[1] == _SHARED - _BOX]
        rest = [port for port in here if port not in boxes and port not in objectness]
        if [len(boxes), len(objectness), len(rest)] != [1, 1, 1]:
            return None
        maps.append((boxes[0].name, objectness[0].name, rest[0].name))
        classes.add(rest[0].shape[1])
    if len(classes) != 1:
        return None
    raw = not are_chances(*(evidence.values[name] for names in maps for name in names))
    return Grids(tuple(maps), classes.pop(), joined=False, channels_last=False, raw=raw)


class YoloFastestV2:
    """Three anchors in each cell. The score is objectness times class."""

    family = "yolo-fastestv2"
    task: Task = "detect"
    defaults = Settings(score=0.3, iou=0.45)

    def __init__(
        self,
        grids: Grids,
        size: tuple[int, int],
        anchors: Sequence[Sequence[tuple[float, float]]],
        names: tuple[str, ...],
    ) -> None:
        self.names = names
        self.classes = grids.classes
        self._grids = grids
        self._cells = grid_cells(*size, STRIDES, anchors=np.asarray(anchors, np.float32))

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        boxes: list[Floats] = []
        scores: list[Floats] = []
        for names in self._grids.maps:
            box, objectness, classes = self._read(outputs, names)
            for anchor in range(len(objectness)):
                boxes.append(box[4 * anchor : 4 * anchor + 4])
                with np.errstate(invalid="ignore", over="ignore"):
                    scores.append(classes * objectness[anchor])
        found = decode_yolo(
            boxes,
            layout="v5-region",
            scores=scores,
            channels_first=True,
            cells=self._cells,
            **settings.limits(),
        )
        return as_detections(found, self.names)

    def _read(self, outputs: Outputs, names: tuple[str, str, str]) -> tuple[Floats, Floats, Floats]:
        """Boxes (12, n), objectness (3, n) and classes (classes, n) of a grid, after sigmoid and softmax."""
        if not self._grids.joined:
            box, objectness, classes = (outputs[name].reshape(outputs[name].shape[-3], -1) for name in names)
        else:
            values = outputs[names[0]]
            values = values.reshape(-1, values.shape[-1]).T if self._grids.channels_last else values[0]
            values = values.reshape(_SHARED + self._grids.classes, -1)
            box, objectness, classes = values[:_BOX], values[_BOX:_SHARED], values[_SHARED:]
        if not self._grids.raw:
            return box, objectness, classes
        return sigmoid(box), sigmoid(objectness), softmax(classes.T).T
