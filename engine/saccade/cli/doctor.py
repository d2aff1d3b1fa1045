"""`saccade doctor`: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import glob
import importlib.metadata
import json
import os
import platform
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saccade.cli import add_command, style
from saccade.config import RunConfig, cache_dir, resolve
from saccade.errors import ConfigError
from saccade.text import plain

PACKAGES = ("numpy", "opencv-python-headless", "openvino", "numba", "av", "simplejpeg", "boto3")
CPU_FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx_vnni",
    "avx512_vnni",
    "amx_tile",
    "amx_bf16",
)
LEAST_FREE_MB = 500

LAST_WITH_SSE42 = (2026, 4)
"""Last release of OpenVINO that was seen to run convolutions by SSE4.2 kernels; see tests/networks/test_lifeboat.py."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. state: ok, note (works, but could be better) or missing; remedy: what to do, or empty."""

    name: str
    state: str
    found: str
    remedy: str = ""


def add_parser(subparsers: Any) -> None:
    """`saccade doctor [--json]`."""
    parser = add_command(
        subparsers, "doctor", summary="show what this machine has, what is missing and how to get it",
        example="saccade doctor --json",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Print the checks and the next step; status 0 even where something is missing, since that is an answer."""
    checks = examine()
    if options.json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))
        return 0
    colours = {"ok": "green", "note": "yellow", "missing": "red"}
    width = max(len(check.name) for check in checks)
    for check in checks:
        state = style.paint(check.state.ljust(7), colours[check.state])
        print(f"{state}  {check.name.ljust(width)}  {_within(plain(check.found), width + 11)}")
        if check.remedy:
            print(f"{'':{width + 11}}-> {_within(plain(check.remedy), width + 14)}")
    print(f"\nnext: {next_step(checks)}")
    return 0


def _within(text: str, indent: int) -> str:
    """Text that goes on below its begin where the terminal is too narrow for it; words stay whole, as do paths."""
    columns = style.columns()
    if columns is None or columns - indent < 20:
        return text
    return f"\n{'':{indent}}".join(
        textwrap.wrap(text, columns - indent, break_long_words=False, break_on_hyphens=False)
    )


def next_step(checks: list[Check]) -> str:
    """What to do now: mend what is missing, fetch a model, or run."""
    by_name = {check.name: check for check in checks}
    missing = [check for check in checks if check.state == "missing"]
    if missing:
        return f"mend {', '.join(check.name for check in missing)} as said above, then `saccade doctor` again"
    if by_name["models"].state != "ok":
        return "saccade models pull demo"
    source = "demo:" if by_name["camera"].state != "ok" else by_name["camera"].found.partition(",")[0]
    return f"saccade run faces --source {source} --view"


def examine() -> list[Check]:
    """All checks, in the order a person would ask them."""
    return [
        _python(),
        _packages(),
        _cpu(),
        *_loaded("kernels", _kernels),
        *_loaded("device", _devices),
        _gpu_driver(),
        _cameras(),
        *_loaded("models", _models),
        _disk(),
        _settings(),
    ]


def _loaded(name: str, look: Callable[[], list[Check]]) -> list[Check]:
    """What looks at parts that have to be loaded for it, which a broken installation lets nobody do."""
    try:
        return look()
    except ImportError as error:
        remedy = "pip install --force-reinstall saccade-engine"
        return [Check(name, "missing", f"cannot be loaded: {' '.join(str(error).split())}", remedy)]


def _python() -> Check:
    system = f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}"
    libc = " ".join(platform.libc_ver())
    return Check("system", "ok", f"{system}, {libc}".rstrip(", "))


def _packages() -> Check:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "missing", ", ".join(found), f"pip install {' '.join(missing)}")
    return Check("packages", "ok", ", ".join(found))


def _cpu() -> Check:
    model, flags = platform.processor() or platform.machine(), set()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "flags":
                flags = set(value.split())
    except OSError:
        pass
    features = [name for name in CPU_FEATURES if name in flags]
    found = f"{model}, {os.cpu_count()} cores: {' '.join(features) or 'features unknown'}"
    try:
        release = importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        release = ""
    return Check("cpu", *fits(flags, release, found))


def fits(flags: set[str], release: str, found: str) -> tuple[str, str, str]:
    """Whether a processor and a release of OpenVINO go together: state, what was found, and a remedy.

    flags : those of /proc/cpuinfo, empty where they are unknown. release : of OpenVINO, empty where there is none.
    """
    if not flags or "avx2" in flags:
        return "ok", found, ""
    if "sse4_2" not in flags:
        return "missing", found, "OpenVINO and saccade need SSE4.2 (x86-64-v2)"
    last = ".".join(map(str, LAST_WITH_SSE42))
    numbers = tuple(int(part) for part in release.split(".")[:2] if part.isdigit())
    if numbers > LAST_WITH_SSE42:
        return (
            "missing", f"{found}; no AVX2, and OpenVINO {release} is not known to have kernels for that",
            f"stay on OpenVINO {last}: pip install 'openvino=={last}.*' (docs/device.md)",
        )  # fmt: skip
    return "note", f"{found}; no AVX2: SSE4.2 kernels", f"do not go beyond OpenVINO {last} (docs/device.md)"


def _kernels() -> list[Check]:
    from saccade import kernels

    variant = kernels.variant()
    if variant == "numba":
        remedy = (
            "for the compiled ones: sudo apt-get install gcc python3-dev, "
            "then pip install --force-reinstall saccade-engine"
        )
        return [Check("kernels", "note", "Numba (compiled at first use)", remedy)]
    return [Check("kernels", "ok", f"compiled, {variant}")]


def _devices() -> list[Check]:
    import openvino as ov

    core = ov.Core()
    checks = []
    for device in core.available_devices:
        properties = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        name = core.get_property(device, "FULL_DEVICE_NAME")
        checks.append(Check(f"device {device}", "ok", f"{name.strip()} ({', '.join(properties)})"))
    return checks or [Check("device", "missing", "OpenVINO sees no device", "pip install --force-reinstall openvino")]


def _gpu_driver() -> Check:
    nodes = sorted(glob.glob("/dev/dri/renderD*"))
    if not nodes:
        return Check("gpu", "note", "no /dev/dri/renderD*: no GPU, or its kernel driver is not loaded; CPU is used")
    readable = [node for node in nodes if os.access(node, os.R_OK | os.W_OK)]
    if not readable:
        return Check(
            "gpu", "missing", f"{nodes[0]} may not be opened", "sudo usermod -aG render,video $USER, log in again"
        )
    icds = glob.glob("/etc/OpenCL/vendors/*.icd")
    if not icds:
        return Check(
            "gpu", "missing", f"{readable[0]}, but no OpenCL driver",
            "Gen9 (DeepLens): Intel's legacy1 OpenCL driver 24.35.30872; newer: intel-opencl-icd (docs/device.md)",
        )  # fmt: skip
    return Check("gpu", "ok", f"{readable[0]}, OpenCL drivers {', '.join(Path(p).stem for p in icds)}")


def _cameras() -> Check:
    cameras = sorted(glob.glob("/dev/video*"))
    if not cameras:
        return Check(
            "camera", "note", "no /dev/video*", "plug a UVC camera in, or use --source demo:, a file or a stream"
        )
    closed = [path for path in cameras if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        return Check(
            "camera", "missing", f"{closed[0]} may not be opened", "sudo usermod -aG video $USER, log in again"
        )
    return Check("camera", "ok", ", ".join(cameras))


def _models() -> list[Check]:
    from saccade.networks import catalogue

    have = [entry.name for entry in catalogue.ENTRIES if entry.is_pulled()]
    if not have:
        return [Check("models", "note", f"none in {cache_dir()}", "saccade models pull demo")]
    return [Check("models", "ok", f"{', '.join(have)} in {cache_dir()}")]


def _settings() -> Check:
    """Variables of ours; the file that they may name is the business of `saccade config check`."""
    said = sorted(name for name in os.environ if name.startswith("SACCADE_"))
    try:
        resolve(RunConfig, environ={name: os.environ[name] for name in said if name != "SACCADE_CONFIG"})
    except ConfigError as error:
        return Check("settings", "missing", ", ".join(said), f"mend or unset: {error}")
    return Check("settings", "ok", ", ".join(said) or "no variables SACCADE_...")


def _disk() -> Check:
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free // 2**20
    if free < LEAST_FREE_MB:
        return Check(
            "disk", "missing", f"{free} MB free at {folder}", "free some space, or set SACCADE_CACHE elsewhere"
        )
    return Check("disk", "ok", f"{free} MB free at {folder}")
