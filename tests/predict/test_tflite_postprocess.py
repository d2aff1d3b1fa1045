"""The four outputs of TFLite_Detection_PostProcess: whose they are, and what they say."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from saccade.errors import UnsupportedError
from saccade.networks import Model
from saccade.networks.network import Outputs, Port
from saccade.predict import open_predictor
from saccade.predict.parsers.tflite_postprocess import OPERATOR, PARTS, TFLitePostProcess, class_names
from small_networks import outputs_only

SIZE = (50, 100)
"""Height and width of the input, px."""

SHAPES = {"boxes": (1, 6, 4), "classes": (1, 6), "scores": (1, 6), "count": (1,)}


def parser(names: tuple[str, ...] = (), per_box: int = 1, rows: int = 6) -> TFLitePostProcess:
    attributes = MappingProxyType({"op": OPERATOR, "per_box": per_box})
    ports = {
        part: Port(f"det:{part}", (1, rows, *shape[2:]) if len(shape) > 1 else shape, np.dtype("f4"), "", attributes)
        for part, shape in SHAPES.items()
    }
    return TFLitePostProcess(ports, names, SIZE)


def outputs(*rows: tuple[float, ...], count: float | None = None, garbage: float = 0.9) -> Outputs:
    """x1, y1, x2, y2 px, class, score each; what follows them is `garbage`."""
    found = {part: np.full(shape, garbage, np.float32) for part, shape in SHAPES.items()}
    for i, (x1, y1, x2, y2, label, score) in enumerate(rows):
        found["boxes"][0, i] = [y1 / SIZE[0], x1 / SIZE[1], y2 / SIZE[0], x2 / SIZE[1]]
        found["classes"][0, i], found["scores"][0, i] = label, score
    found["count"][0] = len(rows) if count is None else count
    return {f"det:{part}": value for part, value in found.items()}


def test_boxes_come_back_in_px_best_first() -> None:
    reader = parser(("cat", "dog"))
    found = reader.parse(outputs((10, 5, 30, 20, 1, 0.6), (50, 10, 100, 45, 0, 0.8)), reader.defaults)
    np.testing.assert_allclose(found.boxes, [[50, 10, 100, 45], [10, 5, 30, 20]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.8, 0.6])
    assert [found.name(i) for i in range(2)] == ["cat", "dog"]
    assert (found.boxes.dtype, found.labels.dtype) == (np.float32, np.int32)


def test_what_follows_the_last_box_is_not_looked_at() -> None:
    reader = parser()
    assert len(reader.parse(outputs(), reader.defaults)) == 0
    assert len(reader.parse(outputs((0, 0, 9, 9, 0, 0.9)), reader.defaults.but(score=0.0))) == 1


def test_several_classes_a_box() -> None:
    """The count is of boxes: each of them has as many rows as it has classes."""
    reader = parser(per_box=2)
    rows = [(0, 0, 9, 9, 0, 0.9), (0, 0, 9, 9, 1, 0.7), (20, 20, 30, 30, 1, 0.8), (20, 20, 30, 30, 0, 0.2)]
    found = reader.parse(outputs(*rows, count=2), reader.defaults)
    assert sorted(zip(found.labels.tolist(), np.round(found.scores, 3).tolist(), strict=True)) == [
        (0, pytest.approx(0.9)), (1, pytest.approx(0.7)), (1, pytest.approx(0.8)),
    ]  # fmt: skip


def test_threshold_and_most() -> None:
    reader = parser()
    found = outputs((0, 0, 9, 9, 0, 0.5), (10, 0, 19, 9, 0, 0.75), (20, 0, 29, 9, 0, 0.25))
    assert len(reader.parse(found, reader.defaults)) == 2  # a score right at the threshold counts
    assert len(reader.parse(found, reader.defaults.but(score=0.0))) == 3
    assert reader.parse(found, reader.defaults.but(top=1)).scores.tolist() == [0.75]


@pytest.mark.parametrize("count", [np.nan, np.inf, -np.inf, -3.0, 1e30])
def test_a_count_that_is_none(count: float) -> None:
    reader = parser()
    found = reader.parse(outputs((0, 0, 9, 9, 0, 0.9), count=count, garbage=np.nan), reader.defaults)
    assert len(found) == (1 if count > 0 else 0)


@given(
    arrays.arrays(np.float32, (1, 6, 4)), arrays.arrays(np.float32, (1, 6)), arrays.arrays(np.float32, (1, 6)),
    arrays.arrays(np.float32, (1,)), st.floats(0, 1),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_numbers_give_sound_objects(
    boxes: np.ndarray, classes: np.ndarray, scores: np.ndarray, count: np.ndarray, threshold: float
) -> None:
    reader = parser()
    values = {f"det:{part}": value for part, value in zip(PARTS, (boxes, classes, scores, count), strict=True)}
    with np.errstate(all="ignore"):
        found = reader.parse(values, reader.defaults.but(score=threshold))
    assert np.isfinite(found.boxes).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert (found.labels >= 0).all()
    assert (np.diff(found.scores) <= 0).all()


def test_empty_outputs_give_no_objects() -> None:
    reader = parser(rows=0)
    empty = {"boxes": (1, 0, 4), "classes": (1, 0), "scores": (1, 0), "count": (0,)}
    values = {f"det:{part}": np.zeros(shape, np.float32) for part, shape in empty.items()}
    assert len(reader.parse(values, reader.defaults)) == 0


@pytest.mark.parametrize(
    ("names", "classes", "left"),
    [
        (("???", "cat", "dog"), 2, ("cat", "dog")),
        (("???", "cat", "???", "dog"), 90, ("cat", "???", "dog")),
        (("background", "cat"), None, ("cat",)),
        (("nothing", "cat", "dog"), 2, ("cat", "dog")),
        (("cat", "dog"), 2, ("cat", "dog")),
        (("cat", "dog"), None, ("cat", "dog")),
        ((), 2, ()),
    ],
)
def test_the_background_in_files_of_names(names: tuple[str, ...], classes: int | None, left: tuple[str, ...]) -> None:
    assert class_names(names, classes) == left


@pytest.mark.parametrize(
    "names",
    [
        (OPERATOR, f"{OPERATOR}:1", f"{OPERATOR}:2", f"{OPERATOR}:3"),
        tuple(f"StatefulPartitionedCall:{i}" for i in (3, 2, 1, 0)),
    ],
)
def test_another_tools_conversion_is_known_by_its_names(names: tuple[str, ...]) -> None:
    model = Model(outputs_only(**dict(reversed(list(zip(names, SHAPES.values(), strict=True))))))
    predictor = open_predictor(model)
    assert (predictor.parser.family, predictor.task) == ("tflite-ssd", "detect")
    assert (predictor.spec.swap_rb, predictor.spec.mean, predictor.spec.scale) == (True, (127.5,) * 3, (127.5,) * 3)


@pytest.mark.parametrize(
    "outputs",
    [
        dict(zip("abcd", SHAPES.values(), strict=True)),  # nothing tells classes from scores
        {OPERATOR: (1, 6, 4), f"{OPERATOR}:1": (1, 6), f"{OPERATOR}:2": (1, 6)},
        {OPERATOR: (1, 6, 4), f"{OPERATOR}:1": (1, 6), f"{OPERATOR}:2": (1, 6), f"{OPERATOR}:4": (1,)},
        {OPERATOR: (1, 6, 5), f"{OPERATOR}:1": (1, 6), f"{OPERATOR}:2": (1, 6), f"{OPERATOR}:3": (1,)},
        {OPERATOR: (1, 6, 4), f"{OPERATOR}:1": (1, 6), f"{OPERATOR}:2": (1, 7), f"{OPERATOR}:3": (1,)},
        {"detection_boxes": (1, 6, 4), "detection_classes": (1, 6), "detection_scores": (1, 6), "num": (1,)},
    ],
)
def test_others_are_none_of_it(outputs: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(UnsupportedError):
        open_predictor(Model(outputs_only(**outputs)), head="tflite-ssd")
