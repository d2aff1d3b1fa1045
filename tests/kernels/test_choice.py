"""Which implementation `saccade.kernels` gives, and that it loads nothing heavy for it."""

from __future__ import annotations

import os
import shutil
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


@needs_native
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-user")
@pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""), reason="by choice: AddressSanitizer does not run in the emulator"
)
def test_a_variant_is_not_taken_where_one_of_its_instruction_sets_is_hidden():
    """As virtual machines hide them: AVX2 without the conversion to float16."""
    program = (
        "import numpy as np; from saccade.kernels import Preprocess, variant; print(variant());"
        "Preprocess((9, 9), (8, 8), dtype='float16')(np.zeros((9, 9, 3), np.uint8), np.ones((3, 8, 8), np.float16))"
    )
    for hidden, best in (("", "avx2"), (",-f16c", "sse42")):
        command = ["qemu-x86_64", "-cpu", f"Haswell{hidden}", sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"{best}\n"), done.stderr


def test_without_the_extension_numba_serves_with_one_warning():
    chosen, *warnings, _ = report(blocked={"saccade.kernels._native": None}).stdout.splitlines()
    assert chosen == "numba saccade.kernels.numba_kernels numba"
    assert len(warnings) == 1
    assert warnings[0].startswith("RuntimeWarning: saccade was installed without its compiled kernels")


def test_a_forced_choice_that_is_not_there_is_an_error():
    assert "ModuleNotFoundError" in report("native", {"saccade.kernels._native": None}).stderr
    if VARIANTS[0] != "numba":
        assert "no variant 'mmx' on this processor" in report("mmx").stderr
