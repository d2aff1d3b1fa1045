"""`mo.optimize`: what old scripts count on, from small files that the tests write."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

FORMATS = Path(__file__).resolve().parents[1] / "formats"
sys.path[:0] = [str(FORMATS / name) for name in ("mxnet", "caffe", "tensorflow") if str(FORMATS / name) not in sys.path]

import caffe_files  # noqa: E402
import mxnet_files  # noqa: E402
import tensorflow_files  # noqa: E402

from saccade import compat  # noqa: E402
from saccade.compat import mo  # noqa: E402
from saccade.networks import Model  # noqa: E402


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stands for /opt/awscam/artifacts."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    monkeypatch.setattr(mo, "ARTIFACTS", str(folder))
    return folder


def mxnet_model(folder: Path, name: str = "net", value: float = 2.0, size: int = 1) -> Path:
    """A convolution of three channels into two."""
    net = mxnet_files.Net("attr")
    w = np.full((2, 3, size, size), value, np.float32)
    net.op(
        "Convolution", "conv", net.var("data"), net.var("w", w), kernel=f"({size}, {size})", num_filter=2, no_bias=True
    )
    return net.save(folder, name=name)


def caffe_model(folder: Path) -> Path:
    text = (
        'input: "data" input_dim: 10 input_dim: 3 input_dim: 5 input_dim: 5\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }'
    )
    return caffe_files.write(folder, text, {"ip": [np.ones((2, 75)), np.zeros(2)]})


def tensorflow_model(folder: Path, name: str = "frozen_model.pb") -> Path:
    graph = tensorflow_files.Graph()
    graph.op("Relu", "y", graph.placeholder("x", (-1, -1, -1, 3)))
    return graph.save(folder / name)


def conversions(folder: Path) -> dict[str, int]:
    """Inode of each result: a new conversion makes new files."""
    return {path.name: path.stat().st_ino for path in sorted(folder.glob("*.xml"))}


def test_the_old_contract(artifacts: Path) -> None:
    mxnet_model(artifacts)
    result = mo.optimize("net", 8, 6)
    assert type(result) is tuple
    error, path = result
    assert type(error) is int
    assert error is 0 or error == 0  # noqa: F632  scripts compare with `is not 0`
    assert path == str(artifacts / "net.xml")
    model = Model(path, precision="f32")
    assert model.inputs[0].shape == (1, 3, 6, 8)
    x = np.ones((1, 3, 6, 8), np.float32)
    np.testing.assert_allclose(model.infer(x)["conv"], np.full((1, 2, 6, 8), 6.0))


@pytest.mark.parametrize("precision", ["FP16", "FP32"])
def test_both_names_that_scripts_have_hard_coded(precision: str, artifacts: Path) -> None:
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6, "mx", {"--precision": precision})[0] == 0
    for name in ("net", f"mxnet_net_{precision}_FUSED"):
        assert Model(artifacts / f"{name}.xml", precision="f32").inputs[0].shape == (1, 3, 6, 8)
    dtype = {node.get_element_type() for node in ov.Core().read_model(artifacts / "net.xml").get_ops()
             if node.get_type_name() == "Constant"}  # fmt: skip
    assert (ov.Type.f16 in dtype) == (precision == "FP16")


@pytest.mark.parametrize("platform", ["mx", "MX", "mxnet", "mxNet", "MXNet", " mxnet "])
def test_spellings_of_mxnet(platform: str, artifacts: Path) -> None:
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6, platform) == (0, str(artifacts / "net.xml"))


@pytest.mark.parametrize("platform", ["caffe", "Caffe", "CAFFE"])
def test_caffe_takes_the_size_that_is_asked_for_or_its_own(platform: str, artifacts: Path) -> None:
    caffe_model(artifacts)
    error, path = mo.optimize("net", 5, 5, platform)
    assert (error, Model(path, precision="f32").inputs[0].shape) == (0, (1, 3, 5, 5))
    assert sorted(p.name for p in artifacts.glob("*.xml")) == ["net.xml"]
    assert mo.optimize("net", 0, 0, platform)[0] == 0, "0 leaves the size to the model"


@pytest.mark.parametrize("platform", ["tf", "TF", "TensorFlow", "tensorflow"])
def test_tensorflow_takes_the_size_or_the_shape_that_is_asked_for(platform: str, artifacts: Path) -> None:
    tensorflow_model(artifacts)
    error, path = mo.optimize("frozen_model", 84, 48, platform)
    assert (error, Model(path, precision="f32").inputs[0].shape) == (0, (1, 48, 84, 3))
    error, path = mo.optimize("frozen_model", 1, 1, platform, {"--input_shape": "[1,9,7,3]"})
    assert (error, Model(path, precision="f32").inputs[0].shape) == (0, (1, 9, 7, 3))


@pytest.mark.parametrize("platform", ["keras", "", None, 7, "mxnet2"])
def test_unknown_platforms_are_error_1(platform: Any, artifacts: Path) -> None:
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6, platform) == (1, "")


@pytest.mark.parametrize(
    ("name", "width", "height", "aux"),
    [
        ("missing", 8, 6, None), ("", 8, 6, None), (None, 8, 6, None), (3, 8, 6, None), ("net", -1, 6, None),
        ("net", 1025, 6, None), ("net", 8.5, 6, None), ("net", "wide", 6, None), ("net", None, 6, None),
        ("net", 8, float("nan"), None), ("net", 8, 6, "precision"), ("net", 8, 6, {"--precision": "INT4"}),
        ("net", 8, 6, {"--epoch": 3}), ("net", 8, 6, {"--epoch": "x"}), ("net", 8, 6, {"--img-channels": 5}),
        ("net", 8, 6, {"--models-dir": "/proc/nowhere"}), ("net", 8, 6, {"--fuse": "maybe"}), ("\0", 8, 6, None),
        ("net", 8, 6, {"--input_shape": "[1,3]"}), ("net", 8, 6, [("a", 1)]),
    ],
)  # fmt: skip
def test_failures_are_numbers_and_leave_nothing(name: Any, width: Any, height: Any, aux: Any, artifacts: Path) -> None:
    mxnet_model(artifacts)
    before = sorted(os.listdir(artifacts))
    error, path = mo.optimize(name, width, height, "mxnet", aux)
    assert type(error) is int
    assert (error, path) == (2, "")
    assert sorted(os.listdir(artifacts)) == before


@pytest.mark.parametrize("damage", ["symbol", "params", "cut", "other"])
def test_damaged_models_are_one_error_and_leave_nothing(
    damage: str, artifacts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = mxnet_model(artifacts)
    weights = artifacts / "net-0000.params"
    if damage == "symbol":
        path.write_text("{")
    elif damage == "params":
        weights.write_bytes(b"\0" * 100)
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-30])
    else:
        weights.write_bytes(mxnet_files.params_bytes({"arg:v": np.ones(3, np.float32)}))
    before = sorted(os.listdir(artifacts))
    assert mo.optimize("net", 8, 6) == (2, "")
    assert sorted(os.listdir(artifacts)) == before
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "aux",
    [
        {"--precision": "FP32", "--epoch": 7, "--img-format": "RGB", "--img-channels": 3, "--fuse": "YES"},
        {"--precision": "float", "--epoch": "7", "--img_format": "BGR", "--img_channels": "3", "--fuse": "ON"},
        {"precision": "FP32", "epoch": 7, "img_channels": 3},
        {"PRECISION": "fp32", "-epoch": 7},
    ],
)
def test_spellings_of_options(aux: dict[str, Any], artifacts: Path) -> None:
    mxnet_model(artifacts, value=5.0)
    (artifacts / "net-0000.params").rename(artifacts / "net-0007.params")
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6, "mxnet", aux)[0] == 0
    x = np.ones((1, 3, 6, 8), np.float32)
    got = Model(artifacts / "mxnet_net_FP32_FUSED.xml", precision="f32").infer(x)["conv"]
    np.testing.assert_allclose(got, np.full((1, 2, 6, 8), 15.0))


def test_unknown_options_warn(artifacts: Path, caplog: pytest.LogCaptureFixture) -> None:
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6, aux_inputs={"--speed": "fast"})[0] == 0
    assert "'--speed' is not known" in caplog.text


def test_models_and_results_may_lie_in_other_folders(artifacts: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "models", tmp_path / "out" / "deep"
    source.mkdir()
    mxnet_model(source)
    for models in ("--models-dir", "--models_dir"):
        shutil.rmtree(target, ignore_errors=True)
        error, path = mo.optimize("net", 8, 6, "mxnet", {models: str(source), "--output-dir": str(target)})
        assert (error, path) == (0, str(target / "net.xml"))
    assert mo.optimize(str(source / "net"), 8, 6) == (0, str(artifacts / "net.xml"))
    assert mo.optimize(str(source / "net-symbol.json"), 8, 6)[0] == 0


@pytest.mark.parametrize("form", ["--models-dir", "--models_dir", "models_dir", "Models-Dir"])
def test_other_folders_than_the_devices_own(form: str, tmp_path: Path) -> None:
    for name in ("models", "artifacts"):
        (tmp_path / name).mkdir()
    mxnet_model(tmp_path / "models")
    compat.install(artifacts=tmp_path / "artifacts")
    try:
        options = {form: str(tmp_path / "models")}
        assert sys.modules["mo"].optimize("net", 8, 6, "mxnet", options) == (0, str(tmp_path / "artifacts" / "net.xml"))
    finally:
        compat.uninstall()


def test_a_prototxt_elsewhere_is_taken_where_it_is_named(artifacts: Path) -> None:
    path = caffe_model(artifacts)
    path.rename(artifacts / "deploy.prototxt")
    assert mo.optimize("net", 5, 5, "caffe")[0] == 2
    assert mo.optimize("net", 5, 5, "caffe", {"--input_proto": str(artifacts / "deploy.prototxt")})[0] == 0
    assert mo.optimize("net", 5, 5, "caffe", {"--input-proto": "deploy.prototxt"})[0] == 0


def test_text_graphs_are_taken_whether_said_to_be_text_or_not(artifacts: Path) -> None:
    tensorflow_model(artifacts, "other.pb")
    (artifacts / "graph.pbtxt").write_text(
        'node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "shape" value '
        "{ shape { dim { size: 1 } dim { size: 6 } dim { size: 8 } dim { size: 3 } } } } }\n"
        'node { name: "y" op: "Relu" input: "x" attr { key: "T" value { type: DT_FLOAT } } }'
    )
    assert mo.optimize("graph", 8, 6, "tf", {"--input_model_is_text": True})[0] == 0
    assert mo.optimize("graph", 8, 6, "tf")[0] == 0


def test_only_what_has_changed_is_converted_again(artifacts: Path, caplog: pytest.LogCaptureFixture) -> None:
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6)[0] == 0
    first = conversions(artifacts)
    os.utime(artifacts / "net-symbol.json")  # the time of a file is not its content
    assert mo.optimize("net", 8, 6) == (0, str(artifacts / "net.xml"))
    assert conversions(artifacts) == first
    mxnet_model(artifacts, value=4.0)
    assert mo.optimize("net", 8, 6)[0] == 0
    changed = conversions(artifacts)
    assert all(changed[name] != first[name] for name in first)
    x = np.ones((1, 3, 6, 8), np.float32)
    for name in first:
        np.testing.assert_allclose(Model(artifacts / name, precision="f32").infer(x)["conv"][0, 0, 0, 0], 12.0)
    assert mo.optimize("net", 16, 6)[0] == 0
    assert conversions(artifacts) != changed, "another size is another model"


@pytest.mark.parametrize("victim", ["net.bin", "net.xml", "mxnet_net_FP16_FUSED.xml", "mxnet_net_FP16_FUSED.bin"])
@pytest.mark.parametrize("how", ["remove", "overwrite"])
def test_results_that_somebody_changed_are_made_again(victim: str, how: str, artifacts: Path) -> None:
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6)[0] == 0
    (artifacts / victim).unlink()
    if how == "overwrite":
        (artifacts / victim).write_bytes(b"something else")
    assert mo.optimize("net", 8, 6)[0] == 0
    for name in ("net.xml", "mxnet_net_FP16_FUSED.xml"):
        assert Model(artifacts / name, precision="f32")


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"key": 3}', b"[" * 100000])
def test_a_damaged_record_is_no_harm(record: bytes, artifacts: Path) -> None:
    mxnet_model(artifacts)
    (artifacts / ".net.saccade.json").write_bytes(record)
    assert mo.optimize("net", 8, 6)[0] == 0
    assert json.loads((artifacts / ".net.saccade.json").read_bytes())["files"]


def test_nothing_is_left_when_writing_fails(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6)[0] == 0
    good = {path.name: path.read_bytes() for path in artifacts.iterdir()}
    mxnet_model(artifacts, value=9.0)
    good["net-0000.params"] = (artifacts / "net-0000.params").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("No space left on device")

    monkeypatch.setattr(ov, "save_model", full)
    assert mo.optimize("net", 8, 6) == (2, "")
    assert {path.name: path.read_bytes() for path in artifacts.iterdir()} == good


def test_a_folder_that_cannot_be_written(artifacts: Path, tmp_path: Path) -> None:
    mxnet_model(artifacts)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert mo.optimize("net", 8, 6, "mxnet", {"--output-dir": str(blocked / "x")}) == (2, "")


def test_what_the_system_refuses_is_told_in_one_line(artifacts: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    assert mo.optimize("n" * 300, 8, 6, told=told.append) == (2, "")
    assert [line.endswith(": File name too long") for line in told] == [True]
    assert all(record.exc_info is None for record in caplog.records)


def test_without_hard_links(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("the file system has no hard links")

    monkeypatch.setattr(os, "link", refused)
    mxnet_model(artifacts)
    assert mo.optimize("net", 8, 6)[0] == 0
    assert mo.optimize("net", 8, 6)[0] == 0
    assert Model(artifacts / "mxnet_net_FP16_FUSED.xml", precision="f32")


def test_label_base_of_detectors(artifacts: Path) -> None:
    """MXNet's detections count from 0 after conversion, Caffe's from 1."""
    net = mxnet_files.Net()
    data = net.var("data")
    inputs = [net.var(name, values) for name, values in (
        ("loc", np.zeros((1, 8))), ("anchors", [[[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]]]),
    )]  # fmt: skip
    scores = net.op("Reshape", "scores", data, shape="(1, 3, 2)")
    net.op("_contrib_MultiBoxDetection", "detection", scores, *inputs, nms_topk=2)
    net.save(artifacts, name="ssd")
    error, path = mo.optimize("ssd", 2, 1, "mxnet", {"--img-channels": 3, "--precision": "FP32"})
    assert error == 0
    model = Model(path, precision="f32")
    assert model.label_base == 0
    x = np.float32([[[0.1, 0.1]], [[0.8, 0.2]], [[0.1, 0.7]]])[None]
    rows = model.infer(x)["detection"].reshape(-1, 7)
    np.testing.assert_allclose(rows[:2, 1:3], [[0, 0.8], [1, 0.7]], atol=1e-6)
    np.testing.assert_allclose(rows[:2, 3:], [[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]], atol=1e-6)
    (artifacts / "c.prototxt").write_text(
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 2 input_dim: 1\n'
        'layer { name: "p" type: "PriorBox" bottom: "data" bottom: "data" top: "p" prior_box_param { min_size: 1 } }\n'
        'layer { name: "z" type: "Power" bottom: "data" top: "z" power_param { scale: 0 } }\n'
        'layer { name: "c" type: "Concat" bottom: "z" bottom: "z" bottom: "z" top: "zz" }\n'
        'layer { name: "s" type: "Slice" bottom: "zz" top: "l" top: "rest" slice_param { slice_point: 4 } }\n'
        'layer { name: "q" type: "Silence" bottom: "rest" }\n'
        'layer { name: "f" type: "Flatten" bottom: "l" top: "loc" }\n'
        'layer { name: "g" type: "Flatten" bottom: "data" top: "conf" }\n'
        'layer { name: "det" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "p" top: "det"\n'
        "  detection_output_param { num_classes: 3 nms_param { top_k: 4 } keep_top_k: 4 confidence_threshold: 0.1 } }"
    )
    (artifacts / "c.caffemodel").write_bytes(caffe_files.caffemodel({"none": [np.ones(1)]}))
    error, path = mo.optimize("c", 0, 0, "caffe")
    assert error == 0
    assert Model(path, precision="f32").label_base == 1


@pytest.mark.corpus
def test_real_models_run_in_the_pipeline(corpus: Path, artifacts: Path) -> None:
    """The head-pose network of 84x84 and an MXNet SSD, from their files to results about frames."""
    from saccade import Capture, Pipeline, open_source
    from saccade.apps.faces import Faces
    from saccade.apps.head_pose import CentredHeadPose, CentredSquare
    from saccade.predict import open_predictor

    def results(app: Any) -> list[Any]:
        source = open_source(str(corpus / "images"))
        return [result for _, result in Pipeline(Capture(source, policy="every"), app)]

    source = corpus / "corpus"
    shutil.copy(source / "tensorflow/seeded_headpose_like_84/frozen_model.pb", artifacts)
    for path in (source / "mxnet/dl_ssd_resnet50_slim4_512").glob("deploy*"):
        shutil.copy(path, artifacts)
    error, path = mo.optimize("frozen_model", 84, 84, "tf")
    assert error == 0
    model = Model(path, precision="f32")
    with np.load(source / "tensorflow/seeded_headpose_like_84/ref_tf215.npz") as file:
        got = model.infer(file["in:x"])["Softmax"]
        assert np.abs(got - file["out:00:Softmax"]).max() < 2e-3  # weights are stored in FP16
    error, path = mo.optimize("deploy_ssd_resnet50_512", 512, 512, "mx", {"--precision": "FP32"})
    assert error == 0
    detector = Model(path, precision="f32")
    found = results(Faces(open_predictor(detector, threshold=0.02)))
    assert len(found) >= 3
    assert all(len(result.detections) for result in found)
    predictor = open_predictor(model, framing=CentredSquare())
    assert predictor.spec.scale == (255.0, 255.0, 255.0)
    poses = results(CentredHeadPose(predictor))
    assert len(poses) == len(found)
    assert all(result.pose is not None and result.pose.scores.sum() == pytest.approx(1, abs=1e-3) for result in poses)


def overlapping_ssd(folder: Path) -> None:
    """Two boxes of two classes over each other, in a symbol with force_suppress."""
    net = mxnet_files.Net()
    data = net.var("data")
    inputs = [net.var("loc", np.zeros((1, 8))), net.var("anchors", [[[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.51]]])]
    scores = net.op("Reshape", "scores", data, shape="(1, 3, 2)")
    net.op("_contrib_MultiBoxDetection", "detection", scores, *inputs, nms_topk=2, force_suppress=True)
    net.save(folder, name="ssd")


@pytest.mark.parametrize(("aux", "count"), [({}, 2), ({"--force_suppress": "ON"}, 1), ({"--force-suppress": False}, 2)])
def test_suppression_across_classes_is_an_option(aux: dict[str, Any], count: int, artifacts: Path) -> None:
    overlapping_ssd(artifacts)
    error, path = mo.optimize("ssd", 2, 1, "mxnet", {"--precision": "FP32", **aux})
    assert error == 0
    model = Model(path, precision="f32")
    x = np.float32([[[0.1, 0.1]], [[0.8, 0.2]], [[0.1, 0.7]]])[None]
    rows = model.infer(x)["detection"].reshape(-1, 7)
    assert (rows[:, 2] > 0).sum() == count


def test_options_change_the_cached_result(artifacts: Path) -> None:
    overlapping_ssd(artifacts)
    results = []
    for aux in ({}, {"--force_suppress": "ON"}, {"--precision": "FP32"}):
        assert mo.optimize("ssd", 2, 1, "mxnet", aux)[0] == 0
        results.append((artifacts / "ssd.xml").read_bytes())
    assert len(set(results)) == 3


def test_detectors_of_all_kinds_answer_on_the_device_api(artifacts: Path) -> None:
    """Rows that another layer than DetectionOutput makes keep their own labels."""
    from saccade.compat import awscam

    overlapping_ssd(artifacts)
    error, path = mo.optimize("ssd", 2, 1, "mxnet", {"--precision": "FP32", "--force_suppress": "ON"})
    assert error == 0
    model = awscam.Model(path, {"GPU": 0})
    picture = np.float32([[[0.1, 0.8, 0.1], [0.1, 0.2, 0.7]]])
    found = model.parseResult("ssd", model.doInference(picture))["ssd"]
    assert [(entry["label"], round(entry["prob"], 3)) for entry in found] == [(0, 0.8)]
