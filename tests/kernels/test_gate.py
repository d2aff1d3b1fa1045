"""The benchmark gate itself: it lets the kernels pass as they are, and stops one that was made slower."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
needs_valgrind = pytest.mark.skipif(
    not (shutil.which("valgrind") and shutil.which("cc")), reason="needs valgrind and a C compiler"
)


def gate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.gate", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@needs_valgrind
@pytest.mark.slow
def test_a_slowed_kernel_is_stopped(tmp_path):
    sources = tmp_path / "ext"
    shutil.copytree(ROOT / "ext", sources, ignore=shutil.ignore_patterns("_*"))
    open_gate = gate("--part", "instructions", "--sources", str(sources))
    assert open_gate.returncode == 0, open_gate.stdout + open_gate.stderr

    kernel = sources / "preprocess.inc.h"
    text = kernel.read_text()
    once = "vertical(a + c * STRIP, b + c * STRIP, w[0], w[1], n, bytes[c]);"
    assert text.count(once) == 1
    kernel.write_text(text.replace(once, f"for (int again = 0; again < 4; again++) {once}"))
    shut_gate = gate("--part", "instructions", "--sources", str(sources))
    assert shut_gate.returncode == 1, shut_gate.stdout + shut_gate.stderr
    stopped = [line for line in shut_gate.stdout.splitlines() if line.startswith("worse: ")]
    assert any("sse42 BGR 1080p to 300 float32 NCHW" in line for line in stopped)
    assert not any("nms" in line or "I420" in line for line in stopped)


def test_the_baseline_is_readable():
    baseline = json.loads((ROOT / "bench" / "baseline.json").read_text())
    assert baseline["pipeline_peak_mb"] > 0
    for counts in baseline["instructions"].values():
        assert {name.split()[0] for name in counts} == {"portable", "sse42", "avx2"}
        assert all(count > 0 for count in counts.values())
