"""Semantic segmentation: a class for each pixel of the frame."""

from __future__ import annotations

from saccade.pipeline import App


class Segment(App):
    """Passes on the map of classes of each frame."""

    name = "segment"
