"""The plain graph of a legacy IR file: what the XML says, checked for form but not yet for meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Dims = tuple[int, ...]
Endpoint = tuple[int, int]  # (layer id, port id)


@dataclass(frozen=True, slots=True)
class LayerPort:
    """One input or output of a layer; `precision` is written on ports since version 7."""

    id: int
    dims: Dims
    precision: str = ""


@dataclass(frozen=True, slots=True)
class WeightsRegion:
    """A region of the weights file, in bytes."""

    offset: int
    size: int
    precision: str


@dataclass(frozen=True, slots=True)
class Slice:
    """One row of a TensorIterator's port map: an outer port, an inner port, and how to cut between them."""

    outer_port: int
    inner: Endpoint
    axis: int | None = None
    start: int = 0
    end: int = -1
    stride: int = 1
    part_size: int = 1


@dataclass(slots=True)
class Loop:
    """The inside of a TensorIterator."""

    body: PlainGraph
    inputs: list[Slice] = field(default_factory=list)
    outputs: list[Slice] = field(default_factory=list)
    back_edges: list[tuple[Endpoint, Endpoint]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PlainLayer:
    """One layer as the file has it; ports are sorted by id, which is the order of operands."""

    id: int
    name: str
    type: str
    precision: str
    attributes: Mapping[str, str]
    inputs: tuple[LayerPort, ...]
    outputs: tuple[LayerPort, ...]
    blobs: Mapping[str, WeightsRegion]
    rows: tuple[Mapping[str, str], ...] = ()  # <crop axis= offset=/> children of old Crop layers
    loop: Loop | None = None

    def __str__(self) -> str:
        name, type_ = (" ".join(text.split())[:80] for text in (self.name, self.type))
        return f"layer {self.id} '{name}' ({type_})"


@dataclass(frozen=True, slots=True)
class Channel:
    """Mean of one input channel: a value, or a picture in the weights file. `scale` was never applied."""

    id: int
    mean: float | None = None
    image: WeightsRegion | None = None
    scale: float = 1.0


@dataclass(slots=True)
class PreProcess:
    """Means that the engine subtracts from an input before the first layer."""

    reference_layer: str
    channels: list[Channel] = field(default_factory=list)


@dataclass(slots=True)
class PlainGraph:
    """A whole file, or the body of a TensorIterator. `sources` maps each fed input to the output that feeds it."""

    name: str = ""
    version: int = 0
    layers: dict[int, PlainLayer] = field(default_factory=dict)
    sources: dict[Endpoint, Endpoint] = field(default_factory=dict)
    pre_process: PreProcess | None = None
    statistics: dict[str, tuple[str, str]] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)
