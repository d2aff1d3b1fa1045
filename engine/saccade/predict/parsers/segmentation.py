"""Semantic segmentation: a class for each pixel, as maps of scores or as one map of classes.

Score maps: (1, classes, h, w) or (1, h, w, classes), logits or probabilities; the best class counts. One channel alone
    is the probability of the only class. Class maps: (1, h, w), (1, 1, h, w) or (1, h, w, 1), whole numbers.
A feature map has the same shape: what the file or the user says, the layer at the graph's end, or as many names as
channels decide.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, Refusal, is_nchw
from saccade.predict.labels import BACKGROUND, is_background
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import logit, order_of, own_names
from saccade.results import Segmentation

_COARSEST, _COARSE, _QUARTER = 32, 8, 4
"""How many times smaller than the input a map may be: where it is said to be one, has names, or only looks like one."""

VOC_CLASSES = 21


class Map(NamedTuple):
    """An output as a map. channels : 0 of a map of classes. shrink : how many times smaller than the input it is."""

    port: Port
    form: Literal["first", "last", "classes"]
    channels: int
    shrink: float


def claims(evidence: Evidence) -> Claims:
    """Maps only, of one of which is known that it is no feature map."""
    maps = [as_map(evidence, port) for port in evidence.outputs]
    whole = [each for each in maps if each is not None]
    if not whole or len(whole) < len(maps):
        return
    # Networks that were trained with auxiliary outputs give the main one first, or call it so.
    best = next((each for each in whole if each.port.name in ("out", "output")), whole[0])
    if any(each.channels != best.channels for each in whole):
        return
    reason = _reason(evidence, best)
    if reason is None:
        if best.shrink <= _QUARTER + 0.5 and (best.channels > 1 or best.port.layer_type == "Sigmoid"):
            numbers = f"{best.channels} numbers" if best.channels > 1 else "one probability"
            kind = f"a map of {numbers} for each place of the picture"
            yield Refusal("segmentation", "segment", 0, f"{kind}; --task segment takes them for scores of classes")
        return
    certainty, why = reason
    parser = SemanticMap(best, own_names(evidence), evidence.size)
    yield Claim("segmentation", "segment", certainty, why, parser, order_of(evidence))


def as_map(evidence: Evidence, port: Port) -> Map | None:
    """The output as a map that covers the picture, coarse or fine; None where it is none."""
    shape = port.shape
    if -1 in shape or len(shape) not in (2, 3, 4) or (len(shape) > 2 and shape[0] != 1):
        return None
    forms: list[tuple[tuple[int, int], Literal["first", "last", "classes"], int]] = []
    if len(shape) == 4:
        first = (shape[2], shape[3]), "first", shape[1]
        last = (shape[1], shape[2]), "last", shape[3]
        forms = [first, last] if is_nchw(evidence.picture.shape) else [last, first]  # type: ignore[list-item]
    elif port.integer or port.layer_type == "TopK":
        forms = [((shape[-2], shape[-1]), "classes", 0)]
    for (height, width), form, channels in forms:
        shrink = _shrink(evidence.size, height, width)
        if shrink is None:
            continue
        if channels == 1 and port.integer:
            return Map(port, "classes", 0, shrink)
        return Map(port, form, channels, shrink)
    return None


def _shrink(size: tuple[int, int], height: int, width: int) -> float | None:
    """How many times smaller than the input a map is, if it has the input's form (but for a row or column more)."""
    if min(height, width) < 2 or height > size[0] or width > size[1]:
        return None
    shrink = min(size[0] / height, size[1] / width)
    alike = abs(size[0] / shrink - height) < 2 and abs(size[1] / shrink - width) < 2
    return shrink if alike and shrink <= _COARSEST else None


def _reason(evidence: Evidence, best: Map) -> tuple[int, str] | None:
    """Why the map is one of classes, and how certain that is."""
    metadata, port = evidence.metadata, best.port
    if "segment" in f"{metadata.task} {metadata.head}".lower():
        return 3, "the file says that it is for segmentation"
    if evidence.task == "segment" or evidence.head == "segmentation":
        return 2, "said to be for segmentation"
    if best.form == "classes" and best.shrink <= _COARSE:
        return 2, f"a map of whole numbers, {list(port.shape)}"
    if best.channels < 2:
        if best.port.layer_type == "Sigmoid" and len(evidence.names) == 1 and best.shrink <= _QUARTER + 0.5:
            return 1, "a map of the probability of the only name"
        return None
    if "Softmax" in port.after and port.layer_type in ("Softmax", "Interpolate") and best.shrink <= _QUARTER + 0.5:
        return 2, f"a map of probabilities of {best.channels} classes"
    if len(evidence.names) == best.channels and best.shrink <= _COARSE + 0.5:
        return 1, f"a map with a channel for each of {best.channels} names"
    return None


class SemanticMap:
    """The best class of each pixel of the map, which is as large as the network gives it."""

    family = "segmentation"
    task: Task = "segment"
    defaults = Settings()

    def __init__(self, best: Map, names: tuple[str, ...], size: tuple[int, int]) -> None:
        self.names = names
        self._output = best.port.name
        self._form = best.form
        self._alone = best.channels == 1
        self._probable = best.port.layer_type == "Sigmoid"
        self._place = np.array([0, 0, size[1], size[0]], np.float32)
        named = bool(names) and (is_background(names[0]) or names[0].lower() == "void")
        nothing = self._alone or named or (not names and best.channels == VOC_CLASSES)
        self._background = 0 if nothing else None
        if self._alone and len(names) == 1:
            self.names = (BACKGROUND, *names)

    def parse(self, outputs: Outputs, settings: Settings) -> Segmentation:
        """A class for each pixel; of a single channel 1 where it is at least as likely as the settings' score."""
        values = outputs[self._output]
        if self._form == "classes":
            labels = whole_labels(values.reshape(values.shape[-2:] if values.ndim < 4 else _plane(values.shape)))
        else:
            channels = values[0] if self._form == "first" else values[0].transpose(2, 0, 1)
            labels = self._above(channels[0], settings) if self._alone else best_channel(channels)
        return Segmentation(labels, self._place.copy(), self.names, self._background)

    def _above(self, values: Floats, settings: Settings) -> NDArray[np.uint8]:
        return (values >= (settings.score if self._probable else logit(settings.score))).astype(np.uint8)


def _plane(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of (1, 1, h, w) or (1, h, w, 1)."""
    return (shape[2], shape[3]) if shape[1] == 1 else (shape[1], shape[2])


def whole_labels(values: Floats) -> NDArray[Any]:
    """Classes of whole numbers: uint8, or int32 where there are more than 256; what is no class is 0."""
    clean = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    rounded: Floats = np.rint(np.where((clean < 0) | (clean > 2**30), 0, clean))
    labels: NDArray[Any] = rounded.astype(np.uint8 if rounded.max(initial=0) < 256 else np.int32)
    return labels


def best_channel(channels: Floats) -> NDArray[Any]:
    """Number of the largest of (classes, h, w) at each place, uint8 or int32; the first of equal ones.

    One pass a channel over maps that lie in the cache is several times as quick as an argmax across planes.
    """
    import cv2

    if len(channels) > 256 or not channels[0].flags.c_contiguous:
        best: NDArray[Any] = channels.argmax(0).astype(np.uint8 if len(channels) <= 256 else np.int32)
        return best
    most: Any = channels[0].copy()
    labels: Any = np.zeros(most.shape, np.uint8)
    for number, channel in enumerate(channels[1:], 1):
        higher = cv2.compare(channel, most, cv2.CMP_GT)
        # Later numbers are larger: the number of the last that was higher is the largest one.
        cv2.max(labels, cv2.bitwise_and(higher, np.full(1, number, np.float64)), dst=labels)
        cv2.max(channel, most, dst=most)
    return np.asarray(labels)
