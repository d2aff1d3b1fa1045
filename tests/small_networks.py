"""Small networks for tests, made here so that a plain clone needs no downloads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset15 as op


def classifier(
    classes: int = 10, size: int = 16, *, softmax: bool = True, seed: int = 0, name: str = "small"
) -> ov.Model:
    """NCHW picture -> convolution -> pool -> dense (-> softmax), seeded weights."""
    random = np.random.default_rng(seed)
    data = op.parameter([1, 3, size, size], np.float32, name="data")
    kernel = op.constant(random.standard_normal((8, 3, 3, 3)).astype(np.float32))
    x = op.relu(op.convolution(data, kernel, [1, 1], [1, 1], [1, 1], [1, 1]))
    x = op.squeeze(op.reduce_mean(x, op.constant(np.array([2, 3])), True), op.constant(np.array([2, 3])))
    x = op.matmul(x, op.constant(random.standard_normal((8, classes)).astype(np.float32)), False, False)
    if softmax:
        x = op.softmax(x, 1)
    data.output(0).set_names({"data"})
    x.output(0).set_names({"prob"})
    return ov.Model([x], [data], name)


def detector(*, decrease_label_id: bool = False, background: int = 0) -> ov.Model:
    """An SSD head over two priors: inputs loc [1, 8], conf [1, 2 * 3] and a picture that is not looked at."""
    picture = op.parameter([1, 3, 4, 4], np.float32, name="data")
    nothing = op.multiply(op.reduce_mean(picture, op.constant(np.array([1, 2, 3])), False), op.constant(np.float32(0)))
    loc = op.add(op.constant(np.zeros((1, 8), np.float32)), nothing)
    conf = op.constant(np.array([[0.1, 0.7, 0.2, 0.05, 0.05, 0.9]], np.float32))
    boxes = [[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]]
    priors = op.constant(np.array([np.ravel(boxes), np.tile([0.1, 0.1, 0.2, 0.2], 2)], np.float32)[None])
    attributes = {
        "num_classes": 3, "background_label_id": background, "top_k": 10, "keep_top_k": [10], "nms_threshold": 0.45,
        "confidence_threshold": 0.15, "code_type": "caffe.PriorBoxParameter.CENTER_SIZE", "share_location": True,
        "variance_encoded_in_target": False, "normalized": True, "decrease_label_id": decrease_label_id,
    }  # fmt: skip
    found = op.detection_output(loc, conf, priors, attributes)
    found.output(0).set_names({"detection_out"})
    return ov.Model([found], [picture], "ssd")


def outputs_only(**shapes: tuple[int, ...]) -> ov.Model:
    """A picture in, constants of the given shapes out: enough for choosing a parser."""
    picture = op.parameter([1, 3, 32, 32], np.float32, name="data")
    nothing = op.multiply(
        op.reduce_mean(picture, op.constant(np.array([0, 1, 2, 3])), False), op.constant(np.float32(0))
    )
    results = []
    for name, shape in shapes.items():
        node = op.add(op.constant(np.zeros(shape, np.float32)), nothing)
        node.output(0).set_names({name})
        results.append(node)
    return ov.Model(results, [picture], "outputs")


def spots() -> np.ndarray:
    """Two bright spots and a red one on black, 64 px each, uint8 (256, 512, 3): what `spots_network` finds."""
    picture = np.zeros((256, 512, 3), np.uint8)
    picture[64:128, 64:128] = picture[128:192, 384:448] = 255
    picture[0:64, 256:320] = (0, 0, 255)
    return picture


def field(number: int, value: int | bytes | str) -> bytes:
    """One protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """A number of any size as protobuf writes it; a negative one as one of 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def onnx_relu(path: Path, shape: tuple[int | str, ...]) -> Path:
    """An ONNX file: y = relu(x). A string in `shape` is an open dimension."""

    def value_info(name: str) -> bytes:
        dims = b"".join(field(1, field(1, d) if isinstance(d, int) else field(2, d)) for d in shape)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))

    node = field(1, "x") + field(2, "y") + field(3, "relu") + field(4, "Relu")
    graph = field(1, node) + field(2, "g") + field(11, value_info("x")) + field(12, value_info("y"))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


def tensorflow_relu(path: Path) -> Path:
    """A TensorFlow frozen graph: placeholder `x` [1, 4, 4, 3] -> `y` = relu."""
    sizes = b"".join(field(2, field(1, d)) for d in (1, 4, 4, 3))
    dtype = field(5, field(1, "dtype") + field(2, field(6, 1)))
    kind = field(5, field(1, "T") + field(2, field(6, 1)))
    shape = field(5, field(1, "shape") + field(2, field(7, sizes)))
    x = field(1, "x") + field(2, "Placeholder") + dtype + shape
    y = field(1, "y") + field(2, "Relu") + field(3, "x") + kind
    path.write_bytes(field(1, x) + field(1, y))
    return path


TENSORFLOW_TEXT = """
node { name: "x" op: "Placeholder"
  attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "shape" value { shape { dim { size: 1 } dim { size: 4 } } } } }
node { name: "p" op: "Softmax" input: "x" attr { key: "T" value { type: DT_FLOAT } } }
node { name: "y" op: "Neg" input: "p" attr { key: "T" value { type: DT_FLOAT } } }
"""
"""A graph whose class probabilities `p` also feed another layer."""


def mean_network(path: Path, size: int = 32) -> Path:
    """(1, 3, size, size) -> the mean of each channel, (1, 3), as softmax input would be; written as IR."""
    image = op.parameter([1, 3, size, size], np.float32, name="data")
    mean = op.reduce_mean(image, np.array([2, 3]), False)
    mean.set_friendly_name("means")
    model = ov.Model([mean], [image], "means")
    model.outputs[0].set_names({"means"})
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def classifier_network(path: Path, classes: int = 9, size: int = 84, winner: int = 4) -> Path:
    """An NHWC classifier (1, size, size, 3) -> softmax (1, classes) that favours `winner`, most for dark pictures."""
    image = op.parameter([1, size, size, 3], np.float32, name="input")
    dark = op.subtract(np.float32(1.0), op.reduce_mean(image, np.array([1, 2, 3]), False))
    bias = np.zeros((1, classes), np.float32)
    bias[0, winner] = 3.0
    scores = op.softmax(op.multiply(op.reshape(dark, np.array([1, 1]), False), bias), 1)
    scores.set_friendly_name("softmax")
    model = ov.Model([scores], [image], "directions")
    model.outputs[0].set_names({"softmax"})
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def spots_network(path: Path, size: int = 256) -> Path:
    """A detector of bright and of red spots, with the outputs and the metadata of a YOLOv8: (1, 6, cells).

    Cells of stride 32 look at their own pixels, and a box is one cell. Finer cells find nothing.
    """
    image = op.parameter([1, 3, size, size], np.float32, name="images")
    means = op.avg_pool(image, [32, 32], [0, 0], [0, 0], [32, 32], False)
    split = op.split(means, op.constant(np.int64(1)), 3)
    red, green, blue = (split.output(i) for i in range(3))
    white = op.relu(op.subtract(op.multiply(op.minimum(red, op.minimum(green, blue)), np.float32(2)), np.float32(1)))
    scores = [white, op.relu(op.subtract(red, op.maximum(green, blue)))]
    side = size // 32
    y, x = (np.indices((side, side), np.float32) + 0.5) * 32
    boxes = np.stack([x, y, np.full_like(x, 32), np.full_like(x, 32)])[None]
    coarse = op.reshape(op.concat([op.constant(boxes), *scores], 1), np.array([1, 6, side * side]), False)
    fine = op.constant(np.zeros((1, 6, side * side * (16 + 4)), np.float32))
    rows = op.concat([fine, coarse], 2)
    model = ov.Model([rows], [image], "spots")
    model.outputs[0].set_names({"output0"})
    model.inputs[0].set_names({"images"})
    ov.save_model(model, path, compress_to_fp16=False)
    said = {"task": "detect", "stride": 32, "batch": 1, "imgsz": [size, size], "names": {0: "bright", 1: "red"}}
    lines = [f"{key}: {value}" for key, value in said.items()]
    (path.parent / "metadata.yaml").write_text("description: Ultralytics spots model\n" + "\n".join(lines) + "\n")
    return path


def segmenter_network(path: Path, size: int = 64) -> Path:
    """(1, 3, size, size) -> scores (1, 3, size, size): bright pixels are class 1, red ones class 2, others class 0."""
    image = op.parameter([1, 3, size, size], np.float32, name="image")
    blue, green, red = (op.split(image, op.constant(np.int64(1)), 3).output(i) for i in range(3))
    nothing = op.add(op.multiply(red, np.float32(0)), np.float32(64))
    bright = op.minimum(red, op.minimum(green, blue))
    scores = op.softmax(op.concat([nothing, bright, op.subtract(red, green)], 1), 1)
    model = ov.Model([scores], [image], "segmenter")
    model.outputs[0].set_names({"scores"})
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def heads_network(path: Path, size: int = 32) -> Path:
    """(1, 3, size, size) -> two softmax heads: `light` (1, 2), 0 for dark pictures, and `hue` (1, 3): b, g, r."""
    image = op.parameter([1, 3, size, size], np.float32, name="image")
    means = op.reduce_mean(image, op.constant(np.array([2, 3])), False)
    light = op.reduce_mean(means, op.constant(np.array([1])), True)
    heads = [op.softmax(op.concat([op.subtract(np.float32(128), light), light], 1), 1), op.softmax(means, 1)]
    model = ov.Model(heads, [image], "heads")
    for output, name in zip(model.outputs, ("light", "hue"), strict=True):
        output.set_names({name})
    ov.save_model(model, path, compress_to_fp16=False)
    return path
