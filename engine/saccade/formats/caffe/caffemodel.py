"""Reader of `.caffemodel` files: the weights of each layer, from protobuf's wire format, without protobuf.

Field numbers are those of BVLC's `caffe.proto`; both generations of layers are read, unknown fields are skipped.
Blobs are views of the bytes that were read wherever these are aligned.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from saccade.errors import ModelError
from saccade.formats.importing import MOST_BYTES, naming, read_bytes
from saccade.formats.layers import Array
from saccade.formats.protobuf import FIXED32, FIXED64, field, fields, varint, varints

MAX_BLOBS = 200_000
"""Of a whole file."""

MAX_PIECES = 1024
"""Of one blob: writers make one, packed or a run of single numbers."""

_LAYERS = {100: (1, 7), 2: (4, 6)}
"""Field of a layer in NetParameter -> the fields of its name and its blobs (2 is the first generation)."""


def read_caffemodel(path: Path) -> dict[str, list[Array]]:
    """The blobs of each layer that has some, by the layer's name; float32, read-only.

    Raises
    ------
    ModelError
        The file is missing, cut off, no caffemodel, or a blob's sizes are not those of its data.
    """
    with naming(path):
        return parse_caffemodel(read_bytes(path, MOST_BYTES, "the weights of a Caffe network"))


@np.errstate(all="ignore")  # doubles that float32 does not reach become infinite
def parse_caffemodel(data: bytes) -> dict[str, list[Array]]:
    """As `read_caffemodel`, from the file's bytes."""
    weights: dict[str, list[Array]] = {}
    layers = count = 0
    for number, value in fields(memoryview(data)):
        if number not in _LAYERS or not isinstance(value, memoryview):
            continue
        layers += 1
        name_field, blobs_field = _LAYERS[number]
        name, blobs = "", []
        for part_number, part in fields(value):
            if part_number == name_field and isinstance(part, memoryview):
                name = bytes(part).decode("utf-8", "replace")
            elif part_number == blobs_field and isinstance(part, memoryview):
                count += 1
                if count > MAX_BLOBS:
                    raise ModelError(f"more than {MAX_BLOBS} blobs of weights; no network has so many")
                blobs.append(part)
        if blobs:
            weights[name] = [_blob(part, name) for part in blobs]
    if not layers:
        raise ModelError("not a caffemodel: it holds no layers")
    return weights


def _blob(data: memoryview, layer: str) -> Array:
    """A BlobProto: its numbers, in the shape it gives."""
    old = [1, 1, 1, 1]
    shape: list[int] | None = None
    pieces: list[Array] = []
    position, end = 0, len(data)
    while position < end:
        if len(pieces) > MAX_PIECES:
            raise ModelError(f"a blob of layer {layer} lies in more than {MAX_PIECES} pieces; the file is damaged")
        tag, start = varint(data, position)
        number, wire = tag >> 3, tag & 7
        if number in (5, 8) and wire in (FIXED32, FIXED64):
            piece, position = _unpacked(data, position, start, wire)
            pieces.append(piece)
            continue
        value, position = field(data, start, wire)
        if number in (5, 8) and isinstance(value, memoryview):
            width = 4 if number == 5 else 8
            if len(value) % width:
                raise ModelError(f"a blob of layer {layer} has {len(value)} bytes, no multiple of {width}")
            pieces.append(np.frombuffer(value, f"<f{width}"))
        elif number == 7 and isinstance(value, memoryview):
            shape = _dimensions(value)
        elif 1 <= number <= 4 and isinstance(value, int):
            old[number - 1] = value
    if shape is None:
        shape = old
    flat = pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, np.float32), *pieces])
    if len(shape) > 32 or any(size < 0 or size >= 1 << 63 for size in shape) or math.prod(shape) != flat.size:
        raise ModelError(f"a blob of layer {layer} holds {flat.size} numbers, but claims the shape {tuple(shape)}")
    if not flat.size:
        return np.empty(0, np.float32)
    return np.require(flat, np.float32, "A").reshape(shape)


def _unpacked(data: memoryview, tagged: int, start: int, wire: int) -> tuple[Array, int]:
    """A run of numbers that each have their own tag, as files of the first generation have them."""
    head = start - tagged
    width = 4 if wire == FIXED32 else 8
    record, tag = head + width, bytes(data[tagged:start])
    most, count = (len(data) - tagged) // record, 1
    if not most:
        raise ModelError("ends within a number")
    # The run's length is looked for in steps that double, so that many short runs stay cheap.
    while count < most:
        step = min(count, most - count)
        window = np.frombuffer(data, np.uint8, step * record, tagged + count * record).reshape(step, record)
        same = (window[:, :head] == np.frombuffer(tag, np.uint8)).all(axis=1)
        run = step if same.all() else int(same.argmin())
        count += run
        if run < step:
            break
    rows = np.frombuffer(data, np.uint8, count * record, tagged).reshape(count, record)
    values = np.ascontiguousarray(rows[:, head:]).view(f"<f{width}").ravel()
    return values, tagged + count * record


def _dimensions(data: memoryview) -> list[int]:
    """A BlobShape: packed or single varints."""
    sizes: list[int] = []
    for number, value in fields(data):
        if number != 1:
            continue
        sizes += [value] if isinstance(value, int) else varints(value)
    return sizes
