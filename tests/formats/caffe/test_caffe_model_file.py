"""`.caffemodel` files of both generations, and files that lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from caffe_files import blob, caffemodel

from saccade.errors import ModelError
from saccade.formats.caffe.caffemodel import parse_caffemodel, read_caffemodel
from small_networks import field, varint

WEIGHTS = {
    "conv": [np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.float32([1, -2])],
    "ip": [np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)],
}


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize("form", ["packed", "single", "double", "old"])
def test_weights_are_read_in_every_form(form: str, generation: int) -> None:
    read = parse_caffemodel(caffemodel(WEIGHTS, form, generation))
    assert list(read) == ["conv", "ip"]
    for name, arrays in WEIGHTS.items():
        for got, expected in zip(read[name], arrays, strict=True):
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got.reshape(expected.shape), expected)
    assert read["conv"][1].shape == ((1, 1, 1, 2) if form == "old" else (2,))


def test_runs_of_single_numbers_in_pieces() -> None:
    """Tags of other fields between the numbers, and runs longer than the first step of the search."""
    values = np.arange(1000, dtype=np.float32)
    single = blob(values, "single")
    head, body = field(7, field(1, varint(1000))), single[: 5 * 1000]
    mixed = head + body[: 5 * 3] + field(60, 9) + body[5 * 3 : 5 * 700] + field(61, b"zz") + body[5 * 700 :]
    data = field(100, field(1, b"a") + field(7, mixed))
    np.testing.assert_array_equal(parse_caffemodel(data)["a"][0], values)


def layer(blob_bytes: bytes) -> bytes:
    return field(100, field(1, b"a") + field(7, blob_bytes))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no layers"),
        (field(1, b"only a name"), "holds no layers"),
        (b"\xff" * 20, "no number at byte"),
        (b"\x07\x01", "wire type 7"),
        (caffemodel(WEIGHTS)[:-40], "cut off"),
        (field(100, b"\x0a\xff\xff\xff\xff\x7f"), "claims 34359738367 bytes"),
        (layer(field(5, b"\0" * 7)), "has 7 bytes, no multiple of 4"),
        (layer(field(8, b"\0" * 12)), "has 12 bytes, no multiple of 8"),
        (
            layer(field(7, field(1, varint(1 << 40))) + field(5, b"\0" * 16)),
            r"holds 4 numbers, but claims the shape \(1099",
        ),
        (layer(field(7, field(1, varint((1 << 64) - 4))) + field(5, b"\0" * 16)), "claims the shape"),
        (layer(field(1, 1 << 62) + field(2, 1 << 62) + field(5, b"\0" * 16)), "claims the shape"),
        (layer(field(7, field(1, b"\1" * 40)) + field(5, b"\0" * 4)), "claims the shape"),
        (layer(b"\x2d\0\0"), "cut off|within a number"),
    ],
)
def test_damage_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.caffemodel"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message) as caught:
        read_caffemodel(path)
    assert str(caught.value).startswith(str(path))


def test_blob_without_numbers_is_empty() -> None:
    assert parse_caffemodel(layer(field(7, field(1, varint(0)))))["a"][0].size == 0


def test_larger_than_any_message(tmp_path: Path) -> None:
    path = tmp_path / "x.caffemodel"
    with path.open("wb") as file:
        file.truncate((1 << 31) + 1)
    with pytest.raises(ModelError, match="bytes are too many for the weights of a Caffe network"):
        read_caffemodel(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_caffemodel(tmp_path / "none.caffemodel")
