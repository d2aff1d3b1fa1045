"""Classification of the whole frame."""

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
    from saccade.models.tasks import Classifier


class Classify(WholeFrame):
    """The best `top` classes of each frame. The frame is stretched into the network's input, as DeepLens did."""

    name = "classify"

    def __init__(self, model: Model, classifier: Classifier, *, top: int = 5) -> None:
        super().__init__(model, classifier.spec)
        self.classifier = classifier
        self.top = top

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
