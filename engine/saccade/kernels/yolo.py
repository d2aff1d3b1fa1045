"""What `decode_yolo` is asked for, checked: its tensors' channels as views, without copies; and the cells of grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

# In the order of the CODING_ values of ext/kernels.h: name, columns of the cells, whether scores are logits always.
CODINGS = {
    "cxcywh": (0, False),
    "xyxy": (0, False),
    "ltrb": (3, False),
    "dfl": (3, False),
    "grid": (3, False),
    "v5": (5, True),
    "v5-region": (5, False),
    "darknet": (5, True),
    "region": (5, False),
}
_NAMES = tuple(CODINGS)

Matrix = NDArray[np.float32]

Objects = tuple[Matrix, Matrix, NDArray[np.int32], NDArray[np.int64] | None]
"""What `as_objects` returns: boxes, scores, labels, and the numbers of their rows, or None where these are all."""


class Head(NamedTuple):
    """Views into one output, by row: boxes (n, 4 or 4 * bins), objectness (n,) or None, scores (n, classes)."""

    boxes: Matrix
    objectness: Matrix | None
    scores: Matrix


class RowLayout(NamedTuple):
    """The checked arguments of one call of `decode_yolo` that are about layout."""

    heads: list[Head]
    cells: Matrix  # (n, 0, 3 or 5), contiguous
    coding: int
    bins: int
    classes: int
    logits: bool


def arrange(
    rows: Any,
    *,
    layout: str,
    classes: int | None,
    scores: Any,
    cells: ArrayLike | None,
    channels_first: bool,
    sigmoid: bool,
    score_threshold: float,
) -> RowLayout:
    """Find boxes, objectness and scores in the tensors. The arguments are those of `decode_yolo`."""
    name = layout.removeprefix("scores-").removesuffix("-obj")
    if name not in CODINGS:
        raise ValueError(
            f"layout must be one of {', '.join(CODINGS)}, with scores- in front where the scores come first and -obj "
            f"behind where there is objectness; got {layout!r}"
        )
    if score_threshold != score_threshold:
        raise ValueError(f"score_threshold must be a number; got {score_threshold}")
    if classes is not None and classes < 0:
        raise ValueError(f"classes must not be negative; got {classes}")
    tables = [_matrix(part, "rows", channels_first) for part in _parts(rows)]
    if not tables:
        raise ValueError("rows must be a tensor, or a list of at least one; got an empty list")
    if scores is None:
        heads = [_split(table, layout, name, classes) for table in tables]
    else:
        apart = [_matrix(part, "scores", channels_first) for part in _parts(scores)]
        counts = [len(table) for table in tables], [len(part) for part in apart]
        if counts[0] != counts[1]:
            raise ValueError(f"rows and scores must be as many; got {counts[0]} and {counts[1]}")
        heads = [_join(table, part, layout, name, classes) for table, part in zip(tables, apart, strict=True)]
    shapes = {(head.boxes.shape[1], head.scores.shape[1]) for head in heads}
    if len(shapes) != 1:
        raise ValueError(f"all tensors must have the same box and class channels; got {sorted(shapes)}")
    box_channels, found_classes = shapes.pop()
    n = sum(len(head.boxes) for head in heads)
    if n >= 2**24:
        raise ValueError(f"rows must be fewer than 2**24, so that float32 can number them; got {n}")
    cell_columns, always_logits = CODINGS[name]
    return RowLayout(
        heads,
        _cells(cells, n, cell_columns, layout),
        _NAMES.index(name),
        box_channels // 4,
        found_classes,
        always_logits or sigmoid,
    )


def _split(table: Matrix, layout: str, name: str, classes: int | None) -> Head:
    """The parts of rows that hold boxes and scores."""
    objectness = layout.endswith("-obj")
    width = table.shape[1] - objectness
    if name == "dfl" and classes is None:
        raise ValueError(f"layout {layout} needs classes: the channels alone do not tell scores from bins")
    count = max(width - 4, 0) if classes is None else classes
    box = width - count if name == "dfl" else 4
    start = count if layout.startswith("scores-") else 0
    _check_width(table, layout, name, box, box + count + objectness)
    first_class = 0 if start else box + objectness
    return Head(
        table[:, start : start + box],
        table[:, start + box] if objectness else None,
        _walkable(table[:, first_class : first_class + count]),
    )


def _join(table: Matrix, scores: Matrix, layout: str, name: str, classes: int | None) -> Head:
    """The parts of rows that hold boxes, with scores from a tensor of their own."""
    objectness = layout.endswith("-obj")
    box = table.shape[1] - objectness if name == "dfl" else 4
    _check_width(table, layout, name, box, box + objectness)
    if classes is not None and scores.shape[1] < classes:
        raise ValueError(f"scores must have {classes} classes; got {scores.shape[1]}")
    return Head(table[:, :box], table[:, box] if objectness else None, _walkable(scores[:, :classes]))


def _check_width(table: Matrix, layout: str, name: str, box: int, need: int) -> None:
    if table.shape[1] < need or box < 4 or box % 4:
        bins = ", 4 * bins of them for the box" if name == "dfl" else ""
        raise ValueError(f"rows of layout {layout} need at least {need} channels{bins}; got {table.shape[1]}")


def _parts(value: Any) -> list[Any]:
    """The tensors of an argument that is one, or a sequence of them."""
    if isinstance(value, (list, tuple)) and all(isinstance(part, np.ndarray) and part.ndim >= 2 for part in value):
        return list(value)
    return [value]


def _matrix(value: ArrayLike, what: str, channels_first: bool) -> Matrix:
    """A tensor by (row, channel), without its leading ones; a view where it is float32."""
    array = np.asarray(value, np.float32)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        order = "(channels, n)" if channels_first else "(n, channels)"
        raise ValueError(f"{what} must have shape {order} behind leading ones; got {np.shape(value)}")
    if not array.flags.aligned:
        array = array.copy()
    return array.T if channels_first else array


def _walkable(scores: Matrix) -> Matrix:
    """`scores`, copied unless either its rows or its columns lie next to each other, as the kernels read them."""
    return scores if 4 in scores.strides else np.ascontiguousarray(scores)


def _cells(cells: ArrayLike | None, n: int, columns: int, layout: str) -> Matrix:
    if not columns:
        return np.empty((n, 0), np.float32)
    if cells is None:
        raise ValueError(f"layout {layout} needs cells of {columns} columns, see grid_cells")
    array = np.asarray(cells, np.float32)
    if array.ndim != 2 or array.shape[0] != n or array.shape[1] < columns:
        want = f"({n}, 5)" if columns == 5 else f"({n}, 3 or 5)"
        raise ValueError(f"cells for layout {layout} must have shape {want}; got {array.shape}")
    return np.ascontiguousarray(array)


def grid_cells(
    height: int,
    width: int,
    strides: Sequence[int],
    *,
    offset: float = 0.0,
    shift: float = 0.0,
    anchors: ArrayLike | None = None,
) -> Matrix:
    """Cells of a network's grids, as `decode_yolo` takes them: by stride, anchor, row and column.

    height, width : of the network's input, px; a grid has ``ceil(height / stride)`` rows.
    strides : of the grids, px, in the order of their rows in the tensor.
    offset, shift : where a cell's point lies: ``(column + offset) * stride + shift``, px, likewise for rows. 0 for
        YOLO grids (layouts ``grid``, ``v5``, ``darknet``, ``region``) and NanoDet-Plus, ``offset=0.5`` for centres
        (PicoDet), ``offset=0.5, shift=-0.5`` for NanoDet.
    anchors : (strides, k, 2), width and height of each grid's anchors, px.
    Returns float32 (n, 3), rows ``x, y, stride``, or with anchors (n, 5), rows ``x, y, stride, w, h``, all px.
    """
    if height < 1 or width < 1 or any(stride < 1 for stride in strides):
        raise ValueError(f"height, width and strides must be positive; got {height}, {width} and {tuple(strides)}")
    sizes = None if anchors is None else np.asarray(anchors, np.float32)
    if sizes is not None and (sizes.ndim != 3 or sizes.shape[0] != len(strides) or sizes.shape[2] != 2):
        raise ValueError(f"anchors must have shape ({len(strides)}, k, 2); got {sizes.shape}")
    parts = [np.empty((0, 3 if sizes is None else 5), np.float32)]
    for level, stride in enumerate(strides):
        ys, xs = np.mgrid[: -(-height // stride), : -(-width // stride)].reshape(2, -1)
        columns = [(xs + offset) * stride + shift, (ys + offset) * stride + shift, np.full(len(xs), stride)]
        cells = np.stack(columns, 1).astype(np.float32)
        if sizes is None:
            parts.append(cells)
        else:
            parts += [np.hstack([cells, np.broadcast_to(size, (len(cells), 2))]) for size in sizes[level]]
    return np.concatenate(parts)
