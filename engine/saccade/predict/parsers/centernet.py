"""CenterNet ("objects as points"): an object is a peak of its class's map, with a size and an offset there.

Maps at a quarter of the input: heat (classes), size in cells (w, h), offset in cells (x, y), which some lack. Nothing
is suppressed but what is no peak among its 3 x 3 neighbours. Format: xingyizhou/CenterNet,
`src/lib/models/decode.py`, `src/lib/detectors/{base_detector,ctdet}.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import logit, sigmoid, sound
from saccade.predict.parsers.dense import are_probabilities, is_sigmoid, is_sound
from saccade.predict.parsers.heatmap import STRIDE, maps_by_channels, size_and_offset
from saccade.results import Detections

MEAN, SCALE = (0.408 * 255, 0.447 * 255, 0.470 * 255), (0.289 * 255, 0.274 * 255, 0.278 * 255)
"""Blue, green, red."""
MOST = 100
"""Objects of a picture that upstream looks at."""


def claims(evidence: Evidence) -> Claims:
    """A map of heat, one of two channels for sizes, and mostly another one for offsets."""
    maps = maps_by_channels(evidence)
    if maps is None or len(evidence.outputs) not in (2, 3):
        return
    heat = _heat(evidence.outputs, maps)
    if heat is None:
        return
    pairs = [port for port in maps.get(2, []) if port is not heat]
    if len(pairs) != len(evidence.outputs) - 1:
        return
    found = (pairs[0], None) if len(pairs) == 1 else size_and_offset(evidence, pairs)
    if found is None:
        return
    size, offset = found
    logits = not (is_sigmoid(heat) or are_probabilities(evidence, [heat]))
    parser = CenterNet(heat, size, offset, evidence.names, logits=logits)
    why = f"maps at a quarter of the input: heat of {heat.shape[1]} classes, sizes" + (", offsets" if offset else "")
    spec = {"mean": MEAN, "scale": SCALE, "resize": "letterbox", "pad": 0}
    yield Claim("centernet", "detect", 2 if offset else 1, why, parser, spec)


def _heat(ports: Sequence[Port], maps: Mapping[int, Sequence[Port]]) -> Port | None:
    """The only map that has not two channels; of two classes, the only one that a sigmoid makes."""
    others = [port for channels, found in maps.items() if channels != 2 for port in found]
    found = others or [port for port in ports if is_sigmoid(port)]
    return found[0] if len(found) == 1 else None


class CenterNet:
    """logits : the heat is before its sigmoid."""

    family = "centernet"
    task: Task = "detect"
    defaults = Settings(score=0.3, iou=1.0, top=MOST)

    def __init__(self, heat: Port, size: Port, offset: Port | None, names: tuple[str, ...], *, logits: bool) -> None:
        self.names = names
        self.classes = heat.shape[1]
        self._heat = heat.name
        self._size = size.name
        self._offset = None if offset is None else offset.name
        self._shape = heat.shape[1:]
        self._logits = logits

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        heat = outputs[self._heat].reshape(self._shape)
        # A sigmoid keeps the order: only what reaches the threshold is turned into a probability.
        threshold = logit(settings.score) if self._logits else settings.score
        label, row, column = peaks(heat, threshold)
        scores = heat[label, row, column]
        if self._logits:
            scores = sigmoid(scores)
        plane = (2, *self._shape[1:])
        size = outputs[self._size].reshape(plane)[:, row, column].T
        centre = np.stack([column, row], 1).astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            if self._offset is not None:
                centre += outputs[self._offset].reshape(plane)[:, row, column].T
            boxes = STRIDE * np.concatenate([centre - size / 2, centre + size / 2], 1)
        keep = is_sound(boxes)
        return sound(boxes[keep], scores[keep], label[keep], self.names, settings.top)


def peaks(heat: Floats, threshold: float) -> tuple[NDArray[np.intp], ...]:
    """Channel, row and column of each number that reaches the threshold and is the largest of its 3 x 3 neighbours.

    heat : float32 (channels, height, width); NaN is never a peak.
    """
    _, height, width = heat.shape
    with np.errstate(invalid="ignore"):
        places = np.flatnonzero(heat.reshape(-1) >= np.float32(threshold))
    places = places[np.isfinite(heat.reshape(-1)[places])]
    channel, row, column = np.unravel_index(places, heat.shape)
    highest = np.ones(len(channel), np.bool_)
    values = heat[channel, row, column]
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            y, x = np.clip(row + down, 0, height - 1), np.clip(column + right, 0, width - 1)
            with np.errstate(invalid="ignore"):
                highest &= ~(heat[channel, y, x] > values)
    return channel[highest], row[highest], column[highest]
