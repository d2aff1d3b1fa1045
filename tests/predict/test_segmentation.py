"""Semantic segmentation: maps that are known to be ones of classes, and feature maps, which are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks_of import claim_with, found_in, fuzz, predictor_of
from numpy.typing import NDArray

from saccade.errors import UnsupportedError
from saccade.predict.metadata import Metadata
from saccade.predict.opening import Wishes
from saccade.predict.parsers.segmentation import best_channel
from saccade.results import Segmentation

SEGMENT = Wishes(task="segment")


def truth(height: int = 16, width: int = 24, classes: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, classes, (height, width)).astype(np.uint8)


def scores(labels: NDArray[np.uint8], classes: int = 5) -> NDArray[np.float32]:
    """(classes, h, w) logits whose best is the label."""
    noise = np.random.default_rng(1).normal(size=(classes, *labels.shape))
    noise[(labels, *np.indices(labels.shape))] += 20
    return noise.astype(np.float32)


@pytest.mark.parametrize("shrink", [1, 4, 8])
@pytest.mark.parametrize("nhwc", [False, True])
def test_the_best_score_of_each_pixel_is_its_class(nhwc: bool, shrink: int) -> None:
    labels = truth()
    maps = scores(labels)
    outputs = {"map": (maps.transpose(1, 2, 0) if nhwc else maps)[None]}
    size = (16 * shrink, 24 * shrink)
    predictor = predictor_of(outputs, size=size, nhwc=nhwc, wishes=SEGMENT)
    found = found_in(predictor, outputs)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype == np.uint8
    np.testing.assert_array_equal(found.place, [0, 0, size[1], size[0]])
    fuzz(predictor)
    placed = predictor(np.zeros((50, 60, 3), np.uint8)).segmentation
    assert placed is not None
    np.testing.assert_allclose(placed.place, [0, 0, 60, 50], atol=1e-4)


@pytest.mark.parametrize("shape", [(16, 24), (1, 16, 24), (1, 1, 16, 24), (1, 16, 24, 1)])
@pytest.mark.parametrize("classes", [5, 1000])
def test_maps_of_classes_are_taken_as_they_are(shape: tuple[int, ...], classes: int) -> None:
    labels = np.random.default_rng(0).integers(0, classes, (16, 24))
    outputs = {"map": labels.reshape(shape).astype(np.int64)}
    predictor = predictor_of(outputs, size=(32, 48), nhwc=shape[-1] == 1)
    assert predictor.parser.family == "segmentation"
    found = found_in(predictor, outputs)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype == (np.uint8 if classes < 256 else np.int32)
    fuzz(predictor)


def test_probabilities_at_a_quarter_need_no_word() -> None:
    outputs = {"map": scores(truth())[None]}
    made = {"end": {"map": "softmax"}}
    assert predictor_of(outputs, size=(64, 96), **made).parser.family == "segmentation"
    with pytest.raises(UnsupportedError):
        predictor_of(outputs, size=(256, 384), **made)


def test_as_many_names_as_channels() -> None:
    outputs = {"map": scores(truth())[None]}
    names = ("background", "road", "sky", "tree", "car")
    predictor = predictor_of(outputs, size=(64, 96), wishes=Wishes(labels=names))
    found = found_in(predictor, outputs)
    assert (found.name(1), found.background) == ("road", 0)
    assert {row["label"] for row in found.to_event()} == set(names[1:])
    with pytest.raises(UnsupportedError):
        predictor_of(outputs, size=(64, 96), wishes=Wishes(labels=names[1:]))


@pytest.mark.parametrize("known", [{"task": "segmentation"}, {"head": "Segmentation"}, {"task": "segment"}], ids=str)
def test_the_file_says_so(known: dict[str, Any]) -> None:
    assert claim_with({"map": scores(truth())[None]}, Metadata(**known), size=(64, 96)).family == "segmentation"


@pytest.mark.parametrize("kind", ["logits", "sigmoid"])
def test_one_channel_is_one_class(kind: str) -> None:
    labels = truth(classes=2)
    logits = np.where(labels, 2, -2).astype(np.float32)[None, None]
    end = {"map": "sigmoid"} if kind == "sigmoid" else {}
    predictor = predictor_of({"map": logits}, size=(32, 48), end=end, wishes=Wishes(task="segment", labels=("cat",)))
    values = 1 / (1 + np.exp(-logits)) if kind == "sigmoid" else logits
    found = found_in(predictor, {"map": values})
    np.testing.assert_array_equal(found.labels, labels)
    assert (found.name(1), found.background) == ("cat", 0)


def test_the_probability_of_the_only_name_needs_no_word() -> None:
    outputs = {"map": np.zeros((1, 1, 60, 90), np.float32)}
    made: dict[str, Any] = {"end": {"map": "sigmoid"}, "size": (120, 180)}
    assert predictor_of(outputs, wishes=Wishes(labels=("selfie",)), **made).parser.family == "segmentation"
    for wishes in (Wishes(), Wishes(labels=("a", "b"))):
        with pytest.raises(UnsupportedError, match=r"one probability for each place .*--task segment"):
            predictor_of(outputs, wishes=wishes, **made)
    with pytest.raises(UnsupportedError):  # a depth, perhaps
        predictor_of(outputs, size=(120, 180), wishes=Wishes(labels=("selfie",)))


def test_auxiliary_maps_are_left_aside() -> None:
    labels = truth()
    outputs = {"aux": -scores(labels)[None], "out": scores(labels)[None]}
    predictor = predictor_of(outputs, size=(64, 96), wishes=SEGMENT)
    np.testing.assert_array_equal(found_in(predictor, outputs).labels, labels)


@pytest.mark.parametrize(
    "shape", [(1, 18, 7, 7), (1, 64, 56, 56), (1, 1, 224, 224), (1, 17, 56, 56), (1, 224, 224), (1, 2, 3, 5)]
)
def test_feature_maps_heat_maps_and_depths_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedError, match="map"):
        predictor_of({"map": np.random.default_rng(0).normal(size=shape).astype(np.float32)}, size=(224, 224))


@pytest.mark.parametrize("shape", [(1, 18, 6, 6), (1, 1000, 1, 1), (1, 300, 6), (1, 5, 100, 30)])
def test_what_covers_no_picture_is_refused_whatever_is_said(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedError):
        predictor_of({"map": np.random.default_rng(0).random(shape, np.float32)}, size=(224, 224), wishes=SEGMENT)


def test_a_detector_with_prototypes_is_no_segmentation() -> None:
    outputs = {"rows": np.zeros((1, 116, 84), np.float32), "maps": np.zeros((1, 32, 16, 16), np.float32)}
    with pytest.raises(UnsupportedError):
        predictor_of(outputs, size=(64, 64), wishes=SEGMENT)


@pytest.mark.parametrize("classes", [2, 21, 150, 256, 300])
def test_the_best_channel(classes: int) -> None:
    values = np.random.default_rng(0).integers(0, 9, (classes, 13, 17)).astype(np.float32)  # with ties
    np.testing.assert_array_equal(best_channel(values), values.argmax(0))
    np.testing.assert_array_equal(best_channel(values.transpose(0, 2, 1)), values.transpose(0, 2, 1).argmax(0))


def test_bars_of_a_letterbox_are_cut_off() -> None:
    labels = np.zeros((16, 16), np.uint8)
    labels[4:12] = 1
    outputs = {"map": scores(labels, 2)[None]}
    wishes = Wishes(task="segment", resize="letterbox")
    found = predictor_of(outputs, size=(64, 64), wishes=wishes)(np.zeros((50, 100, 3), np.uint8)).segmentation
    assert isinstance(found, Segmentation)
    assert found.shares() == {1: 1.0}
    np.testing.assert_allclose(found.place, [0, 0, 100, 50], atol=1e-4)
