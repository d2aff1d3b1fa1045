"""What networks have in common whose objects are places of a map: CenterNet and CenterFace."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from saccade.networks.network import Port
from saccade.predict.evidence import Evidence

STRIDE = 4
"""Of the maps, px of the input."""

_OFFSET_NAME = re.compile(r"reg|off", re.IGNORECASE)
_SIZE_NAME = re.compile(r"wh|size|scale|dim", re.IGNORECASE)


def maps_by_channels(evidence: Evidence) -> dict[int, list[Port]] | None:
    """Outputs by their channels; None unless all are (1, channels, height / 4, width / 4)."""
    grid = evidence.grid(STRIDE)
    found: dict[int, list[Port]] = {}
    for port in evidence.outputs:
        if len(port.shape) != 4 or port.shape[0] != 1 or port.shape[2:] != grid:
            return None
        found.setdefault(port.shape[1], []).append(port)
    return found


def size_and_offset(evidence: Evidence, ports: Sequence[Port]) -> tuple[Port, Port] | None:
    """Which of two maps of two channels holds sizes and which offsets within a cell.

    Offsets lie in [0, 1], give or take what a network errs; sizes do not, by a wide margin. Where one run does not show
    that, the names decide; None where they do not, either.
    """
    first, second = ports
    within = [bool((np.abs(evidence.values[port.name] - 0.5) <= 1.5).all()) for port in ports]
    beyond = [float(np.abs(evidence.values[port.name]).max()) > 4 for port in ports]
    if within == [True, False] and beyond[1]:
        return second, first
    if within == [False, True] and beyond[0]:
        return first, second
    named = [
        (size, offset)
        for size, offset in ((first, second), (second, first))
        if _SIZE_NAME.search(size.name) and _OFFSET_NAME.search(offset.name)
        and not _OFFSET_NAME.search(size.name) and not _SIZE_NAME.search(offset.name)
    ]  # fmt: skip
    return named[0] if len(named) == 1 else None
