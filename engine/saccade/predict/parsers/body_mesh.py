"""MediaPipe's landmarks of a hand or a body that fills the view: points in space, and whether it is there.

Format: mediapipe `tensors_to_landmarks_calculator` and the graphs of `hand_landmark` and `pose_landmark`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from saccade.networks.network import Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import FARTHEST, MEDIAPIPE, chance_of, size_of
from saccade.results import Landmarks


@dataclass(frozen=True, slots=True)
class Mesh:
    """One of them.

    points : of which the first `shown` are what it is about; the others help to find the next view. columns : numbers a
    point, the first three x, y, z. beside : sizes of its other outputs, in ascending order, in one of the forms that
    the files have.
    """

    family: str
    points: int
    shown: int
    columns: int
    beside: tuple[tuple[int, ...], ...]


MESHES = (
    Mesh("hand-mesh", 21, 21, 3, ((1, 1), (1, 1, 63))),  # there, which hand; the points in metres
    Mesh("pose-mesh", 39, 33, 5, ((1, 117, 256 * 256, 64 * 64 * 39),)),  # there; metres, the body's mask, maps of heat
)


def claims(evidence: Evidence) -> Claims:
    """As many numbers as one of them has, beside outputs of the sizes that it has."""
    sizes = [size_of(port) for port in evidence.outputs]
    for mesh in MESHES:
        numbers = mesh.points * mesh.columns
        if numbers not in sizes:
            continue
        others = sorted(sizes)
        others.remove(numbers)
        if tuple(others) in mesh.beside:
            found = [port for port in evidence.outputs if size_of(port) == numbers]
            # Those in px reach farther than those in metres.
            points = max(found, key=lambda port: float(np.abs(np.nan_to_num(evidence.values[port.name])).max()))
            score = next(port for port in evidence.outputs if size_of(port) == 1)
            pixels = MEDIAPIPE | {"scale": (255.0,) * 3}
            why = f"{mesh.points} points and a score"
            yield Claim(mesh.family, "landmarks", 2, why, MeshPoints(mesh, points, score), pixels)


class MeshPoints:
    """Points with depth, and the probability that the object is there."""

    task: Task = "landmarks"
    names: tuple[str, ...] = ()
    defaults = Settings()

    def __init__(self, mesh: Mesh, points: Port, score: Port) -> None:
        self.family = mesh.family
        self._mesh = mesh
        self._points = points.name
        self._score = score

    def parse(self, outputs: Outputs, settings: Settings) -> Landmarks:
        """Points, x right, y down, z away from the camera, px of the input."""
        mesh = self._mesh
        values = np.nan_to_num(outputs[self._points].reshape(mesh.points, mesh.columns)[: mesh.shown, :3])
        return Landmarks(np.clip(values, -FARTHEST, FARTHEST), chance_of(outputs, self._score))
