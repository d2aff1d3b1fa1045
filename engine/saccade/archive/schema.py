"""The results: one row an object, a class or a frame, as a Parquet file. docs/archive.md explains each column."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from saccade.archive.manifest import Item
from saccade.results import Detections, Result

VERSION = "1"
KEY = b"saccade.archive.results"

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("version", pa.string()),
        ("segment", pa.int32()),
        ("time", pa.float64()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("label", pa.string()),
        ("score", pa.float32()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
        ("data", pa.string()),
        ("crop", pa.binary()),
    ],
    {KEY: VERSION.encode()},
)
"""status : object, class, frame (one that was looked at and shows nothing, or more than boxes and classes: `data`),
error. time : s from the begin of a video, null for pictures. x1 … y2 : px of the upright source picture."""

Row = dict[str, Any]


def rows_of(item: Item, result: Result) -> Iterator[Row]:
    """What a frame gives. Numbers are rounded as in events, which is far below what they mean."""
    base: Row = {
        "path": item.path, "version": item.version, "segment": item.segment, "width": result.width,
        "height": result.height, "time": None if item.kind == "picture" else round(result.time, 6),
    }  # fmt: skip
    count = 0
    if result.detections is not None:
        for row in _objects(result.detections):
            count += 1
            yield base | row
    elif result.classes is not None and not result.heads:
        for event in result.classes.to_event():
            count += 1
            yield base | {"status": "class", "label": event["label"], "score": event["prob"]}
    event = {
        key: value
        for key, value in result.to_event().items()
        if key not in ("frame", "time", "app", "file", "detections") and (key != "classes" or result.heads)
    }
    if not count or event:
        yield base | {"status": "frame", "data": json.dumps(event, sort_keys=True) if event else None}


def _objects(found: Detections) -> Iterator[Row]:
    for event in found.to_event():
        more = {key: value for key, value in event.items() if key in ("keypoints", "corners")}
        yield {
            "status": "object", "label": event["label"], "score": event["prob"], "x1": event["xmin"],
            "y1": event["ymin"], "x2": event["xmax"], "y2": event["ymax"],
            "data": json.dumps(more, sort_keys=True) if more else None,
        }  # fmt: skip


def error_row(item: Item, error: object) -> Row:
    """What is said of an item, or of a part of it, that cannot be read."""
    return {
        "path": item.path, "version": item.version, "segment": item.segment, "status": "error", "error": str(error)
    }  # fmt: skip


def table_of(rows: list[Row]) -> pa.Table:
    """Rows as a table of this schema."""
    return pa.Table.from_pylist(rows, SCHEMA)
