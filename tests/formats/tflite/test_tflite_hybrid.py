"""Weights whose signed bytes are typed UINT8 beside float activations (TensorFlow of 2018)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_files import DEQUANTIZE, FULLY_CONNECTED, Network

from saccade.errors import UnsupportedError
from saccade.networks import Model

RNG = np.random.default_rng(5)
BYTES = RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
BIAS = RNG.standard_normal(4).astype(np.float32)
X = RNG.standard_normal((1, 6, 5, 3)).astype(np.float32)


def float_conv(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    padded = np.pad(X[0].astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.einsum("hwcij,oijc->hwo", windows, weights.astype(np.float64)) + BIAS


def conv(dtype: str, zero: int, *, dequantised: bool = False) -> Network:
    network = Network()
    x = network.input("x", X.shape)
    w = network.tensor("w", BYTES.shape, dtype, BYTES.view(dtype), scale=0.02, zero=zero)
    b = network.tensor("b", (4,), "float32", BIAS)
    out = network.tensor("y", (1, 6, 5, 4))
    if dequantised:
        floats = network.tensor("w_float", BYTES.shape)
        network.operator(DEQUANTIZE, [w], [floats])
        w = floats
    network.conv(x, w, b, out)
    network.outputs = [out]
    return network


@pytest.mark.parametrize(("dtype", "zero"), [("uint8", 0), ("uint8", 128), ("uint8", 7), ("int8", 0)])
def test_a_convolution_reads_them_as_int8(tmp_path: Path, dtype: str, zero: int) -> None:
    """TensorFlow Lite's kernel pays no heed to the zero point."""
    path = conv(dtype, zero).save(tmp_path / "conv.tflite")
    found = Model(path, precision="f32").infer(X)["y"][0]
    np.testing.assert_allclose(found, float_conv(BYTES.astype(np.float32) * np.float32(0.02)), atol=1e-4)


@pytest.mark.parametrize("zero", [0, 128, 7])
def test_a_dequantize_reads_them_by_their_type(tmp_path: Path, zero: int) -> None:
    path = conv("uint8", zero, dequantised=True).save(tmp_path / "conv.tflite")
    found = Model(path, precision="f32").infer(X)["y"][0]
    weights = (BYTES.view(np.uint8).astype(np.float32) - zero) * np.float32(0.02)
    np.testing.assert_allclose(found, float_conv(weights), atol=1e-4)


def test_a_fully_connected_layer(tmp_path: Path) -> None:
    weights = RNG.integers(-127, 128, (5, 16)).astype(np.int8)
    x = RNG.standard_normal((1, 16)).astype(np.float32)
    network = Network()
    inputs = [
        network.input("x", (1, 16)),
        network.tensor("w", (5, 16), "uint8", weights.view(np.uint8), scale=0.1),
        network.tensor("b", (5,), "float32", np.arange(5)),
    ]
    network.outputs = [network.tensor("y", (1, 5))]
    network.operator(FULLY_CONNECTED, inputs, network.outputs, (8, {}))
    found = Model(network.save(tmp_path / "dense.tflite"), precision="f32").infer(x)["y"]
    np.testing.assert_allclose(found, x @ (weights.T * np.float32(0.1)) + np.arange(5), atol=1e-4)


def test_where_layers_disagree_the_file_is_refused(tmp_path: Path) -> None:
    network = conv("uint8", 0)
    also = network.tensor("w_float", BYTES.shape)
    network.operator(DEQUANTIZE, [1], [also])
    network.outputs.append(also)
    with pytest.raises(UnsupportedError, match=r"weights w are typed UINT8 .* DEQUANTIZE reads them") as caught:
        Model(network.save(tmp_path / "both.tflite"))
    assert str(tmp_path / "both.tflite") in str(caught.value)


def test_a_layer_that_never_had_such_weights_is_refused(tmp_path: Path) -> None:
    network = Network()
    x = network.input("x", X.shape)
    w = network.tensor("w", (1, 3, 3, 3), "uint8", BYTES[:1].view(np.uint8), scale=0.02)
    b = network.tensor("b", (3,), "float32", BIAS[:3])
    network.outputs = [network.tensor("y", X.shape)]
    network.conv(x, w, b, network.outputs[0], depthwise=True)
    with pytest.raises(UnsupportedError, match="DEPTHWISE_CONV_2D reads them"):
        Model(network.save(tmp_path / "depthwise.tflite"))


def test_the_file_itself_is_not_touched(tmp_path: Path) -> None:
    path = conv("uint8", 9).save(tmp_path / "conv.tflite")
    before = path.read_bytes()
    Model(path)
    assert path.read_bytes() == before
