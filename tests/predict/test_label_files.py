"""Lists of names in all the dresses that people keep them in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saccade.errors import ConfigError
from saccade.networks import Model
from saccade.predict import open_predictor
from saccade.predict.labels import as_names, clean, read_labels
from small_networks import classifier


@pytest.mark.parametrize(
    ("name", "text", "names"),
    [
        ("a.txt", "0 person\n1 bicycle\n2 car\n", ("person", "bicycle", "car")),
        ("a.txt", "0: person\n1:bicycle\n", ("person", "bicycle")),
        ("a.txt", "0,person\n2,car\n", ("person", "1", "car")),
        ("a.txt", "0  person\n1  traffic light\n", ("person", "traffic light")),
        ("a.txt", "1 cat\n2 dog\n", ("cat", "dog")),
        ("a.txt", "1 person\n3 car\n", ("background", "person", "2", "car")),
        ("a.txt", "0 person\n", ("person",)),
        ("a.txt", "1 euro\n", ("1 euro",)),
        ("a.txt", "2 euros\n1 euro\n", ("2 euros", "1 euro")),
        ("a.txt", "5 of hearts\n6 of hearts\n", ("5 of hearts", "6 of hearts")),
        ("a.txt", "0 person\ncar\n", ("0 person", "car")),
        ("a.txt", "???\nperson\n", ("???", "person")),
        ("synset.txt", "n01440764 tench, Tinca tinca\nn01443537 goldfish\n", ("tench, Tinca tinca", "goldfish")),
        ("a.names", "cat\ndog\n", ("cat", "dog")),
        ("data.yaml", "path: x\nnames:\n  0: no\n  1: dog\n", ("no", "dog")),
        ("data.yml", "nc: 2\nnames: [cat, 'do g']\n", ("cat", "do g")),
        ("a.yaml", "- cat\n- dog\n", ("cat", "dog")),
        ("a.json", '{"names": ["cat", "dog"]}', ("cat", "dog")),
        ("a.json", '{"id2label": {"1": "dog", "0": "cat"}}', ("cat", "dog")),
        ("a.json", '[{"id": 1, "name": "person"}, {"id": 3, "name": "car"}]',
         ("background", "person", "2", "car")),
        ("a.json", '{"1": "person", "2": "car"}', ("background", "person", "car")),
        ("data.yaml", "names:\n  1: person\n  2: car\n", ("background", "person", "car")),
        ("a.txt", "0 background\n1 person\n2 car\n", ("background", "person", "car")),
        ("a.txt", "0: __background__\n1: person\n", ("__background__", "person")),
        ("a.json", '{"categories": [{"id": 0, "name": "cat"}]}', ("cat",)),
        ("a.pbtxt", "item {\n  id: 1\n  name: 'person'\n}\nitem { name: \"car\" id: 3 }\n",
         ("background", "person", "2", "car")),
        ("map", 'item { name: "/m/01g317" id: 1 display_name: "a } person" }', ("background", "a } person")),
        ("a.pbtxt", "item { id: 0 name: 'C# major' } # it's\nitem { id: 1 name: \"#2\" }", ("C# major", "#2")),
        ("a.pbtxt", "# item { id: 9 name: 'no' }\nitem {\n id: 0\n name: 'it\\'s'\n}", ("it\\'s",)),
    ],
)  # fmt: skip
def test_names_are_read_in_every_dress(tmp_path: Path, name: str, text: str, names: tuple[str, ...]) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_labels(path) == names


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.pbtxt", "node { name: 'x' }", "no label map"),
        ("a.yaml", "a: &a [1]\nnames: *a", "aliases"),
        ("a.yaml", "names: [" * 100, "levels"),
        ("a.yaml", "7", "neither a list nor an object"),
        ("a.json", '[{"id": "x", "name": "y"}]', "class numbers must be"),
        ("a.json", "null", "names"),
        ("a.txt", "x\n" * 70_000, "more than 65536"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    if text == "null":
        assert read_labels(path) == ("null",)  # one name a line
        return
    with pytest.raises(ConfigError, match=says) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("a\u202egpj.exe", "agpj.exe"),
        ("a\u2066b\u2069\ufeff", "ab"),
        ("a\x00b\x9bc\x7f", "abc"),
        ("  two\t words \u2028 here", "two words here"),
        ("x" * 500, "x" * 200),
        ("Grüße 猫", "Grüße 猫"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_names_without_what_acts(name: str, expected: str) -> None:
    assert clean(name) == expected


def test_control_characters_do_not_get_in(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(["a\x1b]0;x\x07", "b\u202e"]))
    assert read_labels(path) == ("a]0;x", "b")
    assert open_predictor(Model(classifier(2)), labels=("a\x1b", "b\u202e")).parser.names == ("a", "b")


def test_objects_either_way() -> None:
    assert as_names({"cat": 0, "dog": 1}) == ("cat", "dog")
    assert as_names({0: "7", 1: "8"}) == ("7", "8")
    assert as_names({"0": "7", "1": "8"}) == ("7", "8")
    assert as_names([]) == ()
