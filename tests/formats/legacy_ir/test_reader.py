"""What the file says and what the model becomes: names, order, means, precisions, origin."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from saccade.formats import legacy_ir
from saccade.formats.load import Artifact, identify

from .running import infer
from .writer import Net


def chain(version: int = 3, **options: object) -> Net:
    net = Net(version=version, **options)  # type: ignore[arg-type]
    x = net.input((1, 2, 3, 4), "data")
    y = net.layer("ReLU", [x], [(1, 2, 3, 4)], name="act")
    net.layer("Power", y, [(1, 2, 3, 4)], {"power": 1, "scale": 2, "shift": 1}, name="out")
    return net


FEED = {"data": np.random.default_rng(0).standard_normal((1, 2, 3, 4)).astype(np.float32)}
EXPECTED = np.maximum(FEED["data"], 0) * 2 + 1


@pytest.mark.parametrize("version", range(2, 8))
def test_every_version_is_read(version: int, tmp_path: Path) -> None:
    path = chain(version).write(tmp_path)
    assert identify(path) == Artifact(path, "legacy-ir", version)
    assert np.allclose(infer(legacy_ir.read(path), FEED)["out"], EXPECTED)


def test_layers_edges_and_ports_in_any_order(tmp_path: Path) -> None:
    net = chain(2, first_port=17)
    net.layers.reverse()
    net.edges.reverse()
    assert np.allclose(infer(legacy_ir.read(net.write(tmp_path)), FEED)["out"], EXPECTED)


def test_operands_are_ordered_by_port_number(tmp_path: Path) -> None:
    net = Net(version=5)
    a, b = net.input((1, 3), "a"), net.input((1, 3), "b")
    net.layer("Eltwise", [a, b], [(1, 3)], {"operation": "sub"})
    ports = net.layers[2]
    first, second = '<port id="0"><dim>1</dim><dim>3</dim></port>', '<port id="1"><dim>1</dim><dim>3</dim></port>'
    net.layers[2] = ports.replace(first + second, second + first)
    feeds = {"a": np.array([[1, 2, 3]], np.float32), "b": np.array([[5, 5, 5]], np.float32)}
    assert np.array_equal(infer(legacy_ir.read(net.write(tmp_path)), feeds)["L"], [[-4, -3, -2]])


def test_names_of_inputs_outputs_and_inner_layers(tmp_path: Path) -> None:
    net = Net()
    x = net.input((1, 4, 2, 2), "data/with slash")
    parts = net.layer("Slice", [x], [(1, 1, 2, 2), (1, 3, 2, 2)], {"axis": 1}, name="cut")
    net.layer("ReLU", [parts[1]], [(1, 3, 2, 2)], name="act & <more>")
    net.layer("TanH", [parts[1]], [(1, 3, 2, 2)], name="second")
    model = legacy_ir.read(net.write(tmp_path))
    assert [port.any_name for port in model.inputs] == ["data/with slash"]
    assert [port.any_name for port in model.outputs] == ["cut.0", "act & <more>", "second"]
    assert "cut" in {node.friendly_name for node in model.get_ops()}


def test_an_input_may_be_an_output_too(tmp_path: Path) -> None:
    net = chain()
    net.input((1, 5), "unused")
    values = np.arange(5, dtype=np.float32)[None]
    found = infer(legacy_ir.read(net.write(tmp_path)), {**FEED, "unused": values})
    assert set(found) == {"out", "unused"}
    assert np.array_equal(found["unused"], values)


@pytest.mark.parametrize("reference", ["data", ""])
def test_mean_values_are_subtracted_by_channel(reference: str, tmp_path: Path) -> None:
    net = chain()
    named = f' reference-layer-name="{reference}"' if reference else ""
    rows = "".join(f'<channel id="{c}"><mean value="{v}"/></channel>' for c, v in ((1, -2), (0, 0.5)))
    net.tail = f"<pre-process{named}>{rows}</pre-process>"
    shifted = FEED["data"] - np.array([0.5, -2], np.float32)[:, None, None]
    found = infer(legacy_ir.read(net.write(tmp_path)), FEED)["out"]
    assert np.allclose(found, np.maximum(shifted, 0) * 2 + 1)


def test_mean_images_come_from_the_weights(tmp_path: Path) -> None:
    net = chain()
    images = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    start = len(net.weights)
    net.weights += images.tobytes()
    rows = "".join(f'<channel id="{c}"><mean offset="{start + 48 * c}" size="48"/></channel>' for c in (0, 1))
    net.tail = f'<pre-process mean-precision="FP32" reference-layer-name="data">{rows}</pre-process>'
    found = infer(legacy_ir.read(net.write(tmp_path)), FEED)["out"]
    assert np.allclose(found, np.maximum(FEED["data"] - images, 0) * 2 + 1)


def test_a_scale_is_ignored_as_the_engine_did_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    net = chain()
    net.tail = (
        "<pre-process>" + "".join(f'<channel id="{c}"><scale value="2"/></channel>' for c in (0, 1)) + "</pre-process>"
    )
    with caplog.at_level(logging.WARNING):
        found = infer(legacy_ir.read(net.write(tmp_path)), FEED)["out"]
    assert np.allclose(found, EXPECTED)
    assert "scale is ignored" in caplog.text


def test_half_precision_stays_half_in_memory(tmp_path: Path) -> None:
    net = Net(version=2, half=True)
    x = net.input((1, 2, 5, 5), "data")
    weights = np.random.default_rng(0).standard_normal((3, 2, 3, 3)).astype(np.float16)
    shape = {"kernel": (3, 3), "strides": (1, 1), "pads_begin": (0, 0)}
    net.layer("Convolution", [x], [(1, 3, 3, 3)], {**shape, "output": 3}, {"weights": weights})
    model = legacy_ir.read(net.write(tmp_path))
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    assert [node.get_element_type() for node in constants] == [ov.Type.f16]
    assert model.input(0).get_element_type() == model.output(0).get_element_type() == ov.Type.f32


def test_the_precision_of_the_net_is_that_of_layers_without_one(tmp_path: Path) -> None:
    net = Net(version=2, half=True)
    x = net.input((1, 2), "data")
    net.layer("InnerProduct", [x], [(1, 1)], {"out-size": 1}, {"weights": np.array([2.0, 3.0])})
    path = net.write(tmp_path)
    path.write_text(path.read_text().replace(' precision="FP16"', "").replace("<net", '<net precision="FP16"'))
    assert infer(legacy_ir.read(path), {"data": np.array([[1, 10]], np.float32)})["L"] == [[32]]


def test_weights_are_views_of_the_mapped_file(tmp_path: Path) -> None:
    net = Net()
    x = net.input((1, 256), "data")
    weights = np.random.default_rng(0).standard_normal((4096, 256)).astype(np.float32)
    net.layer("FullyConnected", [x], [(1, 4096)], {"out-size": 4096}, {"weights": weights})
    path = net.write(tmp_path)
    model = legacy_ir.read(path)
    constant = next(n for n in model.get_ops() if n.get_type_name() == "Constant" and n.output(0).shape[0] == 4096)
    assert np.array_equal(constant.data, weights)
    row = next(row for row in Path("/proc/self/maps").read_text().splitlines() if row.endswith("net.bin"))
    start, end = (int(part, 16) for part in row.split()[0].split("-"))
    assert start <= constant.data.__array_interface__["data"][0] < end


def test_the_model_outlives_the_file(tmp_path: Path) -> None:
    net = Net()
    x = net.input((1, 4), "data")
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    net.layer("FullyConnected", [x], [(1, 3)], {"out-size": 3}, {"weights": weights})
    path = net.write(tmp_path)
    model = legacy_ir.read(path)
    path.with_suffix(".bin").unlink()
    feed = np.ones((1, 4), np.float32)
    assert np.allclose(infer(model, {"data": feed})["L"], feed @ weights.T)


def test_blobs_may_be_shared_padded_and_out_of_order(tmp_path: Path) -> None:
    net = Net()
    x = net.input((1, 4), "data")
    weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    for name in ("a", "b"):
        net.layer("FullyConnected", [x], [(1, 3)], {"out-size": 3}, {"weights": weights}, name=name)
        net.weights += b"padding!"
    net.layers[1], net.layers[2] = (layer.replace('offset="0"', 'offset="56"') for layer in net.layers[1:])
    found = infer(legacy_ir.read(net.write(tmp_path)), {"data": np.ones((1, 4), np.float32)})
    assert np.array_equal(found["a"], found["b"])


def test_types_are_found_whatever_their_case_and_unknown_parts_are_skipped(tmp_path: Path) -> None:
    net = chain()
    net.layers[1] = net.layers[1].replace('"ReLU"', '"RELU"')
    net.tail = "<quantization><x><y/></x></quantization><meta_data><MO_version value='1'/></meta_data>"
    path = net.write(tmp_path)
    path.write_text(path.read_text().replace("<net", "<Net").replace("</net", "</Net"))
    assert np.allclose(infer(legacy_ir.read(path), FEED)["out"], EXPECTED)


def test_what_the_model_carries(tmp_path: Path) -> None:
    net = Net(version=2)
    priors = net.input((1, 2, 8), "priors")
    loc, conf = net.input((1, 8), "loc"), net.input((1, 4), "conf")
    attributes = {"num_classes": 2, "keep_top_k": 2, "top_k": 2, "nms_threshold": 0.5, "confidence_threshold": 0.1}
    net.layer("DetectionOutput", [loc, conf, priors], [(1, 1, 2, 7)], attributes)
    model = legacy_ir.read(net.write(tmp_path))
    assert model.get_rt_info(["saccade", "source"]).value == "IR v2"
    assert model.get_rt_info(["saccade", "label_base"]).value == "1"


def test_anchors_of_regions(tmp_path: Path) -> None:
    """The layer computes nothing with them: whoever reads boxes out of it does."""
    net = Net(version=5)
    attributes = {"classes": 3, "coords": 4, "num": 6, "do_softmax": 0, "mask": "0,1", "anchors": "10,14,23,27.5"}
    net.layer("RegionYolo", [net.input((1, 16, 3, 3), "data")], [(1, 16, 3, 3)], attributes)
    model = legacy_ir.read(net.write(tmp_path))
    (region,) = (node for node in model.get_ops() if node.get_type_name() == "RegionYolo")
    assert region.get_attributes()["anchors"] == [10, 14, 23, 27.5]
