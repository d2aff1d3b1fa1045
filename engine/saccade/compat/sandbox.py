"""Old scripts behind bubblewrap (bwrap): they see what they were given, and nothing else of their user's.

Read-only: the system's programs, Python and saccade, the script's folder, models, the source. Writable: the artifacts
(`mo.optimize` puts its results there), the result pipe, files of events and of the report; /tmp and HOME are empty and
gone at the end. There is no network unless it was asked for, no other process, no variable of the environment but those
that Python and saccade need, and no capability.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import saccade
from saccade.capture.open import is_camera
from saccade.compat.host_options import HostOptions
from saccade.config import cache_dir
from saccade.errors import ConfigError, ModelError
from saccade.private import check_place

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt/intel", "/sys")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "nsswitch.conf", "passwd", "group",
        "ssl/certs", "OpenCL", "fonts")  # fmt: skip
_ETC_NET = ("resolv.conf", "hosts")
# Not the other SACCADE_ variables: those of options reach the process as `HostOptions`, and may hold passwords of
# sources and brokers that are none of this script's.
_KEPT = re.compile(
    r"PATH|USER|TERM|TZ|LANG|LC_\w+|NO_COLOR|OMP_\w+|ONEDNN_\w+|PYTHON\w+|VIRTUAL_ENV|SACCADE_(DEBUG|KERNELS)"
)
_HOME, _CACHE = "/tmp/home", "/tmp/cache"
_PROBE_SECONDS = 20.0


class Sandbox:
    """The command line of a sandboxed process, and what to tell it.

    network : share the machine's. Raises `ConfigError` where bubblewrap is missing or cannot work, and for options that
    need a network without one.
    """

    def __init__(self, settings: HostOptions, *, network: bool = False) -> None:
        self._settings, self._network = settings, network
        self._made: Path | None = None
        self._status: TextIO | None = None
        program = shutil.which("bwrap")
        if program is None:
            raise ConfigError(
                "--sandbox needs bubblewrap, which is not installed: sudo apt-get install bubblewrap; without it the "
                "script has all the rights of its user"
            )
        self._program = program
        self._refuse_without_network()
        self._refuse_wide_folder(os.path.dirname(settings.script))
        self._probe()
        self._reading, self._writing = os.pipe()

    def command(self, inner: list[str]) -> list[str]:
        """`inner` inside the sandbox; to be run with `environment`, which a command line would show to everybody."""
        words = [self._program, "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1"]
        words += ["--cap-drop", "ALL"]
        words += ["--share-net"] if self._network else []
        words += ["--json-status-fd", str(self._writing)]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", _HOME]
        for kind, path, place in self._mounts():
            words += [f"--{kind}", path, place]
        return [*words, "--chdir", os.path.dirname(self._settings.script), "--", *inner]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the command inherits."""
        return (self._writing,)

    def process(self) -> int | None:
        """Number of the process inside, once the command runs; None where it has ended before it began."""
        os.close(self._writing)
        # It stays open: bwrap writes the exit code there, too.
        self._status = os.fdopen(self._reading, encoding="utf-8")
        line = self._status.readline()
        return int(json.loads(line)["child-pid"]) if line else None

    def close(self) -> None:
        """Remove the pipe if it was made here, when all is over."""
        if self._status is not None:
            self._status.close()
        if self._made is not None:
            self._made.unlink(missing_ok=True)

    def _refuse_without_network(self) -> None:
        if self._network:
            return
        options = self._settings
        needs = {"--source": "://" in options.source, "--events": ":" in options.events, "--view": options.view}
        for option, needed in needs.items():
            if needed:
                raise ConfigError(f"{option} needs the network, which --sandbox takes away; add --sandbox-net")

    @staticmethod
    def _refuse_wide_folder(folder: str) -> None:
        """The script sees its own folder: that must not be where everything else is, too."""
        wide = [os.path.realpath(path) for path in (os.path.expanduser("~"), tempfile.gettempdir(), cache_dir())]
        if any(f"{path}/".startswith(os.path.realpath(folder).rstrip("/") + "/") for path in wide):
            raise ConfigError(f"--sandbox would show the script all of {folder}; put it into a folder of its own")

    def _probe(self) -> None:
        words = [self._program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"--sandbox: bubblewrap does not run here ({error})") from None
        if done.returncode:
            reason = " ".join(done.stderr.split()) or f"status {done.returncode}"
            raise ConfigError(
                f"--sandbox: bubblewrap cannot make a sandbox here ({reason}); it needs user namespaces "
                "(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone), or run without --sandbox"
            )

    @property
    def environment(self) -> dict[str, str]:
        """All that the process inside has of it."""
        kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        return kept | {"HOME": _HOME, "SACCADE_CACHE": _CACHE}

    def _mounts(self) -> Iterator[tuple[str, str, str]]:
        """(kind, path, place inside), later ones over earlier ones."""
        for path in _SYSTEM:
            if os.path.islink(path):
                yield "symlink", os.readlink(path), path
            elif os.path.exists(path):
                yield "ro-bind", path, path
        for name in (*_ETC, *(_ETC_NET if self._network else ())):
            yield "ro-bind-try", os.path.realpath(f"/etc/{name}"), f"/etc/{name}"
        for path in _python_folders():
            yield "ro-bind", path, path
        for name in ("models", "pictures", "demo"):
            yield "ro-bind-try", str(cache_dir() / name), f"{_CACHE}/{name}"
        yield from self._own()

    def _own(self) -> Iterator[tuple[str, str, str]]:
        settings = self._settings
        for path in (os.path.dirname(settings.script), *self._readable()):
            if os.path.exists(path):
                yield "ro-bind", path, path
        yield "dev-bind-try", "/dev/dri", "/dev/dri"
        if is_camera(settings.source):
            yield from self._camera(settings.source)
        for path in self._writable():
            yield "bind", path, path

    def _readable(self) -> Iterator[str]:
        settings = self._settings
        for path in settings.models.values():
            yield from sorted(model_files(path))
        if authority := settings.source_options.get("ca"):
            yield authority
        source = settings.source
        if source != "-" and "://" not in source and not is_camera(source):
            folder = source.partition("*")[0].partition("?")[0].partition("[")[0]
            yield source if os.path.exists(source) else os.path.dirname(folder)

    def _writable(self) -> Iterator[str]:
        settings = self._settings
        if settings.artifacts:
            yield settings.artifacts
        files = [settings.report] + ([settings.events] if settings.events != "-" and ":" not in settings.events else [])
        for path in filter(None, files):
            check_place(path)
            Path(path).touch(0o600)
            yield path
        if os.path.lexists(settings.fifo) and not stat.S_ISFIFO(os.lstat(settings.fifo).st_mode):
            raise ConfigError(f"--fifo {settings.fifo}: is there already and is not a named pipe; remove it")
        if not os.path.lexists(settings.fifo):
            # Made outside, so that viewers find it; the process inside makes it its user's only.
            os.mkfifo(settings.fifo, 0o600)
            self._made = Path(settings.fifo)
        check_place(settings.fifo)
        yield settings.fifo

    @staticmethod
    def _camera(source: str) -> Iterator[tuple[str, str, str]]:
        device = source.partition("@")[0]
        path = f"/dev/video{device}" if device.isdecimal() else device
        if os.path.exists(path):
            yield "dev-bind", os.path.realpath(path), os.path.realpath(path)
            if os.path.islink(path):
                yield "symlink", os.path.realpath(path), path


def model_files(path: str) -> set[str]:
    """A model, its weights, whatever they are called, and what lies beside it under its name."""
    if not os.path.isfile(path):
        return {path}
    from saccade.formats.load import identify
    from saccade.formats.parts import parts_of

    stem = glob.escape(path.removesuffix("-symbol.json").rpartition(".")[0] or path)
    found = {path, *glob.glob(f"{stem}*")}
    with contextlib.suppress(ModelError):  # who reads it says what is wrong
        found |= {str(part) for part in parts_of(identify(path)).values()}
    return found


def _python_folders() -> list[str]:
    """Where this Python and its packages are, without what lies inside another of them."""
    found: list[Any] = [sys.prefix, sys.base_prefix, *sys.path, Path(saccade.__file__).parents[1]]
    found.append(os.path.dirname(os.path.realpath(sys.executable)))
    paths = sorted({os.path.abspath(path) for path in found if path and os.path.exists(path)}, key=len)
    inside = [*(path + "/" for path in ("/usr", "/lib"))]
    kept: list[str] = []
    for path in paths:
        if not any((path + "/").startswith(outer) for outer in inside):
            kept.append(path)
            inside.append(path + "/")
    return kept
