"""The local DetectFaces: what saccade's networks say of a picture, in Rekognition's form."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest
from bench.emotions import KNOWN, compare
from numpy.typing import NDArray
from PIL import Image

from memory import peak, reset_peak
from saccade.deploy.analyst import EMOTION_OF_CLASS, FaceAnalyst, estimate
from saccade.deploy.detect import InvalidImageError
from saccade.errors import SaccadeError
from saccade.networks import catalogue


@pytest.fixture(scope="module")
def analyst() -> FaceAnalyst:
    return FaceAnalyst()


@pytest.fixture(scope="module")
def people() -> NDArray[np.uint8]:
    """Both demo people side by side, 512 px high."""
    pictures = []
    for name in ("demo-astronaut", "demo-hopper"):
        picture = cv2.imread(str(catalogue.pull(name)[0]))
        assert picture is not None
        pictures.append(cv2.resize(picture, (round(512 * picture.shape[1] / picture.shape[0]), 512)))
    return np.hstack(pictures).astype(np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def test_every_face_largest_first(analyst: FaceAnalyst, people: NDArray[np.uint8]) -> None:
    faces = analyst(png(people))
    assert len(faces) == 2
    areas = [face["BoundingBox"]["Width"] * face["BoundingBox"]["Height"] for face in faces]
    assert areas == sorted(areas, reverse=True)
    by_place = sorted(faces, key=lambda face: face["BoundingBox"]["Left"])
    assert [face["Emotions"][0]["Type"] for face in by_place] == ["HAPPY", "CALM"]
    assert all(face["Confidence"] > 97 for face in faces)


def test_a_face_is_where_it_is_whatever_surrounds_it(analyst: FaceAnalyst, people: NDArray[np.uint8]) -> None:
    (face,) = analyst(png(people[:, :512]))
    box = face["BoundingBox"]
    left, top = int(512 * box["Left"]), int(512 * box["Top"])
    tight = people[top : top + int(512 * box["Height"]), left : left + int(512 * box["Width"])]
    (again,) = analyst(png(tight))
    assert again["BoundingBox"]["Width"] == pytest.approx(1.0, abs=0.2)
    assert again["BoundingBox"]["Left"] == pytest.approx(0.0, abs=0.12)


def test_turned_jpegs_are_looked_at_upright(analyst: FaceAnalyst, people: NDArray[np.uint8], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    upright = Image.fromarray(np.ascontiguousarray(people[:, :512, ::-1]))
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    (turned,), (straight,) = analyst(path.read_bytes()), analyst(png(people[:, :512]))
    for name, value in straight["BoundingBox"].items():
        assert turned["BoundingBox"][name] == pytest.approx(value, abs=0.03)


def test_a_head_that_leans_has_a_roll(analyst: FaceAnalyst, people: NDArray[np.uint8]) -> None:
    rolls = []
    for angle in (-20, 0, 20):
        turn = cv2.getRotationMatrix2D((230, 130), angle, 1.0)
        (face,) = analyst(png(np.asarray(cv2.warpAffine(people[:, :512], turn, (512, 512)), np.uint8)))
        rolls.append(face["Pose"]["Roll"])
    assert rolls[0] - rolls[1] == pytest.approx(20, abs=6)
    assert rolls[1] - rolls[2] == pytest.approx(20, abs=6)


def test_blur_and_darkness_show_in_the_quality(analyst: FaceAnalyst, people: NDArray[np.uint8]) -> None:
    (sharp,) = analyst(png(people[:, :512]))
    (blurred,) = analyst(png(np.asarray(cv2.GaussianBlur(people[:, :512], (0, 0), 4), np.uint8)))
    (dark,) = analyst(png((people[:, :512] // 2).astype(np.uint8)))
    assert blurred["Quality"]["Sharpness"] < sharp["Quality"]["Sharpness"] / 2
    assert dark["Quality"]["Brightness"] == pytest.approx(sharp["Quality"]["Brightness"] / 2, rel=0.05)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_what_is_no_picture_is_refused(data: bytes, analyst: FaceAnalyst) -> None:
    with pytest.raises(InvalidImageError):
        analyst(data)


def test_the_estimate_is_a_distribution_and_says_what_it_is(analyst: FaceAnalyst) -> None:
    mesh = np.random.default_rng(1).normal(size=(468, 3)).astype(np.float32)
    scores = estimate(mesh)
    assert sum(scores.values()) == pytest.approx(1)
    assert "estimate" in analyst.emotion_source


def emotion_network(folder: Path, classes: int) -> str:
    """A classifier that calls every face surprised, with some doubt."""
    picture = op.parameter([1, 3, 64, 64], np.float32, name="data")
    level = op.reduce_mean(picture, op.constant([1, 2, 3]), keep_dims=False)
    weights = np.zeros((1, classes), np.float32)
    bias = np.zeros((1, classes), np.float32)
    bias[0, min(3, classes - 1)] = 2.0
    scores = op.softmax(
        op.add(op.matmul(op.reshape(level, op.constant([1, 1]), False), weights, False, False), bias), 1
    )
    path = folder / f"emotions{classes}.xml"
    ov.save_model(ov.Model([scores], [picture], "emotions"), path)
    return str(path)


def test_an_emotion_network_takes_the_estimate_s_place(people: NDArray[np.uint8], tmp_path: Path) -> None:
    analyst = FaceAnalyst(emotion_network(tmp_path, len(EMOTION_OF_CLASS)))
    assert analyst.emotion_source == "emotion network emotions5"
    (face,) = analyst(png(people[:, :512]))
    assert face["Emotions"][0]["Type"] == "SURPRISED"
    assert len(face["Emotions"]) == 8
    assert sum(emotion["Confidence"] for emotion in face["Emotions"]) == pytest.approx(100, abs=0.01)


def test_a_network_that_is_no_classifier_is_refused() -> None:
    with pytest.raises(SaccadeError, match="names no classes"):
        FaceAnalyst("blazeface-short")


def test_a_strip_is_not_bordered_to_a_square(analyst: FaceAnalyst) -> None:
    """Ninety pixels by 65,000: with a quarter of its length round it, it would have nine gigabytes."""
    data = png(np.full((65_000, 90, 3), 128, np.uint8))
    before = reset_peak()
    assert analyst(data) == []
    assert peak() - before < 400 << 20


def test_the_comparison_with_a_network_counts_faces_of_the_same_emotion() -> None:
    happy, calm = ({name: 0.9 if name == top else 0.025 for name in KNOWN} for top in ("HAPPY", "CALM"))
    unknown = {"FEAR": 0.5} | {name: value / 2 for name, value in happy.items()}
    found = compare([(happy, happy), (unknown, happy), (calm, calm), (happy, calm)])
    assert (found.faces, found.same) == (4, 3)
    assert found.chance == pytest.approx((3 * 2 + 1 * 2) / 16)
    assert found.difference == pytest.approx(2 * 0.875 / 5 / 4)
    assert found.pairs["HAPPY", "CALM"] == 1
    assert compare([]).faces == 0
