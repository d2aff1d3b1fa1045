"""JPEG encoding for everything that leaves the engine as a picture."""

from __future__ import annotations

from typing import Literal

from saccade.frame import Image


def encode_jpeg(picture: Image, *, quality: int = 80, subsampling: Literal["420", "422", "444"] = "420") -> bytes:
    """JFIF bytes of `picture`, uint8 (h, w, 3) BGR; quality 1-100."""
    from saccade.capture import jpeg

    return jpeg.encode(picture, quality=quality, subsampling=subsampling, fast=quality < 90)
