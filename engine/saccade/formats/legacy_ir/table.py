"""The layers of legacy IR while they are built: with declared shapes, which are the truth, and weights by name.

The builders lie in `legacy_ir/ops/`. They return one value, or a list with one for each output port; shapes are
checked against the declared ones afterwards. Types are found whatever their case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import openvino as ov

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import importing, layers
from saccade.formats.importing import Built, LayerTable
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.graph import Dims, Endpoint, PlainGraph, PlainLayer
from saccade.formats.legacy_ir.weights import Weights

MAX_LIST = 4096
MAX_MADE = 1 << 25  # values in all constants that are computed at import


class Context(Protocol):
    """What a builder may ask of the graph that is being built."""

    sinks: list[ov.Node]
    made: int

    def inside(self, body: PlainGraph, feeds: Mapping[Endpoint, Value]) -> dict[Endpoint, Value]:
        """Build the body of a loop from the values at its input ports; return those at its output ports."""


class Layer(importing.Layer):
    """One layer with what it works on; `plain` is the file's own."""

    __slots__ = ("_shapes", "_weights", "context", "plain")

    def __init__(
        self, plain: PlainLayer, inputs: Sequence[Value], shapes: Sequence[Dims], weights: Weights, context: Context
    ) -> None:
        super().__init__(plain.type, plain.name, plain.attributes, inputs)
        self.plain = plain
        self.context = context
        self._shapes = shapes
        self._weights = weights

    def __str__(self) -> str:
        return str(self.plain)

    def dims(self, index: int = 0) -> tuple[int, ...]:
        """Shape of an operand, which is known without asking OpenVINO."""
        self.input(index)
        return self._shapes[index]

    def out(self, index: int = 0) -> tuple[int, ...]:
        """Declared shape of an output."""
        if index >= len(self.plain.outputs):
            raise ModelError(f"has {len(self.plain.outputs)} outputs; expected at least {index + 1}")
        return self.plain.outputs[index].dims

    def as_declared(self, value: Value) -> Value:
        """A value in the declared shape, if it has as many numbers."""
        shape = self.out()
        return layers.reshape(value, shape) if math.prod(layers.dims(value)) == math.prod(shape) else value

    def known(self, index: int) -> npt.NDArray[Any]:
        """Values of an operand that must be a constant."""
        source = self.input(index).get_node()
        while source.get_type_name() == "Convert":
            source = source.input_value(0).get_node()
        if source.get_type_name() != "Constant":
            raise UnsupportedError(f"input {index} is computed while the network runs; expected a constant")
        values: npt.NDArray[Any] = source.data
        return values

    def known_ints(self, index: int) -> list[int]:
        """Values of a constant operand of indices."""
        values = self.known(index).reshape(-1)
        if values.size > MAX_LIST or not np.all(np.isfinite(values)) or np.any(np.abs(values.astype(float)) > 2**31):
            raise ModelError(f"input {index} has values that are no indices; expected at most {MAX_LIST} integers")
        return [int(v) for v in values]

    def numbers(self, key: str, default: Sequence[float] | None = None, *, most: int = MAX_LIST) -> tuple[float, ...]:
        """Finite numbers, at most so many."""
        values = super().numbers(key, default, most=most)
        if not all(math.isfinite(value) and abs(value) < 3.41e38 for value in values):
            raise self.error(key, "finite numbers")
        return values

    def weights(self, name: str, *shape: int) -> npt.NDArray[Any]:
        """A blob of weights in a shape; without a shape, flat."""
        found = self.plain.blobs.get(name)
        if found is None:
            raise ModelError(f"has no {name}; expected a blob of that name: the .xml is incomplete")
        values = self._weights.array(found, name)
        if not values.flags.aligned:
            self.made(values.size)  # such memory cannot be shared with OpenVINO and is copied
        return importing.fitted(values, shape) if shape else values

    def maybe_weights(self, name: str, *shape: int) -> npt.NDArray[Any] | None:
        """A blob of weights in a shape, or None where the layer has none."""
        return self.weights(name, *shape) if name in self.plain.blobs else None

    def made(self, count: int) -> None:
        """Account for a constant of `count` values that is computed at import; refuse absurd sums of them."""
        self.context.made += count
        if self.context.made > MAX_MADE:
            raise ModelError(f"needs {count} computed values; expected at most {MAX_MADE} in the whole file")


class _AnyCase(LayerTable[Layer]):
    def builds(self, *kinds: str) -> Callable[[Callable[[Layer], Built]], Callable[[Layer], Built]]:
        return super().builds(*(kind.lower() for kind in kinds))


LAYERS = _AnyCase()
