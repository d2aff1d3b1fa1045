"""From numbers to results, on made-up outputs and on real pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
from small_networks import classifier, detector, outputs_only

from saccade.errors import ConfigError, ModelError, UnsupportedError
from saccade.kernels import Preprocess
from saccade.models import InputSpec, Model, task_for
from saccade.models.labels import read_labels
from saccade.models.runner import Port
from saccade.models.tasks import (
    AngleRegressor,
    BlazeFace,
    BoxesAndLabels,
    Classifier,
    LandmarkRegressor,
    SsdDetector,
    blazeface_anchors,
)
from saccade.results import DIRECTIONS

IDENTITY = (1.0, 1.0, 0.0, 0.0)
SPEC = InputSpec(100, 50)


def port(name: str, *shape: int, made_by: str = "") -> Port:
    return Port(name, shape, np.dtype(np.float32), made_by)


def rows(*values: list[float], n: int = 8) -> dict[str, np.ndarray]:
    """A [1, 1, n, 7] list, ended by -1 and followed by the zeros that OpenVINO leaves there."""
    out = np.zeros((1, 1, n, 7), np.float32)
    if values:
        out[0, 0, : len(values)] = values
    if len(values) < n:
        out[0, 0, len(values), 0] = -1
    return {"out": out}


# ---- detectors


def test_ssd_stops_at_the_end_of_the_list_and_sorts() -> None:
    task = SsdDetector(SPEC, port("out", 1, 1, 8, 7), ("background", "cat", "dog"))
    found = task.decode(
        rows([0, 1, 0.6, 0.1, 0.2, 0.3, 0.4], [0, 1, 0.3, 0, 0, 1, 1], [0, 2, 0.9, 0.5, 0.5, 1.1, 0.9]),
        IDENTITY, score_threshold=0.5,
    )  # fmt: skip
    np.testing.assert_allclose(found.boxes, [[50, 25, 110, 45], [10, 10, 30, 20]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.9, 0.6])
    assert [found.name(i) for i in range(2)] == ["dog", "cat"]
    assert (found.boxes.dtype, found.labels.dtype) == (np.float32, np.int32)


def test_ssd_lists_that_are_empty_or_full() -> None:
    task = SsdDetector(SPEC, port("out", 1, 1, 2, 7))
    assert len(task.decode(rows(n=2), IDENTITY)) == 0
    full = [[0, 1, 0.9, 0, 0, 1, 1], [0, 1, 0.8, 0, 0, 1, 1]]
    assert len(task.decode(rows(*full, n=2), IDENTITY)) == 2
    assert len(task.decode(rows(*full, n=2), IDENTITY, score_threshold=0.0)) == 2


def test_threshold_zero_gives_no_phantoms() -> None:
    """Rows behind the end have image number 0 and would pass any test but the end mark's."""
    task = SsdDetector(SPEC, port("out", 1, 1, 8, 7))
    assert len(task.decode(rows([0, 1, 0.2, 0, 0, 1, 1]), IDENTITY, score_threshold=0.0)) == 1


def test_boxes_and_labels() -> None:
    task = BoxesAndLabels(SPEC, port("boxes", 3, 5), port("labels", 3), ("face",))
    outputs = {
        "boxes": np.array([[10, 10, 30, 20, 0.6], [0, 0, 0, 0, 0], [50, 25, 100, 50, 0.9]], np.float32),
        "labels": np.array([0, 0, 0], np.float32),
    }
    found = task.decode(outputs, (2.0, 4.0, 1.0, -1.0))
    np.testing.assert_allclose(found.boxes, [[101, 99, 201, 199], [21, 39, 61, 79]], rtol=1e-6)
    assert found.name(0) == "face"


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("letterbox", [False, True])
def test_boxes_come_back_where_the_pixels_were(mirror: bool, letterbox: bool) -> None:
    """A bright block in a frame, found in the network's input, is mapped to where it was in the frame."""
    frame = np.zeros((300, 400, 3), np.uint8)
    frame[60:120, 80:200] = 255
    spec = InputSpec(100, 50, letterbox=letterbox)
    plan = Preprocess(source=(300, 400), roi=(40, 20, 320, 240), mirror=mirror, **spec.preprocess_options())
    out = plan(frame if not mirror else np.ascontiguousarray(frame[:, ::-1]), out=np.zeros((1, 3, 50, 100), np.float32))
    ys, xs = np.nonzero(out[0, 0] > 127)
    box = [xs.min() / 100, ys.min() / 50, (xs.max() + 1) / 100, (ys.max() + 1) / 50]
    found = SsdDetector(spec, port("out", 1, 1, 8, 7)).decode(rows([0, 1, 0.9, *box]), tuple(plan.to_source))
    x1, y1, x2, y2 = found.boxes[0]
    expected = [200, 60, 320, 120] if mirror else [80, 60, 200, 120]
    np.testing.assert_allclose([x1, y1, x2, y2], expected, atol=6)
    assert x1 < x2
    assert y1 < y2


def test_label_base_follows_the_network() -> None:
    for network, base, names in (
        (detector(), 1, ("background", "cat", "dog")),
        (detector(decrease_label_id=True), 0, ("cat", "dog")),
        (detector(background=-1), 0, ("cat", "dog")),
    ):
        model = Model(network, precision="f32")
        assert model.label_base == base
        task = task_for(model, labels=("cat", "dog"))
        assert isinstance(task, SsdDetector)
        assert task.names == names
    assert task_for(Model(detector()), labels=("background", "cat", "dog")).names == ("background", "cat", "dog")


def test_ssd_end_to_end() -> None:
    model = Model(detector(), precision="f32")
    task = task_for(model, labels=("cat", "dog"))
    request = model.request()
    request.infer()
    found = task.decode(request.outputs, IDENTITY)
    assert [found.name(i) for i in range(len(found))] == ["dog", "cat"]
    np.testing.assert_allclose(found.boxes, [[2, 2, 3.6, 3.6], [0.4, 0.4, 1.6, 1.6]], atol=1e-4)


def test_anchors() -> None:
    short = blazeface_anchors([(16, 2), (8, 6)])
    assert short.shape == (896, 2)
    np.testing.assert_allclose(short[:3], [[1 / 32, 1 / 32], [1 / 32, 1 / 32], [3 / 32, 1 / 32]])
    np.testing.assert_allclose(short[512:518], [[1 / 16, 1 / 16]] * 6)
    assert blazeface_anchors([(48, 1)]).shape == (2304, 2)


def test_blazeface() -> None:
    task = task_for(Model(outputs_only(b=(1, 896, 16), s=(1, 896, 1))))
    assert isinstance(task, BlazeFace)
    boxes = np.zeros((1, 896, 16), np.float32)
    scores = np.full((1, 896, 1), -20, np.float32)
    at = 2 * (16 * 8 + 8)  # first anchor of cell (8, 8): centre at 8.5 / 16
    boxes[0, at, :6] = [0, 0, 8, 4, 1, -1]
    scores[0, at] = 3
    found = task.decode({"b": boxes, "s": scores}, (10.0, 10.0, 0.0, 0.0))
    centre = 8.5 / 16 * 32
    np.testing.assert_allclose(
        found.boxes, 10 * np.array([[centre - 4, centre - 2, centre + 4, centre + 2]]), rtol=1e-5
    )
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-3)), rtol=1e-5)
    np.testing.assert_allclose(found.keypoints[0, 0], [10 * (centre + 1), 10 * (centre - 1)], rtol=1e-5)
    assert found.keypoints.shape == (1, 6, 2)
    assert found.name(0) == "face"
    none = task.decode({"b": boxes, "s": np.full_like(scores, -20)}, IDENTITY)
    assert len(none) == 0
    assert none.boxes.shape == (0, 4)


def test_results_outlive_the_outputs() -> None:
    outputs = rows([0, 1, 0.9, 0.1, 0.2, 0.3, 0.4])
    found = SsdDetector(SPEC, port("out", 1, 1, 8, 7)).decode(outputs, IDENTITY)
    boxes, scores = found.boxes.copy(), found.scores.copy()
    outputs["out"][:] = 7
    np.testing.assert_array_equal(found.boxes, boxes)
    np.testing.assert_array_equal(found.scores, scores)


# ---- classifiers, angles, landmarks


def test_classifier_takes_probabilities_as_they_are() -> None:
    task = Classifier(SPEC, port("prob", 1, 4, made_by="Softmax"), ("a", "b", "c", "d"))
    found = task.decode({"prob": np.array([[0.1, 0.6, 0.1, 0.2]], np.float32)})
    assert found.labels.tolist() == [1, 3, 0, 2]
    assert [found.name(i) for i in range(2)] == ["b", "d"]
    np.testing.assert_allclose(found.scores, [0.6, 0.2, 0.1, 0.1])


def test_classifier_makes_probabilities_of_scores() -> None:
    task = Classifier(SPEC, port("fc", 1, 3, 1, 1, made_by="MatMul"))
    logits = np.array([1000.0, 1001.0, 999.0], np.float32)
    found = task.decode({"fc": logits.reshape(1, 3, 1, 1)})
    expected = np.exp(logits - 1001) / np.exp(logits - 1001).sum()
    np.testing.assert_allclose(found.scores, np.sort(expected)[::-1], rtol=1e-5)
    already = task.decode({"fc": np.array([0.2, 0.7, 0.1], np.float32).reshape(1, 3, 1, 1)})
    np.testing.assert_allclose(already.scores, [0.7, 0.2, 0.1])


def test_pan_and_tilt() -> None:
    """The DeepLens convention: negative pan is "Right", negative tilt is "Down", 1 is 90 degrees."""
    task = task_for(Model(outputs_only(angles=(1, 2))))
    assert isinstance(task, AngleRegressor)
    assert task.kind == "pan-tilt"
    assert task.decode({"angles": np.array([[-0.25, -0.5]], np.float32)}) == (45.0, -22.5, None)


def test_angles_by_name() -> None:
    for names in (("angle_p_fc", "angle_r_fc", "angle_y_fc"), ("fc_p", "fc_r", "fc_y")):
        model = Model(outputs_only(**dict.fromkeys(names, (1, 1))))
        task = task_for(model)
        assert task.kind == "angles"
        values = dict(zip(names, ([[10.0]], [[5.0]], [[20.0]]), strict=True))
        assert task.decode({name: np.array(value, np.float32) for name, value in values.items()}) == (-20, -10, -5)


def test_landmarks() -> None:
    task = task_for(Model(outputs_only(p=(1, 1, 1, 1404), s=(1, 1, 1, 1))))
    assert isinstance(task, LandmarkRegressor)
    points = np.arange(1404, dtype=np.float32)
    found, score = task.decode({"p": points.reshape(1, 1, 1, -1), "s": np.zeros((1, 1, 1, 1), np.float32)})
    np.testing.assert_array_equal(found[1], [3, 4, 5])
    assert score == 0.5


# ---- the choice


def test_two_numbers_are_two_classes_or_two_angles() -> None:
    model = Model(outputs_only(out=(1, 2)))
    assert task_for(model).kind == "pan-tilt"
    assert task_for(model, task="classification").kind == "classification"
    two = Model(classifier(classes=2))
    assert task_for(two).kind == "classification"
    assert task_for(two, task="pan-tilt").kind == "pan-tilt"


def test_nine_directions() -> None:
    task = task_for(Model(classifier(classes=9, size=84)))
    assert isinstance(task, Classifier)
    assert task.names == DIRECTIONS
    assert task.spec.scale == (255.0, 255.0, 255.0)
    assert task_for(Model(classifier(classes=9, size=32))).names == ()


def test_input_follows_the_model_and_the_options() -> None:
    model = Model(classifier(size=24))
    assert task_for(model).spec == InputSpec(24, 24)
    spec = task_for(model, mean=(1, 2, 3), scale=(4.0,), swap_rb=True, letterbox=True).spec
    assert spec == InputSpec(24, 24, mean=(1, 2, 3), scale=(4, 4, 4), swap_rb=True, letterbox=True)
    assert task_for(model, mean=5).spec.mean == (5, 5, 5)
    with pytest.raises(ModelError, match="one number, or one a channel"):
        task_for(model, mean=(1, 2))


def test_catalogue_names_bring_their_input() -> None:
    model = Model(outputs_only(b=(1, 2304, 16), s=(1, 2304, 1)))
    spec = task_for(model, name="blazeface-full").spec
    assert (spec.width, spec.layout, spec.mean, spec.scale) == (192, "nhwc", (127.5,) * 3, (127.5,) * 3)
    assert spec.swap_rb
    assert spec.letterbox


@pytest.mark.parametrize(
    ("network", "options", "says"),
    [
        (outputs_only(a=(1, 3, 4), b=(1, 3, 4)), {}, r"no parser for any task fits its outputs \(a \[1, 3, 4\], b"),
        (classifier(), {"task": "detection"}, "no parser for detection"),
        (detector(), {"task": "classification"}, "no parser for classification"),
    ],
)
def test_outputs_that_nothing_fits(network: ov.Model, options: dict[str, str], says: str) -> None:
    with pytest.raises(UnsupportedError, match=says):
        task_for(Model(network), **options)


def test_inputs_that_are_no_picture() -> None:
    x = ov.opset15.parameter([1, 10], np.float32, name="x")
    with pytest.raises(UnsupportedError, match="is not one picture of three channels"):
        task_for(Model(ov.Model([ov.opset15.softmax(x, 1)], [x], "flat")))


# ---- labels


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
def test_labels(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
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
def test_bad_labels(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        read_labels(path)


def test_missing_labels(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        task_for(Model(classifier()), labels=tmp_path / "none.txt")
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(["a", "b"]))
    assert task_for(Model(classifier()), labels=path).names == ("a", "b")


# ---- real networks on real pictures


def faces(path: Path, picture: np.ndarray, *, mirror: bool = False, precision: str = "f32"):
    model = Model(path, precision=precision)
    task = task_for(model)
    request = model.request()
    plan = Preprocess(source=picture.shape[:2], mirror=mirror, **task.spec.preprocess_options())
    plan(picture, out=request.inputs[model.inputs[0].name])
    request.infer()
    return task.decode(request.outputs, tuple(plan.to_source))


@pytest.mark.parametrize(
    ("model", "picture", "box", "score"),
    [
        ("blazeface-short", "astronaut.png", (179, 81, 272, 174), 0.92),
        ("blazeface-short", "grace_hopper.jpg", (166, 141, 369, 343), 0.92),
        ("blazeface-full", "astronaut.png", (172, 66, 278, 173), 0.905),
        ("blazeface-full", "grace_hopper.jpg", (165, 129, 367, 332), 0.865),
    ],
)
def test_portraits(demo: Path, model: str, picture: str, box: tuple[int, ...], score: float) -> None:
    path = demo / "models" / f"{model}.tflite"
    image = cv2.imread(str(demo / "pictures" / picture))
    found = faces(path, image)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes[0], box, atol=2)
    assert found.scores[0] == pytest.approx(score, abs=0.01)
    x1, y1, x2, y2 = found.boxes[0]
    right_eye, left_eye, nose, mouth = found.keypoints[0, :4]
    assert x1 < right_eye[0] < nose[0] < left_eye[0] < x2
    assert y1 < right_eye[1] < nose[1] < mouth[1] < y2
    mirrored = faces(path, image, mirror=True)
    np.testing.assert_allclose(mirrored.boxes[0], found.boxes[0], atol=10)


def test_auto_precision_finds_the_same_faces(demo: Path) -> None:
    image = cv2.imread(str(demo / "pictures" / "astronaut.png"))
    path = demo / "models" / "blazeface-full.tflite"
    np.testing.assert_allclose(faces(path, image, precision="auto").boxes, faces(path, image).boxes, atol=2)


def test_mesh_on_a_face_and_on_none(demo: Path) -> None:
    model = Model(demo / "models" / "face-mesh.tflite", precision="f32")
    task = task_for(model)
    request = model.request()
    image = cv2.imread(str(demo / "pictures" / "astronaut.png"))
    for roi, present in (((140, 40, 170, 170), True), ((300, 300, 170, 170), False)):
        plan = Preprocess(source=image.shape[:2], roi=roi, **task.spec.preprocess_options())
        plan(image, out=request.inputs[model.inputs[0].name])
        request.infer()
        points, score = task.decode(request.outputs)
        assert (score > 0.5) == present
        if present:
            forehead, chin = points[10], points[152]
            assert forehead[1] < points[1, 1] < chin[1]
            assert ((points[:, :2] > 0) & (points[:, :2] < 192)).all()


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["face-detection-retail-0004-FP16", "face-detection-retail-0005-FP32"])
@pytest.mark.parametrize(
    ("picture", "box"),
    [
        ("fr_biden.jpg", (450, 160, 700, 570)),
        ("fr_obama.jpg", (374, 85, 610, 418)),
        ("sk_astronaut.png", (181, 58, 271, 178)),
        ("sk_camera.png", (195, 114, 257, 198)),
        ("sk_rocket.jpg", None),
    ],
)
def test_zoo_detectors(corpus: Path, name: str, picture: str, box: tuple[int, ...] | None) -> None:
    path = next((corpus / "corpus" / "ir" / "modern" / name).glob("*.xml"))
    image = cv2.imread(str(corpus / "images" / picture))
    found = faces(path, image)
    if box is None:
        assert len(found) == 0
        return
    assert len(found) == 1
    assert found.name(0) == "face"
    assert found.scores[0] > 0.95
    np.testing.assert_allclose(found.boxes[0], box, atol=0.02 * max(image.shape))
