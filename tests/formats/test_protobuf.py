"""Protobuf's wire format, against the examples and limits of its documentation (Encoding, "Base 128 Varints")."""

from __future__ import annotations

import pytest

from saccade.errors import ModelError
from saccade.formats import protobuf

NUMBERS = {0: "00", 1: "01", 127: "7f", 128: "8001", 150: "9601", 16384: "808001", 2**64 - 1: "ff" * 9 + "01"}


@pytest.mark.parametrize(("value", "coded"), NUMBERS.items())
def test_a_number_is_read_and_written_as_documented(value: int, coded: str) -> None:
    data = bytes.fromhex(coded)
    assert protobuf.varint(memoryview(b"\xff" + data + b"\x01"), 1) == (value, 1 + len(data))
    assert protobuf.encoded(1, value) == b"\x08" + data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is cut off: it ends within a number"),
        (b"\x80" * 9, "is cut off: it ends within a number"),
        (b"\x80" * 10 + b"\x01", "no number at byte 10"),
    ],
)
def test_a_number_that_does_not_end_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        protobuf.varint(memoryview(data), 0)


def test_each_wire_type_has_its_length() -> None:
    coded = protobuf.encoded(1, 150) + protobuf.encoded(2, b"abc") + b"\x19" + b"8" * 8 + b"\x25" + b"4" * 4
    found = [(number, value if isinstance(value, int) else bytes(value)) for number, value in
             protobuf.fields(memoryview(coded))]  # fmt: skip
    assert found == [(1, 150), (2, b"abc"), (3, b"8" * 8), (4, b"4" * 4)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x0a\x03ab", "claims 3 bytes, but only 2 are left"),
        (b"\x09" + b"8" * 7, "claims 8 bytes, but only 7 are left"),
        (b"\x0d" + b"4" * 3, "claims 4 bytes, but only 3 are left"),
        (b"\x0b", "wire type 3 at byte 1"),
        (b"\x08", "ends within a number"),
    ],
)
def test_a_field_that_is_none_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        list(protobuf.fields(memoryview(data)))


def test_packed_numbers() -> None:
    assert protobuf.varints(memoryview(bytes.fromhex("".join(NUMBERS.values())))) == list(NUMBERS)
    with pytest.raises(ModelError, match="ends within a number"):
        protobuf.varints(memoryview(b"\x01\x80"))


def test_fields_with_large_numbers_and_long_bytes_are_written_and_read_back() -> None:
    coded = protobuf.encoded(2**20, b"x" * 300) + protobuf.encoded(16, 0)
    assert [(number, value if isinstance(value, int) else len(value)) for number, value in
            protobuf.fields(memoryview(coded))] == [(2**20, 300), (16, 0)]  # fmt: skip


def test_a_negative_number_is_not_written() -> None:
    with pytest.raises(ValueError, match="-1 is negative; only numbers from 0 on"):
        protobuf.encoded(1, -1)
