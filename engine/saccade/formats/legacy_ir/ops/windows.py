"""The attributes of a sliding window, in both dialects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from saccade.errors import ModelError
from saccade.formats.layers import Window
from saccade.formats.legacy_ir.table import Layer

_AXES = ("z", "y", "x")


def window(layer: Layer, out: tuple[int, ...] | None) -> Window:
    """Read kernel, strides, pads and dilations.

    The begin pads follow from `out`, the number of window positions, where `auto_pad` asks for it. End pads are not
    read at all: they follow from the declared shapes.
    """
    rank = len(layer.spatial())
    kernel = _numbers(layer, rank, "kernel", None, 1)
    strides = tuple(max(1, s) for s in _numbers(layer, rank, "strides", 1, 0, old="stride"))
    dilations = tuple(max(1, d) for d in _numbers(layer, rank, "dilations", 1, 0, old="dilation"))
    found = Window(kernel, strides, _numbers(layer, rank, "pads_begin", 0, 0, old="pad"), dilations)
    auto = layer.text("auto_pad", "").lower()
    bare = replace(found, pads=(0,) * rank)
    if auto in ("same_upper", "same_lower") and out is not None:
        return replace(found, pads=same_pads(auto, bare.ends(layer.spatial(), out)))
    return bare if auto == "valid" else found


def same_pads(auto: str, total: Sequence[int]) -> tuple[int, ...]:
    """Padding in front of each axis: half of all that there is, the odd pixel behind (same_upper) or in front."""
    return tuple(max(0, t // 2 if auto == "same_upper" else t - t // 2) for t in total)


def _numbers(layer: Layer, rank: int, name: str, default: int | None, low: int, *, old: str = "") -> tuple[int, ...]:
    """Read one number per axis: as a list, or in version 2 as one attribute per axis, which may be given for both."""
    if name in layer:
        values = layer.integers(name, least=low)
        if len(values) != rank:
            raise ModelError(f"attribute {name} has {len(values)} numbers; expected {rank}, one per spatial axis")
        return values
    return tuple(layer.integer(f"{old or name}-{axis}", default, least=low) for axis in _AXES[-rank:])
