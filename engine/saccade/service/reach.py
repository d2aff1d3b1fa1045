"""What a service reaches of what its configuration names: it starts elsewhere, as nobody in particular, without homes.

What would fail at the first start on a far box is said when it is installed.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from saccade.address import without_credentials
from saccade.config import Cameras, RunConfig
from saccade.config.files import files_read
from saccade.networks import catalogue
from saccade.service.address import parse_address

READ = ("model", "labels", "ca", "source")
"""Options that name a file to read."""

WRITTEN = ("out", "events", "summary", "fifo", "spool")
"""Options that name what is written, beside publishing to a file."""

_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_EMPTIED = (Path("/tmp"), Path("/var/tmp"))


def made_absolute(config: RunConfig) -> RunConfig:
    """A configuration as somebody typed it, whose files to read have their whole names."""
    return config.replace(**{name: str(path.absolute()) for name, path in _read_by(config) if name in READ})


def problems(cameras: Cameras, service: str) -> list[str]:
    """What a service of that name would not reach, one line each."""
    found = [line for camera in cameras for app in camera.apps for line in _of_one(app.config, service)]
    return [*_of_program(), *dict.fromkeys(f"{cameras.path}: {line}" for line in found)]


def shown_folders(cameras: Cameras) -> tuple[Path, ...]:
    """Folders in homes that the service has to see: of Python, of saccade, of models and of what else it reads."""
    files = [path for camera in cameras for app in camera.apps for _, path in _read_by(app.config)]
    folders = [*_of_python(), *(path if path.is_dir() else path.parent for path in files)]
    return _outermost(folder for folder in folders if _is_below(folder, _HOMES))


def _of_python() -> list[Path]:
    """Where the running Python, its packages and saccade lie."""
    places: list[str | Path] = [sys.prefix, sys.base_prefix, Path(sys.executable).resolve().parent, *sys.path]
    return [Path(place).absolute() for place in dict.fromkeys(places) if place and Path(place).is_dir()]


def _of_program() -> Iterator[str]:
    for place in _of_python():
        what = f"saccade runs from {place}"
        if _is_below(place, _EMPTIED):
            yield f"{what}: no service sees that, and it is emptied at boot; install it in /opt/saccade"
        elif set("\"'\\$") & set(str(place)):
            yield f"{what}: systemd starts nothing whose name has quotes, \\ or $; install it in /opt/saccade"
        elif place.parent in _HOMES or place in _HOMES:
            yield f"{what}: a whole home would have to be shown to the service; install it in /opt/saccade"
        elif not _is_open(place):
            yield f"{what}: the service's user may not read that; `chmod -R o+rX {place}`"


def _outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The folders without those that lie in another."""
    kept: list[Path] = []
    for folder in sorted(set(folders)):
        if not _is_below(folder, kept):
            kept.append(folder)
    return tuple(kept)


def _of_one(config: RunConfig, service: str) -> Iterator[str]:
    if config.source == "-":
        yield "source -: a service has no standard input; give a camera, a stream or a FIFO"
    for name, path in _read_by(config):
        yield from _unreadable(f"{name} {without_credentials(str(path))}", path, must_be=name != "source")
    own = [f"/var/{kind}/{service}" for kind in ("lib", "cache", "log")] + [f"/run/{service}"]
    for name, text in _written_by(config):
        if os.path.isabs(text) and not _is_below(Path(os.path.normpath(text)), map(Path, own)):
            place = own[3] if name == "fifo" else own[0]
            yield (
                f"{name} {text}: a service writes only to folders of its own; give {place}/{Path(text).name} "
                f"({', '.join(own)} are there)"
            )
    if config.view and 0 < parse_address(config.view)[1] < 1024:
        yield f"view {config.view}: ports below 1024 are for root; give another, as 8080"


def _written_by(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Files and folders to write, by the option that names them."""
    yield from ((name, getattr(config, name)) for name in WRITTEN)
    for target in config.publish:
        text = target.removeprefix("file://").removeprefix("jsonl:")
        if "://" not in text and not text.startswith("greengrass:"):
            yield "publish", text


def _read_by(config: RunConfig) -> Iterator[tuple[str, Path]]:
    """Files to read, by the option that names them."""
    if _is_file(config.model):
        yield "model", Path(config.model)
    yield from ((name, Path(text)) for name, text in files_read(config))


def _is_file(model: str) -> bool:
    if not model or "://" in model:
        return False
    return os.path.exists(model) or not catalogue.find(model)


def _unreadable(what: str, path: Path, *, must_be: bool) -> Iterator[str]:
    if not path.is_absolute():
        yield f"{what}: a service starts in a folder of its own; write the whole path"
    elif _is_below(path, _EMPTIED):
        yield f"{what}: no service sees that, and it is emptied at boot; move it, as to /opt/saccade"
    elif _is_below(path, _HOMES) and (path.parent in _HOMES or path.parent.parent == _HOMES[0]) and not path.is_dir():
        yield f"{what}: lies in a home, of which a service sees nothing else; put it into a folder of its own"
    elif path.exists():
        closed = next((str(each) for each in _way_to(path) if not _is_open(each)), None)
        if closed:
            yield f"{what}: the service's user may not read {closed}; `chmod o+rX {closed}`"
    elif must_be:
        yield f"{what}: no such file"


def _way_to(path: Path) -> Iterator[Path]:
    """The folders on the way that the service meets, and what is at its end."""
    above = list(reversed(path.parents))
    # Those above a folder that is shown are not the home's own.
    yield from above[-1:] if _is_below(path, _HOMES) else above
    yield path


def _is_open(path: Path) -> bool:
    mode = path.stat().st_mode
    needed = stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
    # What is no file has an owner who says whom it is for, as a FIFO of a camera's daemon.
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or bool(mode & needed)


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)
