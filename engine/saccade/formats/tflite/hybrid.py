"""Weights whose signed bytes are typed as unsigned.

TensorFlow of 2018 and early 2019 (TOCO's "post-training quantisation") stored the weights of layers that compute in
floats as symmetric int8, but typed them UINT8. TensorFlow Lite's kernels for such layers read the bytes as int8 and pay
no heed to the zero point; read by their type, the weights are off by 256 steps where they are negative. Weights of
networks that compute in uint8 throughout, and those that go through a Dequantize, are what their type says.
Source: TensorFlow 1.12 `lite/tools/optimize/quantize_weights.cc`, `lite/kernels/{conv,fully_connected}.cc`.
"""

from __future__ import annotations

from saccade.errors import UnsupportedError
from saccade.formats.tflite.graph import (
    CONV_2D,
    DEPTHWISE_CONV_2D,
    EMBEDDING_LOOKUP,
    FLOAT32,
    FULLY_CONNECTED,
    INT8,
    UINT8,
    Graph,
    Operator,
)

_SIGNED = frozenset({CONV_2D, FULLY_CONNECTED, EMBEDDING_LOOKUP})
_WEIGHTED = _SIGNED | {DEPTHWISE_CONV_2D, 16, 24, 27, 35, 44, 46, 52, 67}
"""Also LSTM, RNN, SVDF, their sequences, TRANSPOSE_CONV."""


def signed_weights(graph: Graph) -> bytearray | None:
    """A copy of the file in which such weights are INT8; None where it has none.

    Raises UnsupportedError where layers disagree about what they are, or are of a kind that never had such weights.
    """
    readers: dict[int, list[Operator]] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(index, []).append(operator)
    wrong = [index for index, found in readers.items() if index >= 0 and _is_wrong(graph, index, found)]
    if not wrong:
        return None
    mended = bytearray(graph.data)
    for index in wrong:
        tensor = graph.tensors[index]
        others = sorted({operator.name for operator in readers[index] if operator.code not in _SIGNED})
        if others:
            raise UnsupportedError(
                f"the weights {tensor.name} are typed UINT8 beside float activations, which as int8 only convolutions "
                f"and fully connected layers have, but {', '.join(others)} reads them, too; convert the network again "
                "with TensorFlow 1.14 or newer"
            )
        mended[tensor.table.place(1)] = INT8
        assert tensor.quantisation is not None
        zero_points = tensor.quantisation.vector(3, 8)
        mended[zero_points.at : zero_points.at + 8 * zero_points.count] = bytes(8 * zero_points.count)
    return mended


def _is_wrong(graph: Graph, index: int, readers: list[Operator]) -> bool:
    """Whether a tensor is the UINT8 weights of a layer that computes in floats."""
    tensor = graph.tensors[index]
    return (
        tensor.type == UINT8
        and tensor.is_quantised
        and graph.is_constant(tensor)
        and any(
            operator.code in _WEIGHTED and operator.outputs and graph.tensors[operator.outputs[0]].type == FLOAT32
            for operator in readers
        )
    )
