"""Networks that several users share: opened and compiled once for each file, device, precision and shape."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from saccade.networks.network import Network
from saccade.networks.opening import open_network


class Networks:
    """Opens networks, each once while somebody has it; from any thread.

    options : of all of them, as for `Model`, where a call does not say otherwise.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._open: weakref.WeakValueDictionary[str, Network] = weakref.WeakValueDictionary()

    def open(self, address: str | os.PathLike[str], **options: Any) -> Network:
        """As `open_network`; the same network for whoever gives the same address and options."""
        options = self._options | options
        key = repr((os.fspath(address), sorted(options.items())))
        with self._lock:
            network = self._open.get(key)
            if network is None:
                network = self._open[key] = open_network(address, **options)
        return network

    def __len__(self) -> int:
        return len(self._open)
