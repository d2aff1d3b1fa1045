"""XML of a legacy IR file -> plain graph, streaming and bounded.

Files come from strangers: document types and entities are refused, the numbers of layers, ports, dimensions and
nested elements are bounded, and only what has a meaning is kept, so that memory stays a small multiple of the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from saccade.errors import ModelError, UnsupportedError
from saccade.formats.legacy_ir.graph import (
    Channel,
    Endpoint,
    LayerPort,
    Loop,
    PlainGraph,
    PlainLayer,
    PreProcess,
    Slice,
    WeightsRegion,
)

MAX_BYTES = 64 << 20
MAX_LAYERS = 20_000
MAX_PORTS = 4_096  # of one layer, each direction
MAX_RANK = 10
MAX_ELEMENTS = 1 << 28  # values in one tensor
MAX_DEPTH = 64
MAX_CHILDREN = 50_000  # elements inside one layer
MAX_ATTRIBUTES = 256
MAX_LABEL = 65_536  # characters of an attribute or a text outside <statistics>
CHUNK = 1 << 20


class _Element:
    __slots__ = ("attributes", "children", "loop", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[_Element] = []
        self.text: list[str] = []
        self.loop: Loop | None = None

    def find(self, tag: str) -> _Element | None:
        return next((child for child in self.children if child.tag == tag), None)

    def all(self, *path: str) -> Iterator[_Element]:
        if not path:
            yield self
            return
        for child in self.children:
            if child.tag == path[0]:
                yield from child.all(*path[1:])


def read_network(path: Path) -> PlainGraph:
    """Parse the XML of a legacy IR file.

    Raises
    ------
    ModelError
        The file is no legacy IR, or breaks the format; the message names layer and fault.
    UnsupportedError
        The version is not 2 to 7.
    """
    try:
        if not path.is_file():
            raise ModelError(f"{path} is no file; expected the .xml of an IR: check the path")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{path}: {size} bytes of XML; expected at most {MAX_BYTES}: this is not a model's IR")
        reader = _Reader(path)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                reader.parser.Parse(chunk, False)
            reader.parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ModelError(f"{path}: broken XML ({error}); expected a complete IR file: copy it again") from error
    except (LookupError, UnicodeError) as error:
        raise ModelError(f"{path}: unusable XML encoding ({error}); expected UTF-8: save it as UTF-8") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    return reader.network


def _parser() -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    return parser


class _Reader:
    """Keeps the open elements only; a finished layer or edge is turned into its plain form at once."""

    KEPT = frozenset({"layers", "edges", "pre-process", "statistics", "meta_data"})
    CONTAINERS = frozenset({"net", "body", "layers", "edges", "statistics", "meta_data", "cli_parameters"})

    def __init__(self, path: Path) -> None:
        self.path = path
        self.network = PlainGraph()
        self.networks = [self.network]
        self.loops: list[Loop] = []
        self.stack: list[_Element] = []
        self.skipping = 0
        self.kept = 0
        self.precision = ""  # of layers that do not say their own
        self.depth = 0
        self.edges: list[list[tuple[Endpoint, Endpoint]]] = [[]]
        self.parser = _parser()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.EntityDeclHandler = self._refuse

    def fail(self, message: str) -> NoReturn:
        raise ModelError(f"{self.path}: {message}")

    def _refuse(self, *_: object) -> NoReturn:
        self.fail("has a document type or entities; expected plain elements: this was not written by a model optimizer")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"elements are nested more than {MAX_DEPTH} deep; expected a model's IR")
        if attributes and (len(attributes) > MAX_ATTRIBUTES or max(map(len, attributes.values())) > MAX_LABEL):
            self.fail(f"<{tag[:40]}> has too many or too long attributes; expected a model's IR")
        if self.skipping:
            self.skipping += 1
            return
        if not self.stack:
            self._root(tag, attributes)
            tag = "net"
        elif tag == "body" and self.stack[-1].tag == "layer":
            self.loops.append(Loop(PlainGraph(version=self.network.version)))
            self.networks.append(self.loops[-1].body)
            self.edges.append([])
        elif self.stack[-1].tag == "net" and tag not in self.KEPT:
            self.skipping = 1
            return
        if self.stack:
            # what is inside a layer is kept until it ends; layers, edges and statistics have bounds of their own
            member = len(self.stack) == 2 and self.stack[-1].tag in ("layers", "edges", "statistics")
            self.kept = 0 if member else self.kept + 1
            if self.kept > MAX_CHILDREN:
                self.fail(f"more than {MAX_CHILDREN} elements inside one; expected a model's IR")
        self.stack.append(_Element(tag, attributes))

    def _root(self, tag: str, attributes: dict[str, str]) -> None:
        if tag.lower() != "net":
            self.fail(f"the root element is <{tag[:40]}>; expected <net>: this is not an OpenVINO IR")
        version = attributes.get("version", "")
        if version not in {"2", "3", "4", "5", "6", "7"}:
            reason = {
                "": "has no IR version",
                "1": "is IR version 1 of 2017, whose tensors have no batch axis",
            }.get(version, f"is IR version {version[:20]!r}")
            raise UnsupportedError(
                f"{self.path}: {reason}; this reader takes versions 2 to 7: convert the original model again, "
                "or open versions from 10 with OpenVINO itself"
            )
        self.network.version = int(version)
        self.network.name = attributes.get("name", "")
        self.precision = attributes.get("precision", "").upper()

    def _characters(self, text: str) -> None:
        if self.skipping or not self.stack:
            return
        element = self.stack[-1]
        if element.tag in ("dim", "min", "max", "name") and not text.isspace():
            element.text.append(text)

    def _end(self, tag: str) -> None:
        self.depth -= 1
        if self.skipping:
            self.skipping -= 1
            return
        element = self.stack.pop()
        if not self.stack:
            self._connect(self.network, self.edges.pop())
            return
        parent = self.stack[-1]
        if tag == "layer" and parent.tag == "layers":
            self._layer(element)
        elif tag == "edge" and parent.tag == "edges":
            self.edges[-1].append((self._endpoint(element, "from"), self._endpoint(element, "to")))
            if len(self.edges[-1]) > MAX_LAYERS * 8:
                self.fail(f"more than {MAX_LAYERS * 8} edges; expected a model's IR")
        elif tag == "layer" and parent.tag == "statistics":
            self._statistics(element)
        elif tag == "pre-process" and parent.tag.lower() == "net":
            self.network.pre_process = self._pre_process(element)
        elif tag == "body" and parent.tag == "layer":
            self._connect(self.networks.pop(), self.edges.pop())
            parent.loop = self.loops.pop()
        elif parent.tag in ("meta_data", "cli_parameters"):
            if "value" in element.attributes and len(self.network.meta) < MAX_ATTRIBUTES:
                self.network.meta[tag] = element.attributes["value"]
        elif parent.tag not in self.CONTAINERS:
            parent.children.append(element)

    # -- pieces

    def _layer(self, element: _Element) -> None:
        network = self.networks[-1]
        attributes = element.attributes
        id_ = self._int(attributes.get("id", ""), "a layer's id", 0)
        type_ = attributes.get("type", "")
        name = attributes.get("name", "")
        what = f"layer {id_} '{' '.join(name.split())[:80]}' ({' '.join(type_.split())[:80] or 'no type'})"
        if not type_ or len(type_) > 200:
            self.fail(f"{what} has no usable type; expected a layer type such as Convolution")
        if id_ in network.layers:
            self.fail(f"{what} has the id of another layer; expected each id once")
        if len(network.layers) >= MAX_LAYERS:
            self.fail(f"more than {MAX_LAYERS} layers; expected a model's IR")
        precision = attributes.get("precision", "").upper()
        if not precision and network.version < 7:
            precision = self.precision
        outputs = self._ports(element, "output", what)
        data = self._data(element, type_)
        blob_precision = precision or (outputs[0].precision if outputs else "") or "FP32"
        network.layers[id_] = PlainLayer(
            id=id_,
            name=name,
            type=type_,
            precision=precision,
            attributes={} if data is None else data.attributes,
            inputs=self._ports(element, "input", what),
            outputs=outputs,
            blobs=self._blobs(element, blob_precision, what),
            rows=() if data is None else tuple(child.attributes for child in data.children),
            loop=self._loop(element, what),
        )

    @staticmethod
    def _data(element: _Element, type_: str) -> _Element | None:
        structure = {"input", "output", "weights", "biases", "blobs", "port_map", "back_edges", "body"}
        candidates = [child for child in element.children if child.tag not in structure]
        for tag in ("data", f"{type_}_data".lower(), type_.lower()):
            for child in candidates:
                if child.tag.lower() == tag:
                    return child
        return candidates[0] if candidates else None

    def _ports(self, element: _Element, side: str, what: str) -> tuple[LayerPort, ...]:
        ports: dict[int, LayerPort] = {}
        for port in element.all(side, "port"):
            id_ = self._int(port.attributes.get("id", ""), f"{what}: the id of an {side} port", 0)
            if id_ in ports:
                self.fail(f"{what} has {side} port {id_} twice; expected each id once")
            dims = tuple(
                self._int("".join(d.text).strip(), f"{what}: a dimension of {side} port {id_}", 1)
                for d in port.all("dim")
            )
            if len(dims) > MAX_RANK or math.prod(dims) > MAX_ELEMENTS:
                self.fail(
                    f"{what}: {side} port {id_} has shape {list(dims[:MAX_RANK])}; "
                    f"expected at most {MAX_RANK} axes and {MAX_ELEMENTS} values"
                )
            ports[id_] = LayerPort(id_, dims, port.attributes.get("precision", "").upper())
            if len(ports) > MAX_PORTS:
                self.fail(f"{what} has more than {MAX_PORTS} {side} ports")
        return tuple(ports[id_] for id_ in sorted(ports))

    def _blobs(self, element: _Element, precision: str, what: str) -> dict[str, WeightsRegion]:
        holders = [element]
        nested = element.find("blobs")
        if nested is not None:
            holders.append(nested)
        blobs: dict[str, WeightsRegion] = {}
        for holder in holders:
            for child in holder.children:
                if holder is element and child.tag not in ("weights", "biases"):
                    continue
                blob = self._blob(child, precision, f"{what}: {child.tag[:40]}")
                if blob is not None:
                    if child.tag in blobs:
                        self.fail(f"{what} has {child.tag[:40]} twice; expected each blob once")
                    blobs[child.tag] = blob
        return blobs

    def _blob(self, element: _Element, precision: str, what: str) -> WeightsRegion | None:
        if "size" not in element.attributes or element.attributes["size"] == "0":
            return None
        return WeightsRegion(
            offset=self._int(element.attributes.get("offset", "0"), f"{what}: offset", 0, 1 << 40),
            size=self._int(element.attributes["size"], f"{what}: size", 0, 1 << 40),
            precision=element.attributes.get("precision", precision).upper(),
        )

    def _loop(self, element: _Element, what: str) -> Loop | None:
        loop = element.loop
        if loop is None:
            return None
        for side, rows in (("input", loop.inputs), ("output", loop.outputs)):
            for row in element.all("port_map", side):
                numbers = {
                    key: self._int(value, f"{what}: {key} of the port map", -(1 << 31))
                    for key, value in row.attributes.items()
                    if value
                }
                try:
                    rows.append(
                        Slice(
                            outer_port=numbers["external_port_id"],
                            inner=(numbers["internal_layer_id"], numbers["internal_port_id"]),
                            axis=None if numbers.get("axis", -1) == -1 else numbers["axis"],
                            **{k: numbers[k] for k in ("start", "end", "stride", "part_size") if k in numbers},
                        )
                    )
                except KeyError as error:
                    self.fail(f"{what}: a row of the port map has no {error}; expected all three port numbers")
        for edge in element.all("back_edges", "edge"):
            loop.back_edges.append((self._endpoint(edge, "from"), self._endpoint(edge, "to")))
        return loop

    def _statistics(self, element: _Element) -> None:
        texts = {child.tag: "".join(child.text).strip() for child in element.children}
        if len(self.network.statistics) < MAX_LAYERS and {"name", "min", "max"} <= set(texts):
            self.network.statistics[texts["name"]] = (texts["min"], texts["max"])

    def _pre_process(self, element: _Element) -> PreProcess:
        result = PreProcess(element.attributes.get("reference-layer-name", ""))
        precision = element.attributes.get("mean-precision", "FP32").upper()
        for channel in element.all("channel"):
            id_ = self._int(channel.attributes.get("id", ""), "pre-process: a channel's id", 0, 4096)
            what = f"pre-process: channel {id_}"
            mean, scale = channel.find("mean"), channel.find("scale")
            result.channels.append(
                Channel(
                    id=id_,
                    mean=None if mean is None or "value" not in mean.attributes else self._float(mean, what),
                    image=None if mean is None else self._blob(mean, precision, what),
                    scale=1.0 if scale is None or "value" not in scale.attributes else self._float(scale, what),
                )
            )
        return result

    def _connect(self, network: PlainGraph, edges: list[tuple[Endpoint, Endpoint]]) -> None:
        """Check the edges against the layers' ports and note for every input where it comes from."""
        outputs = {(layer.id, port.id) for layer in network.layers.values() for port in layer.outputs}
        inputs = {(layer.id, port.id) for layer in network.layers.values() for port in layer.inputs}
        for source, target in edges:
            for (layer_id, port_id), known, side in ((source, outputs, "output"), (target, inputs, "input")):
                if (layer_id, port_id) not in known:
                    layer = network.layers.get(layer_id)
                    self.fail(
                        f"an edge names {side} port {port_id} of {layer or f'layer {layer_id}'}, which does not exist; "
                        "expected ports of the layers listed: the file is damaged or was edited"
                    )
            if target in network.sources:
                self.fail(
                    f"{network.layers[target[0]]} has two edges into input port {target[1]}; expected one: "
                    "the file is damaged or was edited"
                )
            network.sources[target] = source

    # -- numbers

    def _endpoint(self, element: _Element, side: str) -> Endpoint:
        values = [
            self._int(element.attributes.get(f"{side}-{part}", ""), f"an edge's {side}-{part}", 0)
            for part in ("layer", "port")
        ]
        return values[0], values[1]

    def _int(self, text: str, what: str, low: int, high: int = (1 << 31) - 1) -> int:
        try:
            value = int(text) if len(text) < 20 else high + 1
        except ValueError:
            self.fail(f"{what} is {text[:40]!r}; expected an integer")
        if not low <= value <= high:
            self.fail(f"{what} is {text[:40]}; expected {low} to {high}")
        return value

    def _float(self, element: _Element, what: str) -> float:
        text = element.attributes["value"]
        try:
            value = float(text)
        except ValueError:
            self.fail(f"{what}: {element.tag} is {text[:40]!r}; expected a number")
        if not math.isfinite(value):
            self.fail(f"{what}: {element.tag} is {text[:40]}; expected a finite number")
        return value
