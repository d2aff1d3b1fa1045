"""Classification of the whole frame, by every head that the network has."""

from __future__ import annotations

from saccade.pipeline import App

DEFAULT_MODEL = "dog-or-cat"

MOST_CLASSES = 5
"""How many classes are reported where nobody says otherwise."""


class Classify(App):
    """Passes on the best classes of each frame."""

    name = "classify"
