"""Frozen graphs: names, outputs, 8-bit weights, the Object Detection API, text, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorflow_files import FLOAT, INT32, QINT8, QUINT8, Graph, save_model

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import tensorflow
from saccade.networks import Model
from saccade.predict import open_predictor
from small_networks import field

X = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)


def model(path: Path, shape: tuple[int, ...] | None = None) -> Model:
    return Model(path, precision="f32", input_shapes=shape)


def convolution(graph: Graph, weights: str) -> None:
    strides = field(1, field(3, b"\1\1\1\1"))
    graph.op(
        "Conv2D", "out", graph.placeholder("x", (-1, 4, 4, 3)), weights, strides=strides, padding=field(2, "VALID")
    )


def dequantized(q: np.ndarray, low: float, high: float, mode: str) -> np.ndarray:
    """By TensorFlow's `dequantize_op.cc`."""
    info = np.iinfo(q.dtype)
    steps = info.max - info.min
    x = q.astype(np.float64)
    if mode == "MIN_COMBINED":
        return (x + (128 if q.dtype == np.int8 else 0)) * (high - low) / steps + low
    if mode == "MIN_FIRST":
        scale = (high - low) / steps
        return np.round(low / scale) * scale + (x - info.min) * scale
    least = -127 if mode == "narrow SCALED" else -128
    return x * (max(low / least, high / 127) if q.dtype == np.int8 else high / 255)


@pytest.mark.parametrize("mode", ["MIN_COMBINED", "MIN_FIRST", "SCALED", "narrow SCALED", ""])
@pytest.mark.parametrize(("low", "high"), [(-1.3, 2.1), (-2.2, 1.3)])
@pytest.mark.parametrize("kind", [QUINT8, QINT8])
@pytest.mark.parametrize("form", ["content", "list"])
def test_weights_in_8_bits(mode: str, low: float, high: float, kind: int, form: str, tmp_path: Path) -> None:
    dtype = np.uint8 if kind == QUINT8 else np.int8
    info = np.iinfo(dtype)
    q = np.random.default_rng(1).integers(info.min, info.max, (2, 2, 3, 5), endpoint=True).astype(dtype)
    graph = Graph()
    sources = [graph.const("q", q, kind, form), graph.const("low", low, FLOAT), graph.const("high", high, FLOAT, form)]
    narrow, _, word = mode.rpartition(" ")
    attributes = ({"mode": field(2, word)} if word else {}) | ({"narrow_range": field(5, 1)} if narrow else {})
    weights = graph.node("Dequantize", "w", *sources, T=field(6, kind), **attributes)
    convolution(graph, weights)
    got = model(graph.save(tmp_path / "q.pb")).infer(X)["out"]
    w = dequantized(q, low, high, mode or "MIN_COMBINED")
    windows = np.lib.stride_tricks.sliding_window_view(X, (2, 2), (1, 2))
    np.testing.assert_allclose(got, np.einsum("nhwiab,abio->nhwo", windows, w), rtol=1e-4, atol=1e-4)


def test_quantised_constants_that_others_read_too_stay(tmp_path: Path) -> None:
    graph = Graph()
    low, high = graph.const("low", -1.0), graph.const("high", 1.0)
    q = graph.const("q", np.full((1, 1, 3, 2), 255, np.uint8), QUINT8)
    graph.node("Dequantize", "w", q, low, high, T=field(6, QUINT8))
    convolution(graph, "w")
    graph.op("AddV2", "shifted", "out", high)
    got = model(graph.save(tmp_path / "q.pb")).infer(X)["shifted"]
    np.testing.assert_allclose(got, np.repeat(X.sum(-1, keepdims=True), 2, -1) + 1, rtol=1e-5, atol=1e-5)


def test_8_bit_arithmetic_is_refused_with_the_reason(tmp_path: Path) -> None:
    graph = Graph()
    low, high = graph.const("low", -1.0), graph.const("high", 1.0)
    graph.node("QuantizeV2", "q", graph.placeholder("x", (1, 4)), low, high, T=field(6, QUINT8))
    graph.node("Dequantize", "y", "q:0", "q:1", "q:2", T=field(6, QUINT8))
    with pytest.raises(UnsupportedError, match=r"y \(Dequantize\) computes with 8-bit numbers"):
        tensorflow.read(graph.save(tmp_path / "q.pb"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.const("q", np.zeros(6, np.int32), INT32), "numbers of type 3"),
        (
            lambda g: g.node("Const", "q", value=field(8, field(1, QUINT8) + field(2, field(2, field(1, 1 << 50))))),
            "has 0 numbers",
        ),
        (lambda g: g.node("Const", "q", value=field(8, field(1, QUINT8) + field(4, b"abc"))), "has 3 bytes"),
        (lambda g: g.node("Const", "q"), "has no value"),
        (lambda g: g.const("q", np.zeros(6)), "a range for each channel"),
    ],
)
def test_damaged_quantised_constants(change: object, message: str, tmp_path: Path) -> None:
    graph = Graph()
    change(graph)  # type: ignore[operator]
    graph.const("low", -1.0)
    graph.const("high", 1.0)
    graph.node("Dequantize", "w", "q", "low", "high", T=field(6, QUINT8))
    with pytest.raises(ModelError, match=message):
        tensorflow.read(graph.save(tmp_path / "q.pb"))


@pytest.mark.parametrize("mode", ["NEW", "\xff"])
def test_an_unknown_mode_is_named(mode: str, tmp_path: Path) -> None:
    graph = Graph()
    sources = [graph.const("q", np.zeros(3, np.uint8), QUINT8), graph.const("low", -1.0), graph.const("high", 1.0)]
    graph.node("Dequantize", "w", *sources, T=field(6, QUINT8), mode=field(2, mode))
    with pytest.raises(UnsupportedError, match="has the mode"):
        tensorflow.read(graph.save(tmp_path / "q.pb"))


def test_unknown_operations_are_named(tmp_path: Path) -> None:
    graph = Graph()
    graph.op("FancyThing", "y", graph.placeholder("x", (1, 4)))
    with pytest.raises(UnsupportedError, match="FancyThing"):
        tensorflow.read(graph.save(tmp_path / "u.pb"))


def _detector(folder: Path) -> tuple[Path, np.ndarray]:
    """The four outputs of the Object Detection API, constant but for a term that depends on the picture."""
    boxes = np.float32([[[0.1, 0.2, 0.5, 0.6], [0.3, 0.1, 0.9, 0.4], [0, 0, 0, 0]]])
    graph = Graph()
    x = graph.placeholder("image_tensor", (-1, 8, 8, 3))
    axes = graph.const("axes", [0, 1, 2, 3], INT32)
    mean = graph.op("Mean", "mean", x, axes, Tidx=field(6, INT32), keep_dims=field(5, 0))
    for name, values in (
        ("detection_boxes", boxes), ("detection_scores", [[0.9, 0.4, 0]]), ("detection_classes", [[2, 1, 1]]),
        ("num_detections", [2.0]),
    ):  # fmt: skip
        graph.op("AddV2", name, graph.const(f"{name}_", values), mean)
    graph.op("Neg", "left_over", mean)
    return graph.save(folder / "frozen_inference_graph.pb"), boxes


def test_object_detection_api(tmp_path: Path) -> None:
    path, boxes = _detector(tmp_path)
    detector = model(path)
    assert [(port.name, port.shape) for port in detector.outputs] == [("detection_out", (1, 1, 3, 7))]
    assert detector.label_base == 1
    picture = np.zeros((1, 8, 8, 3), np.float32)
    rows = detector.infer(picture)["detection_out"].reshape(-1, 7)
    np.testing.assert_allclose(rows[:, 0], [0, 0, -1])
    np.testing.assert_allclose(rows[:2, 1:3], [[2, 0.9], [1, 0.4]], atol=1e-6)
    np.testing.assert_allclose(rows[:2, 3:], boxes[0, :2][:, [1, 0, 3, 2]], atol=1e-6)
    predictor = open_predictor(detector, labels=["background", "cat", "dog"], threshold=0.5)
    found = predictor(np.zeros((8, 8, 3), np.uint8)).detections
    assert found is not None
    assert [found.name(i) for i in range(len(found))] == ["dog"]
    np.testing.assert_allclose(found.boxes, [[0.2 * 8, 0.1 * 8, 0.6 * 8, 0.5 * 8]], atol=1e-5)


TEXT = """
node { name: "x" op: "Placeholder"
  attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "shape" value { shape { dim { size: -1 } dim { size: 4 } } } } }
node { name: "p" op: "Softmax" input: "x" attr { key: "T" value { type: DT_FLOAT } }%s }
node { name: "y" op: "Neg" input: "p" attr { key: "T" value { type: DT_FLOAT } } %s }
"""
TYPE = """
  experimental_type { type_id: TFT_PRODUCT args { type_id: TFT_SHAPE_TENSOR args { type_id: TFT_INT32 } } }
"""


@pytest.mark.parametrize("extra", [("", ""), (TYPE, ""), (TYPE, "experimental_type: {}")])
def test_graphs_as_text_are_run(extra: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "graph.pbtxt"
    path.write_text(TEXT % extra)
    network = model(path)
    assert [port.name for port in network.inputs] == ["x"]
    x = np.float32([[1, 2, 3, 4]])
    got = network.infer(x)
    p = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(got["p"], p, rtol=1e-5)  # read on within the graph, and still an output
    np.testing.assert_allclose(got["y"], -p, rtol=1e-5)


@pytest.mark.parametrize(
    "text", ["node {", "node { name: } ", "experimental_type {", "node { experimental_type { { } "]
)
def test_damaged_text_names_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.pbtxt"
    path.write_text(text)
    with pytest.raises(ModelError, match=str(path)):
        model(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05Dequa", field(1, b"\x2a\x02\x0a\x7f") + b"Dequantize",
     b"\xff" * 30,
     field(1, field(2, "Dequantize")), field(1, field(1, "a") + field(2, "Dequantize") + field(3, "a") * 3)],
)  # fmt: skip
def test_damaged_graphs_name_the_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=str(path)):
        tensorflow.read(path)


def test_sizes_left_open_are_asked_for(tmp_path: Path) -> None:
    graph = Graph()
    graph.op("Relu", "y", graph.placeholder("x", (-1, -1, -1, 5)))
    path = graph.save(tmp_path / "open.pb")
    with pytest.raises(ModelError, match="leaves input sizes open"):
        model(path)
    assert model(path, (1, 4, 4, 5)).inputs[0].shape == (1, 4, 4, 5)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    [
        "aizoo_facemask/face_mask_detection",
        "seeded_headpose_like_84/frozen_model",
        "seeded_mobilenet_025_224/mobilenet_025_224",
    ],
)
def test_real_graphs_give_what_tensorflow_gave(name: str, corpus: Path) -> None:
    path = corpus / "corpus" / "tensorflow" / f"{name}.pb"
    with np.load(path.with_name("ref_tf215.npz")) as file:
        (x,) = (file[key] for key in file if key.startswith("in:"))
        outputs = {key.split(":", 2)[2]: file[key] for key in file if key.startswith("out:")}
    got = model(path).infer(x)
    for key, expected in outputs.items():
        assert got[key].shape == expected.shape
        assert np.abs(got[key] - expected).max() / np.abs(expected).max() < 1e-4


def test_a_saved_model(tmp_path: Path) -> None:
    """Given as a folder or as its graph; names are those of its signature, and files in the folder belong to it."""
    graph = Graph()
    weights = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    convolution(graph, graph.const("w", weights))
    folder = save_model(graph, tmp_path / "birds" / "saved_model", {"picture": "x"}, {"map": "out"})
    (folder / "metadata.yaml").write_text("task: detect\nstride: 32\nnames:\n  0: wren\n  1: robin\n")
    for path in (folder, folder / "saved_model.pb"):
        network = model(path)
        assert (network.name, network.inputs[0].name, network.outputs[0].name) == ("birds", "picture", "map")
        np.testing.assert_allclose(network.infer(X)["map"], X @ weights[0, 0], rtol=1e-5)
        assert network.metadata["beside"]["metadata.yaml"]["names"] == {"0": "wren", "1": "robin"}
    (folder / "saved_model.pb").rename(tmp_path / "net.pb")
    with pytest.raises(ModelError, match="is the graph of a TensorFlow SavedModel, which is a folder"):
        model(tmp_path / "net.pb")


def test_a_saved_model_without_its_variables(tmp_path: Path) -> None:
    graph = Graph()
    kind = field(6, FLOAT)
    graph.node("VariableV2", "w", dtype=kind, shape=field(7, b"".join(field(2, field(1, n)) for n in (1, 1, 3, 3))))
    convolution(graph, "w")
    folder = save_model(graph, tmp_path / "birds", {"picture": "x"}, {"map": "out"})
    with pytest.raises(ModelError, match=r"birds.*: its variables are missing \(.*variables.index\); copy the folder"):
        model(folder)
