"""JPEG encoding for everything that leaves the engine as a picture."""

from __future__ import annotations

from typing import Literal

import numpy as np

from saccade.frame import Image


def encode_jpeg(picture: Image, *, quality: int = 80, subsampling: Literal["420", "422", "444"] = "420") -> bytes:
    """JFIF bytes of `picture`, uint8 (h, w, 3) BGR; quality 1-100."""
    import simplejpeg

    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(picture),
        quality=quality,
        colorspace="BGR",
        colorsubsampling=subsampling,
        fastdct=quality < 90,
    )
    return data
