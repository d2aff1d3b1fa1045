"""The implementations under test: every variant that this processor has, and Numba."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from types import ModuleType

import pytest

from saccade.kernels import numba_kernels

try:
    from saccade.kernels import _native
except ImportError:  # pure installation: only Numba is there
    _native = None

VARIANTS = (*(_native.variants_here() if _native else ()), "numba")
WANTED = os.environ.get("SACCADE_TEST_VARIANTS", ",".join(VARIANTS)).split(",")


@dataclass(frozen=True)
class Kernels:
    """One implementation, with its variant already chosen."""

    variant: str

    @property
    def module(self) -> ModuleType:
        return numba_kernels if self.variant == "numba" else _native

    def __getattr__(self, name: str):
        function = getattr(self.module, name)
        return lambda *args, **options: function(*args, **options, variant=self.variant)


if (build := os.environ.get("SACCADE_TEST_BUILD")) and not (_native and _native.__file__.startswith(build)):
    raise pytest.UsageError(f"the kernels under test were to be those in {build}")

needs_native = pytest.mark.skipif(
    importlib.util.find_spec("saccade.kernels._native") is None, reason="installed without the compiled kernels"
)
