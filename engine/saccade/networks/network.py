"""What runs a model, wherever it is: its ports, and requests that own their memory.

A scheduler fills a request's inputs, starts it, and reads its outputs when it is over. `local.Model` does that through
OpenVINO, `remote.RemoteModel` through a server; nothing else in saccade knows which of them it has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from saccade.formats.quantised import Quantisation

if TYPE_CHECKING:
    from saccade.networks.spec import InputSpec

Array = NDArray[Any]
Floats = NDArray[np.float32]
Inputs = Array | Mapping[str, Array]
Outputs = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a network.

    shape : -1 for a dimension that is known only after a run (some detectors' outputs).
    layer_type : type of the layer that computes an output (`Softmax`, `DetectionOutput`), reshaping apart.
    attributes : that layer's own, where they say what its numbers mean (`RegionYolo`, `DetectionOutput`).
    after : types of all layers between an output and the last layers with weights.
    integer : an output that the file has as whole numbers (labels, counts); it is read as float32 like all others.
    quantisation : of an integer input; outputs are real numbers already.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    layer_type: str = ""
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    after: frozenset[str] = frozenset()
    integer: bool = False
    quantisation: Quantisation | None = None


class Request(Protocol):
    """One run of a network at a time, in memory that belongs to the request."""

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Input arrays by name, to be written to; raises while a run is in flight."""

    @property
    def outputs(self) -> Outputs:
        """Output arrays by name, float32, valid until the next run; raises while a run is in flight."""

    @property
    def done(self) -> bool:
        """True if no run is in flight, or the one in flight is over: `wait()` would return at once."""

    def infer(self) -> None:
        """Run in the caller's thread."""

    def start(self, callback: Callable[[Any], None] | None = None) -> None:
        """Begin a run and return at once; `callback` is called at its end, from another thread, unless it failed."""

    def wait(self) -> None:
        """Until the run is over; raises what went wrong with it."""


class Network(Protocol):
    """A model that is ready to run.

    path : of its file, or None. device, precision : where and how it computes. is_remote : a run takes as long as the
    way there and back, however idle this machine is. spec : the pixels that its server wants, where that has said so.
    metadata : what its file says of itself, by origin (see `saccade.formats.metadata`).
    label_base : number of a detector's first class. idle : requests that nobody uses at present, for whoever shares
    the network.
    """

    name: str
    path: Path | None
    device: str
    precision: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    is_remote: bool
    spec: InputSpec | None
    metadata: Mapping[str, Any]
    label_base: int
    idle: deque[Any]

    def request(self) -> Request:
        """A new request with tensors of its own."""

    def spread(self, threads: int, streams: int) -> bool:
        """Have requests made from now on run on so many threads, so many at a time; False where that cannot be."""

    def infer(self, inputs: Inputs) -> dict[str, Floats]:
        """Run once, from any thread, on the array of the only input or arrays by name; copies of the outputs."""
