"""Networks of a few layers, built when a test needs them, that look like what DeepLens projects used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops


def classifier(path: Path, *, classes: int = 2, size: int = 224, nhwc: bool = False, name: str = "SoftMax_67") -> Path:
    """Class i is the likelier, the brighter channel i % 3 is."""
    shape = [1, size, size, 3] if nhwc else [1, 3, size, size]
    data = ops.parameter(shape, np.float32, name="data")
    mean = ops.reduce_mean(data, np.array([1, 2] if nhwc else [2, 3]))
    weights = np.zeros((3, classes), np.float32)
    for i in range(classes):
        weights[i % 3, i] = 1.0 / (1 + i // 3)
    logits = ops.matmul(ops.divide(mean, np.float32(64)), weights, False, False)
    return _save(ops.softmax(logits, 1), [data], path, name)


def ssd(path: Path, *, size: int = 300, name: str = "DetectionOutput_detection") -> Path:
    """Two objects that are always there, as [1, 1, N, 7], the weaker one first, with rubbish after the end."""
    data = ops.parameter([1, 3, size, size], np.float32, name="data")
    rows = np.array(
        [
            [0, 2, 0.6, 0.5, 0.5, 0.9, 0.95],
            [0, 1, 0.875, 0.1, 0.2, 0.4, 0.6],
            [-1, 0, 0, 0, 0, 0, 0],
            [0, 0, 9, 9, 9, 9, 9],
        ],
        np.float32,
    )
    nothing = ops.multiply(ops.reduce_mean(data, np.array([0, 1, 2, 3])), np.float32(0))
    return _save(ops.add(ops.constant(rows.reshape(1, 1, 4, 7)), nothing), [data], path, name)


def segmenter(path: Path, *, size: int = 32, classes: int = 3) -> Path:
    """The class of a pixel is its strongest channel."""
    data = ops.parameter([1, 3, size, size], np.float32, name="data")
    return _save(ops.softmax(data, 1), [data], path, "segments")


def picture_to_picture(path: Path, *, size: int = 64) -> Path:
    """A picture of the same size, inverted, as style transfer gives one."""
    data = ops.parameter([1, 3, size, size], np.float32, name="data")
    return _save(ops.subtract(np.float32(255), data), [data], path, "Convolution_conv0")


def _save(node: ov.Node, inputs: list[ov.Node], path: Path, name: str) -> Path:
    node.set_friendly_name(name)
    node.output(0).set_names({name})
    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(ov.Model([node], inputs, path.stem), str(path), compress_to_fp16=False)
    return path
