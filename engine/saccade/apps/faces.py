"""Faces (or any other objects): a detector on the whole frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from saccade.frame import Frame
from saccade.pipeline import WHOLE_FRAME, Region, View, least_size_for
from saccade.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from saccade.models import Model
    from saccade.models.tasks import Detector

DEFAULT_MODEL = "blazeface-full"


class Faces:
    """Runs a detector on each frame; boxes come out in source pixels."""

    name = "faces"
    mirror = False

    def __init__(self, model: Model, detector: Detector, *, threshold: float = 0.5) -> None:
        self.model = model
        self.model_name = model.name
        self.detector = detector
        self.threshold = threshold
        self.input = detector.spec

    def region(self, frame: Frame) -> Region:
        """The whole frame."""
        return WHOLE_FRAME

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """The network's input, letterboxed or stretched into the frame."""
        return least_size_for(self.input, WHOLE_FRAME, width, height)

    def interpret(self, frame: Frame, outputs: Mapping[str, NDArray[np.float32]], view: View) -> Result:
        """Detections, best first."""
        return Result(
            frame=frame.sequence,
            time=frame.time,
            app=self.name,
            width=frame.width,
            height=frame.height,
            detections=self.detector.decode(outputs, view.as_tuple(), score_threshold=self.threshold),
        )

    def close(self) -> None:
        """Nothing to let go of."""
