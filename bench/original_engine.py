"""Drives Intel's original Inference Engine 2020.3, which still read legacy IR, through its C interface.

A test and benchmark tool, never a dependency: `fetch` gets the libraries out of the PyPI wheel WHEEL into the cache
folder, or SACCADE_ORIGINAL_ENGINE names the folder `cv2` of that wheel, unzipped.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from saccade.config import cache_dir

WHEEL = "opencv-python-inference-engine==4.3.0.2"
FP32, I32 = 10, 70
_DTYPES = {FP32: np.float32, I32: np.int32, 40: np.uint8, 50: np.int8, 72: np.int64}


class _Dims(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_size_t), ("dims", ctypes.c_size_t * 8)]


class _Config(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_char_p), ("next", ctypes.c_void_p)]


class OriginalEngineError(RuntimeError):
    pass


def folder() -> Path:
    """Where the engine's libraries are, or would be."""
    named = os.environ.get("SACCADE_ORIGINAL_ENGINE", "")
    return Path(named) if named else cache_dir() / "bench" / "original-engine" / "cv2"


def available() -> bool:
    """Whether the engine is there."""
    return (folder() / "libinference_engine_c_api.so").is_file()


def fetch() -> None:
    """Get the engine's libraries from PyPI into the cache folder, if they are not there."""
    if available():
        return
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", work,
             "--platform", "manylinux1_x86_64", "--python-version", "3.7", WHEEL],
            check=True,
        )  # fmt: skip
        with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as wheel:
            names = [name for name in wheel.namelist() if name.startswith("cv2/") and not name.endswith("cv2.so")]
            wheel.extractall(folder().parent, names)


class OriginalNet:
    """A network loaded by the original engine on its CPU plugin."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        if not available():
            raise OriginalEngineError(f"{folder()} does not hold the engine's libraries; call fetch()")
        self._lib = ctypes.CDLL(str(folder() / "libinference_engine_c_api.so"))
        self._core, self._net, self._loaded, self._request = (ctypes.c_void_p() for _ in range(4))
        self._call("core_create", b"", self._core)
        weights = str(path.with_suffix(".bin")).encode()
        self._call("core_read_network", self._core, str(path).encode(), weights, self._net)
        self.inputs, self.outputs = self._names("input"), self._names("output")
        for name in self.outputs:
            precision = ctypes.c_int()
            self._call("network_get_output_precision", self._net, name.encode(), precision)
            if precision.value != I32:
                self._call("network_set_output_precision", self._net, name.encode(), ctypes.c_int(FP32))
        config = _Config(b"CPU_THREADS_NUM", str(threads).encode(), None) if threads else _Config(None, None, None)
        self._call("core_load_network", self._core, self._net, b"CPU", config, self._loaded)
        self._call("exec_network_create_infer_request", self._loaded, self._request)

    def infer(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, values in feeds.items():
            self.tensor(name)[...] = np.asarray(values).reshape(self.tensor(name).shape)
        self.run()
        return {name: self.tensor(name).copy() for name in self.outputs}

    def run(self) -> None:
        self._call("infer_request_infer", self._request)

    def tensor(self, name: str) -> np.ndarray:
        """The engine's own memory of an input or output."""
        blob, dims, precision = ctypes.c_void_p(), _Dims(), ctypes.c_int()
        buffer, size = ctypes.c_void_p(), ctypes.c_int()
        self._call("infer_request_get_blob", self._request, name.encode(), blob)
        self._call("blob_get_dims", blob, dims)
        self._call("blob_get_precision", blob, precision)
        self._call("blob_get_buffer", blob, buffer)
        self._call("blob_byte_size", blob, size)
        raw = (ctypes.c_char * size.value).from_address(buffer.value or 0)
        array: np.ndarray = np.frombuffer(memoryview(raw).cast("B"), np.dtype(_DTYPES[precision.value]))
        return array.reshape([dims.dims[i] for i in range(dims.rank)])

    def _names(self, side: str) -> list[str]:
        count = ctypes.c_size_t()
        self._call(f"network_get_{side}s_number", self._net, count)
        names = []
        for index in range(count.value):
            name = ctypes.c_char_p()
            self._call(f"network_get_{side}_name", self._net, ctypes.c_size_t(index), name)
            names.append((name.value or b"").decode())
        return names

    def _call(self, function: str, *arguments: Any) -> None:
        """Call a function of the interface; everything that the engine writes to is passed by reference."""
        written = {
            "core_create": {1}, "core_read_network": {3}, "network_get_output_precision": {2},
            "core_load_network": {3, 4}, "exec_network_create_infer_request": {1}, "infer_request_get_blob": {2},
            "blob_get_dims": {1}, "blob_get_precision": {1}, "blob_get_buffer": {1}, "blob_byte_size": {1},
            "network_get_inputs_number": {1}, "network_get_outputs_number": {1}, "network_get_input_name": {2},
            "network_get_output_name": {2},
        }.get(function, set())  # fmt: skip
        passed = [ctypes.byref(a) if i in written else a for i, a in enumerate(arguments)]
        status = getattr(self._lib, f"ie_{function}")(*passed)
        if status:
            raise OriginalEngineError(f"{function}: status {status}")
