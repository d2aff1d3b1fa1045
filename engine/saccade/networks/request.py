"""A request of a network that runs here: one run at a time, in memory that is bound once.

Its input and output memory is page-aligned, allocated when the request is made, and shared with OpenVINO.
"""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Callable

import numpy as np
import openvino as ov
from numpy.typing import DTypeLike, NDArray

from saccade.errors import ModelError
from saccade.formats.core import reason
from saccade.networks.network import Array, Port


class LocalRequest:
    """One run of a model at a time, in memory that belongs to the request.

    Write into `inputs`, run, read `outputs`. Made by `Model.request()`.
    """

    __slots__ = ("__weakref__", "_callback", "_dynamic", "_has_callback", "_inputs", "_outputs", "_request", "_running")

    def __init__(self, compiled: ov.CompiledModel, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
        self._running = False
        self._request = compiled.create_infer_request()
        self._callback: Callable[[LocalRequest], None] | None = None
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
        if self._running:
            raise _in_flight()
        return self._inputs

    @property
    def outputs(self) -> dict[str, NDArray[np.float32]]:
        """Output arrays by name, float32, valid until the next run; raises while a run is in flight."""
        if self._running:
            raise _in_flight()
        for index, name in self._dynamic:
            self._outputs[name] = self._request.get_output_tensor(index).data
        return self._outputs

    def infer(self) -> None:
        """Run in the caller's thread; other Python threads go on meanwhile."""
        if self._running:
            raise _in_flight()
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

    def start(self, callback: Callable[[LocalRequest], None] | None = None) -> None:
        """Begin a run and return at once.

        callback : called with the request, its outputs ready, from a thread of OpenVINO's; it must be short. A run
            that fails does not call it: `wait()` raises.
        """
        if self._running:
            raise _in_flight()
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


def _in_flight() -> ModelError:
    return ModelError("the request is in flight; call wait() before it is used again")


def _completion(request: weakref.ref[LocalRequest]) -> Callable[[object], None]:
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


def aligned(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """A zeroed array at the start of a memory page."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64))
    memory = mmap.mmap(-1, max(size * dtype.itemsize, 1))
    return np.frombuffer(memory, dtype, size).reshape(shape)
