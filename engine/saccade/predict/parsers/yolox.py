"""YOLOX: (1, cells, 5 + classes) of box, objectness and classes; its boxes decoded by the graph, or raw.

Format: Megvii-BaseDetection/YOLOX `yolo_head.py` and `demo_utils.py`; the networks since version 0.1.1 see pixels as
they are.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from saccade.kernels import grid_cells
from saccade.networks.network import Floats
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings
from saccade.predict.parsers.yolo_parts import (
    Dense,
    Table,
    are_scores,
    find_table,
    probe,
)

INPUT: dict[str, Any] = {"resize": "letterbox-top-left", "pad": 114}

FOLLOW = 0.5
"""Correlation of decoded boxes' centres with those of their cells, at least: measured, 0.90 to 0.998, and -0.22 to
-0.16 for raw ones, whatever the picture."""

DEFAULTS = Settings(score=0.25, iou=0.45)
STRIDES = (8, 16, 32)

Form = Literal["raw", "decoded", "yolov6", "yolov8", "either", "more", "other"]


def form_of(evidence: Evidence, table: Table) -> Form:
    """What a table by cell is: YOLOX raw or decoded, YOLOv6, a transposed YOLOv8, YOLOX decoded or YOLOv8 (`either`),
    decoded boxes with more behind them than scores (`more`), or another network's.

    All but the last two have nothing but scores behind the box. A raw box is numbers around 0, wherever its cell is;
    of decoded ones, only YOLOX's sizes come from an exponential, and only in YOLOv6 is objectness 1 everywhere. Where
    the graph is not known, the number of names may decide.
    """
    values = probe(evidence, table)
    if not are_scores(values[:, 4:]):
        return "more" if _is_decoded(evidence, table, values) else "other"
    if table.channels > 5 and bool((np.abs(values[:, 4] - 1) < 1e-3).all()):
        return "yolov6"
    if not _is_decoded(evidence, table, values):
        return "raw" if table.strides == STRIDES and table.channels > 5 else "other"
    classes = table.channels - 5
    if classes and ("Exp" in table.port.after or len(evidence.names) == classes):
        return "decoded"
    return "yolov8" if not classes or table.port.after or len(evidence.names) == classes + 1 else "either"


def _is_decoded(evidence: Evidence, table: Table, values: Floats) -> bool:
    return follow_cells(evidence, table.strides, values[:, :2])


def follow_cells(evidence: Evidence, strides: tuple[int, ...], centres: Floats) -> bool:
    """Whether centres (n, 2) follow those of the cells, in whatever unit."""
    places = grid_cells(*evidence.size, strides)[:, :2].astype(np.float64)
    places -= places.mean(0)
    centres = centres - centres.mean(0, dtype=np.float64)
    spread = np.sqrt((places**2).sum(0) * (centres**2).sum(0))
    return bool(((places * centres).sum(0) >= FOLLOW * spread).all() and spread.all())


def claims(evidence: Evidence) -> Claims:
    """A table by cell, with objectness, that the file does not call another network's."""
    found = find_table(evidence)
    if found is None or evidence.metadata.producer == "ultralytics":
        return
    table, _ = found
    if table.channels_first or table.channels < 6:
        return
    form = form_of(evidence, table)
    named = "yolox" in (evidence.head, evidence.metadata.head.lower())
    if named and form in ("yolov6", "yolov8", "either"):
        form = "decoded"
    if form in ("raw", "decoded", "either"):
        names = evidence.names
        if form == "raw":
            boxes, layout, grid = "boxes as the last layer gives them", "grid-obj", grid_cells(*evidence.size, STRIDES)
        else:
            boxes, layout, grid = "decoded boxes", "cxcywh-obj", None
        parser = Dense("yolox", table, names, DEFAULTS, layout=layout, cells=grid)
        certainty = 3 if evidence.metadata.head.lower() == "yolox" else 1 if form == "either" else 2
        yield Claim("yolox", "detect", certainty, f"a row a cell with objectness, {boxes}", parser, INPUT)
