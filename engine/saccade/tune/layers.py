"""Which layers of a quantised network have to stay in f32: ranked by the harm that each does, then bisected.

Quantisers stand in the graph as FakeQuantize layers: taking one out, and with it those of the weights that it feeds,
puts these layers back into f32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from openvino._offline_transformations import compress_quantize_weights_transformation

WEIGHTED = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
)
LEAST_COST = 0.01
"""What a layer in f32 costs at least, as a part of the whole: its input and output are converted."""


@dataclass(frozen=True, slots=True)
class QuantisedUnit:
    """What is put back into f32 together. quantiser : name of the FakeQuantize layer in front of it. layers : names of
    the layers with weights that it feeds, or else of the first of the others.
    """

    quantiser: str
    layers: tuple[str, ...]


def units_of(network: ov.Model) -> list[QuantisedUnit]:
    """What of a quantised network can be put back, from the picture to the outputs."""
    return [
        QuantisedUnit(node.get_friendly_name(), tuple(each.get_friendly_name() for each in _fed_by(node)))
        for node in network.get_ordered_ops()
        if node.get_type_name() == "FakeQuantize" and not _is_of_weights(node)
    ]


def with_units_in_f32(quantised: ov.Model, original: ov.Model, units: Sequence[QuantisedUnit]) -> ov.Model:
    """A copy of the quantised network with some of it back in f32, and with weights of 8 bits elsewhere.

    original : the network as it was, of which layers that are put back take their offsets: NNCF corrects those for what
    the quantisation shifts.
    """
    network = quantised.clone()
    chosen = {unit.quantiser for unit in units}
    before = {node.get_friendly_name(): node for node in original.get_ops()}
    for node in list(network.get_ordered_ops()):
        if node.get_friendly_name() in chosen and node.get_type_name() == "FakeQuantize":
            for layer in _fed_by(node):
                if layer.get_type_name() in WEIGHTED:
                    _restore(layer, before)
            node.output(0).replace(node.input_value(0))
    network.validate_nodes_and_infer_types()
    compress_quantize_weights_transformation(network)
    return network


def ranked(
    units: Sequence[QuantisedUnit], harm: Callable[[QuantisedUnit], float], original: ov.Model
) -> list[QuantisedUnit]:
    """Units, those first whose being in INT8 does the most harm for the time that it saves.

    harm : of one unit alone. It is asked from the outputs on: the last layers are those that hurt most often, and the
    smallest. Time is counted in products of weights and pixels.
    """
    products = {node.get_friendly_name(): _products(node) for node in original.get_ops()}
    costs = {unit.quantiser: sum(products.get(layer, 0) for layer in unit.layers) for unit in units}
    total = max(1, sum(costs.values()))
    late_first = list(reversed(units))
    worth = {unit.quantiser: harm(unit) / (costs[unit.quantiser] / total + LEAST_COST) for unit in late_first}
    return sorted(late_first, key=lambda unit: -worth[unit.quantiser])


def fewest(order: Sequence[QuantisedUnit], agrees: Callable[[Sequence[QuantisedUnit]], bool]) -> list[QuantisedUnit]:
    """The shortest beginning of `order` with which, back in f32, the network agrees: in O(log k) looks for k units.

    agrees : whether it does with these; with all of them it does.
    """
    low, high, step = 0, len(order), 1
    while high - low > 1:
        middle = min(low + step, (low + high) // 2)
        if agrees(order[:middle]):
            high, step = middle, 1
        else:
            low, step = middle, 2 * step
    return list(order[:high])


def _products(node: Any) -> int:
    """Multiplications of a layer with weights."""
    if node.get_type_name() not in WEIGHTED or node.get_output_partial_shape(0).is_dynamic:
        return 0
    weights, shape = node.get_input_shape(1), node.get_output_shape(0)
    places = shape[2:] if "Convolution" in node.get_type_name() else shape[:-1]
    return int(np.prod(weights, dtype=np.int64) * np.prod(places, dtype=np.int64))


def _is_of_weights(node: Any) -> bool:
    """Whether a quantiser's input is constant."""
    source = node.input_value(0).get_node()
    while source.get_type_name() in ("Convert", "Reshape", "Transpose") and source.get_input_size():
        source = source.input_value(0).get_node()
    return bool(source.get_type_name() == "Constant")


def _fed_by(quantiser: Any) -> list[Any]:
    """The layers with weights behind a quantiser, up to the next quantisers; else the first layer behind it."""
    found: dict[str, Any] = {}
    seen: set[str] = set()
    ahead = list(_consumers(quantiser))
    first = ahead[:1]
    while ahead:
        node = ahead.pop(0)
        name = node.get_friendly_name()
        if name in seen or node.get_type_name() in ("FakeQuantize", "Result"):
            continue
        seen.add(name)
        if node.get_type_name() in WEIGHTED:
            found[name] = node
        else:
            ahead.extend(_consumers(node))
    return list(found.values()) or first


def _consumers(node: Any) -> Iterator[Any]:
    for output in node.outputs():
        for target in output.get_target_inputs():
            yield target.get_node()


def _restore(layer: Any, before: dict[str, Any]) -> None:
    """Take the quantisers of a layer's weights out, and give it the offsets that it had."""
    for index in range(layer.get_input_size()):
        source = layer.input_value(index).get_node()
        while source.get_type_name() in ("Reshape", "Transpose"):
            source = source.input_value(0).get_node()
        if source.get_type_name() == "FakeQuantize" and _is_of_weights(source):
            source.output(0).replace(source.input_value(0))
    for added in _consumers(layer):
        was = before.get(added.get_friendly_name())
        if added.get_type_name() != "Add" or was is None or was.get_type_name() != "Add":
            continue
        for index in range(2):
            now, then = added.input_value(index).get_node(), was.input_value(index).get_node()
            if now.get_type_name() == "Constant" == then.get_type_name() and now.shape == then.shape:
                restored = ov.op.Constant(np.array(then.data))
                added.input(index).replace_source_output(restored.output(0))
