"""`-symbol.json` files: dialects, attributes, training graphs, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mxnet_files import Net, run

from saccade.errors import ModelError, UnsupportedError
from saccade.formats import mxnet
from saccade.formats.mxnet.symbol import canonical, read_symbol

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("key", ["param", "attr", "attrs"])
def test_every_dialect_is_read(key: str, tmp_path: Path) -> None:
    net = Net(key)
    data = net.var("data")
    net.op(
        "Convolution",
        "c",
        data,
        net.var("c_weight", RNG.normal(size=(2, 3, 1, 1))),
        kernel="(1L, 1L)",
        num_filter="2",
        no_bias="1",
    )
    x = RNG.normal(size=(1, 3, 4, 4))
    out = run(mxnet.read(net.save(tmp_path), input_shapes=x.shape), {"data": x})
    expected = np.einsum("nchw,oc->nohw", x, net.weights["c_weight"][:, :, 0, 0])
    np.testing.assert_allclose(out["c"], expected, rtol=1e-5, atol=1e-6)


def test_old_attributes_of_the_user_do_not_hide_parameters(tmp_path: Path) -> None:
    net = Net("param")
    net.op("clip", "c", net.var("data"), a_min=0, a_max=1)
    net.nodes[-1]["attr"] = {"ctx_group": "stage1", "a_max": "9"}
    symbol = read_symbol(net.save(tmp_path))
    assert symbol.nodes[1].attributes["a_max"] == "1"


def test_batch_norm_without_averages_in_the_graph(tmp_path: Path) -> None:
    net = Net("param")
    net.op(
        "BatchNorm", "bn", net.var("data"), net.var("bn_gamma", np.ones(2)), net.var("bn_beta", np.zeros(2)), eps=1e-3
    )
    net.weights["bn_moving_mean"], net.weights["bn_moving_var"] = np.float32([1, 2]), np.float32([4, 9])
    x = RNG.normal(size=(1, 2, 3, 3))
    out = run(mxnet.read(net.save(tmp_path), input_shapes=x.shape), {"data": x})["bn"]
    mean, variance = (np.reshape(v, (1, 2, 1, 1)) for v in ([1, 2], [4, 9]))
    np.testing.assert_allclose(out, (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("_Plus", "elemwise_add"), ("_plus", "elemwise_add"), ("_PlusScalar", "plus_scalar"),
        ("Softmax", "SoftmaxOutput"),
        ("_contrib_MultiBoxPrior", "MultiBoxPrior"), ("BatchNorm_v1", "BatchNorm"), ("ElementWiseSum", "add_n"),
        ("concat", "Concat"),
        ("_copy", "copy"), ("identity", "copy"), ("split", "SliceChannel"), ("crop", "slice"),
        ("_RMinusScalar", "rminus_scalar"), ("_Maximum", "broadcast_maximum"), ("_lesser", "broadcast_lesser"),
    ],
)  # fmt: skip
def test_old_names_of_layers_are_known(old: str, new: str) -> None:
    assert canonical(old) == new


def _ssd(training: bool) -> Net:
    """A detector of two classes over one feature map, as example/ssd writes it."""
    net = Net("attr")
    data = net.var("data")
    cells, anchors, classes = 4, 2, 3
    rng = np.random.default_rng(1)

    def head(name: str, count: int) -> tuple[int, int]:
        weight, bias = (
            net.var(f"{name}_weight", rng.normal(size=(count, 3, 1, 1))),
            net.var(f"{name}_bias", rng.normal(size=count)),
        )
        y = net.op("Convolution", name, data, weight, bias, kernel="(1, 1)", num_filter=count)
        y = net.op("transpose", f"{name}_t", y, axes="(0,2,3,1)")
        return net.op("Flatten", f"{name}_f", y)

    loc, conf = head("loc", anchors * 4), head("cls", anchors * classes)
    conf = net.op("Reshape", "cls_r", conf, shape=f"(0, -1, {classes})")
    conf = net.op("transpose", "cls_preds", conf, axes="(0,2,1)")
    prior = net.op("_contrib_MultiBoxPrior", "anchors", data, sizes="(0.4,)", ratios="(1,2)", clip="False")
    assert cells
    if training:
        target = net.op("_contrib_MultiBoxTarget", "target", prior, net.var("label"), conf)
        prob = net.op("SoftmaxOutput", "cls_prob", conf, (target[0], 2), multi_output="True", ignore_label=-1)
        loss = net.op("smooth_l1", "loc_loss_", loc, scalar=1)
        loss = net.op("MakeLoss", "loc_loss", loss, grad_scale=1)
        label = net.op("MakeLoss", "cls_label", (target[0], 2), grad_scale=0)
        det = net.op("_contrib_MultiBoxDetection", "detection", prob, loc, prior, nms_threshold=0.5, nms_topk=400)
        net.heads = [prob, loss, label, net.op("MakeLoss", "det_out", det, grad_scale=0)]
    else:
        prob = net.op("SoftmaxActivation", "cls_prob", conf, mode="channel")
        net.heads = [
            net.op("_contrib_MultiBoxDetection", "detection", prob, loc, prior, nms_threshold=0.5, nms_topk=400)
        ]
    return net


def test_training_symbol_is_cut_back_to_the_deployed_one(tmp_path: Path) -> None:
    x = RNG.normal(size=(1, 3, 4, 4))
    results = []
    for training in (False, True):
        net = _ssd(training)
        model = mxnet.read(net.save(tmp_path, *net.heads, name=f"t{training}"), input_shapes=x.shape)
        assert [port.any_name for port in model.inputs] == ["data"]
        assert [port.any_name for port in model.outputs] == ["detection"]
        results.append(run(model, {"data": x})["detection"])
    np.testing.assert_array_equal(*results)
    assert (results[0][..., 2] > 0).sum() > 3


def test_unknown_operators_are_all_named_at_once(tmp_path: Path) -> None:
    net = Net()
    x = net.op("Custom", "mine", net.var("data"), op_type="x")
    x = net.op("RNN", "rnn0", net.op("RNN", "rnn1", x))
    path = net.save(tmp_path)
    (tmp_path / "net-0000.params").unlink()  # the graph is looked at first
    with pytest.raises(UnsupportedError, match=r"Custom \(mine\), RNN \(rnn1, ...\)"):
        mxnet.read(path)


def test_unknown_operators_of_the_training_part_do_not_matter(tmp_path: Path) -> None:
    net = _ssd(True)
    assert mxnet.read(net.save(tmp_path, *net.heads), input_shapes=(1, 3, 4, 4))


def test_missing_parameters_are_all_named(tmp_path: Path) -> None:
    net = Net()
    data = net.var("data")
    net.op("FullyConnected", "fc", data, net.var("fc_weight"), net.var("fc_bias"), num_hidden=3)
    with pytest.raises(ModelError, match=r"2 parameters are missing in net-0000.params \(fc_weight, fc_bias\)"):
        mxnet.read(net.save(tmp_path), input_shapes=(1, 4))


def test_parameters_of_another_symbol(tmp_path: Path) -> None:
    net = Net()
    net.op(
        "Convolution",
        "c",
        net.var("data"),
        net.var("c_weight", np.ones((8, 3, 5, 5))),
        kernel="(3,3)",
        num_filter=4,
        no_bias=True,
    )
    with pytest.raises(
        ModelError, match=r"layer c \(Convolution\): has weights of the shape \(8, 3, 5, 5\); expected \(4, 3, 3, 3\)"
    ):
        mxnet.read(net.save(tmp_path), input_shapes=(1, 3, 9, 9))


def test_size_of_the_input_is_assumed_and_said_so(tmp_path: Path) -> None:
    net = Net()
    net.op(
        "Convolution",
        "c",
        net.var("data"),
        net.var("c_weight", np.ones((4, 2, 3, 3))),
        kernel="(3,3)",
        num_filter=4,
        num_group=2,
        no_bias=True,
    )
    assert list(mxnet.read(net.save(tmp_path, name="net_300")).input().shape) == [1, 4, 300, 300]
    assert list(mxnet.read(net.save(tmp_path)).input().shape) == [1, 4, 224, 224]
    net.nodes[0]["attrs"] = {"__shape__": "(2, 4, 32, 48)"}
    assert list(mxnet.read(net.save(tmp_path)).input().shape) == [2, 4, 32, 48]
    net.nodes[0]["attrs"] = {"__shape__": "(0, 4, 32, 48)"}
    assert list(mxnet.read(net.save(tmp_path)).input().shape) == [1, 4, 32, 48]


def test_wrong_assumption_tells_how_to_do_better(tmp_path: Path) -> None:
    net = Net()
    pooled = net.op("Pooling", "p", net.var("data"), kernel="(2,2)", stride="(2,2)")
    net.op("FullyConnected", "fc", pooled, net.var("fc_weight", np.ones((2, 588))), num_hidden=2, no_bias=True)
    path = net.save(tmp_path)
    with pytest.raises(ModelError, match="set input_shapes"):
        mxnet.read(path)
    assert mxnet.read(path, input_shapes=(1, 3, 28, 28))


def test_each_of_several_inputs_needs_its_shape(tmp_path: Path) -> None:
    net = Net()
    net.op("broadcast_add", "sum", net.var("data"), net.var("bias_map"))
    path = net.save(tmp_path)
    with pytest.raises(ModelError, match="'bias_map'"):
        mxnet.read(path)
    model = mxnet.read(path, input_shapes={"data": (1, 3, 4, 4), "bias_map": (1, 3, 1, 1)})
    assert sorted(port.any_name for port in model.inputs) == ["bias_map", "data"]
    with pytest.raises(ModelError, match="has no input 'other'"):
        mxnet.read(path, input_shapes={"other": (1, 3)})
    with pytest.raises(ModelError, match="by name"):
        mxnet.read(path, input_shapes=(1, 3, 4, 4))


def test_the_epoch_is_the_only_one_or_the_one_asked_for(tmp_path: Path) -> None:
    net = Net()
    net.op("broadcast_add", "sum", net.var("data"), net.var("w", np.ones((1, 3))))
    path = net.save(tmp_path)
    first = tmp_path / "net-0000.params"
    first.rename(tmp_path / "net-0012.params")
    assert mxnet.parameter_file(path).name == "net-0012.params"
    (tmp_path / "net-0003.params").write_bytes(b"")
    with pytest.raises(ModelError, match=r"which of net-0003.params, net-0012.params .* which epoch"):
        mxnet.read(path, input_shapes=(1, 3))
    assert mxnet.read(path, 12, input_shapes=(1, 3))
    with pytest.raises(ModelError, match=r"net-0007\.params"):
        mxnet.read(path, 7, input_shapes=(1, 3))
    for file in tmp_path.glob("*.params"):
        file.unlink()
    with pytest.raises(ModelError, match=r"put net-0000\.params beside it"):
        mxnet.read(path)


def _tree(**changes: Any) -> dict[str, Any]:
    net = Net()
    net.op("relu", "r", net.var("data"))
    return {**net.tree((1, 0)), **changes}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a JSON file"),
        ("{", "not a JSON file"),
        ("[" * 100_000, "not a JSON file"),
        ("[]", 'no list "nodes"'),
        ('{"nodes": 3}', 'no list "nodes"'),
        (json.dumps(_tree(heads=[])), "no heads"),
        (json.dumps(_tree(heads=[[7, 0, 0]])), "refers to output 0 of node 7"),
        (json.dumps(_tree(heads=[["x"]])), "not an MXNet symbol"),
        (json.dumps(_tree(nodes=[{"op": "relu", "name": "r", "inputs": [[0, 0, 0]]}], heads=[[0, 0]])), "node 0"),
        (json.dumps(_tree(nodes=[{"op": 3, "name": "r"}], heads=[[0, 0]])), "no op or name"),
        (json.dumps(_tree(nodes=[{"name": "r"}], heads=[[0, 0]])), "not an MXNet symbol"),
        (
            json.dumps(_tree(nodes=[{"op": "relu", "name": "r", "inputs": [[1e400, 0]]}], heads=[[0, 0]])),
            "not an MXNet",
        ),
        (json.dumps(_tree(nodes=[{"op": "relu", "name": "r", "attrs": "x"}], heads=[[0, 0]])), "not an MXNet symbol"),
    ],
)
def test_not_a_symbol(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x-symbol.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        mxnet.read(path)
    assert str(caught.value).startswith(str(path))
