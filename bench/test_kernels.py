"""The kernels and their references, timed by pytest-benchmark; each case checks its result first.

    python -m pytest -o addopts= bench/test_kernels.py

Off in a normal test run, which looks at tests/ only and skips benchmarks. `--benchmark-autosave` and
`--benchmark-compare` keep and compare runs; the ratios between the two sides are what counts: python -m bench.kernels.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.kernels import Case, cases


@pytest.mark.parametrize("side", ["saccade", "reference"])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases()])
def test_kernel(benchmark: BenchmarkFixture, case: Case, side: str) -> None:
    case.mine()
    case.reference()
    case.check()
    benchmark.group = case.name
    benchmark(case.mine if side == "saccade" else case.reference)
