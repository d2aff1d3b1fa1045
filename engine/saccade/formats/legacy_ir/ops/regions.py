"""Layers over regions, grids and sequences of detectors and recognisers."""

from __future__ import annotations

import math

import numpy as np
from openvino import opset1

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.layers import Value, axis_of
from saccade.formats.legacy_ir.table import LAYERS, Layer


@LAYERS.builds("ROIPooling")
def roi_pooling(layer: Layer) -> Value:
    return layers.roi_pooling(
        layer.input(),
        layers.reshape(layer.input(1), (math.prod(layer.dims(1)) // 5, 5)),
        size=(layer.integer("pooled_h", least=1), layer.integer("pooled_w", least=1)),
        spatial_scale=layer.number("spatial_scale"),
        method=layer.choice("method", ("max", "bilinear"), "max"),
    )


@LAYERS.builds("PSROIPooling")
def psroi_pooling(layer: Layer) -> Value:
    return opset1.psroi_pooling(
        layer.input(),
        layers.reshape(layer.input(1), (math.prod(layer.dims(1)) // 5, 5)),
        layer.integer("output_dim", least=1),
        layer.integer("group_size", 1, least=1),
        layer.number("spatial_scale"),
        layer.integer("spatial_bins_x", 1, least=1),
        layer.integer("spatial_bins_y", 1, least=1),
        layer.choice("mode", ("average", "bilinear"), "average"),
    ).output(0)


@LAYERS.builds("RegionYolo")
def region_yolo(layer: Layer) -> Value:
    rank = len(layer.dims())
    softmax = layer.boolean("do_softmax", True)
    mask = layer.integers("mask", [], least=0)
    coords, classes, num = (
        layer.integer("coords", least=0),
        layer.integer("classes", least=0),
        layer.integer("num", least=1),
    )
    boxes = num if softmax else len(mask)
    if len(layer.dims()) != 4 or layer.dims()[1] != boxes * (coords + classes + 1):
        raise ModelError(
            f"gets shape {list(layer.dims())}; expected {boxes} x ({coords} + {classes} + 1) channels, 4 axes"
        )
    y = opset1.region_yolo(
        layer.input(),
        coords,
        classes,
        num,
        softmax,
        mask,
        axis_of(layer.integer("axis", 1), rank),
        axis_of(layer.integer("end_axis", rank - 1), rank),
        layer.numbers("anchors", []),
    ).output(0)
    return layer.as_declared(y)


@LAYERS.builds("ReorgYolo")
def reorg_yolo(layer: Layer) -> Value:
    return layers.reorg(layer.input(), layer.integer("stride", least=1))


@LAYERS.builds("CTCGreedyDecoder")
def ctc_greedy_decoder(layer: Layer) -> Value:
    """The sequence mask of the first step is ignored, as Caffe's nets need it: they feed 0, then 1."""
    dims = layer.dims(1)
    if len(dims) != 2 or len(layer.dims(0)) != 3 or dims != layer.dims(0)[:2]:
        raise ModelError(f"gets shapes {list(layer.dims(0))} and {list(dims)}; expected T, N, C and T, N")
    steps, batch = dims
    first = layers.constant(np.ones((1, batch), dtype=np.float32))
    mask = layers.as_float(layer.input(1))
    mask = layers.concat([first, layers.crop(mask, (1, 0), (steps - 1, batch))], 0) if steps > 1 else first
    return opset1.ctc_greedy_decoder(layer.input(), mask, layer.boolean("ctc_merge_repeated", True)).output(0)
