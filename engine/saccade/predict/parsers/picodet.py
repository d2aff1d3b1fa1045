"""PicoDet without its post-processing: a table of scores and one of distributions for each of four grids.

It differs from NanoDet in where a cell's point lies, the cell's centre, and in the pixels it wants.
Format: PaddlePaddle/PaddleDetection, `ppdet/modeling/heads/pico_head.py` and the configs of PicoDet.
"""

from __future__ import annotations

from saccade.kernels import grid_cells
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parsers import nanodet

MEAN, SCALE = nanodet.MEAN[::-1], nanodet.SCALE[::-1]
"""Of ImageNet, in the order red, green, blue."""

GRIDS = 4


def claims(evidence: Evidence) -> Claims:
    """Four pairs of tables that do not bear NanoDet's names; other numbers of pairs where the user says so."""
    pairs = nanodet.find_pairs(evidence)
    if pairs is None:
        return
    if evidence.head != "picodet" and (len(pairs.strides) < GRIDS or nanodet.named(evidence)):
        return
    why = f"{len(pairs.strides)} grids, each with {pairs.classes} scores and 4 x {pairs.columns // 4} distances a cell"
    cells = grid_cells(*evidence.size, pairs.strides, offset=0.5)
    parser = nanodet.Distributions("picodet", pairs, cells, evidence.names)
    spec = {"mean": MEAN, "scale": SCALE, "swap_rb": True, "resize": "stretch"}
    yield Claim("picodet", "detect", 2, why, parser, spec)
