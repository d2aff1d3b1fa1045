"""What a network's numbers mean: from output tensors to `Detections`, `Classification` and `HeadPose`.

A task carries the `InputSpec` (what pixels the network was trained on) and turns the outputs of one run, together with
the preprocess plan's `to_source`, into results in source pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.kernels import decode_anchors
from saccade.models.spec import InputSpec
from saccade.results import Detections

Outputs = Mapping[str, NDArray[np.float32]]
ToSource = tuple[float, float, float, float]


def blazeface_anchors(cells: tuple[tuple[int, int], ...]) -> NDArray[np.float32]:
    """Anchor centres of a BlazeFace network.

    cells : (cells a side, anchors a cell) of each feature map. Returns float32 (n, 2) x, y in [0, 1].
    """
    maps = []
    for side, count in cells:
        y, x = np.mgrid[:side, :side].astype(np.float32)
        centres = np.stack([x, y], axis=-1).reshape(-1, 2)
        maps.append(np.repeat((centres + 0.5) / side, count, axis=0))
    return np.ascontiguousarray(np.concatenate(maps), np.float32)


class BlazeFace:
    """MediaPipe's face detectors: one raw box with six key points an anchor.

    Key points are the eyes (right, left), nose, mouth and ears (right, left), as the person has them.
    """

    names = ("face",)

    def __init__(self, spec: InputSpec, anchors: NDArray[np.float32], boxes: str, scores: str) -> None:
        self.spec = spec
        self._anchors = anchors
        self._boxes = boxes
        self._scores = scores

    def decode(
        self, outputs: Outputs, to_source: ToSource, *, score_threshold: float = 0.5, iou_threshold: float = 0.3
    ) -> Detections:
        """Faces of one run, best first, source px."""
        boxes = outputs[self._boxes]
        rows = decode_anchors(
            boxes.reshape(len(self._anchors), -1),
            outputs[self._scores].reshape(-1),
            self._anchors,
            size=self.spec.width,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            weighted=True,
        )
        points = points_to_source(rows[:, 1:], self.spec, to_source)
        return Detections(
            boxes=ordered(points[:, :2].reshape(-1, 4), to_source),
            scores=np.ascontiguousarray(rows[:, 0]),
            labels=np.zeros(len(rows), np.int32),
            keypoints=points[:, 2:],
            names=self.names,
        )


def points_to_source(points: NDArray[np.float32], spec: InputSpec, to_source: ToSource) -> NDArray[np.float32]:
    """Points in [0, 1] of the network input, float32 (n, 2k) x, y, ... -> (n, k, 2) in source px."""
    sx, sy, tx, ty = to_source
    factor = np.array([sx * spec.width, sy * spec.height], np.float32)
    mapped: NDArray[np.float32] = points.reshape(len(points), -1, 2) * factor
    mapped += np.array([tx, ty], np.float32)
    return mapped


def ordered(boxes: NDArray[np.float32], to_source: ToSource) -> NDArray[np.float32]:
    """Boxes with x1 < x2 again after a mirrored mapping, float32 (n, 4)."""
    return boxes[:, [2, 1, 0, 3]] if to_source[0] < 0 else boxes


def task_for(model: Any, **options: Any) -> BlazeFace:
    """The task that fits a model's outputs."""
    height, width = model.inputs[0].shape[1:3]
    spec = InputSpec(width, height, "nhwc", mean=(127.5,) * 3, scale=(127.5,) * 3, swap_rb=True, letterbox=True)
    cells = ((16, 2), (8, 6)) if width == 128 else ((48, 1),)
    names = {port.shape[-1]: port.name for port in model.outputs}
    return BlazeFace(spec, blazeface_anchors(cells), names[16], names[1])
