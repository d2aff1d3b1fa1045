"""Which implementation `saccade.kernels` gives, and that it loads nothing heavy for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from implementations import VARIANTS, needs_native

REPORT = """
import sys, warnings
sys.modules.update({blocked!r})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import saccade.kernels
    import saccade.kernels
    home = sys.modules[saccade.kernels.Preprocess.__module__]
    print(saccade.kernels.variant(), home.__name__, *home.variants_here())
print(*[f"{{w.category.__name__}}: {{w.message}}" for w in caught if "saccade" in str(w.message)], sep="\\n")
print(sorted({{"cv2", "openvino", "numba", "av"}} & set(sys.modules)))
"""


def report(wanted: str | None = None, blocked: dict[str, None] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "SACCADE_KERNELS"}
    if wanted is not None:
        environment["SACCADE_KERNELS"] = wanted
    command = [sys.executable, "-c", REPORT.format(blocked=blocked or {})]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@needs_native
def test_the_best_variant_by_default():
    chosen, warning, heavy = report().stdout.splitlines()
    used, home, best, *_ = chosen.split()
    assert used == best
    assert home == "saccade.kernels._native"
    assert warning == ""
    assert heavy == "[]"


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_by_name(variant):
    chosen, warning, _ = report(variant).stdout.splitlines()
    assert chosen.split()[0] == variant
    assert warning == ""


def test_without_the_extension_numba_serves_with_one_warning():
    chosen, *warnings, _ = report(blocked={"saccade.kernels._native": None}).stdout.splitlines()
    assert chosen == "numba saccade.kernels.numba_kernels numba"
    assert len(warnings) == 1
    assert warnings[0].startswith("RuntimeWarning: saccade was installed without its compiled kernels")


def test_a_forced_choice_that_is_not_there_is_an_error():
    assert "ModuleNotFoundError" in report("native", {"saccade.kernels._native": None}).stderr
    if VARIANTS[0] != "numba":
        assert "no variant 'mmx' on this processor" in report("mmx").stderr
