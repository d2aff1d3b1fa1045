"""What pixels a network was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from saccade.formats.quantised import Quantisation

Triple = tuple[float, float, float]
Resize = Literal["stretch", "letterbox", "letterbox-top-left", "crop"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Pixels as a network wants them: `(pixel - mean) / scale`, in BGR order unless `swap_rb`.

    width, height : px. channels : 3, or 1 for grey. dtype : float32, float16, uint8 or int8. mean, scale : a value a
    channel, in the network's channel order.
    resize : stretch; letterbox (keep the aspect ratio, centred, padded), letterbox-top-left (the same, padded at the
        right and at the bottom); crop (the largest centred part of the input's aspect ratio).
    pad : pixel value of the padding, 0 to 255.
    round_down : the size of a picture that is padded is rounded down, not to the nearest pixel.
    quantisation : of an integer input: it takes round(x / scale) + zero_point of the value x above, saturated.
    """

    width: int
    height: int
    layout: Literal["nchw", "nhwc"] = "nchw"
    dtype: Literal["float32", "float16", "uint8", "int8"] = "float32"
    mean: Triple = (0.0, 0.0, 0.0)
    scale: Triple = (1.0, 1.0, 1.0)
    swap_rb: bool = False
    resize: Resize = "stretch"
    pad: int = 0
    channels: int = 3
    round_down: bool = False
    quantisation: Quantisation | None = None

    @property
    def letterbox(self) -> bool:
        """Whether the picture is padded to the input's aspect ratio."""
        return self.resize.startswith("letterbox")

    def preprocess_options(self) -> dict[str, Any]:
        """Keyword arguments of `kernels.Preprocess` that follow from the network."""
        mean, scale = self.stored()
        letterbox = {"letterbox": "centre", "letterbox-top-left": "top-left"}.get(self.resize, "")
        return {
            "size": (self.height, self.width),
            "layout": self.layout,
            "dtype": self.dtype,
            "mean": mean,
            "scale": scale,
            "swap_rb": self.swap_rb,
            "letterbox": letterbox + "-down" * self.round_down if letterbox else False,
            "pad": self.pad,
        }

    def stored(self) -> tuple[Triple, Triple]:
        """Mean and scale that lead from a pixel to the number that the input stores.

        A quantised input whose mapping is that of the pixel itself but for rounding (the usual case: it was calibrated
        for [0, 1], [-1, 1] or [0, 255]) takes the pixel itself, as TensorFlow Lite's own tools feed it.
        """
        if self.quantisation is None:
            return self.mean, self.scale
        step, zero = self.quantisation
        scale = tuple(s * step for s in self.scale)
        mean = tuple(m - zero * s for m, s in zip(self.mean, scale, strict=True))
        middle = 128.0 if self.dtype == "int8" else 0.0
        if all(abs((p - m) / s - (p - middle)) <= 1.01 for m, s in zip(mean, scale, strict=True) for p in (0, 255)):
            return (middle,) * 3, (1.0,) * 3
        return (mean[0], mean[1], mean[2]), (scale[0], scale[1], scale[2])
