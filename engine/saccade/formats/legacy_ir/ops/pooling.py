"""Pooling."""

from __future__ import annotations

from saccade.formats import layers
from saccade.formats.layers import Value
from saccade.formats.legacy_ir.ops.convolution import sizes
from saccade.formats.legacy_ir.ops.windows import window
from saccade.formats.legacy_ir.table import LAYERS, Layer


@LAYERS.builds("Pooling")
def pooling(layer: Layer) -> Value:
    """Rounding attributes contradict the declared sizes in real files; the sizes win.

    The engine ignores `exclude-pad="false"` where nothing is padded in front, and counts padding behind only as far
    as in front (pooling node of the engine's CPU plugin).
    """
    _, out = sizes(layer)
    method = layer.choice("pool-method", ("max", "avg"), "max")
    w = window(layer, out)
    if method == "max":
        return layers.max_pool(layer.input(), w, out)
    exclude = layer.boolean("exclude-pad", False) or not any(w.pads)
    if not exclude:
        layer.made(out[0] * out[-1])
    return layers.avg_pool(layer.input(), w, out, exclude_pad=exclude)
