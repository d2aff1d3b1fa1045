"""All that a device installs, in one zip: the project's own wheel, what it needs, and the models, each with its hash.

A device takes nothing from an index: `pip install --no-index --require-hashes` accepts the files of the lock and no
others. pip's own resolver chooses them once (`lock`); the file is kept beside the functions, so that two deployments of
one version install the same bytes.
"""

from __future__ import annotations

import email
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from saccade.deploy.package import find_python
from saccade.errors import ConfigError

DISTRIBUTION = "saccade-engine"
EXTRA = "greengrass"
LOCK = "constraints.txt"

_LINE = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.+!-]+)(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)")


@dataclass(frozen=True, slots=True)
class Platform:
    """What wheels have to suit. python : version, as 3.12. glibc : the oldest C library, as its minor version."""

    python: str = "3.12"
    glibc: int = 35
    machine: str = "x86_64"

    @property
    def arguments(self) -> list[str]:
        """For pip: newest platform first."""
        names = [f"manylinux_2_{minor}" for minor in range(self.glibc, 4, -1)]
        names += ["manylinux2014", "manylinux2010", "manylinux1"]
        platforms = [word for name in names for word in ("--platform", f"{name}_{self.machine}")]
        return ["--only-binary=:all:", "--implementation", "cp", "--python-version", self.python, *platforms]


def own_wheel(source: Path, out: Path, device: Platform) -> Path:
    """Build the project's wheel from its checkout, for the device's Python."""
    if not (source / "pyproject.toml").is_file():
        raise ConfigError(f"no project in {source} to make a wheel of; give one with --wheel FILE")
    python = find_python(device.python)
    if python is None:
        raise ConfigError(
            f"no Python {device.python} here to build the device's wheel with; install one, or give --wheel FILE"
        )
    with tempfile.TemporaryDirectory(prefix="saccade-wheel-") as folder:
        _pip(["wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(source)], "build the wheel", python=python)
        (made,) = Path(folder).glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(made, out / made.name))


def check_wheel(wheel: Path, device: Platform) -> str:
    """Version of a wheel of this project that suits the device, else ConfigError."""
    parts = wheel.stem.split("-")
    if wheel.suffix != ".whl" or len(parts) < 5 or parts[0] != DISTRIBUTION.replace("-", "_") or not wheel.is_file():
        raise ConfigError(f"{wheel}: no wheel of {DISTRIBUTION}; make one with: python -m pip wheel --no-deps .")
    tags, platform = parts[-3].split("."), parts[-1]
    if not {"py3", f"cp{device.python.replace('.', '')}"} & set(tags):
        raise ConfigError(f"{wheel.name} is for {parts[-3]}, the device has Python {device.python} (--python)")
    if platform != "any" and not platform.endswith(device.machine):
        raise ConfigError(f"{wheel.name} is for {platform}, the device is {device.machine}")
    return parts[1]


def lock(needed: Iterable[str], device: Platform) -> str:
    """The text of a lock: what is needed on the device, as pip resolves it today, with hashes."""
    with tempfile.TemporaryDirectory(prefix="saccade-lock-") as folder:
        done = _pip(
            ["install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-", "--target", folder,
             *device.arguments, *needed],
            "resolve what the device needs",
        )  # fmt: skip
    lines = []
    for item in json.loads(done)["install"]:
        about, hashes = item["metadata"], item["download_info"]["archive_info"]["hashes"]
        lines.append(f"{about['name'].lower()}=={about['version']} --hash=sha256:{hashes['sha256']}")
    head = (
        f"# What {DISTRIBUTION}[{EXTRA}] needs on Python {device.python}, {device.machine}, glibc 2.{device.glibc}.\n"
        "# Made by `saccade device lock`; do not edit.\n"
    )
    return head + "".join(f"{line}\n" for line in sorted(lines))


def build(
    wheel: Path, lock_file: Path, models: Mapping[str, Path], extra: Mapping[str, Path], out: Path, device: Platform
) -> Path:
    """Write the zip. models : name below models/ -> file. extra : name in the zip -> file. Returns `out`."""
    check_wheel(wheel, device)
    lines = read_lock(lock_file)
    missing = _names(requirements(wheel)) - {_plain(line.partition("==")[0]) for line in lines}
    if missing:
        raise ConfigError(f"{lock_file} lacks {', '.join(sorted(missing))}; renew it with: saccade device lock")
    with tempfile.TemporaryDirectory(prefix="saccade-wheelhouse-") as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
        wheels = Path(folder) / "wheels"
        wheels.mkdir()
        _pip(
            ["download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(wheels), *device.arguments,
             "--requirement", str(wanted)],
            "fetch what the lock names",
        )  # fmt: skip
        version = check_wheel(wheel, device)
        own = f"{DISTRIBUTION}[{EXTRA}]=={version} --hash=sha256:{_sha256(wheel)}"
        files: dict[str, Path] = {f"wheels/{path.name}": path for path in (*wheels.glob("*.whl"), wheel)}
        files |= {f"models/{name}": path for name, path in models.items()} | dict(extra)
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:  # wheels are compressed already
            _write(archive, "requirements.lock", ("\n".join([own, *lines]) + "\n").encode())
            _write(archive, "models/", b"")  # there is always such a folder
            for name in sorted(files):
                _write(archive, name, files[name].read_bytes())
    return out


def read_lock(path: Path) -> list[str]:
    """The lines of a lock, each one version of one package with its hashes; ConfigError where one is not."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        raise ConfigError(f"{path}: cannot be read; make a lock with: saccade device lock") from None
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in lines:
        if not _LINE.fullmatch(line):
            raise ConfigError(f"{path}: {line[:80]!r} is no NAME==VERSION --hash=sha256:..; run: saccade device lock")
    return lines


def requirements(source: Path) -> list[str]:
    """What a wheel, or the project in a folder, asks for, its extra for devices included."""
    if source.is_dir():
        try:
            project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        except (OSError, KeyError):
            raise ConfigError(f"no project in {source}; give a wheel with --wheel FILE") from None
        return [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
    wheel = source
    try:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
            about = email.message_from_bytes(archive.read(name))
    except (OSError, ValueError, zipfile.BadZipFile):
        raise ConfigError(f"{wheel}: no wheel, or a damaged one") from None
    needed = []
    for text in about.get_all("Requires-Dist") or ():
        requirement, _, marker = text.partition(";")
        if "extra ==" not in marker:
            needed.append(text)
        elif re.fullmatch(rf"\s*extra\s*==\s*['\"]{EXTRA}['\"]\s*", marker):
            needed.append(requirement)
    return needed


def _names(texts: Iterable[str]) -> set[str]:
    """Names of what is needed whatever the Python."""
    return {_plain(re.split(r"[\s\[<>=!~(;]", text, maxsplit=1)[0]) for text in texts if ";" not in text}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pip(arguments: list[str], what: str, *, python: str = sys.executable) -> str:
    command = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "ERROR" in line] or [done.stderr.strip() or "no reason"]
        raise ConfigError(f"pip cannot {what}: {errors[0].removeprefix('ERROR: ').strip()[:400]}")
    return done.stdout


def _write(archive: Any, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = (0o40755 if name.endswith("/") else 0o100644) << 16
    archive.writestr(entry, data)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
