"""Layers of Detectron nets (Mask R-CNN and kin); OpenVINO still has them, without a Python name."""

from __future__ import annotations

from typing import Any

from openvino.utils.node_factory import NodeFactory

from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.table import LAYERS, Layer


def _create(layer: Layer, type_: str, inputs: list[Value], attributes: dict[str, Any]) -> list[Value]:
    made = NodeFactory("opset6").create(type_, inputs, attributes)
    return list(made.outputs())[: max(1, len(layer.plain.outputs))]


def _floats(layer: Layer) -> list[Value]:
    return [layers.as_float(value) for value in layer.inputs]


@LAYERS.builds("ExperimentalDetectronDetectionOutput")
def detection_output(layer: Layer) -> list[Value]:
    return _create(
        layer,
        "ExperimentalDetectronDetectionOutput",
        _floats(layer),
        {
            "score_threshold": layer.number("score_threshold"),
            "nms_threshold": layer.number("nms_threshold"),
            "max_delta_log_wh": layer.number("max_delta_log_wh"),
            "num_classes": layer.integer("num_classes", least=1),
            "post_nms_count": layer.integer("post_nms_count", least=1),
            "max_detections_per_image": layer.integer("max_detections_per_image", least=1),
            "class_agnostic_box_regression": layer.boolean("class_agnostic_box_regression", False),
            "deltas_weights": layer.numbers("deltas_weights"),
        },
    )


@LAYERS.builds("ExperimentalDetectronGenerateProposalsSingleImage")
def generate_proposals(layer: Layer) -> list[Value]:
    info, *rest = _floats(layer)
    return _create(
        layer,
        "ExperimentalDetectronGenerateProposalsSingleImage",
        [layers.reshape(info, (3,)), *rest],
        {
            "min_size": layer.number("min_size"),
            "nms_threshold": layer.number("nms_threshold"),
            "pre_nms_count": layer.integer("pre_nms_count", least=1),
            "post_nms_count": layer.integer("post_nms_count", least=1),
        },
    )


@LAYERS.builds("ExperimentalDetectronPriorGridGenerator")
def prior_grid_generator(layer: Layer) -> list[Value]:
    return _create(
        layer,
        "ExperimentalDetectronPriorGridGenerator",
        _floats(layer),
        {
            "flatten": layer.boolean("flatten", True),
            "h": layer.integer("h", 0, least=0),
            "w": layer.integer("w", 0, least=0),
            "stride_x": layer.number("stride_x", 0.0),
            "stride_y": layer.number("stride_y", 0.0),
        },
    )


@LAYERS.builds("ExperimentalDetectronROIFeatureExtractor")
def roi_feature_extractor(layer: Layer) -> list[Value]:
    return _create(
        layer,
        "ExperimentalDetectronROIFeatureExtractor",
        _floats(layer),
        {
            "output_size": layer.integer("output_size", least=1),
            "sampling_ratio": layer.integer("sampling_ratio"),
            "pyramid_scales": layer.integers("pyramid_scales", least=1),
            "aligned": False,
        },
    )


@LAYERS.builds("ExperimentalDetectronTopKROIs")
def top_k_rois(layer: Layer) -> list[Value]:
    return _create(
        layer, "ExperimentalDetectronTopKROIs", _floats(layer), {"max_rois": layer.integer("max_rois", least=1)}
    )
