"""INT8 by NNCF, in a process of its own: it can be ended when the time is over, and leaves no memory behind.

The process is given the network as a file, and what the network was shown in memory without a name, so that no frame
stays anywhere when it is killed. NNCF's analytics are off.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from saccade.errors import SaccadeError
from saccade.networks.network import Array

Tensors = Sequence[Sequence[Array]]
"""For each frame the arrays of all inputs, in the network's order."""


class QuantisingError(SaccadeError):
    """The network could not be quantised."""


def nncf_version() -> str:
    """NNCF's release; empty where it is not installed."""
    if find_spec("nncf") is None:
        return ""
    try:
        return metadata.version("nncf")
    except metadata.PackageNotFoundError:
        return ""


def quantise(
    network: Path, target: Path, tensors: Tensors, *, seven_bits: bool, by_layer: bool, seconds: float
) -> None:
    """Write `target`, the network with all layers quantised that NNCF quantises.

    network, target : IR files. tensors : what it is calibrated with. seven_bits : weights for processors whose int8
    products overflow, see `saccade.networks.saturation`. by_layer : correct what quantising shifts in one layer after
    the other, each on what the corrected ones before it give: slower, and often nearer to f32. seconds : after which it
    is ended.

    Raises QuantisingError with the reason, TimeoutError when the time is over.
    """
    handle = os.memfd_create("calibration", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            told = _write(file, tensors)
        order = {
            "network": str(network.resolve()),
            "target": str(target.resolve()),
            "file": handle,
            "arrays": told,
            "seven": seven_bits,
            "by_layer": by_layer,
        }
        places = os.pathsep.join(os.path.abspath(place) for place in sys.path if place)
        environment = os.environ | {"NNCF_CI": "1", "PYTHONPATH": places}
        command = [sys.executable, "-m", "saccade.tune.quantising", json.dumps(order)]
        with subprocess.Popen(
            command, pass_fds=[handle], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, errors="replace",
            cwd=target.parent,  # -m looks for modules there first: not among somebody's files
        ) as process:  # fmt: skip
            try:
                _, said = process.communicate(timeout=seconds)
            except BaseException as error:
                process.kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise TimeoutError(f"NNCF was not done after {seconds:.0f} s") from None
                raise
    finally:
        os.close(handle)
    if process.returncode or not target.is_file():
        lines = [line for line in said.splitlines() if line.strip()]
        raise QuantisingError(f"NNCF failed: {lines[-1][:300] if lines else f'status {process.returncode}'}")


def _write(file: IO[bytes], tensors: Tensors) -> list[list[list[Any]]]:
    """Write all arrays one after the other; what they are, for the reader."""
    for frame in tensors:
        for array in frame:
            file.write(np.ascontiguousarray(array).data)
    return [[[array.dtype.str, list(array.shape)] for array in frame] for frame in tensors]


def _read(handle: int, told: list[list[list[Any]]]) -> list[list[Array]]:
    frames, place = [], 0
    memory = np.memmap(os.fdopen(handle, "rb"), np.uint8, "r")
    for arrays in told:
        frame = []
        for kind, shape in arrays:
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
            frame.append(np.array(memory[place : place + size]).view(kind).reshape(shape))
            place += size
        frames.append(frame)
    return frames


def _main(text: str) -> None:
    """The process: quantise, write, end."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nobody waits for this after its parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    import nncf
    import openvino as ov
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

    order = json.loads(text)
    network = ov.Core().read_model(order["network"])
    frames = _read(order["file"], order["arrays"])
    quantised = nncf.quantize(
        network,
        nncf.Dataset(frames),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(frames),
        fast_bias_correction=not order["by_layer"],
        model_type=nncf.ModelType.TRANSFORMER if _has_attention(network) else None,
        advanced_parameters=AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.ENABLE if order["seven"] else OverflowFix.DISABLE,
            # Weights as they were, so that single layers can be taken back; they are compressed at the end.
            backend_params={"compress_weights": False},
        ),
    )
    ov.save_model(quantised, order["target"], compress_to_fp16=False)


def _has_attention(network: Any) -> bool:
    """Whether two values that depend on the picture are multiplied with each other as matrices."""
    for node in network.get_ops():
        kind = node.get_type_name()
        if kind == "ScaledDotProductAttention":
            return True
        if kind == "MatMul" and not any(
            node.input_value(i).get_node().get_type_name() in ("Constant", "Convert", "FakeQuantize") for i in range(2)
        ):
            return True
    return False


if __name__ == "__main__":
    _main(sys.argv[1])
