"""Prior boxes and the decoding of detection heads."""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.table import LAYERS, Layer


def _grid(layer: Layer) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (height, width) of the feature map and of the image; only the shapes of the inputs matter."""
    feature, image = layer.spatial(0), layer.spatial(1)
    if len(feature) != 2 or len(image) != 2:
        raise ModelError(f"gets shapes {list(layer.dims(0))} and {list(layer.dims(1))}; expected N, C, H, W")
    return (feature[0], feature[1]), (image[0], image[1])


def _variances(layer: Layer) -> tuple[float, ...]:
    variances = layer.numbers("variance", [0.1])
    if len(variances) not in (1, 4) or min(variances) < 0:
        raise ModelError(f"has variances {variances[:8]}; expected 1 or 4, not negative")
    return variances


def _constant(layer: Layer, boxes: np.typing.NDArray[np.float32]) -> Value:
    return layers.reshape(layers.constant(boxes[None]), layer.out())


def _check_count(layer: Layer, feature: tuple[int, int], boxes: int) -> None:
    count = feature[0] * feature[1] * boxes * 8
    layer.made(count)
    if count != math.prod(layer.out()):
        raise ModelError(
            f"has {boxes} boxes per cell of {feature[0]} x {feature[1]}, {count} values; "
            f"expected {math.prod(layer.out())} as its output declares: sizes or ratios are damaged"
        )


@LAYERS.builds("PriorBox")
def prior_box(layer: Layer) -> Value:
    """Order of a cell's boxes and the whole-pixel arithmetic of fixed sizes as the engine has them."""
    feature, image = _grid(layer)
    step = layer.number("step", 0.0)
    if step < 0:
        raise ModelError(f"has step {step}; expected 0 or more")
    stated = layer.numbers("aspect_ratio", (), most=64)
    if any(r <= 0 for r in (*stated, *layer.numbers("fixed_ratio", [], most=64))):
        raise ModelError("has an aspect ratio that is not positive; expected positive numbers")
    ratios = layers.distinct_ratios(stated, flip=layer.boolean("flip", False))
    min_sizes, max_sizes = layer.numbers("min_size", [], most=64), layer.numbers("max_size", [], most=64)
    if any(s < 0 for s in (*min_sizes, *max_sizes)):
        raise ModelError("has a negative box size; expected sizes in pixels")
    fixed, moves = _fixed_boxes(layer, ratios)
    free = layers.ssd_box_sizes(min_sizes, max_sizes, ratios, scale_all_sizes=layer.boolean("scale_all_sizes", True))
    _check_count(layer, feature, len(fixed) + len(free))
    steps = (step, step) if step else (image[0] / feature[0], image[1] / feature[1])
    boxes = layers.prior_boxes(
        fixed + free,
        feature=feature,
        image=image,
        step=steps,
        offset=layer.number("offset", 0.5) if step else 0.5,
        shifts=moves + [(0.0, 0.0)] * len(free),
        clip=layer.boolean("clip", False),
        variances=_variances(layer),
    )
    if fixed:  # boxes of fixed sizes are limited on the side they may overhang, with or without `clip`
        corners = boxes[0].reshape(-1, len(fixed) + len(free), 4)[:, : len(fixed)]
        np.maximum(corners[..., :2], 0, out=corners[..., :2])
        np.minimum(corners[..., 2:], 1, out=corners[..., 2:])
    return _constant(layer, boxes)


def _fixed_boxes(layer: Layer, ratios: list[float]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return sizes and centre shifts of the boxes given by fixed_size, fixed_ratio and density."""
    sizes, densities = layer.numbers("fixed_size", [], most=64), layer.numbers("density", [], most=64)
    given = layer.numbers("fixed_ratio", [], most=64)
    if sizes and len(densities) < len(sizes):
        raise ModelError(f"has {len(sizes)} fixed sizes and {len(densities)} densities; expected one per size")
    boxes: list[tuple[float, float]] = []
    moves: list[tuple[float, float]] = []
    for size, density in zip(sizes, densities, strict=False):
        cells = int(density)
        if not 1 <= cells <= 64 or not 0 < size < 1e6:
            raise ModelError(f"has fixed size {size} with density {density}; expected density 1 to 64")
        pitch, whole = int(size / cells), int(size)
        shapes = [(size * r**0.5, size / r**0.5) for r in (given or [r for r in ratios if abs(r - 1) >= 1e-6])]
        if not given:
            shapes.insert(0, (float(whole), float(whole)))
        offsets = [pitch / 2 + i * pitch - whole // 2 for i in range(cells)]
        for shape in shapes:
            moves += [(x, y) for y in offsets for x in offsets]
            boxes += [shape] * cells**2
    return boxes, moves


@LAYERS.builds("PriorBoxClustered")
def prior_box_clustered(layer: Layer) -> Value:
    feature, image = _grid(layer)
    widths, heights = layer.numbers("width", most=256), layer.numbers("height", most=256)
    if len(widths) != len(heights):
        raise ModelError(f"has {len(widths)} widths and {len(heights)} heights; expected as many")
    image = (layer.integer("img_h", 0, least=0) or image[0], layer.integer("img_w", 0, least=0) or image[1])
    step = layer.number("step", 0.0)
    steps = (layer.number("step_h", 0.0) or step, layer.number("step_w", 0.0) or step)
    if steps == (0.0, 0.0):
        steps = (image[0] / feature[0], image[1] / feature[1])
    _check_count(layer, feature, len(widths))
    boxes = layers.prior_boxes(
        list(zip(widths, heights, strict=True)),
        feature=feature,
        image=image,
        step=steps,
        offset=layer.number("offset", 0.0),
        clip=layer.boolean("clip", False),
        variances=_variances(layer),
    )
    return _constant(layer, boxes)


@LAYERS.builds("DetectionOutput")
def detection_output(layer: Layer) -> Value:
    """`normalized` is 1 where it is absent, as in all DeepLens files; the modern default is the opposite."""
    loc, conf, priors = (layers.as_float(layer.input(i)) for i in range(3))
    normalized = layer.boolean("normalized", True)
    classes, keep = layer.integer("num_classes", least=1), layer.integer("keep_top_k", -1, least=-1)
    batch, rows = layer.dims(0)[0], 2 - (math.prod(layer.dims(2)) == layer.dims(2)[-1] and layer.dims(2)[-1] > 1)
    columns = math.prod(layer.dims(2)) // max(1, rows * (layer.dims(2)[0] if len(layer.dims(2)) == 3 else 1))
    extra: dict[str, Value | float] = {}
    if len(layer.inputs) == 5:
        extra = {
            "aux_conf": layers.as_float(layer.input(3)),
            "aux_loc": layers.as_float(layer.input(4)),
            "objectness_score": layer.number("objectness_score", 0.0),
        }
    return layers.detection_output(
        layers.reshape(loc, (batch, math.prod(layer.dims(0)[1:]))),
        layers.reshape(conf, (layer.dims(1)[0], math.prod(layer.dims(1)[1:]))),
        priors if len(layer.dims(2)) == 3 else layers.reshape(priors, (1, rows, columns)),
        num_classes=classes,
        nms_threshold=layer.number("nms_threshold"),
        confidence_threshold=layer.number("confidence_threshold", -3.4e38),
        keep_top_k=keep,
        top_k=layer.integer("top_k", -1, least=-1),
        background_label=layer.integer("background_label_id", 0, least=-1),
        code_type=layer.text("code_type", "CORNER").rsplit(".", 1)[-1].upper(),
        share_location=layer.boolean("share_location", True),
        variance_encoded_in_target=layer.boolean("variance_encoded_in_target", False),
        normalized=normalized,
        input_size=(max(1, layer.integer("input_height", 1)), max(1, layer.integer("input_width", 1))),
        clip_before_nms=layer.boolean("clip_before_nms", False) or layer.boolean("clip", False),
        clip_after_nms=layer.boolean("clip_after_nms", False),
        decrease_label_id=layer.boolean("decrease_label_id", False),
        **extra,
    )


@LAYERS.builds("SimplerNMS")
def simpler_nms(layer: Layer) -> Value:
    """The region proposals of the first Faster R-CNN nets: `Proposal` with fixed anchors."""
    scores, deltas = layer.input(), layer.input(1)
    if layer.dims(0)[1] > layer.dims(1)[1]:
        scores, deltas = deltas, scores
    attributes = {
        "base_size": np.uint32(16),
        "pre_nms_topn": np.uint32(layer.integer("pre_nms_topn", least=1)),
        "post_nms_topn": np.uint32(layer.integer("post_nms_topn", least=1)),
        "nms_thresh": np.float32(layer.number("iou_threshold")),
        "feat_stride": np.uint32(layer.integer("feat_stride", least=1)),
        "min_size": np.uint32(layer.integer("min_bbox_size", least=0)),
        "ratio": np.array([0.5, 1.0, 2.0], dtype=np.float32),
        "scale": np.array(layer.numbers("scale", most=64), dtype=np.float32),
    }
    info = layers.reshape(layers.as_float(layer.input(2)), (math.prod(layer.dims(2)),))
    return opset1.proposal(scores, deltas, info, attributes).output(0)


@LAYERS.builds("Proposal")
def proposal(layer: Layer) -> Value:
    """The image information may come as [1, 3], [1, 4] or with more axes."""
    info = layers.as_float(layer.input(2))
    attributes = {
        "base_size": np.uint32(layer.integer("base_size", least=1)),
        "pre_nms_topn": np.uint32(layer.integer("pre_nms_topn", least=1)),
        "post_nms_topn": np.uint32(layer.integer("post_nms_topn", least=1)),
        "nms_thresh": np.float32(layer.number("nms_thresh")),
        "feat_stride": np.uint32(layer.integer("feat_stride", least=1)),
        "min_size": np.uint32(layer.integer("min_size", least=0)),
        "ratio": np.array(layer.numbers("ratio", most=256), dtype=np.float32),
        "scale": np.array(layer.numbers("scale", most=256), dtype=np.float32),
        "clip_before_nms": layer.boolean("clip_before_nms", True),
        "clip_after_nms": layer.boolean("clip_after_nms", False),
        "normalize": layer.boolean("normalize", False),
        "box_size_scale": np.float32(layer.number("box_size_scale", 1.0)),
        "box_coordinate_scale": np.float32(layer.number("box_coordinate_scale", 1.0)),
        "framework": layer.text("framework", "").lower(),
    }
    if attributes["framework"] not in ("", "tensorflow"):
        raise UnsupportedError(f"attribute framework is {attributes['framework']!r}; expected tensorflow or nothing")
    flat = layers.reshape(info, (math.prod(layers.dims(info)),))
    y = opset1.proposal(layer.input(), layer.input(1), flat, attributes).output(0)
    return layer.as_declared(y)
