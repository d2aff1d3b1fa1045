"""Pooling."""

from __future__ import annotations

from saccade.models import layers
from saccade.models.layers import Value
from saccade.models.legacy_ir.ops.windows import window
from saccade.models.legacy_ir.table import Node, layer


@layer("Pooling")
def pooling(node: Node) -> Value:
    """Rounding attributes contradict the declared sizes in real files; the sizes win.

    The engine ignores `exclude-pad="false"` where nothing is padded in front, and counts padding behind only as far
    as in front (pooling node of the engine's CPU plugin).
    """
    out = node.out()[2:]
    if len(out) != len(node.spatial()):
        raise node.fail(f"makes shape {list(node.out())} from {list(node.dims())}; expected as many axes")
    method = node.choice("pool-method", ("max", "avg"), "max")
    w = window(node, out)
    if method == "max":
        return layers.max_pool(node.input(0), kernel=w.kernel, strides=w.strides, pads_begin=w.begin, out=out)
    exclude = node.flag("exclude-pad", False) or not any(w.begin)
    if not exclude:
        node.made(out[0] * out[-1])
    return layers.avg_pool(
        node.input(0), kernel=w.kernel, strides=w.strides, pads_begin=w.begin, out=out, exclude_pad=exclude
    )
