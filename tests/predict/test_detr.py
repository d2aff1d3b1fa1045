"""Detection transformers: boxes and scores that were encoded here are found again; the corpus; near misses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks_of import claim_with, found_in, fuzz, network_of, predictor_of
from numpy.typing import NDArray

from heads import Head
from saccade.errors import UnsupportedError
from saccade.networks import Model
from saccade.predict.metadata import Metadata
from saccade.predict.opening import Wishes, open_predictor

WANTED = np.array([[4, 8, 12, 24], [0, 0, 32, 16]], np.float32)
ROWS, LABELS, CHANCES = (7, 3), (2, 0), (0.9, 0.7)
NAMES = ("cat", "dog", "bird")


def boxes_of(queries: int, size: int = 32) -> NDArray[np.float32]:
    boxes = np.full((1, queries, 4), 0.5, np.float32)
    for row, (x1, y1, x2, y2) in zip(ROWS, WANTED / size, strict=True):
        boxes[0, row] = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
    return boxes


def logits_of(queries: int, classes: int, *, no_object: bool) -> NDArray[np.float32]:
    """Of a softmax with a last class for nothing, or of sigmoids."""
    logits = np.full((queries, classes), -8, np.float32)
    if no_object:
        logits = np.full((queries, classes + 1), 0, np.float32)
        logits[:, -1] = 9
    for row, label, chance in zip(ROWS, LABELS, CHANCES, strict=True):
        if no_object:
            chances = np.full(classes + 1, (1 - chance) / classes)
            chances[label] = chance
            logits[row] = np.log(chances) + 2
        else:
            logits[row, label] = np.log(chance / (1 - chance))
    return logits[None]


def check(predictor: Any, outputs: Any, **tolerance: float) -> None:
    found = found_in(predictor, outputs)
    assert found.labels.tolist() == list(LABELS)
    np.testing.assert_allclose(found.boxes, WANTED, atol=1e-4)
    np.testing.assert_allclose(found.scores, CHANCES, atol=1e-5)
    assert len(found_in(predictor, outputs, score=0.8)) == 1
    fuzz(predictor)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("classes", [1, 3, 91])
@pytest.mark.parametrize("no_object", [False, True])
def test_a_softmax_or_sigmoids(no_object: bool, classes: int, swapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told apart by the column that wins everywhere, or COCO's 92."""
    monkeypatch.setattr("test_detr.LABELS", tuple(min(label, classes - 1) for label in LABELS))
    outputs = {"scores": logits_of(100, classes, no_object=no_object), "boxes": boxes_of(100)}
    outputs = dict(reversed(outputs.items())) if swapped else outputs
    predictor = predictor_of(outputs)
    assert predictor.parser.family == ("detr" if no_object else "rt-detr")
    assert (predictor.spec.mean[0] > 0) == (no_object or classes == 91)
    check(predictor, outputs)


def test_names_and_the_user_decide_before_values() -> None:
    outputs = {"logits": logits_of(100, 3, no_object=True), "pred_boxes": boxes_of(100)}
    assert predictor_of(outputs, wishes=Wishes(labels=NAMES)).parser.family == "detr"
    assert predictor_of(outputs, wishes=Wishes(labels=(*NAMES, "fish"))).parser.family == "rt-detr"
    assert predictor_of(outputs, wishes=Wishes(head="rt-detr")).parser.family == "rt-detr"
    vague = {"logits": logits_of(100, 4, no_object=False), "pred_boxes": boxes_of(100)}
    assert predictor_of(vague, wishes=Wishes(head="detr")).parser.family == "detr"
    assert predictor_of(vague, wishes=Wishes(labels=NAMES)).parser.family == "detr"


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_scores_that_are_probabilities_already(kind: str) -> None:
    logits = logits_of(100, 3, no_object=kind == "softmax")
    outputs = {"scores": logits, "boxes": boxes_of(100)}
    predictor = predictor_of(outputs, end={"scores": kind})
    chances = np.exp(logits) / (np.exp(logits).sum(-1, keepdims=True) if kind == "softmax" else 1 + np.exp(logits))
    check(predictor, outputs | {"scores": chances})


def test_a_query_may_have_two_classes_where_each_is_by_itself() -> None:
    logits = np.full((1, 100, 5), -8, np.float32)
    logits[0, 7, [1, 4]] = 2, 1
    outputs = {"logits": logits, "pred_boxes": boxes_of(100)}
    assert found_in(predictor_of(outputs), outputs).labels.tolist() == [1, 4]


def test_more_outputs_and_a_mask_input_of_transformers() -> None:
    outputs = {
        "logits": logits_of(100, 91, no_object=True), "pred_boxes": boxes_of(100),
        "last_hidden_state": np.zeros((1, 100, 256), np.float32),
        "encoder_last_hidden_state": np.zeros((1, 49, 256), np.float32),
    }  # fmt: skip
    coco = tuple(f"c{i}" for i in range(80))
    predictor = predictor_of(outputs, inputs={"pixel_mask": ((1, 64, 64), np.int64)}, wishes=Wishes(labels=coco))
    assert predictor._take().inputs["pixel_mask"].all()
    found = found_in(predictor, outputs)
    assert [found.name(i) for i in range(2)] == ["c1", "0"]


@pytest.mark.parametrize(("head", "classes", "mean"), [
    ("", 91, 123.675), ("RTDetrForObjectDetection", 91, 0), ("DFineForObjectDetection", 91, 0),
    ("DeformableDetrForObjectDetection", 4, 123.675), ("", 4, 0),
])  # fmt: skip
def test_who_wants_imagenets_mean(head: str, classes: int, mean: float) -> None:
    outputs = {"logits": logits_of(100, classes, no_object=False), "pred_boxes": boxes_of(100)}
    claim = claim_with(outputs, Metadata(head=head))
    assert (claim.family, claim.input.get("mean", (0,))[0]) == ("rt-detr", mean)


def test_numbers_of_classes_that_the_file_gives() -> None:
    outputs = {"logits": logits_of(100, 3, no_object=False), "pred_boxes": boxes_of(100)}
    claim = claim_with(outputs, Metadata(names=("a", "b"), label_ids=(0, 2)))
    found = claim.parser.parse(outputs, claim.parser.defaults)
    assert [found.name(i) for i in range(2)] == ["b", "a"]


@pytest.mark.parametrize("names", [("dets", "labels", "masks"), ("b", "s", "m")])
def test_masks_of_the_whole_picture(names: tuple[str, str, str]) -> None:
    masks = np.full((1, 20, 8, 8), -5, np.float32)
    masks[0, 7, :, :2] = 5  # the left quarter of the picture
    masks[0, 3] = 5
    values = boxes_of(20), logits_of(20, 5, no_object=False), masks
    outputs = dict(zip(names, values, strict=True))
    predictor = predictor_of(outputs)
    assert predictor.parser.family == "rf-detr"
    assert predictor.spec.mean[0] > 100
    found = found_in(predictor, outputs)
    assert found.masks.patches[0].shape == (4, 2)
    first = found.masks.bitmap(0, found.boxes[0], 32, 32)
    assert first[8:24, 4:8].all()
    assert not first[:, 9:].any()
    assert found.masks.bitmap(1, found.boxes[1], 32, 32).sum() == 32 * 16
    fuzz(predictor)


def test_three_classes_of_rf_detr_are_told_by_name() -> None:
    outputs = {"labels": logits_of(50, 4, no_object=False), "dets": boxes_of(50)}
    predictor = predictor_of(outputs)
    assert predictor.parser.family == "rf-detr"
    check(predictor, outputs)


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_exports_that_are_told_the_size(kind: Any) -> None:
    labels, boxes, scores = (
        np.zeros((1, 300), np.int64),
        np.zeros((1, 300, 4), np.float32),
        np.zeros((1, 300), np.float32),
    )
    labels[0, :2], boxes[0, :2], scores[0, :2] = LABELS, WANTED, CHANCES
    outputs = {"labels": labels, "boxes": boxes, "scores": scores}
    predictor = predictor_of(
        outputs, size=(32, 64), inputs={"orig_target_sizes": ((1, 2), kind)}, wishes=Wishes(labels=NAMES)
    )
    assert (predictor.parser.family, predictor.spec.scale[0]) == ("rt-detr", 255)
    np.testing.assert_array_equal(predictor._take().inputs["orig_target_sizes"], [[64, 32]])
    found = found_in(predictor, outputs)
    np.testing.assert_array_equal(found.boxes, WANTED)
    assert [found.name(i) for i in range(2)] == ["bird", "cat"]


def rows_of(columns: int, queries: int = 300) -> NDArray[np.float32]:
    """Ultralytics' table: a score a class, or (six columns) score and class."""
    rows = np.concatenate([boxes_of(queries)[0], np.full((queries, columns - 4), 0.01, np.float32)], 1)
    if columns == 6:
        rows[:, 5] = 40
    for row, label, chance in zip(ROWS, LABELS, CHANCES, strict=True):
        rows[row, 4:6] = (chance, label) if columns == 6 else rows[row, 4:6]
        if columns != 6:
            rows[row, 4 + label] = chance
    return rows[None]


@pytest.mark.parametrize("columns", [6, 7, 84])
def test_tables_of_ultralytics(columns: int) -> None:
    outputs = {"output0": rows_of(columns)}
    predictor = predictor_of(outputs)
    assert (predictor.parser.family, predictor.parser.defaults.score) == ("rt-detr", 0.25)
    assert predictor.spec.resize == "stretch"
    check(predictor, outputs)


def test_metadata_decides_for_a_table() -> None:
    outputs = {"output0": rows_of(6)}
    claim = claim_with(outputs, Metadata(producer="ultralytics", head="RTDETRDecoder"))
    assert (claim.family, claim.certainty) == ("rt-detr", 3)
    with pytest.raises(UnsupportedError):  # which are corners in px
        claim_with(outputs, Metadata(producer="ultralytics", task="detect", head="v10Detect", end2end=True))


def test_near_misses_are_refused() -> None:
    no_class = rows_of(6)
    no_class[..., 5] += 0.5
    negative = rows_of(84)
    negative[0, 5, 9] = -0.4
    px = {"logits": logits_of(100, 3, no_object=False), "pred_boxes": boxes_of(100) * 32}
    same = {"x": boxes_of(100)[:, ::-1], "y": boxes_of(100)}  # which of them has the boxes?
    for outputs in (same, {"out": no_class}, {"out": negative}, px):
        with pytest.raises(UnsupportedError):
            predictor_of(outputs)
    corners = rows_of(6)
    corners[..., :4] *= 320
    assert predictor_of({"out": corners}, size=(320, 320)).parser.family != "rt-detr"


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["detr_softmax", "rtdetr_hf_logits", "rtdetr_ultralytics_topk"])
def test_real_detrs_give_what_their_makers_gave(corpus: Path, name: str) -> None:
    head = Head.at(corpus, name)
    predictor = head.open()
    head.compare(head.decoded(predictor), score=1e-3, px=0.1)
    head.compare(head.from_picture(predictor))


def test_a_predictor_from_a_network_that_is_open() -> None:
    outputs = {"logits": logits_of(100, 3, no_object=False), "pred_boxes": boxes_of(100)}
    found = open_predictor(Model(network_of(outputs), precision="f32"))(np.zeros((64, 32, 3), np.uint8)).detections
    assert found is not None
    np.testing.assert_allclose(found.boxes, WANTED * [1, 2, 1, 2], atol=1e-4)
