"""Lists of names that count the background, for networks that do not, and the other way round."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from networks_of import found_in, network_of, predictor_of

from saccade.errors import ConfigError
from saccade.networks import Model
from saccade.predict import open_predictor
from saccade.predict.claiming import Said, claimed
from saccade.predict.metadata import Metadata
from saccade.predict.metadata_sources import MetadataSource
from saccade.predict.opening import Wishes
from small_networks import classifier, detector, heads_network

FILES = {
    "0 background\n1 cat\n2 dog\n3 bird\n": "a.txt",
    "0: __background__\n1: cat\n2: dog\n3: bird\n": "b.txt",
    "???\ncat\ndog\nbird\n": "c.txt",
    "names:\n  0: background\n  1: cat\n  2: dog\n  3: bird\n": "data.yaml",
    '{"1": "cat", "2": "dog", "3": "bird"}': "d.json",
    '[{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 7, "name": "bird"}]': "gaps.json",
    "item { id: 1 name: 'cat' } item { id: 2 name: 'dog' } item { id: 3 name: 'bird' }": "map.pbtxt",
    "1 cat\n5 dog\n9 bird\n": "gaps.txt",
    "cat\ndog\nbird\n": "plain.txt",
}
REAL = ("cat", "dog", "bird")


def yolo(classes: int = 3) -> dict[str, np.ndarray]:
    """A table of an input of 64 x 64 with one object of the last class."""
    rows = np.zeros((1, 4 + classes, 84), np.float32)
    rows[0, :4] = np.array([32, 32, 20, 20], np.float32)[:, None]
    rows[0, -1, 7] = 0.9
    return {"output0": rows}


@pytest.mark.parametrize("text", FILES, ids=FILES.get)
def test_networks_without_a_background(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    labels = tmp_path / FILES[text]
    labels.write_text(text)
    with caplog.at_level(logging.WARNING, "saccade"):
        predictor = predictor_of(yolo(), size=(64, 64), wishes=Wishes(labels=labels))
        assert open_predictor(Model(classifier(3)), labels=labels).parser.names == REAL
    assert predictor.parser.names == REAL
    assert found_in(predictor, yolo()).name(0) == "bird"
    assert not caplog.records


@pytest.mark.parametrize("text", [text for text, name in FILES.items() if "gaps" not in name])
def test_networks_with_a_background(tmp_path: Path, text: str) -> None:
    labels = tmp_path / FILES[text]
    labels.write_text(text)
    assert open_predictor(Model(detector()), labels=labels).parser.names[1:] == REAL
    assert open_predictor(Model(detector(decrease_label_id=True)), labels=labels).parser.names == REAL


@pytest.mark.parametrize("name", ["net.txt", "labels.txt"])
def test_a_list_beside_that_counts_the_background(tmp_path: Path, name: str) -> None:
    path = tmp_path / "net.xml"
    ov.save_model(classifier(3), path)
    (tmp_path / name).write_text("0 background\n1 cat\n2 dog\n3 bird\n")
    assert open_predictor(path).parser.names == REAL


def test_metadata_that_counts_the_background() -> None:
    facts = Metadata(names=("background", *REAL), origins={"names": "the file"})
    model = Model(network_of(yolo(), size=(64, 64)), precision="f32")
    said, claim = claimed(Said(model, (MetadataSource("the file", facts),)))
    assert claim.parser.names == said.evidence.names == REAL
    assert said.names_from == "the file"


def test_lists_of_objects_have_no_background() -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = 10, 10, 40, 40, 0.9, 1
    predictor = predictor_of({"output0": rows}, size=(64, 64), wishes=Wishes(labels=("background", *REAL)))
    assert (predictor.parser.family, predictor.parser.names) == ("yolo-rows", REAL)


def test_a_name_that_is_a_number_is_one() -> None:
    digits = tuple(map(str, range(10)))
    assert open_predictor(Model(classifier(10)), labels=digits).parser.names == digits


@pytest.mark.parametrize("background", [False, True])
def test_eighty_of_coco_for_an_ssd_of_ninety_one(background: bool) -> None:
    """What has its names at its own numbers is not moved on by one more."""
    names = tuple(f"n{i}" for i in range(80))
    count = 3000
    boxes = np.tile(np.array([0.2, 0.2, 0.6, 0.6], np.float32), (1, count, 1))
    scores = np.full((1, count, 91), 0.001, np.float32)
    scores[0, :, 0] = 0.91
    scores[0, 5] = 0.001
    scores[0, 5, 18] = 0.91
    outputs = {"boxes": boxes, "scores": scores}
    given = ("background", *names) if background else names
    predictor = predictor_of(outputs, size=(300, 300), wishes=Wishes(labels=given))
    assert predictor.parser.family == "ssd"
    assert found_in(predictor, outputs, score=0.5).name(0) == "n16"


def test_imagenet_s_thousand_for_a_network_that_counts_the_background() -> None:
    thousand = tuple(f"n{i}" for i in range(1000))
    names = open_predictor(Model(classifier(1001)), labels=thousand).parser.names
    assert (names[0], names[1], len(names)) == ("background", "n0", 1001)
    assert open_predictor(Model(classifier(1000)), labels=("dummy", *thousand)).parser.names == thousand


@pytest.mark.parametrize("names", [("dark", "bright"), ("b", "g", "r"), ("background", "b", "g", "r")])
def test_names_of_one_of_several_heads(tmp_path: Path, names: tuple[str, ...]) -> None:
    predictor = open_predictor(heads_network(tmp_path / "heads.xml"), labels=names)
    assert set(names) - {"background"} <= set(predictor.parser.choices)  # type: ignore[attr-defined]


@pytest.mark.parametrize("count", [1, 5, 80])
def test_names_that_no_head_has(tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture) -> None:
    path, names = heads_network(tmp_path / "heads.xml"), tuple(f"n{i}" for i in range(count))
    says = rf"labels: got {count} names for heads.*light 2, hue 3; expected as many names as exactly one of them"
    with pytest.raises(ConfigError, match=says):
        open_predictor(path, labels=names)
    model = Model(path)
    facts = Metadata(names=names, origins={"names": "the file"})
    with caplog.at_level(logging.WARNING, "saccade"):
        _, claim = claimed(Said(model, (MetadataSource("the file", facts),)))
    assert claim.parser.choices == ("0", "1", "2")  # type: ignore[attr-defined]
    assert "these names are passed over" in caplog.text


def test_names_that_two_heads_have() -> None:
    heads: Any = {"one": np.array([[0.5, 0.5]], np.float32), "two": np.array([[0.5, 0.5]], np.float32)}
    with pytest.raises(ConfigError, match="one 2, two 2; expected as many names as exactly one"):
        predictor_of(heads, end=dict.fromkeys(heads, "softmax"), wishes=Wishes(labels=("a", "b")))
    assert predictor_of(heads, end=dict.fromkeys(heads, "softmax")).task == "classify"
