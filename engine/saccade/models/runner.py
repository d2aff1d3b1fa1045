"""Runs a model through tensors that are bound once.

Each `Request` owns its input and output memory: page-aligned, allocated when the request is made, and shared with
OpenVINO, so that a frame is written once, where the network reads it, and results are read where it wrote them.
"""

from __future__ import annotations

import logging
import mmap
import os
import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import openvino as ov
from numpy.typing import DTypeLike, NDArray

from saccade.errors import ConfigError, ModelError
from saccade.models.cache import CompileCache
from saccade.models.devices import Device, Precision, compile_for, core, reason
from saccade.models.load import Shapes, input_name, make_static, read_model

_log = logging.getLogger(__name__)

Array = NDArray[Any]
Inputs = Array | Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a model.

    shape : -1 for a dimension that is known only after a run (some detectors' outputs).
    made_by : type of the layer that computes an output (`Softmax`, `DetectionOutput`), reshaping apart.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    made_by: str = ""


class Model:
    """A network that is ready to run.

    path : any file that `read_model` reads, or an `ov.Model`.
    device : AUTO, CPU or GPU; a wish, see `saccade.models.devices`.
    precision : auto (the device's own choice: bf16 on CPUs that have it), f32, bf16, f16, or int8
        for a legacy IR that was calibrated for it (what is not quantised runs in f32).
    input_shapes : see `read_model`.
    cache_dir : folder for compiled models; None: the user's cache folder.
    threads : CPU threads; None: all cores. streams : requests that run at the same time; None: 1. Two streams of
        one thread finish more frames than one stream of two threads, each of them later.

    Attributes: name, path, device, precision, inputs, outputs, and label_base, the number of a detector's first class.
    """

    is_remote = False

    def __init__(
        self,
        path: str | os.PathLike[str] | ov.Model,
        *,
        device: Device = "CPU",
        precision: Precision = "auto",
        input_shapes: Shapes | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        streams: int | None = None,
    ) -> None:
        if isinstance(path, (str, os.PathLike)):
            self.path: Path | None = Path(path)
            self.name = self.path.stem
            network = read_model(path, input_shapes, int8=precision == "int8")
        else:
            self.path = None
            self.name = path.friendly_name
            network = make_static(path.clone(), self.name, input_shapes)
        _name_outputs(network)
        network = _with_plain_types(network)
        network.friendly_name = self.name
        makers = [_maker(port) for port in network.outputs]
        declared = ["saccade", "label_base"]  # importers say so where the graph's end does not show it
        self.label_base = (
            int(network.get_rt_info(declared).value)
            if network.has_rt_info(declared)
            else max((_label_base(maker) for maker in makers), default=0)
        )
        compile = partial(CompileCache(self.name, cache_dir).compile, core())
        choice = compile_for(network, device, _config(precision, threads, streams), compile=compile)
        self._compiled = choice.compiled
        self.device = choice.device
        self.precision = "int8" if precision == "int8" else choice.precision
        if precision not in ("auto", "int8", choice.precision):
            _log.warning("%s cannot compute in %s here: it runs in %s", self.name, precision, choice.precision)
        self.inputs = tuple(_port(port) for port in choice.compiled.inputs)
        self.outputs = tuple(
            _port(port, maker.get_type_name()) for port, maker in zip(choice.compiled.outputs, makers, strict=True)
        )
        self._aliases = {
            alias: port.name
            for ov_port, port in zip(choice.compiled.inputs, self.inputs, strict=True)
            for alias in (*ov_port.names, ov_port.node.friendly_name)
        }
        self._idle: list[Request] = []

    def request(self) -> Request:
        """A new request with tensors of its own."""
        return Request(self._compiled, self.inputs, self.outputs)

    def infer(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """Run once; may be called from several threads.

        inputs : the array of the only input, or arrays by input name, as the network declares them.
        Returns copies of the outputs by name.
        """
        try:
            request = self._idle.pop()
        except IndexError:
            request = self.request()
        try:
            self._fill(request, inputs)
            request.infer()
            return {name: output.copy() for name, output in request.outputs.items()}
        finally:
            self._idle.append(request)

    def _fill(self, request: Request, inputs: Inputs) -> None:
        if not isinstance(inputs, Mapping):
            if len(self.inputs) != 1:
                raise ModelError(f"{self.name} has {len(self.inputs)} inputs; give {{name: array}}")
            inputs = {self.inputs[0].name: inputs}
        names = {self._aliases.get(name, name) for name in inputs}
        expected = {port.name for port in self.inputs}
        if names != expected:
            raise ModelError(f"{self.name} takes the inputs {sorted(expected)}, not {sorted(names)}")
        for name, array in inputs.items():
            target = request.inputs[self._aliases.get(name, name)]
            array = np.asarray(array)
            if array.shape != target.shape:
                raise ModelError(f"{self.name}: input {name} is {array.shape}; the network takes {target.shape}")
            try:
                np.copyto(target, array, casting="same_kind")
            except TypeError as error:
                raise ModelError(
                    f"{self.name}: input {name} is {array.dtype}; the network takes {target.dtype}"
                ) from error

    def __repr__(self) -> str:
        return f"<Model {self.name} on {self.device} in {self.precision}>"


class Request:
    """One run of a model at a time, in memory that belongs to the request.

    Write into `inputs`, run, read `outputs`. Made by `Model.request()`.
    """

    __slots__ = ("__weakref__", "_callback", "_dynamic", "_has_callback", "_inputs", "_outputs", "_request", "_running")

    def __init__(self, compiled: ov.CompiledModel, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
        self._running = False
        self._request = compiled.create_infer_request()
        self._callback: Callable[[Request], None] | None = None
        self._has_callback = False
        self._inputs: dict[str, Array] = {}
        self._outputs: dict[str, NDArray[np.float32]] = {}
        self._dynamic: list[tuple[int, str]] = []
        for index, port in enumerate(inputs):
            array = aligned(port.shape, port.dtype)
            self._request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
            self._inputs[port.name] = array
        for index, port in enumerate(outputs):
            if -1 in port.shape:
                self._dynamic.append((index, port.name))
                continue
            array = aligned(port.shape, port.dtype)
            self._request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
            self._outputs[port.name] = array

    @property
    def inputs(self) -> dict[str, Array]:
        """Input arrays by name, to be written to; raises while a run is in flight."""
        self._refuse_in_flight()
        return self._inputs

    @property
    def outputs(self) -> dict[str, NDArray[np.float32]]:
        """Output arrays by name, float32, valid until the next run; raises while a run is in flight."""
        self._refuse_in_flight()
        for index, name in self._dynamic:
            self._outputs[name] = self._request.get_output_tensor(index).data
        return self._outputs

    def infer(self) -> None:
        """Run in the caller's thread; other Python threads go on meanwhile."""
        self._refuse_in_flight()
        self._running = True
        try:
            self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise ModelError(f"inference failed: {reason(error)}") from error
        finally:
            self._running = False

    def infer_from(self, name: str, array: Array) -> None:
        """Run in the caller's thread on an array of the caller's in place of input `name`; nothing is copied.

        array : writable, C-contiguous, of the input's shape and dtype; not to be changed during the run.
        """
        own = self.inputs[name]
        if array.shape != own.shape or array.dtype != own.dtype or not array.flags.c_contiguous:
            raise ModelError(f"input {name}: got {array.dtype} {array.shape}; expected {own.dtype} {own.shape}")
        index = list(self._inputs).index(name)
        self._request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
        try:
            self.infer()
        finally:
            self._request.set_input_tensor(index, ov.Tensor(own, shared_memory=True))

    def start(self, callback: Callable[[Request], None] | None = None) -> None:
        """Begin a run and return at once.

        callback : called with the request, its outputs ready, from a thread of OpenVINO's; it must be short. A run
            that fails does not call it: `wait()` raises.
        """
        self._refuse_in_flight()
        if callback is not None and not self._has_callback:
            self._has_callback = True
            self._request.set_callback(_completion(weakref.ref(self)), None)
        self._callback = callback
        self._running = True
        self._request.start_async()

    def wait(self) -> None:
        """Until the run is over; at once if none is in flight."""
        if self._running:
            try:
                self._request.wait()
            except RuntimeError as error:
                raise ModelError(f"inference failed: {reason(error)}") from error
            finally:
                self._running = False

    @property
    def done(self) -> bool:
        """True if no run is in flight, or the one in flight is over: `wait()` would return at once."""
        return not self._running or bool(self._request.wait_for(0))

    def __del__(self) -> None:
        # OpenVINO must not write into memory that is gone.
        if getattr(self, "_running", False):
            self._request.wait()

    def _refuse_in_flight(self) -> None:
        if self._running:
            raise ModelError("the request is in flight; call wait() before it is used again")


def _completion(request: weakref.ref[Request]) -> Callable[[object], None]:
    """What OpenVINO calls at the end of a run. It holds no strong reference: the request would never be freed."""

    def completed(_: object) -> None:
        done = request()
        if done is None:
            return
        callback, done._callback = done._callback, None
        done._running = False
        if callback is not None:
            callback(done)

    return completed


def open_model(address: str | os.PathLike[str], **options: Any) -> Model:
    """A model from wherever it lives: a file, a name of the catalogue (downloaded when it is not there yet), or an
    address of a server that runs it (see `saccade.models.remote`).

    options : as for `Model`; a server has its own.
    """
    from saccade.models.catalogue import resolve
    from saccade.models.remote import RemoteModel, is_remote

    if isinstance(address, str) and is_remote(address):
        return cast(Model, RemoteModel(address))  # the same attributes and methods, with no network in this process
    return Model(resolve(address), **options)


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A zeroed array at the start of a memory page."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64))
    memory = mmap.mmap(-1, max(size * dtype.itemsize, 1))
    return np.frombuffer(memory, dtype, size).reshape(shape)


def _config(precision: str, threads: int | None, streams: int | None) -> dict[str, Any]:
    if precision not in ("auto", "f32", "bf16", "f16", "int8"):
        raise ConfigError(f"precision {precision!r} is not known; choose auto, f32, bf16, f16 or int8")
    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if precision != "auto":
        config["INFERENCE_PRECISION_HINT"] = "f32" if precision == "int8" else precision
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = threads
    if streams is not None:
        config["NUM_STREAMS"] = streams
    return config


def _port(port: Any, made_by: str = "") -> Port:
    shape = tuple(d.get_length() if d.is_static else -1 for d in port.partial_shape)
    return Port(input_name(port), shape, np.dtype(port.element_type.to_dtype()), made_by)


_RESHAPING = {"Result", "Reshape", "Squeeze", "Unsqueeze", "Convert", "Transpose"}


def _maker(output: Any) -> Any:
    """The node that computes an output of an `ov.Model`."""
    node = output.node
    while node.get_type_name() in _RESHAPING and node.get_input_size():
        node = node.input_value(0).node
    return node


def _label_base(node: Any) -> int:
    """First label of a detector: 1 where label 0 is the background and the network does not count it out."""
    if node.get_type_name() != "DetectionOutput":
        return 0
    attributes = node.get_attributes()
    return int(attributes.get("background_label_id", 0) == 0 and not attributes.get("decrease_label_id", False))


def _name_outputs(model: ov.Model) -> None:
    """Call outputs without a name after the layer that makes them, not `Result_4711`, which changes from run to run."""
    for port in model.outputs:
        if all(re.fullmatch(r"Result_\d+", name) for name in port.names):
            source = port.node.input_value(0)
            index = f".{source.index}" if source.node.get_output_size() > 1 else ""
            port.set_names({source.node.friendly_name + index})


def _with_plain_types(model: ov.Model) -> ov.Model:
    """Outputs as float32, and inputs of types that NumPy lacks too; the graph converts on its way."""
    outputs = [i for i, port in enumerate(model.outputs) if port.element_type != ov.Type.f32]
    inputs = [i for i, port in enumerate(model.inputs) if port.element_type == ov.Type.bf16]
    if not outputs and not inputs:
        return model
    steps = ov.preprocess.PrePostProcessor(model)
    for index in outputs:
        steps.output(index).tensor().set_element_type(ov.Type.f32)
    for index in inputs:
        steps.input(index).tensor().set_element_type(ov.Type.f32)
    return steps.build()
