"""MediaPipe's face mesh: 468 points in space and whether there is a face at all."""

from __future__ import annotations

import numpy as np

from saccade.networks.network import Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import FARTHEST, MEDIAPIPE, chance_of, size_of
from saccade.results import Landmarks

POINTS = 468


def claims(evidence: Evidence) -> Claims:
    """Two outputs of 3 x 468 numbers and of one."""
    ports = sorted(evidence.outputs, key=size_of, reverse=True)
    if [size_of(port) for port in ports] == [POINTS * 3, 1]:
        parser = FaceMesh(*ports)
        yield Claim("face-mesh", "landmarks", 2, "468 points and a score", parser, MEDIAPIPE | {"scale": (255.0,) * 3})


class FaceMesh:
    """Points with depth, and the face's probability."""

    family = "face-mesh"
    task: Task = "landmarks"
    names: tuple[str, ...] = ()
    defaults = Settings()

    def __init__(self, points: Port, score: Port) -> None:
        self._points = points.name
        self._score = score

    def parse(self, outputs: Outputs, settings: Settings) -> Landmarks:
        """Points, x right, y down, z away from the camera."""
        points = np.clip(np.nan_to_num(outputs[self._points].reshape(POINTS, 3)), -FARTHEST, FARTHEST)
        return Landmarks(points, chance_of(outputs, self._score))
