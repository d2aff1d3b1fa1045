"""Objects of any detector: boxes, with masks, key points or corners where the network gives them."""

from __future__ import annotations

from saccade.pipeline import App


class Detect(App):
    """Passes on what a detector finds."""

    name = "detect"
