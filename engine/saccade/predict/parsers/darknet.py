"""Darknet's YOLOs: v2, v3, v4 and their tiny ones, with a RegionYolo layer at their end, or without.

A RegionYolo layer (OpenVINO's operation) has the anchors among its attributes and has applied the sigmoid, in v2 the
softmax too. A file converted to Caffe or ONNX ends in the convolutions before it, and knows nothing of anchors: they
are in the `.cfg`, or the user says that they are those of a network that Darknet published.

Formats: OpenVINO RegionYolo-1; Darknet `src/yolo_layer.c`, `src/region_layer.c` and `cfg/*.cfg`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from saccade.networks.network import Port
from saccade.predict.evidence import Claim, Claims, Evidence, Refusal
from saccade.predict.parsers.anchor_maps import AnchorMaps, Map, Pairs, SoftmaxMap, cells_of, find_maps
from saccade.predict.parsers.common import size_of

log = logging.getLogger(__name__)

INPUT: dict[str, Any] = {"swap_rb": True, "scale": (255.0,) * 3}
"""Darknet's own input, but stretched; an IR has the scaling inside as a rule, and wants BGR."""

V3: Pairs = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
V4: Pairs = ((12, 16), (19, 36), (40, 28), (36, 75), (76, 55), (72, 146), (142, 110), (192, 243), (459, 401))
TINY: Pairs = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
V2_COCO: Pairs = ((0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434), (7.88282, 3.52778), (9.77052, 9.16828))
V2_VOC: Pairs = ((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892), (9.47112, 4.84053), (11.2364, 10.0071))
V2_TINY_VOC: Pairs = ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))
"""Anchors of the published networks; v2's in cells."""


class Known(NamedTuple):
    """Anchors of a network, px of the input, finest map first. scale_xy : of each map, see `cells_of`."""

    family: str
    anchors: tuple[Pairs, ...]
    scale_xy: tuple[float, ...]
    origin: str


PUBLISHED = (
    Known("yolov3", (V3[:3], V3[3:6], V3[6:]), (1.0, 1.0, 1.0), "YOLOv3 (else put its Darknet .cfg beside it)"),
    Known("yolov4", (V4[:3], V4[3:6], V4[6:]), (1.2, 1.1, 1.05), "YOLOv4 (else put its Darknet .cfg beside it)"),
    Known("yolov3-tiny", (TINY[:3], TINY[3:]), (1.0, 1.0), "YOLOv3-tiny (else put its Darknet .cfg beside it)"),
    Known("yolov4-tiny", (TINY[1:4], TINY[3:]), (1.05, 1.05), "YOLOv4-tiny (else put its Darknet .cfg beside it)"),
)

PUBLISHED_V2 = (("yolov2", V2_COCO, 80), ("yolov2-voc", V2_VOC, 20), ("yolov2-tiny-voc", V2_TINY_VOC, 20))


def claims(evidence: Evidence) -> Claims:
    """RegionYolo layers; maps of grids with three anchors a cell; one map with five."""
    if evidence.outputs and all(port.layer_type == "RegionYolo" for port in evidence.outputs):
        yield from _regions(evidence)
        return
    maps = find_maps(evidence)
    if len(maps) == 1 and not evidence.metadata.anchor_masks:
        yield from _one_map(evidence, maps[0])
    elif maps and (maps[0].form != "anchors" or _says_darknet(evidence)):
        yield from _raw(evidence, maps)


def _says_darknet(evidence: Evidence) -> bool:
    """Whether somebody says that maps are ours whose form is that of YOLOv5."""
    return evidence.metadata.producer == "darknet" or evidence.head in {known.family for known in PUBLISHED}


def _regions(evidence: Evidence) -> Claims:
    """What the layers' own attributes say."""
    maps, cells = [], []
    for port in evidence.outputs:
        found = _region(evidence, port)
        if found is None:
            return
        maps.append(found)
        anchors = _region_anchors(evidence, port, found)
        if len(anchors) != found.anchors:
            yield _missing(evidence, "a RegionYolo layer without anchors")
            return
        cells.append(cells_of(evidence, found.stride, anchors))
    if len({each.classes for each in maps}) == 1 and maps[0].classes >= 1:
        family = "yolov2" if maps[0].port.attributes.get("do_softmax") else "yolov3"
        names = evidence.names
        parser = AnchorMaps(family, maps, cells, names, layout="region-obj")
        yield Claim(family, "detect", 2, "it ends in RegionYolo layers", parser)


def _region(evidence: Evidence, port: Port) -> Map | None:
    """The map that such a layer gives, (1, anchors * row, h, w) or the same in one dimension."""
    attributes = port.attributes
    anchors = _region_mask(attributes)
    numbers = len(anchors) * (5 + int(attributes.get("classes", 0)))
    for stride in (32, 16, 8, 64):
        height, width = evidence.grid(stride)
        flat = len(port.shape) < 4 or port.shape[2:] == (height, width)
        if flat and size_of(port) == numbers * height * width and int(attributes.get("coords", 4)) == 4:
            return Map(port, stride, numbers, "planes", len(anchors))
    return None


def _region_mask(attributes: Mapping[str, Any]) -> list[int]:
    """Numbers of the anchors that the map has."""
    mask = [int(i) for i in attributes.get("mask", ())]
    return mask if mask and not attributes.get("do_softmax") else list(range(int(attributes.get("num", 0))))


def _region_anchors(evidence: Evidence, port: Port, found: Map) -> Pairs:
    """The layer's anchors, px; where it has none, those of the files, or of the published networks; or nothing."""
    attributes = port.attributes
    own = [float(v) for v in attributes.get("anchors", ())]
    softmax = bool(attributes.get("do_softmax"))
    pairs: Pairs = tuple(zip(own[::2], own[1::2], strict=False))
    if softmax:
        pairs = _in_px(pairs, found.stride)
    pairs = pairs or evidence.metadata.anchors
    if not pairs and (found.classes == 80 or evidence.head):
        usual: dict[int, Pairs] = {len(V2_COCO): _in_px(V2_COCO, found.stride)} if softmax else {9: V3, 6: TINY}
        pairs = usual.get(int(attributes.get("num", 0)), ())
        if pairs:
            log.warning(
                "%s: its RegionYolo layers have no anchors; those of the network that Darknet published are taken (put "
                "its .cfg beside it where it has others)", evidence.name,
            )  # fmt: skip
    return tuple(pairs[i] for i in _region_mask(attributes) if i < len(pairs))


def _in_px(anchors: Pairs, stride: int) -> Pairs:
    return tuple((w * stride, h * stride) for w, h in anchors)


def _raw(evidence: Evidence, maps: tuple[Map, ...]) -> Claims:
    """Maps before the last layer, with the anchors that the files give, or else those of each published network."""
    sigmoid = any("Sigmoid" in each.port.after for each in maps)
    found = False
    for known in _known(evidence, len(maps)):
        whole = [each.of(len(pairs)) for each, pairs in zip(maps, known.anchors, strict=True)]
        squared = set(known.scale_xy) == {2.0}
        if whole[0].classes < 1 or sigmoid != squared:
            continue
        found = True
        scales = (1.0,) * len(maps) if squared else known.scale_xy
        cells = [
            cells_of(evidence, each.stride, pairs, scale)
            for each, pairs, scale in zip(whole, known.anchors, scales, strict=True)
        ]
        layout = "v5-region-obj" if squared else "darknet-obj"
        parser = AnchorMaps(known.family, whole, cells, evidence.names, layout=layout)
        why = f"{len(maps)} raw maps with the anchors of {known.origin}"
        yield Claim(known.family, "detect", 2 if evidence.metadata.anchors else 1, why, parser, INPUT)
    if not found and maps[0].of(3).classes >= 1:
        yield _missing(evidence, _in_words(maps[0], len(maps)))


def _known(evidence: Evidence, count: int) -> Iterator[Known]:
    """Anchors that so many maps may have."""
    metadata = evidence.metadata
    if metadata.anchors:
        anchors, scales = _by_map(metadata.anchors, metadata.anchor_masks, metadata.scale_xy, count)
        if anchors:
            family = next((k.family for k in PUBLISHED if k.family == evidence.head), "yolov3")
            yield Known(family, anchors, scales, metadata.origins.get("anchors", "the file beside it"))
        return
    for known in PUBLISHED:
        if evidence.head in ("", known.family) and len(known.anchors) == count:
            yield known


def _by_map(
    pairs: Pairs, masks: tuple[tuple[int, ...], ...], scales: tuple[float, ...], count: int
) -> tuple[tuple[Pairs, ...], tuple[float, ...]]:
    """Anchors of each of `count` maps, finest first, and their factors; nothing where they do not go round.

    Files list the maps in the order of their layers: the map with the largest anchors is the coarsest.
    """
    if not masks and len(pairs) % count == 0:
        share = len(pairs) // count
        masks = tuple(tuple(range(i * share, (i + 1) * share)) for i in range(count))
    if len(masks) != count or not all(mask and 0 <= min(mask) <= max(mask) < len(pairs) for mask in masks):
        return (), ()
    if len(scales) != count:
        scales = (scales[0] if scales else 1.0,) * count
    sets = [tuple(pairs[i] for i in mask) for mask in masks]
    order = sorted(range(count), key=lambda i: sum(w * h for w, h in sets[i]) / len(sets[i]))
    return tuple(sets[i] for i in order), tuple(scales[i] for i in order)


def _one_map(evidence: Evidence, found: Map) -> Claims:
    """YOLOv2, whose single map has five anchors a cell; two published networks for VOC differ in them."""
    known = False
    for family, pairs, certainty in _v2_anchors(evidence, found):
        whole = found.of(len(pairs))
        known |= whole.classes >= 1
        if whole.classes >= 1 and evidence.head in ("", family):
            cells = [cells_of(evidence, found.stride, pairs)]
            parser = SoftmaxMap(family, [whole], cells, evidence.names, layout="")
            yield Claim(family, "detect", certainty, f"one raw map with the anchors of {family}", parser, INPUT)
    if not known and max(found.of(3).classes, found.of(5).classes) >= 1:
        yield _missing(evidence, _in_words(found, 1))


def _v2_anchors(evidence: Evidence, found: Map) -> Iterator[tuple[str, Pairs, int]]:
    if evidence.metadata.anchors:
        family = next((name for name, *_ in PUBLISHED_V2 if name == evidence.head), "yolov2")
        yield family, evidence.metadata.anchors, 2
        return
    for family, pairs, classes in PUBLISHED_V2:
        if found.stride == 32 and (family == evidence.head or found.of(len(pairs)).classes == classes):
            yield family, _in_px(pairs, found.stride), 1


def _in_words(found: Map, count: int) -> str:
    return f"{count} map{'s' * (count > 1)} with {found.numbers} numbers a cell, as a raw YOLO has"


def _missing(evidence: Evidence, seen: str) -> Refusal:
    """Nearly a network of ours."""
    heads = [*(known.family for known in PUBLISHED), *(family for family, _, _ in PUBLISHED_V2), "yolov5", "yolov7"]
    why = (
        f"it has {seen}, but no file says which anchors it was trained with; put its Darknet .cfg beside it (same "
        f"stem), or say --head where its anchors are those of a published network ({', '.join(heads)})"
    )
    return Refusal("yolov3", "detect", 0, why)
