"""INT8 from the statistics that the calibration tool of 2019 wrote into some files.

The original engine quantised such nets while loading. Here the ranges become `FakeQuantize` operations, of which
OpenVINO makes integer kernels where the CPU has them.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset1

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.legacy_ir.graph import PlainGraph

log = logging.getLogger(__name__)

_WEIGHTED = frozenset({"Convolution", "GroupConvolution"})
MAX_CHANNELS = 65_536


def quantise(model: ov.Model, network: PlainGraph) -> int:
    """Quantise the inputs and weights of convolutions whose input has statistics; return how many.

    Weights get one range per output channel, inputs one range; layers marked `quantization_level="FP32"` are left.
    """
    kept = {layer.name for layer in network.layers.values() if layer.attributes.get("quantization_level") == "FP32"}
    count = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() not in _WEIGHTED or _layer_name(node) in kept:
            continue
        source = node.input_value(0)
        found = network.statistics.get(source.get_node().get_friendly_name())
        if found is None:
            continue
        low, high = (_numbers(text) for text in found)
        node.input(0).replace_source_output(_quantised(source, float(low.min()), float(high.max())))
        weights = node.input_value(1)
        node.input(1).replace_source_output(_quantised_weights(weights, 1 if node.get_type_name()[0] == "C" else 2))
        count += 1
    model.validate_nodes_and_infer_types()
    return count


def _layer_name(node: ov.Node) -> str:
    """Return the name of the layer that a convolution came from: its bias has it where there is one."""
    readers = [target.get_node() for target in node.output(0).get_target_inputs()]
    if len(readers) == 1 and readers[0].get_type_name() == "Add":
        return str(readers[0].get_friendly_name())
    return str(node.get_friendly_name())


def _numbers(text: str) -> npt.NDArray[np.float64]:
    parts = text.split(",")
    try:
        values = np.array([float(part) for part in parts[: MAX_CHANNELS + 1]])
    except ValueError:
        raise ModelError(f"statistics hold {text[:40]!r}; expected numbers: the .xml is damaged") from None
    if len(values) > MAX_CHANNELS or not np.all(np.isfinite(values)):
        raise ModelError(f"statistics hold {len(parts)} numbers; expected up to {MAX_CHANNELS}, finite")
    return values


def _quantised(x: layers.Value, low: float, high: float) -> layers.Value:
    """Round to 256 levels, from zero where nothing is below it, else symmetric."""
    reach = max(abs(low), abs(high)) or 1.0
    bounds = (0.0, reach) if low >= 0 else (-reach * 128 / 127, reach)
    ends = [layers.constant(np.float32(bound)) for bound in bounds]
    return opset1.fake_quantize(x, *ends, *ends, 256).output(0)


def _quantised_weights(weights: layers.Value, leading: int) -> layers.Value:
    node = weights.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    values = np.abs(layers.floats(node.data))
    reach = values.max(axis=tuple(range(leading, values.ndim)), keepdims=True)
    reach[reach == 0] = 1
    ends = [layers.constant(sign * reach) for sign in (-1, 1)]
    return opset1.fake_quantize(weights, *ends, *ends, 255).output(0)
