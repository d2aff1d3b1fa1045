"""A frame in overlapping tiles, for objects that are too small for a network which sees it whole.

Each tile is shown to the network as a picture of its own. An object in the overlap of two tiles is found twice, and one
that is larger than the overlap is found in parts: `join` makes one of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from saccade.errors import ConfigError
from saccade.geometry import WHOLE_FRAME, Region
from saccade.networks.network import Floats
from saccade.networks.spec import InputSpec
from saccade.predict.framing import Framing, Whole
from saccade.predict.parser import Settings
from saccade.results import Detections

OVERLAP = 0.2
"""Least part of a tile that it shares with its neighbour."""

WIDER = 1.4
"""`auto` cuts a frame whose aspect ratio is that many times the network's, or more."""

MOST_TILES = 64

SEAM = 0.01
"""A box that ends as near to an inner edge of its tile, as a part of the tile, may be cut there."""

INSIDE = 0.7
"""Part of a cut box that must lie in one of another tile to be the same object."""

ALONG = 0.6
"""Overlap of two cut boxes along their seam (intersection over union) from which on they are one object."""


class Auto:
    """Tiles of the network's own shape, where the frame is much wider or higher than that: 16:9 for a square network
    gives two. Elsewhere the whole frame.
    """

    mirror = False

    def __init__(self, spec: InputSpec) -> None:
        self._whole = Whole(spec)
        self._aspect = spec.width / spec.height

    def regions(self, width: int, height: int) -> tuple[Region, ...]:
        """Tiles along the longer side, as high (or wide) as the frame."""
        wider = width / height / self._aspect
        if 1 / WIDER < wider < WIDER:
            return self._whole.regions(width, height)
        if wider > 1:
            part = 1 / wider
            return tuple((start, 0.0, part, 1.0) for start in _starts(part, _count(part)))
        return tuple((0.0, start, 1.0, wider) for start in _starts(wider, _count(wider)))


class Grid:
    """So many columns and rows of tiles; where there are several of both, the whole frame, too, for what is larger than
    one of them.
    """

    mirror = False

    def __init__(self, columns: int, rows: int) -> None:
        width, height = (1 / (count - (count - 1) * OVERLAP) for count in (columns, rows))
        tiles = tuple((x, y, width, height) for y in _starts(height, rows) for x in _starts(width, columns))
        self._regions = tiles if min(columns, rows) == 1 else (*tiles, WHOLE_FRAME)

    def regions(self, width: int, height: int) -> tuple[Region, ...]:
        """The tiles, row by row."""
        return self._regions


def framing_for(tiles: str, spec: InputSpec) -> Framing:
    """The framing that `--tiles` asks for: `auto`, `off` (the whole frame), or columns and rows as `3x2`."""
    if tiles == "auto":
        return Auto(spec)
    if tiles == "off":
        return Whole(spec)
    numbers = re.fullmatch(r"(\d{1,3})x(\d{1,3})", tiles)
    columns, rows = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if not 1 <= columns * rows <= MOST_TILES:
        raise ConfigError(
            f"tiles {tiles!r}: expected auto, off, or columns and rows as 3x2, {MOST_TILES} tiles at the most"
        )
    return Whole(spec) if columns * rows == 1 else Grid(columns, rows)


def _count(part: float) -> int:
    """Tiles of that part of a side that cover it and overlap; one more where they would hardly do so."""
    count = ceil(1 / part - 1e-9)
    return count if (count * part - 1) / max(1, count - 1) >= OVERLAP * part / 2 else count + 1


def _starts(part: float, count: int) -> list[float]:
    """Where `count` tiles of that part of a side begin, evenly spread from edge to edge."""
    return [i * (1 - part) / max(1, count - 1) for i in range(count)]


def join(
    parts: Sequence[Detections], regions: Sequence[Region], width: int, height: int, settings: Settings
) -> Detections:
    """Objects of several regions of a frame, source px, each counted once; best first.

    Boxes of different regions with the same label are one object where they overlap by more than `settings.iou`,
    where one that is cut at its tile's inner edge lies in another, or where two that are cut at the same seam go on in
    each other. Of a whole box and parts it is the object's, of parts alone the one that encloses all of them.
    """
    found = _concatenated(parts)
    if not len(found):
        return found
    tiles = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    cut = np.concatenate([_cut(part.boxes, region, width, height) for part, region in zip(parts, regions, strict=True)])
    # Whole boxes first, the best of them first: what is cut gives way.
    order = np.lexsort((-found.scores, cut.any(1)))
    found, tiles, cut = found[order], tiles[order], cut[order]
    joined = found[_kept(found, tiles, cut, _contested(found.boxes, tiles, regions, width, height), settings)]
    return joined[np.argsort(-joined.scores, kind="stable")[: settings.top]]


def _contested(
    boxes: Floats, tiles: NDArray[np.intp], regions: Sequence[Region], width: int, height: int
) -> NDArray[np.intp]:
    """Numbers of the boxes that reach into another tile than their own: no other can have been found twice."""
    whole = np.array([width, height] * 2, np.float32)
    reach = np.zeros(len(boxes), np.bool_)
    for number, (x, y, w, h) in enumerate(regions):
        x1, y1, x2, y2 = np.array([x, y, x + w, y + h], np.float32) * whole
        inside = (boxes[:, 0] < x2) & (boxes[:, 2] > x1) & (boxes[:, 1] < y2) & (boxes[:, 3] > y1)
        reach |= inside & (tiles != number)
    return np.flatnonzero(reach)


def _kept(
    found: Detections, tiles: NDArray[np.intp], cut: NDArray[np.bool_], contested: NDArray[np.intp], settings: Settings
) -> NDArray[np.intp]:
    """Numbers of the boxes that stay; the best part of a cut object grows in place to the whole of it."""
    boxes = found.boxes
    is_cut: NDArray[np.bool_] = np.asarray(cut.any(1))
    keep = np.ones(len(found), np.bool_)

    def rivals(i: int, among: NDArray[np.intp]) -> NDArray[np.intp]:
        rival: NDArray[np.bool_] = keep[among] & (tiles[among] != tiles[i])
        if not settings.agnostic:
            rival &= found.labels[among] == found.labels[i]
        return among[rival]

    whole = contested[~is_cut[contested]]
    for i in contested.tolist():
        others = rivals(i, whole[whole < i])
        both = _intersections(boxes[i], boxes[others])
        same: NDArray[np.bool_] = both > settings.iou * _unions(boxes[i], boxes[others], both)
        if is_cut[i]:
            same |= both >= INSIDE * _areas(boxes[i])
        keep[i] = not same.any()

    parts = contested[is_cut[contested] & keep[contested]]
    objects = {i: [i] for i in parts.tolist()}  # parts of the same object, the best of them first
    for i in objects:
        others = rivals(i, parts[parts < i])
        both = _intersections(boxes[i], boxes[others])
        overlap = both / _unions(boxes[i], boxes[others], both).clip(1e-9)
        inside = both / np.minimum(_areas(boxes[i]), _areas(boxes[others])).clip(1e-9)
        breadth = np.where(both > 0, _goes_on(boxes[i], cut[i], boxes[others], cut[others]), 0)
        ways = ((overlap, overlap > settings.iou), (inside, inside >= INSIDE), (breadth, breadth >= ALONG))
        fit = np.max([np.where(fits, value, 0) for value, fits in ways], 0)
        for j in others[np.argsort(-fit, kind="stable")[: np.count_nonzero(fit)]].tolist():
            mine, its = objects[i], objects[j]
            if set(tiles[mine].tolist()).isdisjoint(tiles[its].tolist()):  # a tile shows an object once
                its_and_mine = sorted(its + mine)
                objects |= dict.fromkeys(its_and_mine, its_and_mine)

    for i, members in objects.items():
        keep[i] = i == members[0]
        if keep[i] and len(members) > 1:
            boxes[i] = [*boxes[members, :2].min(0), *boxes[members, 2:].max(0)]
            others = rivals(i, whole)
            others = others[~np.isin(tiles[others], tiles[members])]
            both = _intersections(boxes[i], boxes[others])
            keep[i] = not (both > settings.iou * _unions(boxes[i], boxes[others], both)).any()
    return np.flatnonzero(keep)


def _cut(boxes: Floats, region: Region, width: int, height: int) -> NDArray[np.bool_]:
    """Whether boxes end at an inner edge of their tile: bool (n, 4), left, top, right, bottom."""
    x, y, w, h = region
    edges = np.array([x * width, y * height, (x + w) * width, (y + h) * height], np.float32)
    inner = np.array([x > 1e-6, y > 1e-6, x + w < 1 - 1e-6, y + h < 1 - 1e-6])
    slack = np.array([w * width, h * height] * 2, np.float32) * SEAM
    beyond = np.concatenate([boxes[:, :2] <= edges[:2] + slack[:2], boxes[:, 2:] >= edges[2:] - slack[2:]], 1)
    return np.asarray(beyond & inner, np.bool_)


def _areas(boxes: Floats) -> Floats:
    return np.asarray((boxes[..., 2:] - boxes[..., :2]).clip(0).prod(-1), np.float32)


def _intersections(box: Floats, others: Floats) -> Floats:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return np.asarray(sides.clip(0).prod(1), np.float32)


def _unions(box: Floats, others: Floats, intersections: Floats) -> Floats:
    return np.asarray(_areas(box) + _areas(others) - intersections, np.float32)


def _goes_on(box: Floats, cut: NDArray[np.bool_], others: Floats, cuts: NDArray[np.bool_]) -> Floats:
    """How well others that are cut at the opposite edge go on where a box is cut: overlap along the seam, 0 to 1."""
    best = np.zeros(len(others), np.float32)
    for edge, along in ((0, 1), (2, 1), (1, 0), (3, 0)):
        if cut[edge]:
            low = np.maximum(box[along], others[:, along])
            high = np.minimum(box[along + 2], others[:, along + 2])
            reach = np.maximum(box[along + 2], others[:, along + 2]) - np.minimum(box[along], others[:, along])
            overlap = (high - low) / np.maximum(reach, 1e-9)
            best = np.where(cuts[:, (edge + 2) % 4], np.maximum(best, overlap), best)
    return best


def _concatenated(parts: Sequence[Detections]) -> Detections:
    """All objects in arrays of their own. Masks, key points and corners stay with their boxes."""
    first = parts[0]

    def together(name: str) -> NDArray[np.float32] | None:
        values = [getattr(part, name) for part in parts]
        return None if any(value is None for value in values) else np.concatenate(values)

    masks = None
    if all(part.masks is not None for part in parts):
        patches = tuple(patch for part in parts if part.masks is not None for patch in part.masks.patches)
        places = np.concatenate([part.masks.places for part in parts if part.masks is not None])
        masks = type(first.masks)(patches, places) if first.masks is not None else None
    return replace(
        first,
        boxes=np.concatenate([part.boxes for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        keypoints=together("keypoints"),
        keypoint_scores=together("keypoint_scores"),
        corners=together("corners"),
        masks=masks,
    )
