"""Plain graph -> `ov.Model`."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset1

from saccade.errors import ModelError
from saccade.formats import importing, layers
from saccade.formats.core import reason
from saccade.formats.importing import naming, refuse_unknown
from saccade.formats.layers import Value
from saccade.formats.legacy_ir import ops  # noqa: F401  (fills the table)
from saccade.formats.legacy_ir.graph import Dims, Endpoint, PlainGraph, PlainLayer, WeightsRegion
from saccade.formats.legacy_ir.table import LAYERS, Layer
from saccade.formats.legacy_ir.weights import Weights, check_overlaps

log = logging.getLogger(__name__)

INPUT_TYPES = {"I32": ov.Type.i32, "I64": ov.Type.i64, "U8": ov.Type.f32, "BOOL": ov.Type.f32}


def build(network: PlainGraph, path: Path) -> ov.Model:
    """Build the model of a file's graph; weights come from the .bin beside it."""
    with naming(path):
        check_overlaps(list(_blobs(network)))
        found = [(layer.type, layer.name) for layer in all_layers(network) if not is_supported(layer)]
        refuse_unknown(found, ())
        if not inputs(network):
            raise ModelError("has no Input layer; expected at least one: the file is incomplete")
        graph = GraphBuilder(network, Weights(path.with_suffix(".bin")))
        graph.run()
        parameters = [graph.parameters[layer.name] for layer in inputs(network)]
        try:
            return layers.model(graph.outputs(), parameters, network.name or path.stem, graph.sinks)
        except RuntimeError as error:
            raise ModelError(
                f"the graph does not make a model: {reason(error)[:300]}; expected a whole file: copy it again"
            ) from error


def all_layers(network: PlainGraph) -> Iterator[PlainLayer]:
    """Yield the layers of a network and of the loops inside it."""
    for layer in network.layers.values():
        yield layer
        if layer.loop is not None:
            yield from all_layers(layer.loop.body)


def is_supported(layer: PlainLayer) -> bool:
    """Tell whether the layer table knows the type."""
    return layer.type.lower() in LAYERS or layer.type.lower() == "input"


def inputs(network: PlainGraph) -> list[PlainLayer]:
    """Return the input layers, in file order."""
    return [layer for layer in network.layers.values() if layer.type.lower() == "input"]


def _blobs(network: PlainGraph) -> Iterator[tuple[WeightsRegion, str]]:
    for layer in all_layers(network):
        for name, blob in layer.blobs.items():
            yield blob, f"{layer}: {name}"


class GraphBuilder:
    """Builds one network: the file's, or the body of a loop."""

    def __init__(self, network: PlainGraph, weights: Weights, feeds: Mapping[Endpoint, Value] | None = None) -> None:
        self.network = network
        self.feeds = feeds or {}
        self.weights = weights
        self.values: dict[Endpoint, Value] = {}
        self.shapes: dict[Endpoint, Dims] = {}  # of the values; the same as theirs, and quicker to ask
        self.parameters: dict[str, ov.op.Parameter] = {}
        self.sinks: list[ov.Node] = []
        self.made = 0

    def run(self) -> None:
        """Build every layer, producers first."""
        for layer in self.order():
            if layer.type.lower() == "input":
                self._input(layer)
            else:
                self._layer(layer)

    def order(self) -> list[PlainLayer]:
        """Return the layers such that each comes after those it reads."""
        layers_, sources = self.network.layers, self.network.sources
        for layer in layers_.values():
            for port in layer.inputs:
                if (layer.id, port.id) not in sources and (layer.id, port.id) not in self.feeds:
                    raise ModelError(
                        f"{layer}: nothing feeds input port {port.id}; expected an edge to it: the file is incomplete"
                    )
        waiting = {layer.id: sum((layer.id, port.id) in sources for port in layer.inputs) for layer in layers_.values()}
        readers: dict[int, list[int]] = {}
        for (target, _), (source, _) in sources.items():
            readers.setdefault(source, []).append(target)
        ready = [id_ for id_, count in waiting.items() if not count]
        done: list[PlainLayer] = []
        for id_ in ready:
            done.append(layers_[id_])
            for reader in readers.get(id_, ()):
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready.append(reader)
        if len(done) < len(layers_):
            finished = {layer.id for layer in done}
            stuck = next(layer for layer in layers_.values() if layer.id not in finished)
            raise ModelError(f"{stuck} is part of a cycle, or behind one; expected a graph without cycles")
        return done

    def outputs(self) -> list[tuple[str, Value]]:
        """Return each value that nothing reads, named as the original engine named it."""
        read = set(self.network.sources.values())
        found = []
        for layer in self.network.layers.values():
            for index, port in enumerate(layer.outputs):
                if (layer.id, port.id) not in read:
                    name = layer.name if len(layer.outputs) == 1 else f"{layer.name}.{index}"
                    found.append((name, layers.as_float(self.values[layer.id, port.id])))
        names = [name for name, _ in found]
        if not found or len(set(names)) < len(names):
            raise ModelError("has no output, or two of one name; expected layers with names of their own")
        return found

    # -- one layer

    def inside(self, body: PlainGraph, feeds: Mapping[Endpoint, Value]) -> dict[Endpoint, Value]:
        """Build the body of a loop."""
        inner = GraphBuilder(body, self.weights, feeds)
        inner.made = self.made
        inner.run()
        self.made = inner.made
        if inner.parameters:
            raise ModelError(f"the body of a loop has an input '{next(iter(inner.parameters))}' that nothing feeds")
        return inner.values

    def _input(self, layer: PlainLayer) -> None:
        if len(layer.outputs) != 1 or layer.inputs or not layer.name:
            raise ModelError(f"{layer} has {len(layer.outputs)} outputs; expected a named layer with one output")
        if layer.name in self.parameters:
            raise ModelError(f"{layer} has the name of another input; expected names of their own")
        port = layer.outputs[0]
        self.shapes[layer.id, port.id] = port.dims
        if (layer.id, port.id) in self.feeds:
            self.values[layer.id, port.id] = self.feeds[layer.id, port.id]
            return
        precision = port.precision or layer.precision
        node = layers.parameter(layer.name, port.dims, INPUT_TYPES.get(precision, ov.Type.f32))
        self.parameters[layer.name] = node
        self.values[layer.id, port.id] = self._without_mean(layer, node.output(0))

    def _without_mean(self, layer: PlainLayer, value: Value) -> Value:
        """Subtract the means that the file declares for this input."""
        mean = input_mean(self.network, layer, self.weights)
        return value if mean is None else opset1.subtract(value, layers.constant(mean)).output(0)

    def _layer(self, layer: PlainLayer) -> None:
        sources = self.network.sources
        ends = [(layer.id, port.id) for port in layer.inputs]
        operands = [self.values[sources[end]] if end in sources else self.feeds[end] for end in ends]
        shapes = [self.shapes[sources[end]] if end in sources else layers.dims(self.feeds[end]) for end in ends]
        for port, shape in zip(layer.inputs, shapes, strict=True):
            if port.dims != shape and math.prod(port.dims) != math.prod(shape):
                raise ModelError(
                    f"{layer}: input port {port.id} declares {list(port.dims)} but gets {list(shape)}; "
                    "expected the same shape: the file is damaged or was edited"
                )
        values = importing.build(Layer(layer, operands, shapes, self.weights, self), LAYERS[layer.type.lower()])
        if len(values) < len(layer.outputs):
            raise ModelError(f"{layer} declares {len(layer.outputs)} outputs; expected {len(values)}")
        for port, value in zip(layer.outputs, values, strict=False):
            if value.get_shape() != list(port.dims):
                raise ModelError(
                    f"{layer}: output port {port.id} comes out as {list(layers.dims(value))} but declares "
                    f"{list(port.dims)}; expected the same shape: the file is damaged or was edited"
                )
            self.values[layer.id, port.id] = value
            self.shapes[layer.id, port.id] = port.dims


def input_mean(network: PlainGraph, layer: PlainLayer, weights: Weights) -> np.typing.NDArray[np.float32] | None:
    """Return what is subtracted from an input, broadcastable to its shape; None for nothing.

    Channels are those of the tensor as given. Scales are not applied: the original CPU engine ignored them.
    """
    found = network.pre_process
    if found is None or not found.channels:
        return None
    candidates = inputs(network)
    if found.reference_layer:
        target = next((c for c in candidates if c.name == found.reference_layer), None)
        if target is None:
            raise ModelError(
                f"pre-process names input '{found.reference_layer[:80]}', which does not exist; expected "
                f"one of {', '.join(c.name for c in candidates)}"
            )
    else:
        target = next((c for c in candidates if len(c.outputs[0].dims) == 4), candidates[0])
    if target is not layer:
        return None
    dims = layer.outputs[0].dims
    if any(channel.scale != 1 for channel in found.channels):
        log.warning("%s: the pre-process scale is ignored, as the original CPU engine did", layer)
    if len(dims) < 2 or sorted(c.id for c in found.channels) != list(range(dims[1])):
        raise ModelError(
            f"{layer}: pre-process has channels {[c.id for c in found.channels][:8]} for shape {list(dims)}; "
            "expected one entry per channel"
        )
    channels = sorted(found.channels, key=lambda c: c.id)
    if any(channel.image for channel in channels):
        images = []
        for channel in channels:
            if channel.image is None:
                raise ModelError(f"{layer}: pre-process channel {channel.id} has no mean image; expected one")
            image = weights.array(channel.image, f"{layer}: mean image of channel {channel.id}")
            if image.size != math.prod(dims[2:]):
                raise ModelError(
                    f"{layer}: mean image of channel {channel.id} has {image.size} values; expected "
                    f"{math.prod(dims[2:])}, one per pixel"
                )
            images.append(layers.floats(image).reshape(dims[2:]))
        return np.stack(images)[None]
    values = np.array([c.mean or 0.0 for c in channels], dtype=np.float32)
    return values.reshape(1, -1, *[1] * (len(dims) - 2)) if values.any() else None
