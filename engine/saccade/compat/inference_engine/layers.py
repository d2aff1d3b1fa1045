"""Layers of a network as scripts looked at them: those of the file, or of the graph where the file has no such list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from saccade.compat.inference_engine.blobs import LAYOUTS, DataPtr, shape_of


@dataclass
class IENetLayer:
    """One layer. params : its attributes in words. parents, children : names of layers."""

    name: str
    type: str
    shape: list[int]
    params: dict[str, str]
    precision: str = "FP32"
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    affinity: str = ""

    @property
    def layout(self) -> str:
        """By the number of dimensions."""
        return LAYOUTS.get(len(self.shape), "BLOCKED")

    @property
    def out_data(self) -> list[DataPtr]:
        """The first output."""
        return [DataPtr(self.name, self.shape, self.precision)]


def legacy_graph(artifact: Any) -> Any:
    """The plain graph of a legacy IR, or None."""
    if artifact.format != "legacy-ir":
        return None
    from saccade.formats.legacy_ir.xml_reader import read_network

    return read_network(artifact.path)


def layers_of(model: Any, facts: Any) -> dict[str, IENetLayer]:
    """Layers by name, in the order of the file.

    model : the graph. facts : of a legacy IR, what `legacy_graph` gives; else None.
    """
    found: dict[str, IENetLayer] = {}
    shapes = {str(n.friendly_name): shape_of(n.output(0)) for n in model.get_ordered_ops() if n.outputs()}
    if facts is not None:
        by_id = facts.layers
        for layer in by_id.values():
            own = [list(port.dims) for port in layer.outputs]
            found[layer.name] = IENetLayer(
                layer.name, layer.type, shapes.get(layer.name, own[0] if own else []), dict(layer.attributes)
            )
        for (target, _), (source, _) in facts.sources.items():
            _connect(found, by_id[source].name, by_id[target].name)
        return found
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Result", "Constant"):
            continue
        name = str(node.friendly_name)
        kind = {"Parameter": "Input"}.get(kind, kind)
        found[name] = IENetLayer(name, kind, shapes[name], _in_words(node.get_attributes()))
        for source in node.input_values():
            if str(source.node.friendly_name) in found:
                _connect(found, str(source.node.friendly_name), name)
    return found


def _connect(layers: Mapping[str, IENetLayer], parent: str, child: str) -> None:
    layers[child].parents.append(parent)
    layers[parent].children.append(child)


def _in_words(attributes: Mapping[str, Any]) -> dict[str, str]:
    """As they stood in the .xml."""

    def word(value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return ",".join(map(word, value))
        return str(int(value)) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)

    return {name: word(value) for name, value in attributes.items()}
