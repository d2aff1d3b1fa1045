"""Which device a model runs on, and in which precision.

The device is a wish: the GPU of an old camera may be absent, its driver broken, or its numbers wrong. It is used only
if its outputs agree with the CPU's on a start-up check.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from saccade.errors import ConfigError, DeviceError, ModelError
from saccade.formats.core import core, reason

Device = Literal["AUTO", "CPU", "GPU"]
Precision = Literal["auto", "f32", "bf16", "f16", "int8"]

Compile = Callable[[ov.Model, str, dict[str, Any]], ov.CompiledModel]

_log = logging.getLogger(__name__)

_PRECISIONS = {"f32": "f32", "float32": "f32", "bf16": "bf16", "bfloat16": "bf16", "f16": "f16", "float16": "f16"}

_TOLERANCE = {"f32": 1e-3, "f16": 2e-2, "bf16": 6e-2}
"""Largest difference that counts as agreement, relative to the largest value of the output."""


def running_precision(compiled: ov.CompiledModel) -> str:
    """Precision that a compiled model computes in: f32, bf16 or f16."""
    try:
        kind = compiled.get_property("INFERENCE_PRECISION_HINT")
    except RuntimeError:
        return "f32"
    name = kind.to_string() if hasattr(kind, "to_string") else str(kind)
    return _PRECISIONS.get(name, name)


@dataclass(frozen=True, slots=True)
class Choice:
    """A compiled model and where it runs."""

    compiled: ov.CompiledModel
    device: str
    precision: str


def compile_for(
    model: ov.Model,
    wish: str,
    config: Mapping[str, Any],
    *,
    cpu: Mapping[str, Any] = MappingProxyType({}),
    compile: Compile | None = None,
    available: Sequence[str] | None = None,
) -> Choice:
    """Compile `model` for the device wished for, or for the CPU where that device is not to be trusted.

    wish : AUTO (the GPU where it is there and right, else the CPU), CPU or GPU.
    config : OpenVINO properties for any device. cpu : those for the CPU alone.
    compile, available : stand for OpenVINO's own in tests.
    """
    if wish not in ("AUTO", "CPU", "GPU"):
        raise ConfigError(f"device {wish!r} is not known; choose AUTO, CPU or GPU")
    compile = compile or core().compile_model
    if wish != "CPU":
        gpu = _gpu(core().available_devices if available is None else available)
        if gpu is None:
            if wish == "GPU":
                _log.warning("no GPU that OpenVINO can use was found: running on the CPU (see `saccade doctor`)")
        else:
            choice = _try_gpu(model, gpu, config, cpu, compile)
            if choice is not None:
                return choice
    try:
        compiled = compile(model, "CPU", {**config, **cpu})
    except RuntimeError as error:
        raise ModelError(f"{model.friendly_name} does not run on the CPU: {reason(error)}") from error
    return Choice(compiled, "CPU", running_precision(compiled))


def _gpu(devices: Sequence[str]) -> str | None:
    return next((name for name in devices if name.split(".")[0] == "GPU"), None)


def _try_gpu(
    model: ov.Model, gpu: str, config: Mapping[str, Any], cpu: Mapping[str, Any], compile: Compile
) -> Choice | None:
    try:
        # A low queue throttle keeps the driver from spinning on one of the few CPU cores.
        compiled = compile(model, gpu, {**config, "GPU_QUEUE_THROTTLE": "LOW"})
        reference = compile(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **cpu})
        precision = running_precision(compiled)
        disagreement = compare(reference, compiled, _TOLERANCE.get(precision, 2e-2))
    except (RuntimeError, DeviceError) as error:
        _log.warning("the GPU cannot run %s (%s): running on the CPU", model.friendly_name, reason(error))
        return None
    if disagreement is not None:
        _log.warning("the GPU gives wrong numbers for %s (%s): running on the CPU", model.friendly_name, disagreement)
        return None
    return Choice(compiled, gpu, precision)


def compare(reference: ov.CompiledModel, candidate: ov.CompiledModel, tolerance: float) -> str | None:
    """Run both on the same made-up inputs; None if they agree, else the difference in words.

    tolerance : largest difference allowed, relative to the largest absolute value of each output.
    """
    for seed in range(2):
        inputs = [_probe(port, seed) for port in reference.inputs]
        expected, found = (_run(compiled, inputs) for compiled in (reference, candidate))
        for port, a, b in zip(reference.outputs, expected, found, strict=True):
            a, b = _comparable(a), _comparable(b)
            if a.shape != b.shape:
                return f"output {_name(port)} is {b.shape} instead of {a.shape}"
            if not np.isfinite(b).all() and np.isfinite(a).all():
                return f"output {_name(port)} is not finite"
            if a.size:
                error = float(np.abs(a - b).max()) / max(float(np.abs(a).max()), 1e-6)
                if not error <= tolerance:
                    return f"output {_name(port)} is off by {error:.2g} of its range, {tolerance:.2g} allowed"
    return None


def _name(port: Any) -> str:
    return str(port.any_name if port.names else port.node.friendly_name)


def _run(compiled: ov.CompiledModel, inputs: list[NDArray[Any]]) -> list[NDArray[np.float64]]:
    request = compiled.create_infer_request()
    request.infer(dict(enumerate(inputs)))
    return [request.get_output_tensor(i).data.astype(np.float64) for i in range(len(compiled.outputs))]


def _probe(port: Any, seed: int) -> NDArray[Any]:
    """A deterministic input: noise of the range that pictures have, so that all parts of a network light up."""
    dtype = port.element_type.to_dtype()
    random = np.random.default_rng(seed).random(tuple(port.shape))
    return (random if np.issubdtype(dtype, np.floating) else random * 255).astype(dtype)


def _comparable(output: NDArray[np.float64]) -> NDArray[np.float64]:
    """Detection lists compare by their best scores: rows of equal rank may swap without being wrong."""
    if output.ndim == 4 and output.shape[-1] == 7:
        rows = output.reshape(-1, 7)
        ends = np.flatnonzero(rows[:, 0] < 0)
        scores: NDArray[np.float64] = np.zeros(16)
        found = np.sort(rows[: ends[0] if len(ends) else len(rows), 2])[::-1][:16]
        scores[: len(found)] = found
        return scores
    return output
