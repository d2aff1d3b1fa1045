"""What the old projects did each frame, with stock OpenCV and OpenVINO: the reference of the pipeline's benchmarks.

Read a decoded frame, resize it, make it float, infer synchronously, draw the boxes, encode the whole frame. The
network and the file are the pipeline's; the letterbox is kept so that both find the same faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
from numpy.typing import NDArray

SIZE = 192
ANCHOR_CELLS = 48


def old_loop(video: Path, model: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the boxes of each frame, float32 (n, 5) score, x1, y1, x2, y2 in source px."""
    compiled = ov.Core().compile_model(ov.Core().read_model(model), "CPU")
    capture = cv2.VideoCapture(str(video))
    centres = (np.stack(np.meshgrid(np.arange(ANCHOR_CELLS), np.arange(ANCHOR_CELLS)), -1).reshape(-1, 2) + 0.5) / 48
    try:
        while True:
            ok, frame = capture.read()
            if not ok:
                return
            height, width = frame.shape[:2]
            scale = SIZE / max(height, width)
            small = cv2.resize(frame, (round(width * scale), round(height * scale)))
            canvas = np.zeros((SIZE, SIZE, 3), np.uint8)
            top, left = (SIZE - small.shape[0]) // 2, (SIZE - small.shape[1]) // 2
            canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
            tensor = (canvas[:, :, ::-1].astype(np.float32) - 127.5) / 127.5
            outputs = list(compiled(tensor[None]).values())
            raw, logits = sorted(outputs, key=lambda array: -array.shape[-1])
            boxes = _decode(raw[0], logits[0, :, 0], centres)
            boxes[:, 1:] = (boxes[:, 1:] * SIZE - np.array([left, top] * 2)) / scale
            for _, x1, y1, x2, y2 in boxes:
                cv2.rectangle(frame, (int(x1), int(y1)), (int(x2), int(y2)), (255, 165, 20), 4)
            cv2.imencode(".jpg", frame)
            yield boxes
    finally:
        capture.release()


def _decode(raw: NDArray[np.float32], logits: NDArray[np.float32], centres: NDArray[np.float64]) -> NDArray[np.float32]:
    """Boxes with a score of one half or more after non-maximum suppression, in [0, 1] of the input."""
    keep = logits >= 0
    scores = 1 / (1 + np.exp(-logits[keep]))
    centre, size = raw[keep, :2] / SIZE + centres[keep], raw[keep, 2:4] / SIZE
    corners = np.concatenate([centre - size / 2, centre + size / 2], 1)
    chosen = cv2.dnn.NMSBoxes(
        np.concatenate([corners[:, :2], size], 1).tolist(), scores.tolist(), 0.5, 0.3
    )  # fmt: skip
    index = np.asarray(chosen, int).ravel()
    return np.concatenate([scores[index, None], corners[index]], 1).astype(np.float32)
