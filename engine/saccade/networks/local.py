"""A network that runs here: read, fitted to its device and compiled.

Its requests (see `request`) have tensors that are bound once, so that a frame is written once, where the network reads
it, and results are read where it wrote them.
"""

from __future__ import annotations

import copy
import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as opset13
from numpy.typing import NDArray

from saccade.errors import ConfigError, ModelError
from saccade.formats import metadata, quantised
from saccade.formats.core import core, reason
from saccade.formats.detection_output import cut_detection_output
from saccade.formats.load import ReadOptions, identify, read_with_metadata
from saccade.formats.shapes import Shapes, make_static, output_names
from saccade.networks.cache import CompileCache
from saccade.networks.catalogue import resolve
from saccade.networks.devices import Device, Precision, compile_for
from saccade.networks.network import Inputs
from saccade.networks.ports import input_port, label_base, maker_of, noted, output_port
from saccade.networks.profile import Profile
from saccade.networks.request import LocalRequest
from saccade.networks.saturation import cpu_properties
from saccade.networks.spec import InputSpec
from saccade.networks.without_avx2 import suited

_log = logging.getLogger(__name__)


class Model:
    """A network that is ready to run.

    path : any file that `read_model` reads, a name of the catalogue (pulled when it is not there yet), or an
        `ov.Model`.
    device : AUTO, CPU or GPU; a wish, see `saccade.networks.devices`.
    precision : auto (the device's own choice: bf16 on CPUs that have it), f32, bf16, f16, or int8
        for a legacy IR that was calibrated for it (what is not quantised runs in f32).
    quantised : the same network with quantised layers, as `saccade tune` makes it: an IR, for precision int8.
    input_shapes : see `read_model`. batch : 1 makes a network that takes several pictures at a time take one, where
        its graph allows that; None: as its file says.
    cache_dir : folder for compiled models; None: the user's cache folder.
    for_parser : the outputs are for a parser: where a kernel of saccade's computes the graph's last layer faster, the
        graph is cut before it, and the outputs are no longer the file's (see `saccade.formats.detection_output`).
    threads : CPU threads; None: all cores. streams : requests that run at the same time; None: 1. Two streams of
        one thread finish more frames than one stream of two threads, each of them later.

    Attributes: name, path, device, precision, inputs, outputs, label_base, the number of a detector's first class, and
    profile, by which it was opened, or None.
    """

    is_remote = False
    spec: InputSpec | None = None

    def __init__(
        self,
        path: str | os.PathLike[str] | ov.Model,
        *,
        device: Device = "CPU",
        precision: Precision = "auto",
        input_shapes: Shapes | None = None,
        batch: int | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        streams: int | None = None,
        for_parser: bool = False,
        quantised: str | os.PathLike[str] | None = None,
    ) -> None:
        own_int8 = precision == "int8" and quantised is None
        if isinstance(path, (str, os.PathLike)):
            artifact = identify(resolve(path))
            self.path: Path | None = artifact.path
            self.name = artifact.name
            options = ReadOptions(int8=own_int8)
            network, said = read_with_metadata(artifact, input_shapes, options, batch=batch)
        else:
            self.path = None
            self.name = path.friendly_name
            said = metadata.of_model(path)
            size = metadata.picture_size(said)
            network = make_static(path.clone(), self.name, input_shapes, size=size, batch=batch)
        self.metadata: Mapping[str, Any] = MappingProxyType(said)
        names = output_names(network)  # as read: compiling, and the cache of that, add and lose names
        aliases = [{*port.names, port.node.friendly_name} for port in network.inputs]
        runs = None if quantised is None else _read_quantised(Path(quantised), network)
        network = _with_plain_types(network)
        network.friendly_name = self.name
        makers = [maker_of(port) for port in network.outputs]
        declared = ["saccade", "label_base"]  # importers say so where the graph's end does not show it
        base = noted(network, declared, int)
        self.label_base = max((label_base(maker) for maker in makers), default=0) if base is None else base
        head = cut_detection_output(network) if for_parser else None
        if head is not None:
            makers, names = [maker_of(port) for port in network.outputs], output_names(network)
        self._is_cut, self._threads = head is not None, threads
        runs = suited(network) if runs is None else self._prepared(runs)
        compile = partial(CompileCache(self.name, cache_dir).compile, core())
        cpu = {} if own_int8 else cpu_properties(runs)  # who asks for int8 gets it as it is
        choice = compile_for(runs, device, _config(precision, threads, streams), cpu=cpu, compile=compile)
        self._compiled = choice.compiled
        self.device = choice.device
        self.precision = "int8" if precision == "int8" else choice.precision
        if precision not in ("auto", "int8", choice.precision):
            _log.warning("%s cannot compute in %s here: it runs in %s", self.name, precision, choice.precision)
        self.inputs = tuple(
            input_port(port, network, compiled)
            for port, compiled in zip(network.inputs, choice.compiled.inputs, strict=True)
        )
        self.outputs = tuple(
            output_port(name, port, network, compiled, maker)
            for name, port, compiled, maker in zip(names, network.outputs, choice.compiled.outputs, makers, strict=True)
        )
        if head is not None:
            told = MappingProxyType({"head": head})
            self.outputs = tuple(replace(port, layer_type="DetectionOutput", attributes=told) for port in self.outputs)
        self._aliases = {
            alias: port.name
            for own, compiled, port in zip(aliases, choice.compiled.inputs, self.inputs, strict=True)
            for alias in (*own, *compiled.names, compiled.node.friendly_name)
        }
        self.idle: deque[LocalRequest] = deque()
        self.profile: Profile | None = None
        again = partial(
            Model, self.path, device=device, precision=precision, input_shapes=input_shapes, batch=batch,
            cache_dir=cache_dir, for_parser=for_parser, quantised=quantised,
        )  # fmt: skip
        self._again = again if self.path is not None and self.device == "CPU" else None

    def quantised(self, network: ov.Model) -> Model:
        """The same with quantised layers, compiled anew for one stream and not kept on disk.

        network : as `read_with_metadata` gives it, but for its layers.
        """
        other = copy.copy(self)
        runs = self._prepared(network.clone())
        config = _config("int8", self._threads, None)
        choice = compile_for(runs, self.device.partition(".")[0], config, cpu=cpu_properties(runs))
        other._compiled, other.device, other.precision = choice.compiled, choice.device, "int8"
        other.idle, other._again = deque(), None
        return other

    def _prepared(self, network: ov.Model) -> ov.Model:
        """A quantised network with the same inputs and outputs as this one, ready to be compiled."""
        network = _with_plain_types(network)
        network.friendly_name = self.name
        if self._is_cut and cut_detection_output(network) is None:
            raise ModelError(f"{self.name}: its quantised form ends otherwise than its own; tune it again")
        return network

    def spread(self, threads: int, streams: int) -> bool:
        """Compile anew, mostly from the cache, for so many threads and streams; requests made before keep what they
        have. False, and nothing is done, where the network is not on the CPU or not from a file.
        """
        if self._again is None:
            return False
        try:
            other = self._again(threads=threads, streams=streams)
            if _outline(other) != _outline(self):
                raise ModelError(f"{self.path} has become another network")
        except (ModelError, ConfigError) as error:
            _log.warning("%s stays on the threads it has: %s", self.name, error)
            return False
        self._compiled = other._compiled
        self.idle.clear()
        return True

    def request(self) -> LocalRequest:
        """A new request with tensors of its own."""
        return LocalRequest(self._compiled, self.inputs, self.outputs)

    def infer(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """Run once; may be called from several threads.

        inputs : the array of the only input, or arrays by input name, as the network declares them.
        Returns copies of the outputs by name.
        """
        try:
            request = self.idle.pop()
        except IndexError:
            request = self.request()
        try:
            self._fill(request, inputs)
            request.infer()
            return {name: output.copy() for name, output in request.outputs.items()}
        finally:
            self.idle.append(request)

    def _fill(self, request: LocalRequest, inputs: Inputs) -> None:
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


def _outline(model: Model) -> list[tuple[str, tuple[int, ...], str]]:
    """What requests are made by."""
    return [(port.name, port.shape, port.dtype.str) for port in (*model.inputs, *model.outputs)]


def _read_quantised(path: Path, original: ov.Model) -> ov.Model:
    """A quantised network, which must have the inputs and outputs of the original."""
    try:
        network = core().read_model(str(path))
    except RuntimeError as error:
        raise ModelError(f"{path}: OpenVINO cannot read it: {reason(error)}; tune the model again") from error
    told = [[(p.partial_shape, p.element_type) for p in (*each.inputs, *each.outputs)] for each in (network, original)]
    if told[0] != told[1]:
        raise ModelError(f"{path}: has other inputs or outputs than the model here, which was tuned for another size")
    return network


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


def _real(output: Any, stored: quantised.Quantisation) -> Any:
    """The real numbers that an output's integers stand for."""
    numbers = opset13.subtract(opset13.convert(output, "f32"), np.float32(stored.zero_point))
    return opset13.multiply(numbers, np.float32(stored.scale)).output(0)


def _with_plain_types(model: ov.Model) -> ov.Model:
    """Outputs as float32, and inputs of types that NumPy lacks too; the graph converts on its way. Integers that stand
    for real numbers become these.
    """
    outputs = [i for i, port in enumerate(model.outputs) if port.element_type != ov.Type.f32]
    inputs = [i for i, port in enumerate(model.inputs) if port.element_type == ov.Type.bf16]
    if not outputs and not inputs:
        return model
    steps = ov.preprocess.PrePostProcessor(model)
    for index in outputs:
        stored = quantised.of_output(model.outputs[index])
        if stored is not None:
            steps.output(index).postprocess().custom(partial(_real, stored=stored))
        steps.output(index).tensor().set_element_type(ov.Type.f32)
    for index in inputs:
        steps.input(index).tensor().set_element_type(ov.Type.f32)
    return steps.build()
