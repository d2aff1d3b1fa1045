"""The layer table: one function per legacy layer type.

To add a layer, write a function in a module of `legacy_ir/ops/` and decorate it:

    @layer("Power")
    def power(node: Node) -> Value:
        return layers.power(node.input(0), node.number("power", 1.0), ...)

It gets a `Node` (inputs as graph values, attributes, weights, declared shapes) and returns one value, or a list with
one value for each output port. Types and attribute names are those of the file; types are found whatever their case.
Shapes are checked against the declared ones afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import openvino as ov

from saccade.errors import ModelError, UnsupportedError
from saccade.models.layers import Value
from saccade.models.legacy_ir.graph import Dims, Endpoint, Layer, Network
from saccade.models.legacy_ir.weights import Weights

Builder = Callable[["Node"], Value | list[Value]]
LAYERS: dict[str, Builder] = {}
MAX_LIST = 4096
MAX_MADE = 1 << 25  # values in all constants that are computed at import

_TRUE = frozenset({"1", "true", "yes"})
_FALSE = frozenset({"0", "false", "no"})


class Graph(Protocol):
    """What a builder may ask of the graph that is being built."""

    sinks: list[ov.Node]
    made: int

    def inside(self, body: Network, feeds: Mapping[Endpoint, Value]) -> dict[Endpoint, Value]:
        """Build the body of a loop from the values at its input ports; return those at its output ports."""


def layer(*types: str) -> Callable[[Builder], Builder]:
    """Register a builder under one or more layer types."""

    def register(builder: Builder) -> Builder:
        for type_ in types:
            LAYERS[type_.lower()] = builder
        return builder

    return register


class Node:
    """What a builder sees of one layer.

    Attributes are read with the method of their kind; an absent or empty attribute gives the default, and without a
    default it is an error. `fail` makes the error that names file, layer and type.
    """

    def __init__(
        self,
        where: str,
        layer: Layer,
        inputs: Sequence[Value],
        shapes: Sequence[Dims],
        weights: Weights,
        graph: Graph,
    ) -> None:
        self.where = where
        self.layer = layer
        self.inputs = list(inputs)
        self.shapes = list(shapes)
        self.weights = weights
        self.graph = graph

    def fail(self, message: str) -> ModelError:
        """Return the error for something that is wrong with the file."""
        return ModelError(f"{self.where}: {self.layer}: {message}")

    def unsupported(self, message: str) -> UnsupportedError:
        """Return the error for something that is right in the file but that saccade has not got."""
        return UnsupportedError(f"{self.where}: {self.layer}: {message}")

    # -- inputs and outputs

    def input(self, index: int = 0) -> Value:
        """Return an operand."""
        if index >= len(self.inputs):
            raise self.fail(f"has {len(self.inputs)} inputs; expected at least {index + 1}")
        return self.inputs[index]

    def dims(self, index: int = 0) -> tuple[int, ...]:
        """Return the shape of an operand."""
        self.input(index)
        return self.shapes[index]

    def spatial(self, index: int = 0) -> tuple[int, ...]:
        """Return the spatial shape of an operand (N, C, ...)."""
        dims = self.dims(index)
        if len(dims) < 3:
            raise self.fail(f"input {index} has shape {list(dims)}; expected batch, channels and spatial axes")
        return dims[2:]

    def out(self, index: int = 0) -> tuple[int, ...]:
        """Return the declared shape of an output."""
        if index >= len(self.layer.outputs):
            raise self.fail(f"has {len(self.layer.outputs)} outputs; expected at least {index + 1}")
        return self.layer.outputs[index].dims

    def known(self, index: int) -> npt.NDArray[Any]:
        """Return the values of an operand that must be a constant."""
        source = self.input(index).get_node()
        while source.get_type_name() == "Convert":
            source = source.input_value(0).get_node()
        if source.get_type_name() != "Constant":
            raise self.unsupported(f"input {index} is computed while the network runs; expected a constant")
        values: npt.NDArray[Any] = source.data
        return values

    def known_ints(self, index: int) -> list[int]:
        """Return the values of a constant operand of indices."""
        values = self.known(index).reshape(-1)
        if values.size > MAX_LIST or not np.all(np.isfinite(values)) or np.any(np.abs(values.astype(float)) > 2**31):
            raise self.fail(f"input {index} has values that are no indices; expected at most {MAX_LIST} integers")
        return [int(v) for v in values]

    # -- attributes

    def text(self, name: str, default: str | None = None) -> str:
        """Return an attribute as text."""
        value = self.layer.attributes.get(name, "").strip()
        if value:
            return value
        if default is None:
            raise self.fail(f"has no attribute {name}; expected one")
        return default

    def has(self, *names: str) -> bool:
        """Tell whether any of the attributes is there and not empty."""
        return any(self.layer.attributes.get(name, "").strip() for name in names)

    def floats(self, name: str, default: Sequence[float] | None = None, *, limit: int = MAX_LIST) -> list[float]:
        """Return an attribute as a list of numbers."""
        if not self.has(name):
            if default is None:
                raise self.fail(f"has no attribute {name}; expected numbers")
            return list(default)
        parts = self.text(name).replace(";", ",").rstrip(",").split(",")
        if len(parts) > limit:
            raise self.fail(f"attribute {name} has {len(parts)} numbers; expected at most {limit}")
        try:
            values = [float(part) for part in parts]
        except ValueError:
            raise self.fail(f"attribute {name} is {self.text(name)[:60]!r}; expected numbers") from None
        if not all(math.isfinite(v) and abs(v) < 3.41e38 for v in values):
            raise self.fail(f"attribute {name} is {self.text(name)[:60]!r}; expected finite numbers")
        return values

    def number(self, name: str, default: float | None = None) -> float:
        """Return an attribute as a number."""
        values = self.floats(name, None if default is None else [default])
        if len(values) != 1:
            raise self.fail(f"attribute {name} is {self.text(name)[:60]!r}; expected one number")
        return values[0]

    def ints(self, name: str, default: Sequence[int] | None = None, *, low: int = -(2**31)) -> list[int]:
        """Return an attribute as a list of integers of at least `low`."""
        values = self.floats(name, default)
        if not all(v == int(v) and low <= v < 2**31 for v in values):
            raise self.fail(f"attribute {name} is {self.text(name)[:60]!r}; expected integers from {low}")
        return [int(v) for v in values]

    def integer(self, name: str, default: int | None = None, *, low: int = -(2**31)) -> int:
        """Return an attribute as an integer of at least `low`."""
        values = self.ints(name, None if default is None else [default], low=low)
        if len(values) != 1:
            raise self.fail(f"attribute {name} is {self.text(name)[:60]!r}; expected one integer")
        return values[0]

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return an attribute as a truth value (0, 1, true, False, ...)."""
        value = self.text(name, None if default is None else str(default)).lower()
        if value not in _TRUE | _FALSE:
            raise self.fail(f"attribute {name} is {value[:60]!r}; expected 0 or 1")
        return value in _TRUE

    def choice(self, name: str, values: Sequence[str], default: str | None = None) -> str:
        """Return an attribute that is one of a few words, in lower case."""
        value = self.text(name, default).lower()
        if value not in values:
            raise self.unsupported(f"attribute {name} is {value[:60]!r}; expected one of {', '.join(values)}")
        return value

    def axis(self, name: str = "axis", default: int | None = None, *, rank: int | None = None) -> int:
        """Return an attribute that is an axis of the first operand, as a number from 0."""
        return self.check_axis(self.integer(name, default), len(self.dims(0)) if rank is None else rank)

    def check_axis(self, axis: int, rank: int) -> int:
        """Return an axis as a number from 0."""
        if not -rank <= axis < rank:
            raise self.fail(f"axis {axis} of a tensor of {rank} axes; expected {-rank} to {rank - 1}")
        return axis % rank

    # -- weights

    def blob(self, name: str, *shape: int) -> npt.NDArray[Any]:
        """Return a weight blob in a shape; without a shape, flat."""
        found = self.layer.blobs.get(name)
        if found is None:
            raise self.fail(f"has no {name}; expected a blob of that name: the .xml is incomplete")
        values = self.weights.array(found, f"{self.where}: {self.layer}: {name}")
        if not values.flags.aligned:
            self.made(values.size)  # such memory cannot be shared with OpenVINO and is copied
        if not shape:
            return values
        if values.size != math.prod(shape):
            raise self.fail(f"{name} has {values.size} values; expected {' x '.join(map(str, shape))}")
        return values.reshape(shape)

    def maybe_blob(self, name: str, *shape: int) -> npt.NDArray[Any] | None:
        """Return a weight blob in a shape, or None where the layer has none."""
        return self.blob(name, *shape) if name in self.layer.blobs else None

    def made(self, count: int) -> None:
        """Account for a constant of `count` values that is computed at import; refuse absurd sums of them."""
        self.graph.made += count
        if self.graph.made > MAX_MADE:
            raise self.fail(f"needs {count} computed values; expected at most {MAX_MADE} in the whole file")
