"""Convolutions in forms for which OpenVINO has kernels on processors without AVX2.

There the CPU plugin's kernels (oneDNN's `jit_sse42`) leave out two kinds of convolutions, which are then computed by
reference code, ten times slower: those with more than 3 columns of padding (dilated ones, large filters), and those
whose groups have fewer than 8 channels, but for groups of one. Both have an equal: columns of zeros put in front and
behind, and fewer, larger groups whose weights are zero between channels that had nothing to do with each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from saccade import kernels

MOST_PADDING, LEAST_CHANNELS = 3, 8


def suited(network: ov.Model) -> ov.Model:
    """The network as it is on processors with AVX2; else with such convolutions in the other form."""
    return with_kernels(network) if kernels.variant() in ("sse42", "portable") else network


def with_kernels(network: ov.Model) -> ov.Model:
    """The network, which is changed, with an equal of each convolution that would have no kernel."""
    for node in network.get_ordered_ops():
        if node.get_type_name() == "GroupConvolution":
            _merge_groups(node)
    for node in network.get_ordered_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution"):
            _pad_before(node)
    network.validate_nodes_and_infer_types()
    return network


def _pad_before(node: Any) -> None:
    """Columns of zeros as a part of the picture; OpenVINO would fuse a Pad layer into the convolution again."""
    attributes = node.get_attributes()
    pads = [list(attributes[name]) for name in ("pads_begin", "pads_end")]
    shape = node.get_input_partial_shape(0)
    if len(pads[0]) != 2 or max(pads[0][1], pads[1][1]) <= MOST_PADDING or not shape.is_static:
        return
    rows, kind = list(shape.to_shape())[:3], node.get_input_element_type(0).to_dtype()
    before, after = ([ops.constant(np.zeros([*rows, each[1]], kind))] if each[1] else [] for each in pads)
    wide = ops.concat([*before, node.input_value(0), *after], 3)
    build = ops.convolution if node.get_type_name() == "Convolution" else ops.group_convolution
    other = build(
        wide, node.input_value(1), attributes["strides"], [pads[0][0], 0], [pads[1][0], 0],
        attributes["dilations"],
    )  # fmt: skip
    _replace(node, other)


def _merge_groups(node: Any) -> None:
    """Fewer groups of at least `LEAST_CHANNELS`; as many as can be merged evenly where there are not enough."""
    source = node.input_value(1).get_node()
    if source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    if source.get_type_name() != "Constant" or node.get_input_partial_shape(0).rank.get_length() != 4:
        return
    weights = np.asarray(source.data).astype(node.get_input_element_type(1).to_dtype())
    groups, outputs, inputs = weights.shape[:3]
    fewest = min(outputs, inputs)
    if (outputs, inputs) == (1, 1) or fewest >= LEAST_CHANNELS:
        return
    wanted = math.ceil(LEAST_CHANNELS / fewest)
    together = next((count for count in range(wanted, groups) if groups % count == 0), groups)
    merged = np.zeros((groups // together, together * outputs, together * inputs, *weights.shape[3:]), weights.dtype)
    for group in range(groups):
        into, place = divmod(group, together)
        rows, columns = (slice(place * count, (place + 1) * count) for count in (outputs, inputs))
        merged[into, rows, columns] = weights[group]
    attributes = node.get_attributes()
    other = ops.group_convolution(
        node.input_value(0), ops.constant(merged), attributes["strides"], attributes["pads_begin"],
        attributes["pads_end"], attributes["dilations"], attributes["auto_pad"],
    )  # fmt: skip
    _replace(node, other)


def _replace(node: Any, other: Any) -> None:
    other.set_friendly_name(node.get_friendly_name())
    node.output(0).replace(other.output(0))
