"""SSD networks whose last layer is DetectionOutput: read from the layer, or from the graph cut before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest
from networks_of import fuzz

from lengths import length
from saccade.errors import UnsupportedError
from saccade.networks import Model
from saccade.predict.opening import Wishes, open_predictor, understand
from saccade.predict.parser import Settings
from small_networks import detector

SSDS = (
    "caffe/res10_ssd_300", "ir/v3/face-detection-retail-0004-FP16",
    "ir/v6/pedestrian-and-vehicle-detector-adas-0001-FP16", "mxnet/dl_ssd_resnet50_slim4_512",
    "ir/modern/face-detection-retail-0004-FP16", "ir/modern/face-detection-retail-0005-FP32",
    "ir/v3/person-detection-retail-0013-FP16", "ir/v4/face-detection-retail-0004-FP32",
    "ir/v6/face-detection-retail-0005-FP16",
)[: length(4, 9)]  # fmt: skip
"""A network of each format, and of each kind of objects."""


def test_a_feature_map_is_no_list() -> None:
    data = op.parameter([1, 3, 28, 28], np.float32, name="data")
    kernel = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)
    maps = op.convolution(data, op.constant(kernel), [4, 4], [0, 0], [0, 0], [1, 1])
    with pytest.raises(UnsupportedError, match=r"\[1, 1, 7, 7\]"):
        understand(Model(ov.Model([maps], [data], "map")), Wishes())


@pytest.mark.parametrize(
    ("changes", "names"),
    [({}, ["dog", "cat"]), ({"decrease_label_id": True}, ["dog", "cat"]), ({"background": -1}, ["2", "dog"])],
    ids=str,
)
def test_cut_or_not_the_same_objects_with_the_same_names(changes: dict[str, Any], names: list[str]) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    whole = understand(Model(detector(**changes), precision="f32"), Wishes(labels=("cat", "dog")))
    cut = understand(Model(detector(**changes), precision="f32", for_parser=True), Wishes(labels=("cat", "dog")))
    assert [port.name for port in whole.network.outputs] == ["detection_out"]
    assert len(cut.network.outputs) == 2
    assert whole.understanding == cut.understanding
    for threshold in (0.0, 0.12, 0.5, 0.7, 0.95):
        one, other = (p.parser.parse(p.raw(picture), Settings(score=threshold)).to_event() for p in (whole, cut))
        assert one == other
    assert [row["label"] for row in whole(picture).detections.to_event()] == names


@pytest.mark.parametrize("for_parser", [False, True])
def test_numbers_that_are_none_give_no_objects(for_parser: bool) -> None:
    predictor = understand(Model(detector(), precision="f32", for_parser=for_parser), Wishes())
    fuzz(predictor)
    for value in (np.nan, np.inf, -np.inf, 1e30):
        outputs = {port.name: np.full(port.shape, value, np.float32) for port in predictor.network.outputs}
        found = predictor.parser.parse(outputs, Settings(score=0.1, top=0))
        assert len(found) == 0


@pytest.mark.corpus
@pytest.mark.parametrize("folder", SSDS)
def test_the_corpus_is_cut_and_finds_the_same(corpus: Path, folder: str) -> None:
    files = [path for path in (corpus / "corpus" / folder).iterdir() if path.suffix in (".xml", ".prototxt", ".json")]
    (path,) = files
    cut = open_predictor(path, precision="f32", threshold=0.05)
    whole = understand(Model(path, precision="f32"), Wishes(threshold=0.05))
    assert len(cut.network.outputs) == 2
    assert len(whole.network.outputs) == 1
    seen = 0
    for name in ("fr_obama.jpg", "sk_coffee.png", "sk_astronaut.png"):
        picture = cv2.imread(str(corpus / "images" / name))
        one, other = whole(picture).detections, cut(picture).detections
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-5 * max(picture.shape))
        seen += len(one)
    assert seen
