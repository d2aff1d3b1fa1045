"""The functions' code as zips: a handler, the cloud room, and the packages in the function's requirements.txt.

A zip depends on its inputs alone (sorted names, fixed times), so that its hash tells whether a deployment changes
anything. Byte code goes in with unchecked hashes: a function's disk is read-only and its files have no usable times,
and compiling at start would double the cold start. boto3 is part of the Lambda runtime and stays out.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import saccade
from saccade.errors import ConfigError

log = logging.getLogger(__name__)

LIMIT_BYTES = 15_000_000
"""Largest zip of a function; far below Lambda's own limit, as a cold start has to fetch and unpack it."""

_ENGINE = Path(saccade.__file__).parent
_LIBRARY = ("__init__.py", "cloud/*.py")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a function runs.

    python : version, as 3.13. platform : pip's name of the platform for packages with compiled parts.
    """

    python: str = "3.13"
    platform: str = "manylinux_2_28_aarch64"


@dataclass(frozen=True, slots=True)
class Package:
    """A built zip. digest : SHA-256 of it, hex. compiled : whether byte code is in it."""

    name: str
    path: Path
    digest: str
    bytes: int
    compiled: bool


def build(function: Path, out: Path, target: Target | None, *, python: str | None = None) -> Package:
    """Build `out`/NAME.zip.

    target : None for this machine's own Python, whose installed packages then serve instead of bundled ones.
    python : interpreter of the target's version to compile with; None: looked for.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="saccade-package-") as folder:
        stage = Path(folder)
        _copy(function, ("*.py",), stage)
        _copy(_ENGINE, _LIBRARY, stage / "saccade")
        requirements = function / "requirements.txt"
        if target is not None and requirements.is_file():
            _install(requirements, stage, target)
        path = out / f"{function.name}.zip"
        if python is None:
            python = sys.executable if target is None else find_python(target.python)
        if python is not None:
            _compile(stage, python)
        else:
            log.warning("no Python of the target here: %s.zip goes without byte code and starts slower", path.stem)
        _zip(stage, path)
    size = path.stat().st_size
    if size >= LIMIT_BYTES:
        raise ConfigError(f"{path} has {size} bytes; a function may have {LIMIT_BYTES}: drop a requirement")
    return Package(function.name, path, hashlib.sha256(path.read_bytes()).hexdigest(), size, python is not None)


def find_python(version: str) -> str | None:
    """An interpreter of exactly this version, or None."""
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        return sys.executable
    path = shutil.which(f"python{version}")
    if path is not None:
        # Version managers leave a command for every version they know; only running it shows what is there.
        check = subprocess.run(
            [path, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=False
        )
        if check.returncode == 0 and check.stdout.startswith(f"{version}."):
            return path
    return None


def _copy(source: Path, patterns: tuple[str, ...], target: Path) -> None:
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _install(requirements: Path, stage: Path, target: Target) -> None:
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
        "--requirement", str(requirements), "--target", str(stage), "--upgrade",
        "--only-binary=:all:", "--platform", target.platform, "--python-version", target.python,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"pip cannot install {requirements} for {target.platform}: {done.stderr.strip()[-500:]}")


def _compile(stage: Path, python: str) -> None:
    command = [
        python, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash",
        "-s", str(stage), "-p", "/var/task", str(stage),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"{python} cannot compile the package: {(done.stdout + done.stderr).strip()[-500:]}")


def _zip(stage: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in sorted(stage.rglob("*")):
            if file.is_file() and file.suffix != ".pyi":
                entry = zipfile.ZipInfo(file.relative_to(stage).as_posix(), (1980, 1, 1, 0, 0, 0))
                entry.external_attr = (0o100644 | (0o111 if file.suffix == ".so" else 0)) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes())
