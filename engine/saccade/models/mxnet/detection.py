"""Operators of detectors: anchors, decoding and suppression of boxes, regions.

MXNet's detection rows are (label, score, x1, y1, x2, y2); those of `multi_box_detection` are OpenVINO's, with the
image in front, because results leave the network there.
"""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1, opset4, opset8, opset9

from saccade.errors import ModelError, UnsupportedError
from saccade.models import layers
from saccade.models.layers import Value, dims
from saccade.models.mxnet.graph import Layer, scalar

MAX_BOXES = 1 << 16
"""Most boxes that suppression works on."""


def multi_box_prior(layer: Layer) -> Value:
    """Anchors (1, H * W * n, 4), corners in [0, 1]: every size with the first ratio, then the other ratios."""
    attributes = layer.attributes
    height, width = dims(layer[0])[2:]
    sizes, ratios = attributes.numbers("sizes", (1.0,)), attributes.numbers("ratios", (1.0,))
    steps, offsets = attributes.numbers("steps", (-1.0, -1.0)), attributes.numbers("offsets", (0.5, 0.5))
    if not sizes or not ratios or min(ratios) <= 0 or len(steps) != 2 or len(offsets) != 2:
        raise ModelError(f"has sizes {sizes}, ratios {ratios}, steps {steps}, offsets {offsets}; these make no boxes")
    pairs = [(size, ratios[0]) for size in sizes] + [(sizes[0], ratio) for ratio in ratios[1:]]
    layers.check_size((height, width, len(pairs), 4), "its result")
    boxes = [(size * height / width * ratio**0.5, size / ratio**0.5) for size, ratio in pairs]
    step = (steps[0] if steps[0] > 0 else 1 / height, steps[1] if steps[1] > 0 else 1 / width)
    corners = layers.prior_boxes(
        boxes,
        feature=(height, width),
        image=(1, 1),
        step=step,
        offset=0.0,
        shifts=[(offsets[1] * step[1], offsets[0] * step[0])] * len(boxes),
        clip=attributes.boolean("clip", False),
    )[0]
    return layers.constant(corners.reshape(1, -1, 4))


def multi_box_detection(layer: Layer) -> Value:
    """Rows image, label (from 0), score, x1, y1, x2, y2 in [0, 1], as OpenVINO's DetectionOutput has them."""
    scores, locations, anchors = layer.values()
    attributes = layer.attributes
    batch, classes, boxes = dims(scores)
    if classes < 2 or math.prod(dims(locations)) != batch * boxes * 4 or dims(anchors)[-2:] != (boxes, 4):
        raise ModelError(f"has inputs that do not fit each other: {layer.shapes()}")
    if attributes.integer("background_id", 0) != 0:
        raise UnsupportedError("has a background class other than 0")
    variances = attributes.numbers("variances", (0.1, 0.1, 0.2, 0.2))
    if len(variances) != 4:
        raise ModelError(f"has variances {variances}; expected 4 numbers")
    overlap = attributes.number("nms_threshold", 0.5)
    overlap = overlap if 0 < overlap <= 1 else 1.0  # MXNet does not suppress then
    threshold, clip = attributes.number("threshold", 0.01), attributes.boolean("clip", True)
    best = attributes.integer("nms_topk", -1)
    keep = min(best, boxes) if best > 0 else boxes
    locations = layers.reshape(locations, (batch, boxes, 4))
    if attributes.boolean("force_suppress", False) and layer.options.force_suppress:
        corners = decoded(locations, anchors, variances)
        corners = layers.clamp(corners, 0, 1) if clip else corners
        return _best_across_classes(scores, corners, overlap=overlap, threshold=threshold, keep=keep)
    priors = [
        layers.reshape(anchors, (1, 1, boxes * 4)),
        layers.constant(np.tile(np.asarray(variances, np.float32), boxes)[None, None]),
    ]
    return layers.detection_output(
        layers.reshape(locations, (batch, boxes * 4)),
        layers.reshape(layers.transpose(scores, (0, 2, 1)), (batch, boxes * classes)),
        layers.concat(priors, 1),
        num_classes=classes,
        nms_threshold=overlap,
        confidence_threshold=threshold,
        top_k=keep,
        keep_top_k=keep,
        code_type="CENTER_SIZE",
        clip_before_nms=clip,
        decrease_label_id=True,
    )


def _best_across_classes(scores: Value, corners: Value, *, overlap: float, threshold: float, keep: int) -> Value:
    """Detection rows (1, 1, N * keep, 7) where a box suppresses those of all classes; image -1 ends each picture's."""
    batch, classes, boxes = dims(scores)
    foreground = layers.crop(scores, (0, 1, 0), (batch, classes - 1, boxes))
    best, label = layers.top_k(foreground, 1, axis=1)
    rows = layers.concat(
        [layers.transpose(layers.as_float(label), (0, 2, 1)), layers.transpose(best, (0, 2, 1)), corners], 2
    )
    kept = suppressed(rows, overlap=overlap, threshold=threshold, keep=keep)
    found = layers.as_float(layers.binary("greater_equal", _column(kept, 0), scalar(0)))
    number = layers.constant(np.arange(1, batch + 1, dtype=np.float32).reshape(batch, 1, 1))
    image = layers.power(layers.binary("mul", found, number), shift=-1)
    return layers.reshape(layers.concat([image, kept], 2), (1, 1, batch * keep, 7))


def suppressed(
    rows: Value, *, overlap: float, threshold: float, keep: int, coordinates: int = 2, score: int = 1, label: int = -1
) -> Value:
    """Non-maximum suppression of (N, boxes, width) rows: (N, keep, width), best first, the rest -1.

    Only the best `keep` boxes whose score is above `threshold` take part. coordinates, score, label : columns of
    x1, of the score and of the class; with a class, boxes suppress only their own.
    """
    batch, boxes, width = dims(rows)
    if boxes > MAX_BOXES:
        raise UnsupportedError(f"suppresses {boxes} boxes; at most {MAX_BOXES} are supported")
    pictures = []
    for picture in range(batch):
        own = layers.reshape(layers.crop(rows, (picture, 0, 0), (1, boxes, width)), (boxes, width))
        _, order = layers.top_k(layers.reshape(_column(own, score), (boxes,)), keep, axis=0)
        own = layers.gather(own, order)
        corners = layers.crop(own, (0, coordinates), (keep, 4))
        if label >= 0:
            # Boxes of different classes are moved apart, farther than any box reaches, so that they never overlap.
            reach = (f(corners, layers.ints([0, 1]), True).output(0) for f in (opset1.reduce_max, opset1.reduce_min))
            step = layers.power(layers.binary("sub", *reach), shift=1)
            corners = layers.binary("add", corners, layers.binary("mul", _column(own, label), step))
        selected = opset9.non_max_suppression(
            layers.reshape(corners, (1, keep, 4)),
            layers.reshape(_column(own, score), (1, 1, keep)),
            layers.ints([keep]),
            scalar(overlap),
            scalar(threshold),
            sort_result_descending=True,
        ).output(0)
        index = opset1.gather(selected, layers.ints([2]), layers.ints([1])).output(0)
        # How many there are is known only after a run: the list is filled up with the number of a row of -1.
        blank = layers.constant(np.full((1, width), -1, np.float32))
        filled = opset1.concat([opset1.convert(index, "i64"), layers.constant(np.full((keep, 1), keep, np.int64))], 0)
        first = opset8.slice(filled, layers.ints([0]), layers.ints([keep]), layers.ints([1]), layers.ints([0]))
        chosen = opset1.reshape(first, layers.ints([keep]), False).output(0)
        pictures.append(layers.reshape(layers.gather(layers.concat([own, blank], 0), chosen), (1, keep, width)))
    return layers.concat(pictures, 0)


def _column(rows: Value, column: int) -> Value:
    """One column of rows, (..., 1)."""
    shape = dims(rows)[:-1]
    return layers.crop(rows, (*(0,) * len(shape), column), (*shape, 1))


def _columns(boxes: Value) -> list[Value]:
    return layers.split(boxes, len(dims(boxes)) - 1, [1, 1, 1, 1])


def decoded(
    offsets: Value, anchors: Value, variances: tuple[float, ...], *, centred: bool = False, limit: float = -1
) -> Value:
    """Corners of boxes from offsets to anchors, which are corners, or centres and sizes if `centred`.

    limit : the most that the logarithm of a size may be; negative: no limit.
    """
    one, two, three, four = _columns(anchors)
    if centred:
        x, y, width, height = one, two, three, four
    else:
        width, height = layers.binary("sub", three, one), layers.binary("sub", four, two)
        x = layers.power(layers.binary("add", one, three), scale=0.5)
        y = layers.power(layers.binary("add", two, four), scale=0.5)
    dx, dy, dw, dh = (layers.power(d, scale=v) for d, v in zip(_columns(offsets), variances, strict=True))
    if limit > 0:
        dw, dh = (opset1.minimum(d, scalar(limit)).output(0) for d in (dw, dh))
    x = layers.binary("add", layers.binary("mul", dx, width), x)
    y = layers.binary("add", layers.binary("mul", dy, height), y)
    half_width, half_height = (
        layers.power(layers.binary("mul", layers.unary("exp", d), size), scale=0.5)
        for d, size in ((dw, width), (dh, height))
    )
    corners = [layers.binary(sign, *pair) for sign in ("sub", "add") for pair in ((x, half_width), (y, half_height))]
    return layers.concat(corners, len(dims(offsets)) - 1)


def box_decode(layer: Layer) -> Value:
    """`box_decode`: boxes from offsets and anchors, as GluonCV's SSD has it."""
    attributes = layer.attributes
    spread = tuple(attributes.number(f"std{i}", 1.0) for i in range(4))
    centred = attributes.choice("format", "center", ("center", "corner")) == "center"
    return decoded(layer[0], layer[1], spread, centred=centred, limit=attributes.number("clip", -1))


def box_nms(layer: Layer) -> Value:
    """`box_nms`: rows of any width, sorted and suppressed; what does not remain is -1."""
    x, attributes = layer[0], layer.attributes
    shape = dims(x)
    if len(shape) < 2:
        raise ModelError(f"has an input of the shape {shape}; expected boxes and their numbers")
    boxes, width = shape[-2:]
    coordinates, score = attributes.integer("coord_start", 2), attributes.integer("score_index", 1)
    label, background = attributes.integer("id_index", -1), attributes.integer("background_id", -1)
    if not 0 <= coordinates <= width - 4 or not 0 <= score < width or label >= width:
        raise ModelError(f"has coord_start={coordinates}, score_index={score}, id_index={label} in rows of {width}")
    forms = tuple(attributes.choice(key, "corner", ("corner", "center")) for key in ("in_format", "out_format"))
    if forms != ("corner", "corner"):
        raise UnsupportedError(f"turns boxes from {forms[0]} to {forms[1]}; only corners are supported")
    rows = layers.reshape(x, (math.prod(shape[:-2]), boxes, width))
    if label >= 0 and background >= 0:
        # A box of the background never takes part: its score falls below every threshold.
        is_background = layers.binary("equal", _column(rows, label), scalar(background))
        mask = np.zeros(width, np.float32)
        mask[score] = 1
        penalty = layers.binary("mul", layers.as_float(is_background), layers.constant(mask * np.float32(1e30)))
        rows = layers.binary("sub", rows, penalty)
    best = attributes.integer("topk", -1)
    keep = min(best, boxes) if best > 0 else boxes
    apart = label if not attributes.boolean("force_suppress", False) else -1
    kept = suppressed(
        rows,
        overlap=attributes.number("overlap_thresh", 0.5),
        threshold=attributes.number("valid_thresh", 0),
        keep=keep,
        coordinates=coordinates,
        score=score,
        label=apart,
    )
    kept = layers.pad(kept, (0, 0, 0), (0, boxes - keep, 0), value=-1)
    return layers.reshape(kept, shape)


def proposal(layer: Layer) -> Value | list[Value]:
    """`Proposal`: regions (n, 5) image, x1, y1, x2, y2 in px of the input, best first."""
    scores, offsets, info = layer.values()
    attributes = layer.attributes
    if attributes.boolean("iou_loss", False):
        raise UnsupportedError("has iou_loss; only box offsets are supported")
    stride = attributes.integer("feature_stride", 16)
    settings = {
        "base_size": np.uint32(stride),
        "pre_nms_topn": np.uint32(attributes.integer("rpn_pre_nms_top_n", 6000)),
        "post_nms_topn": np.uint32(attributes.integer("rpn_post_nms_top_n", 300)),
        "nms_thresh": np.float32(attributes.number("threshold", 0.7)),
        "feat_stride": np.uint32(stride),
        "min_size": np.uint32(attributes.integer("rpn_min_size", 16)),
        "ratio": np.asarray(attributes.numbers("ratios", (0.5, 1, 2)), np.float32),
        "scale": np.asarray(attributes.numbers("scales", (4, 8, 16, 32)), np.float32),
        "clip_before_nms": True,
        "clip_after_nms": False,
        "normalize": False,
        "box_size_scale": np.float32(1),
        "box_coordinate_scale": np.float32(1),
        "framework": "",
    }
    batch = dims(scores)[0]
    if batch != 1 or dims(info) != (1, 3):
        raise UnsupportedError(f"has the inputs {layer.shapes()}; only one picture at a time is supported")
    regions, probabilities = opset4.proposal(scores, offsets, layers.reshape(info, (3,)), settings).outputs()
    return [regions, probabilities] if attributes.boolean("output_score", False) else regions


def roi_pooling(layer: Layer) -> Value:
    """`ROIPooling`: the maximum in each cell of each region."""
    size = layer.attributes.integers("pooled_size")
    if len(size) != 2 or min(size) < 1:
        raise ModelError(f"has pooled_size {size}; expected two positive numbers")
    return layers.roi_pooling(
        layer[0], layer[1], size=(size[0], size[1]), spatial_scale=layer.attributes.number("spatial_scale", 1)
    )
