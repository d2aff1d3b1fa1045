"""Each layer against NumPy, on small networks written by the tests."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe_files import apply

from arithmetic import sigmoid, softmax
from lengths import length
from saccade.errors import ModelError, UnsupportedError
from saccade.formats.caffe.operators import LAYERS

X = np.random.default_rng(7).normal(size=(1, 6, 5, 4)).astype(np.float32)
Y = np.random.default_rng(8).normal(size=(1, 6, 5, 4)).astype(np.float32)


def close(got: np.ndarray, expected: Any, tolerance: float = 1e-5) -> None:
    expected = np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def one(folder: Path, text: str, *inputs: np.ndarray, blobs: Any = ()) -> np.ndarray:
    return apply(folder, text, *inputs, blobs=blobs)[0]


UNARY: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "relu": ('type: "ReLU"', lambda x: np.maximum(x, 0)),
    "leaky": ('type: "ReLU" relu_param { negative_slope: 0.1 }', lambda x: np.where(x > 0, x, 0.1 * x)),
    "relu6": ('type: "ReLU6"', lambda x: np.clip(x, 0, 6)),
    "elu": ('type: "ELU" elu_param { alpha: 0.5 }', lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    "sigmoid": ('type: "Sigmoid"', sigmoid),
    "tanh": ('type: "TanH"', np.tanh),
    "abs": ('type: "AbsVal"', np.abs),
    "bnll": ('type: "BNLL"', lambda x: np.log1p(np.exp(x))),
    "dropout": ('type: "Dropout"', lambda x: x),
    "power": ('type: "Power" power_param { power: 2 scale: 0.5 shift: 1 }', lambda x: (0.5 * x + 1) ** 2),
    "exp": ('type: "Exp" exp_param { base: 2 scale: 0.5 shift: 1 }', lambda x: 2 ** (0.5 * x + 1)),
    "exp of e": ('type: "Exp"', np.exp),
    "log": ('type: "Log" log_param { base: 10 scale: 0.5 shift: 9 }', lambda x: np.log10(0.5 * x + 9)),
    "softmax": ('type: "Softmax"', lambda x: softmax(x, 1)),
    "softmax axis": ('type: "Softmax" softmax_param { axis: -1 }', lambda x: softmax(x, 3)),
    "flatten": ('type: "Flatten"', lambda x: x.reshape(1, -1)),
    "flatten part": ('type: "Flatten" flatten_param { axis: 1 end_axis: 2 }', lambda x: x.reshape(1, 30, 4)),
    "reshape": ('type: "Reshape" reshape_param { shape { dim: 0 dim: -1 dim: 4 } }', lambda x: x.reshape(1, 30, 4)),
    "reshape part": (
        'type: "Reshape" reshape_param { axis: 1 num_axes: 1 shape { dim: 2 dim: -1 } }',
        lambda x: x.reshape(1, 2, 3, 5, 4),
    ),
    "reshape insert": (
        'type: "Reshape" reshape_param { axis: -1 num_axes: 0 shape { dim: 1 } }', lambda x: x.reshape(1, 6, 5, 4, 1)
    ),
    "permute": ('type: "Permute" permute_param { order: 0 order: 2 }', lambda x: x.transpose(0, 2, 1, 3)),
    "tile": ('type: "Tile" tile_param { axis: 2 tiles: 3 }', lambda x: np.tile(x, (1, 1, 3, 1))),
    "mvn": (
        'type: "MVN"', lambda x: (x - x.mean((2, 3), keepdims=True)) / (x.std((2, 3), keepdims=True) + 1e-9)
    ),
    "mvn mean": (
        'type: "MVN" mvn_param { normalize_variance: false across_channels: true }',
        lambda x: x - x.mean((1, 2, 3), keepdims=True),
    ),
    "shuffle": (
        'type: "ShuffleChannel" shuffle_channel_param { group: 3 }',
        lambda x: x.reshape(1, 3, 2, 5, 4).swapaxes(1, 2).reshape(x.shape),
    ),
    "upsample": ('type: "Upsample" upsample_param { scale: 2 }', lambda x: x.repeat(2, 2).repeat(2, 3)),
    "upsample two": ('type: "Upsample" upsample_param { scale_h: 3 scale_w: 1 }', lambda x: x.repeat(3, 2)),
    "argmax": ('type: "ArgMax"', lambda x: x.reshape(1, 1, 1, -1).argmax(-1)[..., None]),
    "argmax axis": ('type: "ArgMax" argmax_param { axis: 1 }', lambda x: x.argmax(1)[:, None]),
    "argmax values": (
        'type: "ArgMax" argmax_param { axis: 1 out_max_val: true top_k: 2 }', lambda x: -np.sort(-x, 1)[:, :2]
    ),
    "argmax both": (
        'type: "ArgMax" argmax_param { out_max_val: true }',
        lambda x: np.array([[[[x.argmax()]], [[x.max()]]]]),
    ),
    "norm within": (
        'type: "LRN" lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }', lambda x: within(x, 3, 0.5)
    ),
}  # fmt: skip


def within(x: np.ndarray, size: int, alpha: float) -> np.ndarray:
    half = size // 2
    padded = np.pad(x**2, [(0, 0), (0, 0), (half, half), (half, half)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (2, 3))
    return x / (1 + alpha / size**2 * windows.sum((-1, -2))) ** 0.75


@pytest.mark.parametrize("name", UNARY)
def test_layers_of_one_input_give_what_numpy_gives(name: str, tmp_path: Path) -> None:
    text, expected = UNARY[name]
    close(one(tmp_path, text, X), expected(X), 1e-4 if "mvn" in name else 1e-5)


def test_lrn_obeys_k(tmp_path: Path) -> None:
    squares = np.pad(X**2, [(0, 0), (1, 1), (0, 0), (0, 0)])
    total = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
    got = one(tmp_path, 'type: "LRN" lrn_param { local_size: 3 alpha: 0.1 k: 2 }', X)
    close(got, X / (2 + 0.1 / 3 * total) ** 0.75)


# ---------------------------------------------------------------------------------------- convolution and its friends


def convolved(x: np.ndarray, w: np.ndarray, stride: Any, pad: Any, dilate: Any, groups: int) -> np.ndarray:
    x = np.pad(np.float64(x), [(0, 0), (0, 0), *((p, p) for p in pad)])
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilate, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, (2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilate[0], :: dilate[1]]
    size, filters = w.shape[1], w.shape[0] // groups
    parts = [
        np.einsum("nihwab,oiab->nohw", windows[:, g * size : (g + 1) * size], w[g * filters : (g + 1) * filters])
        for g in range(groups)
    ]
    return np.concatenate(parts, 1)


@pytest.mark.parametrize(
    ("text", "kernel", "stride", "pad", "dilate", "groups"),
    [
        ("kernel_size: 3", (3, 3), (1, 1), (0, 0), (1, 1), 1),
        ("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", (3, 2), (2, 1), (1, 0), (1, 1), 1),
        (
            "kernel_size: 3 kernel_size: 2 stride: 1 pad: 2 pad: 1 dilation: 2 group: 3",
            (3, 2),
            (1, 1),
            (2, 1),
            (2, 2),
            3,
        ),
        ("kernel_size: 1 stride: 2 stride: 3", (1, 1), (2, 3), (0, 0), (1, 1), 1),
    ],
)
def test_convolution(text: str, kernel: Any, stride: Any, pad: Any, dilate: Any, groups: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    w, b = rng.normal(size=(9, 6 // groups, *kernel)), rng.normal(size=9)
    expected = convolved(X, w, stride, pad, dilate, groups)
    layer = f'type: "Convolution" convolution_param {{ num_output: 9 {text} %s }}'
    close(one(tmp_path, layer % "", X, blobs=[w, b]), expected + b.reshape(1, -1, 1, 1), 1e-4)
    close(one(tmp_path, layer % "bias_term: false", X, blobs=[w]), expected, 1e-4)


@pytest.mark.parametrize("kind", ["DepthwiseConvolution", "ConvolutionDepthwise"])
def test_depthwise_convolution(kind: str, tmp_path: Path) -> None:
    w = np.random.default_rng(1).normal(size=(6, 1, 3, 3))
    text = f'type: "{kind}" convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 bias_term: false }}'
    close(one(tmp_path, text, X, blobs=[w]), convolved(X, w, (1, 1), (1, 1), (1, 1), 6), 1e-4)


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_deconvolution(groups: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    w, b = rng.normal(size=(6, 2, 4, 4)), rng.normal(size=2 * groups)
    y = np.zeros((1, 2 * groups, 12, 10))
    for c, i, j in itertools.product(range(6), range(5), range(4)):
        g = c // (6 // groups)
        y[:, 2 * g : 2 * g + 2, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += X[:, c, i, j, None, None, None] * w[c]
    numbers = f"num_output: {2 * groups} kernel_size: 4 stride: 2 pad: 1 group: {groups}"
    text = f'type: "Deconvolution" convolution_param {{ {numbers} }}'
    close(one(tmp_path, text, X, blobs=[w, b]), y[:, :, 1:-1, 1:-1] + b.reshape(1, -1, 1, 1), 1e-4)


def test_inner_product(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    w, b = rng.normal(size=(7, 120)), rng.normal(size=7)
    text = 'type: "InnerProduct" inner_product_param {{ num_output: 7 {} }}'
    expected = X.reshape(1, -1) @ w.T + b
    close(one(tmp_path, text.format(""), X, blobs=[w, b]), expected, 1e-4)
    close(one(tmp_path, text.format(""), X, blobs=[w.reshape(1, 1, 7, 120), b.reshape(1, 1, 1, 7)]), expected, 1e-4)
    close(one(tmp_path, text.format("transpose: true"), X, blobs=[w.T, b]), expected, 1e-4)
    w = rng.normal(size=(7, 20))
    close(one(tmp_path, text.format("axis: 2 bias_term: false"), X, blobs=[w]), X.reshape(1, 6, 20) @ w.T, 1e-4)


def test_batch_norm(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    mean, variance = rng.normal(size=6), rng.random(6) + 0.1
    shaped = [v.reshape(1, 6, 1, 1) for v in (mean, variance)]
    expected = (X - shaped[0]) / np.sqrt(shaped[1] + 1e-3)
    text = 'type: "BatchNorm" batch_norm_param { eps: 0.001 }'
    close(one(tmp_path, text, X, blobs=[mean * 999, variance * 999, [999.0]]), expected, 1e-4)
    got = one(tmp_path, text, X, blobs=[mean, variance, [0.0]])
    close(got, X / np.sqrt(1e-3), 1e-4)  # no batch was ever seen
    live = one(
        tmp_path, 'type: "BatchNorm" batch_norm_param { use_global_stats: false }', X, blobs=[mean, variance, [1.0]]
    )
    close(live, (X - X.mean((0, 2, 3), keepdims=True)) / np.sqrt(X.var((0, 2, 3), keepdims=True) + 1e-5), 1e-4)


def test_scale_and_bias(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=6), rng.normal(size=6)
    column = [v.reshape(1, 6, 1, 1) for v in (a, b)]
    close(one(tmp_path, 'type: "Scale"', X, blobs=[a]), X * column[0])
    close(one(tmp_path, 'type: "Scale" scale_param { bias_term: true }', X, blobs=[a, b]), X * column[0] + column[1])
    close(one(tmp_path, 'type: "Bias"', X, blobs=[b]), X + column[1])
    grid = rng.normal(size=(5, 4))
    close(one(tmp_path, 'type: "Scale" scale_param { axis: 2 num_axes: 2 }', X, blobs=[grid]), X * grid)
    close(
        one(tmp_path, 'type: "Scale" scale_param { num_axes: -1 }', X, blobs=[rng.normal(size=(6, 5, 4)) * 0 + 2]),
        X * 2,
    )
    close(one(tmp_path, 'type: "Scale" scale_param { axis: 0 num_axes: 0 }', X, blobs=[[3.0]]), X * 3)
    second = rng.normal(size=(1, 6)).astype(np.float32)
    close(one(tmp_path, 'type: "Scale" scale_param { axis: 0 }', X, second), X * second[..., None, None])
    got = one(tmp_path, 'type: "Scale" scale_param { axis: 0 bias_term: true }', X, second, blobs=[[b]])
    close(got, X * second[..., None, None] + column[1])
    close(one(tmp_path, 'type: "Bias" bias_param { axis: 0 }', X, second), X + second[..., None, None])


def test_prelu_and_normalize(tmp_path: Path) -> None:
    slope = np.linspace(0.1, 0.6, 6)
    close(one(tmp_path, 'type: "PReLU"', X, blobs=[slope]), np.where(X > 0, X, X * slope.reshape(1, 6, 1, 1)))
    close(
        one(tmp_path, 'type: "PReLU" prelu_param { channel_shared: true }', X, blobs=[[0.3]]),
        np.where(X > 0, X, X * 0.3),
    )
    text = 'type: "Normalize" norm_param {{ across_spatial: {} channel_shared: {} }}'
    whole = X / np.sqrt((X**2).sum() + 1e-10)
    close(one(tmp_path, 'type: "Normalize"', X, blobs=[[20.0]]), whole * 20)
    column = X / np.sqrt((X**2).sum(1, keepdims=True) + 1e-10)
    close(one(tmp_path, text.format("false", "false"), X, blobs=[slope]), column * slope.reshape(1, 6, 1, 1))


def pooled(x: np.ndarray, kernel: Any, stride: Any, pad: Any, *, up: bool, method: str) -> np.ndarray:
    """`PoolingLayer::Reshape` and `Forward_cpu` of Caffe."""
    out = []
    for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        count = (math.ceil if up else math.floor)((n + 2 * p - k) / s) + 1
        out.append(count - 1 if any(pad) and (count - 1) * s >= n + p else count)
    y = np.zeros((*x.shape[:2], *out))
    for i, j in itertools.product(*map(range, out)):
        starts = [c * s - p for c, s, p in zip((i, j), stride, pad, strict=True)]
        ends = [min(b + k, n + p) for b, k, n, p in zip(starts, kernel, x.shape[2:], pad, strict=True)]
        own = x[:, :, max(starts[0], 0) : ends[0], max(starts[1], 0) : ends[1]]
        count = math.prod(e - b for b, e in zip(starts, ends, strict=True))
        y[:, :, i, j] = own.max((2, 3)) if method == "MAX" else own.sum((2, 3)) / count
    return y


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("text", "kernel", "stride", "pad", "up"),
    [
        ("kernel_size: 2 stride: 2", (2, 2), (2, 2), (0, 0), True),
        ("kernel_size: 3 stride: 2", (3, 3), (2, 2), (0, 0), True),
        ("kernel_size: 3 stride: 2 pad: 1", (3, 3), (2, 2), (1, 1), True),
        ("kernel_size: 2 stride: 2 pad: 1", (2, 2), (2, 2), (1, 1), True),
        ("kernel_h: 2 kernel_w: 3 stride: 2 pad_h: 0 pad_w: 1", (2, 3), (2, 2), (0, 1), True),
        ("kernel_size: 2 stride: 2 round_mode: FLOOR", (2, 2), (2, 2), (0, 0), False),
        ("kernel_size: 2 stride: 2 ceil_mode: false", (2, 2), (2, 2), (0, 0), False),
        ("kernel_size: 3", (3, 3), (1, 1), (0, 0), True),
    ],
)
def test_pooling(method: str, text: str, kernel: Any, stride: Any, pad: Any, up: bool, tmp_path: Path) -> None:
    got = one(tmp_path, f'type: "Pooling" pooling_param {{ pool: {method} {text} }}', X)
    close(got, pooled(X, kernel, stride, pad, up=up, method=method))


def test_global_and_random_pooling(tmp_path: Path) -> None:
    close(
        one(tmp_path, 'type: "Pooling" pooling_param { pool: AVE global_pooling: true }', X),
        X.mean((2, 3), keepdims=True),
    )
    close(one(tmp_path, 'type: "Pooling" pooling_param { global_pooling: true }', X), X.max((2, 3), keepdims=True))
    with pytest.raises(UnsupportedError, match="pools at random"):
        one(tmp_path, 'type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }', X)


# ---------------------------------------------------------------------------------------------------- several inputs


def test_eltwise(tmp_path: Path) -> None:
    close(one(tmp_path, 'type: "Eltwise"', X, Y), X + Y)
    close(one(tmp_path, 'type: "Eltwise" eltwise_param { coeff: 0.5 coeff: -1.5 }', X, Y), 0.5 * X - 1.5 * Y)
    close(one(tmp_path, 'type: "Eltwise" eltwise_param { operation: PROD }', X, Y), X * Y)
    close(one(tmp_path, 'type: "Eltwise" eltwise_param { operation: 2 }', X, Y), np.maximum(X, Y))
    with pytest.raises(ModelError, match="coefficients"):
        one(tmp_path, 'type: "Eltwise" eltwise_param { coeff: 1 }', X, Y)


def test_joining_and_cutting(tmp_path: Path) -> None:
    close(one(tmp_path, 'type: "Concat"', X, Y), np.concatenate([X, Y], 1))
    close(one(tmp_path, 'type: "Concat" concat_param { axis: -1 }', X, Y), np.concatenate([X, Y], 3))
    close(one(tmp_path, 'type: "Concat" concat_param { concat_dim: 2 }', X, Y), np.concatenate([X, Y], 2))
    parts = apply(
        tmp_path, 'type: "Slice" slice_param { axis: 1 slice_point: 1 slice_point: 4 }', X, tops=["a", "b", "c"]
    )
    for got, expected in zip(parts, np.split(X, [1, 4], 1), strict=True):
        close(got, expected)
    parts = apply(tmp_path, 'type: "Slice"', X, tops=["a", "b"])
    close(parts[1], X[:, 3:])
    for got in apply(tmp_path, 'type: "Split"', X, tops=["a", "b"]):
        close(got, X)
    like = np.zeros((1, 2, 3, 2), np.float32)
    close(one(tmp_path, 'type: "Crop" crop_param { offset: 1 }', X, like), X[:, :, 1:4, 1:3])
    close(
        one(tmp_path, 'type: "Crop" crop_param { axis: 1 offset: 3 offset: 0 offset: 2 }', X, like), X[:, 3:5, :3, 2:]
    )
    for bad in ("offset: 4", "axis: 1 offset: 1 offset: 2"):
        with pytest.raises(ModelError, match="crop"):
            one(tmp_path, f'type: "Crop" crop_param {{ {bad} }}', X, like)
    with pytest.raises(ModelError, match="cannot cut"):
        apply(tmp_path, 'type: "Slice" slice_param { slice_point: 9 }', X, tops=["a", "b"])


# ----------------------------------------------------------------------------------------------------------- resizing


def align_corners(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    def weights(n: int, out: int) -> np.ndarray:
        matrix = np.zeros((out, n))
        for i in range(out):
            at = i * (n - 1) / (out - 1) if out > 1 else 0.0
            low = min(int(at), n - 1)
            matrix[i, low] += 1 - (at - low)
            matrix[i, min(low + 1, n - 1)] += at - low
        return matrix

    return np.einsum("oh,nchw,pw->ncop", weights(x.shape[2], size[0]), x, weights(x.shape[3], size[1]))


@pytest.mark.parametrize(
    ("text", "size"),
    [("height: 9 width: 3", (9, 3)), ("zoom_factor: 3", (13, 10)), ("shrink_factor: 2", (3, 2)),
     ("shrink_factor: 2 zoom_factor: 2", (5, 3))],
)  # fmt: skip
def test_interp(text: str, size: tuple[int, int], tmp_path: Path) -> None:
    close(one(tmp_path, f'type: "Interp" interp_param {{ {text} }}', X), align_corners(X, size), 1e-4)


def test_interp_crops_and_follows_another(tmp_path: Path) -> None:
    cropped = align_corners(X[:, :, 1:, 1:], (7, 7))
    close(one(tmp_path, 'type: "Interp" interp_param { height: 7 width: 7 pad_beg: -1 }', X), cropped, 1e-4)
    like = np.zeros((1, 1, 4, 9), np.float32)
    close(one(tmp_path, 'type: "Interp"', X, like), align_corners(X, (4, 9)), 1e-4)


def test_reorg(tmp_path: Path) -> None:
    """Darknet's own order: channels are read as if the picture were larger and had fewer of them."""
    x = np.arange(8 * 4 * 6, dtype=np.float32).reshape(1, 8, 4, 6)
    flat, out = x.ravel(), np.zeros(x.size, np.float32)
    for k, j, i in itertools.product(range(8), range(4), range(6)):
        c, shift = k % 2, k // 2
        out[i + 6 * (j + 4 * k)] = flat[i * 2 + shift % 2 + 12 * (j * 2 + shift // 2 + 8 * c)]
    got = one(tmp_path, 'type: "Reorg" reorg_param { stride: 2 }', x)
    assert got.shape == (1, 32, 2, 3)
    np.testing.assert_array_equal(got.ravel(), out)


# -------------------------------------------------------------------------------------------------------------- boxes


def test_prior_box(tmp_path: Path) -> None:
    feature, picture = np.zeros((1, 1, 2, 3), np.float32), np.zeros((1, 3, 60, 90), np.float32)
    text = (
        'type: "PriorBox" prior_box_param { min_size: 20 max_size: 45 aspect_ratio: 2 aspect_ratio: 2 flip: true '
        "clip: false variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }"
    )
    expected = []
    for y, x in itertools.product((15, 45), (15, 45, 75)):
        for w, h in ((20, 20), (30, 30), (20 * 2**0.5, 20 / 2**0.5), (20 / 2**0.5, 20 * 2**0.5)):
            expected += [(x - w / 2) / 90, (y - h / 2) / 60, (x + w / 2) / 90, (y + h / 2) / 60]
    got = one(tmp_path, text, feature, picture)
    assert got.shape == (1, 2, 2 * 3 * 4 * 4)
    np.testing.assert_allclose(got[0, 0], expected, atol=1e-6)
    np.testing.assert_allclose(got[0, 1], np.tile([0.1, 0.1, 0.2, 0.2], 24))
    stepped = one(
        tmp_path,
        text.replace("min_size", "step: 8 offset: 0.25 min_size").replace("clip: false", "clip: true"),
        feature,
        picture,
    )
    assert stepped[0, 0, 2] == pytest.approx((0.25 * 8 + 10) / 90)
    assert stepped[0, 0].min() == 0


def _detect(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, overlap: float, top: int, keep: int
) -> list[list[float]]:
    """Caffe's DetectionOutput for one picture: suppression class by class, then the best of all."""

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
        inner = max(width, 0) * max(height, 0)
        return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)

    found = []
    for label in range(1, scores.shape[1]):
        order = [i for i in np.argsort(-scores[:, label], kind="stable") if scores[i, label] > threshold][:top]
        kept: list[int] = []
        for i in order:
            if all(iou(boxes[i], boxes[j]) <= overlap for j in kept):
                kept.append(int(i))
        found += [[float(label), float(scores[i, label]), *map(float, boxes[i])] for i in kept]
    return sorted(found, key=lambda row: -row[1])[:keep]


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("keep", [-1, 8])
def test_detection_output(share: bool, keep: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    count, classes = 30, 3
    corner = rng.random((count, 2))
    priors = np.concatenate([corner, corner + rng.random((count, 2)) * 0.5 + 0.05], 1)
    variance = np.tile([0.1, 0.1, 0.2, 0.2], count)
    prior = np.stack([priors.ravel(), variance])[None].astype(np.float32)
    scores = rng.random((count, classes)).astype(np.float32)
    loc = rng.normal(size=(count, 1 if share else classes, 4)).astype(np.float32) * 0.5
    if not share:
        loc[:] = loc[:, :1]  # the same for each class, so that one expectation serves both
    text = (
        f'type: "DetectionOutput" detection_output_param {{ num_classes: 3 share_location: {str(share).lower()} '
        "nms_param { nms_threshold: 0.45 top_k: 20 } code_type: CENTER_SIZE confidence_threshold: 0.3 "
        + (f"keep_top_k: {keep} }}" if keep > 0 else "}")
    )
    got = one(tmp_path, text, loc.reshape(1, -1), scores.reshape(1, -1), prior).reshape(-1, 7)
    size, centre = priors[:, 2:] - priors[:, :2], (priors[:, 2:] + priors[:, :2]) / 2
    offsets = loc[:, 0] * [0.1, 0.1, 0.2, 0.2]
    middle, half = offsets[:, :2] * size + centre, np.exp(offsets[:, 2:]) * size / 2
    expected = _detect(
        np.concatenate([middle - half, middle + half], 1), scores, 0.3, 0.45, 20, keep if keep > 0 else 999
    )
    ends = np.flatnonzero(got[:, 0] < 0)
    got = got[: ends[0], 1:] if len(ends) else got[:, 1:]
    np.testing.assert_allclose(got[np.argsort(-got[:, 1])], expected, atol=1e-5)


def test_detection_output_that_does_not_fit(tmp_path: Path) -> None:
    text = 'type: "DetectionOutput" detection_output_param { num_classes: 2 %s }'
    inputs = [np.zeros((1, 16)), np.zeros((1, 8)), np.zeros((1, 2, 16))]
    with pytest.raises(UnsupportedError, match="CORNER_SIZE"):
        one(tmp_path, text % "code_type: CORNER_SIZE nms_param { top_k: 4 } keep_top_k: 4", *inputs)
    with pytest.raises(UnsupportedError, match=r"lowers its overlap threshold .*\(eta\)"):
        one(tmp_path, text % "code_type: CENTER_SIZE nms_param { eta: 0.9 }", *inputs)
    inputs[1] = np.zeros((1, 9))
    with pytest.raises(ModelError, match="do not fit"):
        one(tmp_path, text % "", *inputs)


def test_roi_pooling(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(1, 2, 8, 8)).astype(np.float32)
    got = one(
        tmp_path, 'type: "ROIPooling" roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.25 }', x,
        np.float32([[0, 0, 0, 28, 28]]),
    )  # fmt: skip
    close(got, x.reshape(1, 2, 2, 4, 2, 4).max((3, 5)))


# --------------------------------------------------------------------------------------------------------- bad layers


@pytest.mark.parametrize(
    ("layer", "blobs", "message"),
    [
        ('type: "Convolution" convolution_param { num_output: 4 }', [[1.0]], "make no window"),
        ('type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 }', [[1.0]], r"expected \(4, 6, 3, 3\)"),
        ('type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 group: 4 }', [[1.0]], "into 4 groups"),
        ('type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 pad: 99999999 }', [[1.0]], "no window"),
        ('type: "Convolution" convolution_param { num_output: 4 kernel_size: "x" }', [[1.0]], "expected a number"),
        ('type: "Convolution" convolution_param { num_output: 2 kernel_size: 1 }', [np.ones(12)], "has 1 blobs"),
        ('type: "InnerProduct" inner_product_param { num_output: 3 }', [np.ones((3, 7))], r"expected \(3, 120\)"),
        ('type: "Softmax" softmax_param { axis: 9 }', [], "axis 9 is not there"),
        ('type: "Reshape" reshape_param { shape { dim: 7 dim: -1 } }', [], "cannot turn"),
        ('type: "Reshape" reshape_param { shape { dim: -1 dim: -1 } }', [], "only one size"),
        ('type: "Permute" permute_param { order: 1 order: 1 }', [], "names an axis twice"),
        ('type: "Tile" tile_param { tiles: 1000000000000 }', [], "at most"),
        ('type: "Interp" interp_param { height: 100000000 width: 100000000 }', [], "at most"),
        ('type: "Upsample" upsample_param { scale: 1000000 }', [], "expected 1 to 64"),
        ('type: "Pooling" pooling_param { kernel_size: 9 }', [], "larger than its input"),
        ('type: "Log" log_param { base: -3 }', [], "expected a positive number"),
        ('type: "ShuffleChannel" shuffle_channel_param { group: 4 }', [], "cannot shuffle"),
        ('type: "Eltwise" eltwise_param { operation: DIV }', [], "one of PROD, SUM, MAX"),
        ('type: "Crop"', [], "has 1 inputs"),
        ('type: "ArgMax" argmax_param { top_k: 0 }', [], "the best 0 of 120 values; expected 1 to 120"),
        ('type: "ArgMax" argmax_param { top_k: 7 axis: 1 }', [], "the best 7 of 6 values; expected 1 to 6"),
        ('type: "ArgMax" argmax_param { top_k: -1 axis: 1 }', [], "the best -1 of 6 values"),
        ('type: "LRN" lrn_param { local_size: 4 }', [], "local_size is '4'; expected an odd number"),
        ('type: "LRN" lrn_param { local_size: 0 }', [], "local_size is '0'; expected an odd number"),
        ('type: "LRN" lrn_param { local_size: -3 norm_region: WITHIN_CHANNEL }', [], "over -3 values"),
        ('type: "LRN" lrn_param { alpha: nan }', [], "alpha is 'nan'; expected finite numbers"),
        ('type: "Reorg" reorg_param { stride: 0 }', [], "has stride 0"),
        ('type: "Reorg" reorg_param { stride: -1 }', [], "has stride -1"),
        ('type: "Reorg" reorg_param { stride: 4 }', [], "has stride 4"),
        ('type: "Pooling" pooling_param { kernel_size: 0 }', [], "make no window"),
        ('type: "Pooling" pooling_param { kernel_size: 2 stride: 0 }', [], "make no window"),
        ('type: "Pooling" pooling_param { kernel_size: 2 pad: -1 }', [], "make no window"),
        ('type: "Convolution" convolution_param { num_output: 4 kernel_size: 3 dilation: 7 }',
         [np.ones((4, 6, 3, 3)), np.ones(4)], "with dilations .* larger than its input with padding"),
        ('type: "Deconvolution" convolution_param { num_output: 4 kernel_size: 3 pad: 7 }',
         [np.ones((6, 4, 3, 3)), np.ones(4)], "that leave .* of its result"),
        ('type: "Scale" scale_param { num_axes: -2 }', [[1.0]], "num_axes is '-2'"),
        ('type: "Reshape" reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: 0 dim: 0 } }', [], "does not have"),
        ('type: "Interp" interp_param { shrink_factor: 0 }', [], "shrink_factor 0"),
        ('type: "Interp" interp_param { zoom_factor: -2 }', [], "zoom_factor -2"),
        ('type: "Interp" interp_param { shrink_factor: 0 width: 9 height: 9 }', [], "shrink_factor 0"),
        ('type: "BatchNorm"', [*np.ones((2, 6)), [1.0], *np.ones((2, 6))], "o .* has 5 blobs .* has 3 in Caffe"),
        ('type: "Convolution" convolution_param { num_output: 2 kernel_size: 1 bias_term: false }',
         [np.ones((2, 6, 1, 1)), np.ones(2)], "has 2 blobs .* has 1 in Caffe"),
    ],
)  # fmt: skip
def test_bad_layers_are_named(layer: str, blobs: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        apply(tmp_path, layer, X, blobs=blobs)
    assert "layer o" in str(caught.value)


ROIS = np.float32([[0, 0, 0, 28, 28]])
FEATURE, PICTURE = np.zeros((1, 1, 2, 3), np.float32), np.zeros((1, 3, 60, 90), np.float32)
EACH: dict[str, tuple[str, tuple[np.ndarray, ...], Any]] = {
    "Convolution": ("convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 1 dilation: 1 group: 2 }", (X,),
                    [np.ones((4, 3, 3, 3)), np.ones(4)]),
    "Deconvolution": ("convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 dilation: 1 group: 2 }", (X,),
                      [np.ones((6, 2, 3, 3)), np.ones(4)]),
    "InnerProduct": ("inner_product_param { num_output: 3 axis: 1 }", (X,), [np.ones((3, 120)), np.ones(3)]),
    "BatchNorm": ("batch_norm_param { eps: 0.1 }", (X,), [np.ones(6), np.ones(6), np.ones(1)]),
    "Pooling": ("pooling_param { kernel_size: 2 stride: 2 pad: 1 pool: 1 }", (X,), []),
    "Scale": ("scale_param { axis: 1 num_axes: 1 }", (X,), [np.ones(6)]),
    "Bias": ("bias_param { axis: 1 num_axes: 1 }", (X,), [np.ones(6)]),
    "ReLU": ("relu_param { negative_slope: 0.1 }", (X,), []),
    "ELU": ("elu_param { alpha: 0.1 }", (X,), []),
    "Power": ("power_param { power: 2 scale: 2 shift: 1 }", (X,), []),
    "Exp": ("exp_param { base: 2 scale: 2 shift: 1 }", (X,), []),
    "Log": ("log_param { base: 2 scale: 2 shift: 9 }", (X,), []),
    "Eltwise": ("eltwise_param { operation: 1 coeff: 1 coeff: 2 }", (X, X), []),
    "LRN": ("lrn_param { local_size: 3 alpha: 1 beta: 0.5 k: 2 norm_region: 0 }", (X,), []),
    "MVN": ("mvn_param { eps: 0.1 }", (X,), []),
    "Normalize": ("norm_param { eps: 0.1 across_spatial: 0 channel_shared: 1 }", (X,), [np.ones(1)]),
    "Softmax": ("softmax_param { axis: 1 }", (X,), []),
    "Concat": ("concat_param { axis: 1 }", (X, X), []),
    "Slice": ("slice_param { axis: 1 slice_point: 2 }", (X,), []),
    "Flatten": ("flatten_param { axis: 1 end_axis: 2 }", (X,), []),
    "Reshape": ("reshape_param { shape { dim: 0 dim: 30 dim: -1 } axis: 0 num_axes: -1 }", (X,), []),
    "Permute": ("permute_param { order: 0 order: 2 order: 1 order: 3 }", (X,), []),
    "Crop": ("crop_param { axis: 2 offset: 1 }", (X, X[:, :, 2:, 2:]), []),
    "Tile": ("tile_param { axis: 1 tiles: 2 }", (X,), []),
    "ArgMax": ("argmax_param { axis: 1 top_k: 2 }", (X,), []),
    "Interp": ("interp_param { shrink_factor: 2 zoom_factor: 2 pad_beg: 0 pad_end: 0 }", (X,), []),
    "Upsample": ("upsample_param { scale: 2 }", (X,), []),
    "Reorg": ("reorg_param { stride: 2 }", (np.zeros((1, 8, 4, 6), np.float32),), []),
    "ShuffleChannel": ("shuffle_channel_param { group: 2 }", (X,), []),
    "PriorBox": ("prior_box_param { min_size: 8 max_size: 16 aspect_ratio: 2 step: 30 offset: 0.5 variance: 0.1 }",
                 (FEATURE, PICTURE), []),
    "ROIPooling": ("roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.25 }",
                   (np.zeros((1, 2, 8, 8), np.float32), ROIS), []),
    "DetectionOutput": (
        "detection_output_param { num_classes: 2 background_label_id: 0 keep_top_k: 5 confidence_threshold: 0.1 "
        "nms_param { nms_threshold: 0.3 top_k: 4 } code_type: 2 }",
        (np.zeros((1, 12), np.float32), np.zeros((1, 6), np.float32), np.ones((1, 2, 12), np.float32)), []),
}  # fmt: skip


@pytest.mark.parametrize("kind", EACH)
def test_numbers_of_nonsense_are_refused_or_run(kind: str, tmp_path: Path) -> None:
    """What is read can also be compiled and run; everything else names the layer and what is wrong with it."""
    options, inputs, blobs = EACH[kind]
    tops = ("o", "p") if kind == "Slice" else ("o",)
    apply(tmp_path, f'type: "{kind}" {options}', *inputs, blobs=blobs, tops=tops)
    ends = []
    for number in re.finditer(r"(?<=: )-?[\d.]+", options):
        for value in ("0", "-1", "4294967296", "nan", "3", "65536", "7", "1e30", "inf")[: length(4, 9)]:
            text = options[: number.start()] + value + options[number.end() :]
            said = ""
            try:
                apply(tmp_path, f'type: "{kind}" {text}', *inputs, blobs=blobs, tops=tops)
            except ModelError as error:
                said = str(error)
            assert not said or f"net.prototxt: layer o ({kind}): " in said, text
            assert "does not fit its inputs" not in said, text
            ends.append(bool(said))
    assert any(ends)


def test_every_layer_has_a_test() -> None:
    text = Path(__file__).read_text()
    assert [name for name in LAYERS if f'"{name}"' not in text] == []
