"""Growing and shrinking of pictures."""

from __future__ import annotations

import math

from saccade.errors import ModelError
from saccade.formats import layers
from saccade.formats.layers import Value, Window, dims
from saccade.formats.mxnet.graph import LAYERS, Layer


@LAYERS.builds("UpSampling")
def _up_sampling(layer: Layer) -> Value:
    scale = layer.integer("scale", 1)
    if not 1 <= scale <= 64:
        raise ModelError(f"has scale={scale}; expected 1 to 64")
    if layer.choice("sample_type", ("nearest", "bilinear"), "nearest") == "bilinear":
        channels, kernel, pad = layer.dims()[1], 2 * scale - scale % 2, math.ceil((scale - 1) / 2)
        window = Window(*((number,) * 2 for number in (kernel, scale, pad, 1)))
        weights = layer.weights(1, channels, 1, kernel, kernel)
        return layers.deconvolution(layer.input(), weights, None, window, groups=channels)
    values = layer.values()
    height = dims(values[0])[2] * scale
    if any(height % dims(value)[2] for value in values):
        raise ModelError(f"cannot bring its inputs {layer.shapes()} to the height {height}")
    grown = [layers.upsample(value, height // dims(value)[2]) for value in values]
    if layer.choice("multi_input_mode", ("concat", "sum"), "concat") == "sum":
        return layers.binary("add", *grown)
    return layers.concat(grown, 1)


@LAYERS.builds("BilinearResize2D")
def _bilinear_resize(layer: Layer) -> Value:
    x = layer.input()
    height, width = dims(x)[2:]
    mode = layer.text("mode", "size")
    align = "align_corners" if layer.boolean("align_corners", True) else "half_pixel"
    scale = [layer.number(key, 0) for key in ("scale_height", "scale_width")]
    if not all(math.isfinite(s) for s in scale):
        raise ModelError(f"has scale_height {scale[0]} and scale_width {scale[1]}; expected finite numbers")
    if mode == "like":
        size = layer.dims(1)[2:]
    elif mode == "odd_scale":
        # Grows by the factor between pixel centres: an odd size stays odd.
        size = tuple(
            int(n * s) if not n % 2 else int((n - 1) * s) + 1 for n, s in zip((height, width), scale, strict=True)
        )
    elif mode == "size":
        given = (layer.integer("height", 1), layer.integer("width", 1))
        size = tuple(int(n * s) if s else g for n, s, g in zip((height, width), scale, given, strict=True))
    elif mode in ("to_even_down", "to_even_up", "to_odd_down", "to_odd_up"):
        odd, step = int("odd" in mode), 1 if mode.endswith("up") else -1
        size = tuple(n if n % 2 == odd else n + step for n in (height, width))
    else:
        raise ModelError(f"has mode={mode}, which MXNet does not have")
    if min(size) < 1:
        raise ModelError(f"has the size {size}; expected positive numbers")
    layers.check_size((*dims(x)[:2], *size), "its result")
    return layers.resize_linear(x, (size[0], size[1]), align)
