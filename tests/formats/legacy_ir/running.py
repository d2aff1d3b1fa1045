"""Running models and comparing numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import openvino as ov

F32 = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 2}


@cache
def core() -> ov.Core:
    return ov.Core()


def infer(model: ov.Model, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    compiled = core().compile_model(model, "CPU", F32)
    request = compiled.create_infer_request()
    request.infer(dict(feeds))
    return {port.any_name: request.get_tensor(port).data.copy() for port in compiled.outputs}


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to the largest expected magnitude."""
    assert found.shape == expected.shape
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    return float(np.abs(found - expected).max() / max(1e-30, np.abs(expected).max())) if found.size else 0.0


def assert_close(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], tolerance: float) -> None:
    assert set(found) == set(expected)
    worst = {name: difference(found[name], np.asarray(values)) for name, values in expected.items()}
    assert max(worst.values()) <= tolerance, worst


def detections(output: np.ndarray) -> np.ndarray:
    """Rows of a detection output up to the first image id of -1."""
    rows = output.reshape(-1, 7)
    ends = np.flatnonzero(rows[:, 0] < 0)
    return rows[: ends[0]] if len(ends) else rows


def unmatched(found: np.ndarray, expected: np.ndarray, tolerance: float) -> int:
    """Number of rows without a partner on the other side; rows are matched as sets."""
    left = list(range(len(found)))
    missing = 0
    for row in expected:
        gaps = [np.abs(found[i] - row).max() for i in left]
        if gaps and min(gaps) <= tolerance:
            left.pop(int(np.argmin(gaps)))
        else:
            missing += 1
    return missing + len(left)


def synthesise(tool: Path, xml: Path, folder: Path) -> Path:
    """Copy an .xml without weights and write the deterministic ones that its reference was computed with."""
    import runpy

    copy = folder / xml.name
    copy.write_bytes(xml.read_bytes())
    runpy.run_path(str(tool))["main"](str(copy), str(copy.with_suffix(".bin")))
    return copy
