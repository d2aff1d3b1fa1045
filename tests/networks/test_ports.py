"""What a network's ports say about its outputs."""

from __future__ import annotations

import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest

from saccade.errors import ModelError
from saccade.networks import Model
from small_networks import classifier


def test_outputs_of_whole_numbers_are_known_as_such() -> None:
    data = op.parameter([1, 3, 4, 4], np.float32, name="data")
    best = op.topk(data, op.constant(np.int64(1)), 1, "max", "value", "i32")
    labels = op.convert(op.squeeze(best.output(1), op.constant(np.array([1]))), "f32")
    for output, name in ((labels.output(0), "labels"), (best.output(1), "places"), (best.output(0), "values")):
        output.set_names({name})
    model = Model(ov.Model([labels.output(0), best.output(1), best.output(0)], [data]), precision="f32")
    assert {port.name: port.integer for port in model.outputs} == {"labels": True, "places": True, "values": False}
    assert {port.dtype for port in model.outputs} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("kind", "zero", "step"), [("u8", 0, 1 / 255), ("u8", 10, 0.005), ("i8", -128, 1 / 255)])
def test_integers_of_an_output_are_the_real_numbers_they_stand_for(kind: str, zero: int, step: float) -> None:
    """As OpenVINO reads ONNX's QuantizeLinear."""
    picture = op.parameter([1, 3, 4, 4], np.float32, name="x")
    logits = op.add(op.constant(np.array([[0.0, 1.0, 3.0]], np.float32)), op.reduce_mean(picture, [1, 2, 3], False))
    chances = op.softmax(logits, 1)
    first, last = (0.0, 255.0) if kind == "u8" else (-128.0, 127.0)
    bounds = [np.float32(v) for v in ((first - zero) * step, (last - zero) * step, first, last)]
    stored = op.convert(op.fake_quantize(chances, *bounds, 256), kind)
    stored.output(0).set_names({"p"})
    model = Model(ov.Model([stored], [picture], "quantised"), precision="f32")
    found = model.infer(np.zeros((1, 3, 4, 4), np.float32))["p"]
    expected = np.exp([0.0, 1.0, 3.0]) / np.exp([0.0, 1.0, 3.0]).sum()
    np.testing.assert_allclose(found[0], expected, atol=step)
    assert model.outputs[0].layer_type == "Softmax"
    assert not model.outputs[0].integer


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_an_input_of_quantised_numbers_says_so(kind: type) -> None:
    """As OpenVINO reads ONNX's DequantizeLinear; a mean that is taken off pixels is no zero point."""
    for zero, expected in ((op.convert(op.constant(np.array(-5, np.int8)), "f32"), (0.25, -5)), (np.float32(-5), None)):
        picture = op.parameter([1, 3, 4, 4], kind, name="x")
        real = op.multiply(op.subtract(op.convert(picture, "f32"), zero), np.float32(0.25))
        model = Model(ov.Model([op.reduce_mean(real, [2, 3], False)], [picture], "bytes"), precision="f32")
        assert model.inputs[0].quantisation == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("quantisation", "data"), "no numbers"),
        (("quantisation", "data"), "1 2 3"),
        (("output", "prob"), "[" * 5000),
        (("output", "prob"), "[1]"),
        (("output", "prob"), "9" * 5000),
        (("label_base",), "one"),
        (("label_base",), "\x1b]0;title\x07" * 1000),
    ],
)
def test_notes_that_no_importer_wrote_are_refused(path: tuple[str, ...], value: str) -> None:
    network = classifier()
    network.output(0).set_names({"prob"})
    network.set_rt_info(value, ["saccade", *path])
    with pytest.raises(ModelError, match=f"rt_info saccade/{'/'.join(path)} is .* which no importer writes") as error:
        Model(network)
    assert len(str(error.value)) < 700
