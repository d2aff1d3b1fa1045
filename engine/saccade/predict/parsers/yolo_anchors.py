"""YOLOv5 and YOLOv7: three anchors a cell, objectness, and boxes in px of the input.

A table (1, 3 * cells, 5 + classes [+ 32 coefficients of masks]) is decoded by the graph. Older exports have, besides it
or instead of it, the three maps (1, 3, h, w, 5 + classes) of the last convolutions; a file does not say by whose
anchors they are meant.

Formats: ultralytics/yolov5 `models/yolo.py` and `export.py`; WongKinYiu/yolov7 `models/yolo.py`.
"""

from __future__ import annotations

from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings
from saccade.predict.parsers.anchor_maps import AnchorMaps, Pairs, cells_of, find_maps
from saccade.predict.parsers.darknet import V4
from saccade.predict.parsers.yolo_parts import (
    ULTRALYTICS,
    Dense,
    are_scores,
    box_unit,
    find_prototypes,
    find_table,
    probe,
)

V5: Pairs = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
DEFAULTS = Settings(score=0.25, iou=0.45, top=1000)
ANCHORS = {"yolov5": V5, "yolov7": V4}


def claims(evidence: Evidence) -> Claims:
    """A table with a row an anchor, or three maps with a dimension of anchors."""
    found = find_table(evidence, anchors=3)
    if found is None:
        yield from _maps(evidence)
        return
    table, others = found
    prototypes = find_prototypes(evidence, others)
    family, more = ("yolov5-seg", prototypes.channels) if prototypes is not None else ("yolov5", 0)
    classes = table.channels - 5 - more
    if classes >= 1 and are_scores(probe(evidence, table)[:, 4 : 5 + classes]):
        names, unit = evidence.names, box_unit(evidence, table)
        parser = Dense(family, table, names, DEFAULTS, layout="cxcywh-obj", unit=unit, extra=prototypes)
        yield Claim(family, "detect", 2, "a row for each of three anchors a cell, with objectness", parser, ULTRALYTICS)


def _maps(evidence: Evidence) -> Claims:
    """Maps that the last convolutions give, with the anchors that the files give, or else those of each of the two;
    maps of Darknet's form where the user says that they are ours.
    """
    maps = [each.of(3) for each in find_maps(evidence)]
    ours = all(each.form == "anchors" for each in maps) and evidence.metadata.producer != "darknet"
    if len(maps) != 3 or maps[0].classes < 1 or not (ours or evidence.head in ANCHORS):
        return
    own = evidence.metadata.anchors
    candidates = {"yolov5": own} if len(own) == 9 else ANCHORS
    layout = "v5-region-obj" if all("Sigmoid" in each.port.after for each in maps) else "v5-obj"
    for family, anchors in candidates.items():
        if evidence.head in ("", family):
            cells = [cells_of(evidence, each.stride, anchors[3 * i : 3 * i + 3]) for i, each in enumerate(maps)]
            parser = AnchorMaps(family, maps, cells, evidence.names, layout=layout)
            why = f"three raw maps with the anchors of {family}"
            yield Claim(family, "detect", 2 if own else 1, why, parser, ULTRALYTICS)
