"""Faces: detection with a network and a framing that suit them."""

from __future__ import annotations

from saccade.apps.detect import Detect
from saccade.config import RunConfig

DEFAULT_MODEL = "blazeface-full"


class Faces(Detect):
    """Passes on the faces that a detector finds."""

    name = "faces"


def preset(config: RunConfig) -> RunConfig:
    """The configuration with what it leaves open.

    The default network sees 192 px: a face of 80 to 120 px in a whole frame of 1920x1080 is too small for it. In tiles
    it finds all of them, for twice the inference.
    """
    model = config.model or DEFAULT_MODEL
    return config.replace(model=model, tiles=config.tiles or ("auto" if model == DEFAULT_MODEL else "off"))
