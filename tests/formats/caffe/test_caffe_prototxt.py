"""Protobuf text in all the ways that people write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from saccade.errors import ModelError
from saccade.formats.caffe.prototxt import PrototxtMessage, parse_prototxt, read_prototxt

ODD = """\
# a comment; with marks { } : "
name: 'si' "ngle" # pieces
input: "data" input_dim: 1 input_dim: 3, input_dim: 0x10; input_dim: 16
layers { name: "c" type: CONVOLUTION convolution_param < kernel_size: 3 pad: [1, 2] > }
layer: { name: "say \\"hi\\"" v: -1.5e-3 w: 3f on: true off: 0 } layer {} z: inf n: -inf
"""


def test_oddities_are_read_as_protobuf_does() -> None:
    net = parse_prototxt("\ufeff" + ODD)
    assert net.text("name") == "single"
    assert net.integers("input_dim") == (1, 3, 16, 16)
    (old,) = net.messages("layers")
    assert old.text("type") == "CONVOLUTION"
    assert old.message("convolution_param").integers("pad") == (1, 2)
    first, second = net.messages("layer")
    assert first.text("name") == 'say "hi"'
    assert first.number("v", 0) == -1.5e-3
    assert first.number("w", 0) == 3
    assert first.boolean("on", False)
    assert not first.boolean("off", True)
    assert "name" not in second
    assert net.number("z", 0) == float("inf")
    assert net.number("n", 0) == float("-inf")


def test_getters_know_defaults_enums_and_the_last_value() -> None:
    net = parse_prototxt("pool: 1 pool: AVE k: 2 k: 5 t: 1")
    assert net.choice("pool", ("MAX", "AVE")) == "AVE"
    assert net.choice("t", ("MAX", "AVE")) == "AVE"
    assert net.choice("none", ("PROD", "SUM"), "SUM") == "SUM"
    assert net.integer("k", 0) == 5
    assert net.integer("none", 7) == 7
    assert "none" not in net
    assert "k" not in net.message("none")


@pytest.mark.parametrize(
    ("text", "getter", "message"),
    [
        ("a: x", lambda m: m.number("a", 0), "a is 'x'; expected a number"),
        ("a: 1.5", lambda m: m.integer("a", 0), "expected whole numbers"),
        ("a: 3", lambda m: m.boolean("a", False), "true or false"),
        ("a: 3", lambda m: m.message("a"), "a message in braces"),
        ("a {}", lambda m: m.text("a"), "a value, not a message"),
        ("a: RED", lambda m: m.choice("a", ("MAX", "AVE")), "one of MAX, AVE"),
    ],
)
def test_wrong_values_are_named(text: str, getter: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        getter(parse_prototxt(text))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer {", "line 1: 'the end of the file'"),
        ("layer {\n name: \n}", "line 3: '}' where the value of name"),
        ("}", "where a field's name"),
        ("layer { >", "'>' where"),
        ("a b", "where the value of a should be"),
        ("a: [1, 2", "where the value of a should be"),
        ("a: [", "where the value of a should be"),
        ('a: "unclosed', "is no protobuf text"),
        ("a: \x00", "is no protobuf text"),
        ("3: 4", "where a field's name"),
        ("a {" * 1000, "more than 32 deep"),
        ("a <" * 40 + ">" * 40, "more than 32 deep"),
        ("a: [" + "{b: [" * 100, "more than 32 deep"),
    ],
)
def test_damage_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.prototxt"
    path.write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        read_prototxt(path)
    assert str(caught.value).startswith(str(path))


def test_a_message_is_not_shared_between_lookups() -> None:
    message = PrototxtMessage()
    message.add("a", "1")
    assert message.integers("a") == (1,)
