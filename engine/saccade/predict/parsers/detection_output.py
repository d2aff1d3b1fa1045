"""SSD networks that end in a DetectionOutput layer: (1, 1, n, 7) of image, label, score, x1, y1, x2, y2 in [0, 1].

Rows are grouped by class; an image number of -1 ends the list, and what follows it is left over from nowhere.
Format: OpenVINO's DetectionOutput-8, Caffe's `detection_output_layer`. Where the graph has been cut before the layer
(`saccade.formats.detection_output`), the kernel `decode_ssd` takes its place, with the same results.

Beside the list there may be masks, (n, classes, h, w): those of each row's box, for each class but the background
(Mask R-CNN of TensorFlow's Object Detection API, as the Open Model Zoo converts it).
"""

from __future__ import annotations

import numpy as np

from saccade.formats.detection_output import SsdHead
from saccade.kernels import decode_ssd, parse_detections
from saccade.networks.network import Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, bare
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.boxes_labels import image_info, is_masks, masks_of
from saccade.predict.parsers.common import (
    are_chances,
    best_first,
    corners_unit,
    from_rows,
    just_below,
    order_of,
    own_names,
    sound,
    whole,
)
from saccade.results import Detections


def claims(evidence: Evidence) -> Claims:
    """Such a layer, cut off or not, or one output that has its form to the letter."""
    ports = evidence.outputs
    head = ports[0].attributes.get("head") if len(ports) == 2 else None
    known = isinstance(head, SsdHead) or any(port.layer_type == "DetectionOutput" for port in ports)
    names = own_names(evidence, first=evidence.network.label_base or (0 if known else None))
    if isinstance(head, SsdHead):
        loc, conf = ports
        yield Claim("ssd", "detect", 2, "it ends in a DetectionOutput layer",
                    CutDetectionOutput(loc, conf, head, names, evidence.size))  # fmt: skip
    elif len(ports) == 1 and _is_list(evidence):
        made = ports[0].layer_type == "DetectionOutput"
        why = "it ends in a DetectionOutput layer" if made else f"rows of seven numbers, {list(ports[0].shape)}"
        changes = {} if made else order_of(evidence)
        yield Claim("ssd", "detect", 2, why, DetectionOutput(ports[0], names, evidence.size), changes)

    elif len(ports) == 2:
        yield from _with_masks(evidence)


def _with_masks(evidence: Evidence) -> Claims:
    lists = [port for port in evidence.outputs if len(port.shape) in (2, 4) and port.shape[-1] == 7]
    for rows in lists:
        (masks,) = [port for port in evidence.outputs if port is not rows]
        if bare(rows.shape[:-2]) == () and is_masks(masks, rows.shape[-2]) and len(bare(masks.shape)) == 4:
            why = f"rows of seven numbers, {list(rows.shape)}, and masks for each"
            parser = MaskedDetectionOutput(rows, masks, own_names(evidence, first=1), evidence.size)
            yield Claim("mask-rcnn", "detect", 2, why, parser, order_of(evidence), image_info(evidence))


def _is_list(evidence: Evidence) -> bool:
    """Rows of seven numbers of such a layer, or (1, 1, n, 7) whose numbers are those of such rows: a feature map's are
    not.
    """
    (port,) = evidence.outputs
    if not port.shape or port.shape[-1] != 7:
        return False
    if port.layer_type == "DetectionOutput":
        return True
    if len(port.shape) != 4 or port.shape[:2] != (1, 1):
        return False
    if evidence.network.label_base:
        return True  # the importer, which made the list, has said how it counts
    rows = evidence.values[port.name].reshape(-1, 7)
    ended = np.flatnonzero(rows[:, 0] < 0)
    image, label, score = rows[: ended[0] if ended.size else len(rows), :3].T
    whole = not image.any() and bool((label == np.rint(label)).all())
    return whole and are_chances(score)


class DetectionOutput:
    """The network itself has removed overlapping boxes."""

    family = "ssd"
    task: Task = "detect"
    defaults = Settings(score=0.5)

    def __init__(self, output: Port, names: tuple[str, ...], size: tuple[int, int]) -> None:
        self.names = names
        self._output = output.name
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        rows = parse_detections(outputs[self._output], score_threshold=just_below(settings.score))
        return sound(rows[:, 2:] * self._unit, rows[:, 1], rows[:, 0], self.names, settings.top)


class MaskedDetectionOutput:
    """The same with masks; classes count from 1, masks of class 1 come first."""

    family = "mask-rcnn"
    task: Task = "detect"
    defaults = Settings(score=0.5)

    def __init__(self, rows: Port, masks: Port, names: tuple[str, ...], size: tuple[int, int]) -> None:
        self.names = names
        self._rows = rows.name
        self._masks = masks.name
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects, each with the mask of its class."""
        table = outputs[self._rows].reshape(-1, 7)
        ended = np.flatnonzero(~(table[:, 0] >= 0))
        rows = table[: ended[0] if ended.size else len(table), 1:]
        boxes = rows[:, 2:] * self._unit
        order = best_first(boxes, np.where(rows[:, 1] >= settings.score, rows[:, 1], np.nan), settings.top)
        boxes, labels = boxes[order], whole(rows[order, 0])
        return Detections(
            boxes=boxes,
            scores=np.clip(rows[order, 1], 0, 1),
            labels=labels,
            names=self.names,
            masks=masks_of(outputs[self._masks], len(table), order, labels - 1, boxes),
        )


class CutDetectionOutput:
    """Offsets and scores of every prior; the layer's own threshold holds where the settings' is lower."""

    family = "ssd"
    task: Task = "detect"
    defaults = Settings(score=0.5)

    def __init__(self, loc: Port, conf: Port, head: SsdHead, names: tuple[str, ...], size: tuple[int, int]) -> None:
        self.names = names
        self._loc = loc.name
        self._conf = conf.name
        self._head = head
        self._unit = corners_unit(size)

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        head = self._head
        # With the best class alone a score counts from the threshold on, otherwise above it.
        least = settings.score if head.best_class else just_below(settings.score)
        rows = decode_ssd(
            outputs[self._loc],
            outputs[self._conf].reshape(-1, head.classes),
            head.priors,
            variances=head.variances,
            background=head.background,
            score_threshold=max(least, head.score_threshold),
            iou_threshold=head.iou_threshold,
            top_k=head.top_k,
            keep_top_k=head.keep_top_k,
            best_class=head.best_class,
            clip=head.clip,
        )
        if head.clip_after:
            rows[:, 2:].clip(0, 1, out=rows[:, 2:])
        return from_rows(rows, self._unit, self.names, settings.top, head.first_label)
