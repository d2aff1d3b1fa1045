"""What each MXNet operator computes at inference, as pieces of an `ov.Model` graph; importing it fills the table.

Defaults and corner cases are those of MXNet 1.9, which also hold for older symbols. Everything in the graph is
float32, as it is in MXNet for these networks: comparisons give 0 and 1, indices are floats until they are used.
"""

from saccade.formats.mxnet.graph import LAYERS
from saccade.formats.mxnet.ops import (
    arithmetic,
    convolution,
    detection,
    indexing,
    normalisation,
    reduction,
    resizing,
    shape,
)
from saccade.formats.mxnet.symbol import LOSSES, PASS_THROUGH

__all__ = [
    "arithmetic",
    "convolution",
    "detection",
    "indexing",
    "normalisation",
    "reduction",
    "resizing",
    "shape",
]

LAYERS |= {name: lambda layer: layer.input() for name in (PASS_THROUGH | LOSSES) - LAYERS.keys()}
