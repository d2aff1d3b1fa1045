"""Compute only: pixels to tensors, raw detections to boxes.

Every kernel writes into memory of the caller, keeps none of it, and releases the GIL. The compiled kernels come in
variants for instruction sets, of which the best one that the processor has is taken; without them (no compiler at
installation) the same kernels in Numba serve, slower to start, with the same results.

``SACCADE_KERNELS`` forces a choice: ``native``, ``numba``, or a variant (``portable``, ``sse42``, ``avx2``,
``avx512``).
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saccade.kernels.spec import ToSource
from saccade.kernels.yolo import grid_cells

_wanted = os.environ.get("SACCADE_KERNELS", "")

if TYPE_CHECKING:
    from saccade.kernels._native import Preprocess, as_objects, decode_anchors, decode_ssd, decode_yolo, nms, variant
else:
    try:
        if _wanted == "numba":
            raise ImportError
        from saccade.kernels._native import (
            Preprocess,
            as_objects,
            decode_anchors,
            decode_ssd,
            decode_yolo,
            nms,
            variant,
        )
    except ImportError:
        if _wanted not in ("", "numba"):
            raise
        if not _wanted:
            warnings.warn(
                "saccade was installed without its compiled kernels, so those in Numba are used: the first call "
                "takes seconds. Install a C compiler and reinstall saccade-engine to get them",
                RuntimeWarning,
                stacklevel=2,
            )
        from saccade.kernels.numba_kernels import (
            Preprocess,
            as_objects,
            decode_anchors,
            decode_ssd,
            decode_yolo,
            nms,
            variant,
        )


__all__ = [
    "Preprocess", "ToSource", "as_objects", "decode_anchors", "decode_ssd", "decode_yolo", "grid_cells", "nms",
    "parse_detections", "variant",
]  # fmt: skip


def parse_detections(output: NDArray[Any], *, score_threshold: float = 0.0) -> NDArray[np.float32]:
    """Rows of a DetectionOutput layer.

    output : float (1, 1, n, 7) or (n, 7), rows ``image, label, score, x1, y1, x2, y2``; a negative image ends them.
    Returns float32 (m, 6), rows ``label, score, x1, y1, x2, y2`` with scores above the threshold, best first.
    """
    if output.shape[-1] != 7:
        raise ValueError(f"detections have 7 columns (image, label, score and a box); got {output.shape[-1]}")
    rows = output.reshape(-1, 7)
    ended = np.flatnonzero(rows[:, 0] < 0)
    if ended.size:
        rows = rows[: ended[0]]
    rows = rows[rows[:, 2] > score_threshold, 1:]
    return np.ascontiguousarray(rows[np.argsort(-rows[:, 1], kind="stable")], np.float32)
