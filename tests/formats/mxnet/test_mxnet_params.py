"""`.params` files: every form that MXNet has written, and files that lie."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from mxnet_files import DTYPES, array_bytes, params_bytes

from saccade.errors import ModelError, UnsupportedError
from saccade.formats.mxnet.params import parse_params, read_params

ARRAYS = {
    "arg:conv_weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "aux:bn_moving_mean": np.linspace(-1, 1, 5, dtype=np.float32),
    "bare.name": np.ones((1, 2), np.float32),
}


@pytest.mark.parametrize("form", ["legacy", "v1", "v2", "v3"])
def test_arrays_are_read_in_every_form(form: str) -> None:
    read = parse_params(params_bytes(ARRAYS, form))
    assert list(read) == ["conv_weight", "bn_moving_mean", "bare.name"]
    for got, expected in zip(read.values(), ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_are_read_in_every_type(dtype: str) -> None:
    array = np.array([[0, 1], [1, 3]]).astype(dtype)
    (read,) = parse_params(params_bytes({"a": array})).values()
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_bfloat16_is_read_as_float32() -> None:
    values = np.array([1.5, -2.0, 0.15625], np.float32)
    body = array_bytes((values.view(np.uint32) >> 16).astype(np.uint16), dtype=12)
    data = struct.pack("<QQQ", 0x112, 0, 1) + body + struct.pack("<QQ", 1, 1) + b"a"
    np.testing.assert_array_equal(parse_params(data)["a"], values)


def test_array_without_axes_is_empty_before_v3_and_a_number_in_v3() -> None:
    assert parse_params(params_bytes({"a": np.array(7, np.float32)}, "v2"))["a"].size == 0
    assert parse_params(params_bytes({"a": np.array(7, np.float32)}, "v3"))["a"] == 7


def test_memory_is_shared_and_writable(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    path.write_bytes(params_bytes({"a": np.zeros(1000, np.float32)}))
    array = read_params(path)["a"]
    assert array.flags.writeable
    assert not array.flags.owndata


def _file(body: bytes, arrays: int = 1, names: int = 1) -> bytes:
    return struct.pack("<QQQ", 0x112, 0, arrays) + body + struct.pack("<Q", names) + struct.pack("<Q", 1) + b"a"


GOOD = array_bytes(np.ones(4, np.float32))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "needs 24 more"),
        (b"\0" * 64, "starts with 0x0"),
        (b'{"nodes": []}' * 9, "not an MXNet parameter file"),
        (_file(GOOD, arrays=1 << 60), "claims 1152921504606846976 arrays"),
        (_file(GOOD, names=0), "holds 1 arrays but 0 names"),
        (_file(GOOD, names=7), "holds 1 arrays but 7 names"),
        (_file(GOOD) + b"x", "1 bytes follow"),
        (_file(GOOD)[:-30], "ends at byte"),
        (_file(array_bytes(np.ones(4, np.float32), dtype=77)), "unknown type 77"),
        (_file(array_bytes(np.ones(4, np.float32), dtype=-1)), "unknown type -1"),
        (_file(struct.pack("<I", 33) + b"\1\0\0\0" * 40), "33 dimensions"),
        (_file(struct.pack("<Iii", 0xF993FAC9, 0, -7) + b"\0" * 40), "-7 dimensions"),
        (_file(struct.pack("<Iii2q3i", 0xF993FAC9, 0, 2, 1 << 40, 1 << 40, 1, 0, 0)), "ends at byte"),
        (_file(struct.pack("<Iii2q", 0xF993FAC9, 0, 2, -3, 4) + struct.pack("<iii", 1, 0, 0)), "cannot be negative"),
        (_file(struct.pack("<QQ", 0xF993FAC9, 1)), "ends at byte"),
    ],
)  # fmt: skip
def test_damage_is_named(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.params"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message) as caught:
        read_params(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("storage", [1, 2])
def test_sparse_is_refused(storage: int) -> None:
    with pytest.raises(UnsupportedError, match="sparse"):
        parse_params(_file(struct.pack("<Ii", 0xF993FAC9, storage) + b"\0" * 80))


def test_zero_size_with_absurd_other_sizes() -> None:
    body = struct.pack("<Iii2q", 0xF993FAC9, 0, 2, 1 << 60, 0) + struct.pack("<iii", 1, 0, 0)
    assert parse_params(_file(body))["a"].size == 0


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_params(tmp_path / "none.params")
