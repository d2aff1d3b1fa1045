"""A system of its own under a real systemd: this machine's files, read-only below a layer in memory, booted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from conditions import PATIENCE, wait_for

_BOOT = """
set -e
mkdir -p /run/systemd/nspawn; mount -t tmpfs tmpfs /run/systemd/nspawn
mount -t tmpfs tmpfs "$1"; mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
rm -rf "$1/root/etc/systemd/system" "$1/root/etc/saccade"; mkdir -p "$1/root/etc/systemd/system"
echo 0123456789abcdef0123456789abcdef > "$1/root/etc/machine-id"
root="$1/root"; shift
set +e
# A container that boots again ends with this status.
status=133; while [ $status = 133 ]; do
    systemd-nspawn --quiet --boot --register=no --keep-unit --machine=saccade-test \\
        --console=pipe --directory="$root" "$@"
    status=$?
done
"""

_ALONE = ("setpriv", "--pdeathsig=KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""In namespaces that end with what is in them when this process ends, however it does."""


class Booted:
    """The running system; it shares this machine's network."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def leader(self) -> int:
        """Its process 1, by the number outside; 0 while there is none."""
        process = psutil.Process(self._process.pid)
        try:
            for _ in ("sh", "systemd-nspawn", "systemd"):
                process = process.children()[0]
        except (IndexError, psutil.NoSuchProcess):
            return 0
        return int(process.pid)

    def run(self, *words: object, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root."""
        command = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--pid", "--", *map(str, words)]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env={"PATH": path, "HOME": "/root"}
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def is_up(self) -> bool:
        """Whether all that starts at boot has started."""
        if self._process.poll() is not None:
            pytest.skip("systemd does not boot in a container here")
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip() if self.leader else ""
        return state in ("running", "degraded")

    def reboot(self) -> None:
        """Boot it again, and wait for it."""
        before = self.leader
        self.run("systemctl", "reboot", check=False)
        wait_for(lambda: self.leader not in (0, before) and self.is_up(), pause=0.1)


@contextlib.contextmanager
def booted(folder: Path, shown: Mapping[Path, str]) -> Iterator[Booted]:
    """Boot a system, or skip where that cannot be. shown : folders of this machine by their names in it."""
    if os.geteuid() != 0:
        pytest.skip("only root boots a system in a container")
    for program in ("systemd-nspawn", "nsenter", "unshare", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: sudo apt-get install systemd-container")
    binds = [f"--bind-ro={path}:{name}" for path, name in shown.items()]
    layer = folder / "layer"
    layer.mkdir()
    with (folder / "console").open("wb") as console:
        process = subprocess.Popen(
            [*_ALONE, "sh", "-c", _BOOT, "boot", layer, *binds],
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
        )  # fmt: skip
        system = Booted(process)
        try:
            wait_for(system.is_up, pause=0.1)
            yield system
        finally:
            process.kill()
            process.wait()
