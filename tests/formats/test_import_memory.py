"""What files that were made to be dear take: little beside the file, however they are cut up."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from memory import peak, reset_peak
from saccade.errors import SaccadeError
from saccade.formats import tensorflow, tflite
from saccade.formats.caffe.caffemodel import read_caffemodel
from saccade.formats.caffe.prototxt import read_prototxt
from saccade.formats.mxnet.params import read_params
from saccade.formats.mxnet.symbol import read_symbol
from small_networks import field, varint

MOST = 100 << 20  # bytes: ten times as much as a file here


def archive(members: int) -> bytes:
    """A TFLite file with texts of 4 MB each behind it, packed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(members):
            file.writestr(f"{number}.txt", bytes(4 << 20))
    return b"\x1c\0\0\0TFL3" + bytes(40) + packed.getvalue()


def layer_of(blob: bytes, count: int = 1) -> bytes:
    return field(100, field(1, "a") + field(7, blob) * count)


DEAR: dict[str, tuple[Callable[[Path], object], bytes]] = {
    "marks without fields": (read_prototxt, b";" * (4 << 20)),
    "empty messages": (read_prototxt, b"a{}" * (1 << 20)),
    "empty lists": (read_symbol, b'{"nodes": [' + b"[]," * (6 << 20) + b"[]]}"),
    "empty arrays": (read_params, struct.pack("<QQQ", 0x112, 0, 1 << 20) + bytes(8 << 20)),
    "empty blobs": (read_caffemodel, layer_of(field(7, field(1, b"\0")), 1 << 19)),
    "scattered numbers": (read_caffemodel, layer_of((varint(5 << 3 | 5) + bytes(4) + field(9, 0)) * (1 << 19))),
    "packed texts": (tflite.metadata, archive(50)),
}


@pytest.mark.parametrize("name", DEAR)
def test_little_beside_the_file(name: str, tmp_path: Path) -> None:
    read, content = DEAR[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    before = reset_peak()
    with contextlib.suppress(SaccadeError):
        read(path)
    assert peak() - before < MOST


@pytest.mark.parametrize(
    ("name", "head", "read"),
    [
        ("a.params", struct.pack("<QQQ", 0x112, 0, 1), read_params),
        ("a.caffemodel", field(100, b""), read_caffemodel),
        ("a.pb", varint(1 << 3 | 2) + varint(1 << 40), tensorflow.read),
        ("saved_model.pb", b"\x08\x01", tensorflow.read),
    ],
)
def test_files_of_holes_are_not_read(name: str, head: bytes, read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(head)
        file.truncate(1 << 40)
    with pytest.raises(SaccadeError, match=r"\d+ bytes are too many for .*; at most 2147483648 are read"):
        read(path)
