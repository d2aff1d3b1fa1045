"""Pieces of `ov.Model` graphs with the semantics of the frameworks of 2017 to 2020.

The importers (legacy IR, MXNet, Caffe) build their graphs from these functions, so that each rule of the old
formats (pooling windows that overhang, batch-norm folding, prior boxes, SSD decoding) is written once. Graph
values are `ov.Output`; weights are NumPy arrays, which may be views of a memory-mapped file: float32 and float16
arrays in a writable mapping (`mmap.ACCESS_COPY`) become constants without a copy, float16 stays float16 with a
conversion behind it.
"""

from __future__ import annotations

from saccade.formats.layers.arithmetic import (
    affine,
    binary,
    clamp,
    elu,
    fold_batch_norm,
    leaky_relu,
    lrn,
    mvn,
    normalize_l2,
    power,
    prelu,
    softmax,
    unary,
    weighted_sum,
)
from saccade.formats.layers.detection import (
    detection_output,
    distinct_ratios,
    prior_boxes,
    roi_pooling,
    ssd_box_sizes,
    top_k,
)
from saccade.formats.layers.graph import (
    model,
    parameter,
)
from saccade.formats.layers.resizing import (
    reorg,
    resize_linear,
    resize_matrices,
    resize_nearest,
    upsample,
)
from saccade.formats.layers.values import (
    BOOLEAN,
    MAX_ELEMENTS,
    Array,
    Ints,
    Value,
    as_float,
    axis_of,
    check_size,
    concat,
    constant,
    crop,
    dims,
    floats,
    gather,
    ints,
    pad,
    reshape,
    split,
    transpose,
)
from saccade.formats.layers.windows import (
    Window,
    avg_pool,
    convolution,
    deconvolution,
    global_pool,
    kernel_shape,
    linear,
    max_pool,
)

__all__ = [
    "BOOLEAN",
    "MAX_ELEMENTS",
    "Array",
    "Ints",
    "Value",
    "Window",
    "affine",
    "as_float",
    "avg_pool",
    "axis_of",
    "binary",
    "check_size",
    "clamp",
    "concat",
    "constant",
    "convolution",
    "crop",
    "deconvolution",
    "detection_output",
    "dims",
    "distinct_ratios",
    "elu",
    "floats",
    "fold_batch_norm",
    "gather",
    "global_pool",
    "ints",
    "kernel_shape",
    "leaky_relu",
    "linear",
    "lrn",
    "max_pool",
    "model",
    "mvn",
    "normalize_l2",
    "pad",
    "parameter",
    "power",
    "prelu",
    "prior_boxes",
    "reorg",
    "reshape",
    "resize_linear",
    "resize_matrices",
    "resize_nearest",
    "roi_pooling",
    "softmax",
    "split",
    "ssd_box_sizes",
    "top_k",
    "transpose",
    "unary",
    "upsample",
    "weighted_sum",
]
