"""What can be seen of a network before it is used: ports, metadata, and one run if need be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from saccade.errors import UnsupportedError
from saccade.networks.network import Floats, Network, Port
from saccade.predict.metadata import Metadata
from saccade.predict.parser import Parser, Task

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Evidence:
    """A network from outside.

    metadata : what its files say. task, head : what the user says, or empty.
    names : class names, the user's before the files'.
    """

    network: Network
    metadata: Metadata = field(default_factory=Metadata)
    task: str = ""
    head: str = ""
    names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The network's name, for messages; never evidence."""
        return self.network.name

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The output ports."""
        return self.network.outputs

    @cached_property
    def picture(self) -> Port:
        """The input that takes the picture."""
        return picture_port(self.network)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture input, px."""
        shape = self.picture.shape
        return (shape[2], shape[3]) if is_nchw(shape) else (shape[1], shape[2])

    def grid(self, stride: int) -> tuple[int, int]:
        """(rows, columns) of the grid of a stride, px, on the input."""
        height, width = self.size
        return -(-height // stride), -(-width // stride)

    def cells(self, *strides: int) -> int:
        """Cells of all grids of these strides on the input."""
        return sum(prod(self.grid(stride)) for stride in strides)

    def shapes(self) -> list[Shape]:
        """Shapes of the outputs without leading ones."""
        return [bare(port.shape) for port in self.outputs]

    @cached_property
    def values(self) -> Mapping[str, Floats]:
        """Outputs of one run on a made-up picture: the last resort where shapes and graph leave room for doubt.

        The picture is smooth noise from 0 to 255, scaled to [0, 1] where the input takes floats: only coarse
        properties (of what size are the numbers?) are to be read from it.
        """
        rng = np.random.default_rng(7)
        arrays: dict[str, Any] = {}
        for port in self.network.inputs:
            coarse = rng.random([1 if i == 0 else max(1, -(-d // 16)) for i, d in enumerate(port.shape)])
            noise = coarse
            for axis, extent in enumerate(port.shape):
                noise = noise.repeat(-(-extent // noise.shape[axis]), axis=axis).take(range(extent), axis=axis)
            whole = noise if port.dtype.kind == "f" else noise * 127
            arrays[port.name] = whole.astype(port.dtype)
        return self.network.infer(arrays)


@dataclass(frozen=True, slots=True)
class Claim:
    """A family says: this network is one of mine.

    certainty : 3, the file says so; 2, nothing else has such outputs; 1, the outputs fit.
    why : what decided, in words a user understands.
    parser : reads its outputs. input : `InputSpec` fields that the family was trained with, by name.
    fixed : values of further inputs, by name.
    """

    family: str
    task: Task
    certainty: int
    why: str
    parser: Parser
    input: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A family says: I know what this is, but it cannot be read as it is.

    certainty : as of a claim; 0: the outputs are nearly those of the family. why : what is missing, and what to do.
    """

    family: str
    task: Task
    certainty: int
    why: str


Claims = Iterator[Claim | Refusal]


def bare(shape: Shape) -> Shape:
    """A shape without its leading ones."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def is_nchw(shape: Shape) -> bool:
    """Whether a picture input has its channels first."""
    return shape[1] in (1, 3, 4) and not (shape[3] in (1, 3, 4) and shape[1] > shape[3])


def picture_port(network: Network) -> Port:
    """The input that takes a picture: the first of rank four with one or three channels.

    Raises UnsupportedError where there is none.
    """
    for port in network.inputs:
        if len(port.shape) == 4 and {port.shape[1], port.shape[3]} & {1, 3}:
            return port
    inputs = ", ".join(f"{port.name} {list(port.shape)} {port.dtype.name}" for port in network.inputs)
    raise UnsupportedError(f"{network.name}: none of its inputs is a picture of one or three channels ({inputs})")
