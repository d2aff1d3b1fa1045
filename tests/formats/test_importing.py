"""The frame of the importers: attributes in every dialect, and refusals that name what they are about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from saccade.errors import ModelError, UnsupportedError
from saccade.formats.importing import Attributes, refuse_unknown
from saccade.formats.layers import Window

A = Attributes(
    {
        "tuple": "(3, 3)", "list": "[0.1,0.2]", "python2": "(3L,3L)", "one": "2", "none": "None", "empty": " ",
        "yes": "True", "no": "0", "small": "1e-05", "c": "1.5f", "hex": "0x10", "ends": "3;4,", "nothing": "()",
        "endless": "inf", "word": "SAME_upper", "bad": "3,x",
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (A.integers("tuple"), (3, 3)), (A.integers("python2"), (3, 3)), (A.integers("one"), (2,)),
        (A.integers("ends"), (3, 4)), (A.integers("nothing"), ()), (A.integers("absent", (7,)), (7,)),
        (A.numbers("list"), (0.1, 0.2)), (A.number("small"), 1e-5), (A.number("c"), 1.5), (A.number("hex"), 16),
        (A.number("endless"), float("inf")), (A.number("none", 4), 4), (A.number("empty", 4), 4),
        (A.boolean("yes"), True), (A.boolean("no"), False), (A.boolean("absent", True), True),
        (A.choice("word", ("valid", "same_upper")), "same_upper"), (A.choice("absent", ("a", "b"), "b"), "b"),
        ("none" in A, False), ("nothing" in A, True),
    ],
)  # fmt: skip
def test_spellings_of_attributes(found: object, expected: object) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: A.integer("tuple"), "attribute tuple is '(3, 3)'; expected one number"),
        (lambda: A.integers("list"), "attribute list is '[0.1,0.2]'; expected whole numbers"),
        (lambda: A.integers("one", least=3), "attribute one is '2'; expected whole numbers from 3"),
        (lambda: A.integer("endless"), "expected whole numbers"),
        (lambda: A.numbers("bad"), "attribute bad is '3,x'; expected numbers"),
        (lambda: A.numbers("tuple", most=1), "attribute tuple has 2 numbers; expected at most 1"),
        (lambda: A.boolean("small"), "attribute small is '1e-05'; expected true or false"),
        (lambda: A.choice("word", ("a", "b")), "attribute word is 'SAME_upper'; expected one of a, b"),
        (lambda: A.number("absent"), "has no attribute absent"),
    ],
)
def test_wrong_attributes(read: Callable[[], object], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        read()
    assert message in str(caught.value)


def test_all_unknown_layers_are_named_at_once() -> None:
    layers = [("ReLU", "a"), ("RNN", "b\nc"), ("RNN", "d"), ("Magic", "e")]
    with pytest.raises(UnsupportedError, match=r"does not have: RNN \(b c, ...\), Magic \(e\);"):
        refuse_unknown(layers, {"ReLU"})


@pytest.mark.parametrize("numbers", [((3, 3), (1,)), ((0, 3), (1, 1)), ((3, 3), (1, 1 << 20)), ((), ())])
def test_what_is_no_window(numbers: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    kernel, strides = numbers
    with pytest.raises(ModelError, match="these make no window"):
        Window(kernel, strides, (0,) * len(kernel), (1,) * len(kernel))
