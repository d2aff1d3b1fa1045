"""Every kernel test runs on every implementation."""

from __future__ import annotations

import numpy as np
import pytest
from implementations import VARIANTS, WANTED, Kernels


@pytest.fixture(params=[name for name in VARIANTS if name in WANTED], scope="session")
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return Kernels(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261120)
