"""Networks that end in vectors: classes, points or an embedding, and only where something says so."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up import claimed
from networks_of import network_of

from saccade.errors import ConfigError, UnsupportedError
from saccade.networks import Model
from saccade.predict import open_predictor
from saccade.predict.metadata import Metadata
from saccade.results import Angles, Classification, Embedding, Heads, Landmarks

SIZE = (60, 80)


def vector(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def noise(n: int, scale: float = 1.0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(n).normal(mean, scale, (1, n)).astype(np.float32)


def read(outputs: dict[str, np.ndarray], **options: object):  # type: ignore[no-untyped-def]
    claim = claimed(outputs, SIZE, **options)
    return claim.parser.parse(outputs, claim.parser.defaults)


BAD = (np.nan, np.inf, -np.inf, 1e38, -1e38, 0.0)


# ---- a plain vector


@pytest.mark.parametrize("n", [3, 136, 256, 512])
@pytest.mark.parametrize("shape", [(1, -1), (-1,), (1, -1, 1, 1)])
def test_a_plain_vector_is_refused_with_the_ways_out(n: int, shape: tuple[int, ...]) -> None:
    outputs = {"fc": noise(n).reshape(shape)}
    with pytest.raises(UnsupportedError) as error:
        claimed(outputs, SIZE)
    said = str(error.value)
    assert "--task classify" in said
    assert "--task embed" in said
    assert (f"--task landmarks ({n // 2} points)" in said) == (n % 2 == 0)
    for task in ("detect", "angles", "segment"):
        with pytest.raises(UnsupportedError, match="plain vector"):
            claimed(outputs, SIZE, task=task)


def test_columns_are_no_vectors() -> None:
    """A number for each of many rows is not a class for each of them."""
    for shape in ((128, 1), (1, 128, 1)):
        outputs = {"score": np.full(shape, 0.5, np.float32)}
        for task in ("", "classify"):
            with pytest.raises(UnsupportedError):
                claimed(outputs, SIZE, task=task, layer_type={"score": "Sigmoid"})


# ---- classes


def test_scores_without_a_softmax_are_classes_where_somebody_says_so() -> None:
    outputs = {"fc": vector(1, 3, 2)}
    wanted = np.exp([3.0, 2, 1]) / np.exp([3.0, 2, 1]).sum()
    for options in (
        {"task": "classify"},
        {"metadata": Metadata(task="classify")},
        {"metadata": Metadata(head="Classification")},
        {"names": ("a", "b", "c")},
    ):
        found = read(outputs, **options)
        assert isinstance(found, Classification)
        assert found.labels.tolist() == [1, 2, 0]
        np.testing.assert_allclose(found.scores, wanted, rtol=1e-5)
    with pytest.raises(UnsupportedError, match="plain vector"):
        read(outputs, names=("a", "b"))


def test_sigmoids_stay_as_they_are() -> None:
    """Several labels may hold at a time: their probabilities need not add up to one."""
    found = read({"p": vector(0.9, 0.8, 0.1)}, layer_type={"p": "Sigmoid"})
    assert isinstance(found, Classification)
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.1])


def test_several_vectors_are_heads_by_their_names() -> None:
    outputs = {"age": vector(0.1, 0.7, 0.2), "gender": vector(0.4, 0.6), "features": noise(64).reshape(1, 1, 8, 8)}
    found = read(outputs, layer_type={"age": "Softmax", "gender": "Softmax"}, names=("child", "adult", "old"))
    assert isinstance(found, Heads)
    assert list(found.by_name) == ["age", "gender"]
    assert [found.by_name["age"].name(i) for i in range(3)] == ["adult", "old", "child"]
    assert found.by_name["gender"].name(0) == "1"
    logits = {"a": vector(0, 2), "b": vector(5, 1, 1)}
    with pytest.raises(UnsupportedError):
        read(logits)
    both = read(logits, task="classify")
    assert isinstance(both, Heads)
    assert both.by_name["b"].labels[0] == 0


def test_only_the_wanted_classes_of_heads() -> None:
    """A head without any of them was not asked for; nobody's class is refused with what there is."""
    outputs = {"age": vector(0.1, 0.7, 0.2), "gender": vector(0.4, 0.6)}
    model = Model(network_of(outputs, end=dict.fromkeys(outputs, "softmax")), precision="f32")
    names = ("child", "adult", "old")
    picture = np.zeros((8, 8, 3), np.uint8)
    result = open_predictor(model, labels=names, classes=("old", "child"))(picture)
    assert list(result.heads) == ["age"]
    assert [entry["label"] for entry in result.to_event()["classes"]] == ["old", "child"]
    both = open_predictor(model, labels=names, classes=("old", "1"))(picture)
    assert {name: len(head) for name, head in both.heads.items()} == {"age": 1, "gender": 1}
    with pytest.raises(ConfigError, match=r"classes young: .* it has child, adult, old, 0, 1"):
        open_predictor(model, labels=names, classes="young")


def test_gender_beside_age() -> None:
    outputs = {"age_conv3": np.full((1, 1, 1, 1), 0.3, np.float32), "prob": vector(0.2, 0.8).reshape(1, 2, 1, 1)}
    found = read(outputs, layer_type={"prob": "Softmax"})
    assert isinstance(found, Classification)
    assert found.name(0) == "male"


@pytest.mark.parametrize("layer_type", ["Softmax", "Sigmoid", "Add"])
@pytest.mark.parametrize("bad", BAD)
def test_nonsense_gives_probabilities(layer_type: str, bad: float) -> None:
    for values in (np.full((1, 7), bad, np.float32), noise(7) * np.array([[1, bad, 1, 1, 1, 1, 1]], np.float32)):
        found = read({"p": values}, layer_type={"p": layer_type}, task="classify")
        assert isinstance(found, Classification)
        assert np.isfinite(found.scores).all()
        assert ((found.scores >= 0) & (found.scores <= 1)).all()


def test_one_probability_of_two_classes() -> None:
    outputs = {"p": vector(0.8)}
    for options in ({"task": "classify"}, {"names": ("mask", "no mask")}):
        found = read(outputs, layer_type={"p": "Sigmoid"}, **options)
        assert isinstance(found, Classification)
        assert found.labels.tolist() == [1, 0]
        np.testing.assert_allclose(found.scores, [0.8, 0.2], rtol=1e-5)
    for bad in BAD:
        found = read({"p": vector(bad)}, layer_type={"p": "Sigmoid"}, task="classify")
        assert found.scores.sum() == pytest.approx(1)
    for options in ({"task": "classify"}, {"names": ("a", "b")}):
        with pytest.raises(UnsupportedError):
            read(outputs, **options)


def test_logarithms_of_probabilities() -> None:
    found = read({"p": np.log(vector(0.2, 0.7, 0.1))}, layer_type={"p": "LogSoftmax"})
    assert isinstance(found, Classification)
    np.testing.assert_allclose(found.scores, [0.7, 0.2, 0.1], rtol=1e-5)


# ---- two numbers


def test_two_numbers_are_classes_where_anything_says_so() -> None:
    outputs = {"y": vector(-0.25, 0.5)}
    with pytest.raises(UnsupportedError, match=r"--task classify.*--task pan-tilt"):
        read(outputs)
    assert read(outputs, task="pan-tilt") == Angles(-45.0, -22.5)
    for options in ({"task": "classify"}, {"names": ("no", "yes")}, {"metadata": Metadata(task="classify")}):
        assert isinstance(read(outputs, **options), Classification)
    assert isinstance(read({"y": vector(0.3, 0.7)}, layer_type={"y": "Softmax"}), Classification)
    for bad in BAD[:3]:
        assert read({"y": vector(bad, bad)}, task="pan-tilt") in (Angles(0.0, 0.0), Angles(-0.0, 0.0))


# ---- points


MEAN_FACE = (0.3, 0.35, 0.7, 0.35, 0.5, 0.55, 0.35, 0.75, 0.65, 0.75)


@pytest.mark.parametrize("count", [5, 35, 68, 98, 106])
@pytest.mark.parametrize("coding", ["parts", "centred", "px"])
def test_points_are_px_however_they_are_coded(count: int, coding: str) -> None:
    parts = np.random.default_rng(count).uniform(0.1, 0.9, (count, 2)).astype(np.float32)
    px = parts * (80, 60)
    values = {"parts": parts, "centred": 2 * parts - 1, "px": px}[coding].astype(np.float32)
    for shape in ((1, -1), (1, 2 * count, 1, 1), (1, count, 2)):
        outputs = {"out": values.reshape(shape), "features": np.zeros((1, 8, 4, 4), np.float32)}
        for options in ({"task": "landmarks"}, {"metadata": Metadata(task="landmarks")}):
            found = read(outputs, **options)
            assert isinstance(found, Landmarks)
            np.testing.assert_allclose(found.points[:, :2], px, atol=1e-3)
            assert (found.points[:, 2] == 0).all()
            assert found.score == 1
        with pytest.raises(UnsupportedError):
            read(outputs)


def test_points_beside_other_vectors() -> None:
    outputs = {
        "pose": noise(3),
        "points": np.linspace(0.1, 0.9, 136, dtype=np.float32)[None],
        "gender": vector(0.2, 0.8),
    }
    found = read(outputs, task="landmarks", layer_type={"gender": "Softmax"})
    assert isinstance(found, Landmarks)
    assert found.points.shape == (68, 3)
    assert isinstance(read(outputs, layer_type={"gender": "Softmax"}), Classification)


def test_what_is_known_goes_before_what_is_said() -> None:
    outputs = {"points": noise(1404).reshape(1, 1, 1, 1404), "score": np.zeros((1, 1, 1, 1), np.float32)}
    assert claimed(outputs, (192, 192), task="landmarks").family == "face-mesh"


def test_points_in_space() -> None:
    values = np.random.default_rng(0).uniform(2, 50, (1, 21, 3)).astype(np.float32)
    np.testing.assert_array_equal(read({"hand": values}, task="landmarks").points, values[0])


def test_what_cannot_be_points() -> None:
    for outputs, layer_type in (
        ({"fc": noise(7)}, {}),
        ({"p": vector(0.2, 0.3, 0.4, 0.1)}, {"p": "Softmax"}),
        ({"a": noise(10), "b": noise(12)}, {}),
        ({"a": noise(4), "b": noise(3)}, {}),
        ({"boxes": np.zeros((1, 100, 4), np.float32), "scores": np.zeros((1, 100, 2), np.float32)}, {}),
    ):
        with pytest.raises(UnsupportedError, match="made-up"):
            claimed(outputs, SIZE, task="landmarks", layer_type=layer_type)


def test_five_points_of_a_face_show_themselves() -> None:
    outputs = {"95": vector(*MEAN_FACE)}
    found = read(outputs, layer_type={"95": "Sigmoid"})
    assert isinstance(found, Landmarks)
    np.testing.assert_allclose(found.points[1, :2], (0.7 * 80, 0.35 * 60), rtol=1e-5)
    other = {"95": vector(*np.random.default_rng(1).permutation(MEAN_FACE))}
    assert isinstance(read(other, layer_type={"95": "Sigmoid"}), Classification)
    assert isinstance(read(outputs, layer_type={"95": "Sigmoid"}, names=tuple("abcdefghij")), Classification)


def test_sigmoids_that_may_be_points_are_left_to_the_user() -> None:
    outputs = {"p": np.random.default_rng(0).uniform(0, 1, (1, 136)).astype(np.float32)}
    with pytest.raises(UnsupportedError, match=r"--head classifier.*--head landmarks"):
        claimed(outputs, SIZE, layer_type={"p": "Sigmoid"})
    assert claimed(outputs, SIZE, layer_type={"p": "Sigmoid"}, head="landmarks").task == "landmarks"
    assert claimed(outputs, SIZE, layer_type={"p": "Sigmoid"}, task="classify").task == "classify"


@pytest.mark.parametrize("bad", BAD)
def test_nonsense_gives_points(bad: float) -> None:
    claim = claimed({"p": noise(10)}, SIZE, task="landmarks")
    found = claim.parser.parse({"p": np.full((1, 10), bad, np.float32)}, claim.parser.defaults)
    assert isinstance(found, Landmarks)
    assert np.isfinite(found.points).all()


# ---- embeddings


def test_embeddings_have_length_one() -> None:
    for shape in ((1, 256), (1, 256, 1, 1)):
        found = read({"e": 7 * noise(256).reshape(shape)}, task="embed")
        assert isinstance(found, Embedding)
        np.testing.assert_allclose(found.vector, noise(256)[0] / np.linalg.norm(noise(256)), rtol=1e-5)
        assert found.similarity(found) == pytest.approx(1, abs=1e-5)
    assert isinstance(read({"e": noise(128)}, metadata=Metadata(task="embedding")), Embedding)
    with pytest.raises(UnsupportedError, match="they fit classifier"):
        claimed({"p": vector(0.2, 0.8, 0)}, SIZE, task="embed", layer_type={"p": "Softmax"})


def test_a_vector_of_length_one_is_an_embedding() -> None:
    outputs = {"e": noise(128) / np.linalg.norm(noise(128))}
    assert isinstance(read(outputs, layer_type={"e": "ReduceL2"}), Embedding)
    assert isinstance(read(outputs, layer_type={"e": "ReduceL2"}, task="classify"), Classification)
    for other, layer_type in ((outputs, "Divide"), ({"e": 3 * outputs["e"]}, "ReduceL2")):
        with pytest.raises(UnsupportedError, match="--task embed"):
            read(other, layer_type={"e": layer_type})


@pytest.mark.parametrize("bad", BAD)
def test_an_embedding_of_nonsense_is_finite(bad: float) -> None:
    found = read({"e": np.full((1, 8), bad, np.float32)}, task="embed")
    assert isinstance(found, Embedding)
    assert np.isfinite(found.vector).all()
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-5) or not found.vector.any()


# ---- real files


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["regressor_136", "embedding_256"])
def test_files_of_vectors(corpus: Path, name: str) -> None:
    path = corpus / "cases" / "models" / f"{name}.onnx"
    picture = cv2.imread(str(corpus / "images" / "sk_astronaut.png"))
    with pytest.raises(UnsupportedError, match="--task landmarks"):
        open_predictor(path)
    embedding = open_predictor(path, task="embed")(picture).embedding
    assert embedding is not None
    assert np.linalg.norm(embedding.vector) == pytest.approx(1, abs=1e-5)
    landmarks = open_predictor(path, task="landmarks")(picture).landmarks
    assert landmarks is not None
    assert landmarks.points.shape == (68 if name == "regressor_136" else 128, 3)


@pytest.mark.corpus
def test_five_points_on_a_real_face(corpus: Path) -> None:
    (path,) = (corpus / "corpus" / "ir" / "modern").glob("landmarks-regression*/*.xml")
    predictor = open_predictor(path, precision="f32")
    face = cv2.imread(str(corpus / "images" / "sk_astronaut.png"))[62:178, 176:272]
    landmarks = predictor(np.ascontiguousarray(face)).landmarks
    assert landmarks is not None
    wanted = np.array([(204, 105), (247, 105), (224, 128), (205, 145), (243, 145)]) - (176, 62)
    np.testing.assert_allclose(landmarks.points[:, :2], wanted, atol=8)


@pytest.mark.corpus
def test_the_first_net_of_mtcnn(corpus: Path) -> None:
    with pytest.raises(UnsupportedError, match="P-Net, the first of the three networks of MTCNN"):
        open_predictor(corpus / "corpus" / "caffe" / "mtcnn_det1" / "det1.prototxt")
