"""TFLite_Detection_PostProcess: SSD decoding and non-maximum suppression, which OpenVINO's TFLite reader has not got.

The layers below do what TensorFlow's custom operator does. Source of its arithmetic and its options:
`lite/kernels/detection_postprocess.cc`. Rows after the last detection, which it leaves undefined, are zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset9, opset11, opset13

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.tflite.flatbuffer import flex_map
from saccade.formats.tflite.graph import Operator

NAME = "TFLite_Detection_PostProcess"
PARTS = ("boxes", "classes", "scores", "count")
"""Its outputs: (1, n, 4) y1, x1, y2, x2 in [0, 1]; (1, n) from 0, without the background; (1, n); (1,)."""

MOST_DETECTIONS = 1 << 16


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the operator.

    max_detections : boxes. per_box : classes that a box may be given. per_class : most boxes of a class where
    suppression is `regular`: for each class by itself; else a box has its best class, and suppresses all others.
    scales : of the box encodings: y, x, height, width.
    """

    max_detections: int
    per_box: int
    per_class: int
    num_classes: int
    score_threshold: float
    iou_threshold: float
    regular: bool
    scales: tuple[float, float, float, float]


def read_options(operator: Operator) -> Options:
    """Options from the file; raises ModelError where they make no sense."""
    if len(operator.inputs) != 3 or len(operator.outputs) != 4 or min(operator.inputs) < 0:
        raise ModelError(f"is damaged: {NAME} has {len(operator.inputs)} inputs and {len(operator.outputs)} outputs")
    found = flex_map(operator.options)

    def given(key: str, least: float, most: float, default: float | None = None) -> float:
        value = found.get(key, default)
        if not isinstance(value, (int, float)) or not least <= value <= most:
            raise ModelError(f"{NAME} has {key} {value!r}; expected a number from {least:g} to {most:g}")
        return value

    options = Options(
        max_detections=int(given("max_detections", 1, MOST_DETECTIONS)),
        per_box=int(given("max_classes_per_detection", 1, MOST_DETECTIONS)),
        per_class=int(given("detections_per_class", 1, MOST_DETECTIONS, 100)),
        num_classes=int(given("num_classes", 1, MOST_DETECTIONS)),
        score_threshold=given("nms_score_threshold", -math.inf, math.inf),
        iou_threshold=given("nms_iou_threshold", 1e-9, 1),
        regular=bool(found.get("use_regular_nms")),
        scales=tuple(given(f"{axis}_scale", 1e-9, 1e9) for axis in "yxhw"),  # type: ignore[arg-type]
    )
    if options.max_detections * options.per_box > MOST_DETECTIONS:
        raise ModelError(f"{NAME} gives {options.max_detections} boxes of {options.per_box} classes; too many")
    return options


def build(boxes: Value, scores: Value, anchors: NDArray[Any] | None, options: Options) -> tuple[Value, ...]:
    """The four outputs.

    boxes : (1, n, 4 or more) ty, tx, th, tw. scores : (1, n, classes, the background before them or not).
    anchors : (n, 4) y, x, height, width in [0, 1].
    """
    if anchors is None or anchors.ndim != 2 or anchors.shape[1] != 4:
        raise ModelError(f"{NAME} has no anchors of four numbers")
    n = len(anchors)
    boxes, columns = _rows(boxes, n, "box encodings")
    scores, width = _rows(scores, n, "scores")
    background = width - options.num_classes
    if columns < 4 or background not in (0, 1):
        raise ModelError(
            f"{NAME} has {columns} numbers a box and {width} scores; expected 4 and {options.num_classes} of its "
            "classes, or one more"
        )
    corners = _corners(boxes, anchors.astype(np.float32), options)
    classes = layers.crop(scores, [0, 0, background], [1, n, options.num_classes])
    return (_regular if options.regular else _fast)(corners, classes, options)


def _rows(value: Value, rows: int, what: str) -> tuple[Value, int]:
    """A value as (1, rows, columns), and its columns; the batch may have been left open."""
    shape = value.get_partial_shape()
    wanted = ov.PartialShape([1, rows, -1])
    if shape.rank.is_dynamic or not shape.compatible(wanted) or shape[2].is_dynamic:
        raise ModelError(f"{NAME} has {what} of {shape} for {rows} anchors; expected {wanted}")
    columns = int(shape[2].get_length())
    return opset13.reshape(value, layers.ints([1, rows, columns]), False).output(0), columns


def _corners(boxes: Value, anchors: NDArray[np.float32], options: Options) -> Value:
    """(1, n, 4) y1, x1, y2, x2."""
    scales = np.array(options.scales, np.float32)
    n = len(anchors)
    shift, size = (layers.crop(boxes, [0, 0, start], [1, n, 2]) for start in (0, 2))
    centre = opset13.add(
        opset13.multiply(shift, layers.constant(anchors[None, :, 2:] / scales[:2])),
        layers.constant(anchors[None, :, :2]),
    )
    grown = opset13.exp(opset13.multiply(size, layers.constant((1 / scales[2:])[None, None])))
    half = opset13.multiply(grown, layers.constant(anchors[None, :, 2:] * np.float32(0.5)))
    first, second = opset13.subtract(centre, half), opset13.add(centre, half)
    return layers.concat([first.output(0), second.output(0)], 2)


def _fast(corners: Value, scores: Value, options: Options) -> tuple[Value, ...]:
    """Each box with its best classes; the best one alone decides which boxes stay."""
    _, n, classes = layers.dims(scores)
    taken = min(options.per_box, classes)
    best = layers.reshape(opset13.reduce_max(scores, layers.ints([2]), False).output(0), [1, 1, n])
    _, box, real, count = _kept(corners, best, options.max_detections, options)
    rows = opset13.gather(layers.reshape(scores, [n, classes]), box, layers.ints([0]))
    # Only of the boxes that stay: among all of them the sorting would take most of the time.
    found = opset11.topk(rows, layers.constant(np.int64(taken)), 1, "max", "value", "i64", stable=True)

    def filled(values: Value) -> Value:
        values = layers.pad(values, [0, 0], [0, options.per_box - taken]) if taken < options.per_box else values
        return _flat(values, real, options)

    places = opset13.gather(layers.reshape(corners, [n, 1, 4]), box, layers.ints([0]))
    repeated = opset13.broadcast(
        places, layers.ints([options.max_detections, options.per_box, 4]), broadcast_spec="BIDIRECTIONAL"
    ).output(0)
    labels, values = layers.as_float(found.output(1)), found.output(0)
    return _flat(repeated, real, options, 4), filled(labels), filled(values), count


def _regular(corners: Value, scores: Value, options: Options) -> tuple[Value, ...]:
    """The best of all classes, each of which was suppressed by itself."""
    n = layers.dims(scores)[1]
    by_class = layers.transpose(scores, [0, 2, 1])
    label, box, real, count = _kept(corners, by_class, options.per_class, options)
    where = opset13.add(opset13.multiply(label, layers.ints([n])), box)
    axis = layers.ints([0])
    chosen = opset13.gather(layers.reshape(by_class, [options.num_classes * n]), where, axis).output(0)
    places = opset13.gather(layers.reshape(corners, [n, 4]), box, axis).output(0)
    rows = options.max_detections * (options.per_box - 1)
    found = []
    for value, width in ((places, 4), (layers.as_float(label), 1), (chosen, 1)):
        wide = layers.reshape(value, [options.max_detections, 1, width])
        flat = layers.reshape(_zeroed(wide, real, options), [1, options.max_detections, width])
        flat = layers.pad(flat, [0, 0, 0], [0, rows, 0]) if rows else flat
        found.append(flat if width > 1 else layers.reshape(flat, [1, options.max_detections + rows]))
    return (*found, count)


def _kept(corners: Value, scores: Value, per_class: int, options: Options) -> tuple[Value, Value, Value, Value]:
    """Suppression: label and box of each detection, best first; which rows are real, and how many.

    scores : (1, classes, n). Returns int64 (max_detections,) twice, boolean (max_detections,), float32 (1,).
    """
    most = options.max_detections
    kept = opset9.non_max_suppression(
        corners,
        scores,
        layers.constant(np.int64(per_class)),
        layers.constant(np.float32(options.iou_threshold)),
        layers.constant(_just_below(options.score_threshold)),
        box_encoding="corner",
        sort_result_descending=True,
        output_type="i64",
    )
    # As many rows as are wanted, whatever was found: (image, label, box).
    filled = layers.concat([kept.output(0), layers.constant(np.zeros((most, 3), np.int64))], 0)
    rows = layers.reshape(opset13.slice(filled, *(layers.ints([v]) for v in (0, most, 1, 0))).output(0), [most, 3])
    label, box = (layers.reshape(layers.crop(rows, [0, column], [most, 1]), [most]) for column in (1, 2))
    count = opset13.minimum(opset13.convert(kept.output(2), "i64"), layers.ints([most]))
    real = opset13.less(layers.ints(range(most)), count).output(0)
    return label, box, real, layers.reshape(layers.as_float(count.output(0)), [1])


def _just_below(threshold: float) -> NDArray[np.float32]:
    """The threshold for a layer that wants more than it, where the operator is content with as much."""
    value = np.float32(np.clip(threshold, -3e38, 3e38))
    tiny = np.finfo(np.float32).tiny
    return np.asarray(-tiny if abs(value) < tiny else np.nextafter(value, np.float32(-np.inf)), np.float32)


def _flat(rows: Value, real: Value, options: Options, width: int = 1) -> Value:
    """(1, boxes x classes a box) of (boxes, classes a box), zeros where there is no detection."""
    shape = [1, options.max_detections * options.per_box, *([width] if width > 1 else [])]
    wide = layers.reshape(rows, [options.max_detections, options.per_box, width])
    return layers.reshape(_zeroed(wide, real, options), shape)


def _zeroed(rows: Value, real: Value, options: Options) -> Value:
    """(max_detections, k, width) with zeros where there is no detection."""
    mask = layers.reshape(real, [options.max_detections, 1, 1])
    return opset13.select(mask, rows, layers.constant(np.zeros((1, 1, 1), np.float32))).output(0)
