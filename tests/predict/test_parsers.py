"""From numbers to findings, on made-up outputs and on real pictures."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
from fakes import FakeNetwork, claim_of
from networks_of import found_in, fuzz, predictor_of

from saccade.errors import ConfigError, UnsupportedError
from saccade.frame import Frame
from saccade.geometry import View
from saccade.networks import Model
from saccade.networks.network import Port
from saccade.networks.spec import InputSpec
from saccade.predict import open_predictor
from saccade.predict.framing import Whole, make_plan
from saccade.predict.parsers.blaze import DETECTORS, Blaze, anchors
from saccade.predict.parsers.boxes_labels import ListedObjects, Lists
from saccade.predict.parsers.classification import Classifier
from saccade.predict.parsers.detection_output import DetectionOutput
from saccade.results import DIRECTIONS, Angles, Detections, Landmarks
from small_networks import classifier, detector, outputs_only

SIZE = (50, 100)
"""Height and width of the made-up networks' inputs, px."""


def port(name: str, *shape: int, layer_type: str = "") -> Port:
    return Port(name, shape, np.dtype(np.float32), layer_type)


def ssd(*names: str, n: int = 8) -> DetectionOutput:
    return DetectionOutput(port("out", 1, 1, n, 7), names, SIZE)


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
    parser = ssd("background", "cat", "dog")
    found = parser.parse(
        rows([0, 1, 0.6, 0.1, 0.2, 0.3, 0.4], [0, 1, 0.3, 0, 0, 1, 1], [0, 2, 0.9, 0.5, 0.5, 1.1, 0.9]),
        parser.defaults,
    )  # fmt: skip
    np.testing.assert_allclose(found.boxes, [[50, 25, 110, 45], [10, 10, 30, 20]], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.9, 0.6])
    assert [found.name(i) for i in range(2)] == ["dog", "cat"]
    assert (found.boxes.dtype, found.labels.dtype) == (np.float32, np.int32)


def test_ssd_lists_that_are_empty_or_full() -> None:
    parser = ssd(n=2)
    assert len(parser.parse(rows(n=2), parser.defaults)) == 0
    full = [[0, 1, 0.9, 0, 0, 1, 1], [0, 1, 0.8, 0, 0, 1, 1]]
    assert len(parser.parse(rows(*full, n=2), parser.defaults)) == 2
    assert len(parser.parse(rows(*full, n=2), parser.defaults.but(score=0.0))) == 2


def test_threshold_zero_gives_no_phantoms() -> None:
    """Rows behind the end have image number 0 and would pass any test but the end mark's."""
    parser = ssd()
    assert len(parser.parse(rows([0, 1, 0.2, 0, 0, 1, 1]), parser.defaults.but(score=0.0))) == 1


def test_a_score_right_at_the_threshold_counts() -> None:
    parser = ssd()
    assert len(parser.parse(rows([0, 1, 0.25, 0, 0, 1, 1]), parser.defaults.but(score=0.25))) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_give_no_object(bad: float) -> None:
    parser = ssd()
    found = parser.parse(rows([0, 1, 0.9, 0, 0, 1, bad], [0, 1, 0.9, bad, 0, 1, 1]), parser.defaults)
    assert len(found) == 0
    assert len(parser.parse(rows([0, 1, np.nan, 0, 0, 1, 1]), parser.defaults)) == 0


def test_a_feature_map_of_seven_columns_is_no_list_of_objects() -> None:
    with pytest.raises(UnsupportedError, match=r"its outputs \(m \[1, 18, 7, 7\]\) are those of no network"):
        open_predictor(Model(outputs_only(m=(1, 18, 7, 7))))


def test_boxes_and_labels() -> None:
    parser = ListedObjects("boxes-labels", Lists(boxes="boxes", labels="labels"), ("face",), SIZE)
    outputs = {
        "boxes": np.array([[10, 10, 30, 20, 0.6], [0, 0, 0, 0, 0], [50, 25, 100, 50, 0.9]], np.float32),
        "labels": np.array([0, 0, 0], np.float32),
    }
    found = parser.parse(outputs, parser.defaults).placed(View(2.0, 4.0, 1.0, -1.0))
    np.testing.assert_allclose(found.boxes, [[101, 99, 201, 199], [21, 39, 61, 79]], rtol=1e-6)
    assert found.name(0) == "face"


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_boxes_come_back_where_the_pixels_were(mirror: bool, resize: str) -> None:
    """A bright block in a frame, found in the network's input, is mapped to where it was in the frame."""
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[60:120, 80:200] = 255
    spec = InputSpec(100, 50, resize=resize)
    plan, view = make_plan(Frame.from_bgr(picture), spec, (0.1, 0.05, 0.85, 0.9), mirror=mirror)
    out = plan(picture, out=np.zeros((1, 3, 50, 100), np.float32))
    ys, xs = np.nonzero(out[0, 0] > 127)
    box = [xs.min() / 100, ys.min() / 50, (xs.max() + 1) / 100, (ys.max() + 1) / 50]
    found = ssd().parse(rows([0, 1, 0.9, *box]), ssd().defaults).placed(view)
    np.testing.assert_allclose(found.boxes[0], [80, 60, 200, 120], atol=6)


def test_label_base_follows_the_network() -> None:
    for network, base, names in (
        (detector(), 1, ("background", "cat", "dog")),
        (detector(decrease_label_id=True), 0, ("cat", "dog")),
        (detector(background=-1), 0, ("cat", "dog")),
    ):
        model = Model(network, precision="f32")
        assert model.label_base == base
        assert open_predictor(model, labels=("cat", "dog")).parser.names == names
    named = open_predictor(Model(detector()), labels=("background", "cat", "dog"))
    assert named.parser.names == ("background", "cat", "dog")


def test_anchors_lie_in_the_middle_of_cells() -> None:
    short = anchors([(16, 2), (8, 6)])
    assert short.shape == (896, 2)
    np.testing.assert_allclose(short[:3], [[1 / 32, 1 / 32], [1 / 32, 1 / 32], [3 / 32, 1 / 32]])
    np.testing.assert_allclose(short[512:518], [[1 / 16, 1 / 16]] * 6)
    assert anchors([(48, 1)]).shape == (2304, 2)


def test_blazeface_places_boxes_at_its_anchors() -> None:
    parser = open_predictor(Model(outputs_only(b=(1, 896, 16), s=(1, 896, 1)))).parser
    assert isinstance(parser, Blaze)
    boxes = np.zeros((1, 896, 16), np.float32)
    scores = np.full((1, 896, 1), -20, np.float32)
    at = 2 * (16 * 8 + 8)  # first anchor of cell (8, 8): centre at 8.5 / 16
    boxes[0, at, :6] = [0, 0, 8, 4, 1, -1]
    scores[0, at] = 3
    found = parser.parse({"b": boxes, "s": scores}, parser.defaults).placed(View(10.0, 10.0, 0.0, 0.0))
    centre = 8.5 / 16 * 32
    np.testing.assert_allclose(
        found.boxes, 10 * np.array([[centre - 4, centre - 2, centre + 4, centre + 2]]), rtol=1e-5
    )
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-3)), rtol=1e-5)
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints[0, 0], [10 * (centre + 1), 10 * (centre - 1)], rtol=1e-5)
    assert found.keypoints.shape == (1, 6, 2)
    assert found.name(0) == "face"
    none = parser.parse({"b": boxes, "s": np.full_like(scores, -20)}, parser.defaults)
    assert len(none) == 0
    assert none.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("numbers", "count", "name", "mean", "last_side"),
    [
        (16, 2304, "face", 127.5, 48), (18, 896, "palm", 127.5, 8), (18, 2016, "palm", 0, 12),
        (18, 2944, "palm", 127.5, 8), (12, 896, "person", 127.5, 8), (12, 2254, "person", 127.5, 7),
    ],
)  # fmt: skip
def test_blaze_detectors_are_told_apart_by_their_numbers(
    numbers: int, count: int, name: str, mean: float, last_side: int
) -> None:
    predictor = open_predictor(Model(outputs_only(b=(1, count, numbers), s=(1, count, 1))))
    assert (predictor.spec.mean[0], predictor.spec.swap_rb, predictor.spec.resize) == (mean, True, "letterbox")
    boxes, scores = np.zeros((1, count, numbers), np.float32), np.full((1, count, 1), -20, np.float32)
    boxes[0, -1, 2:4], boxes[0, -1, -2:], scores[0, -1] = 4, (-3, -5), 5
    found = predictor.parser.parse({"b": boxes, "s": scores}, predictor.settings)
    place = 32 * (1 - 0.5 / last_side)  # the last anchor is in the last cell's middle
    np.testing.assert_allclose(found.boxes, [[place - 2, place - 2, place + 2, place + 2]], rtol=1e-5)
    assert found.keypoints is not None
    assert found.keypoints.shape == (1, (numbers - 4) // 2, 2)
    np.testing.assert_allclose(found.keypoints[0, -1], [place - 3, place - 5], rtol=1e-5)
    assert found.name(0) == name
    grids = DETECTORS[numbers].grids[count]
    assert len(anchors(grids)) == count


@pytest.mark.parametrize(
    "shapes",
    [{"b": (1, 896, 16), "s": (1, 896, 1)}, {"p": (1, 1, 1, 1404), "s": (1, 1, 1, 1)},
     {"p": (1, 63), "s": (1, 1), "hand": (1, 1), "metres": (1, 63)}],
)  # fmt: skip
def test_mediapipe_of_nonsense(shapes: dict[str, tuple[int, ...]]) -> None:
    fuzz(open_predictor(Model(outputs_only(**shapes))))


def test_a_sigmoid_is_applied_once() -> None:
    """Whether there is a face: a logit as MediaPipe exports it, or a probability where the graph has the Sigmoid."""
    values = {"p": np.zeros((1, 1404), np.float32), "s": np.full((1, 1), 0.5, np.float32)}
    for end, wanted in (({}, 1 / (1 + np.exp(-0.5))), ({"s": "sigmoid"}, 0.5)):
        predictor = predictor_of(values, end=end)
        assert predictor.parser.family == "face-mesh"
        assert found_in(predictor, values).score == pytest.approx(wanted)


def test_results_outlive_the_outputs() -> None:
    outputs = rows([0, 1, 0.9, 0.1, 0.2, 0.3, 0.4])
    found = ssd().parse(outputs, ssd().defaults)
    boxes, scores = found.boxes.copy(), found.scores.copy()
    outputs["out"][:] = 7
    np.testing.assert_array_equal(found.boxes, boxes)
    np.testing.assert_array_equal(found.scores, scores)


# ---- classifiers, angles, landmarks


def test_classifier_takes_probabilities_as_they_are() -> None:
    parser = Classifier(port("prob", 1, 4, layer_type="Softmax"), ("a", "b", "c", "d"))
    found = parser.parse({"prob": np.array([[0.1, 0.6, 0.1, 0.2]], np.float32)}, parser.defaults)
    assert found.labels.tolist() == [1, 3, 0, 2]
    assert [found.name(i) for i in range(2)] == ["b", "d"]
    np.testing.assert_allclose(found.scores, [0.6, 0.2, 0.1, 0.1])


def test_classifier_makes_probabilities_of_scores() -> None:
    parser = Classifier(port("fc", 1, 3, 1, 1, layer_type="MatMul"))
    logits = np.array([1000.0, 1001.0, 999.0], np.float32)
    found = parser.parse({"fc": logits.reshape(1, 3, 1, 1)}, parser.defaults)
    expected = np.exp(logits - 1001) / np.exp(logits - 1001).sum()
    np.testing.assert_allclose(found.scores, np.sort(expected)[::-1], rtol=1e-5)
    already = parser.parse({"fc": np.array([0.2, 0.7, 0.1], np.float32).reshape(1, 3, 1, 1)}, parser.defaults)
    np.testing.assert_allclose(already.scores, [0.7, 0.2, 0.1])


def test_pan_and_tilt() -> None:
    """The DeepLens convention: negative pan is "Right", negative tilt is "Down", 1 is 90 degrees."""
    parser = open_predictor(Model(outputs_only(angles=(1, 2))), task="pan-tilt").parser
    assert parser.task == "pan-tilt"
    found = parser.parse({"angles": np.array([[-0.25, -0.5]], np.float32)}, parser.defaults)
    assert found == Angles(45.0, -22.5, None)


def test_angles_by_name() -> None:
    for names in (("angle_p_fc", "angle_r_fc", "angle_y_fc"), ("fc_p", "fc_r", "fc_y")):
        parser = open_predictor(Model(outputs_only(**dict.fromkeys(names, (1, 1))))).parser
        assert parser.task == "angles"
        values = dict(zip(names, ([[10.0]], [[5.0]], [[20.0]]), strict=True))
        outputs = {name: np.array(value, np.float32) for name, value in values.items()}
        assert parser.parse(outputs, parser.defaults) == Angles(-20, -10, -5)


def test_landmarks_are_points_with_a_score() -> None:
    parser = open_predictor(Model(outputs_only(p=(1, 1, 1, 1404), s=(1, 1, 1, 1)))).parser
    assert parser.task == "landmarks"
    points = np.arange(1404, dtype=np.float32).reshape(1, 1, 1, -1)
    found = parser.parse({"p": points, "s": np.zeros((1, 1, 1, 1), np.float32)}, parser.defaults)
    assert isinstance(found, Landmarks)
    np.testing.assert_array_equal(found.points[1], [3, 4, 5])
    assert found.score == 0.5


@pytest.mark.parametrize("beside", [{}, {"metres": (1, 63)}])
def test_hand_mesh(beside: dict[str, tuple[int, ...]]) -> None:
    network = FakeNetwork(
        {
            **{name: np.full(shape, 0.1) for name, shape in beside.items()},
            "px": np.full((1, 63), 100.0), "there": np.array([[0.75]]), "right": np.array([[0.1]]),
        },
        (224, 224),
        layer_type="Sigmoid",
    )  # fmt: skip
    claim = claim_of(network)
    assert (claim.family, claim.task, claim.input["scale"]) == ("hand-mesh", "landmarks", (255.0,) * 3)
    points = np.arange(63, dtype=np.float32).reshape(1, 63)
    outputs = {"px": points, "there": np.float32([[0.75]]), "right": np.float32([[0.1]])}
    found = claim.parser.parse(outputs, claim.parser.defaults)
    assert isinstance(found, Landmarks)
    np.testing.assert_array_equal(found.points, points.reshape(21, 3))
    assert found.score == 0.75
    odd = claim.parser.parse(outputs | {"there": np.float32([[np.nan]])}, claim.parser.defaults)
    assert isinstance(odd, Landmarks)
    assert odd.score == 0


def test_pose_mesh() -> None:
    shapes = {"px": (1, 195), "there": (1, 1), "body": (1, 256, 256, 1), "heat": (1, 64, 64, 39), "metres": (1, 117)}
    parser = open_predictor(Model(outputs_only(**shapes))).parser
    assert parser.task == "landmarks"
    outputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    outputs["px"][:] = np.arange(195)
    found = parser.parse(outputs, parser.defaults)
    assert isinstance(found, Landmarks)
    assert found.points.shape == (33, 3)  # without those that only help to find the next view
    np.testing.assert_array_equal(found.points[1], [5, 6, 7])
    assert found.score == 0.5  # no sigmoid at the end: a logit


# ---- the choice


def test_two_numbers_are_two_classes_or_two_angles() -> None:
    model = Model(outputs_only(out=(1, 2)))
    with pytest.raises(UnsupportedError, match=r"two plain numbers .*--task classify.*--task pan-tilt"):
        open_predictor(model)
    assert open_predictor(model, task="pan-tilt").task == "pan-tilt"
    assert open_predictor(model, task="classify").task == "classify"
    assert claim_of(FakeNetwork({"out": np.zeros((1, 2))}, (84, 84))).task == "pan-tilt"
    two = Model(classifier(classes=2))
    assert open_predictor(two).task == "classify"
    assert open_predictor(two, task="pan-tilt").task == "pan-tilt"


def test_nine_classes_at_84_px_are_directions() -> None:
    predictor = open_predictor(Model(classifier(classes=9, size=84)))
    assert predictor.parser.names == DIRECTIONS
    assert predictor.spec.scale == (255.0, 255.0, 255.0)
    assert open_predictor(Model(classifier(classes=9, size=32))).parser.names == ()


def test_input_follows_the_model_and_the_options() -> None:
    model = Model(classifier(size=24))
    assert open_predictor(model).spec == InputSpec(24, 24)
    spec = open_predictor(model, mean=(1, 2, 3), scale=(4.0,), color="rgb", resize="letterbox", pad=7).spec
    assert spec == InputSpec(24, 24, mean=(1, 2, 3), scale=(4, 4, 4), swap_rb=True, resize="letterbox", pad=7)
    assert open_predictor(model, mean=5).spec.mean == (5, 5, 5)
    with pytest.raises(ConfigError, match="one number, or one a channel"):
        open_predictor(model, mean=(1, 2))
    for changes in ({"mean": math.nan}, {"scale": math.inf}, {"scale": 1e-300}, {"scale": (1, 1, 0)}, {"mean": 1e39}):
        with pytest.raises(ConfigError, match=r"\(an option\).* bring pixels to no finite numbers; say what"):
            open_predictor(model, **changes)


@pytest.mark.parametrize(
    ("network", "options", "says"),
    [
        (
            outputs_only(a=(1, 3, 4), b=(1, 3, 4)),
            {},
            r"\(a \[1, 3, 4\], b \[1, 3, 4\]\) are those of no network",
        ),
        (classifier(), {"task": "detect"}, "--task detect does not fit its outputs"),
        (detector(), {"task": "classify"}, "--task classify does not fit its outputs"),
        (detector(), {"head": "yolo"}, "--head yolo does not fit its outputs"),
    ],
)
def test_outputs_that_nothing_fits(network: ov.Model, options: dict[str, str], says: str) -> None:
    with pytest.raises(UnsupportedError, match=says):
        open_predictor(Model(network), **options)


def test_a_task_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="task 'dance' is not known; choose detect, classify"):
        open_predictor(Model(classifier()), task="dance")


def test_inputs_that_are_no_picture() -> None:
    x = ov.opset15.parameter([1, 10], np.float32, name="x")
    with pytest.raises(UnsupportedError, match="none of its inputs is a picture of one or three channels"):
        open_predictor(Model(ov.Model([ov.opset15.softmax(x, 1)], [x], "flat")))


def test_a_crop_is_the_centred_part_of_the_input_s_shape() -> None:
    wide = Whole(InputSpec(100, 50, resize="crop"))
    np.testing.assert_allclose(wide.regions(400, 100), [(0.25, 0, 0.5, 1)])
    np.testing.assert_allclose(wide.regions(100, 100), [(0, 0.25, 1, 0.5)])


# ---- real networks on real pictures


def faces(path: Path, picture: np.ndarray, *, mirror: bool = False, precision: str = "f32") -> Detections:
    predictor = open_predictor(path, precision=precision)
    if mirror:
        framing = Whole(predictor.spec)
        framing.mirror = True
        predictor = predictor.reframed(framing)
    found = predictor(picture).detections
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("model", "picture", "box", "score"),
    [
        ("blazeface-short", "astronaut.png", (179, 81, 272, 174), 0.92),
        ("blazeface-short", "grace_hopper.jpg", (166, 141, 369, 343), 0.92),
        ("blazeface-full", "astronaut.png", (172, 66, 278, 173), 0.905),
        ("blazeface-full", "grace_hopper.jpg", (165, 129, 367, 332), 0.865),
    ],
)
def test_faces_of_portraits_are_found_where_they_are(
    demo: Path, model: str, picture: str, box: tuple[int, ...], score: float
) -> None:
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
    predictor = open_predictor(demo / "models" / "face-mesh.tflite", precision="f32")
    image = cv2.imread(str(demo / "pictures" / "astronaut.png"))
    frame = Frame.from_bgr(image)
    for (x, y, w, h), present in (((140, 40, 170, 170), True), ((300, 300, 170, 170), False)):
        found, _ = predictor.find(frame, (x / 512, y / 512, w / 512, h / 512))
        assert isinstance(found, Landmarks)
        assert (found.score > 0.5) == present
        if present:
            forehead, chin = found.points[10], found.points[152]
            assert forehead[1] < found.points[1, 1] < chin[1]
            assert ((found.points[:, :2] > 0) & (found.points[:, :2] < 192)).all()


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
def test_the_zoos_detectors_find_faces_and_none_where_there_is_none(
    corpus: Path, name: str, picture: str, box: tuple[int, ...] | None
) -> None:
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
