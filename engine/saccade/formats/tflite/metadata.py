"""What a TFLite file says of itself besides the network.

There are two places: a zip archive that is appended to the file (label files; Ultralytics' description), and a buffer
called TFLITE_METADATA (how the input is normalised, which files hold the labels).
Formats: tflite-support `metadata/metadata_schema.fbs`, whose field numbers are used here; Ultralytics'
`engine/exporter.py`, as JSON today and as a Python literal before.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from saccade.errors import ModelError
from saccade.formats.literals import literal
from saccade.formats.tflite.flatbuffer import Buffer, FlatBufferTable, root

_log = logging.getLogger(__name__)

MOST_MEMBERS = 256
"""Of the archive, and of each list in TFLITE_METADATA."""

MOST_BYTES = 4 << 20
"""Of all texts in the archive together: far more than any list of names."""

_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of a member: those that writers of such files use."""

_AXIS_LABELS, _VALUE_LABELS = 2, 3
_NORMALIZATION, _THRESHOLDING = 1, 3
_IMAGE = 2
_COLOURS = {1: "RGB", 2: "GRAYSCALE"}
_LABEL_FILES = ("labelmap.txt", "label_map.txt", "labels.txt", "labels.names", "classes.txt")


def metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the file says, as it says it; an empty dictionary where it is silent.

    `ultralytics` : its description (`task`, `names`, `imgsz`, ...). `tflite` : `mean` and `std` (lists of numbers),
    `color_space`, `labels` (a list of texts), `score_threshold`. What is damaged is passed over with a warning.
    Raises ModelError where the file cannot be opened.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            texts = _texts(file, path)
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    found: dict[str, Any] = {}
    for name, text in texts.items():
        value = literal(text) if text.lstrip().startswith("{") else None
        if isinstance(value, dict) and {"names", "task", "stride"} & value.keys():
            found["ultralytics"] = {str(key): entry for key, entry in value.items()}
            texts.pop(name)
            break
    try:
        facts = _described(data, texts)
    except ModelError as error:
        _log.warning("%s: its TFLITE_METADATA %s; they are passed over", path, error)
        facts = {}
    labels = facts.get("labels") or _labels(texts)
    if labels:
        facts["labels"] = labels
    return found | ({"tflite": facts} if facts else {})


def _texts(file: IO[bytes], path: Path) -> dict[str, str]:
    """The texts in the archive behind the network, by name; nothing large is unpacked."""
    try:
        if not _has_archive(file):
            return {}
        with zipfile.ZipFile(file) as archive:
            texts, left = {}, MOST_BYTES
            for member in archive.infolist():
                if not member.filename or member.is_dir() or member.compress_type not in _PACKINGS:
                    continue
                if member.file_size <= left:
                    texts[member.filename] = _text(archive, member)
                    left -= member.file_size
            return texts
    except (OSError, ValueError, zipfile.BadZipFile, RuntimeError, EOFError, zlib.error) as error:
        _log.warning("%s: the archive behind the network cannot be read (%s) and is passed over", path, error)
        return {}


def _has_archive(file: IO[bytes]) -> bool:
    """Whether an archive of reasonable size ends the file.

    Its list of members is read as a whole, so that how long it claims to be matters.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 22))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        return False
    members, listed = struct.unpack_from("<HI", tail, at + 10)
    if members > MOST_MEMBERS or listed > MOST_BYTES:
        raise ValueError(f"{members} members; at most {MOST_MEMBERS} are looked at")
    return True


def _text(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    with archive.open(member) as file:
        return file.read(member.file_size).decode("utf-8-sig", "replace")


def _labels(texts: dict[str, str]) -> list[str]:
    """Names of the classes: of the file that is called so, else of the only one there is."""
    names = {Path(name).name.lower(): text for name, text in texts.items() if name.lower().endswith((".txt", ".names"))}
    chosen = [names[name] for name in _LABEL_FILES if name in names] or [
        text for name, text in names.items() if "label" in name
    ]
    if not chosen and len(names) == 1:
        chosen = list(names.values())
    return _lines(chosen[0]) if chosen else []


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.rstrip().splitlines()]


def _described(data: Buffer, texts: dict[str, str]) -> dict[str, Any]:
    """What the buffer TFLITE_METADATA says."""
    described = _buffer(data)
    if described is None:
        return {}
    subgraph = next(described.tables(3, MOST_MEMBERS), None)
    if subgraph is None:
        return {}
    facts: dict[str, Any] = {}
    for tensor in subgraph.tables(2, MOST_MEMBERS):
        facts |= _of_input(tensor)
        if "mean" in facts:
            break  # the first is the picture; others are sizes and the like
    outputs = list(subgraph.tables(3, MOST_MEMBERS))
    for tensor in outputs:
        for options in _units(tensor, _THRESHOLDING):
            facts.setdefault("score_threshold", float(options.number(0, "f")))
    files = [file for tensor in outputs for file in tensor.tables(6, MOST_MEMBERS)] + list(
        described.tables(6, MOST_MEMBERS)
    )
    for kind in (_VALUE_LABELS, _AXIS_LABELS):
        named = [file for file in files if file.number(2, "b") == kind and file.text(0) in texts]
        # One a language: the first is the default.
        if named and "labels" not in facts:
            facts["labels"] = _lines(texts[named[0].text(0)])
    return facts


def _buffer(data: Buffer) -> FlatBufferTable | None:
    model = root(data)
    entry = next((table for table in model.tables(6, MOST_MEMBERS) if table.text(0) == "TFLITE_METADATA"), None)
    if entry is None:
        return None
    wanted = entry.number(1, "I")
    for index, table in enumerate(model.tables(4)):
        if index == wanted:
            inside = table.array(0, "u1").tobytes()
            if inside[4:8] != b"M001":
                raise ModelError("are of another form than M001")
            return root(inside)
    raise ModelError(f"should be in buffer {wanted}, which is not there")


def _of_input(tensor: FlatBufferTable) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for options in _units(tensor, _NORMALIZATION):
        mean, std = (options.array(field, "<f4")[:4].tolist() for field in (0, 1))
        if mean and std:
            facts |= {"mean": mean, "std": std}
    content = tensor.table(3)
    properties = content.table(1) if content is not None and content.number(0, "B") == _IMAGE else None
    colour = _COLOURS.get(properties.number(0, "b")) if properties is not None else None
    return facts | ({"color_space": colour} if colour else {})


def _units(tensor: FlatBufferTable, kind: int) -> Iterator[FlatBufferTable]:
    """Options of the process units of a kind."""
    for unit in tensor.tables(4, MOST_MEMBERS):
        options = unit.table(1)
        if unit.number(0, "B") == kind and options is not None:
            yield options
