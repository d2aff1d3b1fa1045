"""The device is a wish: a second device is used only if its numbers agree with the CPU's."""

from __future__ import annotations

import logging

import numpy as np
import openvino as ov
import pytest

from saccade.formats.core import core
from saccade.networks.devices import compare, compile_for
from small_networks import classifier, detector, outputs_only

F32 = {"INFERENCE_PRECISION_HINT": "f32"}


class Machine:
    """OpenVINO with a GPU made out of the CPU: `gpu` makes what it really computes out of what it was given."""

    def __init__(self, gpu) -> None:
        self.gpu = gpu
        self.calls: list[tuple[str, dict]] = []

    def compile(self, model: ov.Model, device: str, config: dict) -> ov.CompiledModel:
        self.calls.append((device, config))
        if device.startswith("GPU"):
            model = self.gpu(model)
            config = {key: value for key, value in config.items() if not key.startswith("GPU_")}
        return core().compile_model(model, "CPU", {**config, **F32})


def choose(wish: str, gpu, model: ov.Model | None = None, devices: tuple[str, ...] = ("CPU", "GPU")):
    machine = Machine(gpu)
    choice = compile_for(model or classifier(), wish, F32, compile=machine.compile, available=devices)
    return choice, machine


def perturbed(size: float):
    def change(model: ov.Model) -> ov.Model:
        model = model.clone()
        for node in model.get_ordered_ops():
            if node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.f32 and node.data.ndim == 4:
                noise = np.random.default_rng(9).standard_normal(node.data.shape).astype(np.float32)
                replacement = ov.opset15.constant(node.data + size * noise)
                node.output(0).replace(replacement.output(0))
        return model

    return change


def not_finite(model: ov.Model) -> ov.Model:
    model = model.clone()
    end = model.outputs[0].node
    bad = ov.opset15.divide(end.input_value(0), ov.opset15.constant(np.float32(0)))
    end.input(0).replace_source_output(bad.output(0))
    return model


def broken(model: ov.Model) -> ov.Model:
    raise RuntimeError("Exception from src/gpu.cpp:1:\nno driver for this device.\n")


def test_a_gpu_that_agrees_is_used(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for wish in ("GPU", "AUTO"):
            choice, machine = choose(wish, lambda model: model, devices=("CPU", "GPU.0", "GPU.1"))
            assert choice.device == "GPU.0"
            assert machine.calls[0][1]["GPU_QUEUE_THROTTLE"] == "LOW"
    assert not caplog.records


@pytest.mark.parametrize(
    ("gpu", "says"),
    [
        (perturbed(0.5), "wrong numbers for small (output prob is off by"),
        (not_finite, "output prob is not finite"),
        (broken, "cannot run small (no driver for this device)"),
        (lambda _: classifier(classes=11), "output prob is (1, 11) instead of (1, 10)"),
    ],
)
@pytest.mark.parametrize("wish", ["GPU", "AUTO"])
def test_a_gpu_that_does_not_is_named_and_left(gpu, says: str, wish: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        choice, _ = choose(wish, gpu)
    assert choice.device == "CPU"
    assert says in caplog.text
    assert "running on the CPU" in caplog.text


def test_without_a_gpu_the_cpu_is_taken_and_who_asked_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        choice, machine = choose("AUTO", broken, devices=("CPU",))
        assert choice.device == "CPU"
        assert not caplog.records
        choice, machine = choose("GPU", broken, devices=("CPU",))
        assert choice.device == "CPU"
        assert "no GPU that OpenVINO can use was found" in caplog.text
    assert [device for device, _ in machine.calls] == ["CPU"]


def test_cpu_asks_no_gpu() -> None:
    _, machine = choose("CPU", broken)
    assert [device for device, _ in machine.calls] == ["CPU"]


def test_small_differences_are_rounding() -> None:
    reference = core().compile_model(classifier(), "CPU", F32)
    near = core().compile_model(perturbed(1e-5)(classifier()), "CPU", F32)
    far = core().compile_model(perturbed(1e-1)(classifier()), "CPU", F32)
    assert compare(reference, near, 1e-3) is None
    assert "off by" in (compare(reference, far, 1e-3) or "")
    if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        real = core().compile_model(classifier(), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
        assert compare(reference, real, 6e-2) is None


def test_rows_of_a_detection_list_may_swap() -> None:
    def compiled(rows: list[list[float]]) -> ov.CompiledModel:
        model = outputs_only(found=(1, 1, 3, 7))
        for node in model.get_ordered_ops():
            if node.get_type_name() == "Constant" and list(node.shape) == [1, 1, 3, 7]:
                value = ov.opset15.constant(np.array(rows, np.float32).reshape(1, 1, 3, 7))
                node.output(0).replace(value.output(0))
        return core().compile_model(model, "CPU", F32)

    a, b, end = [0, 1, 0.9, 0, 0, 1, 1], [0, 2, 0.9, 0.5, 0.5, 1, 1], [-1, 0, 0, 0, 0, 0, 0]
    weak = [0, 2, 0.4, 0.5, 0.5, 1, 1]
    assert compare(compiled([a, b, end]), compiled([b, a, end]), 1e-3) is None
    assert compare(compiled([a, b, end]), compiled([a, weak, end]), 1e-3) is not None
    assert compare(compiled([a, end, b]), compiled([a, end, weak]), 1e-3) is None  # what follows the end is noise


def test_detectors_agree_with_themselves() -> None:
    compiled = core().compile_model(detector(), "CPU", F32)
    assert compare(compiled, compiled, 1e-3) is None
