"""Layers over regions, grids and sequences of detectors and recognisers."""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1, opset2

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.table import Node, layer


@layer("ROIPooling")
def roi_pooling(node: Node) -> Value:
    return layers.roi_pooling(
        node.input(0),
        layers.reshape(node.input(1), (math.prod(node.dims(1)) // 5, 5)),
        size=(node.integer("pooled_h", low=1), node.integer("pooled_w", low=1)),
        spatial_scale=node.number("spatial_scale"),
        method=node.choice("method", ("max", "bilinear"), "max"),
    )


@layer("PSROIPooling")
def psroi_pooling(node: Node) -> Value:
    return opset1.psroi_pooling(
        node.input(0),
        layers.reshape(node.input(1), (math.prod(node.dims(1)) // 5, 5)),
        node.integer("output_dim", low=1),
        node.integer("group_size", 1, low=1),
        node.number("spatial_scale"),
        node.integer("spatial_bins_x", 1, low=1),
        node.integer("spatial_bins_y", 1, low=1),
        node.choice("mode", ("average", "bilinear"), "average"),
    ).output(0)


@layer("RegionYolo")
def region_yolo(node: Node) -> Value:
    rank = len(node.dims())
    softmax = node.flag("do_softmax", True)
    mask = node.ints("mask", [], low=0)
    coords, classes, num = node.integer("coords", low=0), node.integer("classes", low=0), node.integer("num", low=1)
    boxes = num if softmax else len(mask)
    if len(node.dims()) != 4 or node.dims()[1] != boxes * (coords + classes + 1):
        raise node.fail(
            f"gets shape {list(node.dims())}; expected {boxes} x ({coords} + {classes} + 1) channels, 4 axes"
        )
    y = opset1.region_yolo(
        node.input(0),
        coords,
        classes,
        num,
        softmax,
        mask,
        node.check_axis(node.integer("axis", 1), rank),
        node.check_axis(node.integer("end_axis", rank - 1), rank),
    ).output(0)
    return layers.reshape(y, node.out()) if math.prod(layers.dims(y)) == math.prod(node.out()) else y


@layer("ReorgYolo")
def reorg_yolo(node: Node) -> Value:
    stride = node.integer("stride", low=1)
    if len(node.dims()) != 4 or any(n % stride for n in node.spatial()) or node.dims()[1] < stride * stride:
        raise node.fail(f"has stride {stride} for shape {list(node.dims())}; expected a divisor of the sizes")
    return opset2.reorg_yolo(node.input(0), [stride, stride]).output(0)


@layer("CTCGreedyDecoder")
def ctc_greedy_decoder(node: Node) -> Value:
    """The sequence mask of the first step is ignored, as Caffe's nets need it: they feed 0, then 1."""
    dims = node.dims(1)
    if len(dims) != 2 or len(node.dims(0)) != 3 or dims != node.dims(0)[:2]:
        raise node.fail(f"gets shapes {list(node.dims(0))} and {list(dims)}; expected T, N, C and T, N")
    steps, batch = dims
    first = layers.constant(np.ones((1, batch), dtype=np.float32))
    mask = layers.as_float(node.input(1))
    mask = layers.concat([first, layers.crop(mask, (1, 0), (steps - 1, batch))], 0) if steps > 1 else first
    return opset1.ctc_greedy_decoder(node.input(0), mask, node.flag("ctc_merge_repeated", True)).output(0)
