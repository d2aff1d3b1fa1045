"""`ExecutableNetwork` and its requests: what runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from saccade.compat import device
from saccade.compat.inference_engine.blobs import (
    PRECISIONS,
    Array,
    Blob,
    ColorFormat,
    DataPtr,
    InputInfo,
    PreProcessInfo,
    ResizeAlgorithm,
    TensorDesc,
    dtype_of,
    in_layout,
)
from saccade.errors import ConfigError, ModelError, UnsupportedError

if TYPE_CHECKING:
    from saccade.compat.inference_engine.network import IENetwork
    from saccade.networks.request import LocalRequest


class StatusCode(IntEnum):
    """What `wait` returns."""

    OK = 0
    GENERAL_ERROR = -1
    REQUEST_BUSY = -8
    RESULT_NOT_READY = -9
    INFER_NOT_STARTED = -11


class WaitMode(IntEnum):
    """Timeouts of `wait` that are no time."""

    RESULT_READY = -1
    STATUS_ONLY = 0


class InferRequest:
    """One run at a time.

    latency : ms of the last run. inputs, input_blobs : to be written to; outputs, output_blobs : of the last run.
    """

    def __init__(self, request: LocalRequest, network: ExecutableNetwork) -> None:
        self._request, self._network = request, network
        self._staging = {
            name: _staging(request.inputs[own], network.input_info[name]) for name, own in network._input_ports.items()
        }
        self._started = 0.0
        self._busy = False
        self._callback: tuple[Callable[..., Any], Any] | None = None
        self.latency = 0.0

    @property
    def inputs(self) -> dict[str, Array]:
        """Input arrays by name."""
        return self._staging

    @property
    def input_blobs(self) -> dict[str, Blob]:
        """Inputs by name; what is written into a buffer is what the next run takes."""
        blobs = {}
        for name, array in self._staging.items():
            info = self._network.input_info[name]
            blobs[name] = Blob(info.tensor_desc)
            blobs[name].buffer = array
        return blobs

    @property
    def outputs(self) -> dict[str, Array]:
        """Output arrays by name, the caller's own."""
        self._finish()
        return {name: self._request.outputs[own].copy() for name, own in self._network._output_ports.items()}

    @property
    def output_blobs(self) -> dict[str, Blob]:
        """Outputs by name."""
        return {name: Blob(TensorDesc("FP32", array.shape), array) for name, array in self.outputs.items()}

    def infer(self, inputs: Mapping[str, Any] | None = None) -> None:
        """Run, and wait for the end."""
        self._begin(inputs)
        self._request.infer()
        self.latency = (time.perf_counter() - self._started) * 1e3
        if self._callback is not None:
            self._callback[0](int(StatusCode.OK), self._callback[1])

    def async_infer(self, inputs: Mapping[str, Any] | None = None) -> None:
        """Begin a run and return at once; `wait()` for it."""
        self._begin(inputs)
        self._busy = True
        self._request.start(self._ended)

    def wait(self, timeout: int | None = None) -> int:
        """0 when the run is over, -9 if it is not, -11 if there was none.

        timeout : ms; None or -1: until it is over; 0: not at all.
        """
        if not self._started:
            return int(StatusCode.INFER_NOT_STARTED)
        if timeout is not None and timeout >= 0:
            end = time.monotonic() + timeout / 1e3
            while not self._request.done:
                if time.monotonic() >= end:
                    return int(StatusCode.RESULT_NOT_READY)
                time.sleep(0.0005)
        self._finish()
        return int(StatusCode.OK)

    def set_completion_callback(self, py_callback: Callable[..., Any], py_data: Any = None) -> None:
        """Call `py_callback(status, py_data)` at the end of each run."""
        self._callback = (py_callback, py_data)

    def set_blob(self, blob_name: str, blob: Blob, preprocess_info: PreProcessInfo | None = None) -> None:
        """Take an input from a blob; one of another size is resized where `preprocess_info` says so."""
        info = self._network.input_info.get(blob_name)
        if info is None:
            raise ConfigError(f"{self._network.name} has no input {blob_name!r}; it has {sorted(self._staging)}")
        array = blob.buffer
        target = self._staging[blob_name]
        how = (preprocess_info or info.preprocess_info).resize_algorithm
        if array.shape != target.shape and how != ResizeAlgorithm.NO_RESIZE and array.ndim == 4:
            array = _resized(array, target.shape, blob.tensor_desc.layout, info.layout, how)
        _copy(target, array, f"{self._network.name}: blob {blob_name}")

    def get_perf_counts(self) -> dict[str, Any]:
        """Nothing: times of single layers are not measured."""
        device.current().notes("get_perf_counts: times of single layers are not measured")
        return {}

    def set_batch(self, size: int) -> None:
        """Refused: shapes are fixed when a network is loaded."""
        raise UnsupportedError(f"set_batch({size}): set batch_size of the IENetwork before it is loaded")

    def _begin(self, inputs: Mapping[str, Any] | None) -> None:
        if self._busy and not self._request.done:
            raise ModelError(f"{self._network.name}: the request is busy; wait() before it is started again")
        self._finish()
        for name, value in (inputs or {}).items():
            if name not in self._staging:
                raise ConfigError(f"{self._network.name} has no input {name!r}; it has {sorted(self._staging)}")
            _copy(self._staging[name], value, f"{self._network.name}: input {name}")
        for name, own in self._network._input_ports.items():
            array, target = self._staging[name], self._request.inputs[own]
            if array is not target:
                turned = self._network.input_info[name].layout == "NHWC" and array.ndim == 4
                np.copyto(target, array.transpose(0, 3, 1, 2) if turned else array, casting="unsafe")
        current = device.current()
        current.inferences += 1
        current.used()
        self._started = time.perf_counter()

    def _ended(self, _: Any) -> None:
        self.latency = (time.perf_counter() - self._started) * 1e3
        if self._callback is not None:
            self._callback[0](int(StatusCode.OK), self._callback[1])

    def _finish(self) -> None:
        if self._busy:
            self._request.wait()
            self._busy = False


class ExecutableNetwork:
    """A network that is ready to run, with `num_requests` requests. Made by `IECore.load_network`."""

    def __init__(self, network: IENetwork, device_name: str, num_requests: int) -> None:
        from saccade import networks

        if not isinstance(num_requests, (int, np.integer)) or num_requests < 0:
            raise ConfigError(f"num_requests is {num_requests!r}; expected 1 or more")
        self.name = network.name
        for info in network.input_info.values():
            if info.preprocess_info.color_format == ColorFormat.RGB:
                raise UnsupportedError(f"{self.name}: color_format RGB; turn the picture round before it is given")
        current = device.current()
        wish = current.gpu if "GPU" in device_name.upper() else "CPU"
        if device_name.upper() not in ("CPU", "GPU", "AUTO"):
            current.notes(f"{device_name} is not here: {self.name} runs on the {wish}")
        model = network._model.clone()
        names = network._output_names()
        self._engine = networks.Model(model, device=wish, precision=current.precision)  # type: ignore[arg-type]
        self.input_info = dict(network.input_info)
        self.outputs = {
            name: DataPtr(name, port.shape, "FP32") for name, port in zip(names, self._engine.outputs, strict=True)
        }
        self._input_ports = {name: port.name for name, port in zip(self.input_info, self._engine.inputs, strict=True)}
        self._output_ports = {name: port.name for name, port in zip(names, self._engine.outputs, strict=True)}
        # 0 left the number to the device.
        self.requests = [InferRequest(self._engine.request(), self) for _ in range(int(num_requests) or 1)]

    @property
    def inputs(self) -> dict[str, InputInfo]:
        """Inputs by name."""
        return self.input_info

    def infer(self, inputs: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """Run the first request; outputs by name, the caller's own."""
        self.requests[0].infer(inputs)
        return self.requests[0].outputs

    def start_async(self, request_id: int, inputs: Mapping[str, Any] | None = None) -> InferRequest:
        """Begin a run of one request and return the request."""
        if not 0 <= request_id < len(self.requests):
            raise ValueError(f"request_id is {request_id}; {self.name} has {len(self.requests)} requests, from 0 on")
        self.requests[request_id].async_infer(inputs)
        return self.requests[request_id]

    def wait(self, num_requests: int | None = None, timeout: int | None = None) -> int:
        """Until that many requests are idle (None: all); 0, or -9 after `timeout` ms."""
        count = len(self.requests) if num_requests is None else min(num_requests, len(self.requests))
        end = None if timeout is None or timeout < 0 else time.monotonic() + timeout / 1e3
        while sum(request._request.done for request in self.requests) < count:
            if end is not None and time.monotonic() >= end:
                return int(StatusCode.RESULT_NOT_READY)
            time.sleep(0.0005)
        return int(StatusCode.OK)

    def get_idle_request_id(self) -> int:
        """Number of a request that is idle, or -1."""
        return next((i for i, request in enumerate(self.requests) if request._request.done), -1)

    def get_metric(self, metric_name: str) -> Any:
        """`NETWORK_NAME`, `OPTIMAL_NUMBER_OF_INFER_REQUESTS`, `SUPPORTED_METRICS`."""
        metrics = {"NETWORK_NAME": self.name, "OPTIMAL_NUMBER_OF_INFER_REQUESTS": len(self.requests)}
        if metric_name == "SUPPORTED_METRICS":
            return [*metrics, metric_name]
        if metric_name not in metrics:
            raise UnsupportedError(f"get_metric({metric_name!r}): there are {', '.join(metrics)}")
        return metrics[metric_name]


def _staging(array: Array, info: InputInfo) -> Array:
    """Where an input is written: the request's own memory, or one of the precision and layout that were set."""
    shape = in_layout(array.shape, info.layout)
    if shape == array.shape and info.precision == PRECISIONS.get(array.dtype):
        return array
    return np.zeros(shape, dtype_of(info.precision))


def _copy(target: Array, value: Any, what: str) -> None:
    array = np.asarray(value)
    try:
        np.copyto(target, array, casting="unsafe")
    except (ValueError, TypeError):
        raise ValueError(f"{what} is {device.describe(array)}; the network takes {target.shape}") from None


def _resized(array: Array, shape: tuple[int, ...], given: str, wanted: str, how: ResizeAlgorithm) -> Array:
    import cv2

    way = cv2.INTER_AREA if how == ResizeAlgorithm.RESIZE_AREA else cv2.INTER_LINEAR
    picture = array[0] if given == "NHWC" else array[0].transpose(1, 2, 0)
    height, width = shape[1:3] if wanted == "NHWC" else shape[2:4]
    resized = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=way).reshape(height, width, -1)
    return resized[None] if wanted == "NHWC" else resized.transpose(2, 0, 1)[None]
