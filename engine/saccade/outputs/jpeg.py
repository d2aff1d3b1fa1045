"""JPEG encoding for everything that leaves the engine as a picture."""

from __future__ import annotations

from saccade.frame import Image


def encode_jpeg(picture: Image, *, quality: int = 80) -> bytes:
    """JFIF bytes of `picture`, uint8 (h, w, 3) BGR; quality 1-100."""
    from saccade.capture import jpeg

    return jpeg.encode(picture, quality=quality, fast=quality < 90)
