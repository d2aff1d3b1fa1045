"""Describing and converting legacy artifacts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from saccade.errors import ConfigError, ModelError
from saccade.formats import legacy_ir
from saccade.formats.convert import convert
from saccade.formats.load import identify

from .running import assert_close, core, infer
from .writer import Net


def ssd(half: bool = True) -> tuple[Net, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    net = Net(version=2, half=half, name="deploy_ssd")
    x = net.input((1, 3, 8, 8), "data")
    shape = {"kernel": (3, 3), "strides": (1, 1), "pads_begin": (1, 1), "dilations": (1, 1), "group": 1}

    def conv(output: int, name: str) -> object:
        blobs = {"weights": rng.standard_normal((output, 3, 3, 3)) * 0.3, "biases": rng.standard_normal(output) * 0.1}
        return net.layer("Convolution", [x], [(1, output, 8, 8)], {**shape, "output": output}, blobs, name)[0]

    loc, conf = conv(4, "Convolution_loc"), conv(2, "Convolution_conf")
    loc = net.layer("Permute", [loc], [(1, 8, 8, 4)], {"order": "0,2,3,1"}, name="Permute_loc")[0]
    conf = net.layer("Permute", [conf], [(1, 8, 8, 2)], {"order": "0,2,3,1"}, name="Permute_conf")[0]
    loc = net.layer("Flatten", [loc], [(1, 256)], {"axis": 1}, name="Flatten_loc")[0]
    conf = net.layer("Reshape", [conf], [(1, 64, 2)], {"dim": "0,-1,2"}, name="Reshape_conf")[0]
    conf = net.layer("SoftMax", [conf], [(1, 64, 2)], {"axis": 2}, name="SoftMax_conf")[0]
    conf = net.layer("Flatten", [conf], [(1, 128)], {"axis": 1}, name="Flatten_conf")[0]
    sizes = {"min_size": 3, "step": 1, "offset": 0.5, "variance": "0.1,0.1,0.2,0.2", "flip": 0, "clip": 0}
    prior = net.layer("PriorBox", [x, x], [(1, 2, 256)], sizes, name="PriorBox_a")[0]
    head = {
        "num_classes": 2, "top_k": 40, "keep_top_k": 20, "nms_threshold": 0.5, "confidence_threshold": 0.01,
        "code_type": "caffe.PriorBoxParameter.CENTER_SIZE", "share_location": 1, "background_label_id": 0,
    }  # fmt: skip
    net.layer("DetectionOutput", [loc, conf, prior], [(1, 1, 20, 7)], head, name="DetectionOutput_detection")
    means = "".join(f'<channel id="{c}"><mean value="{v}"/></channel>' for c, v in enumerate((0.25, 0.5, 0.75)))
    net.tail = f'<pre-process reference-layer-name="data">{means}</pre-process>'
    return net, {"data": rng.random((1, 3, 8, 8), dtype=np.float32)}


@pytest.mark.parametrize(("precision", "stored"), [("f16", ov.Type.f16), ("f32", ov.Type.f32)])
def test_converted_models_keep_names_and_results(precision: str, stored: ov.Type, tmp_path: Path) -> None:
    net, feeds = ssd()
    path = net.write(tmp_path, "deploy")
    target = convert(path, tmp_path / "new" / "folder", precision)  # type: ignore[arg-type]
    assert target == tmp_path / "new" / "folder" / "deploy.xml"
    assert sorted(file.name for file in target.parent.iterdir()) == ["deploy.bin", "deploy.xml"]
    assert identify(target).format == "ir"
    model = core().read_model(target)
    assert [port.any_name for port in model.outputs] == ["DetectionOutput_detection"]
    assert [port.any_name for port in model.inputs] == ["data"]
    assert "Convolution_loc" in {node.friendly_name for node in model.get_ops()}
    big = {
        node.get_element_type()
        for node in model.get_ops()
        if node.get_type_name() == "Constant" and node.data.ndim == 4 and node.data.size > 20
    }
    assert big == {stored}
    assert_close(infer(model, feeds), infer(legacy_ir.read(path), feeds), 1e-6)


def test_half_precision_is_for_weights_only(tmp_path: Path) -> None:
    """Prior boxes rounded to float16 would move detections by parts of a pixel."""
    net, feeds = ssd(half=False)
    path = net.write(tmp_path)
    target = convert(path, tmp_path / "new", "f16")
    prior = next(
        n for n in core().read_model(target).get_ops() if n.get_type_name() == "Constant" and n.data.size == 512
    )
    assert prior.get_element_type() == ov.Type.f32
    assert_close(infer(core().read_model(target), feeds), infer(legacy_ir.read(path), feeds), 2e-3)


def test_conversion_never_overwrites_its_source_or_leaves_halves(tmp_path: Path) -> None:
    net, _ = ssd()
    path = net.write(tmp_path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="overwrite"):
        convert(path, tmp_path)
    assert path.read_bytes() == before
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelError):
        convert(path, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    net.write(tmp_path)
    with pytest.raises(ConfigError, match="cannot write"):
        convert(path, tmp_path / "file")
    with pytest.raises(ConfigError, match="f16 or f32"):
        convert(path, tmp_path / "new", "int4")  # type: ignore[arg-type]


def test_a_description_says_where_a_model_is_from(tmp_path: Path) -> None:
    net, _ = ssd()
    facts = legacy_ir.describe(net.write(tmp_path))
    assert facts["version"] == 2
    assert facts["name"] == "deploy_ssd"
    assert facts["origin"] == "MXNet (converter of 2017)"
    assert "2018 R3" in facts["written_by"]
    assert facts["weights"] == {"fp16": 2 * (6 * 27 + 6)}
    assert facts["labels"] == "from 1 (0 is the background)"
    assert facts["inputs"] == [
        {"name": "data", "shape": [1, 3, 8, 8], "type": "f32", "mean": [0.25, 0.5, 0.75],
         "mean_from": "the file; subtracted inside"}
    ]  # fmt: skip
    assert [row["name"] for row in facts["outputs"]] == ["DetectionOutput_detection"]
    assert facts["layers"]["Convolution"] == 2
    assert facts["unsupported"] == []


def test_description_of_what_cannot_run(tmp_path: Path) -> None:
    net = Net(version=6)
    x = net.input((1, 3), "data")
    net.layer("Mystery", [x], [(1, 3)], name="a")
    net.layer("Riddle", [x], [(1, 3)], name="b")
    net.tail = (
        '<meta_data><MO_version value="2019.2"/><cli_parameters><framework value="tf"/></cli_parameters></meta_data>'
    )
    path = net.write(tmp_path)
    facts = legacy_ir.describe(path)
    assert facts["unsupported"] == ["Mystery", "Riddle"]
    assert facts["origin"] == "TensorFlow"
    assert facts["written_by"] == "2019.2"
    with pytest.raises(ModelError, match=r"Mystery \(a\), Riddle \(b\)"):
        legacy_ir.read(path)
