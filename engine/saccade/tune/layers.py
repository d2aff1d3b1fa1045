"""Which layers of a quantised network have to stay in f32, found by bisection.

Quantisers stand in the graph as FakeQuantize layers: taking one out, and with it those of the weights that it feeds,
puts these layers back into f32. QuickXplain (Junker, "QUICKXPLAIN: Preferred Explanations and Relaxations for
Over-Constrained Problems", AAAI 2004) finds a set of which none can be left out, in O(k log(n / k)) looks.
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


@dataclass(frozen=True, slots=True)
class Unit:
    """What is put back into f32 together. quantiser : name of the FakeQuantize layer in front of it. layers : names of
    the layers with weights that it feeds, or else of the first of the others.
    """

    quantiser: str
    layers: tuple[str, ...]


def units_of(network: ov.Model) -> list[Unit]:
    """What of a quantised network can be put back, from the picture to the outputs."""
    return [
        Unit(node.get_friendly_name(), tuple(each.get_friendly_name() for each in _fed_by(node)))
        for node in network.get_ordered_ops()
        if node.get_type_name() == "FakeQuantize" and not _is_of_weights(node)
    ]


def with_units_in_f32(quantised: ov.Model, original: ov.Model, units: Sequence[Unit]) -> ov.Model:
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


def needed(
    units: Sequence[Unit], agrees: Callable[[Sequence[Unit]], bool], *, on_agreed: Callable[[Sequence[Unit]], None]
) -> list[Unit]:
    """Units that must be put back for the network to agree, none of which can be left out.

    agrees : whether the network does with these back in f32; with all of them it does. on_agreed : called with each
    set that was seen to do, so that there is something when the time is over.
    """
    found: list[Unit] = []
    enough = False

    def looked_at(back: Sequence[Unit]) -> bool:
        good = agrees(back)
        if good:
            on_agreed(back)
        return good

    def part(candidates: Sequence[Unit], back: Sequence[Unit], *, changed: bool) -> list[Unit]:
        nonlocal enough
        if enough or (changed and looked_at(back)):
            return []
        if len(candidates) == 1:
            found.extend(candidates)
            enough = looked_at(found)  # often one or two are all that hurt
            return list(candidates)
        middle = len(candidates) // 2
        early, late = candidates[:middle], candidates[middle:]
        of_late = part(late, [*back, *early], changed=True)
        of_early = part(early, [*back, *of_late], changed=bool(of_late))
        return of_early + of_late

    if units:
        part(list(units), [], changed=False)
    order = {unit.quantiser: place for place, unit in enumerate(units)}
    return sorted(found, key=lambda unit: order[unit.quantiser])


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
