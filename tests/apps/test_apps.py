"""The apps on real pictures with the demo models, and their geometry on any frame size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from saccade.apps import make_app, open_session
from saccade.apps.detect import Detect
from saccade.apps.faces import preset
from saccade.apps.head_pose import CentredHeadPose, direction_scores, mesh_angles
from saccade.config import RunConfig, cache_dir
from saccade.config.option import Boxes
from saccade.errors import ConfigError, SourceError, UnsupportedError
from saccade.frame import Frame
from saccade.outputs.publish.bodies import tutorial_body
from saccade.pipeline import App
from saccade.results import DIRECTIONS, Result
from small_networks import classifier_network, heads_network, mean_network, segmenter_network, spots, spots_network


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    path = cache_dir() / "pictures" / "astronaut.png"
    if not path.is_file():
        pytest.skip("the demo pictures are not here; run `saccade models pull demo`")
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def once(app: App, picture: NDArray[np.uint8], scale: int = 1) -> Result:
    """One frame through an app; `scale` stands for a DCT-scaled inference picture."""
    height, width = picture.shape[:2]
    planes = cv2.resize(picture, (width // scale, height // scale), interpolation=cv2.INTER_AREA)
    frame = Frame(width=width, height=height, planes=(np.asarray(planes, np.uint8),))
    return app.interpret(frame, app.predictor(frame))


def test_faces_are_found_in_source_pixels_at_any_decoding_scale(portrait: NDArray[np.uint8]) -> None:
    app = make_app("faces", RunConfig(precision="f32", device="CPU"))
    canvas = np.zeros((1080, 1920, 3), np.uint8)
    canvas[28:1052, 400:1424] = cv2.resize(portrait, (1024, 1024))
    boxes = []
    for scale in (1, 2, 4, 8):
        result = once(app, canvas, scale)
        assert result.detections is not None
        assert len(result.detections) == 1
        assert result.detections.scores[0] > 0.6
        boxes.append(result.detections.boxes[0])
    # The face in the portrait, by eye: x 175-275, y 60-180.
    centre = (boxes[0][:2] + boxes[0][2:]) / 2
    assert centre == pytest.approx([400 + 2 * 225, 28 + 2 * 120], abs=50)
    for box in boxes[1:]:
        assert np.abs(box - boxes[0]).max() < 16
    assert result.to_event()["detections"][0]["label"] == "face"


def test_a_frame_without_faces_gives_none(portrait: NDArray[np.uint8]) -> None:
    result = once(make_app("faces", RunConfig(device="CPU")), np.full((480, 640, 3), 127, np.uint8))
    assert result.detections is not None
    assert len(result.detections) == 0
    pose = once(make_app("head-pose", RunConfig(device="CPU")), np.full((480, 640, 3), 127, np.uint8))
    assert pose.pose is None


def test_head_pose_of_a_mirrored_picture_is_mirrored(portrait: NDArray[np.uint8]) -> None:
    app = make_app("head-pose", RunConfig(precision="f32", device="CPU"))
    turned = cv2.warpAffine(portrait, cv2.getRotationMatrix2D((225, 120), -12, 1.0), (512, 512))  # clockwise
    here = once(app, np.asarray(turned, np.uint8)).pose
    there = once(app, np.ascontiguousarray(turned[:, ::-1], np.uint8)).pose
    assert here is not None
    assert there is not None
    assert here.roll is not None
    assert there.roll is not None
    assert here.roll == pytest.approx(-12, abs=6)  # clockwise in the picture is counter-clockwise in the mirror
    assert there.roll == pytest.approx(-here.roll, abs=5)
    assert here.yaw == pytest.approx(-float(there.yaw or 0), abs=6)
    assert here.scores.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("yaw", "pitch", "direction"),
    [
        (0, 0, "Middle"), (40, 0, "Right"), (-40, 0, "Left"), (0, 35, "Up"), (0, -35, "Down"),
        (40, 35, "Up Right"), (-40, -35, "Down Left"), (40, -35, "Down Right"), (-40, 35, "Up Left"),
    ],
)  # fmt: skip
def test_angles_give_the_nine_directions(yaw: float, pitch: float, direction: str) -> None:
    scores = direction_scores(yaw, pitch)
    assert DIRECTIONS[int(scores.argmax())] == direction
    assert scores.sum() == pytest.approx(1, abs=1e-6)
    assert scores.max() > 0.7


def test_mesh_angles_of_a_turned_plane() -> None:
    # A face is a plane here: eyes 60 apart, forehead to chin 100, turned about the vertical axis by 30 degrees.
    points = np.zeros((468, 3), np.float32)
    points[33], points[263], points[10], points[152] = (-30, 0, 0), (30, 0, 0), (0, -50, 0), (0, 50, 0)
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]], np.float32)
    yaw, pitch, roll = mesh_angles(points @ turn.T)
    assert abs(yaw) == pytest.approx(30, abs=0.1)
    assert pitch == pytest.approx(6, abs=0.1)  # the mesh's own lean
    assert roll == pytest.approx(0, abs=0.1)


def test_the_centred_square_is_the_old_crop_on_the_old_camera(tmp_path: Path) -> None:
    app = make_app("head-pose", RunConfig(model=str(classifier_network(tmp_path / "d.xml")), device="CPU"))
    assert isinstance(app, CentredHeadPose)
    ((x, y, w, h),) = app.predictor.regions(2688, 1520)
    assert (x * 2688, y * 1520, w * 2688, h * 1520) == pytest.approx((1024, 440, 640, 640))
    assert app.predictor.framing.mirror
    for width, height in ((640, 480), (320, 1000), (1000, 200)):
        ((x, y, w, h),) = app.predictor.regions(width, height)
        assert w * width == pytest.approx(h * height), "a square in pixels"
        assert min(x, y) >= 0
        assert x + w <= 1 + 1e-9
        assert y + h <= 1 + 1e-9
        least = app.least_size(width, height)
        assert least[0] <= height
        assert least[1] <= width


def test_faces_is_a_preset_of_detect_with_tiles_for_its_own_network(tmp_path: Path) -> None:
    assert preset(RunConfig()) == RunConfig(model="blazeface-full", tiles="auto")
    assert preset(RunConfig(model="blazeface-full")).tiles == "auto"
    assert preset(RunConfig(model="mine.onnx")) == RunConfig(model="mine.onnx", tiles="off")
    assert preset(RunConfig(tiles="3x2")).tiles == "3x2"
    app = make_app("faces", RunConfig(model=str(spots_network(tmp_path / "spots.xml")), device="CPU"))
    assert isinstance(app, Detect)
    assert app.predictor.regions(1920, 1080) == ((0.0, 0.0, 1.0, 1.0),)


@pytest.mark.parametrize(
    ("regions", "found"),
    [
        (((0.0, 0.0, 0.5, 1.0),), [64]), (((0, 0, 256, 512),), [64]), (((0.5, 0.0, 0.5, 1.0),), [320]),
        (((0.0, 0.0, 0.5, 1.0), (256, 0, 9999, 512)), [64, 320]), (((0.0, 0.5, 1.0, 0.5),), []),
    ],
)  # fmt: skip
def test_only_regions_are_looked_at_and_results_are_in_source_pixels(
    tmp_path: Path, regions: Boxes, found: list[int]
) -> None:
    canvas = np.zeros((512, 512, 3), np.uint8)
    for x in (64, 320):
        canvas[64:128, x : x + 64] = 255
    config = RunConfig(model=str(spots_network(tmp_path / "spots.xml")), device="CPU", regions=regions)
    for scale in (1, 2):
        boxes = once(make_app("detect", config), canvas, scale).detections
        assert boxes is not None
        # The network sees half of the width over its whole input: a spot is two of its cells wide.
        assert sorted({(round(float(x)) + 1) // 64 * 64 for x in boxes.boxes[:, 0]}) == found
        assert all(63 <= y1 < y2 <= 129 for y1, y2 in boxes.boxes[:, [1, 3]])


def test_regions_that_do_not_fit_are_told_of(tmp_path: Path) -> None:
    config = RunConfig(model=str(spots_network(tmp_path / "spots.xml")), device="CPU", regions=((600, 0, 10, 10),))
    app = make_app("detect", config)
    assert app.least_size(512, 512) == (512, 512)
    with pytest.raises(ConfigError, match=r"regions: 600,0,10,10 lies outside the picture, which is 512x512"):
        once(app, np.zeros((512, 512, 3), np.uint8))
    two = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0))
    with pytest.raises(ConfigError, match="one answer for a frame; give one region, or a camera for each"):
        make_app("classify", RunConfig(model=str(classifier_network(tmp_path / "c.xml")), device="CPU", regions=two))
    head = RunConfig(model=str(classifier_network(tmp_path / "d.xml")), device="CPU", regions=((0.0, 0.0, 0.25, 1.0),))
    ((x, _, w, _),) = make_app("head-pose", head).predictor.regions(2688, 1520)
    assert x + w / 2 == pytest.approx(1 - 0.125), "the middle of the region, in the mirrored frame"
    for wrong in (((0.5, 0.0, 0.6, 1.0),), ((0.0, 0.0, 0.0, 1.0),), ((-1, 0, 5, 5),), ((0.5, 0, 300, 300),)):
        with pytest.raises(ConfigError, match="of each region within the frame"):
            RunConfig(regions=wrong)


def test_small_faces_are_found_without_an_option(portrait: NDArray[np.uint8]) -> None:
    canvas = np.full((1080, 1920, 3), 90, np.uint8)
    small = cv2.resize(portrait, (450, 450), interpolation=cv2.INTER_AREA)  # its face is some 90 px wide
    for x, y in ((100, 100), (840, 560), (1400, 300)):
        canvas[y : y + 450, x : x + 450] = small
    config = RunConfig(precision="f32", device="CPU")
    app = make_app("faces", config)
    assert len(app.predictor.regions(1920, 1080)) == 2
    found = once(app, canvas).detections
    assert found is not None
    assert sorted(round(float(x)) // 100 for x in found.boxes[:, 0]) == [2, 9, 15]
    whole = once(make_app("faces", config.replace(tiles="off")), canvas).detections
    assert whole is not None
    assert len(whole) < 3


def test_detect_reports_what_any_detector_finds(tmp_path: Path) -> None:
    network = spots_network(tmp_path / "spots.xml")
    app = make_app("detect", RunConfig(model=str(network), device="CPU", precision="f32"))
    result = once(app, spots())
    assert result.app == "detect"
    names = [event["label"] for event in result.to_event()["detections"]]
    assert sorted(names) == ["bright", "bright", "red"]
    found = result.detections
    assert found is not None
    best = found[found.labels == 1].boxes[0]
    assert best == pytest.approx([256, 0, 320, 64], abs=1)


def test_only_classes_that_are_asked_for(tmp_path: Path) -> None:
    config = RunConfig(model=str(spots_network(tmp_path / "spots.xml")), device="CPU", classes=("red",))
    found = once(make_app("detect", config), spots()).detections
    assert found is not None
    assert [found.name(i) for i in range(len(found))] == ["red"]
    with pytest.raises(ConfigError, match=r"classes rad: spots has no class of that name; did you mean red\?"):
        make_app("detect", config.replace(classes=("bright", "rad")))
    with pytest.raises(ConfigError, match=r"classes zebra: spots has no class of that name; it has bright, red"):
        make_app("detect", config.replace(classes=("zebra",)))


def test_classes_without_names_are_numbers(tmp_path: Path) -> None:
    network = classifier_network(tmp_path / "net.xml", classes=12)
    config = RunConfig(model=str(network), device="CPU")
    make_app("classify", config.replace(classes=("4", "11")))
    with pytest.raises(ConfigError, match="net has no names for its classes; give them with --labels"):
        make_app("classify", config.replace(classes=("cat",)))


def test_every_object_is_reported_and_five_classes(tmp_path: Path) -> None:
    network = spots_network(tmp_path / "spots.xml")
    many = np.zeros((512, 512, 3), np.uint8)
    for y in range(0, 512, 128):
        for x in range(0, 512, 128):
            many[y : y + 64, x : x + 64] = 255
    config = RunConfig(model=str(network), device="CPU")
    found = once(make_app("detect", config), many).detections
    assert found is not None
    assert len(found) == 16
    few = once(make_app("detect", config.replace(top=3)), many).detections
    assert few is not None
    assert len(few) == 3
    classifier = classifier_network(tmp_path / "net.xml", classes=12)
    classes = once(make_app("classify", RunConfig(model=str(classifier), device="CPU")), many).classes
    assert classes is not None
    assert len(classes) == 5


@pytest.mark.parametrize("app", ["detect", "segment"])
def test_apps_without_a_network_of_their_own_ask_for_one(app: str) -> None:
    with pytest.raises(ConfigError, match=f"{app} needs a network: --model FILE"):
        make_app(app, RunConfig())


def test_a_vector_is_not_a_class_because_the_app_is_classify(tmp_path: Path) -> None:
    network = mean_network(tmp_path / "means.xml")
    with pytest.raises(UnsupportedError, match="--task"):
        make_app("classify", RunConfig(model=str(network), device="CPU"))
    said = make_app("classify", RunConfig(model=str(network), device="CPU", task="classify"))
    assert once(said, spots()).classes is not None


def test_the_size_of_an_input_is_said_in_the_configuration(tmp_path: Path) -> None:
    network = classifier_network(tmp_path / "net.xml")
    with pytest.raises(ConfigError, match="input shape: got 'big'"):
        make_app("classify", RunConfig(model=str(network), device="CPU", input_shape="big"))
    app = make_app("classify", RunConfig(model=str(network), device="CPU", input_shape="1,40,40,3"))
    assert (app.predictor.spec.height, app.predictor.spec.width) == (40, 40)


def test_segment_reports_the_part_of_each_class(tmp_path: Path) -> None:
    labels = tmp_path / "names.txt"
    labels.write_text("nothing\nbright\nred\n")
    network = segmenter_network(tmp_path / "segmenter.xml")
    config = RunConfig(model=str(network), device="CPU", precision="f32", task="segment", labels=str(labels))
    app = make_app("segment", config.replace(resize="stretch", color="bgr"))
    result = once(app, spots())
    assert result.app == "segment"
    parts = {event["label"]: event["share"] for event in result.to_event()["segmentation"]}
    assert parts["bright"] == pytest.approx(2 / 32, abs=0.01)
    assert parts["red"] == pytest.approx(1 / 32, abs=0.01)
    sent = tutorial_body(result, "cam")
    assert sent["bright"] == parts["bright"]
    assert sent["segmentation"] == result.to_event()["segmentation"]


def test_classify_reports_every_head(tmp_path: Path) -> None:
    network = heads_network(tmp_path / "heads.xml")
    app = make_app("classify", RunConfig(model=str(network), device="CPU", precision="f32"))
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 2] = 200
    result = once(app, red)
    event = result.to_event()
    assert {name: classes[0]["label"] for name, classes in event["heads"].items()} == {"light": "1", "hue": "2"}
    assert event["classes"] == event["heads"]["light"]
    sent = tutorial_body(result, "cam")
    assert sent["heads"] == event["heads"]
    assert sent["1"] == event["classes"][0]["prob"], "the fields of the first head are there as ever"


def test_messages_keep_their_fields(tmp_path: Path) -> None:
    app = make_app("detect", RunConfig(model=str(spots_network(tmp_path / "spots.xml")), device="CPU"))
    result = once(app, spots())
    sent = tutorial_body(result, "cam")
    assert set(sent) == {"bright", "red", "detections", "camera", "frame", "time", "width", "height"}
    assert sent["detections"] == result.to_event()["detections"]
    assert sent["bright"] == max(e["prob"] for e in sent["detections"] if e["label"] == "bright")


def test_apps_refuse_networks_of_another_kind(tmp_path: Path) -> None:
    classifier = classifier_network(tmp_path / "directions.xml")
    with pytest.raises(ConfigError, match="faces wants a network to detect; directions is one to classify"):
        make_app("faces", RunConfig(model=str(classifier), device="CPU"))
    with pytest.raises(ConfigError, match=r"segment wants a network to segment; .*`saccade run classify` shows"):
        make_app("segment", RunConfig(model=str(classifier), device="CPU"))
    with pytest.raises(ConfigError, match="app 'dance' is not known"):
        make_app("dance", RunConfig())


def test_a_session_that_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    network = mean_network(tmp_path / "means.xml")
    with pytest.raises(SourceError):
        open_session("classify", RunConfig(source=str(tmp_path / "none.avi"), model=str(network)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["means.bin", "means.xml"]
