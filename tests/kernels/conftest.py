"""Every kernel test runs on every implementation."""

from __future__ import annotations

import numpy as np
import pytest
from implementations import VARIANTS, WANTED, Kernels

HERE = [name for name in VARIANTS if name in WANTED]


@pytest.fixture(params=HERE, scope="session")
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """One implementation after the other, a test each."""
    return Kernels(request.param)


@pytest.fixture(scope="session")
def variants() -> list[Kernels]:
    """All of them in one test: where inputs and what must come out cost more than the kernels."""
    return [Kernels(name) for name in HERE]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261120)
