"""Files that configurations name beside their networks, on their way to a device.

A function runs in the folder that its networks lie in, and which a deployment replaces: what has a name below it goes
along, and what has a whole path is the device's own.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from saccade.config import RunConfig
from saccade.config.files import files_read
from saccade.errors import ConfigError


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """sent : files by their names in the device's folder. own : what the device has to have itself, in words."""

    sent: dict[str, Path]
    own: tuple[str, ...]


def named_files(where: str, configs: Iterable[tuple[str, RunConfig]], given: Mapping[str, Path]) -> NamedFiles:
    """All files that configurations name. Raises ConfigError that names those which are not here.

    where : who says so, for messages. configs : each behind whose it is, as " of camera door". given : files that go
    along anyway, by their names.
    """
    sent: dict[str, Path] = {}
    own: list[str] = []
    missing: list[str] = []
    for whose, config in configs:
        for what, name in files_read(config):
            place, said = os.path.normpath(name), f"{what} {name}{whose}"
            if place in given:
                continue
            # Class names belong to their network, and lie where that does.
            if _is_whole(config.model if what == "labels" else name) and _is_whole(name):
                own.append(said)
            elif files := _here(place):
                sent |= files
            else:
                missing.append(said)
    if missing:
        raise ConfigError(
            f"{where}: {', '.join(dict.fromkeys(missing))}: no such file here; what goes along lies in this folder or "
            "is added by --model FILE, and is called by its name"
        )
    return NamedFiles(sent, tuple(dict.fromkeys(own)))


def _is_whole(name: str) -> bool:
    """True for a path that means the same place wherever a function runs."""
    return name.startswith(("/", "~"))


def _here(name: str) -> dict[str, Path]:
    """The files of that name below this folder, by their places; of a folder or a pattern all."""
    if _is_whole(name) or name.startswith(".."):
        return {}
    path = Path(name)
    found = path.iterdir() if path.is_dir() else [path, *map(Path, glob.glob(name, recursive=True))]
    return {each.as_posix(): each for each in found if each.is_file()}
