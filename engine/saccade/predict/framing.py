"""Which parts of a frame a network is shown, and how they become its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from saccade.errors import ConfigError
from saccade.frame import Frame
from saccade.geometry import WHOLE_FRAME, Region, View
from saccade.kernels import Preprocess
from saccade.networks.spec import InputSpec


class Framing(Protocol):
    """Chooses the regions of a frame.

    mirror : regions are those of the mirrored frame, and the network sees them mirrored.
    """

    mirror: bool

    def regions(self, width: int, height: int) -> tuple[Region, ...]:
        """Regions of a frame of that size, px."""


class Whole:
    """The whole frame at once; of a network that wants a crop, the largest centred part of its aspect ratio."""

    mirror = False

    def __init__(self, spec: InputSpec) -> None:
        self._aspect = spec.width / spec.height if spec.resize == "crop" else None

    def regions(self, width: int, height: int) -> tuple[Region, ...]:
        """One region."""
        if self._aspect is None:
            return (WHOLE_FRAME,)
        part = self._aspect * height / width
        if part < 1:
            return (((1 - part) / 2, 0.0, part, 1.0),)
        return ((0.0, (1 - 1 / part) / 2, 1.0, 1 / part),)


class Parts:
    """Only these parts of the frame; each is framed as a picture of its own.

    parts : x, y, width and height of each, as parts of the frame; where a number is above 1, source px. What reaches
    beyond the frame is cut off. framing : of each part.
    """

    def __init__(self, parts: Sequence[Region], framing: Framing) -> None:
        self._parts = tuple(parts)
        self._framing = framing
        self.mirror = framing.mirror

    def regions(self, width: int, height: int) -> tuple[Region, ...]:
        """Regions of all parts; raises ConfigError where one lies outside a frame of that size."""
        found: list[Region] = []
        for part in self._parts:
            x, y, w, h = _in_frame(part, width, height)
            if self.mirror:
                x = 1 - x - w
            inner = self._framing.regions(max(round(w * width), 1), max(round(h * height), 1))
            found += [(x + left * w, y + top * h, across * w, down * h) for left, top, across, down in inner]
        return tuple(found)


def _in_frame(part: Region, width: int, height: int) -> Region:
    """What lies of a part in a frame of that size, as a part of it."""
    x, y, w, h = part
    if max(part) > 1:
        x, w, y, h = x / width, w / width, y / height, h / height
    if x >= 1 or y >= 1:
        shown = ",".join(f"{value:g}" for value in part)
        raise ConfigError(f"regions: {shown} lies outside the picture, which is {width}x{height}")
    return x, y, min(w, 1 - x), min(h, 1 - y)


def make_plan(frame: Frame, spec: InputSpec, region: Region, *, mirror: bool = False) -> tuple[Preprocess, View]:
    """A preprocess plan from a frame's planes to a network input, and the input's place in the source frame.

    The region is given in parts of the frame; at least one pixel of the planes is always taken.
    """
    height, width = frame.planes[0].shape[:2]
    x = min(max(round(region[0] * width), 0), width - 1)
    y = min(max(round(region[1] * height), 0), height - 1)
    w = min(max(round(region[2] * width), 1), width - x)
    h = min(max(round(region[3] * height), 1), height - y)
    plan = Preprocess(
        source=(height, width),
        pixels=frame.pixels,
        roi=(x, y, w, h),
        mirror=mirror,
        full_range=frame.full_range,
        matrix=frame.matrix,
        **spec.preprocess_options(),
    )
    sx, sy, tx, ty = plan.to_source
    to_frame_x, to_frame_y = frame.width / width, frame.height / height
    return plan, View(sx * to_frame_x, sy * to_frame_y, tx * to_frame_x, ty * to_frame_y)


def least_size_for(spec: InputSpec, region: Region, width: int, height: int) -> tuple[int, int]:
    """(height, width) of the smallest picture of a frame that still fills the network's input from the region."""
    need_w, need_h = spec.width / (region[2] * width), spec.height / (region[3] * height)
    if spec.letterbox:
        need_w = need_h = min(need_w, need_h)
    return min(height, round(need_h * height)), min(width, round(need_w * width))
