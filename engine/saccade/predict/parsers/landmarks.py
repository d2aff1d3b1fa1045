"""Regressors of landmarks: x, y of each point of the one object that fills the network's view.

That a vector holds points is not to be seen from its form: the user, or the file, says so. Only five points that a
sigmoid makes are known by themselves, if they lie as those of a face do (Open Model Zoo, landmarks-regression-retail).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import FARTHEST, size_of
from saccade.predict.parsers.dense import table
from saccade.predict.parsers.vectors import is_said, is_vector, vectors
from saccade.results import Landmarks

Coding = Literal["parts", "centred", "px"]
"""Points in [0, 1] of the input, in [-1, 1] of it, or px of it."""

LEAST = 3
"""Points that a vector must have room for."""
FACE = 5
MARKED = (21, 29, 35, 68, 98, 106, 194)
"""Usual numbers of points."""

_NEAR_ONE = 2.0
"""What numbers that are parts of the input do not reach, and those in px do."""


def claims(evidence: Evidence) -> Claims:
    """An even vector, or a table of pairs or triples, where it is said to hold points or shows a face's five."""
    if is_said(evidence, "landmarks", "landmark", "keypoints", "facial-landmarks"):
        ports = [port for port in evidence.outputs if _columns(port)]
        if len(ports) == 1 and not _has_rows_beside(evidence, ports[0]):
            certainty = 1 if evidence.task == "landmarks" else 3
            yield _claim(evidence, ports[0], certainty, "said to be landmarks")
        return
    found = vectors(evidence)
    if len(found) != 1 or found[0].layer_type != "Sigmoid" or evidence.names or is_said(evidence, "classify"):
        return
    points = size_of(found[0]) / 2
    if points == FACE and _is_face(evidence.values[found[0].name].reshape(FACE, 2)):
        yield _claim(evidence, found[0], 2, "five points that a sigmoid makes, and that lie as a face's")
    elif points in MARKED:
        yield _claim(evidence, found[0], 1, "as many numbers from a sigmoid as x and y of a usual set of points")


def _claim(evidence: Evidence, port: Port, certainty: int, why: str) -> Claim:
    coding = coding_of(evidence.values[port.name].reshape(-1, _columns(port))[:, :2])
    parser = Points(port, coding, evidence.size)
    unit = {"parts": "in [0, 1] of the input", "centred": "in [-1, 1] of the input", "px": "in px of the input"}[coding]
    return Claim("landmarks", "landmarks", certainty, f"{why}: {parser.count} points {unit}", parser)


def _has_rows_beside(evidence: Evidence, port: Port) -> bool:
    """Whether a table has as many rows as another one: then its rows are those of candidates, not points."""
    if is_vector(port):
        return False
    rows = [shape[0] for other in evidence.outputs if other is not port and (shape := table(other)) is not None]
    return port.shape[-2] in rows


def _columns(port: Port) -> int:
    """Numbers a point: 2 of an even vector and of pairs, 3 of triples; 0: no points, as where a softmax makes them."""
    if port.layer_type == "Softmax":
        return 0
    if is_vector(port):
        return 2 if size_of(port) % 2 == 0 and size_of(port) >= 2 * LEAST else 0
    shape = table(port)
    return shape[1] if shape is not None and shape[0] > 1 and shape[1] in (2, 3) else 0


def coding_of(values: Floats) -> Coding:
    """What the points of one run are: px where some lie beyond any part of the input, else by where their middle is."""
    finite = values[np.isfinite(values)]
    if finite.size and float(np.abs(finite).max()) >= _NEAR_ONE:
        return "px"
    return "centred" if finite.size and float(finite.mean()) < 0.2 and float(finite.min()) < -0.2 else "parts"


def _is_face(points: Floats) -> bool:
    """Whether five points are two eyes above a nose above two corners of a mouth, on matching sides."""
    (x, y), least = points.T, 0.02
    side = np.sign(x[1] - x[0])
    across = side * (x[1] - x[0]) > 5 * least and side * (x[4] - x[3]) > 5 * least
    between = side * x[0] < side * x[2] < side * x[1]
    down = y[:2].max() + least < y[2] < y[3:].min() - least
    return bool(across and between and down)


class Points:
    """The network does not say whether the object is there: the score is 1."""

    family = "landmarks"
    task: Task = "landmarks"
    names: tuple[str, ...] = ()
    defaults = Settings()

    def __init__(self, output: Port, coding: Coding, size: tuple[int, int]) -> None:
        self._output = output.name
        self._columns = _columns(output)
        self.count = size_of(output) // self._columns
        self.coding = coding
        height, width = size
        self._unit = np.array([width, height, width], np.float32)[: self._columns]

    def parse(self, outputs: Outputs, settings: Settings) -> Landmarks:
        """Points, px of the input; z is 0 where the network has none."""
        values = np.nan_to_num(outputs[self._output].reshape(-1, self._columns), posinf=0.0, neginf=0.0)
        values = np.clip(values, -FARTHEST, FARTHEST)
        points = np.zeros((len(values), 3), np.float32)
        if self.coding == "centred":
            values /= 2
            values[:, :2] += np.float32(0.5)
        points[:, : self._columns] = values if self.coding == "px" else values * self._unit
        return Landmarks(points, 1.0)
