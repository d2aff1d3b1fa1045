"""Networks that list their objects: Model API, TorchVision, Mask R-CNN, TensorFlow's Object Detection API, TFLite."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks_of import found_in, fuzz, network_of, predictor_of

from heads import Head
from saccade.errors import UnsupportedError
from saccade.networks import Model
from saccade.predict.evidence import Evidence
from saccade.predict.metadata import Metadata
from saccade.predict.opening import Wishes, understand
from saccade.predict.parser import Settings
from saccade.predict.parsers.common import own_names

BOXES = np.array([[4, 8, 12, 24], [0, 0, 32, 16], [1, 2, 3, 4]], np.float32)
SCORES = np.array([0.6, 0.9, 0.1], np.float32)
NAMES = ("cat", "dog", "bird")
_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,"
    "snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,"
    "fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO = tuple(_COCO.split(","))


@pytest.mark.parametrize("lead", [(), (1,)])
@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_boxes_with_a_score_and_labels(lead: tuple[int, ...], kind: Any) -> None:
    outputs = {
        "what": np.array([2, 0, 1], kind).reshape(*lead, 3),
        "where": np.column_stack([BOXES, SCORES]).reshape(*lead, 3, 5),
    }
    predictor = predictor_of(outputs, wishes=Wishes(labels=NAMES))
    assert predictor.parser.family == "boxes-labels"
    found = found_in(predictor, outputs)
    np.testing.assert_array_equal(found.boxes, BOXES[[1, 0]])
    np.testing.assert_array_equal(found.scores, SCORES[[1, 0]])
    assert [found.name(i) for i in range(2)] == ["cat", "bird"]
    fuzz(predictor)


def test_boxes_of_five_numbers_beside_scores_are_no_labels() -> None:
    outputs = {"angles": np.array([0.3, 0.2, 0.7], np.float32), "boxes": np.column_stack([BOXES, SCORES])}
    with pytest.raises(UnsupportedError, match="angles"):
        predictor_of(outputs)


@pytest.mark.parametrize("order", list(permutations(("boxes", "labels", "scores"))))
@pytest.mark.parametrize("part", [False, True])
def test_boxes_labels_and_scores_apart(order: tuple[str, ...], part: bool) -> None:
    every = {
        "boxes": BOXES / (32 if part else 1), "labels": np.array([1, 2, 3], np.int64), "scores": SCORES,
    }  # fmt: skip
    outputs = {name: every[name] for name in order}
    predictor = predictor_of(outputs, wishes=Wishes(labels=NAMES))
    found = found_in(predictor, outputs)
    np.testing.assert_allclose(found.boxes, BOXES[[1, 0]], rtol=1e-6)
    assert [found.name(i) for i in range(2)] == ["dog", "cat"]
    assert predictor.spec.swap_rb
    fuzz(predictor)


@pytest.mark.parametrize("name", ["classes", "labels", "det_cls"])
def test_float_labels_are_told_by_their_values_not_by_their_names(name: str) -> None:
    misnamed = {"boxes": BOXES, name: SCORES, "confidence": np.array([1, 2, 3], np.float32)}
    found = found_in(predictor_of(misnamed), misnamed)
    assert found.labels.tolist() == [2, 1]
    # Where nothing is found in the run on a made-up picture, the names are what is left.
    empty = {"boxes": BOXES, name: np.zeros(3, np.float32), "confidence": np.zeros(3, np.float32)}
    full = {"boxes": BOXES, name: np.array([1, 2, 3], np.float32), "confidence": SCORES}
    assert found_in(predictor_of(empty), full).labels.tolist() == [2, 1]


@pytest.mark.parametrize("form", ["n", "n1", "classes"])
@pytest.mark.parametrize("logits", [False, True])
def test_masks_lie_in_their_boxes(form: str, logits: bool) -> None:
    """The left half of the first object, all of the second."""
    shapes = np.zeros((3, 28, 28), np.float32)
    shapes[0, :, :14] = shapes[1] = 1
    values = shapes * 8 - 4 if logits else shapes * 0.9
    labels = np.array([1, 2, 3], np.int64)
    masks = {"n": values, "n1": values[:, None], "classes": np.zeros((3, 4, 28, 28), np.float32) - 4 * logits}[form]
    if form == "classes":
        masks[np.arange(3), labels] = values
    outputs = {"boxes": BOXES, "labels": labels, "scores": SCORES, "masks": masks}
    predictor = predictor_of(outputs)
    assert predictor.parser.family == "mask-rcnn"
    found = found_in(predictor, outputs)
    assert found.masks is not None
    assert found.masks.bitmap(0, found.boxes[0], 32, 32).sum() == 32 * 16
    left = found.masks.bitmap(1, found.boxes[1], 32, 32)
    assert left[8:24, 4:8].all()
    assert left.sum() == 16 * 4
    with_five = {"boxes": np.column_stack([BOXES, SCORES]), "labels": labels, "masks": masks}
    assert len(found_in(predictor_of(with_five), with_five).masks) == 2
    fuzz(predictor)


def test_rows_of_seven_numbers_with_masks() -> None:
    """Mask R-CNN of the Open Model Zoo: classes count from 1, and so do the masks of each row."""
    rows = np.array(
        [[0, 2, 0.6, 0.125, 0.25, 0.375, 0.75], [0, 3, 0.9, 0, 0, 1, 0.5], [-1, 1, 0.9, 0, 0, 1, 1]], np.float32
    )
    masks = np.zeros((3, 4, 14, 14), np.float32)
    masks[0, 1, :, :7] = masks[1, 2] = 0.9
    outputs = {"masks": masks, "reshape_do_2d": rows}
    predictor = predictor_of(outputs, wishes=Wishes(labels=NAMES), inputs={"image_info": ((1, 3), np.float32)})
    assert predictor.parser.family == "mask-rcnn"
    found = found_in(predictor, outputs)
    assert [found.name(i) for i in range(len(found))] == ["bird", "dog"]
    np.testing.assert_allclose(found.boxes, [[0, 0, 32, 16], [4, 8, 12, 24]])
    assert [int(found.masks.bitmap(i, found.boxes[i], 32, 32).sum()) for i in (0, 1)] == [32 * 16, 16 * 4]
    fuzz(predictor)


def test_image_info_is_filled() -> None:
    outputs = {"boxes": np.column_stack([BOXES, SCORES]), "labels": np.array([1, 2, 3], np.int64)}
    predictor = predictor_of(outputs, size=(24, 48), inputs={"image_info": ((1, 3), np.float32)})
    request = predictor._take()
    np.testing.assert_array_equal(request.inputs["image_info"], [[24, 48, 1]])


def test_objects_of_tensorflow() -> None:
    best = [1, 0, 2]
    outputs = {
        "num_detections": np.array([2], np.float32),
        "detection_scores": SCORES[None, best],
        "detection_classes": np.array([[18, 17, 1]], np.float32),
        "detection_boxes": (BOXES[best][:, [1, 0, 3, 2]] / 32)[None],
        "detection_masks": np.ones((1, 3, 33, 33), np.float32),
        "detection_multiclass_scores": np.zeros((1, 3, 91), np.float32),
        "detection_anchor_indices": np.zeros((1, 3), np.float32),
        "raw_detection_boxes": np.zeros((1, 50, 4), np.float32),
        "raw_detection_scores": np.zeros((1, 50, 91), np.float32),
    }
    coco = tuple(f"c{i}" for i in range(80))
    predictor = predictor_of(outputs, nhwc=True, dtype=np.uint8, wishes=Wishes(labels=coco))
    assert predictor.parser.family == "tf-objects"
    assert predictor.spec.swap_rb
    assert predictor.spec.dtype == "uint8"
    found = found_in(predictor, outputs, score=0.05)
    np.testing.assert_allclose(found.boxes, BOXES[[1, 0]], rtol=1e-6)
    # Numbers of COCO have gaps: 17 is the sixteenth class.
    assert [found.name(i) for i in range(2)] == ["c16", "c15"]
    assert found.masks.bitmap(1, found.boxes[1], 32, 32).sum() == 8 * 16
    named = predictor_of(outputs, nhwc=True, dtype=np.uint8, wishes=Wishes(labels=NAMES))
    assert named.parser.names == ("background", *NAMES)
    fuzz(predictor)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_four_outputs_of_tflite_in_any_order(order: tuple[int, ...]) -> None:
    parts = [
        (BOXES[:, [1, 0, 3, 2]] / 32)[None], np.array([[0, 2, 7]], np.float32), SCORES[None], np.array([2], np.float32),
    ]  # fmt: skip
    outputs = {f"out{i}": parts[i] for i in order}
    predictor = predictor_of(outputs, wishes=Wishes(labels=("???", *NAMES)))
    assert predictor.parser.family == "tf-lists"
    found = found_in(predictor, outputs, score=0.05)
    np.testing.assert_allclose(found.boxes, BOXES[[1, 0]], rtol=1e-6)
    assert [found.name(i) for i in range(2)] == ["bird", "cat"]


def test_boxes_in_pixels_with_a_count_are_not_tflites() -> None:
    outputs = {
        "num": np.array([3], np.float32), "boxes": BOXES[None], "scores": SCORES[None],
        "classes": np.array([[0, 2, 7]], np.float32),
    }  # fmt: skip
    with pytest.raises(UnsupportedError, match="boxes"):
        predictor_of(outputs)


@pytest.mark.corpus
def test_the_corpus_of_model_api(corpus: Path) -> None:
    head = Head.at(corpus, "modelapi_boxes_labels")
    predictor = head.open(
        labels=("cat", "dog", "no_helmet"), color="rgb", resize="letterbox", pad=0,
        mean=(123.675, 116.28, 103.53), scale=(58.395, 57.12, 57.375),
    )  # fmt: skip
    head.compare(head.decoded(predictor), score=1e-3, px=0.1)
    head.compare(head.from_picture(predictor))


@pytest.mark.corpus
def test_the_corpus_outputs_of_tflites_operator(corpus: Path) -> None:
    head = Head.at(corpus, "tflite_ssd_postprocess_uint8")
    with np.load(head.folder / "raw.npz") as arrays:
        raw = {key.split(":", 2)[2]: arrays[key] for key in arrays.files if key.startswith("out:")}
    names = dict(zip(raw, "abcd", strict=True))
    raw = {names[name]: value for name, value in raw.items()}
    predictor = predictor_of(raw, size=(320, 320))
    head.compare(found_in(predictor, raw, score=0.25).placed(_stretched(head)), score=1e-3, px=0.1)


def _stretched(head: Head) -> Any:
    from saccade.geometry import View

    height, width = head.picture.shape[:2]
    return View(width / 320, height / 320, 0, 0)


def placed(names: tuple[str, ...], ids: tuple[int, ...] = (), **numbering: Any) -> tuple[str, ...]:
    return own_names(Evidence(None, Metadata(label_ids=ids), names=names), **numbering)  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [None, 0, 1])
def test_names_at_the_numbers_that_the_file_gives_them(first: int | None) -> None:
    assert placed(("a", "b"), (3, 1), first=first) == ("0", "b", "2", "a")
    assert placed(("a",), (100_000,), first=first)[100_000:] == ("a",)
    for odd in ((-1, 1), (1, 100_001), (1,), ()):
        assert placed(("a", "b"), odd) == ("a", "b")


EIGHTY = tuple(f"n{i}" for i in range(80))
GAPS = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]


@pytest.mark.parametrize("first", [None, 0, 1])
@pytest.mark.parametrize("names", [EIGHTY, ("__background__", *EIGHTY), ("???", *EIGHTY)])
@pytest.mark.parametrize("classes", [90, 91, 92])
def test_eighty_names_of_coco_go_to_its_ninety_numbers(names: tuple[str, ...], classes: int, first: int | None) -> None:
    """Numbers without a class: https://github.com/tensorflow/models, mscoco_label_map.pbtxt."""
    sparse = placed(names, classes=classes, first=first)
    assert [number for number in range(1, 91) if sparse[number] == str(number)] == GAPS
    assert (len(sparse), sparse[1], sparse[13], sparse[90]) == (91, "n0", "n11", "n79")


@pytest.mark.parametrize("word", ["background", "__background__", "???", "BG", "unlabeled", "N/A", "", "dummy"])
def test_the_background_is_where_the_network_has_it(word: str) -> None:
    names = (word, "cat", "dog")
    assert placed(names, first=1) == placed(names) == placed(names, classes=3) == names
    assert placed(names, first=0) == placed(names, classes=2) == ("cat", "dog")
    assert placed(("cat", "dog"), first=1) == ("background", "cat", "dog")
    assert placed(("cat", "dog"), first=0) == placed(("cat", "dog"), classes=3) == ("cat", "dog")
    assert placed((), first=1) == ()
    assert placed(EIGHTY, classes=80) == EIGHTY


TORCHVISION = {"boxes": BOXES, "labels": np.array([1, 18, 90], np.int64), "scores": SCORES}


@pytest.mark.parametrize("form", ["eighty", "ninety", "with background", "with another word", "with underscores"])
def test_numbers_of_torchvision_s_networks_have_coco_s_gaps(form: str) -> None:
    """Numbers: torchvision `models/_meta.py`, `_COCO_CATEGORIES`, 91 with N/A for the gaps."""
    eighty = iter(COCO)
    ninety = tuple("N/A" if number in GAPS else next(eighty) for number in range(1, 91))
    names = {
        "eighty": COCO, "ninety": ninety, "with background": ("__background__", *ninety),
        "with another word": ("unlabeled", *ninety),
        "with underscores": tuple(name.replace(" ", "_").title() for name in COCO),
    }[form]  # fmt: skip
    found = found_in(predictor_of(TORCHVISION, wishes=Wishes(labels=names)), TORCHVISION, score=0.0)
    said = {label: found.name(i).lower() for i, label in enumerate(found.labels.tolist())}
    assert said == {1: "person", 18: "dog", 90: "toothbrush"}


def test_numbers_of_the_model_zoo_s_ssd_have_no_gaps() -> None:
    batched = {
        "bboxes": BOXES[None] / 32, "labels": np.array([[1, 17, 80]], np.int64), "scores": SCORES[None],
    }  # fmt: skip
    found = found_in(predictor_of(batched, wishes=Wishes(labels=COCO)), batched, score=0.0)
    said = {label: found.name(i) for i, label in enumerate(found.labels.tolist())}
    assert said == {1: "person", 17: "dog", 80: "toothbrush"}


def test_evidence_needs_no_run_where_ports_tell() -> None:
    outputs = {"boxes": BOXES, "labels": np.array([1, 2, 3], np.int64), "scores": SCORES}
    model = Model(network_of(outputs), precision="f32")
    model.infer = None  # type: ignore[assignment]
    assert understand(model, Wishes()).parser.family == "boxes-labels-scores"
    assert Evidence(model).size == (32, 32)
    assert Settings().top is None
