"""Networks that nobody's examples show: the objects they were made of are found, in px of the picture, and what is no
such network is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest
import unseen
from numpy.typing import NDArray
from unseen import Case, Feed, Net, Size, ultralytics

from lengths import EXHAUSTIVE
from saccade.cli import main
from saccade.errors import UnsupportedError
from saccade.geometry import Region
from saccade.predict import Predictor, open_predictor

S, WIDE, TALL = (256, 256), (288, 512), (416, 224)
LIMIT = 0.4
"""Least score of an object: those that are there have more, all others have less."""

Make = Callable[[], Case]


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Blue, green and red differ, and so do the sides."""
    coarse = np.random.default_rng(height).random((max(2, height // 24), max(2, width // 24), 3)) * [80, 120, 200]
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(fine + np.array([10, 40, 50]), 0, 255).astype(np.uint8)


def opened(case: Case, folder: Path, **options: Any) -> Predictor:
    """The predictor of the case's file."""
    return open_predictor(case.save(folder), precision="f32", **{"threshold": LIMIT, **case.options, **options})


def yolo_cases() -> Mapping[str, Make]:
    """Of each family one network or more that differs from the published ones in all that it can."""
    y, U = unseen, ultralytics
    pose = U("pose", 2, WIDE, kpt_shape="[5, 2]")
    return {
        "v8 1 class": lambda: y.yolov8(S, 1),
        "v8 1 class transposed": lambda: y.yolov8(WIDE, 1, transposed=True),
        "v8 365 classes": lambda: y.yolov8(S, 365),
        "v8 52 classes": lambda: y.yolov8(TALL, 52),
        "v8 16 classes transposed": lambda: y.yolov8(WIDE, 16, transposed=True),
        "v8 with metadata": lambda: y.yolov8(S, 52, metadata=U("detect", 52, S)),
        "v8 with P6": lambda: y.yolov8((640, 384), 3, strides=(8, 16, 32, 64)),
        "v8 with P2": lambda: y.yolov8(S, 3, strides=(4, 8, 16, 32)),
        "v8 in halves": lambda: y.yolov8(S, 3, kind=np.float16),
        "v8 in bytes": lambda: y.yolov8(S, 3, kind=np.uint8, stored=(1 / 255, 0)),
        "v8 in signed bytes": lambda: y.yolov8(S, 3, kind=np.int8, stored=(1 / 255, -128)),
        "v8 in bytes around 0": lambda: y.yolov8(WIDE, 2, kind=np.int8, stored=(1 / 127, 0)),
        "v8 of TensorFlow": lambda: y.yolov8(S, 3, normalised=True, nhwc=True),
        "seg": lambda: y.yolov8(WIDE, 3, extra="seg", mixed_up=1),
        "seg transposed": lambda: y.yolov8(S, 2, extra="seg", transposed=True),
        "pose": lambda: y.yolov8(TALL, 1, extra="pose"),
        "pose transposed": lambda: y.yolov8(S, 1, extra="pose", transposed=True),
        "pose of 5 points": lambda: y.yolov8(WIDE, 2, extra="pose", points=(5, 2), metadata=pose),
        "pose by option": lambda: y.yolov8(S, 2, extra="pose", points=(4, 3), head="yolov8-pose", labels=["a", "b"]),
        "obb": lambda: y.yolov8(WIDE, 15, extra="obb"),
        "obb transposed": lambda: y.yolov8(S, 3, extra="obb", transposed=True),
        "nas": lambda: y.apart(WIDE, 3, transposed=True, mixed_up=1),
        "nas of TensorFlow": lambda: y.apart(TALL, 52, corners=False, normalised=True, nhwc=True),
        "v8 cut": lambda: y.v8_maps(WIDE, 3, mixed_up=2),
        "v8 cut, with sums": lambda: y.v8_maps(S, 52, sums=True, done=True, nhwc=True),
        "v8 cut, one map a grid": lambda: y.v8_maps(TALL, 2, joined=True, labels=["a", "b"]),
        "rows": lambda: y.yolo_rows(WIDE, 365),
        "rows, few": lambda: y.yolo_rows(TALL, 2, count=100, metadata=U("detect", 2, TALL, end2end="True")),
        "rows seg": lambda: y.yolo_rows(S, 5, extra="seg"),
        "rows pose": lambda: y.yolo_rows(S, 1, extra="pose"),
        "v5": lambda: y.yolov5(WIDE, 2),
        "v5 with P6": lambda: y.yolov5((640, 384), 1, strides=(8, 16, 32, 64)),
        "v5 with maps": lambda: y.yolov5(S, 52, maps=True),
        "v5 seg": lambda: y.yolov5(TALL, 3, seg=True),
        "v5 of TensorFlow": lambda: y.yolov5(S, 3, normalised=True, nhwc=True),
        "v5 maps": lambda: y.anchor_maps("yolov5", WIDE, 3, y.V5, form="anchors", v5=True, head="yolov5", mixed_up=4),
        "v7 maps": lambda: y.anchor_maps("yolov7", S, 1, y.V7, v5=True, done=True, head="yolov7"),
        "v3 maps": lambda: y.anchor_maps("yolov3", TALL, 2, y.V3, form="cells", head="yolov3", mixed_up=2),
        "v4 maps": lambda: y.anchor_maps("yolov4", S, 52, y.V7, scale_xy=(1.2, 1.1, 1.05), head="yolov4"),
        "v3 regions": lambda: y.anchor_maps("yolov3", WIDE, 16, y.V3, region=True, mixed_up=2),
        "v6": lambda: y.yolov6(TALL, 3),
        "yolox raw": lambda: y.yolox(WIDE, 1, raw=True),
        "yolox decoded": lambda: y.yolox(TALL, 52, raw=False),
    }  # fmt: skip


def other_cases() -> Mapping[str, Make]:
    """The same of the other families."""
    y = unseen
    top = {"head": "RTDETRDecoder"}
    return {
        "nanodet": lambda: y.nanodet(WIDE, 3, bins=11, batch=False, mixed_up=3),
        "nanodet, logits": lambda: y.nanodet(S, 52, logits=True, mixed_up=1),
        "nanodet-plus": lambda: y.nanodet(TALL, 28, kind="plus"),
        "picodet": lambda: y.nanodet(WIDE, 1, kind="picodet", mixed_up=5),
        "fastestdet": lambda: y.fastestdet(WIDE, 3),
        "ssd": lambda: y.ssd(4, raw=False, mixed_up=1, named=False),
        "ssd of 4 columns": lambda: y.ssd(3, raw=False, mixed_up=2),
        "ssd raw": lambda: y.ssd(90, raw=True, mixed_up=1),
        "ssd raw, logits": lambda: y.ssd(2, raw=True, softmax=False),
        "detection output": lambda: y.detection_output(WIDE, 7),
        "detr": lambda: y.queries(WIDE, 16, kind="detr", count=100),
        "detr of 3 classes": lambda: y.queries(S, 3, kind="detr", named=False),
        "rt-detr": lambda: y.queries(TALL, 365, mixed_up=0),
        "rt-detr of 4 classes": lambda: y.queries(S, 4, named=False),
        "rt-detr, probabilities": lambda: y.queries(S, 2, done=True, count=900),
        "rf-detr": lambda: y.queries(WIDE, 91, kind="rf-detr"),
        "rt-detr table": lambda: y.queries(S, 2, kind="table"),
        "rt-detr rows": lambda: y.queries(WIDE, 5, kind="top", metadata=ultralytics("detect", 5, WIDE, **top)),
        "boxes and labels": lambda: y.geti(TALL, 3, batch=False),
        "torchvision": lambda: y.torchvision(WIDE, 91),
        "tensorflow": lambda: y.tensorflow(TALL, 90),
        "paddle": lambda: y.paddle(WIDE, 3),
        "efficientdet": lambda: y.efficientdet(S, 3, maps=True),
        "efficientdet tables": lambda: y.efficientdet((384, 256), 90, maps=False),
        "scrfd": lambda: y.scrfd(WIDE, mixed_up=1),
        "scrfd without points": lambda: y.scrfd(TALL, points=False, batch=True),
        "scrfd, logits": lambda: y.scrfd(S, logits=True, mixed_up=2),
        "scrfd of one anchor": lambda: y.scrfd(S, anchors=1),
        "retinaface": lambda: y.retinaface(WIDE, mixed_up=1),
        "retinaface, logits": lambda: y.retinaface(TALL, done=False),
        "ultraface": lambda: y.ultraface(WIDE, raw=False, mixed_up=1),
        "ultraface raw": lambda: y.ultraface(TALL, raw=True),
        "yunet": lambda: y.yunet(WIDE, mixed_up=2),
        "centernet": lambda: y.centernet(TALL, 1, done=True, mixed_up=1),
        "centernet of 2 classes": lambda: y.centernet(S, 3, done=False, mixed_up=2),
        "centerface": lambda: y.centerface(WIDE),
    }  # fmt: skip


CASES = {**yolo_cases(), **other_cases()}


FURTHER = (
    "v8 1 class", "v8 52 classes", "v8 with P2", "v8 in halves", "v8 in signed bytes", "seg transposed",
    "pose transposed", "obb transposed", "nas", "v8 cut", "rows", "v5", "v5 with P6", "v4 maps", "yolox raw", "nanodet",
    "ssd of 4 columns", "ssd raw", "detr of 3 classes", "rt-detr", "rt-detr, probabilities", "scrfd",
    "scrfd of one anchor", "retinaface", "ultraface", "centernet",
)  # fmt: skip
"""Those beside which others differ more from what is published."""


@pytest.mark.parametrize("name", [name for name in CASES if EXHAUSTIVE or name not in FURTHER])
def test_objects_are_found(name: str, tmp_path: Path) -> None:
    """In pictures that are wider, and higher, than the input."""
    case = CASES[name]()
    predictor = opened(case, tmp_path)
    assert predictor.parser.family == case.family
    for height, width in ((240, 320), (480, 360)):
        seen = picture(height, width)
        found = predictor(seen).detections
        assert found is not None
        case.check(found, seen)


@pytest.mark.parametrize(
    "name", ["v8 52 classes", "nas", "v4 maps", "yolox raw", "nanodet", "nanodet-plus", "picodet", "fastestdet",
             "rt-detr table", "centernet"],
)  # fmt: skip
def test_names_of_another_count_are_told(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened(CASES[name](), tmp_path, labels=list("abcdefg"))
    assert "got names for 7 classes and the network has" in caplog.text


GETI = {
    "model_type": "ssd", "mean_values": "123.675 116.28 103.53", "scale_values": "58.395 57.12 57.375",
    "reverse_input_channels": "True", "pad_value": "77", "labels": "no_helmet helmet vest",
}  # fmt: skip


@pytest.mark.parametrize(
    ("said", "resize"),
    [
        ("standard", "stretch"),
        ("fit_to_window", "top-left"),
        ("fit_to_window_letterbox", "letterbox"),
        ("crop", "crop"),
    ],
)
def test_model_info_says_what_pixels_are_wanted(said: str, resize: Any, tmp_path: Path) -> None:
    feed = replace(unseen.IMAGENET, resize=resize, pad=77)
    case = unseen.geti(WIDE, 3, info={**GETI, "resize_type": said}, feed=feed)
    predictor = opened(case, tmp_path)
    for seen in (picture(240, 320), picture(400, 1000)):
        found = predictor(seen).detections
        assert found is not None
        case.check(found, seen)
        assert found.name(int(found.labels.argmin())) == "no_helmet"


@pytest.mark.parametrize(
    ("options", "feed"),
    [
        ({"color": "bgr"}, replace(unseen.ULTRALYTICS, rgb=False)),
        ({"resize": "stretch"}, replace(unseen.ULTRALYTICS, resize="stretch")),
        ({"resize": "letterbox-top-left", "pad": 7}, replace(unseen.ULTRALYTICS, resize="top-left", pad=7)),
        ({"resize": "crop"}, replace(unseen.ULTRALYTICS, resize="crop")),
        ({"mean": (9, 99, 199), "scale": 50}, replace(unseen.ULTRALYTICS, mean=(9, 99, 199), scale=(50,) * 3)),
    ],
)
def test_what_the_user_says_comes_first(options: dict[str, Any], feed: Feed, tmp_path: Path) -> None:
    case = unseen.yolov8(WIDE, 3, metadata=ultralytics("detect", 3, WIDE))
    # The network was made for the usual pixels; other ones are seen as such.
    scale = unseen.ULTRALYTICS.gain / feed.gain
    told = replace(case, feed=feed, chance=lambda logits, seen: unseen.sigmoid(logits + seen * scale))
    seen = picture(301, 400)
    found = opened(case, tmp_path, **options)(seen).detections
    assert found is not None
    told.check(found, seen)


class Part:
    """A part of the frame, mirrored."""

    mirror = True

    def regions(self, width: int, height: int) -> tuple[Region, ...]:
        """One region."""
        return ((0.25, 0.1, 0.5, 0.8),)


@pytest.mark.parametrize("name", ["v8 16 classes transposed", "seg", "pose", "obb"])
def test_what_mirrored_parts_show_lies_where_it_is_in_the_frame(name: str, tmp_path: Path) -> None:
    """What is found in a mirrored part of the frame lies where it is in the frame itself."""
    case = CASES[name]()
    case = replace(case, points=None, corners=None)
    whole = picture(300, 400)
    part = np.ascontiguousarray(whole[:, ::-1][30:270, 100:300])
    found = opened(case, tmp_path, framing=Part())(whole).detections
    boxes, labels, scores = case.expected(part)
    boxes = boxes + np.array([100, 30, 100, 30], np.float32)
    boxes[:, [0, 2]] = 400 - boxes[:, [2, 0]]
    assert found is not None
    match = np.abs(found.boxes[None] - boxes[:, None]).max(2).argmin(1)
    np.testing.assert_allclose(found.boxes[match], boxes, atol=case.px)
    assert found.labels[match].tolist() == labels
    np.testing.assert_allclose(found.scores[match], scores, atol=0.01)


def test_tiles_are_pictures_of_their_own(tmp_path: Path) -> None:
    """Each tile has the network's objects; those that no other tile can see are all found there."""
    case = unseen.yolov8(S, 3)
    predictor = opened(case, tmp_path, tiles="2x1", top=1000)
    seen = picture(256, 460)
    found = predictor(seen).detections
    assert found is not None
    regions = predictor.regions(460, 256)
    assert len(regions) == 2
    for x, _, w, _ in regions:
        left, right = round(x * 460), round((x + w) * 460)
        boxes, _, _ = case.expected(np.ascontiguousarray(seen[:, left:right]))
        boxes = boxes + np.array([left, 0, left, 0], np.float32)
        alone = boxes[(boxes[:, 2] < 200) | (boxes[:, 0] > 260)]
        assert len(alone) >= 2
        assert np.abs(found.boxes[None] - alone[:, None]).max(2).min(1).max() < 0.5


# ---- what the file says against what the outputs show


@pytest.mark.parametrize(
    ("make", "metadata", "family"),
    [
        ({}, ultralytics("segment", 3, S), "yolov8"),
        ({}, ultralytics("pose", 3, S, kpt_shape="[17, 3]"), "yolov8"),
        ({}, ultralytics("obb", 3, S), "yolov8"),
        ({}, ultralytics("classify", 3, S), "yolov8"),
        ({}, ultralytics("detect", 3, S, end2end="True"), "yolov8"),
        ({}, ultralytics("detect", 3, S, head="RTDETRDecoder"), "yolov8"),
        ({"extra": "pose"}, ultralytics("detect", 3, S), "yolov8-pose"),
        ({"extra": "pose"}, ultralytics("pose", 3, S, kpt_shape="[5, 3]"), "yolov8-pose"),
        ({"extra": "pose"}, ultralytics("pose", 3, S, kpt_shape="[1000000000, 3]"), "yolov8-pose"),
        ({"extra": "obb"}, ultralytics("detect", 3, S), "yolov8-obb"),
    ],
)
def test_outputs_count_where_metadata_contradicts_them(
    make: dict[str, Any], metadata: dict[str, str], family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case = unseen.yolov8(S, 3, metadata=metadata, **make)
    predictor = opened(case, tmp_path)
    assert predictor.parser.family == family
    seen = picture(240, 320)
    found = predictor(seen).detections
    assert found is not None
    case.check(found, seen)
    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "metadata.yaml beside it says task" in line


def test_rows_in_parts_of_the_input_are_no_corners_in_px(tmp_path: Path) -> None:
    said = ultralytics("detect", 3, S, head="v10Detect", end2end="True")
    case = unseen.queries(S, 3, kind="top", metadata=said)
    seen = picture(240, 320)
    found = opened(case, tmp_path)(seen).detections
    assert found is not None
    case.check(found, seen)


def test_names_of_another_number_of_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line, and numbers where there is no name."""
    case = unseen.yolov8(S, 3, metadata=ultralytics("detect", 7, S))
    assert opened(case, tmp_path).parser.names == ()
    assert opened(case, tmp_path, labels=["a\x1b[2J"]).parser.names == ("a[2J",)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2
    assert "names 7 classes and the network has 3" in warnings[0]
    assert "got names for 1 classes and the network has 3" in warnings[1]


@pytest.mark.parametrize("head", ["ssd", "yolox", "yolov8-seg", "no-such-head"])
def test_a_head_that_does_not_fit_is_told_what_does(head: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=rf"--head {head} does not fit .* they fit yolov8 "):
        opened(unseen.yolov8(S, 3), tmp_path, head=head)


# ---- near misses


def plain(outputs: Mapping[str, Any], size: Size = S) -> ov.Model:
    """These numbers as the outputs of a network."""
    net = Net(size, Feed())
    return net.model({name: net.fixed(value) for name, value in outputs.items()})


def normal(*shape: int) -> NDArray[np.float32]:
    """Features."""
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 18, 7, 7)], [(1, 255, 8, 8)], [(1, 21, 16, 16)], [(1, 2, 64, 64)], [(1, 1, 256, 256)], [(1, 1280, 1, 1)],
        [(1, 256, 32, 32), (1, 256, 16, 16), (1, 256, 8, 8)], [(1, 75, 32, 32), (1, 75, 16, 16), (1, 75, 8, 8)],
        [(1, 64, 64, 64), (1, 128, 32, 32), (1, 256, 16, 16)], [(1, 2)], [(1, 3)], [(1, 7)], [(1, 136)], [(1, 256)],
        [(1, 1000)], [(1, 1344, 4)], [(1, 1344, 85)], [(1, 85, 1344)], [(1, 1343, 85)], [(1, 300, 6)], [(1, 300, 7)],
        [(1, 1, 100, 7)], [(100, 6)], [(1, 300, 56)], [(1, 197, 768)], [(1, 0, 6)], [(1, 300, 4), (1, 300, 91)],
        [(1, 1917, 4), (1, 1917, 91)], [(1, 3000, 4), (1, 3000, 21)], [(1, 100, 4), (1, 100)], [(100, 5), (100,)],
    ],
)  # fmt: skip
def test_features_are_refused_in_a_line(shapes: list[tuple[int, ...]], tmp_path: Path) -> None:
    path = tmp_path / "features.xml"
    ov.save_model(plain({f"y{i}": normal(*shape) for i, shape in enumerate(shapes)}), path)
    with pytest.raises(UnsupportedError, match=r"^features: its outputs \(.*\)[^\n]*$"):
        open_predictor(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("head", ["yolov8", "yolo-rows", "ssd", "boxes-labels", "classifier"])
def test_numbers_that_are_none(value: float, head: str, tmp_path: Path) -> None:
    """Nothing is found, or the network is refused; and nobody is warned of arithmetic."""
    net = Net((300, 300), Feed())
    spoilt = {
        "yolov8": {"y": net.fixed(np.full((1, 84, 1875), value))},
        "yolo-rows": {"y": net.fixed(np.full((1, 300, 6), value))},
        "ssd": {"a": net.fixed(np.full((1, 3000, 4), value)), "b": net.fixed(np.full((1, 3000, 21), value))},
        "boxes-labels": {"a": net.fixed(np.full((9, 5), value)), "b": op.convert(net.fixed(np.zeros(9)), "i64")},
        "classifier": {"y": op.softmax(net.fixed(np.full((1, 10), value)), 1)},
    }[head]
    path = tmp_path / "spoilt.xml"
    ov.save_model(net.model(spoilt), path)
    try:
        result = open_predictor(path)(picture(60, 90))
    except UnsupportedError:
        return
    if result.detections is not None:
        assert not len(result.detections)
    else:
        assert result.classes is not None
        assert ((result.classes.scores >= 0) & (result.classes.scores <= 1)).all()


# ---- the command line


def test_infer_prints_what_the_predictor_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES["seg"]()
    seen = picture(240, 320)
    cv2.imwrite(str(tmp_path / "seen.png"), seen)
    path = case.save(tmp_path)
    assert main(["infer", str(path), str(tmp_path / "seen.png"), "--parsed", "--json", "--threshold", str(LIMIT)]) == 0
    (printed,) = json.loads(capsys.readouterr().out)
    events = printed["result"]["detections"]
    boxes = np.array([[event[side] for side in ("xmin", "ymin", "xmax", "ymax")] for event in events], np.float32)
    expected, _, _ = case.expected(seen)
    assert len(boxes) == len(expected)
    assert np.abs(boxes[None] - expected[:, None]).max(2).min(1).max() < 0.2
