"""Tensors over the Open Inference Protocol: what a client sends, and what the network itself would have said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from pages import fetched

from memory import peak, reset_peak
from saccade import Model
from saccade.config.commands import ServeConfig
from saccade.networks.network import Port
from saccade.service import tensors
from saccade.service.limits import RefusedError
from saccade.service.serve import MAX_BODY, Server, Service, open_served
from small_networks import classifier, detector

HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "small.xml"
    ov.save_model(classifier(), path, compress_to_fp16=False)
    return path


@contextmanager
def serving(path: Path) -> Iterator[Server]:
    def whole() -> Model:
        return Model(path, precision="f32", batch=1)

    service = Service(open_served(ServeConfig(model=str(path)), precision="f32", threads=1))
    with Server(service, ("127.0.0.1", 0), open_whole=whole) as server:
        yield server


@pytest.fixture(scope="module")
def server(network: Path) -> Iterator[Server]:
    with serving(network) as server:
        yield server


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(1).random((1, 3, 16, 16), np.float32)


def ask(
    server: Server, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    return fetched(server.url + path, body, headers)


def said(server: Server, path: str) -> Any:
    return json.loads(ask(server, path)[2])


def request_of(picture: np.ndarray, **changes: Any) -> dict[str, Any]:
    one = {"name": "data", "datatype": "FP32", "shape": list(picture.shape), "data": picture.ravel().tolist()}
    return {"inputs": [{key: value for key, value in (one | changes).items() if value is not ...}]}


def test_says_what_it_is_and_what_it_takes(server: Server) -> None:
    assert "binary_tensor_data" in said(server, "/v2")["extensions"]
    assert said(server, "/v2/health/live") == {"live": True}
    assert said(server, "/v2/health/ready") == {"ready": True}
    for model in ("/v2/models/small", "/v2/models/small/versions/1"):
        assert said(server, model + "/ready") == {"name": "small", "ready": True}
        described = said(server, model)
        assert described["inputs"] == [{"name": "data", "datatype": "FP32", "shape": [1, 3, 16, 16]}]
        assert described["outputs"] == [{"name": "prob", "datatype": "FP32", "shape": [1, 10]}]
    for path in ("/v2/models/other", "/v2/models/small/versions/2", "/v2/models/small/nothing"):
        status, headers, body = ask(server, path)
        assert (status, headers["Content-Type"]) == (404, "application/json")
        assert json.loads(body)["error"]


def test_every_form_of_data_gives_what_the_network_says(server: Server, network: Path, picture: np.ndarray) -> None:
    expected = Model(network, precision="f32").infer(picture)["prob"]
    url = "/v2/models/small/versions/1/infer"
    for data in (picture.ravel().tolist(), picture.tolist()):
        asked = request_of(picture, data=data) | {"id": "42", "outputs": [{"name": "prob"}]}
        status, _, body = ask(server, url, json.dumps(asked).encode())
        answer = json.loads(body)
        assert (status, answer["id"], answer["model_name"], answer["model_version"]) == (200, "42", "small", "1")
        (output,) = answer["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == ("prob", "FP32", [1, 10])
        np.testing.assert_allclose(output["data"], expected.ravel(), atol=1e-6)
    raw = picture.tobytes()
    asked = request_of(picture, data=..., parameters={"binary_data_size": len(raw)})
    for how in (
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "prob", "parameters": {"binary_data": True}}]},
    ):
        head = json.dumps(asked | how).encode()
        status, headers, body = ask(server, url, head + raw, {HEADER: str(len(head))})
        assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
        length = int(headers[HEADER])
        (output,) = json.loads(body[:length])["outputs"]
        assert output["parameters"] == {"binary_data_size": len(body) - length}
        np.testing.assert_allclose(np.frombuffer(body[length:], "<f4").reshape(1, 10), expected, atol=1e-6)


Spoil = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r["inputs"][0].update(name="picture"), "there is no input \"picture\"; the network has 'data'"),
        (lambda r: r["inputs"][0].update(datatype="FP64"), 'datatype is "FP64"; the network takes FP32'),
        (lambda r: r["inputs"][0].update(shape=[2, 3, 16, 16]), "shape is [2, 3, 16, 16]; the network takes [1, 3, 16"),
        (lambda r: r["inputs"][0].update(shape="1,3,16,16"), 'shape is "1,3,16,16"'),
        (lambda r: r["inputs"][0]["data"].pop(), "data is [767]; expected 768 values, flat or [1, 3, 16, 16]"),
        (lambda r: r["inputs"][0].update(data=[[1], [2, 3]]), "data is nested unevenly"),
        (lambda r: r["inputs"][0].update(data=["x"] * 768), "values that FP32 cannot hold"),
        (lambda r: r["inputs"][0]["data"].__setitem__(3, float("nan")), "NaN is none of its numbers"),
        (lambda r: r["inputs"][0]["data"].__setitem__(3, float("-inf")), "-Infinity is none of its numbers"),
        (lambda r: r["inputs"][0]["data"].__setitem__(3, 1e39), "values that FP32 cannot hold"),
        (lambda r: r["inputs"][0]["data"].__setitem__(3, 10**300), "values that FP32 cannot hold"),
        (lambda r: r["inputs"][0]["shape"].__setitem__(3, 10**300), "the network takes [1, 3, 16"),
        (lambda r: r["inputs"][0].update(data=None), "has no data"),
        (lambda r: r["inputs"][0].update(parameters={"binary_data_size": 4}), "both data and binary_data_size"),
        (lambda r: r["inputs"].append(r["inputs"][0]), "is there twice"),
        (lambda r: r.update(inputs=[]), "input 'data' is missing"),
        (lambda r: r.update(inputs={}), "inputs is {}; expected a list"),
        (lambda r: r.update(outputs=[{"name": "box"}]), "there is no output \"box\"; the network has 'prob'"),
        (lambda r: r.update(parameters={"binary_data_output": 1}), "expected true or false"),
        (lambda r: r.update(outputs=[{"name": "prob", "parameters": {"classification": 3}}]), "classification"),
    ],
)
def test_says_what_is_wrong_with_a_request(server: Server, picture: np.ndarray, spoil: Spoil, message: str) -> None:
    asked = request_of(picture)
    spoil(asked)
    status, _, body = ask(server, "/v2/models/small/infer", json.dumps(asked).encode())
    assert status == 400
    assert message in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("[]," * 8000 + "[]", "8006 values; 4864 are taken"),
        ("[" * 4200 + "1" + "]" * 4200, "4203 lists; 4149 are taken"),
        ('{"a":{"b":' * 2100 + "1" + "}}" * 2100, "4202 objects; 4096 are taken"),
        ('"' + "x" * 311_296 + '"', "bytes of JSON; 311296 are taken"),
    ],
)
def test_json_that_holds_more_than_the_inputs_take_is_not_unpacked(server: Server, data: str, what: str) -> None:
    head = json.dumps(request_of(np.zeros((1, 3, 16, 16)), data=["data"]))
    status, _, body = ask(server, "/v2/models/small/infer", head.replace('"data"]', data + "]").encode())
    assert status == 413
    assert json.loads(body)["error"].endswith(f"{what}; tensors as bytes (binary_data_size) take a quarter of the room")


def test_a_request_takes_memory_by_what_the_inputs_take(server: Server) -> None:
    """A long text among numbers, of which NumPy would give each the length, and a body full of lists."""
    (large,) = (Port("data", (1, 3, 640, 640), np.dtype(np.float32)),)
    text = json.dumps(request_of(np.zeros((1, 3, 16, 16)), data=["x" * 40_000] + [""] * 4000)).encode()
    lists = json.dumps(request_of(np.zeros((1, 3, 640, 640)), data=[[]] * (6 << 20))).encode()
    before = reset_peak()
    assert ask(server, "/v2/models/small/infer", text)[0] == 400
    with pytest.raises(RefusedError, match="values; 1232896 are taken"):
        tensors.read(memoryview(lists), None, [large], [])
    assert peak() - before < 64 << 20


def test_a_large_picture_may_come_as_text() -> None:
    large = Port("data", (1, 3, 640, 640), np.dtype(np.float32))
    picture = np.random.default_rng(1).random(large.shape, np.float32)
    for data in (picture.ravel().tolist(), picture.tolist()):
        body = json.dumps(request_of(picture, data=data)).encode()
        assert len(body) < MAX_BODY
        np.testing.assert_array_equal(tensors.read(memoryview(body), None, [large], []).inputs["data"], picture)


def test_numbers_that_a_type_cannot_hold_are_told_and_others_are_exact() -> None:
    def stored(datatype: str, *values: object) -> list[Any]:
        port = Port("data", (len(values),), tensors.DATATYPES[datatype])
        asked = request_of(np.zeros(len(values)), datatype=datatype, data=values)
        return tensors.read(memoryview(json.dumps(asked).encode()), None, [port], []).inputs["data"].tolist()

    for datatype, *values in (
        ("INT64", 2**63 - 1, -(2**63)), ("UINT64", 2**64 - 1, 0), ("INT8", -128, 127), ("FP64", 0.1, 3), ("BOOL", True),
    ):  # fmt: skip
        assert stored(str(datatype), *values) == values
    for datatype, *values in (
        ("INT64", 2**63), ("UINT8", -1), ("INT8", 128), ("INT32", 1.0), ("FP16", 70_000), ("FP32", 10**400),
        ("BOOL", 1), ("FP32", True), ("FP32", None), ("FP32", "1"), ("FP32", {}),
    ):  # fmt: skip
        with pytest.raises(RefusedError, match=f"values that {datatype} cannot hold"):
            stored(str(datatype), *values)


def test_says_what_is_wrong_with_bytes(server: Server, picture: np.ndarray) -> None:
    def refused(size: int, raw: bytes, length: str = "") -> str:
        head = json.dumps(request_of(picture, data=..., parameters={"binary_data_size": size})).encode()
        url = "/v2/models/small/infer"
        status, _, body = ask(server, url, head + raw, {HEADER: length or str(len(head))})
        assert status == 400
        return str(json.loads(body)["error"])

    raw = picture.tobytes()
    assert "binary_data_size is 3071; FP32 [1, 3, 16, 16] has 3072" in refused(len(raw) - 1, raw)
    assert "3072 bytes are declared and 3071 came" in refused(len(raw), raw[1:])
    assert "2 bytes follow that no input declares" in refused(len(raw), raw + b"..")
    assert "expected the bytes of JSON, at most" in refused(len(raw), raw, "99999")
    assert "not JSON" in refused(len(raw), raw, "7")
    status, _, body = ask(server, "/v2/models/small/infer", b"\x1f\x8b", {"Content-Encoding": "gzip"})
    assert (status, json.loads(body)["error"]) == (415, "content encoding 'gzip' is not known; send the body as it is")


def test_a_detector_answers_with_the_outputs_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ssd.xml"
    ov.save_model(detector(), path, compress_to_fp16=False)
    picture = np.zeros((1, 3, 4, 4), np.float32)
    expected = Model(path, precision="f32").infer(picture)["detection_out"]
    with serving(path) as server:
        (output,) = said(server, "/v2/models/ssd")["outputs"]
        assert output["name"] == "detection_out"
        asked = json.dumps(request_of(picture)).encode()
        (output,) = json.loads(ask(server, "/v2/models/ssd/infer", asked)[2])["outputs"]
    np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), expected, atol=1e-6)


@pytest.mark.parametrize(
    "file",
    [
        "corpus/ir/v5/landmarks-regression-retail-0009-FP32/landmarks-regression-retail-0009.xml",
        "corpus/mxnet/gluon_mobilenet0_25/mobilenet0_25-symbol.json",
        "corpus/caffe/ultraface_rfb320/RFB-320.prototxt",
    ],
)
def test_networks_of_the_former_formats(corpus: Path, file: str) -> None:
    network = Model(corpus / file, precision="f32", batch=1)
    (port,) = network.inputs
    picture = np.random.default_rng(2).random(port.shape, np.float32)
    expected = network.infer(picture)
    with serving(corpus / file) as server:
        url = f"/v2/models/{network.name}"
        assert said(server, url)["inputs"][0]["shape"] == list(port.shape)
        asked = request_of(picture, name=port.name)
        answer = json.loads(ask(server, url + "/infer", json.dumps(asked).encode())[2])
    for output in answer["outputs"]:
        np.testing.assert_allclose(
            np.reshape(output["data"], output["shape"]), expected[output["name"]], rtol=1e-4, atol=1e-5
        )
