"""Prior boxes (anchors) of networks whose files do not carry them.

All are float32 (n, 4), corners in [0, 1] of the input, in the order of the networks' outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from saccade.networks.network import Floats

VGG300 = (
    (38, 8, 30, 60, (2,)), (19, 16, 60, 111, (2, 3)), (10, 32, 111, 162, (2, 3)), (5, 64, 162, 213, (2, 3)),
    (3, 100, 213, 264, (2,)), (1, 300, 264, 315, (2,)),
)  # fmt: skip
"""SSD300 on VGG16, 8732 boxes (amdegroot/ssd.pytorch, qfgaohao/pytorch-ssd): cells a side, stride px, least and largest
size px, ratios.
"""

VGG512 = (
    (64, 8, 35.84, 76.8, (2,)), (32, 16, 76.8, 153.6, (2, 3)), (16, 32, 153.6, 230.4, (2, 3)),
    (8, 64, 230.4, 307.2, (2, 3)), (4, 128, 307.2, 384.0, (2, 3)), (2, 256, 384.0, 460.8, (2,)),
    (1, 512, 460.8, 537.6, (2,)),
)  # fmt: skip
"""SSD512 on VGG16, 24564 boxes."""

MOBILENET300 = (
    (19, 16, 60, 105, (2, 3)), (10, 32, 105, 150, (2, 3)), (5, 64, 150, 195, (2, 3)), (3, 100, 195, 240, (2, 3)),
    (2, 150, 240, 285, (2, 3)), (1, 300, 285, 330, (2, 3)),
)  # fmt: skip
"""SSD300 on MobileNet, 3000 boxes (qfgaohao/pytorch-ssd)."""

Layers = Sequence[tuple[int, int, float, float, Sequence[int]]]


def pytorch_ssd(layers: Layers, size: int = 300) -> Floats:
    """Priors of the PyTorch SSDs: a small and a larger square, then a wide and a high box for each ratio; centres and
    sizes cut to [0, 1].
    """
    rows = []
    for cells, stride, least, largest, ratios in layers:
        sides = [(least, least), (sqrt(least * largest),) * 2]
        for ratio in ratios:
            sides += [(least * sqrt(ratio), least / sqrt(ratio)), (least / sqrt(ratio), least * sqrt(ratio))]
        rows.append(_placed(cells, stride / size, np.array(sides) / size))
    return _corners(np.concatenate(rows).clip(0, 1))


def nvidia_ssd300() -> Floats:
    """Priors of NVIDIA's SSD300 (8732): like those of VGG16 with other sizes, and all cells of one shape in a row."""
    sizes = (21, 45, 99, 153, 207, 261, 315)
    rows = []
    for (cells, stride, *_, ratios), (least, largest) in zip(VGG300, pairwise(sizes), strict=True):
        sides = [(least, least), (sqrt(least * largest),) * 2]
        for ratio in ratios:
            sides += [(least * sqrt(ratio), least / sqrt(ratio)), (least / sqrt(ratio), least * sqrt(ratio))]
        placed = _placed(cells, stride / 300, np.array(sides) / 300)
        rows.append(placed.reshape(-1, len(sides), 4).transpose(1, 0, 2).reshape(-1, 4))
    return _corners(np.concatenate(rows).clip(0, 1))


def tensorflow_ssd(size: int) -> Floats:
    """Anchors of the SSD generator of TensorFlow's Object Detection API: six layers from stride 16 on, sizes from 0.2
    to 0.95 of the picture, ratios 1, 2, 1/2, 3, 1/3 and a larger square (the first layer has a small square and two
    ratios). 1917 at 300, 2034 at 320. Source: `anchor_generators/multiple_grid_anchor_generator.py`.
    """
    scales = [0.2 + 0.75 * i / 5 for i in range(6)] + [1.0]
    cells, rows = -(-size // 16), []
    for index, (scale, larger) in enumerate(pairwise(scales)):
        kinds = [(scale, 1.0), (scale, 2.0), (scale, 0.5), (scale, 3.0), (scale, 1 / 3), (sqrt(scale * larger), 1.0)]
        if index == 0:
            kinds = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        sides = np.array([(s * sqrt(ratio), s / sqrt(ratio)) for s, ratio in kinds])
        rows.append(_placed(cells, 1 / cells, sides))
        cells = -(-cells // 2)
    return _corners(np.concatenate(rows))


def tensorflow_fpn(height: int, width: int) -> Floats:
    """Anchors of TensorFlow's SSDs on a feature pyramid (MobileNet FPNLite, ResNet FPN): two sizes of the ratios 1, 2
    and 1/2 a cell, strides 8 to 128. 12804 at 320x320, 51150 at 640x640. Where the input is no multiple of a stride,
    that grid begins at the edge. Source: `anchor_generators/multiscale_grid_anchor_generator.py`.
    """
    parts = []
    for stride in (8, 16, 32, 64, 128):
        sides = np.array([
            (4 * stride * size * sqrt(ratio), 4 * stride * size / sqrt(ratio)) for ratio in (1.0, 2.0, 0.5)
            for size in (1.0, sqrt(2))
        ])  # fmt: skip
        columns, lines = (np.arange(-(-extent // stride)) for extent in (width, height))
        rows = _grid(columns, lines, stride, sides)
        rows[:, :2] -= [stride / 2 if extent % stride else 0 for extent in (width, height)]
        parts.append(rows / np.array([width, height, width, height]))
    return _corners(np.concatenate(parts))


def efficientdet(height: int, width: int) -> list[Floats]:
    """Anchors of each of EfficientDet's levels, strides 8 to 128: three sizes of three shapes a cell.

    Source: google/automl `efficientdet/keras/anchors.py`.
    """
    shapes = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
    levels = []
    for stride in (8, 16, 32, 64, 128):
        sides = np.array(
            [(4 * stride * 2 ** (i / 3) * w, 4 * stride * 2 ** (i / 3) * h) for i in range(3) for w, h in shapes]
        )
        columns, lines = (np.arange(-(-extent // stride)) for extent in (width, height))
        rows = _grid(columns, lines, stride, sides)
        levels.append(_corners(rows / np.array([width, height, width, height])))
    return levels


def _placed(cells: int, step: float, sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes of all sides at each cell of a square grid: centre x, y, width, height."""
    return _grid(np.arange(cells), np.arange(cells), step, sides)


def _grid(
    columns: NDArray[np.int64], lines: NDArray[np.int64], step: float, sides: NDArray[np.float64]
) -> NDArray[np.float64]:
    y, x = np.meshgrid((lines + 0.5) * step, (columns + 0.5) * step, indexing="ij")
    centres = np.repeat(np.stack([x, y], -1).reshape(-1, 2), len(sides), axis=0)
    return np.concatenate([centres, np.tile(sides, (x.size, 1))], 1)


def _corners(boxes: NDArray[np.float64]) -> Floats:
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], 1).astype(np.float32)
