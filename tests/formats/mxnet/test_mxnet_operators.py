"""Each operator against NumPy, on small symbols written by the tests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mxnet_files import Net, run

from arithmetic import sigmoid, softmax
from saccade.errors import ModelError, UnsupportedError
from saccade.formats import mxnet
from saccade.formats.mxnet.graph import LAYERS

X = np.random.default_rng(7).normal(size=(2, 6, 5, 4)).astype(np.float32)
Y = np.random.default_rng(8).normal(size=(2, 6, 5, 4)).astype(np.float32)
C = np.random.default_rng(9).normal(size=(1, 6, 1, 1)).astype(np.float32)
POSITIVE = np.abs(X) + 0.1
WHOLE = np.round(POSITIVE * 2)

SEEN: set[str] = set()
"""Operators that some test of this module has built."""


def apply(
    folder: Path, op: str, *inputs: np.ndarray, weights: Mapping[str, np.ndarray] | None = None, outputs: int = 1,
    **attributes: Any,
) -> list[np.ndarray]:  # fmt: skip
    """The operator's outputs; data inputs are called data, in1, in2, ..."""
    net = Net()
    names = ["data", *(f"in{i}" for i in range(1, len(inputs)))][: len(inputs)]
    refs = [net.var(name) for name in names]
    refs += [net.var(f"o_{name}", np.asarray(value, np.float32)) for name, value in (weights or {}).items()]
    node = net.op(op, "o", *refs, **attributes)
    path = net.save(folder, *((node[0], i) for i in range(outputs)))
    model = mxnet.read(path, input_shapes={name: value.shape for name, value in zip(names, inputs, strict=True)})
    SEEN.add(mxnet.symbol.canonical(op))
    results = run(model, dict(zip(names, inputs, strict=True)))
    return [results[port.any_name] for port in model.outputs]


def close(got: np.ndarray, expected: Any, tolerance: float = 1e-5) -> None:
    expected = np.asarray(expected, np.float64)
    assert got.shape == (expected.shape or (1,))
    np.testing.assert_allclose(got, expected.reshape(got.shape), rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------------------------------- one argument

erf = np.vectorize(math.erf)
UNARY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0), "sigmoid": sigmoid, "tanh": np.tanh, "exp": np.exp,
    "abs": np.abs, "floor": np.floor, "ceil": np.ceil, "sign": np.sign, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "erf": erf, "negative": np.negative, "arctan": np.arctan, "softsign": lambda x: x / (1 + np.abs(x)),
    "square": np.square, "reciprocal": lambda x: 1 / x, "rint": np.rint, "trunc": np.trunc, "fix": np.trunc,
    "round": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5), "logical_not": lambda x: x == 0,
    "zeros_like": np.zeros_like, "ones_like": np.ones_like, "identity": lambda x: x, "_copy": lambda x: x,
    "BlockGrad": lambda x: x, "MakeLoss": lambda x: x, "Dropout": lambda x: x, "CrossDeviceCopy": lambda x: x,
    "IdentityAttachKLSparseReg": lambda x: x, "LinearRegressionOutput": lambda x: x, "SVMOutput": lambda x: x,
    "MAERegressionOutput": lambda x: x, "LogisticRegressionOutput": sigmoid,
    "Flatten": lambda x: x.reshape(2, -1),
}  # fmt: skip


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str, tmp_path: Path) -> None:
    close(apply(tmp_path, op, X)[0], UNARY[op](X))


@pytest.mark.parametrize(("op", "expected"), [("sqrt", np.sqrt), ("log", np.log), ("rsqrt", lambda x: x**-0.5)])
def test_unary_of_positive_numbers(op: str, expected: Callable[[np.ndarray], np.ndarray], tmp_path: Path) -> None:
    close(apply(tmp_path, op, POSITIVE)[0], expected(POSITIVE))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("relu", lambda x: np.maximum(x, 0)), ("sigmoid", sigmoid), ("tanh", np.tanh),
        ("softrelu", lambda x: np.log1p(np.exp(x))), ("softsign", lambda x: x / (1 + np.abs(x))),
        ("log_sigmoid", lambda x: -np.log1p(np.exp(-x))), ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    ],
)  # fmt: skip
def test_activation(kind: str, expected: Callable[[np.ndarray], np.ndarray], tmp_path: Path) -> None:
    close(apply(tmp_path, "Activation", X, act_type=kind)[0], expected(X))


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, lambda x: np.where(x > 0, x, 0.25 * x)),
        ({"act_type": "leaky", "slope": 0.1}, lambda x: np.where(x > 0, x, 0.1 * x)),
        ({"act_type": "elu", "slope": 0.3}, lambda x: np.where(x > 0, x, 0.3 * np.expm1(x))),
        ({"act_type": "selu"}, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
        ({"act_type": "gelu"}, lambda x: x * (1 + erf(x / 2**0.5)) / 2),
        ({"act_type": "rrelu", "lower_bound": 0.1, "upper_bound": 0.3}, lambda x: np.where(x > 0, x, 0.2 * x)),
    ],
)
def test_leaky_relu(attributes: dict[str, Any], expected: Callable[[np.ndarray], np.ndarray], tmp_path: Path) -> None:
    close(apply(tmp_path, "LeakyReLU", X, **attributes)[0], expected(X))


@pytest.mark.parametrize("count", [1, 6])
def test_prelu(count: int, tmp_path: Path) -> None:
    gamma = np.linspace(0.1, 0.6, count)
    got = apply(tmp_path, "LeakyReLU", X, weights={"gamma": gamma}, act_type="prelu")[0]
    close(got, np.where(X > 0, X, X * gamma.reshape(1, -1, 1, 1)))


def test_clip_and_hard_sigmoid_and_cast(tmp_path: Path) -> None:
    close(apply(tmp_path, "clip", X, a_min=-0.5, a_max=0.7)[0], np.clip(X, -0.5, 0.7))
    close(apply(tmp_path, "hard_sigmoid", X, alpha=0.3, beta=0.4)[0], np.clip(0.3 * X + 0.4, 0, 1))
    close(apply(tmp_path, "Cast", X * 3, dtype="int32")[0], np.trunc(X * 3))
    close(apply(tmp_path, "Cast", X, dtype="float16")[0], X)
    close(apply(tmp_path, "cast", WHOLE, dtype="bool")[0], WHOLE != 0)


# ------------------------------------------------------------------------------------------------------ two arguments

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "power": np.power, "maximum": np.maximum,
    "minimum": np.minimum, "mod": np.mod, "equal": np.equal, "not_equal": np.not_equal, "greater": np.greater,
    "greater_equal": np.greater_equal, "lesser": np.less, "lesser_equal": np.less_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor,
}  # fmt: skip


@pytest.mark.parametrize("op", BINARY)
def test_broadcast(op: str, tmp_path: Path) -> None:
    other = np.round(np.abs(C) * 2) + 1
    close(apply(tmp_path, f"broadcast_{op}", WHOLE, other)[0], BINARY[op](WHOLE, other))


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div"])
def test_elementwise(op: str, tmp_path: Path) -> None:
    close(apply(tmp_path, f"elemwise_{op}", X, POSITIVE)[0], BINARY[op](X, POSITIVE))


@pytest.mark.parametrize("op", ["and", "or", "xor"])
def test_logical(op: str, tmp_path: Path) -> None:
    close(
        apply(tmp_path, f"logical_{op}", WHOLE, WHOLE[:, ::-1].copy())[0],
        BINARY[f"logical_{op}"](WHOLE, WHOLE[:, ::-1]),
    )


@pytest.mark.parametrize("op", [name for name in BINARY if "logical" not in name])
def test_scalar(op: str, tmp_path: Path) -> None:
    name = {"add": "plus", "sub": "minus"}.get(op, op)
    close(apply(tmp_path, f"_{name}_scalar", WHOLE, scalar=2.0)[0], BINARY[op](WHOLE, 2.0))
    if f"r{name}_scalar" in LAYERS:
        close(apply(tmp_path, f"_r{name}_scalar", WHOLE + 1, scalar=3.0)[0], BINARY[op](3.0, WHOLE + 1))


def test_sum_of_many(tmp_path: Path) -> None:
    close(apply(tmp_path, "add_n", X, Y, X)[0], X + Y + X)


def test_where(tmp_path: Path) -> None:
    close(apply(tmp_path, "where", np.float32(X > 0), X, Y)[0], np.where(X > 0, X, Y))
    rows = np.float32([1, 0])
    close(apply(tmp_path, "where", rows, X, Y)[0], np.where(rows[:, None, None, None] != 0, X, Y))


# ---------------------------------------------------------------------------------------- convolution and its friends


def convolved(
    x: np.ndarray, w: np.ndarray, stride: tuple[int, ...], pad: tuple[int, ...], dilate: tuple[int, ...], groups: int
) -> np.ndarray:
    axes = len(stride)
    x = np.pad(np.float64(x), [(0, 0), (0, 0), *((p, p) for p in pad)])
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilate, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, tuple(range(2, 2 + axes)))
    windows = windows[(..., *(slice(None, None, d) for d in dilate))]
    windows = windows[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    parts = []
    for group in range(groups):
        size, filters = w.shape[1], w.shape[0] // groups
        own = np.moveaxis(windows[:, group * size : (group + 1) * size], 1, 1 + axes)
        kernel = w[group * filters : (group + 1) * filters]
        y = np.tensordot(own, kernel, (tuple(range(1 + axes, 2 + 2 * axes)), tuple(range(1, 2 + axes))))
        parts.append(np.moveaxis(y, -1, 1))
    return np.concatenate(parts, 1)


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "pad", "dilate", "groups"),
    [
        ((2, 6, 9, 8), (3, 2), (2, 1), (1, 0), (1, 2), 2),
        ((1, 6, 5, 5), (3, 3), (1, 1), (1, 1), (1, 1), 6),
        ((2, 3, 9), (3,), (2,), (1,), (1,), 1),
        ((1, 2, 4, 5, 6), (2, 3, 1), (1, 2, 1), (0, 1, 0), (1, 1, 1), 1),
    ],
)
def test_convolution(shape: Any, kernel: Any, stride: Any, pad: Any, dilate: Any, groups: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=shape).astype(np.float32)
    w, b = rng.normal(size=(12, shape[1] // groups, *kernel)), rng.normal(size=12)
    geometry = {"kernel": kernel, "stride": stride, "pad": pad, "dilate": dilate, "num_group": groups, "num_filter": 12}
    got = apply(tmp_path, "Convolution", x, weights={"weight": w, "bias": b}, **geometry)[0]
    expected = convolved(x, w, stride, pad, dilate, groups)
    close(got, expected + b.reshape(1, -1, *(1,) * len(kernel)), 1e-4)
    close(apply(tmp_path, "Convolution_v1", x, weights={"weight": w}, no_bias=True, **geometry)[0], expected, 1e-4)


def deconvolved(x: np.ndarray, w: np.ndarray, stride: Any, pad: Any, extra: Any, groups: int) -> np.ndarray:
    """By definition: every input pixel adds the kernel, times its value, to the output."""
    n, channels, *size = x.shape
    filters = w.shape[1]
    full = [(s - 1) * t + k for s, t, k in zip(size, stride, w.shape[2:], strict=True)]
    y = np.zeros((n, filters * groups, *(f + e for f, e in zip(full, extra, strict=True))))
    for c in range(channels):
        group = c // (channels // groups)
        for i, j in itertools.product(*map(range, size)):
            place = y[:, group * filters : (group + 1) * filters, i * stride[0] :, j * stride[1] :]
            place[:, :, : w.shape[2], : w.shape[3]] += x[:, c, i, j, None, None, None] * w[c]
    return y[:, :, pad[0] : y.shape[2] - pad[0], pad[1] : y.shape[3] - pad[1]]


@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "adj", "groups"),
    [((4, 4), (2, 2), (1, 1), (0, 0), 3), ((3, 3), (2, 2), (1, 1), (1, 0), 1), ((2, 3), (1, 2), (0, 1), (0, 1), 6)],
)
def test_deconvolution(kernel: Any, stride: Any, pad: Any, adj: Any, groups: int, tmp_path: Path) -> None:
    w = np.random.default_rng(2).normal(size=(6, 2, *kernel))
    got = apply(
        tmp_path, "Deconvolution", X, weights={"weight": w}, kernel=kernel, stride=stride, pad=pad, adj=adj,
        num_filter=2 * groups, num_group=groups,
    )[0]  # fmt: skip
    close(got, deconvolved(X, w, stride, pad, adj, groups), 1e-4)


def test_deconvolution_to_a_target_shape(tmp_path: Path) -> None:
    w, b = np.random.default_rng(2).normal(size=(6, 3, 4, 4)), np.array([1, 2, 3.0])
    got = apply(
        tmp_path, "Deconvolution", X, weights={"weight": w, "bias": b}, kernel=(4, 4), stride=(2, 2),
        target_shape=(10, 7), num_filter=3, no_bias=False,
    )[0]  # fmt: skip
    close(got, deconvolved(X, w, (2, 2), (1, 2), (0, 1), 1) + b.reshape(1, 3, 1, 1), 1e-4)


def test_fully_connected(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    w, b = rng.normal(size=(7, 120)), rng.normal(size=7)
    got = apply(tmp_path, "FullyConnected", X, weights={"weight": w, "bias": b}, num_hidden=7)[0]
    close(got, X.reshape(2, -1) @ w.T + b, 1e-4)
    w = rng.normal(size=(7, 4))
    close(
        apply(tmp_path, "FullyConnected", X, weights={"weight": w}, num_hidden=7, no_bias=True, flatten=False)[0],
        X @ w.T,
        1e-4,
    )


@pytest.mark.parametrize(
    ("attributes", "axis", "gamma_counts"),
    [
        ({"eps": 2e-5}, 1, False),
        ({"fix_gamma": False}, 1, True),
        ({"fix_gamma": "0", "axis": -1, "eps": 1e-5}, 3, True),
    ],
)
def test_batch_norm(attributes: dict[str, Any], axis: int, gamma_counts: bool, tmp_path: Path) -> None:
    rng, n = np.random.default_rng(4), X.shape[axis]
    weights = {
        "gamma": rng.normal(size=n), "beta": rng.normal(size=n), "moving_mean": rng.normal(size=n),
        "moving_var": rng.random(n) + 0.1,
    }  # fmt: skip
    gamma, beta, mean, variance = (np.reshape(v, [-1 if a == axis else 1 for a in range(4)]) for v in weights.values())
    expected = (X - mean) / np.sqrt(variance + attributes.get("eps", 1e-3)) * (gamma if gamma_counts else 1) + beta
    close(apply(tmp_path, "BatchNorm", X, weights=weights, **attributes)[0], expected, 1e-4)


def test_negative_variance_is_named(tmp_path: Path) -> None:
    weights = dict(zip(["gamma", "beta", "moving_mean", "moving_var"], np.full((4, 6), -1.0), strict=True))
    with pytest.raises(ModelError, match=r"layer o \(BatchNorm\): has variances that are negative"):
        apply(tmp_path, "BatchNorm", X, weights=weights)


def test_instance_and_layer_norm(tmp_path: Path) -> None:
    gamma, beta = np.linspace(1, 2, 6), np.linspace(-1, 1, 6)
    normal = (X - X.mean((2, 3), keepdims=True)) / np.sqrt(X.var((2, 3), keepdims=True) + 1e-3)
    expected = normal * gamma.reshape(1, 6, 1, 1) + beta.reshape(1, 6, 1, 1)
    close(apply(tmp_path, "InstanceNorm", X, weights={"gamma": gamma, "beta": beta})[0], expected, 1e-4)
    gamma, beta = np.linspace(1, 2, 4), np.linspace(-1, 1, 4)
    normal = (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + 1e-5)
    close(apply(tmp_path, "LayerNorm", X, weights={"gamma": gamma, "beta": beta})[0], normal * gamma + beta, 1e-4)


def pooled(
    x: np.ndarray, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], *, full: bool, method: str,
    include: bool,
) -> np.ndarray:  # fmt: skip
    round_ = math.ceil if full else math.floor
    out = [round_((n + 2 * p - k) / s) + 1 for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True)]
    y = np.zeros((*x.shape[:2], *out))
    for i, j in itertools.product(*map(range, out)):
        starts = [c * s - p for c, s, p in zip((i, j), stride, pad, strict=True)]
        ends = [min(b + k, n + p) for b, k, n, p in zip(starts, kernel, x.shape[2:], pad, strict=True)]
        count = math.prod(e - b for b, e in zip(starts, ends, strict=True))
        own = x[:, :, max(starts[0], 0) : ends[0], max(starts[1], 0) : ends[1]]
        if method == "max":
            y[:, :, i, j] = own.max((2, 3))
        else:
            divisor = 1 if method == "sum" else count if include else own.shape[2] * own.shape[3]
            y[:, :, i, j] = own.sum((2, 3)) / divisor
    return y


@pytest.mark.parametrize("method", ["max", "avg", "sum"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"), [((3, 3), (2, 2), (1, 1)), ((2, 3), (2, 2), (0, 1)), ((3, 2), (3, 1), (0, 0))]
)
def test_pooling(method: str, full: bool, kernel: Any, stride: Any, pad: Any, tmp_path: Path) -> None:
    for include in (True, False):
        got = apply(
            tmp_path, "Pooling", X, kernel=kernel, stride=stride, pad=pad, pool_type=method, count_include_pad=include,
            pooling_convention="full" if full else "valid",
        )[0]  # fmt: skip
        close(got, pooled(X, kernel, stride, pad, full=full, method=method, include=include))


def test_global_pooling_ignores_the_window(tmp_path: Path) -> None:
    for method, reduce in (("max", np.max), ("avg", np.mean), ("sum", np.sum)):
        got = apply(tmp_path, "Pooling_v1", X, global_pool=True, kernel=(7, 7), pad=(3, 3), pool_type=method)[0]
        close(got, reduce(X, axis=(2, 3), keepdims=True))


def test_same_pooling(tmp_path: Path) -> None:
    x = X[:, :, :, 0].copy()
    got = apply(tmp_path, "Pooling", x, kernel=(3,), stride=(2,), pool_type="max", pooling_convention="same")[0]
    close(got, np.stack([x[:, :, 2 * i : 2 * i + 3].max(-1) for i in range(3)], -1))


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("broadcast_to", {"shape": "(2, 6, -7, 4)"}, r"cannot spread \(1, 6, 1, 1\)|expected no negative numbers"),
        ("broadcast_to", {"shape": "(2, 7, 5, 4)"}, "cannot spread"),
        ("broadcast_axis", {"axis": "2", "size": "-7"}, "expected no negative numbers"),
        ("broadcast_axis", {"axis": "2", "size": "0"}, "cannot spread"),
        ("transpose", {"axes": "(0, 2, 2, 1)"}, "expected each axis once"),
        ("clip", {"a_min": 7, "a_max": 1}, "expected the smaller number first"),
        ("softmax", {"temperature": 0}, "temperature is '0'; expected a number other than 0"),
        ("log_softmax", {"temperature": 0}, "temperature is '0'; expected a number other than 0"),
        ("Pooling", {"global_pool": True, "layout": "NHWC"}, "has the layout NHWC"),
        ("LRN", {"nsize": 4}, "nsize is '4'; expected an odd number"),
        ("LRN", {"nsize": -3}, "over -3 values"),
        ("Pad", {"mode": "reflect", "pad_width": "(0,0,0,0,1,1,0,0)"}, "expected no more than there is"),
        ("_contrib_AdaptiveAvgPooling2D", {"output_size": "-1"}, "output_size is '-1'; expected whole numbers from 1"),
        ("_contrib_BilinearResize2D", {"scale_height": "inf", "scale_width": 1, "mode": "odd_scale"}, "finite numbers"),
        ("Pooling", {"kernel": "(0, 0)"}, "make no window"),
        ("Pooling", {"kernel": "(1, 1)", "stride": "(0, 0)"}, "make no window"),
        ("UpSampling", {"scale": 0, "sample_type": "nearest"}, "expected 1 to 64"),
    ],
)
def test_numbers_of_nonsense(op: str, attributes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"layer o .*({message})") as caught:
        apply(tmp_path, op, np.ones((1, 6, 1, 1), np.float32), **attributes)
    assert "does not fit its inputs" not in str(caught.value)


def test_groups_that_are_none_for_an_input_of_unknown_size(tmp_path: Path) -> None:
    net = Net()
    weight = net.var("w", np.ones((4, 3, 3, 3), np.float32))
    node = net.op(
        "Convolution", "o", net.var("data"), weight, kernel="(3, 3)", num_filter=4, num_group=-1, no_bias=True
    )
    with pytest.raises(ModelError, match="num_group is '-1'; expected whole numbers from 1"):
        mxnet.read(net.save(tmp_path, node))


def test_windows_of_padding_alone(tmp_path: Path) -> None:
    """MXNet leaves the lowest number there, and 0 where it averages."""
    window = {"kernel": (2, 2), "stride": (2, 2), "pad": (0, 1), "pooling_convention": "full"}
    x = X[:, :, :4, :3].copy()
    got = apply(tmp_path, "Pooling", x, **window)[0]
    assert (got[..., 2] == np.finfo(np.float32).min).all()
    close(got[..., 0], x[..., 0].reshape(2, 6, 2, 2).max(-1))
    window["pad"] = (2, 2)
    got = apply(tmp_path, "Pooling", X, **window)[0]
    assert (got[:, :, 0] == np.finfo(np.float32).min).all()
    for include in (True, False):
        got = apply(tmp_path, "Pooling", X, pool_type="avg", count_include_pad=include, **window)[0]
        assert (got[:, :, 0] == 0).all()
        close(got[:, :, 1, 1], X[:, :, :2, :2].mean((2, 3)))
    with pytest.raises(ModelError, match="larger than its input"):
        apply(tmp_path, "Pooling", X, kernel=(9, 9), pool_type="avg")


def test_adaptive_pooling(tmp_path: Path) -> None:
    def cells(n: int, out: int) -> list[slice]:
        return [slice(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]

    expected = np.stack([[X[:, :, r, c].mean((2, 3)) for c in cells(4, 2)] for r in cells(5, 3)]).transpose(2, 3, 0, 1)
    close(apply(tmp_path, "_contrib_AdaptiveAvgPooling2D", X, output_size=(3, 2))[0], expected)
    close(apply(tmp_path, "_contrib_AdaptiveAvgPooling2D", X)[0], X.mean((2, 3), keepdims=True))


# ------------------------------------------------------------------------------------------------------ normalisation


@pytest.mark.parametrize(("mode", "axes"), [("instance", (1, 2, 3)), ("channel", (1,)), ("spatial", (2, 3))])
def test_l2_normalization(mode: str, axes: tuple[int, ...], tmp_path: Path) -> None:
    expected = X / np.sqrt((X**2).sum(axes, keepdims=True) + 1e-10)
    close(apply(tmp_path, "L2Normalization", X, mode=mode)[0], expected)


def test_lrn(tmp_path: Path) -> None:
    squares = np.pad(X**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    total = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    close(apply(tmp_path, "LRN", X, nsize=3, alpha=0.1)[0], X / (2 + 0.1 / 3 * total) ** 0.75)


def test_softmax_family(tmp_path: Path) -> None:
    flat = softmax(X.reshape(2, -1), 1).reshape(X.shape)
    close(apply(tmp_path, "SoftmaxActivation", X)[0], flat)
    close(apply(tmp_path, "SoftmaxActivation", X, mode="channel")[0], softmax(X, 1))
    close(apply(tmp_path, "SoftmaxOutput", X)[0], flat)
    close(apply(tmp_path, "Softmax", X, multi_output=True)[0], softmax(X, 1))
    close(apply(tmp_path, "SoftmaxOutput", X, preserve_shape=True)[0], softmax(X, 3))
    close(apply(tmp_path, "softmax", X)[0], softmax(X, 3))
    close(apply(tmp_path, "softmax", X, axis=1, temperature=2.0)[0], softmax(X / 2, 1))
    close(apply(tmp_path, "log_softmax", X, axis=1)[0], np.log(softmax(X, 1)), 1e-4)
    close(apply(tmp_path, "log_softmax", X, axis=1, temperature=2.0)[0], np.log(softmax(X / 2, 1)), 1e-4)


@pytest.mark.parametrize("op", ["sum", "mean", "max", "min", "prod"])
def test_reductions(op: str, tmp_path: Path) -> None:
    reduce = getattr(np, op)
    close(apply(tmp_path, op, X, axis=(1, -1))[0], reduce(X, axis=(1, 3)))
    close(apply(tmp_path, op, X, axis=1, keepdims=True)[0], reduce(X, axis=1, keepdims=True))
    close(apply(tmp_path, op, X, axis=1, exclude=True)[0], reduce(X, axis=(0, 2, 3)))
    if op != "prod":
        close(apply(tmp_path, op, X)[0], reduce(X), 1e-4)


def test_norm_and_arg(tmp_path: Path) -> None:
    close(apply(tmp_path, "norm", X, axis=1)[0], np.sqrt((X**2).sum(1)))
    close(apply(tmp_path, "norm", X, axis=1, ord=1)[0], np.abs(X).sum(1))
    close(apply(tmp_path, "argmax", X, axis=1)[0], X.argmax(1))
    close(apply(tmp_path, "argmin", X, axis=-1, keepdims=True)[0], X.argmin(-1)[..., None])
    close(apply(tmp_path, "argmax", X)[0], X.argmax())


# -------------------------------------------------------------------------------------------------------- shape moves


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({"shape": "(0, -1)"}, (2, 120)), ({"shape": "(-2,)"}, (2, 6, 5, 4)), ({"shape": "(0, -3, -2)"}, (2, 30, 4)),
        ({"shape": "(-1, 8)"}, (30, 8)), ({"shape": "(0, -4, 2, 3, -2)"}, (2, 2, 3, 5, 4)),
        ({"shape": "(0, -4, -1, 3, 0, 0)"}, (2, 2, 3, 5, 4)), ({"shape": "(-3, -3)"}, (12, 20)),
        ({"shape": "(-1, 0)", "reverse": True}, (60, 4)), ({"shape": "(0, 0, -3)", "reverse": True}, (2, 6, 20)),
        ({"shape": "(0L, -1L)"}, (2, 120)), ({"target_shape": "(2, 0)"}, (2, 120)),
        ({"target_shape": "(0, 30, 4)", "keep_highest": True}, (2, 30, 4)),
    ],
)  # fmt: skip
def test_reshape(attributes: dict[str, Any], shape: tuple[int, ...], tmp_path: Path) -> None:
    if attributes.get("reverse") and "-3" in attributes["shape"]:
        shape = (2, 6, 20)
    close(apply(tmp_path, "Reshape", X, **attributes)[0], X.reshape(shape))


@pytest.mark.parametrize("shape", ["(7, -1)", "(-1, -1)", "(0, 0, 0, 0, 0)", "(-5,)", "(-4, 5, 5, -2)", "(-3, -3, -3)"])
def test_an_impossible_reshape_is_named(shape: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"layer o \(Reshape\)"):
        apply(tmp_path, "reshape", X, shape=shape)


def test_axes(tmp_path: Path) -> None:
    close(apply(tmp_path, "transpose", X)[0], X.transpose())
    close(apply(tmp_path, "transpose", X, axes=(0, 2, 3, 1))[0], X.transpose(0, 2, 3, 1))
    close(apply(tmp_path, "SwapAxis", X, dim1=1, dim2=3)[0], X.swapaxes(1, 3))
    close(apply(tmp_path, "expand_dims", X, axis=-1)[0], X[..., None])
    close(apply(tmp_path, "squeeze", X[:1, :, :1].copy(), axis=(2,))[0], X[:1, :, 0])
    close(apply(tmp_path, "squeeze", X[:1, :, :1].copy())[0], X[0, :, 0])
    close(apply(tmp_path, "reshape_like", X, X.reshape(12, 20))[0], X.reshape(12, 20))
    with pytest.raises(ModelError, match="axis 4 is not there"):
        apply(tmp_path, "softmax", X, axis=4)


def test_joining_and_cutting(tmp_path: Path) -> None:
    close(apply(tmp_path, "Concat", X, Y, dim=1)[0], np.concatenate([X, Y], 1))
    close(apply(tmp_path, "concat", X, Y, dim=-1)[0], np.concatenate([X, Y], -1))
    close(apply(tmp_path, "stack", X, Y, axis=2)[0], np.stack([X, Y], 2))
    parts = apply(tmp_path, "SliceChannel", X, num_outputs=3, outputs=3)
    for got, expected in zip(parts, np.split(X, 3, 1), strict=True):
        close(got, expected)
    parts = apply(tmp_path, "split", X, num_outputs=4, axis=3, squeeze_axis=True, outputs=4)
    close(parts[2], X[..., 2])
    close(apply(tmp_path, "slice_axis", X, axis=1, begin=-5, end=-2)[0], X[:, -5:-2])
    close(apply(tmp_path, "slice_axis", X, axis=2, begin=1, end="None")[0], X[:, :, 1:])
    got = apply(tmp_path, "slice", X, begin="(None, 1, 4)", end="(None, 5, None)", step="(None, 2, -2)")[0]
    close(got, X[:, 1:5:2, 4::-2])
    close(apply(tmp_path, "slice_like", X, X[:1, :2, :3].copy(), axes=(1, 2))[0], X[:, :2, :3])
    close(apply(tmp_path, "slice_like", X, X[:1, :2, :3].copy())[0], X[:1, :2, :3])
    close(apply(tmp_path, "Crop", X, X[:, :, :2, :3].copy(), num_args=2, offset=(1, 0))[0], X[:, :, 1:3, :3])
    close(apply(tmp_path, "Crop", X, h_w=(3, 2), center_crop=True)[0], X[:, :, 1:4, 1:3])
    for bad in ({"h_w": (9, 2)}, {"h_w": (2, 2), "offset": (4, 0)}):
        with pytest.raises(ModelError, match="cannot crop"):
            apply(tmp_path, "Crop", X, **bad)
    with pytest.raises(ModelError, match="cuts nothing"):
        apply(tmp_path, "slice_axis", X, axis=1, begin=5, end=2)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_pad(mode: str, tmp_path: Path) -> None:
    options = {"constant_values": 0.5} if mode == "constant" else {}
    expected = np.pad(X, [(0, 0), (0, 0), (1, 2), (3, 1)], mode, **options)
    close(apply(tmp_path, "Pad", X, mode=mode, pad_width=(0, 0, 0, 0, 1, 2, 3, 1), constant_value=0.5)[0], expected)


def test_repeating(tmp_path: Path) -> None:
    small = X[0, 0].copy()
    close(apply(tmp_path, "tile", small, reps=(2, 1, 3))[0], np.tile(small, (2, 1, 3)))
    close(apply(tmp_path, "tile", X, reps=(2,))[0], np.tile(X, 2))
    close(apply(tmp_path, "repeat", small, repeats=3, axis=1)[0], small.repeat(3, 1))
    close(apply(tmp_path, "repeat", small, repeats=2)[0], small.repeat(2))
    close(apply(tmp_path, "broadcast_to", C, shape=(2, 0, 5, 4))[0], np.broadcast_to(C, X.shape))
    close(apply(tmp_path, "broadcast_axis", C, axis=(2, 3), size=(5, 4))[0], np.broadcast_to(C, (1, 6, 5, 4)))
    close(apply(tmp_path, "broadcast_like", C, X)[0], np.broadcast_to(C, X.shape))
    close(apply(tmp_path, "broadcast_like", C, X, lhs_axes=(2,), rhs_axes=(3,))[0], np.broadcast_to(C, (1, 6, 4, 1)))


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("repeat", {"repeats": 10**12}), ("repeat", {"repeats": -1}), ("tile", {"reps": (10**6, 10**6)}),
        ("broadcast_to", {"shape": (0, 0, 0, 0)}), ("_arange", {"start": 0, "stop": 1e18}),
        ("_contrib_arange_like", {"repeat": 0}), ("_zeros", {"shape": (10**6, 10**6)}),
        ("UpSampling", {"scale": 10**9}),
        ("_contrib_BilinearResize2D", {"height": 10**8, "width": 10**8}), ("Pad", {"pad_width": (10**12,) * 8}),
    ],
)  # fmt: skip
def test_absurd_sizes_are_refused_before_memory_is_asked_for(
    op: str, attributes: dict[str, Any], tmp_path: Path
) -> None:
    if op == "broadcast_to":
        attributes = {"shape": (10**5, 6, 10**5, 10**5)}
        inputs = [C]
    else:
        inputs = [] if op in ("_arange", "_zeros") else [X]
    net = Net()
    made = net.op(op, "o", *(net.var("data") for _ in inputs), **attributes)
    if not inputs:
        net.op("broadcast_add", "sum", made, net.var("data"))
    with pytest.raises(ModelError, match=r"layer o "):
        mxnet.read(net.save(tmp_path), input_shapes={"data": (inputs or [X])[0].shape})


# ---------------------------------------------------------------------------------------------------- tables, indices


def test_lookup(tmp_path: Path) -> None:
    table = np.random.default_rng(5).normal(size=(7, 3))
    indices = np.float32([[0, 6], [9, -1]])
    got = apply(tmp_path, "Embedding", indices, weights={"weight": table}, input_dim=7, output_dim=3)[0]
    close(got, table[[[0, 6], [6, 0]]])
    close(apply(tmp_path, "take", X, indices, axis=1)[0], X[:, [[0, 5], [5, 0]]])
    close(apply(tmp_path, "take", X, indices, axis=1, mode="wrap")[0], X[:, [[0, 0], [3, 5]]])


def test_ranges(tmp_path: Path) -> None:
    def summed(op: str, **attributes: Any) -> np.ndarray:
        net = Net()
        net.op("broadcast_add", "sum", net.op(op, "o", **attributes), net.var("data"))
        SEEN.add(mxnet.symbol.canonical(op))
        return run(mxnet.read(net.save(tmp_path), input_shapes=(1,)), {"data": np.zeros(1)})["sum"]

    close(summed("_arange", start=2, stop=10, step=3), [2, 5, 8])
    close(summed("_arange", start=3), [0, 1, 2])
    close(summed("_arange", start=0, stop=2, repeat=2), [0, 0, 1, 1])
    close(summed("_zeros", shape=(2, 3)), np.zeros((2, 3)))
    close(summed("_ones", shape=(2,)), np.ones(2))
    close(summed("_full", shape=(2,), value=3.5), [3.5, 3.5])
    close(apply(tmp_path, "_contrib_arange_like", X, axis=1, start=1, step=0.5)[0], 1 + 0.5 * np.arange(6))
    close(apply(tmp_path, "_contrib_arange_like", X)[0], np.arange(X.size).reshape(X.shape))


# ----------------------------------------------------------------------------------------------------------- resizing


def test_nearest_upsampling(tmp_path: Path) -> None:
    big = X.repeat(2, 2).repeat(2, 3)
    close(apply(tmp_path, "UpSampling", X, scale=2, sample_type="nearest")[0], big)
    small = X[:, :, :1, :1].copy()
    x = X[:, :, :2, :2].copy()
    grown = [x.repeat(2, 2).repeat(2, 3), small.repeat(4, 2).repeat(4, 3)]
    close(
        apply(tmp_path, "UpSampling", x, small, scale=2, sample_type="nearest", num_args=2)[0], np.concatenate(grown, 1)
    )
    got = apply(tmp_path, "UpSampling", x, small, scale=2, sample_type="nearest", num_args=2, multi_input_mode="sum")[0]
    close(got, grown[0] + grown[1])


@pytest.mark.parametrize(("scale", "kernel", "pad"), [(2, 4, 1), (3, 5, 1)])
def test_bilinear_upsampling(scale: int, kernel: int, pad: int, tmp_path: Path) -> None:
    w = np.random.default_rng(6).normal(size=(6, 1, kernel, kernel))
    got = apply(tmp_path, "UpSampling", X, weights={"weight": w}, scale=scale, sample_type="bilinear", num_filter=6)[0]
    close(got, deconvolved(X, w, (scale, scale), (pad, pad), (0, 0), 6), 1e-4)


def bilinear(x: np.ndarray, size: tuple[int, int], align: bool) -> np.ndarray:
    def weights(n: int, out: int) -> np.ndarray:
        matrix = np.zeros((out, n))
        for i in range(out):
            at = i * (n - 1) / (out - 1) if align and out > 1 else 0.0 if align else max(0.0, (i + 0.5) * n / out - 0.5)
            low = min(int(at), n - 1)
            high = min(low + 1, n - 1)
            matrix[i, low] += 1 - (at - low)
            matrix[i, high] += at - low
        return matrix

    return np.einsum("oh,nchw,pw->ncop", weights(x.shape[2], size[0]), x, weights(x.shape[3], size[1]))


@pytest.mark.parametrize(
    ("attributes", "size", "align"),
    [
        ({"height": 9, "width": 3}, (9, 3), True), ({"height": 7, "width": 9, "align_corners": False}, (7, 9), False),
        ({"scale_height": 2, "scale_width": 1.5}, (10, 6), True), ({"height": 1, "width": 1}, (1, 1), True),
        ({"scale_height": 2, "scale_width": 2, "mode": "odd_scale"}, (9, 8), True),
        ({"mode": "to_even_up"}, (6, 4), True), ({"mode": "to_odd_down"}, (5, 3), True),
    ],
)  # fmt: skip
def test_bilinear_resize(attributes: dict[str, Any], size: tuple[int, int], align: bool, tmp_path: Path) -> None:
    close(apply(tmp_path, "_contrib_BilinearResize2D", X, **attributes)[0], bilinear(X, size, align), 1e-4)


def test_bilinear_resize_like(tmp_path: Path) -> None:
    like = np.zeros((1, 1, 3, 8), np.float32)
    close(apply(tmp_path, "_contrib_BilinearResize2D", X, like, mode="like")[0], bilinear(X, (3, 8), True), 1e-4)


# -------------------------------------------------------------------------------------------------------------- graph


def test_weights_may_be_computed_from_weights(tmp_path: Path) -> None:
    net = Net()
    w = np.random.default_rng(0).normal(size=(4, 6, 1, 1))
    doubled = net.op("_mul_scalar", "twice", net.var("w", w), scalar=2)
    net.op("Convolution", "c", net.var("data"), doubled, kernel="(1,1)", num_filter=4, no_bias=True)
    out = run(mxnet.read(net.save(tmp_path), input_shapes=X.shape), {"data": X})["c"]
    close(out, np.einsum("nchw,oc->nohw", X, 2 * w[:, :, 0, 0]))
    net = Net()
    data = net.var("data")
    net.op(
        "Convolution", "c", data, net.op("_mul_scalar", "w", data, scalar=1), kernel="(5,4)", num_filter=2, no_bias=True
    )
    with pytest.raises(UnsupportedError, match="computed from the input"):
        mxnet.read(net.save(tmp_path), input_shapes=X.shape)


def test_one_value_as_two_outputs_under_both_names(tmp_path: Path) -> None:
    net = Net()
    data = net.var("data")
    relu = net.op("relu", "r", data)
    drop = net.op("Dropout", "d", relu)
    out = run(mxnet.read(net.save(tmp_path, relu, drop), input_shapes=(1, 3)), {"data": [[-1, 0, 2]]})
    assert {name: value.tolist() for name, value in out.items()} == {"r": [[0, 0, 2]], "d": [[0, 0, 2]]}


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_weights_of_other_types(dtype: str, tmp_path: Path) -> None:
    net = Net()
    w = np.array([[1, 2, -3], [4, 5, 6]]).astype(dtype)
    net.op("FullyConnected", "f", net.var("data"), net.var("w", w), num_hidden=2, no_bias=True)
    out = run(mxnet.read(net.save(tmp_path), input_shapes=(1, 3)), {"data": [[1, 10, 100]]})["f"]
    close(out, [[-279, 654]])


def test_every_operator_has_a_test() -> None:
    """Runs last: what the table knows was built above (detectors have a module of their own)."""
    detectors = {"MultiBoxPrior", "MultiBoxDetection", "box_nms", "box_decode", "Proposal", "ROIPooling"}
    if len(SEEN) < 100:
        pytest.skip("only some of the module's tests ran")
    assert set(LAYERS) - SEEN - detectors == set()
