"""Folders of the user's: where downloads, compiled models and spools lie."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from saccade.errors import ConfigError


def cache_dir() -> Path:
    """Folder for downloads and compiled models: $SACCADE_CACHE, else $XDG_CACHE_HOME/saccade, else ~/.cache/saccade.

    A user without a home has one in the folder for temporary files, which nobody else can write to; raises ConfigError
    where somebody else has its name.
    """
    own = os.environ.get("SACCADE_CACHE")
    return Path(own) if own else users_folder("XDG_CACHE_HOME", ".cache") / "saccade"


def users_folder(variable: str, usual: str) -> Path:
    """A base folder of the user's as XDG has it: what the variable says, else `usual` in the home folder."""
    base = os.environ.get(variable)
    if base:
        return Path(base)
    home = os.path.expanduser("~")
    # Without $HOME and without an entry of the user's, as for an arbitrary id in a container, it stays as it is.
    return Path(home) / usual if os.path.isabs(home) else _homeless() / usual


def _homeless() -> Path:
    path = Path(tempfile.gettempdir()) / f"saccade-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be made ({error.strerror}); set HOME or SACCADE_CACHE") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ConfigError(f"{path}: is not this user's own; set HOME or SACCADE_CACHE")
    return path
