"""`IENetwork`: a network as its files hold it, before it is loaded."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from saccade.compat import device
from saccade.compat.inference_engine.blobs import DataPtr, InputInfo, precision_of, shape_of
from saccade.compat.inference_engine.layers import IENetLayer, layers_of, legacy_graph
from saccade.errors import ConfigError, ModelError, SaccadeError


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
                self._facts = legacy_graph(self._artifact)
        else:
            path = Path(device.current().artifact(os.fspath(model))[0])
            with _beside(path, weights) as found:
                self._artifact = identify(found)
                self._model = read_as_is(self._artifact)
                self._facts = legacy_graph(self._artifact)
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
            info = InputInfo(name, shape_of(port), precision_of(port))
            if name in old:
                info.layout, info.precision = old[name].layout, old[name].precision
                info.preprocess_info = old[name].preprocess_info
            self._inputs[name] = info
        self._outputs = {
            name: DataPtr(name, shape_of(port), "FP32")
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
        return layers_of(self._model, self._facts)

    def serialize(self, path_to_xml: str, path_to_bin: str = "") -> None:
        """Write the network as an IR of today."""
        import openvino as ov

        ov.serialize(self._model, path_to_xml, path_to_bin or str(Path(path_to_xml).with_suffix(".bin")))


@contextlib.contextmanager
def _beside(model: Path, weights: Any) -> Iterator[Path]:
    """The .xml with the .bin that was named beside it, for the length of a `with`."""
    if not weights or weights == str(model.with_suffix(".bin")):
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="saccade-") as folder:
        path = Path(folder, model.name)
        path.symlink_to(model.resolve())
        partner = path.with_suffix(".bin")
        if isinstance(weights, (bytes, bytearray, memoryview)):
            partner.write_bytes(weights)
        else:
            named = Path(device.current().path(os.fspath(weights)))
            if not named.is_file():
                # A substitute brings weights of its own.
                named = model.with_suffix(".bin")
            if named.is_file():
                partner.symlink_to(named.resolve())
        yield path
