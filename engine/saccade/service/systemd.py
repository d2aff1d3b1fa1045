"""A unit in systemd's hands: installed, removed, and how it is doing."""

from __future__ import annotations

import grp
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from saccade.errors import ConfigError, OutputError
from saccade.service.unit import MARK, Unit
from saccade.storage import atomic

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_LEAST_VERSION = 247
"""First systemd that hands over credentials (LoadCredential)."""

_FIRST_SECONDS = 10.0
"""How long a service is watched after its start, unless it answers: what it cannot do at all shows by then."""

_SHOWN = (
    "LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "NRestarts", "ExecMainPID", "ExecMainStatus",
    "ActiveEnterTimestamp", "MemoryCurrent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Installed:
    """Where a unit of that name lies. root : of the system; / is the one that runs."""

    name: str
    root: Path = Path("/")

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"--service {self.name}: expected small letters, digits, - and _, at most 31, as in saccade-yard"
            )
        if not self.root.is_dir():
            raise ConfigError(f"--root {self.root}: no such folder; give the root folder of a system")

    @property
    def unit(self) -> Path:
        """The unit file."""
        return self.root / f"etc/systemd/system/{self.name}.service"

    @property
    def config(self) -> Path:
        """The configuration that is written where options were given."""
        return self.root / f"etc/saccade/{self.name}.toml"

    @property
    def runs(self) -> bool:
        """Whether systemd runs this system now."""
        return self.root == Path("/") and os.path.isdir("/run/systemd/system")

    def is_installed(self) -> bool:
        """Whether the unit is there; raises ConfigError where it is somebody else's."""
        try:
            text = self.unit.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        if not text.startswith(MARK):
            raise ConfigError(f"{self.unit} was not written by saccade; move it away, or choose another --service")
        return True

    def systemctl(self, *words: str, check: bool = True) -> str:
        """What `systemctl` answers; raises OutputError that says what it said."""
        root = [] if self.root == Path("/") else [f"--root={self.root}"]
        command = ["systemctl", *root, "--no-pager", *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        except FileNotFoundError:
            raise ConfigError("systemctl: not found; this system has no systemd; start saccade as it does") from None
        if check and done.returncode:
            said = (done.stderr or done.stdout).strip().replace("\n", "; ") or f"status {done.returncode}"
            raise OutputError(f"{' '.join(command)}: {said}")
        return done.stdout

    def version(self) -> int:
        """Of systemd; raises ConfigError where it is too old."""
        found = re.match(r"systemd (\d+)", self.systemctl("--version"))
        version = int(found[1]) if found else 0
        if version < _LEAST_VERSION:
            raise ConfigError(f"systemd {version}: too old; {_LEAST_VERSION} or newer is needed")
        return version

    def groups(self) -> list[str]:
        """The groups of cameras and GPUs that this system has: a unit that names another does not start."""
        if self.root == Path("/"):
            names = {group.gr_name for group in grp.getgrall()}
        else:
            lines = (self.root / "etc/group").read_text(encoding="utf-8", errors="replace").splitlines()
            names = {line.partition(":")[0] for line in lines}
        return [name for name in ("video", "render") if name in names]


def command() -> list[str]:
    """The program that runs now, by its whole name."""
    script = Path(sys.prefix) / "bin" / "saccade"
    return [str(script)] if script.is_file() else [sys.executable, "-m", "saccade"]


def require_root(installed: Installed, action: str) -> None:
    """Raise ConfigError where the unit's folder is not ours to write."""
    if os.geteuid() != 0 and not os.access(installed.root / "etc", os.W_OK):
        raise ConfigError(f"{action} writes to {installed.root / 'etc'}, which needs root; put sudo before the command")


def write_config(installed: Installed, text: str) -> str:
    """Write the configuration, for root's eyes only; what was there before is kept. Returns what to say of it."""
    installed.config.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    said = f"configuration {installed.config}"
    with suppress(FileNotFoundError):
        before = installed.config.read_bytes()
        if before != text.encode():
            kept = installed.config.with_suffix(".toml.old")
            atomic.write(kept, before)
            said += f", the one before it {kept}"
    atomic.write(installed.config, text.encode())
    return said


def install(installed: Installed, unit: Unit, answers: Callable[[], bool]) -> str:
    """Write the unit, have it start at every boot, and start it now where systemd runs.

    answers : whether it can be seen to run. Returns what it said where it has ended again already, else "".
    """
    installed.is_installed()
    installed.unit.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(installed.unit, unit.text.encode(), mode=0o644)
    if installed.runs:
        installed.systemctl("daemon-reload")
    installed.systemctl("enable", f"{installed.name}.service")
    if installed.runs:
        installed.systemctl("restart", f"{installed.name}.service")
        return _said_at_end(installed, answers)
    return ""


def _said_at_end(installed: Installed, answers: Callable[[], bool]) -> str:
    """Watch the service begin; what it said last, if that was its end."""
    end = time.monotonic() + _FIRST_SECONDS
    while time.monotonic() < end and not answers():
        if state(installed)["ActiveState"] not in ("active", "reloading"):
            return _last_words(installed.name) or "nothing"
        time.sleep(0.1)
    return ""


def _last_words(name: str) -> str:
    command = ["journalctl", "--no-pager", "--output=cat", "--lines=20", f"SYSLOG_IDENTIFIER={name}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        return ""
    return next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "")


def uninstall(installed: Installed, *, purge: bool) -> None:
    """Stop the service and take its unit away. purge : also its configuration and all that it has written."""
    if not installed.is_installed():
        raise ConfigError(f"{installed.unit}: no such service is installed")
    name = f"{installed.name}.service"
    if installed.runs:
        installed.systemctl("disable", "--now", name)
        if purge:
            installed.systemctl("clean", "--what=all", name)
    else:
        installed.systemctl("disable", name)
    installed.unit.unlink()
    if installed.runs:
        installed.systemctl("daemon-reload")
        installed.systemctl("reset-failed", name, check=False)
    if purge:
        for path in (installed.config, installed.config.with_suffix(".toml.old"), installed.config.with_suffix(".env")):
            path.unlink(missing_ok=True)


def state(installed: Installed) -> Mapping[str, str]:
    """What systemd knows of the service, by its own words; raises ConfigError where there is none."""
    if not installed.is_installed():
        raise ConfigError(f"no service {installed.name} is installed; say `sudo saccade service install`")
    if not installed.runs:
        return {"UnitFileState": installed.systemctl("is-enabled", f"{installed.name}.service", check=False).strip()}
    return _pairs(
        installed.systemctl("show", f"--property={','.join(_SHOWN)}", f"{installed.name}.service").splitlines()
    )


def _pairs(lines: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def config_of(installed: Installed) -> Path:
    """The configuration that the installed unit names."""
    for line in installed.unit.read_text(encoding="utf-8").splitlines():
        if line.startswith("LoadCredential="):
            return Path(line.partition(":")[2].replace("%%", "%"))
    return installed.config
