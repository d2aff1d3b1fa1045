"""TFLite_Detection_PostProcess as layers, against its arithmetic written anew in NumPy."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_files import POSTPROCESS, POSTPROCESS_OPTIONS, flex_map, ssd

from saccade.errors import ModelError, UnsupportedError
from saccade.formats.tflite.flatbuffer import flex_map as read_flex_map
from saccade.networks import Model
from saccade.predict import open_predictor

Floats = NDArray[np.float32]


def anchors(n: int, seed: int = 0) -> Floats:
    """(n, 4) y, x, height, width."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random((n, 2)), rng.uniform(0.1, 0.4, (n, 2))], 1).astype(np.float32)


def corners(boxes: Floats, priors: Floats) -> NDArray[np.float64]:
    ty, tx, th, tw = boxes.astype(np.float64).T
    y, x, h, w = priors.astype(np.float64).T
    cy, cx, dy, dx = ty / 10 * h + y, tx / 10 * w + x, np.exp(th / 5) * h / 2, np.exp(tw / 5) * w / 2
    return np.stack([cy - dy, cx - dx, cy + dy, cx + dx], 1)


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))


def suppressed(boxes: NDArray[np.float64], scores: Floats, threshold: float, iou: float, most: int) -> list[int]:
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if len(kept) < most and scores[i] >= threshold and all(overlap(boxes[i], boxes[j]) <= iou for j in kept):
            kept.append(int(i))
    return kept


def oracle(boxes: Floats, scores: Floats, priors: Floats, options: dict[str, Any]) -> tuple[list[list[float]], int]:
    """Rows of y1, x1, y2, x2, class, score, and how many boxes there are."""
    places = corners(boxes, priors)
    classes = int(options["num_classes"])
    scores = scores[:, scores.shape[1] - classes :]
    threshold, iou, most = (options[k] for k in ("nms_score_threshold", "nms_iou_threshold", "max_detections"))
    threshold = np.float32(threshold)
    if options["use_regular_nms"]:
        rows = []
        for c in range(classes):
            for i in suppressed(places, scores[:, c], threshold, iou, int(options["detections_per_class"])):
                rows.append([*places[i], c, float(scores[i, c])])
        rows.sort(key=lambda row: -row[5])
        return rows[:most], min(len(rows), most)
    kept = suppressed(places, scores.max(1), threshold, iou, most)
    per_box = min(int(options["max_classes_per_detection"]), classes)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :per_box]
    return [[*places[i], int(c), float(scores[i, c])] for i in kept for c in best[i]], len(kept)


CASES: dict[str, dict[str, Any]] = {
    "fast": {},
    "regular": {"use_regular_nms": True, "max_detections": 20},
    "regular, few a class": {"use_regular_nms": True, "max_detections": 12, "detections_per_class": 2},
    "several classes a box": {"max_classes_per_detection": 3},
    "few": {"nms_score_threshold": 0.99},
    "none": {"nms_score_threshold": 1.5},
    "none, regular": {"nms_score_threshold": 1.5, "use_regular_nms": True},
    "all": {"nms_score_threshold": 0.0, "max_detections": 90},
    "as small a threshold as TensorFlow's default": {"nms_score_threshold": 1e-8, "max_detections": 90},
    "little overlap": {"nms_iou_threshold": 0.05},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("background", "ties"), [(True, False), (False, True)])
def test_detections_are_those_of_the_oracle(tmp_path: Path, case: str, background: bool, ties: bool) -> None:
    options = POSTPROCESS_OPTIONS | CASES[case]
    n, columns = 80, 5 + background
    priors = anchors(n)
    rng = np.random.default_rng(len(case))
    boxes = (rng.standard_normal((1, n, 4)) * 2).astype(np.float32)
    scores = rng.random((1, n, columns)).astype(np.float32)
    if ties:
        scores = np.rint(scores * 64).astype(np.float32) / 64
        options["nms_score_threshold"] = np.rint(options["nms_score_threshold"] * 64) / 64
    model = Model(ssd(priors, columns, **options).save(tmp_path / "ssd.tflite"), precision="f32")
    found = model.infer({"enc": boxes, "sc": scores})
    rows, count = oracle(boxes[0], scores[0], priors, options)
    assert list(found) == ["det", "det:1", "det:2", "det:3"]
    assert found["det:3"].tolist() == [count]
    listed = np.concatenate([found["det"][0], found["det:1"].T, found["det:2"].T], 1)
    if ties and options["max_classes_per_detection"] > 1:  # classes of equal scores come in any order
        rows, listed = [r[:4] + r[5:] for r in rows], np.delete(listed, 4, 1)
    np.testing.assert_allclose(listed[: len(rows)], np.reshape(rows, (-1, listed.shape[1])), atol=1e-5)
    assert not listed[len(rows) :].any()  # never what was left over in memory


@pytest.mark.parametrize("regular", [False, True])
def test_quantised_encodings_scores_and_anchors(tmp_path: Path, regular: bool) -> None:
    options = POSTPROCESS_OPTIONS | {"use_regular_nms": regular}
    n = 60
    rng = np.random.default_rng(4)
    priors = anchors(n)
    boxes, scores = (rng.standard_normal((1, n, 4)) * 2).astype(np.float32), rng.random((1, n, 6), np.float32)
    path = ssd(priors, 6, quantised=True, **options).save(tmp_path / "ssd.tflite")
    found = Model(path, precision="f32").infer({"enc": boxes, "sc": scores})
    rounded = (np.clip(np.rint(boxes[0] / np.float32(0.05)) + 128, 0, 255) - 128) * np.float32(0.05)
    coarse = (np.clip(np.rint(scores[0] * 256), 0, 255) / 256).astype(np.float32)
    rows, count = oracle(rounded, coarse, np.rint(priors * 200) / 200, options)
    assert found["det:3"][0] == count
    np.testing.assert_allclose(found["det:2"][0, : len(rows)], [row[5] for row in rows], atol=1e-6)
    np.testing.assert_allclose(found["det"][0, : len(rows)], [row[:4] for row in rows], atol=1e-5)
    np.testing.assert_array_equal(found["det:1"][0, : len(rows)], [row[4] for row in rows])


def test_outputs_in_another_order(tmp_path: Path) -> None:
    """TensorFlow 2 lists scores and count first."""
    names = [f"StatefulPartitionedCall:{i}" for i in (3, 2, 1, 0)]
    network = ssd(anchors(30), 6, order=(2, 0, 3, 1), names=names)
    model = Model(network.save(tmp_path / "ssd.tflite"), precision="f32")
    assert [port.name[-1] for port in model.outputs] == ["1", "3", "0", "2"]
    assert [port.attributes["part"] for port in model.outputs] == ["scores", "boxes", "count", "classes"]
    rng = np.random.default_rng(2)
    boxes, scores = rng.standard_normal((1, 30, 4)).astype(np.float32), rng.random((1, 30, 6), np.float32)
    found = model.infer({"enc": boxes, "sc": scores})
    rows, count = oracle(boxes[0], scores[0], anchors(30), POSTPROCESS_OPTIONS)
    assert found[names[3]][0] == count
    np.testing.assert_allclose(found[names[2]][0, :count], [row[5] for row in rows], atol=1e-6)


def test_a_batch_that_is_left_open(tmp_path: Path) -> None:
    network = ssd(anchors(30), 6)
    for index, columns in ((0, 4), (1, 6)):
        network.tensors[index] = {**network.tensors[index], 7: np.array([-1, 30, columns], "<i4")}
    model = Model(network.save(tmp_path / "ssd.tflite"), precision="f32")
    assert [port.shape for port in model.inputs] == [(1, 30, 4), (1, 30, 6)]
    rng = np.random.default_rng(2)
    boxes, scores = rng.standard_normal((1, 30, 4)).astype(np.float32), rng.random((1, 30, 6), np.float32)
    _, count = oracle(boxes[0], scores[0], anchors(30), POSTPROCESS_OPTIONS)
    assert model.infer({"enc": boxes, "sc": scores})["det:3"][0] == count > 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_classes": 9}, "9 of its classes"),
        ({"num_classes": 3}, "3 of its classes"),
        ({"num_classes": 0}, "num_classes 0"),
        ({"max_detections": 0}, "max_detections 0"),
        ({"max_detections": 1 << 30}, "max_detections 1073741824"),
        ({"nms_iou_threshold": 7.5}, "nms_iou_threshold 7.5"),
        ({"nms_score_threshold": float("nan")}, "nms_score_threshold nan"),
        ({"y_scale": 0.0}, "y_scale 0.0"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    network = ssd(anchors(20), 6)
    network.operators[0] = {**network.operators[0], 5: flex_map(POSTPROCESS_OPTIONS | options)}
    path = network.save(tmp_path / "ssd.tflite")
    with pytest.raises(ModelError, match=says) as caught:
        Model(path)
    assert str(path) in str(caught.value)


def test_options_that_are_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    network = ssd(anchors(20), 6)
    whole = flex_map(POSTPROCESS_OPTIONS)
    for options in [b"", b"x", whole[:-1], whole[: len(whole) // 2], *(rng.bytes(40) for _ in range(200))]:
        network.operators[0] = {**network.operators[0], 5: options or b"\0"}
        with pytest.raises(ModelError):
            Model(network.save(tmp_path / "ssd.tflite"))


def test_flex_maps_with_a_byte_changed_are_read_or_refused() -> None:
    whole = flex_map(POSTPROCESS_OPTIONS)
    assert read_flex_map(whole) == {k: pytest.approx(v) for k, v in POSTPROCESS_OPTIONS.items()}
    for at in range(len(whole)):
        for value in (0, 1, 127, 255):
            changed = whole[:at] + bytes([value]) + whole[at + 1 :]
            with contextlib.suppress(ModelError):
                assert isinstance(read_flex_map(changed), dict)


def test_boxes_that_are_worked_on_inside_the_network(tmp_path: Path) -> None:
    network = ssd(anchors(20), 6)
    det = network.outputs[0]
    more = network.tensor("more", (1, 10, 4))
    network.operator(101, [det], [more])  # ABS
    network.outputs = [more, *network.outputs[1:]]
    with pytest.raises(UnsupportedError, match=f"boxes of {POSTPROCESS} inside the network"):
        Model(network.save(tmp_path / "ssd.tflite"))


@pytest.mark.corpus
def test_a_known_network(corpus: Path) -> None:
    folder = corpus / "corpus" / "heads" / "tflite_ssd_postprocess_uint8"
    path = folder / "ssd_postprocess_uint8.tflite"
    model = Model(path, precision="f32")
    with np.load(folder / "raw.npz") as arrays:
        found = model.infer(arrays["in:normalized_input_image_tensor"])
        for key in arrays.files:
            if key.startswith("out:"):
                np.testing.assert_allclose(found[key.split(":", 2)[2]], arrays[key], atol=1e-5)
    assert open_predictor(path).task == "detect"
