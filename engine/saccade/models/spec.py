"""What pixels a network was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Pixels as a network wants them: `(pixel - mean) / scale`, in BGR order unless `swap_rb`.

    width, height : px. dtype : float32, float16 or uint8. mean, scale : a value a channel, in the network's channel
    order. letterbox : keep the picture's aspect ratio and pad.
    """

    width: int
    height: int
    layout: Literal["nchw", "nhwc"] = "nchw"
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    mean: Triple = (0.0, 0.0, 0.0)
    scale: Triple = (1.0, 1.0, 1.0)
    swap_rb: bool = False
    letterbox: bool = False

    def preprocess_options(self) -> dict[str, Any]:
        """Keyword arguments of `kernels.Preprocess` that follow from the network."""
        return {
            "size": (self.height, self.width),
            "layout": self.layout,
            "dtype": self.dtype,
            "mean": self.mean,
            "scale": self.scale,
            "swap_rb": self.swap_rb,
            "letterbox": self.letterbox,
        }
