"""Damaged and hostile files: one error each, which names the fault and what to do."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lengths import length
from memory import peak, reset_peak
from saccade.errors import ModelError, UnsupportedError
from saccade.formats import legacy_ir
from saccade.formats.load import identify

from .writer import Net

Change = Callable[[str], str]


def network() -> Net:
    rng = np.random.default_rng(0)
    net = Net(version=5)
    x = net.input((1, 2, 6, 6), "data")
    shape = {"kernel": (3, 3), "strides": (1, 1), "pads_begin": (1, 1), "pads_end": (1, 1), "dilations": (1, 1)}
    blobs = {"weights": rng.standard_normal((4, 2, 3, 3)), "biases": rng.standard_normal(4)}
    y = net.layer("Convolution", [x], [(1, 4, 6, 6)], {**shape, "output": 4, "group": 1}, blobs, name="conv")
    z = net.layer("ReLU", y, [(1, 4, 6, 6)], name="act")
    net.layer("Eltwise", [*y, *z], [(1, 4, 6, 6)], {"operation": "sum"}, name="total")
    return net


def swap(old: str, new: str, count: int = 1) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, count)

    return change


def pattern(old: str, new: str) -> Change:
    def change(text: str) -> str:
        text, count = re.subn(old, new, text, count=1, flags=re.DOTALL)
        assert count
        return text

    return change


EDGE = '<edge from-layer="2" from-port="1" to-layer="3" to-port="1"/>'
TARGET = 'to-layer="3" to-port="1"'
ACT = '(name="act".*?)'
OUT = '(name="act".*<output>.*?)'
BAD: dict[str, tuple[Change, type[Exception], str]] = {
    "version 1": (swap('version="5"', 'version="1"'), UnsupportedError, "IR version 1 of 2017"),
    "version 8": (swap('version="5"', 'version="8"'), UnsupportedError, "IR version '8'"),
    "version nonsense": (swap('version="5"', 'version="five"'), UnsupportedError, "takes versions 2 to 7"),
    "no version": (swap(' version="5"', ""), UnsupportedError, "has no IR version"),
    "another root": (pattern("<net(.*)</net>", r"<web\1</web>"), ModelError, "expected <net>"),
    "cut off": (lambda text: text[: len(text) // 2], ModelError, "broken XML"),
    "empty": (lambda text: "", ModelError, "broken XML"),
    "unknown layer": (swap('type="ReLU"', 'type="Magic"'), UnsupportedError, "does not have: Magic (act)"),
    "no type": (swap(' type="ReLU"', ""), ModelError, "no usable type"),
    "id twice": (swap('layer id="2"', 'layer id="1"'), ModelError, "the id of another layer"),
    "no id": (swap('layer id="2"', "layer"), ModelError, "a layer's id is ''"),
    "dangling edge": (swap(TARGET, 'to-layer="9" to-port="1"'), ModelError, "layer 9, which does not"),
    "edge to no port": (swap(TARGET, 'to-layer="3" to-port="8"'), ModelError, "port 8 of layer 3 'total'"),
    "edge twice": (swap(EDGE, EDGE * 2), ModelError, "two edges into input port 1"),
    "edge missing": (swap(EDGE, ""), ModelError, "layer 3 'total' (Eltwise): nothing feeds input port 1"),
    "cycle": (swap('from-layer="1" from-port="1" to-layer="2"', 'from-layer="2" from-port="1" to-layer="2"'),
              ModelError, "part of a cycle"),
    "port twice": (swap('<port id="1">', '<port id="0">'), ModelError, ""),
    "dim of zero": (swap("<dim>6</dim>", "<dim>0</dim>"), ModelError, "expected 1 to"),
    "negative dim": (swap("<dim>6</dim>", "<dim>-6</dim>"), ModelError, "expected 1 to"),
    "text dim": (swap("<dim>6</dim>", "<dim>six</dim>"), ModelError, "expected an integer"),
    "absurd dims": (swap("<dim>6</dim>", "<dim>2000000000</dim>", 20), ModelError, "expected at most"),
    "too many axes": (swap("<dim>6</dim>", "<dim>6</dim>" * 30), ModelError, "expected at most"),
    "other shape": (swap("<dim>4</dim>", "<dim>5</dim>"), ModelError, "layer 1 'conv' (Convolution)"),
    "other inner shape": (pattern(f"{ACT}<dim>4</dim>", r"\1<dim>5</dim>"), ModelError, "declares [1, 5, 6, 6]"),
    "wrong output size": (pattern(f"{OUT}<dim>6</dim>", r"\1<dim>7</dim>"), ModelError, "comes out as"),
    "kernel of text": (swap('kernel="3,3"', 'kernel="a,b"'), ModelError, "attribute kernel is 'a,b'; expected numbers"),
    "kernel of one": (swap('kernel="3,3"', 'kernel="3"'), ModelError, "expected 2, one per spatial axis"),
    "kernel of nan": (swap('kernel="3,3"', 'kernel="nan,3"'), ModelError, "expected finite numbers"),
    "kernel of zero": (swap('kernel="3,3"', 'kernel="0,3"'), ModelError, "expected whole numbers from 1"),
    "huge stride": (swap('strides="1,1"', 'strides="999999999,1"'), ModelError, "make no window"),
    "group of zero": (swap('group="1"', 'group="0"'), ModelError, "expected whole numbers from 1"),
    "group of three": (swap('group="1"', 'group="3"'), ModelError, "expected a divisor"),
    "output differs": (swap('output="4"', 'output="5"'), ModelError, "expected (5, 2, 3, 3)"),
    "no output count": (swap('output="4"', ""), ModelError, "has no attribute output"),
    "operation": (swap('operation="sum"', 'operation="guess"'), UnsupportedError, "operation 'guess'"),
    "offset outside": (swap('offset="0"', 'offset="999999"'), ModelError, "expected the .bin that belongs"),
    "negative offset": (swap('offset="0"', 'offset="-4"'), ModelError, "weights: offset is -4"),
    "negative size": (swap('size="288"', 'size="-288"'), ModelError, "weights: size is -288"),
    "odd size": (swap('size="288"', 'size="287"'), ModelError, "expected a multiple of 4"),
    "overlap": (swap('offset="288"', 'offset="280"'), ModelError, "starts at byte 280 within"),
    "unknown precision": (swap('offset="0"', 'precision="FP8" offset="0"'), UnsupportedError, "precision 'FP8'"),
    "blob missing": (pattern("<weights[^>]*>", ""), ModelError, "has no weights"),
    "document type": (swap("<net", '<!DOCTYPE net [<!ENTITY a "b">]><net'), ModelError, "document type or entities"),
    "encoding": (swap('<?xml version="1.0" ?>', '<?xml version="1.0" encoding="klingon"?>'), ModelError, "encoding"),
    "deep nesting": (swap("<layers>", "<meta_data>" + "<a>" * 500 + "</a>" * 500 + "</meta_data><layers>"), ModelError,
                     "nested more than"),
    "name of lines": (swap('"act" type="ReLU"', '"a&#10;b" type="Re&#10;LU"'), UnsupportedError, "Re LU (a b)"),
    "no inputs": (swap('type="Input"', 'type="Const"'), ModelError, "has no Input layer"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_xml_is_named(name: str, tmp_path: Path) -> None:
    change, kind, message = BAD[name]
    path = network().write(tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(ModelError) as caught:
        legacy_ir.read(path)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert message in text
    assert str(path.with_suffix("")) in text, "the file is named"
    assert "\n" not in text
    assert "expected" in text or "takes versions" in text


WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "is missing"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:100]), "complete: copy it again"),
    "pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123456\n"),
        "git-LFS pointer",
    ),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_bad_weights_are_named(name: str, tmp_path: Path) -> None:
    path = network().write(tmp_path)
    WEIGHTS[name][0](path.with_suffix(".bin"))
    with pytest.raises(ModelError, match=WEIGHTS[name][1]) as caught:
        legacy_ir.read(path)
    assert str(path.with_suffix(".bin")) in str(caught.value)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    path = network().write(tmp_path)
    path.with_suffix(".bin").unlink()
    os.mkfifo(path.with_suffix(".bin"))
    os.mkfifo(tmp_path / "pipe.xml")
    for each in (path, tmp_path / "pipe.xml", tmp_path, tmp_path / "absent.xml"):
        with pytest.raises(ModelError, match="no file"):
            legacy_ir.read(each)
    with pytest.raises(ModelError, match="is no file, but a device, a pipe"):
        identify(tmp_path / "pipe.xml")


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol"}">' for i in range(12))
    path = tmp_path / "bomb.xml"
    path.write_text(f'<?xml version="1.0"?><!DOCTYPE net [{laughs}]><net name="&l11;" version="5"></net>')
    with pytest.raises(ModelError, match="document type or entities"):
        legacy_ir.read(path)


@pytest.mark.parametrize(
    "filler", ["<a/>", '<layer id="7" type="ReLU"><data a="1"/></layer>', "<layer/>", "<edge/>"][: length(2, 4)]
)
def test_a_hundred_megabytes_of_xml(filler: str, tmp_path: Path) -> None:
    """Refused at once; and 8 MB of the same, which are read, take little memory and time."""
    head, tail = '<net name="x" version="5"><layers>', "</layers></net>"
    path = tmp_path / "big.xml"
    with path.open("w") as file:
        file.write(head)
        for _ in range(100):
            file.write(filler * ((1 << 20) // len(filler)))
        file.write(tail)
    with pytest.raises(ModelError, match="bytes of XML"):
        legacy_ir.read(path)
    path.write_text(head + filler * ((8 << 20) // len(filler)) + tail)
    before, start = reset_peak(), time.process_time()
    with pytest.raises(ModelError):
        legacy_ir.read(path)
    assert peak() - before < 60 << 20
    assert time.process_time() - start < 30


def test_openvino_errors_are_wrapped(tmp_path: Path) -> None:
    net = Net(version=5)
    a, b = net.input((2, 3), "a"), net.input((5, 7), "b")
    net.layer("GEMM", [a, b], [(2, 7)], {"transpose_a": 0, "transpose_b": 0})
    with pytest.raises(ModelError, match=r"layer 2 'L' \(GEMM\): does not fit its inputs "):
        legacy_ir.read(net.write(tmp_path))
