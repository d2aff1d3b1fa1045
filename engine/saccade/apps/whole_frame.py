"""What apps have in common whose network looks at the whole frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saccade.frame import Frame
from saccade.pipeline import WHOLE_FRAME, Region, least_size_for

if TYPE_CHECKING:
    from saccade.models import Model
    from saccade.models.spec import InputSpec


class WholeFrame:
    """Shows the network the whole frame, letterboxed or stretched as its input wants it."""

    mirror = False

    def __init__(self, model: Model, spec: InputSpec) -> None:
        self.model = model
        self.model_name = model.name
        self.input = spec

    def region(self, frame: Frame) -> Region:
        """The whole frame."""
        return WHOLE_FRAME

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """The network's input."""
        return least_size_for(self.input, WHOLE_FRAME, width, height)

    def close(self) -> None:
        """Nothing to let go of."""
