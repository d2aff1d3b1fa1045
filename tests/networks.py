"""Small networks that tests make for themselves, so that a plain clone needs no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops


def mean_network(path: Path, size: int = 32) -> Path:
    """(1, 3, size, size) -> the mean of each channel, (1, 3), as softmax input would be; written as IR."""
    image = ops.parameter([1, 3, size, size], np.float32, name="data")
    mean = ops.reduce_mean(image, np.array([2, 3]), False)
    mean.set_friendly_name("means")
    model = ov.Model([mean], [image], "means")
    model.outputs[0].set_names({"means"})
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def classifier_network(path: Path, classes: int = 9, size: int = 84, winner: int = 4) -> Path:
    """An NHWC classifier (1, size, size, 3) -> softmax (1, classes) that favours `winner`, most for dark pictures."""
    image = ops.parameter([1, size, size, 3], np.float32, name="input")
    dark = ops.subtract(np.float32(1.0), ops.reduce_mean(image, np.array([1, 2, 3]), False))
    bias = np.zeros((1, classes), np.float32)
    bias[0, winner] = 3.0
    scores = ops.softmax(ops.multiply(ops.reshape(dark, np.array([1, 1]), False), bias), 1)
    scores.set_friendly_name("softmax")
    model = ov.Model([scores], [image], "directions")
    model.outputs[0].set_names({"softmax"})
    ov.save_model(model, path, compress_to_fp16=False)
    return path
