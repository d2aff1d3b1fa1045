"""YOLOs without anchors: tables that are encoded here, and what they must give."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest
from fakes import NONSENSE, FakeNetwork, centres, check_sound, claim_of, parsed, spoilt_outputs

from arithmetic import cells
from saccade.errors import UnsupportedError
from saccade.networks.local import Model
from saccade.predict import open_predictor
from saccade.predict.metadata import Metadata
from saccade.predict.parser import Settings
from saccade.predict.parsers import oriented
from saccade.predict.parsers.yolo_cells import MOST_TURNED
from saccade.results import Detections

SIZE = (64, 96)
STRIDES = (8, 16, 32)
COUNT = len(cells(SIZE, STRIDES))
BOXES = np.array([[10, 4, 40, 30], [50.5, 20.25, 90, 60], [0, 0, 12, 64]], np.float32)
ROWS = (0, 37, COUNT - 1)
LABELS = (2, 0, 1)
SCORES = np.array([0.9, 0.75, 0.5], np.float32)
DETECT, SEGMENT, POSE, OBB = (
    Metadata(producer="ultralytics", task=task) for task in ("detect", "segment", "pose", "obb")
)


def table(classes: int = 3, extra: int = 0) -> np.ndarray:
    """(cells, 4 + classes + extra): faint boxes about their cells, and the objects."""
    rows = np.zeros((COUNT, 4 + classes + extra), np.float32)
    for row, (x, y, stride) in zip(rows, cells(SIZE, STRIDES), strict=True):
        row[:4] = (x + 0.5) * stride, (y + 0.5) * stride, 2 * stride, 1.5 * stride
    rows[:, 4 : 4 + classes] = 0.01
    rows[list(ROWS), :4] = centres(BOXES)
    rows[ROWS, [4 + min(label, classes - 1) for label in LABELS]] = SCORES
    return rows


def check(found: Detections, boxes: np.ndarray = BOXES) -> None:
    np.testing.assert_allclose(found.scores, SCORES)
    np.testing.assert_allclose(found.boxes, boxes, atol=1e-4)


# ---- detection


@pytest.mark.parametrize("metadata", [DETECT, Metadata()])
def test_tables_come_channels_first(metadata: Metadata) -> None:
    network = FakeNetwork({"output0": table().T[None]}, SIZE)
    claim = claim_of(network, metadata)
    assert (claim.family, claim.certainty) == ("yolov8", 3 if metadata.task else 1)
    assert claim.input == {"swap_rb": True, "scale": (255.0,) * 3, "resize": "letterbox", "pad": 114}
    found = parsed(network, metadata)
    check(found)
    assert found.labels.tolist() == list(LABELS)


@pytest.mark.parametrize(("metadata", "names"), [(DETECT, ()), (Metadata(), ("a", "b", "c"))])
def test_tables_come_rows_first(metadata: Metadata, names: tuple[str, ...]) -> None:
    found = parsed(FakeNetwork({"output0": table()[None]}, SIZE), metadata, names=names)
    check(found)
    assert found.names == names


def test_one_class_is_no_objectness() -> None:
    network = FakeNetwork({"output0": table(classes=1).T[None]}, SIZE)
    assert claim_of(network).family == "yolov8"
    assert parsed(network).labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize("strides", [(8, 16, 32, 64), (4, 8, 16, 32), (16, 32)])
def test_grids_follow_from_the_number_of_cells(strides: tuple[int, ...]) -> None:
    rows = np.full((len(cells(SIZE, strides)), 7), 0.01, np.float32)
    rows[5] = 30, 20, 10, 8, 0.1, 0.8, 0.2
    found = parsed(FakeNetwork({"o": rows.T[None]}, SIZE), DETECT)
    np.testing.assert_allclose(found.boxes, [[25, 16, 35, 24]])
    assert found.labels.tolist() == [1]


def test_parts_of_the_input_as_tensorflow_lite_has_them() -> None:
    rows = table()
    rows[:, :4] /= (SIZE[1], SIZE[0]) * 2
    network = FakeNetwork({"output0": rows.T[None]}, SIZE, nhwc=True)
    check(parsed(network, DETECT))
    check(parsed(network))


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize(("largest", "parts"), [(1.2, True), (2.0, False)])
def test_one_number_beyond_the_input_makes_all_of_them_px(column: int, largest: float, parts: bool) -> None:
    rows = table()
    rows[:, :4] = 0.5
    rows[0, column] = largest
    found = parsed(FakeNetwork({"output0": rows.T[None]}, SIZE, nhwc=True), DETECT)
    unit = np.float32([SIZE[1], SIZE[0]] * 2) if parts else 1
    np.testing.assert_allclose(centres(found.boxes)[0], rows[0, :4] * unit, rtol=1e-5)


def test_more_classes_than_cells() -> None:
    for rows in (table(classes=COUNT), table(classes=COUNT + 100)):
        found = parsed(FakeNetwork({"output0": rows.T[None]}, SIZE), DETECT)
        check(found)
        assert found.labels.tolist() == list(LABELS)


@pytest.mark.parametrize(
    ("score", "fits"), [(-0.01, True), (1.01, True), (np.nan, True), (-0.05, False), (1.05, False)]
)
def test_scores_may_be_off_by_what_quantisation_adds(score: float, fits: bool) -> None:
    """A number that is none, on a made-up picture, says nothing."""
    rows = table()
    rows[40, 5] = score
    network = FakeNetwork({"output0": rows.T[None]}, SIZE)
    if fits:
        check(parsed(network), BOXES) if score < 1 or score != score else parsed(network)
        return
    with pytest.raises(UnsupportedError, match="not all of its numbers behind the box are scores"):
        claim_of(network)


def test_px_of_ultralytics_need_no_run() -> None:
    network = FakeNetwork({"output0": table().T[None]}, SIZE)
    claim_of(network, DETECT)
    assert network.runs == 0


@pytest.mark.parametrize("shape", [(1, 67), (1, 3, 8), (1,)])
def test_maps_that_the_table_was_made_of_are_passed_over(shape: tuple[int, ...]) -> None:
    maps = {f"map{s}": np.zeros((*shape, -(-SIZE[0] // s), -(-SIZE[1] // s)), np.float32) for s in (4, *STRIDES, 64)}
    check(parsed(FakeNetwork({"output0": table().T[None], **maps}, SIZE)))


def test_suppression_is_per_class_unless_told_otherwise() -> None:
    rows = table()
    rows[1] = rows[0]
    rows[1, 4:] = 0.01, 0.8, 0.01
    rows[2] = rows[0] + [0.5, 0.5, 0, 0, 0, 0, -0.2]
    network = FakeNetwork({"output0": rows.T[None]}, SIZE)
    parser = claim_of(network, DETECT).parser
    assert len(parser.parse(network.values, parser.defaults)) == 4
    assert len(parser.parse(network.values, Settings(score=0.25, iou=0.7, agnostic=True))) == 3
    assert len(parser.parse(network.values, Settings(score=0.25, iou=0.7, top=2))) == 2
    assert len(parser.parse(network.values, Settings(score=0.25, iou=0.999))) == 5


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c", "d", "e")])
def test_shapes_win_over_the_number_of_names(names: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    found = parsed(FakeNetwork({"output0": table().T[None]}, SIZE), DETECT, names=names)
    assert [found.name(i) for i in range(3)] == [names[k] if k < len(names) else str(k) for k in LABELS]
    assert not caplog.records  # whoever asked says so, once


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1.0), (np.float32, 255.0)])
def test_bytes_are_pixels_whatever_the_family_wants(dtype: type, scale: float) -> None:
    picture = op.parameter([1, 3, *SIZE], dtype, name="picture")
    nothing = op.multiply(
        op.reduce_max(op.convert(picture, "f32"), op.constant(np.array([1, 2, 3])), True), np.float32(0)
    )
    dense = op.add(op.constant(table().T[None]), op.squeeze(nothing, op.constant(np.array([3]))))
    predictor = open_predictor(Model(ov.Model([dense], [picture], "bytes"), precision="f32"))
    assert (predictor.spec.dtype, predictor.spec.scale) == (np.dtype(dtype).name, (scale,) * 3)
    detections = predictor(np.zeros((*SIZE, 3), np.uint8)).detections
    assert detections is not None
    check(detections)


# ---- what shapes leave open


def test_key_points_or_classes() -> None:
    """56 channels: one class and 17 points, or 52 classes. Scores never leave [0, 1], px do."""
    classes = FakeNetwork({"output0": table(classes=52).T[None]}, SIZE)
    assert claim_of(classes).family == "yolov8"
    rows = table(classes=1, extra=51)
    rows[:, 5:] = 20
    points = FakeNetwork({"output0": rows.T[None]}, SIZE)
    assert claim_of(points).family == "yolov8-pose"
    # Where places are parts of the input nothing can tell but names, or the user.
    rows[:, :4] /= 100
    rows[:, 5:] = 0.5
    either = FakeNetwork({"output0": rows.T[None]}, SIZE, nhwc=True)
    with pytest.raises(UnsupportedError, match=r"--head yolov8-pose: .*--head yolov8: "):
        claim_of(either)
    assert claim_of(either, names=("person",)).family == "yolov8-pose"
    assert claim_of(either, names=tuple(map(str, range(52)))).family == "yolov8"
    assert claim_of(either, head="yolov8").family == "yolov8"


def test_numbers_that_are_no_scores() -> None:
    rows = table(classes=3, extra=12)
    rows[:, 7:] = 30
    network = FakeNetwork({"output0": rows.T[None]}, SIZE)
    with pytest.raises(
        UnsupportedError, match=r"not all of its numbers behind the box are scores .* --head yolov8-pose"
    ):
        claim_of(network)
    found = parsed(network, head="yolov8-pose", names=("a", "b", "c"))
    assert found.keypoints is not None
    assert found.keypoints.shape == (3, 4, 2)


def test_turned_boxes_show_in_the_graph() -> None:
    rows = table(classes=3, extra=1)
    turning = ("Convolution", "Sigmoid", "Sin", "Cos", "Concat")
    assert claim_of(FakeNetwork({"o": rows.T[None]}, SIZE, after=turning)).family == "yolov8-obb"
    assert claim_of(FakeNetwork({"o": rows.T[None]}, SIZE)).family == "yolov8"
    assert claim_of(FakeNetwork({"o": rows.T[None]}, SIZE), OBB).family == "yolov8-obb"


@pytest.mark.parametrize(
    ("outputs", "metadata"),
    [
        ({"o": np.zeros((1, 7, COUNT + 1))}, Metadata()),  # no number of cells
        ({"o": np.zeros((1, 7, COUNT + 1))}, DETECT),
        ({"o": np.zeros((1, 4, COUNT))}, Metadata()),  # no class
        ({"o": np.zeros((1, 7, COUNT))}, SEGMENT),  # no prototypes
        ({"o": np.zeros((1, 7, COUNT))}, POSE),  # not enough numbers
        ({"o": np.zeros((1, 4 + 2 + 32, COUNT)), "p": np.zeros((1, 32, 5, 7))}, Metadata()),  # prototypes of what?
        ({"o": np.zeros((1, 7, COUNT)), "p": np.zeros((1, 7, COUNT))}, Metadata()),  # two tables
        ({"o": np.zeros((1, 7, COUNT))}, Metadata(producer="ultralytics", task="detect", head="RTDETRDecoder")),
        ({"o": np.zeros((2, 7, COUNT))}, Metadata()),  # two pictures
    ],
)
def test_near_misses_are_refused(outputs: dict[str, np.ndarray], metadata: Metadata) -> None:
    with pytest.raises(UnsupportedError):
        claim_of(FakeNetwork(outputs, SIZE), metadata)


# ---- YOLOv6


def test_yolov6_has_ones_for_objectness() -> None:
    rows = np.insert(table(), 4, 1.0, axis=1)
    network = FakeNetwork({"outputs": rows[None]}, SIZE)
    claim = claim_of(network)
    assert (claim.family, claim.input["resize"], claim.input["swap_rb"]) == ("yolov6", "letterbox", True)
    found = parsed(network)
    check(found)
    assert found.labels.tolist() == list(LABELS)


# ---- key points


@pytest.mark.parametrize("numbers", [2, 3])
def test_key_points_are_those_of_their_rows(numbers: int) -> None:
    rows = table(classes=3, extra=4 * numbers)
    points = np.random.default_rng(3).uniform(0, 60, (3, 4, numbers)).astype(np.float32)
    if numbers == 3:
        points[..., 2] /= 60
    rows[list(ROWS), 7:] = points.reshape(3, -1)
    metadata = Metadata(producer="ultralytics", task="pose", keypoints=(4, numbers))
    found = parsed(FakeNetwork({"output0": rows.T[None]}, SIZE), metadata)
    check(found)
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints, points[..., :2])
    if numbers == 3:
        assert found.keypoint_scores is not None
        np.testing.assert_allclose(found.keypoint_scores, points[..., 2])
    else:
        assert found.keypoint_scores is None


def test_key_points_in_parts_of_the_input() -> None:
    rows = table(classes=1, extra=6)
    rows[list(ROWS), 5:] = [0.5, 0.25, 0.9, 0.1, 1.0, 0.2]
    rows[:, :4] /= (SIZE[1], SIZE[0]) * 2
    metadata = Metadata(task="pose", keypoints=(2, 3))
    found = parsed(FakeNetwork({"output0": rows.T[None]}, SIZE, nhwc=True), metadata)
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints, [[[48, 16], [9.6, 64]]] * 3, rtol=1e-6)


# ---- masks


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("metadata", [SEGMENT, Metadata(), Metadata(producer="model-api", task="detect")])
def test_masks_are_prototypes_times_factors(last: bool, metadata: Metadata) -> None:
    rng = np.random.default_rng(5)
    prototypes = rng.standard_normal((8, SIZE[0] // 4, SIZE[1] // 4)).astype(np.float32)
    prototypes = cv2.GaussianBlur(prototypes.transpose(1, 2, 0), (9, 9), 3).transpose(2, 0, 1)
    factors = rng.standard_normal((3, 8)).astype(np.float32)
    rows = table(extra=8)
    rows[list(ROWS), 7:] = factors
    stored = prototypes.transpose(1, 2, 0) if last else prototypes
    network = FakeNetwork({"output0": rows.T[None], "output1": stored[None]}, SIZE, nhwc=last)
    assert claim_of(network, metadata).family == "yolov8-seg"
    found = parsed(network, metadata)
    check(found)
    assert found.masks is not None
    for i, box in enumerate(BOXES):
        # The whole picture's mask, cut at the box: what upstream does.
        whole = np.tensordot(factors[i], prototypes, 1)
        wanted = cv2.resize(whole, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_LINEAR) > 0
        outside = np.ones(SIZE, bool)
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        outside[y1:y2, x1:x2] = False
        wanted[outside] = False
        np.testing.assert_array_equal(found.masks.bitmap(i, found.boxes[i], SIZE[1], SIZE[0]), wanted)


def test_outlines_at_any_box() -> None:
    """Interpolated as those of the whole picture's mask, wherever the box ends within a prototype's pixel."""
    rng = np.random.default_rng(2)
    prototypes = rng.standard_normal((1, SIZE[0] // 4, SIZE[1] // 4)).astype(np.float32)
    rows = table(extra=1)
    rows[:, :2] = rng.uniform([0, 0], [SIZE[1], SIZE[0]], (COUNT, 2))
    rows[:, 2:4] = rng.uniform(6, 40, (COUNT, 2))
    rows[:, 4], rows[:, 7] = 0.9, 1
    network = FakeNetwork({"output0": rows.T[None], "output1": prototypes[None]}, SIZE)
    found = claim_of(network, SEGMENT).parser.parse(network.values, Settings(score=0.25, iou=1.0))
    assert isinstance(found, Detections)
    assert found.masks is not None
    assert len(found) == COUNT
    whole = cv2.resize(prototypes[0], (SIZE[1], SIZE[0]), interpolation=cv2.INTER_LINEAR) > 0
    for i, box in enumerate(found.boxes):
        x1, y1, x2, y2 = (max(0, round(float(v))) for v in box)
        mask = found.masks.bitmap(i, box, SIZE[1], SIZE[0])
        np.testing.assert_array_equal(mask[y1:y2, x1:x2], whole[y1:y2, x1:x2])


def test_masks_are_as_small_as_their_boxes() -> None:
    rows = table(extra=8)
    prototypes = np.ones((1, 8, SIZE[0] // 4, SIZE[1] // 4), np.float32)
    found = parsed(FakeNetwork({"output0": rows.T[None], "output1": prototypes}, SIZE), SEGMENT)
    assert found.masks is not None
    for patch, place, box in zip(found.masks.patches, found.masks.places, found.boxes, strict=True):
        height, width = patch.shape
        assert width * 4 <= box[2] - box[0] + 16
        assert height * 4 <= box[3] - box[1] + 16
        assert (place[:2] <= box[:2]).all()
        assert (place[2:] >= box[2:]).all()


# ---- turned boxes


def test_turned_boxes_have_the_corners_that_opencv_gives() -> None:
    rows = table(extra=1)
    angles = np.array([0.3, -0.5, 1.2], np.float32)
    rows[list(ROWS), 7] = angles
    found = parsed(FakeNetwork({"output0": rows.T[None]}, SIZE), OBB)
    assert found.corners is not None
    np.testing.assert_allclose(found.scores, SCORES)
    for corners, box, (x, y, w, h), angle in zip(found.corners, found.boxes, centres(BOXES), angles, strict=True):
        wanted = cv2.boxPoints(((float(x), float(y)), (float(w), float(h)), float(np.rad2deg(angle))))
        turned = [np.roll(wanted[::step], k, axis=0) for step in (1, -1) for k in range(4)]
        assert min(abs(corners - each).max() for each in turned) < 1e-3
        np.testing.assert_allclose(box, [*corners.min(0), *corners.max(0)])


def hellinger(first: np.ndarray, second: np.ndarray) -> float:
    """The same distance by matrices."""

    def moments(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y, w, h, angle = (float(v) for v in box)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.array([x, y]), turn @ np.diag([w * w / 12, h * h / 12]) @ turn.T

    (m1, s1), (m2, s2) = moments(first), moments(second)
    mean = (s1 + s2) / 2
    d = m1 - m2
    far = d @ np.linalg.inv(mean) @ d / 8
    far += np.log(np.linalg.det(mean) / np.sqrt(np.linalg.det(s1) * np.linalg.det(s2))) / 2
    return float(np.sqrt(1 - np.exp(-far)))


def random_turned(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low, high = [0, 0, 8, 8, -0.8], [30, 30, 40, 40, 2.3]
    return rng.uniform(low, high, (count, 5)).astype(np.float32)


def test_probabilistic_overlap_is_that_of_matrices() -> None:
    boxes = random_turned(12)
    moments = oriented.gaussians(boxes)
    overlaps = oriented.probabilistic_iou(moments[:, :, None], moments[:, None])
    for i, j in itertools.combinations(range(12), 2):
        assert overlaps[i, j] == pytest.approx(1 - hellinger(boxes[i], boxes[j]), abs=2e-3)
        assert overlaps[i, j] == pytest.approx(overlaps[j, i], abs=1e-6)
    assert (np.diag(overlaps) > 0.99).all()


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("top", [None, 5, 140])
def test_a_row_goes_for_any_better_one(agnostic: bool, top: int | None) -> None:
    boxes = random_turned(300, 1)
    labels = np.arange(300) % 2
    moments = oriented.gaussians(boxes)
    wanted = [
        i
        for i in range(300)
        if not any(
            (agnostic or labels[i] == labels[j]) and oriented.probabilistic_iou(moments[:, i], moments[:, j]) >= 0.55
            for j in range(i)
        )
    ]
    assert 5 < len(wanted) < 290
    kept = oriented.distinct(boxes, labels, 0.55, top=top, agnostic=agnostic)
    assert kept.tolist() == wanted[:top]


def test_turned_boxes_are_compared_up_to_a_number() -> None:
    size, strides = (320, 320), (8, 16, 32)
    rows = np.zeros((len(cells(size, strides)), 6), np.float32)
    rows[:, 0], rows[:, 1], rows[:, 2:4], rows[:, 4] = (
        *np.divmod(np.arange(len(rows)), 50) * np.array([[6], [6]]),
        2,
        0.9,
    )
    network = FakeNetwork({"o": rows.T[None]}, size)
    parser = claim_of(network, OBB).parser
    assert len(parser.parse(network.values, Settings(score=0.25, iou=0.7))) == MOST_TURNED < len(rows)


def test_no_turned_boxes() -> None:
    assert len(oriented.distinct(np.empty((0, 5), np.float32), np.empty(0), 0.5, top=None, agnostic=False)) == 0


# ---- whatever the numbers are


@pytest.mark.parametrize(("task", "extra"), [("detect", 0), ("segment", 8), ("pose", 6), ("obb", 1)])
@pytest.mark.parametrize("values", NONSENSE)
def test_nonsense_gives_nothing_unsound(task: str, extra: int, values: list[float]) -> None:
    outputs = {"output0": table(extra=extra).T[None]}
    if task == "segment":
        outputs["output1"] = np.ones((1, 8, SIZE[0] // 4, SIZE[1] // 4), np.float32)
    network = FakeNetwork(outputs, SIZE)
    parser = claim_of(network, Metadata(producer="ultralytics", task=task, keypoints=(2, 3))).parser
    for spoilt in spoilt_outputs(network, values):
        check_sound(parser.parse(spoilt, Settings(score=0.25, iou=0.7, top=50)), 0.25)
