"""Builders of the legacy layer types; importing the package fills the layer table."""

from saccade.formats.legacy_ir.ops import (
    arithmetic,
    convolution,
    detection,
    detectron,
    indexing,
    memory,
    pooling,
    quantised,
    recurrent,
    regions,
    resizing,
    shape,
    sparse,
)

__all__ = [
    "arithmetic",
    "convolution",
    "detection",
    "detectron",
    "indexing",
    "memory",
    "pooling",
    "quantised",
    "recurrent",
    "regions",
    "resizing",
    "shape",
    "sparse",
]
