"""NumPy views of FFmpeg's pictures: nothing is copied, and each view keeps its picture alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from saccade.frame import Image, PixelFormat

if TYPE_CHECKING:
    import av

# FFmpeg's name -> ours; what is not here (10 bit, 4:4:4, RGB) is converted by FFmpeg.
_FORMATS: dict[str, PixelFormat] = {
    "yuv420p": "i420",
    "yuvj420p": "i420",
    "yuv422p": "i420",
    "yuvj422p": "i420",
    "nv12": "nv12",
    "bgr24": "bgr",
}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def planes_of(frame: av.VideoFrame) -> tuple[tuple[Image, ...], PixelFormat, bool] | None:
    """Planes of a decoded picture as views, their form, and whether luma is full range; None for other formats."""
    name = frame.format.name
    form = _FORMATS.get(name)
    if form is None:
        return None
    if form == "bgr":
        return (_view(frame.planes[0], frame.width, 3),), form, True
    full_range = name.startswith("yuvj") or frame.color_range == _FULL_RANGE
    if form == "nv12":
        luma, chroma = frame.planes[:2]
        return (_view(luma, luma.width, 1), _view(chroma, chroma.width, 2)), form, full_range
    return tuple(_view(plane, plane.width, 1) for plane in frame.planes[:3]), form, full_range


def _view(plane: Any, width: int, channels: int) -> Image:
    """uint8 (h, w) or (h, w, channels); rows are as far apart as FFmpeg has them."""
    rows: Image = np.frombuffer(plane, np.uint8, plane.height * plane.line_size).reshape(plane.height, plane.line_size)
    view = rows[:, : width * channels]
    return view if channels == 1 else view.reshape(plane.height, width, channels)
