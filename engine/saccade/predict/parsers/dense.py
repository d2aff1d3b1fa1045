"""What detectors with a box in each cell have in common: which output belongs to which grid, and their rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from saccade.kernels import as_objects
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Evidence
from saccade.predict.parsers.common import FARTHEST, PX, are_chances
from saccade.results import Detections

STRIDES = (8, 16, 32, 64, 128)
"""Of the grids of such networks, px."""

Rows = NDArray[np.intp]


def table(port: Port) -> tuple[int, int] | None:
    """(rows, columns) of an output that is a table behind leading ones; None where it is none."""
    shape = port.shape
    if len(shape) < 2 or any(extent != 1 for extent in shape[:-2]) or min(shape[-2:]) < 1:
        return None
    return shape[-2], shape[-1]


def tables(ports: Sequence[Port]) -> dict[str, tuple[int, int]] | None:
    """(rows, columns) of all outputs, by name; None where one of them is no table."""
    shapes = {port.name: table(port) for port in ports}
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    return known if len(known) == len(ports) else None


def strides_of(counts: Sequence[int], evidence: Evidence, per_cell: int = 1) -> tuple[int, ...]:
    """Strides, 8 first and each twice the one before, whose grids have these numbers of rows; empty where none have.

    counts : a number a grid, the most first. per_cell : rows of a cell.
    """
    strides = STRIDES[: len(counts)]
    fits = [per_cell * evidence.cells(stride) for stride in strides] == list(counts)
    return strides if fits and counts else ()


def by_grid(ports: Sequence[Port], shapes: dict[str, tuple[int, int]]) -> list[Port]:
    """Ports of one kind, the finest grid's first."""
    return sorted(ports, key=lambda port: -shapes[port.name][0])


def is_sigmoid(port: Port) -> bool:
    """Whether the graph says that an output went through a logistic function."""
    return port.layer_type == "Sigmoid" or "Sigmoid" in port.after


def are_probabilities(evidence: Evidence, ports: Sequence[Port]) -> bool:
    """Whether all numbers of one run lie in [0, 1]."""
    return are_chances(*(evidence.values[port.name] for port in ports))


def read(outputs: Outputs, names: Sequence[str], columns: int) -> list[Floats]:
    """The tables of that many columns under these names."""
    return [outputs[name].reshape(-1, columns) for name in names]


def gather(parts: Sequence[Floats], rows: Rows) -> Floats:
    """Rows of tables that lie one behind the other, float32 (n, columns)."""
    found = np.empty((len(rows), parts[0].shape[1]), np.float32)
    start = 0
    for part in parts:
        here = (rows >= start) & (rows < start + len(part))
        found[here] = part[rows[here] - start]
        start += len(part)
    return found


def is_sound(places: Floats) -> NDArray[np.bool_]:
    """Which rows hold places that could lie in a picture: finite, and within a million px."""
    return np.asarray((np.abs(places) < FARTHEST).all(1))


def only_name(evidence: Evidence, name: str = "face") -> tuple[str, ...]:
    """Name of a network's only class: the last one that is given, as others are the background's."""
    return evidence.names[-1:] or (name,)


def as_detections(found: Floats, names: tuple[str, ...], points: Floats | None = None) -> Detections:
    """What `decode_yolo` found as objects, without those whose box is empty or whose places are none.

    found : float32 (n, 7), its rows, best first. points : float32 (n, 2 k) x, y of each object, px of the input.
    """
    boxes, scores, labels, chosen = as_objects(found, PX)
    if points is None:
        return Detections(boxes, scores, labels, None, names)
    points = points if chosen is None else points[chosen]
    near = is_sound(points)
    known = Detections(boxes, scores, labels, points.reshape(len(boxes), points.shape[1] // 2, 2), names)
    return known if near.all() else known[near]
