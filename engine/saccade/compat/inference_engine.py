"""`openvino.inference_engine` of 2018 to 2021 over this engine: `IECore`, `IEPlugin`, `IENetwork`, `ExecutableNetwork`.

Names, shapes and precisions are those of the time: outputs are called after the layer that makes them, FP16 networks
take and give FP32, an input's `precision` and `layout` may be set before the network is loaded, results are arrays of
the caller's own. What there is no counterpart for (FPGA, extensions, blobs of weights) is refused or named.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saccade.compat import device
from saccade.errors import ConfigError, ModelError, SaccadeError, UnsupportedError

if TYPE_CHECKING:
    from saccade.networks.request import LocalRequest

Array = NDArray[Any]

__all__ = [
    "Blob", "ColorFormat", "DataPtr", "ExecutableNetwork", "IECore", "IENetLayer", "IENetwork", "IEPlugin",
    "InferRequest", "InputInfo", "PreProcessInfo", "ResizeAlgorithm", "StatusCode", "TensorDesc", "WaitMode",
    "get_version",
]  # fmt: skip


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


class ResizeAlgorithm(IntEnum):
    """How pictures of another size are brought to the input's."""

    NO_RESIZE = 0
    RESIZE_BILINEAR = 1
    RESIZE_AREA = 2


class ColorFormat(IntEnum):
    """Order of a picture's channels."""

    RAW = 0
    RGB = 1
    BGR = 2


_DTYPES: dict[str, Any] = {
    "FP32": np.float32, "FP16": np.float16, "FP64": np.float64, "U8": np.uint8, "I8": np.int8, "U16": np.uint16,
    "I16": np.int16, "I32": np.int32, "I64": np.int64, "BOOL": np.bool_,
}  # fmt: skip
_PRECISIONS = {np.dtype(dtype): name for name, dtype in _DTYPES.items()} | {np.dtype(np.float16): "FP32"}
_LAYOUTS = {0: "SCALAR", 1: "C", 2: "NC", 3: "CHW", 4: "NCHW", 5: "NCDHW"}


@dataclass
class TensorDesc:
    """Precision, dimensions and layout of a blob."""

    precision: str
    dims: tuple[int, ...]
    layout: str = "NCHW"


class Blob:
    """Memory of one input or output. buffer : the array itself."""

    def __init__(self, tensor_desc: TensorDesc, array: Array | None = None) -> None:
        self.tensor_desc = tensor_desc
        dtype = _dtype(tensor_desc.precision)
        self.buffer: Array = np.zeros(tensor_desc.dims, dtype) if array is None else np.asarray(array, dtype)

    def reshape(self, dims: Iterable[int]) -> None:
        """Give the array another shape of as many elements."""
        self.buffer = self.buffer.reshape(tuple(dims))
        self.tensor_desc.dims = self.buffer.shape


@dataclass
class PreProcessInfo:
    """What is done with pictures that are set as blobs."""

    resize_algorithm: ResizeAlgorithm = ResizeAlgorithm.NO_RESIZE
    color_format: ColorFormat = ColorFormat.RAW


class DataPtr:
    """An output, or what an input wants. precision, layout : may be set before the network is loaded."""

    def __init__(self, name: str, shape: Iterable[int], precision: str) -> None:
        self.name, self.shape = name, [int(d) for d in shape]
        self._precision = precision
        self.layout = _LAYOUTS.get(len(self.shape), "BLOCKED")
        self.initialized = True

    @property
    def precision(self) -> str:
        """One of FP32, FP16, U8, I8, U16, I16, I32, I64."""
        return self._precision

    @precision.setter
    def precision(self, name: str) -> None:
        _dtype(name)
        self._precision = name

    @property
    def dims(self) -> list[int]:
        """The shape."""
        return self.shape


class InputInfo(DataPtr):
    """An input, as `net.inputs` (its shape directly) and `net.input_info` (below `input_data`) gave it."""

    def __init__(self, name: str, shape: Iterable[int], precision: str) -> None:
        super().__init__(name, shape, precision)
        self.preprocess_info = PreProcessInfo()

    @property
    def input_data(self) -> DataPtr:
        """The same, as it was called from 2020 on."""
        return self

    @property
    def tensor_desc(self) -> TensorDesc:
        """Precision, dimensions in the order of the layout, and layout."""
        return TensorDesc(self.precision, _in_layout(tuple(self.shape), self.layout), self.layout)


@dataclass
class IENetLayer:
    """One layer. params : its attributes in words. parents, children : names of layers."""

    name: str
    type: str
    shape: list[int]
    params: dict[str, str]
    precision: str = "FP32"
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    affinity: str = ""

    @property
    def layout(self) -> str:
        """By the number of dimensions."""
        return _LAYOUTS.get(len(self.shape), "BLOCKED")

    @property
    def out_data(self) -> list[DataPtr]:
        """The first output."""
        return [DataPtr(self.name, self.shape, self.precision)]


class IENetwork:
    """A network as its files hold it.

    model : .xml or .onnx, or its bytes. weights : the .bin, or its bytes; by default the one beside the .xml.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes = "",
        weights: str | os.PathLike[str] | bytes = "",
        init_from_buffer: bool = False,
    ) -> None:
        try:
            with device.current().at_work():
                self._read(model, weights)
        except SaccadeError as error:
            device.current().on_failure(error)
            raise

    @classmethod
    def from_ir(cls, model: str, weights: str = "") -> IENetwork:
        """The same, as it was called in 2018."""
        return cls(model, weights)

    def _read(self, model: Any, weights: Any) -> None:
        from saccade.formats.load import identify, read_as_is

        if isinstance(model, (bytes, bytearray, memoryview)):
            with tempfile.TemporaryDirectory(prefix="saccade-") as folder:
                path = Path(folder, "model.xml" if bytes(model).lstrip().startswith(b"<") else "model.onnx")
                path.write_bytes(model)
                path.with_suffix(".bin").write_bytes(b"" if isinstance(weights, str) else weights)
                self._artifact = identify(path)
                self._model = read_as_is(self._artifact)
                self._facts = _legacy_layers(self._artifact)
        else:
            path = Path(device.current().artifact(os.fspath(model))[0])
            with _beside(path, weights) as found:
                self._artifact = identify(found)
                self._model = read_as_is(self._artifact)
                self._facts = _legacy_layers(self._artifact)
        self.name = self._facts.name if self._facts is not None and self._facts.name else path.stem
        self._inputs: dict[str, InputInfo] = {}
        self._outputs: dict[str, DataPtr] = {}
        self._describe()

    def _describe(self) -> None:
        """Name inputs and outputs as the engine of the time did; settings made before stay."""
        old = self._inputs
        self._inputs = {}
        for port in self._model.inputs:
            name = str(port.node.friendly_name)
            info = InputInfo(name, _shape(port), _precision(port))
            if name in old:
                info.layout, info.precision = old[name].layout, old[name].precision
                info.preprocess_info = old[name].preprocess_info
            self._inputs[name] = info
        self._outputs = {
            name: DataPtr(name, _shape(port), "FP32")
            for name, port in zip(self._output_names(), self._model.outputs, strict=True)
        }

    def _output_names(self) -> list[str]:
        from saccade.formats.shapes import output_names

        if self._artifact.format != "ir":
            return output_names(self._model)
        makers = [port.node.input_value(0) for port in self._model.outputs]
        return [
            str(maker.node.friendly_name) + (f".{maker.index}" if maker.node.get_output_size() > 1 else "")
            for maker in makers
        ]

    @property
    def inputs(self) -> dict[str, InputInfo]:
        """Inputs by name."""
        return self._inputs

    @property
    def input_info(self) -> dict[str, InputInfo]:
        """Inputs by name."""
        return self._inputs

    @property
    def outputs(self) -> dict[str, DataPtr]:
        """Outputs by name."""
        return self._outputs

    @property
    def batch_size(self) -> int:
        """First dimension of the inputs; setting it reshapes the network."""
        shapes = [info.shape for info in self._inputs.values() if len(info.shape) > 1]
        return shapes[0][0] if shapes else 1

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ConfigError(f"{self.name}: batch_size is {size!r}; expected a positive number")
        batch = self.batch_size
        shapes = {name: info.shape for name, info in self._inputs.items()}
        self.reshape({n: [int(size), *s[1:]] if len(s) > 1 and s[0] == batch else s for n, s in shapes.items()})

    def reshape(self, input_shapes: Mapping[str, Iterable[int]]) -> None:
        """Give inputs other shapes, by name."""
        from saccade.formats.core import reason

        ports = {str(port.node.friendly_name): port for port in self._model.inputs}
        unknown = sorted(set(input_shapes) - set(ports))
        if unknown:
            raise ConfigError(f"{self.name} has no input {unknown[0]!r}; its inputs are {sorted(ports)}")
        try:
            self._model.reshape({ports[name]: [int(d) for d in shape] for name, shape in input_shapes.items()})
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelError(f"{self.name} cannot take the shapes {dict(input_shapes)}: {reason(error)}") from error
        self._describe()

    def add_outputs(self, outputs: Any) -> None:
        """Make outputs of layers within: a name, (name, port), or several of them."""
        wanted = [outputs] if isinstance(outputs, (str, tuple)) else list(outputs)
        nodes = {str(node.friendly_name): node for node in self._model.get_ordered_ops()}
        for entry in wanted:
            name, index = (entry, 0) if isinstance(entry, str) else entry
            node = nodes.get(name)
            if node is None or index >= node.get_output_size():
                raise ConfigError(f"{self.name} has no layer {name!r} with an output {index}")
            port = node.output(index)
            if not port.names:
                port.set_names({name if index == 0 else f"{name}.{index}"})
            self._model.add_outputs([port])
        self._describe()

    @property
    def layers(self) -> dict[str, IENetLayer]:
        """Layers by name, in the order of the file."""
        found: dict[str, IENetLayer] = {}
        shapes = {str(n.friendly_name): _shape(n.output(0)) for n in self._model.get_ordered_ops() if n.outputs()}
        if self._facts is not None:
            by_id = self._facts.layers
            for layer in by_id.values():
                own = [list(port.dims) for port in layer.outputs]
                found[layer.name] = IENetLayer(
                    layer.name, layer.type, shapes.get(layer.name, own[0] if own else []), dict(layer.attributes)
                )
            for (target, _), (source, _) in self._facts.sources.items():
                _connect(found, by_id[source].name, by_id[target].name)
            return found
        for node in self._model.get_ordered_ops():
            kind = node.get_type_name()
            if kind in ("Result", "Constant"):
                continue
            name = str(node.friendly_name)
            kind = {"Parameter": "Input"}.get(kind, kind)
            found[name] = IENetLayer(name, kind, shapes[name], _in_words(node.get_attributes()))
            for source in node.input_values():
                if str(source.node.friendly_name) in found:
                    _connect(found, str(source.node.friendly_name), name)
        return found

    def serialize(self, path_to_xml: str, path_to_bin: str = "") -> None:
        """Write the network as an IR of today."""
        import openvino as ov

        ov.serialize(self._model, path_to_xml, path_to_bin or str(Path(path_to_xml).with_suffix(".bin")))


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
            array = _resized(array, target.shape, blob.tensor_desc.layout, info.layout)
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


@dataclass
class _Version:
    description: str
    major: int
    minor: int
    build_number: str


class IECore:
    """Reads and loads networks."""

    def __init__(self, xml_config_file: str = "") -> None:
        self.available_devices = ["CPU"]

    def read_network(
        self,
        model: str | os.PathLike[str] | bytes,
        weights: str | os.PathLike[str] | bytes = "",
        init_from_buffer: bool = False,
    ) -> IENetwork:
        """See `IENetwork`."""
        return IENetwork(model, weights)

    def load_network(
        self,
        network: IENetwork | str | os.PathLike[str],
        device_name: str = "CPU",
        config: Mapping[str, Any] | None = None,
        num_requests: int = 1,
    ) -> ExecutableNetwork:
        """A network that is ready to run. device_name : as then; what is not here becomes the CPU."""
        if not isinstance(network, IENetwork):
            network = IENetwork(network)
        try:
            with device.current().at_work():
                return ExecutableNetwork(network, device_name, num_requests)
        except SaccadeError as error:
            device.current().on_failure(error)
            raise

    def query_network(
        self, network: IENetwork, device_name: str, config: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """The device of each layer: all run."""
        return dict.fromkeys(network.layers, device_name)

    def get_versions(self, device_name: str) -> dict[str, _Version]:
        """Of the engine, by device."""
        return {name: _Version("saccade", 2, 1, get_version()) for name in device_name.split(",")}

    def get_metric(self, device_name: str, metric_name: str) -> Any:
        """`AVAILABLE_DEVICES`, `FULL_DEVICE_NAME`, `OPTIMIZATION_CAPABILITIES`, `RANGE_FOR_ASYNC_INFER_REQUESTS`."""
        from saccade.formats.core import core

        metrics = {
            "AVAILABLE_DEVICES": [""], "OPTIMIZATION_CAPABILITIES": ["FP32"],
            "RANGE_FOR_ASYNC_INFER_REQUESTS": (1, 1, 1),
        }  # fmt: skip
        if metric_name == "FULL_DEVICE_NAME":
            return str(core().get_property("CPU", "FULL_DEVICE_NAME"))
        if metric_name == "SUPPORTED_METRICS":
            return [*metrics, "FULL_DEVICE_NAME", metric_name]
        if metric_name not in metrics:
            raise UnsupportedError(f"get_metric({metric_name!r}): there are {', '.join(metrics)}")
        return metrics[metric_name]

    def set_config(self, config: Mapping[str, Any], device_name: str) -> None:
        """Threads, streams and the like are the engine's own affair."""
        device.current().notes(f"set_config of {device_name} changes nothing: {', '.join(map(str, config))}")

    def add_extension(self, extension_path: str, device_name: str) -> None:
        """Not needed: what the extensions of the time held is built in."""
        device.current().notes(f"the extension {Path(extension_path).name} is not needed")

    def register_plugin(self, plugin_name: str, device_name: str = "") -> None:
        """Refused."""
        raise UnsupportedError(f"register_plugin({plugin_name!r}): there are no plugins; use CPU or GPU")

    def import_network(self, model_file: str, device_name: str, config: Any = None, num_requests: int = 1) -> None:
        """Refused: a compiled network holds code for its device."""
        raise UnsupportedError(f"import_network({model_file!r}): give the .xml that it was compiled from")


class IEPlugin:
    """The engine as it was called before 2019 R2."""

    def __init__(self, device: str = "CPU", plugin_dirs: Any = None) -> None:
        self.device, self.version = device, get_version()
        self._core = IECore()

    def load(self, network: IENetwork, num_requests: int = 1, config: Any = None) -> ExecutableNetwork:
        """See `IECore.load_network`."""
        return self._core.load_network(network, self.device, config, num_requests)

    def get_supported_layers(self, net: IENetwork) -> set[str]:
        """Names of all layers: all run."""
        return set(net.layers)

    def add_cpu_extension(self, extension_path: str) -> None:
        """See `IECore.add_extension`."""
        self._core.add_extension(extension_path, self.device)

    def set_config(self, config: Mapping[str, Any]) -> None:
        """See `IECore.set_config`."""
        self._core.set_config(config, self.device)

    def set_initial_affinity(self, net: IENetwork) -> None:
        """Nothing: a network runs on one device."""


def get_version() -> str:
    """Version of the engine."""
    from saccade import __version__

    return f"2.1.saccade-{__version__}"


def _dtype(precision: str) -> np.dtype[Any]:
    if precision not in _DTYPES:
        raise ConfigError(f"precision {precision!r} is not known; choose {', '.join(_DTYPES)}")
    dtype: np.dtype[Any] = np.dtype(_DTYPES[precision])
    return dtype


def _precision(port: Any) -> str:
    return _PRECISIONS.get(np.dtype(port.element_type.to_dtype()), "FP32")


def _shape(port: Any) -> list[int]:
    """-1 for what is open."""
    shape = port.partial_shape
    return [d.get_length() if d.is_static else -1 for d in shape] if shape.rank.is_static else []


def _in_layout(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1]) if layout == "NHWC" and len(shape) == 4 else shape


def _staging(array: Array, info: InputInfo) -> Array:
    """Where an input is written: the request's own memory, or one of the precision and layout that were set."""
    shape = _in_layout(array.shape, info.layout)
    if shape == array.shape and info.precision == _PRECISIONS.get(array.dtype):
        return array
    return np.zeros(shape, _dtype(info.precision))


def _copy(target: Array, value: Any, what: str) -> None:
    array = np.asarray(value)
    try:
        np.copyto(target, array, casting="unsafe")
    except (ValueError, TypeError):
        raise ValueError(f"{what} is {device.describe(array)}; the network takes {target.shape}") from None


def _resized(array: Array, shape: tuple[int, ...], given: str, wanted: str) -> Array:
    import cv2

    picture = array[0] if given == "NHWC" else array[0].transpose(1, 2, 0)
    height, width = shape[1:3] if wanted == "NHWC" else shape[2:4]
    resized = cv2.resize(np.ascontiguousarray(picture), (width, height)).reshape(height, width, -1)
    return resized[None] if wanted == "NHWC" else resized.transpose(2, 0, 1)[None]


def _connect(layers: Mapping[str, IENetLayer], parent: str, child: str) -> None:
    layers[child].parents.append(parent)
    layers[parent].children.append(child)


def _in_words(attributes: Mapping[str, Any]) -> dict[str, str]:
    """As they stood in the .xml."""

    def word(value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return ",".join(map(word, value))
        return str(int(value)) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)

    return {name: word(value) for name, value in attributes.items()}


def _legacy_layers(artifact: Any) -> Any:
    """The plain graph of a legacy IR, or None."""
    if artifact.format != "legacy-ir":
        return None
    from saccade.formats.legacy_ir.xml_reader import read_network

    return read_network(artifact.path)


class _beside:
    """The .xml with the .bin that was named beside it, for the length of a `with`."""

    def __init__(self, model: Path, weights: Any) -> None:
        self._model, self._weights = model, weights
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Path:
        weights = self._weights
        if not weights or model_weights(self._model) == weights:
            return self._model
        self._folder = tempfile.TemporaryDirectory(prefix="saccade-")
        path = Path(self._folder.name, self._model.name)
        path.symlink_to(self._model.resolve())
        partner = path.with_suffix(".bin")
        if isinstance(weights, (bytes, bytearray, memoryview)):
            partner.write_bytes(weights)
        else:
            named = Path(device.current().path(os.fspath(weights)))
            if not named.is_file():
                # A substitute brings weights of its own.
                named = self._model.with_suffix(".bin")
            if named.is_file():
                partner.symlink_to(named.resolve())
        return path

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def model_weights(model: Path) -> str:
    """The .bin that belongs to an .xml by its name."""
    return str(model.with_suffix(".bin"))
