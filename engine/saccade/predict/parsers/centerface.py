"""CenterFace: a face is a high place of a map, with a size, an offset and five points at the same place.

Maps at a quarter of the input: heat (1), size (2: logarithms of height and width in cells), offset (2: y, x in cells),
points (10: y, x of each, as parts of the box from its upper left corner). Format: Star-Clouds/CenterFace,
`prj-python/centerface.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from saccade.kernels import nms
from saccade.networks.network import Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.dense import as_detections, is_sound, only_name
from saccade.predict.parsers.heatmap import STRIDE, maps_by_channels, size_and_offset
from saccade.results import Detections

POINTS = 5


def claims(evidence: Evidence) -> Claims:
    """Maps of one, two, two and ten channels."""
    maps = maps_by_channels(evidence)
    if maps is None or {channels: len(ports) for channels, ports in maps.items()} != {1: 1, 2: 2, 2 * POINTS: 1}:
        return
    size, offset = size_and_offset(evidence, maps[2]) or _as_exported(maps[2])
    ports = (maps[1][0], size, offset, maps[2 * POINTS][0])
    parser = CenterFace(ports, only_name(evidence))
    spec = {"swap_rb": True, "resize": "stretch"}
    yield Claim("centerface", "detect", 2, "maps of heat, sizes, offsets and five points", parser, spec)


def _as_exported(ports: Sequence[Port]) -> tuple[Port, Port]:
    """Sizes before offsets, as the file's makers wrote them: by number where the names are numbers, else by place."""
    if all(re.fullmatch(r"\d+", port.name) for port in ports):
        ports = sorted(ports, key=lambda port: int(port.name))
    return ports[0], ports[1]


class CenterFace:
    """Points are the eyes, the nose and the corners of the mouth, each time the left one of the picture first."""

    family = "centerface"
    task: Task = "detect"
    defaults = Settings(score=0.5, iou=0.3)

    def __init__(self, ports: tuple[Port, Port, Port, Port], names: tuple[str, ...]) -> None:
        self.names = names
        self._names = tuple(port.name for port in ports)
        self._grid = ports[0].shape[2:]

    def parse(self, outputs: Outputs, settings: Settings) -> Detections:
        """Faces."""
        heat, size, offset, points = (outputs[name].reshape(-1, *self._grid) for name in self._names)
        with np.errstate(invalid="ignore"):
            row, column = np.nonzero(np.isfinite(heat[0]) & (heat[0] >= np.float32(settings.score)))
        scores = heat[0, row, column]
        with np.errstate(invalid="ignore", over="ignore"):
            extent = STRIDE * np.exp(size[::-1, row, column].T)
            centre = np.stack([column, row], 1) + offset[::-1, row, column].T + np.float32(0.5)
            corner = STRIDE * centre - extent / 2
            boxes = np.concatenate([corner, corner + extent], 1).astype(np.float32)
            places = points[:, row, column].T.reshape(-1, POINTS, 2)[..., ::-1] * extent[:, None] + corner[:, None]
        whole = np.flatnonzero(is_sound(boxes))
        kept = whole[nms(boxes[whole], scores[whole], settings.iou)][: settings.top]
        found = np.column_stack([np.zeros(len(kept)), scores[kept], boxes[kept], kept]).astype(np.float32)
        return as_detections(found, self.names, places[kept].reshape(len(kept), 2 * POINTS).astype(np.float32))
