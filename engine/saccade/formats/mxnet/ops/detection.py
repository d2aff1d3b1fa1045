"""Operators of detectors: anchors, decoding and suppression of boxes, regions.

MXNet's detection rows are (label, score, x1, y1, x2, y2); those of `multi_box_detection` are OpenVINO's, with the
image in front, because results leave the network there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from openvino import opset1, opset8, opset9

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Value, dims
from saccade.formats.mxnet.graph import LAYERS, Layer, scalar

MAX_BOXES = 1 << 16
"""Most boxes that suppression compares with each other."""


@LAYERS.builds("MultiBoxPrior")
def multi_box_prior(layer: Layer) -> Value:
    """Anchors (1, H * W * n, 4), corners in [0, 1]: every size with the first ratio, then the other ratios."""
    height, width = layer.dims()[2:]
    sizes, ratios = layer.numbers("sizes", (1.0,)), layer.numbers("ratios", (1.0,))
    steps, offsets = layer.numbers("steps", (-1.0, -1.0)), layer.numbers("offsets", (0.5, 0.5))
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
        clip=layer.boolean("clip", False),
    )[0]
    return layers.constant(corners.reshape(1, -1, 4))


@LAYERS.builds("MultiBoxDetection")
def multi_box_detection(layer: Layer) -> Value:
    """Rows image, label (from 0), score, x1, y1, x2, y2 in [0, 1], as OpenVINO's DetectionOutput has them."""
    scores, locations, anchors = layer.values()
    batch, classes, boxes = dims(scores)
    if classes < 2 or math.prod(dims(locations)) != batch * boxes * 4 or dims(anchors)[-2:] != (boxes, 4):
        raise ModelError(f"has inputs that do not fit each other: {layer.shapes()}")
    if layer.integer("background_id", 0) != 0:
        raise UnsupportedError("has a background class other than 0")
    variances = layer.numbers("variances", (0.1, 0.1, 0.2, 0.2))
    if len(variances) != 4:
        raise ModelError(f"has variances {variances}; expected 4 numbers")
    overlap = layer.number("nms_threshold", 0.5)
    overlap = overlap if 0 < overlap <= 1 else 1.0  # MXNet does not suppress then
    threshold, clip = layer.number("threshold", 0.01), layer.boolean("clip", True)
    best = layer.integer("nms_topk", -1)
    keep = min(best, boxes) if best > 0 else boxes
    locations = layers.reshape(locations, (batch, boxes, 4))
    if layer.boolean("force_suppress", False) and layer.options.force_suppress:
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
    if keep > MAX_BOXES:
        raise UnsupportedError(f"compares {keep} boxes with each other; at most {MAX_BOXES} are supported")
    pictures = []
    for picture in range(batch):
        own = best_rows(layers.crop(rows, (picture, 0, 0), (1, boxes, width)), score, keep)
        corners = layers.crop(own, (0, coordinates), (keep, 4))
        if label >= 0:
            # Boxes of different classes are moved apart, farther than any box reaches, so that they never overlap.
            reach = (f(corners, layers.ints([0, 1]), True).output(0) for f in (opset1.reduce_max, opset1.reduce_min))
            step = layers.power(layers.binary("sub", *reach), shift=1)
            corners = layers.binary("add", corners, layers.binary("mul", _column(own, label), step))
        index = _selected(corners, _column(own, score), overlap=overlap, threshold=threshold)
        # How many there are is known only after a run: the list is filled up with the number of a row of -1.
        blank = layers.constant(np.full((1, width), -1, np.float32))
        filled = opset1.concat([index, layers.constant(np.full(keep, keep, np.int64))], 0)
        first = opset8.slice(filled, layers.ints([0]), layers.ints([keep]), layers.ints([1]), layers.ints([0]))
        chosen = opset1.reshape(first, layers.ints([keep]), False).output(0)
        pictures.append(layers.reshape(layers.gather(layers.concat([own, blank], 0), chosen), (1, keep, width)))
    return layers.concat(pictures, 0)


def best_rows(rows: Value, score: int, count: int) -> Value:
    """The `count` rows of (1, boxes, width) with the best scores, best first: (count, width)."""
    _, boxes, width = dims(rows)
    table = layers.reshape(rows, (boxes, width))
    _, order = layers.top_k(layers.reshape(_column(table, score), (boxes,)), count, axis=0)
    # One picture at a time: the gather over a batch crashes in OpenVINO's CPU plugin (2026.4).
    return layers.gather(table, order)


def _selected(corners: Value, scores: Value, *, overlap: float, threshold: float) -> Value:
    """Numbers (int64, as many as there are) of the boxes (n, 4) that remain, best first."""
    count = dims(corners)[0]
    chosen = opset9.non_max_suppression(
        layers.reshape(corners, (1, count, 4)),
        layers.reshape(scores, (1, 1, count)),
        layers.ints([count]),
        scalar(overlap),
        scalar(threshold),
        sort_result_descending=True,
    ).output(0)
    numbers = opset1.gather(chosen, layers.ints([2]), layers.ints([1]))
    return opset1.convert(opset1.reshape(numbers, layers.ints([-1]), False), "i64").output(0)


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


@LAYERS.builds("box_decode")
def box_decode(layer: Layer) -> Value:
    """`box_decode`: boxes from offsets and anchors, as GluonCV's SSD has it."""
    spread = tuple(layer.number(f"std{i}", 1.0) for i in range(4))
    centred = layer.choice("format", ("center", "corner"), "center") == "center"
    return decoded(layer.input(), layer.input(1), spread, centred=centred, limit=layer.number("clip", -1))


@LAYERS.builds("box_nms")
def box_nms(layer: Layer) -> Value:
    """`box_nms`: rows of any width, sorted and suppressed; what does not remain is -1."""
    x = layer.input()
    shape = dims(x)
    if len(shape) < 2:
        raise ModelError(f"has an input of the shape {shape}; expected boxes and their numbers")
    boxes, width = shape[-2:]
    coordinates, score = layer.integer("coord_start", 2), layer.integer("score_index", 1)
    label, background = layer.integer("id_index", -1), layer.integer("background_id", -1)
    if not 0 <= coordinates <= width - 4 or not 0 <= score < width or label >= width:
        raise ModelError(f"has coord_start={coordinates}, score_index={score}, id_index={label} in rows of {width}")
    before, after = (layer.choice(key, ("corner", "center"), "corner") for key in ("in_format", "out_format"))
    rows = layers.reshape(x, (math.prod(shape[:-2]), boxes, width))
    if before == "center":
        rows = _with_corners(rows, coordinates)
    if label >= 0 and background >= 0:
        # A box of the background never takes part: its score falls below every threshold.
        is_background = layers.binary("equal", _column(rows, label), scalar(background))
        mask = np.zeros(width, np.float32)
        mask[score] = 1
        penalty = layers.binary("mul", layers.as_float(is_background), layers.constant(mask * np.float32(1e30)))
        rows = layers.binary("sub", rows, penalty)
    best = layer.integer("topk", -1)
    keep = min(best, boxes) if best > 0 else boxes
    apart = label if not layer.boolean("force_suppress", False) else -1
    kept = suppressed(
        rows,
        overlap=layer.number("overlap_thresh", 0.5),
        threshold=layer.number("valid_thresh", 0),
        keep=keep,
        coordinates=coordinates,
        score=score,
        label=apart,
    )
    if after == "center":
        kept = _with_centres(kept, coordinates, score)
    kept = layers.pad(kept, (0, 0, 0), (0, boxes - keep, 0), value=-1)
    return layers.reshape(kept, shape)


def _with_corners(rows: Value, start: int) -> Value:
    """Rows with corners where they have centres and sizes."""
    x, y, width, height = _columns(_box(rows, start))
    half = [layers.power(side, scale=0.5) for side in (width, height)]
    corners = [layers.binary(sign, c, h) for sign in ("sub", "add") for c, h in zip((x, y), half, strict=True)]
    return _replaced(rows, start, corners)


def _with_centres(rows: Value, start: int, score: int) -> Value:
    """Rows with centres and sizes where they have corners; rows of -1 stay as they are."""
    one, two, three, four = _columns(_box(rows, start))
    pairs = ((one, three), (two, four))
    centres = [layers.power(layers.binary("add", *pair), scale=0.5) for pair in pairs]
    sides = [layers.binary("sub", high, low) for low, high in pairs]
    empty = layers.binary("less", _column(rows, score), scalar(0))
    return opset1.select(empty, rows, _replaced(rows, start, centres + sides)).output(0)


def _box(rows: Value, start: int) -> Value:
    return layers.crop(rows, (0, 0, start), (*dims(rows)[:2], 4))


def _replaced(rows: Value, start: int, box: list[Value]) -> Value:
    """Rows with other coordinates from column `start` on."""
    width = dims(rows)[2]
    before = [_column(rows, column) for column in range(start)]
    after = [_column(rows, column) for column in range(start + 4, width)]
    return layers.concat([*before, *box, *after], 2)


@LAYERS.builds("Proposal")
def proposal(layer: Layer) -> Value | list[Value]:
    """`Proposal`: regions (n, 5) image, x1, y1, x2, y2 in px of the input, best first, repeated until there are n."""
    scores, offsets, info = layer.values()
    stride = layer.integer("feature_stride", 16)
    before, after = layer.integer("rpn_pre_nms_top_n", 6000), layer.integer("rpn_post_nms_top_n", 300)
    scales, ratios = layer.numbers("scales", (4, 8, 16, 32)), layer.numbers("ratios", (0.5, 1, 2))
    if stride < 1 or after < 1 or not scales or not ratios or min(scales + ratios) <= 0:
        raise ModelError(f"has feature_stride {stride}, scales {scales}, ratios {ratios}; these make no regions")
    batch, channels, height, width = dims(scores)
    anchors = region_anchors(stride, scales, ratios)
    count, boxes = len(anchors), len(anchors) * height * width
    if batch != 1 or dims(info) != (1, 3) or layer.boolean("iou_loss", False):
        raise UnsupportedError(f"has the inputs {layer.shapes()}; only offsets of one picture at a time are supported")
    if channels != 2 * count or dims(offsets) != (1, 4 * count, height, width):
        raise ModelError(f"has inputs that do not fit its {count} anchors: {layer.shapes()}")
    layers.check_size((boxes, 5), "its result")
    layers.check_size((after, 5), "its result")
    score = layers.transpose(layers.crop(scores, (0, count, 0, 0), (1, count, height, width)), (0, 2, 3, 1))
    moved = layers.transpose(layers.reshape(offsets, (count, 4, height, width)), (2, 3, 0, 1))
    rows = _region_rows(
        layers.reshape(score, (1, boxes, 1)),
        layers.reshape(moved, (1, boxes, 4)),
        info,
        anchors,
        grid=(height, width),
        stride=stride,
        least=layer.integer("rpn_min_size", 16),
    )
    rows = best_rows(rows, 0, min(before, boxes) if before > 0 else boxes)
    index = _selected(
        layers.binary("add", layers.crop(rows, (0, 1), (dims(rows)[0], 4)), _row(0, 0, 1, 1)),
        _column(rows, 0),
        overlap=layer.number("threshold", 0.7),
        threshold=-2,  # boxes that lost their score take part too
    )
    # With fewer boxes than asked for, MXNet begins again with the best.
    total = opset1.maximum(opset1.shape_of(index), layers.ints([1]))
    number = opset1.floor_mod(layers.ints(range(after)), total).output(0)
    numbers = opset1.concat([index, layers.ints([0])], 0).output(0)
    best = layers.gather(rows, layers.gather(numbers, number))
    image = layers.constant(np.zeros((after, 1), np.float32))
    regions = layers.concat([image, layers.crop(best, (0, 1), (after, 4))], 1)
    return [regions, _column(best, 0)] if layer.boolean("output_score", False) else regions


def _region_rows(
    score: Value,
    offsets: Value,
    info: Value,
    anchors: NDArray[np.float32],
    *,
    grid: tuple[int, int],
    stride: int,
    least: int,
) -> Value:
    """Score, x1, y1, x2, y2 of every anchor at every cell, (1, boxes, 5), as MXNet's `proposal.cc` has them.

    Corners are pixels that belong to the box, so that a width is x2 - x1 + 1. info : (1, 3) height, width and scale.
    """
    cells = np.stack(np.meshgrid(np.arange(grid[0]), np.arange(grid[1]), indexing="ij"), -1).reshape(-1, 1, 2)
    corners = (np.tile(cells[..., ::-1] * stride, 2) + anchors).reshape(1, -1, 4)
    size = corners[..., 2:] - corners[..., :2] + 1
    centred = np.concatenate([corners[..., :2] + (size - 1) / 2, size], -1).astype(np.float32)
    found = decoded(offsets, layers.constant(centred), (1.0, 1.0, 1.0, 1.0), centred=True)
    found = layers.binary("add", found, _row(0.5, 0.5, -0.5, -0.5))
    height, width, scale = layers.split(info, 1, [1, 1, 1])
    most = layers.power(layers.concat([width, height, width, height], 1), shift=-1)
    found = layers.binary("min", layers.binary("max", found, scalar(0)), most)
    # Boxes smaller than the least size grow and lose their score; boxes of cells beyond the picture lose it too.
    one, two, three, four = _columns(found)
    sides = (layers.power(layers.binary("sub", *pair), shift=1) for pair in ((three, one), (four, two)))
    limit = layers.power(scale, scale=least)
    small = layers.binary("logical_or", *(layers.binary("less", side, limit) for side in sides))
    growth = layers.binary("mul", layers.as_float(small), layers.power(limit, scale=0.5))
    found = layers.binary("add", found, layers.binary("mul", growth, _row(-1, -1, 1, 1)))
    places = np.repeat(cells.reshape(-1, 2), len(anchors), axis=0).astype(np.float32)
    lost = small
    for axis, extent in enumerate((height, width)):
        last = layers.unary("floor", layers.power(extent, scale=1 / stride))
        place = layers.constant(np.ascontiguousarray(places[:, axis]).reshape(1, -1, 1))
        lost = layers.binary("logical_or", lost, layers.binary("greater_equal", place, last))
    return layers.concat([opset1.select(lost, scalar(-1), score).output(0), found], 2)


def _row(*numbers: float) -> Value:
    return layers.constant(np.asarray([numbers], np.float32))


def region_anchors(stride: int, scales: tuple[float, ...], ratios: tuple[float, ...]) -> NDArray[np.float32]:
    """Boxes x1, y1, x2, y2 (n, 4) around a cell of `stride` px, each ratio at each scale, rounded as Faster R-CNN's."""
    area, centre = float(stride * stride), (stride - 1) / 2
    boxes = []
    for ratio in ratios:
        width = math.floor(math.sqrt(math.floor(area / ratio)) + 0.5)
        height = math.floor(width * ratio + 0.5)
        for scale in scales:
            half = ((width * scale - 1) / 2, (height * scale - 1) / 2)
            boxes.append([centre - half[0], centre - half[1], centre + half[0], centre + half[1]])
    return np.asarray(boxes, np.float32)


@LAYERS.builds("ROIPooling")
def roi_pooling(layer: Layer) -> Value:
    """`ROIPooling`: the maximum in each cell of each region."""
    size = layer.integers("pooled_size", ())
    if len(size) != 2 or min(size) < 1:
        raise ModelError(f"has pooled_size {size}; expected two positive numbers")
    return layers.roi_pooling(
        layer.input(), layer.input(1), size=(size[0], size[1]), spatial_scale=layer.number("spatial_scale", 1)
    )
