"""`openvino.inference_engine` as scripts of 2018 to 2021 use it: names, shapes, precisions, states, by value."""

from __future__ import annotations

import importlib
import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest
import tiny_models
from openvino import opset13 as ops

from saccade import compat, networks
from saccade.errors import ConfigError, ModelError, UnsupportedError


@pytest.fixture
def ie(tmp_path: Path) -> Iterator[Any]:
    compat.install(source="demo:", artifacts=tmp_path, precision="f32")
    yield importlib.import_module("openvino.inference_engine")
    compat.uninstall()
    assert "openvino.inference_engine" not in sys.modules


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    """sum = a + 2 b, and product = a * b, of (1, 3, 4, 5)."""
    a, b = (ops.parameter([1, 3, 4, 5], np.float32, name=name) for name in "ab")
    doubled = ops.multiply(b, np.float32(2))
    doubled.set_friendly_name("doubled")
    total, product = ops.add(a, doubled), ops.multiply(a, b)
    total.set_friendly_name("sum")
    product.set_friendly_name("product")
    ov.save_model(ov.Model([total, product], [a, b], "adder"), str(tmp_path / "adder.xml"), compress_to_fp16=False)
    return tmp_path / "adder.xml"


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {name: rng.random((1, 3, 4, 5), np.float32) for name in "ab"}


def test_read_load_infer(ie: Any, adder: Path) -> None:
    core = ie.IECore()
    net = core.read_network(model=str(adder), weights=str(adder.with_suffix(".bin")))
    assert list(net.inputs) == list(net.input_info) == ["a", "b"]
    assert net.inputs["a"].shape == net.input_info["a"].input_data.shape == [1, 3, 4, 5]
    assert (net.inputs["a"].layout, net.inputs["a"].precision) == ("NCHW", "FP32")
    assert net.input_info["a"].tensor_desc.dims == (1, 3, 4, 5)
    assert list(net.outputs) == ["sum", "product"]
    assert net.outputs["sum"].shape == [1, 3, 4, 5]
    given = arrays()
    exec_net = core.load_network(network=net, device_name="CPU", num_requests=3)
    result = exec_net.infer(inputs=given)
    np.testing.assert_allclose(result["sum"], given["a"] + 2 * given["b"], rtol=1e-6)
    np.testing.assert_allclose(result["product"], given["a"] * given["b"], rtol=1e-6)
    # Results are the caller's own, and an input that is not given again stays.
    before = result["sum"].copy()
    exec_net.infer({"a": np.zeros((3, 4, 5))})
    np.testing.assert_array_equal(result["sum"], before)
    np.testing.assert_allclose(exec_net.requests[0].outputs["sum"], 2 * given["b"], rtol=1e-6)
    assert len(exec_net.requests) == 3
    assert exec_net.get_metric("NETWORK_NAME") == "adder"


@pytest.mark.parametrize("make", ["positional", "keywords", "from_ir", "bytes", "moved"])
def test_ways_to_read(ie: Any, adder: Path, tmp_path: Path, make: str) -> None:
    weights = adder.with_suffix(".bin")
    if make == "moved":
        other = tmp_path / "weights" / "of_another_name.bin"
        other.parent.mkdir()
        weights.rename(other)
        net = ie.IENetwork(model=str(adder), weights=str(other))
    elif make == "bytes":
        net = ie.IECore().read_network(adder.read_bytes(), weights.read_bytes(), init_from_buffer=True)
    elif make == "from_ir":
        net = ie.IENetwork.from_ir(model=str(adder), weights=str(weights))
    elif make == "keywords":
        net = ie.IENetwork(model=str(adder), weights=str(weights))
    else:
        net = ie.IENetwork(str(adder), str(weights))
    plugin = ie.IEPlugin(device="CPU")
    assert plugin.get_supported_layers(net) == set(net.layers)
    given = arrays()
    result = plugin.load(network=net).infer(given)
    np.testing.assert_allclose(result["sum"], given["a"] + 2 * given["b"], rtol=1e-6)


def test_asynchronous_requests(ie: Any, adder: Path) -> None:
    exec_net = ie.IECore().load_network(ie.IENetwork(str(adder)), "CPU", num_requests=2)
    assert exec_net.requests[1].wait(-1) == exec_net.requests[1].wait(0) == -11
    assert exec_net.get_idle_request_id() == 0
    given = arrays()
    request = exec_net.start_async(request_id=1, inputs=given)
    assert request is exec_net.requests[1]
    assert request.wait() == 0
    np.testing.assert_allclose(request.outputs["product"], given["a"] * given["b"], rtol=1e-6)
    assert request.latency > 0
    told: list[Any] = []
    request.set_completion_callback(lambda status, data: told.append((status, data)), "mine")
    request.async_infer({"a": given["b"]})
    assert exec_net.wait() == 0
    assert request.wait(1000) == 0
    np.testing.assert_allclose(request.output_blobs["sum"].buffer, 3 * given["b"], rtol=1e-6)
    assert told == [(0, "mine")]
    request.infer(given)
    assert len(told) == 2
    with pytest.raises(ValueError, match="from 0 on"):
        exec_net.start_async(2, given)


def test_shapes_and_batches(ie: Any, adder: Path) -> None:
    net = ie.IENetwork(str(adder))
    assert net.batch_size == 1
    net.batch_size = 4
    assert net.inputs["a"].shape == [4, 3, 4, 5]
    assert net.outputs["sum"].shape == [4, 3, 4, 5]
    net.reshape({"a": (2, 3, 6, 7), "b": (2, 3, 6, 7)})
    one = np.ones((2, 3, 6, 7))
    assert ie.IECore().load_network(net, "CPU").infer({"a": one, "b": one})["sum"].tolist() == (3 * one).tolist()
    with pytest.raises(ConfigError, match="no input 'c'"):
        net.reshape({"c": (1, 3, 4, 5)})
    with pytest.raises(ModelError, match="cannot take"):
        net.reshape({"a": (1, 3, 5, 5)})
    with pytest.raises(ConfigError, match="batch_size"):
        net.batch_size = 0


def test_precision_and_layout_of_inputs(ie: Any, tmp_path: Path) -> None:
    net = ie.IENetwork(str(tiny_models.picture_to_picture(tmp_path / "invert.xml", size=8)))
    net.inputs["data"].precision = "U8"
    net.inputs["data"].layout = "NHWC"
    assert net.input_info["data"].tensor_desc.dims == (1, 8, 8, 3)
    exec_net = ie.IECore().load_network(net, "CPU")
    picture = np.random.default_rng(1).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    (out,) = exec_net.infer({"data": picture[None] + 0.75}).values()  # whole numbers, as U8 took them
    np.testing.assert_array_equal(out, 255.0 - picture.transpose(2, 0, 1)[None])
    request = exec_net.requests[0]
    request.input_blobs["data"].buffer[:] = 7
    request.infer()
    assert set(request.outputs["Convolution_conv0"].reshape(-1)) == {248.0}
    with pytest.raises(ConfigError, match="precision 'U9'"):
        net.inputs["data"].precision = "U9"


def test_blobs_that_are_resized(ie: Any, tmp_path: Path) -> None:
    net = ie.IENetwork(str(tiny_models.picture_to_picture(tmp_path / "invert.xml", size=8)))
    net.input_info["data"].preprocess_info.resize_algorithm = ie.ResizeAlgorithm.RESIZE_BILINEAR
    request = ie.IECore().load_network(net, "CPU").requests[0]
    blob = ie.Blob(ie.TensorDesc("U8", (1, 3, 30, 20), "NCHW"), np.full((1, 3, 30, 20), 55, np.uint8))
    request.set_blob("data", blob)
    request.infer()
    assert set(request.outputs["Convolution_conv0"].reshape(-1)) == {200.0}


@pytest.mark.parametrize(("name", "way"), [("RESIZE_AREA", cv2.INTER_AREA), ("RESIZE_BILINEAR", cv2.INTER_LINEAR)])
def test_blobs_are_resized_as_was_asked(ie: Any, tmp_path: Path, name: str, way: int) -> None:
    net = ie.IENetwork(str(tiny_models.picture_to_picture(tmp_path / "invert.xml", size=8)))
    net.input_info["data"].preprocess_info.resize_algorithm = ie.ResizeAlgorithm[name]
    request = ie.IECore().load_network(net, "CPU").requests[0]
    picture = np.random.default_rng(1).integers(0, 255, (30, 20, 3)).astype(np.uint8)
    turned = picture.transpose(2, 0, 1)[None]
    request.set_blob("data", ie.Blob(ie.TensorDesc("U8", turned.shape, "NCHW"), turned))
    request.infer()
    wanted = 255.0 - cv2.resize(picture, (8, 8), interpolation=way).transpose(2, 0, 1)[None]
    np.testing.assert_array_equal(request.outputs["Convolution_conv0"], wanted)


def test_outputs_from_within_and_layers(ie: Any, adder: Path) -> None:
    net = ie.IENetwork(str(adder))
    layers = net.layers
    assert {name: layers[name].type for name in ("a", "doubled", "sum")} == {
        "a": "Input", "doubled": "Multiply", "sum": "Add",
    }  # fmt: skip
    assert layers["sum"].parents == ["a", "doubled"]
    assert sorted(layers["b"].children) == ["doubled", "product"]
    assert layers["sum"].shape == layers["sum"].out_data[0].shape == [1, 3, 4, 5]
    net.add_outputs("doubled")
    given = arrays()
    result = ie.IECore().load_network(net, "CPU").infer(given)
    np.testing.assert_allclose(result["doubled"], 2 * given["b"], rtol=1e-6)
    assert set(result) == {"sum", "product", "doubled"}
    with pytest.raises(ConfigError, match="no layer 'x'"):
        net.add_outputs([("x", 0)])


def test_errors_name_what_is_wrong(ie: Any, adder: Path, tmp_path: Path) -> None:
    core = ie.IECore()
    with pytest.raises(ModelError, match="--model gone=PATH"):
        core.read_network("models/gone.xml", "models/gone.bin")
    exec_net = core.load_network(str(adder), "CPU")
    with pytest.raises(ConfigError, match="no input 'data'"):
        exec_net.infer({"data": np.zeros(1)})
    with pytest.raises(ValueError, match=r"input a is .*\(3, 9\); the network takes \(1, 3, 4, 5\)"):
        exec_net.infer({"a": np.zeros((3, 9))})
    with pytest.raises(ConfigError, match="num_requests"):
        core.load_network(str(adder), "CPU", num_requests=-1)
    for refused in (
        lambda: exec_net.requests[0].set_batch(2),
        lambda: core.import_network("x.blob", "MYRIAD"),
        lambda: core.register_plugin("x"),
        lambda: core.get_metric("CPU", "X"),
    ):
        with pytest.raises(UnsupportedError):
            refused()
    assert core.get_metric("CPU", "FULL_DEVICE_NAME")


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("folder", "outputs", "kinds"),
    [
        ("v3/face-detection-retail-0004-FP16", {"detection_out"}, {"Convolution", "DetectionOutput", "Permute"}),
        ("v4/face-detection-retail-0004-FP32", {"detection_out"}, {"Convolution", "DetectionOutput", "Input"}),
        ("v5/landmarks-regression-retail-0009-FP32", {"95"}, {"Convolution", "PReLU", "Activation"}),
        ("v6/head-pose-estimation-adas-0001-FP16", {"angle_y_fc", "angle_p_fc", "angle_r_fc"}, {"FullyConnected"}),
        ("modern/landmarks-regression-retail-0009-FP32", {"95"}, {"Convolution", "Input"}),
    ],
)
def test_ir_of_each_time(ie: Any, corpus: Path, folder: str, outputs: set[str] | None, kinds: set[str]) -> None:
    (file,) = (corpus / "corpus" / "ir" / folder).glob("*.xml")
    net = ie.IENetwork(str(file), str(file.with_suffix(".bin")))
    if outputs is not None:
        assert set(net.outputs) == outputs
    assert kinds <= {layer.type for layer in net.layers.values()}
    (name,) = (n for n, info in net.inputs.items() if len(info.shape) == 4)
    picture = np.random.default_rng(2).integers(0, 255, net.inputs[name].shape).astype(np.float32)
    given = {name: picture}
    result = ie.IECore().load_network(net, "CPU").infer(given)
    direct = networks.Model(file, precision="f32").infer(given)
    for mine, own in zip(result.values(), direct.values(), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, own, rtol=1e-4, atol=1e-4)


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["layers/conv_v2", "v7/emotions-recognition-retail-0003-FP32"])
def test_the_oldest_and_the_last_ir_against_their_own_engine(ie: Any, corpus: Path, tmp_path: Path, name: str) -> None:
    """What Intel's engine of 2020 made of the same files."""
    path = corpus / "corpus" / "ir" / name
    (file,) = path.glob("*.xml") if path.is_dir() else [path.with_suffix(".xml")]
    reference = file.with_suffix(".npz")
    if path.is_dir():
        reference = path / "reference" / "sk_astronaut.npz"
        file = Path(shutil.copy(file, tmp_path))
        runpy.run_path(str(corpus / "tools" / "synthetic_weights.py"))["main"](str(file), str(file.with_suffix(".bin")))
    values = np.load(reference)
    core = ie.IECore()
    network = core.load_network(core.read_network(str(file), str(file.with_suffix(".bin"))), "CPU")
    found = network.infer({key[3:]: values[key] for key in values.files if key.startswith("in:")})
    expected = {key[4:]: values[key] for key in values.files if key.startswith("out:")}
    assert set(found) == set(expected)
    for port, numbers in expected.items():
        np.testing.assert_allclose(found[port], numbers, rtol=1e-4, atol=1e-5)
