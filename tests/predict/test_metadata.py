"""What files say of a network: read, put in order, and held against its outputs."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import openvino as ov
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saccade.errors import ConfigError
from saccade.formats.convert import convert
from saccade.formats.metadata import BESIDE, of_model, picture_size
from saccade.networks import Model
from saccade.predict import open_predictor
from saccade.predict.metadata import Metadata
from saccade.predict.metadata_sources import could_have, metadata_of, sources_of
from small_networks import classifier, field, onnx_relu, outputs_only

ULTRALYTICS = {
    "stride": "32",
    "task": "pose",
    "head": "Pose",
    "imgsz": "[320, 416]",
    "names": "{0: 'person', 2: \"traffic 'light'\"}",
    "kpt_shape": "[17, 3]",
    "end2end": "False",
    "args": "{'data': None, 'nms': True, 'dynamic': False}",
}


def onnx(path: Path, properties: dict[str, str], shape: tuple[int | str, ...] = (1, 3, 8, 8)) -> Path:
    """An ONNX file with metadata properties."""
    onnx_relu(path, shape)
    entries = b"".join(field(14, field(1, key) + field(2, value)) for key, value in properties.items())
    path.write_bytes(path.read_bytes() + entries)
    return path


def network(info: dict[str, str] | None = None, *, key: str = "model_info", **shapes: tuple[int, ...]) -> ov.Model:
    """A network of such outputs with `model_info`."""
    model = outputs_only(**shapes) if shapes else classifier(3)
    for name, value in (info or {}).items():
        model.set_rt_info(value, [key, name])
    return model


def saved(folder: Path, model: ov.Model) -> Path:
    ov.save_model(model, folder / "net.xml", compress_to_fp16=False)
    return folder / "net.xml"


def known(metadata: Metadata) -> set[str]:
    return set(metadata.origins)


# ---- inside the file


def test_ultralytics_in_onnx(tmp_path: Path) -> None:
    metadata = metadata_of(Model(onnx(tmp_path / "net.onnx", ULTRALYTICS)))
    assert (metadata.producer, metadata.task, metadata.head) == ("ultralytics", "pose", "Pose")
    assert metadata.names == ("person", "1", "traffic 'light'")
    assert metadata.keypoints == (17, 3)
    assert metadata.size == (320, 416)
    assert metadata.end2end is False
    assert metadata.nms is True
    assert (metadata.mean, metadata.scale) == ((0, 0, 0), (255, 255, 255))
    assert (metadata.color, metadata.resize, metadata.pad) == ("rgb", "letterbox", 114)
    assert set(metadata.origins.values()) == {"the file (its ONNX metadata)"}


@pytest.mark.parametrize(
    ("shape", "points"), [("[5, 2]", (5, 2)), ("[5, 1]", None), ("[5, 4]", None), ("[0, 3]", None)]
)
def test_a_key_point_has_two_or_three_numbers(tmp_path: Path, shape: str, points: tuple[int, int] | None) -> None:
    path = onnx(tmp_path / "net.onnx", ULTRALYTICS | {"kpt_shape": shape})
    assert metadata_of(Model(path)).keypoints == points


@pytest.mark.parametrize(
    ("properties", "resize"),
    [
        ({"task": "classify"}, "crop"),
        ({"task": "detect", "head": "RTDETRDecoder"}, "stretch"),
        ({"task": "detect", "description": "Ultralytics rtdetr-l model trained on coco.yaml"}, "stretch"),
        ({"task": "detect", "head": "Detect"}, "letterbox"),
    ],
)
def test_how_ultralytics_brings_pictures_to_size(tmp_path: Path, properties: dict[str, str], resize: str) -> None:
    path = onnx(tmp_path / "net.onnx", {"names": "['a']", "stride": "32"} | properties)
    assert metadata_of(Model(path)).resize == resize


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"class_names": '["a", "b c"]'}, {"names": ("a", "b c")}),
        ({"character": "text\ntitle, large\n"}, {"names": ("text", "title, large")}),
        ({"classes": "cat, dog"}, {"names": ("cat", "dog")}),
        ({"id2label": '{"0": "cat", "1": "dog"}'}, {"names": ("cat", "dog")}),
        ({"Image.BitmapPixelFormat": "Bgr8"}, {"color": "bgr"}),
        ({"Image.NominalPixelRange": "Normalized_0_1"}, {"scale": (255,) * 3, "mean": (0,) * 3}),
        ({"Image.NominalPixelRange": "Normalized_1_1"}, {"scale": (127.5,) * 3, "mean": (127.5,) * 3}),
        ({"model_info labels": "cat no_dog", "model_info model_type": "ssd"}, {"names": ("cat", "no_dog")}),
        ({"anything": "else"}, {}),
    ],
)
def test_other_properties_of_onnx(tmp_path: Path, properties: dict[str, str], expected: dict[str, Any]) -> None:
    metadata = metadata_of(Model(onnx(tmp_path / "net.onnx", properties)))
    assert {name: getattr(metadata, name) for name in expected} == expected
    assert expected or not known(metadata)


@pytest.mark.parametrize(
    "names",
    [
        "__import__('os').system('true')",
        "{0: ",
        "[" * 5000,
        "{0: 'a'" + "(" * 300,
        "{'a': 'b'}",
        "{99999999: 'a'}",
        "7",
    ],
)
def test_names_that_are_none(tmp_path: Path, names: str) -> None:
    metadata = metadata_of(Model(onnx(tmp_path / "net.onnx", {"names": names, "stride": "32"})))
    assert metadata.names == ()
    assert metadata.color == "rgb"  # the rest holds


def test_model_api_says_all_in_the_file(tmp_path: Path) -> None:
    info = {
        "model_type": "ssd", "labels": "cat dog no_helmet", "mean_values": "123.675 116.28 103.53",
        "scale_values": "58.395,57.12,57.375", "reverse_input_channels": "YES", "resize_type": "fit_to_window",
        "pad_value": "7", "confidence_threshold": "0.6", "iou_threshold": "0.4",
    }  # fmt: skip
    metadata = metadata_of(Model(saved(tmp_path, network(info))))
    assert (metadata.producer, metadata.head, metadata.task) == ("model-api", "ssd", "detect")
    assert metadata.names == ("cat", "dog", "no_helmet")
    assert metadata.mean == (123.675, 116.28, 103.53)
    assert metadata.scale == (58.395, 57.12, 57.375)
    assert (metadata.color, metadata.resize, metadata.pad) == ("rgb", "letterbox-top-left", 7)
    assert (metadata.score, metadata.iou) == (0.6, 0.4)
    assert metadata.origins["iou"] == "the file (Model API)"


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"resize_type": "standard"}, {"resize": "stretch"}),
        ({"resize_type": "fit_to_window_letterbox"}, {"resize": "letterbox"}),
        ({"resize_type": "crop"}, {"resize": "crop"}),
        ({"resize_type": "sideways"}, {"resize": ""}),
        ({"reverse_input_channels": "False"}, {"color": "bgr"}),
        ({"scale_values": "255"}, {"scale": (255,) * 3, "mean": (0,) * 3}),
        ({"mean_values": "1 2"}, {"mean": None, "scale": None}),
        ({"scale_values": "0"}, {"scale": None}),
        ({"confidence_threshold": "7"}, {"score": None}),
        ({"label_info": '{"label_names": ["no helmet", "x"]}', "labels": "no_helmet x"}, {"names": ("no helmet", "x")}),
        ({"model_type": "YOLO", "pad_value": "114"}, {"producer": "ultralytics", "head": "", "task": ""}),
        ({"model_type": "Segmentation"}, {"task": "semantic"}),
        ({"model_type": "yolov8"}, {"task": "detect", "head": "yolov8"}),
    ],
)
def test_values_of_model_api(info: dict[str, str], expected: dict[str, Any]) -> None:
    metadata = metadata_of(Model(network(info)))
    assert {name: getattr(metadata, name) for name in expected} == expected


def test_what_is_embedded_is_not_repeated() -> None:
    info = {
        "embedded_processing": "True", "mean_values": "100", "scale_values": "50", "reverse_input_channels": "True",
        "resize_type": "fit_to_window_letterbox", "orig_width": "20", "orig_height": "10", "model_type": "ssd",
    }  # fmt: skip
    metadata = metadata_of(Model(network(info)))
    assert metadata.embedded is True
    assert (metadata.mean, metadata.scale, metadata.color) == ((0,) * 3, (1,) * 3, "bgr")
    assert metadata.size == (10, 20)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scale_values": "data[255.0]", "reverse_input_channels": "True"},
         {"mean": (0,) * 3, "scale": (1,) * 3, "color": "bgr"}),
        ({"mean_values": "()", "scale_values": "()", "reverse_input_channels": "False"}, {"mean": None, "color": ""}),
        ({"scale": "1", "mean_values": "data[0,0,0]"}, {"mean": None}),
    ],
)  # fmt: skip
def test_what_model_optimizer_built_in_is_not_repeated(options: dict[str, str], expected: dict[str, Any]) -> None:
    metadata = metadata_of(Model(network(options, key="conversion_parameters")))
    assert {name: getattr(metadata, name) for name in expected} == expected


def test_metadata_goes_with_a_converted_model(tmp_path: Path) -> None:
    source = onnx(tmp_path / "net.onnx", ULTRALYTICS)
    target = convert(source, tmp_path / "converted")
    assert metadata_of(Model(target)) == metadata_of(Model(source))


@pytest.mark.parametrize("kept", ["[]", "7", '{"onnx": 7}', '{"beside": {"net.cfg": [7]}}', "{", '{"beside": []}'])
def test_damaged_metadata_in_a_converted_model(kept: str) -> None:
    model = classifier(3)
    model.set_rt_info(kept, ["saccade", "metadata"])
    assert of_model(model) == {}


# ---- beside the file

YAML = "task: detect\nhead: Detect\nstride: 32\nimgsz:\n- 16\n- 16\nnames:\n  0: a\n  1: no b\n  2: c\n"


def test_names_of_metadata_yaml_are_truer(tmp_path: Path) -> None:
    info = {"model_type": "YOLO", "labels": "a no_b c", "pad_value": "114", "iou_threshold": "0.7"}
    path = saved(tmp_path, network(info))
    (tmp_path / "metadata.yaml").write_text(YAML)
    metadata = metadata_of(Model(path))
    assert metadata.names == ("a", "no b", "c")
    assert metadata.origins["names"] == "metadata.yaml beside it"
    assert (metadata.head, metadata.iou) == ("Detect", 0.7)
    assert metadata.origins["iou"] == "the file (Model API)"


def test_metadata_yaml_of_another_network_is_weaker(tmp_path: Path) -> None:
    path = saved(tmp_path, network({"model_type": "YOLO", "labels": "a b c d", "pad_value": "114"}))
    (tmp_path / "metadata.yaml").write_text(YAML)
    assert metadata_of(Model(path)).names == ("a", "b", "c", "d")
    onnx(tmp_path / "other.onnx", ULTRALYTICS)
    assert metadata_of(Model(tmp_path / "other.onnx")).task == "pose"


def test_names_in_yaml_are_texts(tmp_path: Path) -> None:
    path = saved(tmp_path, classifier(4))
    (tmp_path / "metadata.yaml").write_text("task: classify\nnames: {0: no, 1: 1e3, 2: 2026-11-27, 3: null}\n")
    metadata = metadata_of(Model(path))
    assert metadata.names == ("no", "1e3", "2026-11-27", "null")
    assert metadata.resize == "crop"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [BOMB, "names: " + "[" * 200, "names: [", "\x00", "names: !!python/object/apply:os.abort []", "- a\n- b",
     "names: {0: x}\n" + "#" * (2 << 20)],
    ids=["bomb", "deep", "cut", "nul", "python", "list", "large"],
)  # fmt: skip
def test_hostile_yaml_is_passed_over(tmp_path: Path, text: str) -> None:
    path = saved(tmp_path, classifier(3))
    (tmp_path / "metadata.yaml").write_text(text)
    model = Model(path)
    assert metadata_of(model).names == ()
    assert len(json.dumps(dict(model.metadata))) < 10_000


def test_hugging_face_says_it_in_files_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    path = onnx(tmp_path / "onnx" / "model.onnx", {}, (1, 3, 8, 8))
    config = {"architectures": ["RTDetrForObjectDetection"], "id2label": {"0": "person", "2": "car"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    processor = {
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225], "size": {"height": 640, "width": 480},
    }  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    metadata = metadata_of(Model(path))
    assert (metadata.task, metadata.head) == ("detect", "RTDetrForObjectDetection")
    assert metadata.names == ("person", "1", "car")
    assert metadata.size == (640, 480)
    assert (metadata.resize, metadata.color) == ("stretch", "rgb")
    assert metadata.mean is not None
    assert metadata.scale is not None
    np.testing.assert_allclose(metadata.mean, [123.675, 116.28, 103.53])
    np.testing.assert_allclose(metadata.scale, [58.395, 57.12, 57.375])
    assert metadata.origins["names"] == "config.json beside it"
    processor["do_normalize"] = False
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    plain = metadata_of(Model(path))
    assert plain.mean == (0, 0, 0)
    assert all(math.isclose(scale, 255) for scale in plain.scale or ())


def test_placeholders_are_no_names(tmp_path: Path) -> None:
    path = saved(tmp_path, classifier(2))
    (tmp_path / "config.json").write_text('{"architectures": ["X"], "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}')
    assert metadata_of(Model(path)).names == ()


def test_paddles_detectors_say_it_in_infer_cfg(tmp_path: Path) -> None:
    path = onnx(tmp_path / "net.onnx", {})
    (tmp_path / "infer_cfg.yml").write_text(
        "arch: PicoDet\ndraw_threshold: 0.5\nPreprocess:\n"
        "- interp: 2\n  keep_ratio: false\n  target_size: [320, 416]\n  type: Resize\n"
        "- is_scale: true\n  mean: [0.485, 0.456, 0.406]\n  std: [0.229, 0.224, 0.225]\n  type: NormalizeImage\n"
        "- type: Permute\nlabel_list: [person, 'off']\nNMS: {nms_threshold: 0.6}\n"
    )
    metadata = metadata_of(Model(path))
    assert (metadata.producer, metadata.head, metadata.names) == ("paddle", "PicoDet", ("person", "off"))
    assert (metadata.size, metadata.resize, metadata.color) == ((320, 416), "stretch", "rgb")
    assert (metadata.score, metadata.iou) == (0.5, 0.6)
    assert metadata.mean is not None
    np.testing.assert_allclose(metadata.mean, [123.675, 116.28, 103.53])


def test_paddles_classifiers_say_it_in_inference_yml(tmp_path: Path) -> None:
    path = onnx(tmp_path / "net.onnx", {})
    (tmp_path / "inference.yml").write_text(
        "PreProcess:\n  transform_ops:\n  - ResizeImage: {resize_short: 256}\n  - CropImage: {size: 224}\n"
        "  - NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], order: ''}\n"
        "PostProcess:\n  Topk: {topk: 5, label_list: [cat, dog]}\n"
    )
    metadata = metadata_of(Model(path))
    assert (metadata.task, metadata.resize, metadata.names) == ("classify", "crop", ("cat", "dog"))
    assert metadata.mean is not None
    np.testing.assert_allclose([*metadata.mean, *(metadata.scale or ())], [127.5] * 6)


def test_darknet_says_it_in_cfg_and_names(tmp_path: Path) -> None:
    path = onnx(tmp_path / "tiny.onnx", {})
    (tmp_path / "tiny.cfg").write_text(
        "[net]\n# comment\nwidth=416\nheight=256\n[convolutional]\nfilters=255\n"
        "[yolo]\nmask = 3,4,5\nanchors = 10,14, 23,27, 37,58, 81,82, 135,169, 344,319\nclasses=2\nscale_x_y=1.05\n"
        "[yolo]\nmask = 0,1,2\nanchors = 10,14,  23,27,  37,58,  81,82,  135,169,  344,319\nclasses=2\n"
    )
    (tmp_path / "tiny.names").write_text("cat\ndog\n")
    metadata = metadata_of(Model(path))
    assert metadata.anchors[0] == (10, 14)
    assert metadata.anchors[-1] == (344, 319)
    assert metadata.anchor_masks == ((3, 4, 5), (0, 1, 2))
    assert metadata.scale_xy == (1.05, 1.0)
    assert metadata.size == (256, 416)
    assert metadata.origins["anchors"] == "tiny.cfg beside it"
    (tmp_path / "tiny.cfg").write_text("[net]\n[region]\nanchors = 1,2,3,4\nclasses=2\n")
    assert metadata_of(Model(path)).anchors == ((32, 64), (96, 128))


@pytest.mark.parametrize("name", ["net.labels", "net.txt", "net.names", "labels.txt", "classes.names", "labelmap.txt"])
def test_lists_of_names_beside(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, classifier(3))
    (tmp_path / name).write_text("cat\ndog\nbird\n")
    predictor = open_predictor(path)
    assert predictor.parser.names == ("cat", "dog", "bird")
    assert predictor.understanding is not None
    assert predictor.understanding.values["labels"].origin == f"{name} beside it"


def test_a_list_of_another_length_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = saved(tmp_path, classifier(3))
    (tmp_path / "net.txt").write_text("This is a network.\nIt has a licence.\nIt is free.\nUse it.\nEnjoy.\n" * 3)
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    with caplog.at_level(logging.WARNING, "saccade"):
        predictor = open_predictor(path)
    assert predictor.parser.names == ("cat", "dog", "bird")
    assert "net.txt has 15 names" in caplog.text


# ---- precedence


def test_each_value_by_itself(tmp_path: Path) -> None:
    info = {"labels": "a b c", "mean_values": "1 2 3", "scale_values": "4", "reverse_input_channels": "True"}
    path = saved(tmp_path, network(info))
    (tmp_path / "net.labels").write_text("x\ny\nz\n")
    predictor = open_predictor(path, labels=("k", "l", "m"), scale=9)
    assert predictor.understanding is not None
    values = predictor.understanding.values
    assert predictor.parser.names == ("k", "l", "m")
    assert predictor.spec.mean == (1, 2, 3)
    assert predictor.spec.scale == (9, 9, 9)
    assert predictor.spec.swap_rb
    assert {name: values[name].origin for name in ("labels", "scale", "mean", "color", "resize")} == {
        "labels": "an option", "scale": "an option", "mean": "the file (Model API)", "color": "the file (Model API)",
        "resize": "nobody says so: the usual",
    }  # fmt: skip
    assert open_predictor(path).parser.names == ("a", "b", "c")


def test_names_that_contradict_the_outputs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = saved(tmp_path, network({"labels": "a b c d e"}))
    (tmp_path / "net.labels").write_text("x\ny\nz\n")
    with caplog.at_level(logging.WARNING, "saccade"):
        predictor = open_predictor(path)
    assert predictor.parser.names == ("x", "y", "z")
    assert "names 5 classes and the network has 3" in caplog.text
    assert predictor.understanding is not None
    assert predictor.understanding.values["labels"].origin == "net.labels beside it"


def test_a_users_names_go_as_far_as_they_do(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "saccade"):
        predictor = open_predictor(Model(classifier(3)), labels=("a", "b"))
    assert predictor.parser.names == ("a", "b")
    assert "got names for 2 classes and the network has 3" in caplog.text


def test_a_task_that_contradicts_the_outputs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = saved(tmp_path, classifier(3))
    (tmp_path / "metadata.yaml").write_text(YAML)
    with caplog.at_level(logging.WARNING, "saccade"):
        assert open_predictor(path).task == "classify"
    assert "metadata.yaml beside it says that it is for the task detect" in caplog.text


def test_a_server_says_nothing_twice() -> None:
    model = Model(classifier(3))
    assert sources_of(model) == []
    assert metadata_of(model) == Metadata()


@pytest.mark.parametrize(
    ("shapes", "classes", "fits"),
    [
        ({"a": (1, 84, 2100)}, 80, True), ({"a": (1, 84, 2100)}, 79, True), ({"a": (1, 84, 2100)}, 20, False),
        ({"a": (1, 75, 10, 10)}, 20, True), ({"a": (1, 6300, 25)}, 20, True), ({"a": (1, 300, 6)}, 999, True),
        ({"b": (1, 10, 4), "c": (1, 10), "s": (1, 10)}, 90, True), ({"b": (1, 100, 4), "l": (1, 100, 92)}, 91, True),
        ({"a": (1, 10)}, 11, True), ({"a": (1, 10)}, 13, False),
    ],
)  # fmt: skip
def test_counts_that_could_be(shapes: dict[str, tuple[int, ...]], classes: int, fits: bool) -> None:
    assert could_have(Model(outputs_only(**shapes)), classes) == fits


# ---- sizes


def test_a_size_that_the_metadata_states(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = onnx(tmp_path / "net.onnx", ULTRALYTICS, ("n", 3, "h", "w"))
    with caplog.at_level(logging.INFO, "saccade"):
        assert Model(path).inputs[0].shape == (1, 3, 320, 416)
    assert "it takes 1,3,320,416, its metadata's" in caplog.text
    assert Model(path, input_shapes=(64, 96)).inputs[0].shape == (1, 3, 64, 96)


def batched(count: int, reshape: list[int] | None = None) -> ov.Model:
    import openvino.opset15 as op

    x = op.parameter([count, 3, 8, 8], np.float32, name="image")
    y = op.softmax(op.reduce_mean(x, op.constant(np.array([2, 3])), False), 1)
    if reshape:
        y = op.reshape(y, op.constant(np.array(reshape)), False)
    return ov.Model([y], [x], "batched")


@pytest.mark.parametrize("source", [lambda p: saved(p, batched(4)), lambda p: saved(p, batched(4, [-1, 3]))])
def test_one_picture_of_a_batch(tmp_path: Path, source: Callable[[Path], Path]) -> None:
    path = source(tmp_path)
    predictor = open_predictor(path)
    assert predictor.network.inputs[0].shape == (1, 3, 8, 8)
    picture = np.full((8, 8, 3), 90, np.uint8)
    classes = predictor(picture).classes
    assert classes is not None
    np.testing.assert_allclose(classes.scores, [1 / 3] * 3, atol=1e-3)
    assert Model(path).inputs[0].shape == (4, 3, 8, 8)


def test_a_batch_that_the_graph_fixes(tmp_path: Path) -> None:
    from saccade.errors import ModelError

    path = saved(tmp_path, batched(4, [4, -1]))
    with pytest.raises(ModelError, match=r"takes 4 pictures at a time and cannot take one"):
        open_predictor(path)
    with pytest.raises(ConfigError, match=r"--input-shape .*:1,3,8,8"):
        open_predictor(Model(path))


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("rtdetr_ultralytics_topk/rtdetr.onnx", {"head": "RTDETRDecoder", "resize": "stretch", "classes": 80}),
        ("yolo26_e2e/yolo26_e2e.onnx", {"head": "Detect", "end2end": True, "classes": 80}),
        ("yolov10_e2e/yolov10_e2e.onnx", {"head": "v10Detect", "end2end": True, "classes": 80}),
        ("yolo11_obb/yolo11_obb.onnx", {"head": "OBB", "task": "obb", "classes": 15}),
        ("yolov8_pose/yolov8_pose.onnx", {"task": "pose", "keypoints": (17, 3), "classes": 1}),
        ("yolov5_obj/yolov5_obj.onnx", {"producer": "ultralytics", "scale": (255,) * 3, "classes": 20}),
        ("yolo11_det_nc4/yolo11_det_nc4.xml", {"head": "Detect", "iou": 0.7, "classes": 4}),
        ("modelapi_boxes_labels/modelapi_boxes_labels.xml", {"head": "ssd", "score": 0.6, "classes": 3}),
    ],
)
def test_real_models_say_what_they_are(corpus: Path, model: str, expected: dict[str, Any]) -> None:
    metadata = metadata_of(Model(corpus / "corpus" / "heads" / model))
    assert {n: len(metadata.names) if n == "classes" else getattr(metadata, n) for n in expected} == expected


@pytest.mark.corpus
def test_an_old_ir_says_what_was_built_in(corpus: Path) -> None:
    folder = corpus / "corpus" / "ir" / "v5" / "landmarks-regression-retail-0009-FP32"
    metadata = metadata_of(Model(next(folder.glob("*.xml"))))
    assert set(metadata.origins.values()) <= {"the file (built in by Model Optimizer)"}
    assert metadata.color == "bgr"
    assert metadata.scale == (1, 1, 1)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=12)
    | st.sampled_from(["1 2 3", "[1, 2, 3]", "{0: 'a'}", "1/0", "True", "nan", "1e999", "[" * 50, "(1,", "a[1,2]"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip

KEYS = [
    "task", "head", "names", "stride", "imgsz", "kpt_shape", "end2end", "args", "description", "model_type", "labels",
    "mean_values", "scale_values", "reverse_input_channels", "resize_type", "pad_value", "confidence_threshold",
    "iou_threshold", "embedded_processing", "orig_width", "orig_height", "label_info", "label_ids", "mean", "std",
    "color_space", "score_threshold", "Image.BitmapPixelFormat", "Image.NominalPixelRange", "class_names", "scale",
    "architectures", "id2label", "pretrained_cfg", "do_rescale", "rescale_factor", "do_normalize", "image_mean",
    "image_std", "size", "crop_size", "do_center_crop", "Preprocess", "PreProcess", "PostProcess", "label_list", "NMS",
    "arch", "draw_threshold", "section", "anchors", "mask", "scale_x_y", "width", "height",
]  # fmt: skip


class Silent:
    """As much of a network as is read here."""

    name = "silent"
    path = None
    outputs = ()

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["ultralytics", "model_info", "onnx", "tflite", "model_optimizer", *BESIDE, "net.cfg"]),
    st.dictionaries(st.sampled_from(KEYS), JUNK, max_size=8),
)
def test_any_values_give_sound_facts(origin: str, values: dict[str, Any]) -> None:
    told: Any = [{"section": "net"}, {"section": "yolo"} | values] if origin == "net.cfg" else values
    raw = {"beside": {origin: told}} if origin in (*BESIDE, "net.cfg") else {origin: told}
    picture_size(raw)
    metadata = metadata_of(cast(Any, Silent(raw)))
    for triple in (metadata.mean, metadata.scale):
        assert triple is None or (len(triple) == 3 and all(map(math.isfinite, triple)))
    assert metadata.scale is None or all(metadata.scale)
    assert metadata.resize in ("", "stretch", "letterbox", "letterbox-top-left", "crop")
    assert metadata.color in ("", "rgb", "bgr")
    assert metadata.score is None or 0 <= metadata.score <= 1
    assert metadata.pad is None or 0 <= metadata.pad <= 255
    assert metadata.size is None or min(metadata.size) > 0
    assert all(isinstance(name, str) and name.isprintable() for name in metadata.names if name.isascii())
    assert set(metadata.origins) == {
        field.name for field in fields(metadata)
        if field.name != "origins" and getattr(metadata, field.name) not in (None, "", ())
    }  # fmt: skip
