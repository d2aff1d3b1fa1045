"""The attributes of a sliding window, in both dialects."""

from __future__ import annotations

from dataclasses import dataclass

from saccade.models import layers
from saccade.models.legacy_ir.table import Node

_AXES = ("z", "y", "x")


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window; one number per spatial axis, outermost first."""

    kernel: list[int]
    strides: list[int]
    begin: list[int]
    dilations: list[int]


def window(node: Node, out: tuple[int, ...] | None) -> Window:
    """Read kernel, strides, pads and dilations.

    The begin pads follow from `out`, the number of window positions, where `auto_pad` asks for it. End pads are not
    read at all: they follow from the declared shapes.
    """
    rank = len(node.spatial())
    kernel = _numbers(node, rank, "kernel", None, 1)
    strides = [max(1, s) for s in _numbers(node, rank, "strides", 1, 0, old="stride")]
    begin = _numbers(node, rank, "pads_begin", 0, 0, old="pad")
    dilations = [max(1, d) for d in _numbers(node, rank, "dilations", 1, 0, old="dilation")]
    for name, values in (("kernel", kernel), ("stride", strides), ("padding", begin), ("dilation", dilations)):
        if any(v > 65_536 for v in values):
            raise node.fail(f"has a {name} of {max(values)}; expected at most 65536")
    auto = node.text("auto_pad", "").lower()
    if auto in ("same_upper", "same_lower") and out is not None:
        total = [max(0, t) for t in layers.end_pads(node.spatial(), out, kernel, strides, dilations, [0] * rank)]
        begin = [t // 2 if auto == "same_upper" else t - t // 2 for t in total]
    elif auto == "valid":
        begin = [0] * rank
    return Window(kernel, strides, begin, dilations)


def _numbers(node: Node, rank: int, name: str, default: int | None, low: int, *, old: str = "") -> list[int]:
    """Read one number per axis: as a list, or in version 2 as one attribute per axis, which may be given for both."""
    if node.has(name):
        values = node.ints(name, low=low)
        if len(values) != rank:
            raise node.fail(f"attribute {name} has {len(values)} numbers; expected {rank}, one per spatial axis")
        return values
    return [node.integer(f"{old or name}-{axis}", default, low=low) for axis in _AXES[-rank:]]
