"""`--input-shape`: what people type, and what they get told."""

from __future__ import annotations

import argparse
import re

import pytest

from saccade.cli.shapes import add_input_shape, input_shapes
from saccade.errors import ConfigError


def parsed(*values: str) -> object:
    parser = argparse.ArgumentParser()
    add_input_shape(parser)
    return input_shapes(parser.parse_args([word for value in values for word in ("--input-shape", value)]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), None),
        (("1,3,300,300",), (1, 3, 300, 300)),
        (("1x3x12x12",), (1, 3, 12, 12)),
        (("data=1,3,8,8",), {"data": (1, 3, 8, 8)}),
        (("data=1,3,8,8", "im_info=1,3"), {"data": (1, 3, 8, 8), "im_info": (1, 3)}),
        (("scope/x=y=1,2",), {"scope/x=y": (1, 2)}),
    ],
)
def test_shapes_are_of_all_inputs_or_of_each_by_name(values: tuple[str, ...], expected: object) -> None:
    assert parsed(*values) == expected


@pytest.mark.parametrize(
    "values", [("x",), ("1,,3",), ("data=",), ("1,-3",), ("1,3", "1,3"), ("a=1", "2"), ("1.5",), ("a=1", "a=2")]
)
def test_mistakes_are_refused_with_an_example(values: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=re.escape("data=1,3,300,300")):
        parsed(*values)
