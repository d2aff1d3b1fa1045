"""`openvino.inference_engine` of 2018 to 2021 over this engine: `IECore`, `IEPlugin`, `IENetwork`, `ExecutableNetwork`.

Names, shapes and precisions are those of the time: outputs are called after the layer that makes them, FP16 networks
take and give FP32, an input's `precision` and `layout` may be set before the network is loaded, results are arrays of
the caller's own. What there is no counterpart for (FPGA, extensions, blobs of weights) is refused or named.
"""

from __future__ import annotations

from saccade.compat.inference_engine.blobs import (
    Blob,
    ColorFormat,
    DataPtr,
    InputInfo,
    PreProcessInfo,
    ResizeAlgorithm,
    TensorDesc,
)
from saccade.compat.inference_engine.core import IECore, IEPlugin, get_version
from saccade.compat.inference_engine.layers import IENetLayer
from saccade.compat.inference_engine.network import IENetwork
from saccade.compat.inference_engine.requests import ExecutableNetwork, InferRequest, StatusCode, WaitMode

__all__ = [
    "Blob", "ColorFormat", "DataPtr", "ExecutableNetwork", "IECore", "IENetLayer", "IENetwork", "IEPlugin",
    "InferRequest", "InputInfo", "PreProcessInfo", "ResizeAlgorithm", "StatusCode", "TensorDesc", "WaitMode",
    "get_version",
]  # fmt: skip
