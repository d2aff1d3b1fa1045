"""Builders of the legacy layer types; importing the package fills the layer table."""

from saccade.models.legacy_ir.ops import (
    arithmetic,
    convolution,
    detection,
    indexing,
    pooling,
    recurrent,
    regions,
    resizing,
    shape,
)

__all__ = [
    "arithmetic",
    "convolution",
    "detection",
    "indexing",
    "pooling",
    "recurrent",
    "regions",
    "resizing",
    "shape",
]
