"""What files say of a network: its own, and those beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal

from saccade.networks.spec import Resize, Triple


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Facts from files; None, or empty, where none says anything.

    producer : who wrote them: ultralytics, model-api, ... task : detect, segment, pose, obb, classify, as written.
    head : what the producer calls the network's last part (`Detect`, `RTDETRDecoder`, `ssd`, ...).
    names : of the classes. label_ids : class numbers in the network's numbering, where they are not 0, 1, 2, ...
    keypoints : (points, numbers a point). end2end, nms : the graph itself suppresses boxes.
    mean, scale, color, resize, pad : of the input, see `InputSpec`; color is the order that the network wants.
    size : (height, width) that the network was made for, px. embedded : mean, scale and resize are in the graph.
    score, iou : thresholds. anchors : px of the input, (w, h) pairs. anchor_masks : numbers of the anchors of each map.
    scale_xy : of each map, see `decode_yolo`.
    origins : where each value comes from, by its name here.
    """

    producer: str = ""
    task: str = ""
    head: str = ""
    names: tuple[str, ...] = ()
    label_ids: tuple[int, ...] = ()
    keypoints: tuple[int, int] | None = None
    end2end: bool | None = None
    nms: bool | None = None
    mean: Triple | None = None
    scale: Triple | None = None
    color: Literal["", "bgr", "rgb"] = ""
    resize: Resize | Literal[""] = ""
    pad: int | None = None
    size: tuple[int, int] | None = None
    embedded: bool | None = None
    score: float | None = None
    iou: float | None = None
    anchors: tuple[tuple[float, float], ...] = ()
    anchor_masks: tuple[tuple[int, ...], ...] = ()
    scale_xy: tuple[float, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    def over(self, weaker: Metadata) -> Metadata:
        """These facts, and those of `weaker` where these are silent."""
        silent = [f.name for f in fields(self) if f.name != "origins" and getattr(self, f.name) in (None, "", ())]
        changes = {name: getattr(weaker, name) for name in silent}
        origins = {name: weaker.origins[name] for name in silent if name in weaker.origins}
        return replace(self, **changes, origins={**origins, **self.origins})
