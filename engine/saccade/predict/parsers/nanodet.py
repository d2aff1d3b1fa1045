"""NanoDet: a box in each cell whose sides are distributions over distances, and scores that are probabilities.

First version (-m, -t, -g): a table of scores (cells, classes) and one of distributions (cells, 4 bins) for each grid;
a cell's point is the middle of its pixels. NanoDet-Plus: one table (cells, classes + 4 bins) of four grids; a cell's
point is its corner. Format: RangiLyu/nanodet, `nanodet/model/head/{gfl_head,nanodet_plus_head}.py` and the configs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from saccade.kernels import decode_yolo, grid_cells
from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, Refusal
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.dense import (
    STRIDES,
    are_probabilities,
    as_detections,
    by_grid,
    is_sigmoid,
    read,
    strides_of,
    table,
    tables,
)
from saccade.results import Detections

MEAN, SCALE = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
"""Of ImageNet, in the order blue, green, red."""

_LEAST_BINS = 2
_USUAL_BINS = 8
_OWN_NAMES = re.compile(r"(cls|dis|bbox|reg)_pred(_stride)?_?\d")


class Pairs(NamedTuple):
    """A table of scores and one of distributions for each grid, the finest first."""

    scores: tuple[str, ...]
    boxes: tuple[str, ...]
    classes: int
    columns: int
    strides: tuple[int, ...]
    logits: bool


def claims(evidence: Evidence) -> Claims:
    """Pairs of tables on three grids (or more, under NanoDet's own names), or one table of grids to stride 64."""
    pairs = find_pairs(evidence)
    if pairs is not None and (len(pairs.strides) <= 3 or named(evidence) or evidence.head == "nanodet"):
        bins = pairs.columns // 4
        why = f"{len(pairs.strides)} grids, each with {pairs.classes} scores and 4 x {bins} distances a cell"
        cells = grid_cells(*evidence.size, pairs.strides, offset=0.5, shift=-0.5)
        spec = {"mean": MEAN, "scale": SCALE, "resize": "letterbox", "pad": 0, "round_down": True}
        yield Claim("nanodet", "detect", 2, why, Distributions("nanodet", pairs, cells, evidence.names), spec)
    elif pairs is None and _are_alike(evidence):
        columns = {port.shape[-1] for port in evidence.outputs}
        way = "names of the classes do (--labels)" if len(columns) == 2 else "export it with its scores' sigmoids"
        why = "they are tables of scores and of distances on grids from stride 8 on, but nothing shows which are which"
        yield Refusal("nanodet", "detect", 0, f"{why}; {way}")
    plus = _plus(evidence)
    if plus is not None:
        why = f"one table of {plus.classes} scores and 4 x {plus.bins} distances a cell"
        spec = {"mean": MEAN, "scale": SCALE, "resize": "stretch"}
        yield Claim("nanodet", "detect", 2, why, plus, spec)


def named(evidence: Evidence) -> bool:
    """Whether outputs have the names that NanoDet's exporter gives."""
    return all(_OWN_NAMES.search(port.name) for port in evidence.outputs)


def _are_alike(evidence: Evidence) -> bool:
    """Whether there are two tables for each grid, whatever they are, at least one of which may be distributions."""
    shapes = tables(evidence.outputs)
    if shapes is None or len(shapes) < 4 or len(shapes) % 2:
        return False
    counts = sorted((rows for rows, _ in shapes.values()), reverse=True)
    strides = strides_of(counts[::2], evidence)
    return counts[::2] == counts[1::2] and bool(strides) and any(_may_be_bins(n) for _, n in shapes.values())


def find_pairs(evidence: Evidence) -> Pairs | None:
    """The pairs of tables of a network that has nothing else, in whatever order and under whatever names."""
    ports = evidence.outputs
    shapes = tables(ports)
    if shapes is None or len(ports) < 4 or len(ports) % 2:
        return None
    counts = sorted({rows for rows, _ in shapes.values()}, reverse=True)
    strides = strides_of(counts, evidence)
    kinds = _kinds(evidence, shapes)
    if len(strides) != len(ports) // 2 or kinds is None:
        return None
    if any(sorted((shapes[port.name][0] for port in kind), reverse=True) != counts for kind in kinds):
        return None
    found = _which_are_scores(evidence, kinds, shapes)
    if found is None:
        return None
    scores, boxes, logits = found
    return Pairs(
        tuple(port.name for port in by_grid(scores, shapes)),
        tuple(port.name for port in by_grid(boxes, shapes)),
        shapes[scores[0].name][1],
        shapes[boxes[0].name][1],
        strides,
        logits,
    )


Kind = Sequence[Port]


def _kinds(evidence: Evidence, shapes: dict[str, tuple[int, int]]) -> tuple[Kind, Kind] | None:
    """Outputs in two halves: by columns, or where all have as many of them, those that are probabilities and others."""
    ports, columns = evidence.outputs, sorted({shape[1] for shape in shapes.values()})
    if len(columns) == 2:
        first = [port for port in ports if shapes[port.name][1] == columns[0]]
    elif len(columns) == 1:
        first = [port for port in ports if is_sigmoid(port)]
        first = first or [port for port in ports if are_probabilities(evidence, [port])]
    else:
        return None
    second = [port for port in ports if port not in first]
    return (first, second) if len(first) == len(second) else None


def _which_are_scores(
    evidence: Evidence, kinds: tuple[Kind, Kind], shapes: dict[str, tuple[int, int]]
) -> tuple[Kind, Kind, bool] | None:
    """Scores, distributions, and whether the scores are logits: by the graph, then by one run, then by columns; where
    both may be distributions, by the names of classes, then by the usual number of bins.
    """
    first, second = kinds
    options = [(s, b) for s, b in ((first, second), (second, first)) if _may_be_bins(shapes[b[0].name][1])]
    signs: tuple[Callable[[Kind], bool], ...] = (
        lambda kind: all(is_sigmoid(port) for port in kind),
        lambda kind: are_probabilities(evidence, kind),
    )
    for says in signs:
        sure = [(s, b) for s, b in options if says(s) and not says(b)]
        if len(sure) == 1:
            return (*sure[0], False)
    for kind, columns in ((0, len(evidence.names)), (1, 4 * _USUAL_BINS)):
        likely = [option for option in options if shapes[option[kind][0].name][1] == columns]
        options = likely or options
    return (*options[0], True) if len(options) == 1 else None


def _may_be_bins(columns: int) -> bool:
    return columns % 4 == 0 and columns >= 4 * _LEAST_BINS


class Distributions:
    """Tables of scores and of distributions. family : its name; the input's cells tell the families apart."""

    task: Task = "detect"
    defaults = Settings(score=0.4, iou=0.6)

    def __init__(self, family: str, pairs: Pairs, cells: Floats, names: tuple[str, ...]) -> None:
        self.family = family
        self.names = names
        self.classes = pairs.classes
        self._pairs = pairs
        self._cells = cells

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        pairs = self._pairs
        found = decode_yolo(
            read(outputs, pairs.boxes, pairs.columns),
            layout="dfl",
            scores=read(outputs, pairs.scores, pairs.classes),
            cells=self._cells,
            sigmoid=pairs.logits,
            **settings.limits(),
        )
        return as_detections(found, self.names)


def _plus(evidence: Evidence) -> NanoDetPlus | None:
    """The parser of a network whose only output is a table of scores and distributions on grids from stride 8 on.

    Columns whose numbers all lie in [0, 1] in one run may be scores; there are as many as there are names, or else as
    many as leave whole distributions.
    """
    shape = table(evidence.outputs[0]) if len(evidence.outputs) == 1 else None
    if shape is None or shape[1] < 1 + 4 * _LEAST_BINS:
        return None
    rows, columns = shape
    strides = next((STRIDES[:n] for n in (4, 3, 5) if evidence.cells(*STRIDES[:n]) == rows), None)
    if strides is None:
        return None
    values = evidence.values[evidence.outputs[0].name].reshape(rows, columns)
    with np.errstate(invalid="ignore"):
        probable = ((values >= 0) & (values <= 1)).all(0)
    most = columns if probable.all() else int(probable.argmin())
    possible = [n for n in range(most, 0, -1) if _may_be_bins(columns - n)]
    if most == columns or not possible:
        return None
    classes = len(evidence.names) if len(evidence.names) in possible else possible[0]
    return NanoDetPlus(evidence.outputs[0], classes, grid_cells(*evidence.size, strides), evidence.names)


class NanoDetPlus:
    """One table: scores, then distributions."""

    family = "nanodet"
    task: Task = "detect"
    defaults = Settings(score=0.4, iou=0.6)

    def __init__(self, output: Port, classes: int, cells: Floats, names: tuple[str, ...]) -> None:
        self.names = names
        self.classes = classes
        self.bins = (output.shape[-1] - classes) // 4
        self._output = output.name
        self._cells = cells

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Objects."""
        found = decode_yolo(
            outputs[self._output],
            layout="scores-dfl",
            classes=self.classes,
            cells=self._cells,
            **settings.limits(),
        )
        return as_detections(found, self.names)
