"""Build of the compiled kernels; all other metadata is in pyproject.toml.

Plain flags, never `-march=native`: each source of ext/ that needs more than the baseline says so itself and is only
called on processors that have it. Without a compiler the package installs all the same and uses its kernels in Numba.
`SACCADE_BOUNDS_CHECK=1` builds with bounds checks in the Cython layer and in the C library's own functions,
`SACCADE_SANITIZE=address` with AddressSanitizer; see .ci/sanitize.sh.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

CHECKED = os.environ.get("SACCADE_BOUNDS_CHECK", "") not in ("", "0")
SANITIZE = os.environ.get("SACCADE_SANITIZE", "")

SOURCES = ["plan", "dispatch", "portable", "sse42", "avx2", "avx512"]
HEADERS = ["kernels.h", "simd.h", "variant.inc.h", "preprocess.inc.h", "decode.inc.h", "yolo.inc.h"]


class BuildKernels(build_ext):
    """`build_ext` with the flags of the compiler at hand."""

    def build_extension(self, extension: Extension) -> None:
        if self.compiler.compiler_type == "unix":
            # No contraction to fused multiply-add: all variants must give the same bits.
            extension.extra_compile_args += ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]
            extension.extra_compile_args += [] if SANITIZE else ["-g0"]
            if platform.machine() in ("x86_64", "AMD64"):
                extension.extra_compile_args += ["-march=x86-64-v2", "-mtune=generic"]
            if CHECKED:
                extension.extra_compile_args += ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2", "-fstack-protector-all"]
            if SANITIZE:
                extension.extra_compile_args += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g", "-O1"]
                extension.extra_link_args += [f"-fsanitize={SANITIZE}"]
        super().build_extension(extension)


class BuildWithFunctions(build_py):
    """`build_py` that takes along the cloud functions and their template, for `saccade cloud` and `saccade device`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode and Path("lambdas").is_dir():
            place = Path(self.build_lib) / "saccade" / "deploy" / "lambdas"
            shutil.copytree("lambdas", place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def extensions() -> list[Extension]:
    try:
        from Cython.Build import cythonize
    except ImportError:  # `setup.py` run by hand without the build requirements: a pure installation
        return []
    native = Extension(
        "saccade.kernels._native",
        ["ext/_native.pyx", *(f"ext/{name}.c" for name in SOURCES)],
        depends=["ext/_native.pyx", *(f"ext/{name}" for name in HEADERS)],  # and so part of a source distribution
        include_dirs=["ext"],
    )
    steps = Extension(
        "saccade.tracking.steps",
        ["engine/saccade/tracking/steps.py"],  # plain Python where it is not compiled
        depends=["engine/saccade/tracking/steps.pxd"],
    )
    modules: list[Extension] = cythonize(
        [native, steps],
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": False,
            "initializedcheck": CHECKED,
            "cdivision": True,
            "binding": True,
            "embedsignature": False,
            "freethreading_compatible": True,
        },
        # Apart, so that an ordinary build never takes up what a checked one generated.
        build_dir="build/checked" if CHECKED else None,
    )
    for module in modules:
        module.optional = not CHECKED and not SANITIZE  # cythonize does not pass it on
    return modules


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels, "build_py": BuildWithFunctions})
