"""Quantised networks say real numbers, and take pixels without wrapping them around."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_files import DEQUANTIZE, QUANTIZE, RESHAPE, Network

from saccade.errors import ConfigError
from saccade.formats.quantised import Quantisation
from saccade.kernels import Preprocess
from saccade.networks import Model
from saccade.networks.spec import InputSpec
from saccade.predict import open_predictor
from saccade.predict.opening import port_spec


def integer_conv(
    x: NDArray[np.int64], weights: NDArray[np.int64], bias: NDArray[np.int64], *, pad: int
) -> NDArray[np.int64]:
    """A 3x3 convolution (h, w, c) that keeps the size, in whole numbers."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=pad)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    return np.einsum("hwcij,oijc->hwo", windows, weights) + bias


def conv_network(
    path: Path, dtype: str, weights: NDArray[np.integer], *, weight_zero: int | list[int],
    weight_scale: float | list[float], in_zero: int, out_zero: int, bias: NDArray[np.int32],
) -> Path:  # fmt: skip
    network = Network()
    x = network.input("images", (1, 6, 5, 3), dtype, scale=1 / 128, zero=in_zero)
    kind = weights.dtype.name
    w = network.tensor("w", weights.shape, kind, weights, scale=weight_scale, zero=weight_zero)
    b = network.tensor(
        "b", bias.shape, "int32", bias, scale=np.array(weight_scale) / 128, zero=np.zeros_like(weight_zero)
    )
    out = network.tensor("map", (1, 6, 5, len(bias)), dtype, scale=0.05, zero=out_zero)
    network.conv(x, w, b, out)
    network.outputs = [out]
    return network.save(path)


@pytest.mark.parametrize(("dtype", "low", "in_zero", "out_zero"), [("uint8", 0, 128, 90), ("int8", -128, 0, -38)])
def test_a_convolution_in_integers(tmp_path: Path, dtype: str, low: int, in_zero: int, out_zero: int) -> None:
    rng = np.random.default_rng(3)
    bias = rng.integers(-3000, 3000, 4).astype(np.int32)
    if dtype == "uint8":  # TensorFlow of 2018: one scale, any zero point
        weights = rng.integers(0, 256, (4, 3, 3, 3)).astype(np.uint8)
        zero, scale = 120, 0.02
        steps = np.full(4, scale)
    else:  # of today: a scale a channel
        weights = rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
        zero, scale = [0] * 4, [0.01, 0.02, 0.005, 0.03]
        steps = np.array(scale)
    path = conv_network(
        tmp_path / "conv.tflite", dtype, weights, weight_zero=zero, weight_scale=scale, in_zero=in_zero,
        out_zero=out_zero, bias=bias,
    )  # fmt: skip
    model = Model(path, precision="f32")
    x = rng.integers(low, low + 256, (1, 6, 5, 3)).astype(dtype)
    found = model.infer(x)["map"][0]

    centred = weights.astype(np.int64) - np.array(zero).reshape(-1, 1, 1, 1)
    exact = integer_conv(x[0].astype(np.int64) - in_zero, centred, bias.astype(np.int64), pad=0) * steps / 128
    stored = np.clip(np.rint(exact / 0.05) + out_zero, low, low + 255)
    wanted = (stored - out_zero) * 0.05
    assert stored.min() == low or stored.max() == low + 255  # the range that outputs saturate at is reached
    np.testing.assert_allclose(found, wanted, atol=0.0501)  # a step where the rounding is a tie
    assert np.mean(np.abs(found - wanted) > 0.01) < 0.02
    assert model.inputs[0].dtype == np.dtype(dtype)
    assert model.inputs[0].quantisation == Quantisation(1 / 128, in_zero)
    assert model.outputs[0].dtype == np.float32
    assert model.outputs[0].quantisation is None


def softmax_network(path: Path, dtype: str) -> Path:
    """(1, 2, 2, 3) of the picture, reshaped, and their softmax of four."""
    low = np.iinfo(dtype).min
    network = Network()
    x = network.input("image", (1, 2, 2, 3), dtype, scale=1 / 32, zero=low + 128)
    shape = network.tensor("shape", (2,), "int32", [3, 4])
    flat = network.tensor("flat", (3, 4), dtype, scale=1 / 32, zero=low + 128)
    out = network.tensor("probabilities", (3, 4), dtype, scale=1 / 256, zero=low)
    network.operator(RESHAPE, [x, shape], [flat])
    network.softmax(flat, out)
    network.outputs = [out]
    return network.save(path)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_probabilities_are_probabilities(tmp_path: Path, dtype: str) -> None:
    model = Model(softmax_network(tmp_path / "softmax.tflite", dtype), precision="f32")
    low = np.iinfo(dtype).min
    x = np.random.default_rng(0).integers(low, low + 256, (1, 2, 2, 3)).astype(dtype)
    logits = (x.astype(np.float64) - low - 128).reshape(3, 4) / 32
    wanted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = model.infer(x)["probabilities"]
    np.testing.assert_allclose(found, wanted, atol=1 / 256)
    np.testing.assert_array_equal(found * 256, np.rint(found * 256))  # exactly the stored steps
    assert model.outputs[0].layer_type == "Softmax"


def test_outputs_are_told_apart_by_name(tmp_path: Path) -> None:
    """Real, quantised and plain integer outputs, not in the order in which they are computed."""
    network = Network()
    x = network.input("x", (1, 8), "int8", scale=0.5, zero=3)
    real = network.tensor("real", (1, 8))
    coarse = network.tensor("coarse", (1, 8), "int8", scale=2.0, zero=-5)
    whole = network.tensor("whole", (1, 8), "int32")
    network.operator(DEQUANTIZE, [x], [real])
    network.operator(QUANTIZE, [x], [coarse])
    network.operator(53, [real], [whole], (37, {}))  # CAST
    network.outputs = [coarse, whole, real]
    model = Model(network.save(tmp_path / "three.tflite"), precision="f32")
    found = model.infer(np.arange(-4, 4, dtype=np.int8)[None])
    wanted = (np.arange(-4, 4) - 3) * 0.5
    assert list(found) == ["coarse", "whole", "real"]
    np.testing.assert_array_equal(found["real"][0], wanted)
    np.testing.assert_array_equal(found["whole"][0], np.trunc(wanted))
    np.testing.assert_allclose(found["coarse"][0], wanted, atol=1.0)
    assert set(np.unique(found["coarse"] % 2)) == {0.0}


def test_an_input_that_is_an_output_too_keeps_its_name(tmp_path: Path) -> None:
    network = Network()
    x = network.input("x", (1, 8), "int8", scale=0.5, zero=3)
    real = network.tensor("real", (1, 8))
    network.operator(DEQUANTIZE, [x], [real])
    network.outputs = [real, x]
    model = Model(network.save(tmp_path / "through.tflite"), precision="f32")
    assert [port.name for port in model.inputs] == ["x"]
    np.testing.assert_array_equal(model.infer(np.full((1, 8), 7, np.int8))["real"], 2.0)


STEPS = {
    "uint8": [(1 / 255, 0), (1 / 128, 128), (0.0078125, 127), (2 / 255, 127), (1.0, 0), (0.0186584, 114), (1 / 64, 30)],
    "int8": [(1 / 255, -128), (1 / 128, 0), (1 / 127.5, -1), (1.0, -128), (0.0186584, -14), (1 / 64, -98)],
}
SPECS = [((0.0,) * 3, (255.0,) * 3), ((127.5,) * 3, (127.5,) * 3), ((0.0,) * 3, (1.0,) * 3),
         ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))]  # fmt: skip


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(("mean", "scale"), SPECS)
def test_pixels_are_stored_by_the_inputs_own_scale(
    dtype: str, mean: tuple[float, ...], scale: tuple[float, ...]
) -> None:
    """The kernel's integers against (pixel - mean) / scale / step + zero point, rounded and saturated."""
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    picture[0, 0], picture[0, 1] = 0, 255
    limits = np.iinfo(dtype)
    for step, zero in STEPS[dtype]:
        spec = InputSpec(
            16, 16, "nhwc", dtype, mean, scale, swap_rb=True, quantisation=Quantisation(step, zero)  # type: ignore[arg-type]
        )  # fmt: skip
        options = spec.preprocess_options()
        found = Preprocess((16, 16), **options)(picture, np.empty((16, 16, 3), dtype)).astype(int)
        real = (picture[..., ::-1].astype(np.float64) - mean) / scale
        wanted = np.clip(real / step + zero, limits.min, limits.max)
        # One step: the usual ranges are pixel values themselves.
        np.testing.assert_allclose(found, wanted, atol=1.02)
        plain = abs(real / step + zero - picture[..., ::-1] - (limits.min if dtype == "int8" else 0)).max() <= 1.01
        if plain:
            np.testing.assert_array_equal(found, picture[..., ::-1].astype(int) + limits.min)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_port_that_nobody_describes_takes_the_pixel_itself(tmp_path: Path, dtype: str) -> None:
    path = softmax_network(tmp_path / "softmax.tflite", dtype)
    spec = port_spec(Model(path).inputs[0])
    middle = 128.0 if dtype == "int8" else 0.0
    assert spec.stored() == ((middle,) * 3, (1.0,) * 3)


def test_integers_of_sixteen_bits_are_refused_as_pixels_and_taken_as_an_array(tmp_path: Path) -> None:
    network = Network()
    x = network.input("x", (1, 4, 4, 3), "int16", scale=1 / 32768, zero=0)
    out = network.tensor("y", (1, 4, 4, 3))
    network.operator(DEQUANTIZE, [x], [out])
    network.outputs = [out]
    path = network.save(tmp_path / "wide.tflite")
    array = np.arange(48, dtype=np.int16).reshape(1, 4, 4, 3) * 600 - 15000
    np.testing.assert_allclose(Model(path, precision="f32").infer(array)["y"], array / 32768, atol=1e-6)
    with pytest.raises(ConfigError, match="takes int16"):
        port_spec(Model(path).inputs[0])


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["quantised_uint8", "quantised_int8"])
def test_known_networks_give_known_probabilities(corpus: Path, name: str) -> None:
    models = corpus / "cases" / "models"
    picture = cv2.imread(str(models / "flat.png"))
    assert picture is not None
    predictor = open_predictor(models / f"{name}.tflite", color="bgr")
    np.testing.assert_allclose(predictor.raw(picture)["probabilities"][0], [0.121, 0.582, 0.293], atol=1e-3)
    assert predictor.task == "classify"


@pytest.mark.corpus
def test_a_yolo_in_int8_says_what_another_runtime_says(corpus: Path) -> None:
    folder = corpus / "corpus" / "heads" / "yolov8_int8_tflite"
    with np.load(folder / "raw.npz") as arrays:
        x = next(arrays[key] for key in arrays.files if key.startswith("in:"))
        stored = next(arrays[key] for key in arrays.files if key.startswith("out:"))
    found = Model(folder / "yolov8_int8_io.tflite", precision="f32").infer(x)["PartitionedCall:0"]
    wanted = (stored.astype(np.float32) + 118) * np.float32(0.004166666883975267)
    np.testing.assert_allclose(found, wanted, atol=0.0042)
    assert np.mean(found != wanted) < 0.001
