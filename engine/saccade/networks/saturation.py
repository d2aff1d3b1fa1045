"""Quantised networks on processors whose int8 products overflow.

Without VNNI the CPU plugin multiplies with `pmaddubsw`, which adds two products in 16 bits: with weights of all 8 bits
the sums saturate and results are far off (OpenVINO, "Model Optimization", on saturation; NNCF's `overflow_fix` gives
weights 7 bits for that reason). A network whose weights could do that runs in floating point there: slower, and right.
Depthwise convolutions have kernels that multiply into 32 bits (measured with the largest numbers on AVX2 and AVX-512
without VNNI), and NNCF leaves their weights all 8 bits.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

FLOATING = {"LP_TRANSFORMS_MODE": "NO"}
"""Properties with which the CPU plugin computes what is quantised in floating point."""

_SAFE = 64
"""Weights of 7 bits, with which two products and their sum fit 16 bits: 2 x 255 x 64 < 2**15."""


def cpu_properties(model: ov.Model) -> dict[str, str]:
    """What the CPU has to be told for a network's results to be right; nothing for most."""
    return FLOATING if not has_vnni() and may_saturate(model) else {}


def may_saturate(model: ov.Model) -> bool:
    """Whether activations are quantised, and weights of more than 7 bits meet them."""
    nodes = model.get_ops()
    if not any(node.get_type_name() == "FakeQuantize" for node in nodes):
        return False
    return any(_wide(node) for node in nodes)


ISA_LIMIT = "ONEDNN_MAX_CPU_ISA"
"""Environment variable that keeps OpenVINO's kernels from using newer instructions (oneDNN, "CPU Dispatcher Control").
"""

_BEFORE_VNNI = frozenset({"SSE41", "AVX", "AVX2", "AVX512_CORE"})


@lru_cache(None)
def has_vnni() -> bool:
    """Whether this processor multiplies int8 into 32 bits, and OpenVINO may have it do so."""
    if os.environ.get(ISA_LIMIT, "").upper() in _BEFORE_VNNI:
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags)


def _wide(node: Any) -> bool:
    """Weights that are stored in 8 bits and use them all, or that are quantised to so many on the way."""
    kind = node.get_type_name()
    shape = tuple(node.get_output_shape(0)) if node.get_output_partial_shape(0).is_static else ()
    if len(shape) >= 5 and shape[1] == shape[2] == 1:
        return False  # groups of one channel each
    if kind == "Constant" and len(shape) >= 2:
        if node.get_element_type() == ov.Type.i8:
            values = node.get_data()
            return values.size > 0 and bool(np.abs(values.astype(np.int16)).max() > _SAFE)
        if node.get_element_type() == ov.Type.u8:
            values = node.get_data()
            return values.size > 0 and int(values.max()) - int(values.min()) > 2 * _SAFE
    if kind == "FakeQuantize" and node.input_value(0).get_node().get_type_name() == "Constant":
        return int(node.get_attributes()["levels"]) > 2 * _SAFE
    return False
