"""NumPy views of FFmpeg's pictures: nothing is copied, and each view keeps its picture alive.

What the planes mean in colour is said with them: matrix and range as the stream says, or by the rule that players go
by where it does not. The BGR pictures made of the same frame use the same matrix and range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saccade.frame import Decoder, Image, Matrix, PixelFormat

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
_COLOURS_OF_THEIR_OWN = ("rgb", "bgr", "gbr", "gray", "mono", "pal8", "0rgb", "argb", "abgr")
_LIMITED, _FULL = 1, 2  # AVColorRange

# AVColorSpace (ITU-T H.273 MatrixCoefficients) -> ours.
_MATRICES: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601"}
_SILENT = frozenset({0, 2, 3})
_NUMBERS: dict[Matrix, int] = {"bt709": 1, "bt601": 5}  # of swscale
HD_HEIGHT = 720
"""Video from this height on is BT.709 where the stream does not say, lower ones BT.601."""


class Colour(NamedTuple):
    """What YUV means. full_range : luma runs 0 to 255 rather than 16 to 235."""

    matrix: Matrix
    full_range: bool


class Planes(NamedTuple):
    """A decoded picture; see `saccade.frame.Frame` for planes and pixels. decode : makes BGR, None for BGR planes."""

    planes: tuple[Image, ...]
    pixels: PixelFormat
    colour: Colour
    decode: Decoder | None


def is_full_range(frame: av.VideoFrame) -> bool:
    """True where luma runs from 0 to 255; what does not say is limited, as video is."""
    return bool(frame.format.name.startswith("yuvj") or frame.color_range == _FULL)


def colour_of(frame: av.VideoFrame) -> Colour | None:
    """Matrix and range of a YUV frame; None for a matrix other than those of BT.601 and BT.709."""
    full_range = is_full_range(frame)
    space = int(frame.colorspace)
    if space in _SILENT:
        return Colour("bt709" if frame.height >= HD_HEIGHT else "bt601", full_range)
    matrix = _MATRICES.get(space)
    return None if matrix is None else Colour(matrix, full_range)


def planes_of(frame: av.VideoFrame) -> Planes:
    """The planes of a frame; those that no kernel reads are converted to 4:2:0 or BGR first."""
    name = frame.format.name
    if name != "bgr24" and name.startswith(_COLOURS_OF_THEIR_OWN):
        frame = frame.reformat(format="bgr24", dst_color_range=_FULL)
        name = "bgr24"
    if name == "bgr24":
        return Planes((_view(frame.planes[0], frame.width, 3),), "bgr", Colour("bt601", True), None)
    decode = Converter(frame)
    colour = colour_of(frame)
    if colour is None or name not in _FORMATS:
        frame, colour = _converted(frame, colour)
        name = "yuv420p"
    if name == "nv12":
        luma, chroma = frame.planes[:2]
        planes: tuple[Image, ...] = (_view(luma, luma.width, 1), _view(chroma, chroma.width, 2))
    else:
        planes = tuple(_view(plane, plane.width, 1) for plane in frame.planes[:3])
    return Planes(planes, _FORMATS[name], colour, decode)


class Converter:
    """Makes BGR pictures of a decoded YUV frame, full size or scaled down, straight from what was decoded."""

    __slots__ = ("_frame", "_range", "_space")

    def __init__(self, frame: av.VideoFrame) -> None:
        colour = colour_of(frame)
        self._frame = frame
        self._space = int(frame.colorspace) if colour is None else _NUMBERS[colour.matrix]
        self._range = _FULL if is_full_range(frame) else _LIMITED

    def __call__(self, min_height: int, min_width: int) -> Image:
        """uint8 (h, w, 3) BGR, at least the size asked for; (0, 0) for full size."""
        # At full size bicubic concerns chroma alone, as in the ffmpeg command; reduced pictures need not be as exact.
        frame, method = self._frame, "BICUBIC"
        width, height = frame.width, frame.height
        if 0 < min_height < height and 0 < min_width < width:
            share = max(min_height / height, min_width / width)
            width, height = max(min_width, round(width * share)), max(min_height, round(height * share))
            method = "BILINEAR"
        picture: Any = frame.to_ndarray(
            format="bgr24",
            width=width,
            height=height,
            interpolation=method,
            src_colorspace=self._space,
            src_color_range=self._range,
            dst_color_range=_FULL,
        )
        return picture  # type: ignore[no-any-return]


def _converted(frame: av.VideoFrame, colour: Colour | None) -> tuple[av.VideoFrame, Colour]:
    """The frame as 4:2:0 of 8 bits, in its own colours or, where no kernel knows them, in those of BT.709."""
    full_range = is_full_range(frame)
    target = colour or Colour("bt709", full_range)
    levels = _FULL if full_range else _LIMITED
    converted = frame.reformat(
        format="yuvj420p" if full_range else "yuv420p",
        src_colorspace=_NUMBERS[colour.matrix] if colour else int(frame.colorspace),
        dst_colorspace=_NUMBERS[target.matrix],
        src_color_range=levels,
        dst_color_range=levels,
    )
    return converted, target


def _view(plane: Any, width: int, channels: int) -> Image:
    """uint8 (h, w) or (h, w, channels); rows are as far apart as FFmpeg has them."""
    rows: Image = np.frombuffer(plane, np.uint8, plane.height * plane.line_size).reshape(plane.height, plane.line_size)
    view = rows[:, : width * channels]
    return view if channels == 1 else view.reshape(plane.height, width, channels)
