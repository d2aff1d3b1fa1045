"""EfficientNet-Lite0 of the published weights: as PyTorch computes it, and what is made of its classes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest

from saccade.networks import efficientnet
from saccade.predict import open_predictor

# What the weights' own package (efficientnet-lite-pytorch 0.1.0, PyTorch 1.13) answers to `cat` below.
OF_PYTORCH = {282: 0.3988397, 285: 0.3696708, 281: 0.1338662, 287: 0.0283878, 283: 0.0011455, 567: 0.0009706}
DOG_OF_PYTORCH, CAT_OF_PYTORCH = 0.0027653, 0.9044336


@pytest.fixture(scope="module")
def cat(corpus: Path) -> np.ndarray:
    """float32 (1, 3, 224, 224), BGR: the middle of a picture of a cat, pixel by pixel."""
    picture = cv2.imread(str(corpus / "images" / "sk_chelsea.png"))[38:262, 113:337]
    return picture.astype(np.float32).transpose(2, 0, 1)[None]


def answer(model: ov.Model, picture: np.ndarray) -> np.ndarray:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled(picture)[0])[0]


@pytest.mark.corpus
def test_it_answers_as_the_weights_own_package_does(classifiers: Path, cat: np.ndarray) -> None:
    files = ("efficientnet-lite0.pth", "imagenet_synsets.txt", "imagenet_synset_to_lemma.txt")
    found = answer(efficientnet.imagenet(*(classifiers / "models" / name for name in files)), cat)
    best = np.argsort(-found)[: len(OF_PYTORCH)]
    np.testing.assert_array_equal(best, list(OF_PYTORCH))
    np.testing.assert_allclose(found[best], list(OF_PYTORCH.values()), atol=2e-6)


@pytest.mark.corpus
def test_a_label_has_the_probability_of_its_classes(classifiers: Path, cat: np.ndarray) -> None:
    found = answer(efficientnet.dog_or_cat(classifiers / "models" / "efficientnet-lite0.pth"), cat)
    expected = [DOG_OF_PYTORCH, CAT_OF_PYTORCH, 1 - DOG_OF_PYTORCH - CAT_OF_PYTORCH]
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_dogs_and_cats_are_those_of_imagenet(classifiers: Path) -> None:
    """The first and last of each kind in ImageNet's order, and their neighbours that are neither."""
    names = open_predictor("efficientnet-lite0").parser.names  # type: ignore[attr-defined]
    assert len(names) == len(set(names)) == 1000
    dogs, cats = efficientnet.DOGS, efficientnet.CATS
    assert (names[dogs[0]], names[dogs[-1]], len(dogs)) == ("Chihuahua", "Mexican hairless", 118)
    assert [names[i] for i in cats] == ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]
    assert [names[i] for i in (dogs[0] - 1, dogs[-1] + 1, cats[0] - 1, cats[-1] + 1)] == [
        "sea lion", "timber wolf", "grey fox", "cougar"
    ]  # fmt: skip


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("picture", "label", "least"),
    [("sk_chelsea.png", "cat", 0.8), ("sk_coffee.png", "neither", 0.95), ("fr_biden.jpg", "neither", 0.95)],
)
def test_a_cat_is_told_from_what_is_neither(
    picture: str, label: str, least: float, classifiers: Path, corpus: Path
) -> None:
    found = open_predictor("dog-or-cat")(cv2.imread(str(corpus / "images" / picture)))
    assert found.classes is not None
    assert found.classes.names == ("dog", "cat", "neither")
    assert found.classes.name(0) == label
    assert found.classes.scores[0] >= least
