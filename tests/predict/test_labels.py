"""Names of classes, from the files that come with models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saccade.errors import ConfigError
from saccade.networks import Model
from saccade.predict import open_predictor
from saccade.predict.labels import read_labels
from small_networks import classifier


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("\ufeffcat\r\n  dog \r\n\r\n", ("cat", "dog")),
        ("cat\n\ndog", ("cat", "", "dog")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('{"0": "cat", "2": "dog"}', ("cat", "1", "dog")),
        ('{"cat": 0, "dog": 1}', ("cat", "dog")),
    ],
)
def test_labels_are_lines_or_json(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    path = tmp_path / "labels"
    path.write_text(text, encoding="utf-8")
    assert read_labels(path) == names


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no names"),
        (b"\n\n", "holds no names"),
        (b"\xff\xfe\x00", "not text"),
        (b"[1, 2", "give a list of names"),
        (b'{"a": "b"}', "give a list of names"),
        (b'{"99999999": "b"}', "class numbers must be"),
        (b'{"-1": "b"}', "class numbers must be"),
        (b"[" * 100_000, "give a list of names"),
        (bytes(5 << 20), "hardly a list of names"),
    ],
)
def test_bad_labels_are_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        read_labels(path)


def test_a_missing_file_of_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        open_predictor(Model(classifier()), labels=tmp_path / "none.txt")
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(["a", "b"]))
    assert open_predictor(Model(classifier()), labels=path).parser.names == ("a", "b")
