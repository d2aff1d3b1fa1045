"""Layers of Detectron nets (Mask R-CNN and kin); OpenVINO still has them, without a Python name."""

from __future__ import annotations

from typing import Any

from openvino.utils.node_factory import NodeFactory

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


def _create(node: Node, type_: str, inputs: list[Value], attributes: dict[str, Any]) -> list[Value]:
    made = NodeFactory("opset6").create(type_, inputs, attributes)
    return list(made.outputs())[: max(1, len(node.layer.outputs))]


def _floats(node: Node) -> list[Value]:
    return [layers.as_float(value) for value in node.inputs]


@layer("ExperimentalDetectronDetectionOutput")
def detection_output(node: Node) -> list[Value]:
    return _create(
        node,
        "ExperimentalDetectronDetectionOutput",
        _floats(node),
        {
            "score_threshold": node.number("score_threshold"),
            "nms_threshold": node.number("nms_threshold"),
            "max_delta_log_wh": node.number("max_delta_log_wh"),
            "num_classes": node.integer("num_classes", low=1),
            "post_nms_count": node.integer("post_nms_count", low=1),
            "max_detections_per_image": node.integer("max_detections_per_image", low=1),
            "class_agnostic_box_regression": node.flag("class_agnostic_box_regression", False),
            "deltas_weights": node.floats("deltas_weights"),
        },
    )


@layer("ExperimentalDetectronGenerateProposalsSingleImage")
def generate_proposals(node: Node) -> list[Value]:
    info, *rest = _floats(node)
    return _create(
        node,
        "ExperimentalDetectronGenerateProposalsSingleImage",
        [layers.reshape(info, (3,)), *rest],
        {
            "min_size": node.number("min_size"),
            "nms_threshold": node.number("nms_threshold"),
            "pre_nms_count": node.integer("pre_nms_count", low=1),
            "post_nms_count": node.integer("post_nms_count", low=1),
        },
    )


@layer("ExperimentalDetectronPriorGridGenerator")
def prior_grid_generator(node: Node) -> list[Value]:
    return _create(
        node,
        "ExperimentalDetectronPriorGridGenerator",
        _floats(node),
        {
            "flatten": node.flag("flatten", True),
            "h": node.integer("h", 0, low=0),
            "w": node.integer("w", 0, low=0),
            "stride_x": node.number("stride_x", 0.0),
            "stride_y": node.number("stride_y", 0.0),
        },
    )


@layer("ExperimentalDetectronROIFeatureExtractor")
def roi_feature_extractor(node: Node) -> list[Value]:
    return _create(
        node,
        "ExperimentalDetectronROIFeatureExtractor",
        _floats(node),
        {
            "output_size": node.integer("output_size", low=1),
            "sampling_ratio": node.integer("sampling_ratio"),
            "pyramid_scales": node.ints("pyramid_scales", low=1),
            "aligned": False,
        },
    )


@layer("ExperimentalDetectronTopKROIs")
def top_k_rois(node: Node) -> list[Value]:
    return _create(node, "ExperimentalDetectronTopKROIs", _floats(node), {"max_rois": node.integer("max_rois", low=1)})
