"""Faces (or any other objects): a detector on the whole frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from saccade.apps.whole_frame import WholeFrame
from saccade.frame import Frame
from saccade.pipeline import View
from saccade.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from saccade.models import Model
    from saccade.models.tasks import Detector

DEFAULT_MODEL = "blazeface-full"


class Faces(WholeFrame):
    """Runs a detector on each frame; boxes come out in source pixels."""

    name = "faces"

    def __init__(self, model: Model, detector: Detector, *, threshold: float = 0.5) -> None:
        super().__init__(model, detector.spec)
        self.detector = detector
        self.threshold = threshold

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
