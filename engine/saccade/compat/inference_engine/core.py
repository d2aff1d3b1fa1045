"""`IECore`, and `IEPlugin` of before 2019 R2: they read and load networks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.compat import device
from saccade.compat.inference_engine.network import IENetwork
from saccade.compat.inference_engine.requests import ExecutableNetwork
from saccade.errors import SaccadeError, UnsupportedError


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
