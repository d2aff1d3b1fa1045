"""Networks: what runs, here or elsewhere.

A `Network` has ports and makes requests; a `Request` owns the memory of its inputs and outputs, and everything that
leaves it as a view is valid until its next run. `local` runs a model through OpenVINO, `remote` sends its input to a
server, `catalogue` knows models that can be had by name. Nothing here imports OpenVINO until a network is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.networks.catalogue import pull, resolve
    from saccade.networks.local import Model
    from saccade.networks.network import Network, Port, Request
    from saccade.networks.opening import open_network
    from saccade.networks.spec import InputSpec

__all__ = ["InputSpec", "Model", "Network", "Port", "Request", "open_network", "pull", "resolve"]

_HOMES = {
    "InputSpec": "spec",
    "Model": "local",
    "Network": "network",
    "Port": "network",
    "Request": "network",
    "open_network": "opening",
    "pull": "catalogue",
    "resolve": "catalogue",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'saccade.networks' has no attribute {name!r}")
    return getattr(import_module(f"saccade.networks.{home}"), name)
