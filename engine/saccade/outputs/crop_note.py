"""What a crop shows, noted in a comment of its JPEG: a folder of crops tells of itself, wherever it is moved to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_NOTE = b"saccade "
"""Begins the comment of a JPEG that is ours."""


def noted(jpeg: bytes, note: Mapping[str, Any]) -> bytes:
    """A JFIF file with a note in a comment segment (ITU-T T.81, B.2.4.5), after the header that has to come first."""
    comment = _NOTE + json.dumps(note, separators=(",", ":")).encode()[: 60 << 10]
    place = 4 + int.from_bytes(jpeg[4:6], "big") if jpeg[2:4] == b"\xff\xe0" else 2
    return jpeg[:place] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[place:]


def note_of(head: bytes) -> Mapping[str, Any]:
    """The note in the beginning of a JPEG; empty where there is none that can be read."""
    place = 2
    while head[place : place + 1] == b"\xff" and head[place + 1 : place + 2] != b"\xda":
        length = int.from_bytes(head[place + 2 : place + 4], "big")
        if length < 2:
            break
        segment = head[place + 4 : place + 2 + length]
        if head[place + 1] == 0xFE and segment.startswith(_NOTE):
            try:
                note = json.loads(segment[len(_NOTE) :])
            except (ValueError, RecursionError):
                return {}
            return note if isinstance(note, dict) else {}
        place += 2 + length
    return {}
