"""Convolution2DTransposeBias, MediaPipe's transposed convolution with a bias, which OpenVINO's TFLite reader lacks.

Source of its arithmetic and its options: mediapipe `util/tflite/operations/transpose_conv_bias.cc`.
"""

from __future__ import annotations

import struct

from openvino import opset13

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.tflite.graph import Graph, Operator

NAME = "Convolution2DTransposeBias"

_SAME, _VALID = 1, 2
"""TensorFlow Lite's TfLitePadding."""

_MOST_STRIDE = 64


def build(values: list[Value], graph: Graph, operator: Operator) -> Value:
    """The output, float32 (1, height, width, channels).

    values : picture (1, h, w, c), weights (channels, kernel height, kernel width, c), bias (channels,).
    Raises ModelError where options and shapes make no sense, or not that of the output in the file.
    """
    if len(operator.inputs) != 3 or len(operator.outputs) != 1 or min(operator.inputs) < 0:
        raise ModelError(f"is damaged: {NAME} has {len(operator.inputs)} inputs and {len(operator.outputs)} outputs")
    if len(operator.options) < 12:
        raise ModelError(f"is damaged: {NAME} has {len(operator.options)} bytes of options")
    padding, *strides = struct.unpack_from("<3i", operator.options)  # stride of the width, then of the height
    strides.reverse()
    if padding not in (_SAME, _VALID) or not all(1 <= stride <= _MOST_STRIDE for stride in strides):
        raise ModelError(f"is damaged: {NAME} has padding {padding} and strides {strides}")
    picture, weights, bias = (graph.tensors[index].shape for index in operator.inputs)
    if len(picture) != 4 or len(weights) != 4 or weights[3] != picture[3] or bias != weights[:1]:
        raise ModelError(f"is damaged: {NAME} has inputs of {list(picture)}, {list(weights)} and {list(bias)}")
    begin, end, sides = [], [], []
    for side, kernel, stride in zip(picture[1:3], weights[1:3], strides, strict=True):
        cut = max(0, kernel - (side - 1) % stride - 1) if padding == _SAME else 0
        begin.append(cut // 2)
        end.append(cut - cut // 2)
        sides.append(stride * (side - 1) + kernel - cut)
    declared = graph.tensors[operator.outputs[0]].shape
    if declared != (picture[0], *sides, weights[0]):
        raise ModelError(
            f"is damaged: {NAME} has an output of {list(declared)}; expected {[picture[0], *sides, weights[0]]}"
        )
    channels_first = layers.transpose(layers.reshape(values[0], picture), [0, 3, 1, 2])
    kernel = layers.transpose(layers.reshape(values[1], weights), [3, 0, 1, 2])
    grown = opset13.convolution_backprop_data(
        channels_first, kernel, strides, pads_begin=begin, pads_end=end, dilations=[1, 1], output_padding=[0, 0]
    )
    return opset13.add(layers.transpose(grown.output(0), [0, 2, 3, 1]), layers.reshape(values[2], bias)).output(0)
