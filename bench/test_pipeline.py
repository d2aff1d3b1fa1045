"""Whole runs under pytest-benchmark: python -m pytest -o addopts= bench/test_pipeline.py."""

from __future__ import annotations

from typing import Any

import pytest

from bench.pipeline import matched, run_reference, run_saccade, video
from saccade.capture import open_source

FRAMES = 120


@pytest.mark.parametrize("name", ["demo:", "demo:4mp"])
def test_saccade(benchmark: Any, name: str) -> None:
    path = video(name)
    run = benchmark.pedantic(lambda: run_saccade(open_source(path), FRAMES), rounds=3, warmup_rounds=1)
    benchmark.extra_info["frames"] = FRAMES
    assert len(run.boxes) == FRAMES


@pytest.mark.parametrize("name", ["demo:", "demo:4mp"])
def test_old_loop(benchmark: Any, name: str) -> None:
    path = video(name)
    old = benchmark.pedantic(lambda: run_reference(path, FRAMES), rounds=3, warmup_rounds=1)
    benchmark.extra_info["frames"] = FRAMES
    assert matched(run_saccade(open_source(path), FRAMES).boxes, old.boxes) >= 0.95
