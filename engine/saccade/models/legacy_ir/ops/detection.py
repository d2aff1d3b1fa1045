"""Prior boxes and the decoding of detection heads."""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


def _grid(node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return (height, width) of the feature map and of the image; only the shapes of the inputs matter."""
    feature, image = node.spatial(0), node.spatial(1)
    if len(feature) != 2 or len(image) != 2:
        raise node.fail(f"gets shapes {list(node.dims(0))} and {list(node.dims(1))}; expected N, C, H, W")
    return (feature[0], feature[1]), (image[0], image[1])


def _variances(node: Node) -> list[float]:
    variances = node.floats("variance", [0.1])
    if len(variances) not in (1, 4) or min(variances) < 0:
        raise node.fail(f"has variances {variances[:8]}; expected 1 or 4, not negative")
    return variances


def _constant(node: Node, boxes: np.typing.NDArray[np.float32]) -> Value:
    return layers.reshape(layers.constant(boxes[None]), node.out())


def _check_count(node: Node, feature: tuple[int, int], boxes: int) -> None:
    count = feature[0] * feature[1] * boxes * 8
    node.made(count)
    if count != math.prod(node.out()):
        raise node.fail(
            f"has {boxes} boxes per cell of {feature[0]} x {feature[1]}, {count} values; "
            f"expected {math.prod(node.out())} as its output declares: sizes or ratios are damaged"
        )


@layer("PriorBox")
def prior_box(node: Node) -> Value:
    """Order of a cell's boxes and the whole-pixel arithmetic of fixed sizes as the engine has them."""
    feature, image = _grid(node)
    step = node.number("step", 0.0)
    if step < 0:
        raise node.fail(f"has step {step}; expected 0 or more")
    ratios = node.floats("aspect_ratio", [], limit=64)
    if any(r <= 0 for r in (*ratios, *node.floats("fixed_ratio", [], limit=64))):
        raise node.fail("has an aspect ratio that is not positive; expected positive numbers")
    ratios = layers.distinct_ratios(ratios, flip=node.flag("flip", False))
    min_sizes, max_sizes = node.floats("min_size", [], limit=64), node.floats("max_size", [], limit=64)
    if any(s < 0 for s in (*min_sizes, *max_sizes)):
        raise node.fail("has a negative box size; expected sizes in pixels")
    fixed, moves = _fixed_boxes(node, ratios)
    free = layers.ssd_box_sizes(min_sizes, max_sizes, ratios, scale_all_sizes=node.flag("scale_all_sizes", True))
    _check_count(node, feature, len(fixed) + len(free))
    steps = (step, step) if step else (image[0] / feature[0], image[1] / feature[1])
    boxes = layers.prior_boxes(
        fixed + free,
        feature=feature,
        image=image,
        step=steps,
        offset=node.number("offset", 0.5) if step else 0.5,
        shifts=moves + [(0.0, 0.0)] * len(free),
        clip=node.flag("clip", False),
        variances=_variances(node),
    )
    if fixed:  # boxes of fixed sizes are limited on the side they may overhang, with or without `clip`
        corners = boxes[0].reshape(-1, len(fixed) + len(free), 4)[:, : len(fixed)]
        np.maximum(corners[..., :2], 0, out=corners[..., :2])
        np.minimum(corners[..., 2:], 1, out=corners[..., 2:])
    return _constant(node, boxes)


def _fixed_boxes(node: Node, ratios: list[float]) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return sizes and centre shifts of the boxes given by fixed_size, fixed_ratio and density."""
    sizes, densities = node.floats("fixed_size", [], limit=64), node.floats("density", [], limit=64)
    given = node.floats("fixed_ratio", [], limit=64)
    if sizes and len(densities) < len(sizes):
        raise node.fail(f"has {len(sizes)} fixed sizes and {len(densities)} densities; expected one per size")
    boxes: list[tuple[float, float]] = []
    moves: list[tuple[float, float]] = []
    for size, density in zip(sizes, densities, strict=False):
        cells = int(density)
        if not 1 <= cells <= 64 or not 0 < size < 1e6:
            raise node.fail(f"has fixed size {size} with density {density}; expected density 1 to 64")
        pitch, whole = int(size / cells), int(size)
        shapes = [(size * r**0.5, size / r**0.5) for r in (given or [r for r in ratios if abs(r - 1) >= 1e-6])]
        if not given:
            shapes.insert(0, (float(whole), float(whole)))
        offsets = [pitch / 2 + i * pitch - whole // 2 for i in range(cells)]
        for shape in shapes:
            moves += [(x, y) for y in offsets for x in offsets]
            boxes += [shape] * cells**2
    return boxes, moves


@layer("PriorBoxClustered")
def prior_box_clustered(node: Node) -> Value:
    feature, image = _grid(node)
    widths, heights = node.floats("width", limit=256), node.floats("height", limit=256)
    if len(widths) != len(heights):
        raise node.fail(f"has {len(widths)} widths and {len(heights)} heights; expected as many")
    image = (node.integer("img_h", 0, low=0) or image[0], node.integer("img_w", 0, low=0) or image[1])
    step = node.number("step", 0.0)
    steps = (node.number("step_h", 0.0) or step, node.number("step_w", 0.0) or step)
    if steps == (0.0, 0.0):
        steps = (image[0] / feature[0], image[1] / feature[1])
    _check_count(node, feature, len(widths))
    boxes = layers.prior_boxes(
        list(zip(widths, heights, strict=True)),
        feature=feature,
        image=image,
        step=steps,
        offset=node.number("offset", 0.0),
        clip=node.flag("clip", False),
        variances=_variances(node),
    )
    return _constant(node, boxes)


@layer("DetectionOutput")
def detection_output(node: Node) -> Value:
    """`normalized` is 1 where it is absent, as in all DeepLens files; the modern default is the opposite."""
    loc, conf, priors = (layers.as_float(node.input(i)) for i in range(3))
    normalized = node.flag("normalized", True)
    classes, keep = node.integer("num_classes", low=1), node.integer("keep_top_k", -1, low=-1)
    batch, rows = node.dims(0)[0], 2 - (math.prod(node.dims(2)) == node.dims(2)[-1] and node.dims(2)[-1] > 1)
    columns = math.prod(node.dims(2)) // max(1, rows * (node.dims(2)[0] if len(node.dims(2)) == 3 else 1))
    extra: dict[str, Value | float] = {}
    if len(node.inputs) == 5:
        extra = {
            "aux_conf": layers.as_float(node.input(3)),
            "aux_loc": layers.as_float(node.input(4)),
            "objectness_score": node.number("objectness_score", 0.0),
        }
    return layers.detection_output(
        layers.reshape(loc, (batch, math.prod(node.dims(0)[1:]))),
        layers.reshape(conf, (node.dims(1)[0], math.prod(node.dims(1)[1:]))),
        priors if len(node.dims(2)) == 3 else layers.reshape(priors, (1, rows, columns)),
        num_classes=classes,
        nms_threshold=node.number("nms_threshold"),
        confidence_threshold=node.number("confidence_threshold", -3.4e38),
        keep_top_k=keep,
        top_k=node.integer("top_k", -1, low=-1),
        background_label=node.integer("background_label_id", 0, low=-1),
        code_type=node.text("code_type", "CORNER").rsplit(".", 1)[-1].upper(),
        share_location=node.flag("share_location", True),
        variance_encoded_in_target=node.flag("variance_encoded_in_target", False),
        normalized=normalized,
        input_size=(max(1, node.integer("input_height", 1)), max(1, node.integer("input_width", 1))),
        clip_before_nms=node.flag("clip_before_nms", False) or node.flag("clip", False),
        clip_after_nms=node.flag("clip_after_nms", False),
        decrease_label_id=node.flag("decrease_label_id", False),
        **extra,
    )


@layer("SimplerNMS")
def simpler_nms(node: Node) -> Value:
    """The region proposals of the first Faster R-CNN nets: `Proposal` with fixed anchors."""
    scores, deltas = node.input(0), node.input(1)
    if node.dims(0)[1] > node.dims(1)[1]:
        scores, deltas = deltas, scores
    attributes = {
        "base_size": np.uint32(16),
        "pre_nms_topn": np.uint32(node.integer("pre_nms_topn", low=1)),
        "post_nms_topn": np.uint32(node.integer("post_nms_topn", low=1)),
        "nms_thresh": np.float32(node.number("iou_threshold")),
        "feat_stride": np.uint32(node.integer("feat_stride", low=1)),
        "min_size": np.uint32(node.integer("min_bbox_size", low=0)),
        "ratio": np.array([0.5, 1.0, 2.0], dtype=np.float32),
        "scale": np.array(node.floats("scale", limit=64), dtype=np.float32),
    }
    info = layers.reshape(layers.as_float(node.input(2)), (math.prod(node.dims(2)),))
    return opset1.proposal(scores, deltas, info, attributes).output(0)


@layer("Proposal")
def proposal(node: Node) -> Value:
    """The image information may come as [1, 3], [1, 4] or with more axes."""
    info = layers.as_float(node.input(2))
    attributes = {
        "base_size": np.uint32(node.integer("base_size", low=1)),
        "pre_nms_topn": np.uint32(node.integer("pre_nms_topn", low=1)),
        "post_nms_topn": np.uint32(node.integer("post_nms_topn", low=1)),
        "nms_thresh": np.float32(node.number("nms_thresh")),
        "feat_stride": np.uint32(node.integer("feat_stride", low=1)),
        "min_size": np.uint32(node.integer("min_size", low=0)),
        "ratio": np.array(node.floats("ratio", limit=256), dtype=np.float32),
        "scale": np.array(node.floats("scale", limit=256), dtype=np.float32),
        "clip_before_nms": node.flag("clip_before_nms", True),
        "clip_after_nms": node.flag("clip_after_nms", False),
        "normalize": node.flag("normalize", False),
        "box_size_scale": np.float32(node.number("box_size_scale", 1.0)),
        "box_coordinate_scale": np.float32(node.number("box_coordinate_scale", 1.0)),
        "framework": node.text("framework", "").lower(),
    }
    if attributes["framework"] not in ("", "tensorflow"):
        raise node.unsupported(f"attribute framework is {attributes['framework']!r}; expected tensorflow or nothing")
    flat = layers.reshape(info, (math.prod(layers.dims(info)),))
    y = opset1.proposal(node.input(0), node.input(1), flat, attributes).output(0)
    return layers.reshape(y, node.out()) if math.prod(layers.dims(y)) == math.prod(node.out()) else y
