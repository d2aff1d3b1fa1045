"""Classification of the whole frame."""

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
    from saccade.models.tasks import Classifier


class Classify:
    """The best `top` classes of each frame. The frame is stretched into the network's input, as DeepLens did."""

    name = "classify"
    mirror = False

    def __init__(self, model: Model, classifier: Classifier, *, top: int = 5) -> None:
        self.model = model
        self.model_name = model.name
        self.classifier = classifier
        self.input = classifier.spec
        self.top = top

    def region(self, frame: Frame) -> Region:
        """The whole frame."""
        return WHOLE_FRAME

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """The network's input."""
        return least_size_for(self.input, WHOLE_FRAME, width, height)

    def interpret(self, frame: Frame, outputs: Mapping[str, NDArray[np.float32]], view: View) -> Result:
        """Classes, best first."""
        return Result(
            frame=frame.sequence,
            time=frame.time,
            app=self.name,
            width=frame.width,
            height=frame.height,
            classes=self.classifier.decode(outputs).top(self.top),
        )

    def close(self) -> None:
        """Nothing to let go of."""
