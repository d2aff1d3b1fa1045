"""Real symbols against what MXNet 1.9.1 computed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from mxnet_files import run

from saccade.formats import layers, mxnet
from saccade.formats.mxnet.graph import LAYERS, GraphBuilder, Layer, Options
from saccade.formats.mxnet.symbol import Node, Symbol
from saccade.networks import Model

pytestmark = pytest.mark.corpus

MODELS = [
    "aizoo_facemask/face_mask_detection", "gluon_mobilenet0_25/mobilenet0_25",
    "gluon_mobilenetv2_0_25/mobilenetv2_0_25", "gluon_squeezenet1_1/squeezenet1_1", "mtcnn_det1/det1",
]  # fmt: skip


def reference(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and outputs by name."""
    with np.load(path) as file:
        inputs = {key[3:]: file[key] for key in file if key.startswith("in:")}
        outputs = {key.split(":", 2)[2].removesuffix("_output"): file[key] for key in file if key.startswith("out:")}
    return inputs, outputs


def relative(got: np.ndarray, expected: np.ndarray) -> float:
    assert got.shape == expected.shape
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def with_outputs(model: ov.Model, names: Iterable[str]) -> ov.Model:
    """More of the network's layers as outputs."""
    present = {port.any_name for port in model.outputs}
    for node in model.get_ordered_ops():
        if node.get_friendly_name() in set(names) - present and node.get_type_name() != "Result":
            model.add_outputs(node.output(0))[0].get_tensor().set_names({node.get_friendly_name()})
    return model


def rows(detections: np.ndarray) -> np.ndarray:
    """Label, score and box of what a DetectionOutput lists."""
    table = detections.reshape(-1, 7)
    ends = np.flatnonzero(table[:, 0] < 0)
    return table[: ends[0], 1:] if len(ends) else table[:, 1:]


def assert_same_set(got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert len(got) == len(expected)
    left = list(expected)
    for row in got:
        distances = [np.abs(row - other).max() for other in left]
        nearest = int(np.argmin(distances))
        assert distances[nearest] <= tolerance
        left.pop(nearest)


@pytest.mark.parametrize("name", MODELS)
def test_whole_models_give_what_mxnet_gave(name: str, corpus: Path) -> None:
    path = corpus / "corpus" / "mxnet" / f"{name}-symbol.json"
    inputs, outputs = reference(path.with_name("ref_mxnet191.npz"))
    model = Model(path, precision="f32", input_shapes={key: value.shape for key, value in inputs.items()})
    got = model.infer(inputs)
    assert set(got) == set(outputs)
    for key, expected in outputs.items():
        assert relative(got[key], expected) < 1e-4


def test_layers_give_what_mxnet_gave(corpus: Path) -> None:
    path = corpus / "corpus" / "mxnet" / "synthetic_layerzoo" / "layerzoo-symbol.json"
    inputs, outputs = reference(path.with_name("ref_mxnet191.npz"))
    got = run(mxnet.read(path, input_shapes=inputs["data"].shape), inputs)
    assert set(got) == set(outputs)
    for key, expected in outputs.items():
        assert relative(got[key], expected) < 1e-5, key


@pytest.mark.parametrize("force", [False, True])
def test_an_ssd_gives_what_mxnet_gave(force: bool, corpus: Path) -> None:
    folder = corpus / "corpus" / "mxnet" / "dl_ssd_resnet50_slim4_512"
    inputs, outputs = reference(folder / "ref_mxnet191.npz")
    model = mxnet.read(
        folder / "deploy_ssd_resnet50_512-symbol.json", input_shapes=inputs["data"].shape, force_suppress=force
    )
    got = run(with_outputs(model, outputs), inputs)
    for key in ("cls_prob", "multibox_loc_pred", "multibox_anchors"):
        assert relative(got[key], outputs[key]) < 1e-4
    found = outputs["detection"][0]
    assert_same_set(rows(got["detection"]), found[found[:, 0] >= 0])


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("best", [-1, 100, 400])
def test_variants_of_detection_give_what_mxnet_gave(force: bool, best: int, corpus: Path, tmp_path: Path) -> None:
    from mxnet_files import Net

    with np.load(corpus / "corpus" / "mxnet" / "dl_ssd_resnet50_slim4_512" / "ref_multibox_variants.npz") as file:
        inputs = {key: file[key] for key in ("cls", "loc", "anc")}
        expected = file[f"{force}_{best}"]
    net = Net()
    net.op("_contrib_MultiBoxDetection", "det", *(net.var(key) for key in inputs), force_suppress=force, nms_topk=best)
    shapes = {key: value.shape for key, value in inputs.items()}
    model = mxnet.read(net.save(tmp_path), input_shapes=shapes, force_suppress=True)
    got = rows(run(model, inputs)["det"])
    # Sorted by score, the two lists differ by no more than ties.
    got, expected = (table[np.lexsort(table.T[[2, 3, 0]])] for table in (got, expected))
    got, expected = (table[np.argsort(-table[:, 1], kind="stable")] for table in (got, expected))
    if len(expected) < 500:
        assert_same_set(got, expected)
    else:
        assert len(got) == len(expected)
        np.testing.assert_allclose(got[:, 1], expected[:, 1], atol=1e-5)
        distances = np.abs(got[:, None] - expected[None]).max(-1)
        assert distances.min(0).max() < 1e-5
        assert distances.min(1).max() < 1e-5


def test_pooling_gives_what_mxnet_gave(corpus: Path) -> None:
    """All cases of the fuzz file, those with windows that hold no pixel too."""
    with np.load(corpus / "corpus" / "mxnet" / "pool_fuzz.npz") as file:
        cases = [(key, file[f"x{key.split('|')[0]}"], file[key]) for key in file if "|" in key]
    assert len(cases) == 864
    inputs: dict[str, np.ndarray] = {}
    outputs: list[tuple[str, Any]] = []
    parameters: dict[tuple[int, ...], Any] = {}
    expected: dict[str, np.ndarray] = {}
    for key, x, y in cases:
        number, kernel, stride, pad, convention, method, include = key.split("|")
        # All in one graph per input array: one compilation instead of hundreds.
        values = {
            "kernel": kernel, "stride": stride, "pad": pad, "pooling_convention": convention, "pool_type": method,
            "count_include_pad": include,
        }  # fmt: skip
        data = Node("null", f"x{number}", (), {})
        node = Node("Pooling", f"p{number}", ((0, 0),), values)
        graph = GraphBuilder(Symbol((data, node), ((1, 0),)), {}, {data.name: x.shape}, Options())
        made = LAYERS["Pooling"](Layer(node, graph))
        inputs[data.name] = x
        parameters[data.name] = graph.parameters[0]
        outputs.append((node.name, made))
        expected[node.name] = y
    model = layers.model(outputs, list(parameters.values()), "pooling")
    got = run(model, inputs)
    assert len(got) == 864
    for name, y in expected.items():
        np.testing.assert_allclose(got[name], y, rtol=1e-5, atol=1e-5, err_msg=name)


def test_full_size_ssd_symbol_is_understood(corpus: Path) -> None:
    """The real network of the device has no weights here, but nothing in it is unknown."""
    symbol = mxnet.read_symbol(corpus / "corpus/mxnet/dl_ssd_resnet50_512/deploy_ssd_resnet50_512-symbol.json")
    assert {symbol.nodes[i].op for i in symbol.needed()} - set(LAYERS) == {"null"}
