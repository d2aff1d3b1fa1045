"""The apps on real pictures with the demo models, and their geometry on any frame size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from networks import classifier_network, mean_network
from saccade import Model
from saccade.apps import make_app, open_session
from saccade.apps.head_pose import CentredHeadPose, direction_scores, mesh_angles
from saccade.config import RunConfig, cache_dir
from saccade.errors import ConfigError, SourceError
from saccade.frame import Frame
from saccade.models import task_for
from saccade.pipeline import App, make_plan
from saccade.results import DIRECTIONS, Result


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
    plan, view = make_plan(frame, app.input, app.region(frame), mirror=app.mirror)
    request = app.model.request()
    plan(frame.planes[0], out=request.inputs[app.model.inputs[0].name])
    request.infer()
    return app.interpret(frame, request.outputs, view)


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
    model = Model(classifier_network(tmp_path / "d.xml"), precision="f32")
    app = CentredHeadPose(model, task_for(model))
    frame = Frame(width=2688, height=1520, planes=(np.zeros((1520, 2688, 3), np.uint8),))
    x, y, w, h = app.region(frame)
    assert (x * 2688, y * 1520, w * 2688, h * 1520) == pytest.approx((1024, 440, 640, 640))
    assert app.mirror
    for width, height in ((640, 480), (320, 1000), (1000, 200)):
        x, y, w, h = app.region(Frame(width=width, height=height, planes=(np.zeros((height, width, 3), np.uint8),)))
        assert w * width == pytest.approx(h * height), "a square in pixels"
        assert min(x, y) >= 0
        assert x + w <= 1 + 1e-9
        assert y + h <= 1 + 1e-9
        least = app.least_size(width, height)
        assert least[0] <= height
        assert least[1] <= width


def test_apps_refuse_networks_of_another_kind(tmp_path: Path) -> None:
    classifier = classifier_network(tmp_path / "directions.xml")
    with pytest.raises(ConfigError, match="faces wants a network for detection; directions is one for classification"):
        make_app("faces", RunConfig(model=str(classifier), device="CPU"))
    with pytest.raises(ConfigError, match="app 'dance' is not known"):
        make_app("dance", RunConfig())


def test_a_session_that_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    network = mean_network(tmp_path / "means.xml")
    with pytest.raises(SourceError):
        open_session("classify", RunConfig(source=str(tmp_path / "none.avi"), model=str(network)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["means.bin", "means.xml"]
