"""Many cameras in one TOML file: `[[camera]]` tables over `[defaults]`.

    [defaults]                 # every option of `run`, for all cameras
    model = "yolo.onnx"
    view = "127.0.0.1:8080"

    [[camera]]
    name = "door"              # names its topics, figures and folders
    source = "rtsp://10.0.0.7/stream1"
    app = "detect"
    rate = 5
    weight = 2
    gate = "motion"
    regions = [[0, 0.5, 1, 0.5]]

    [[camera]]
    name = "yard"
    source = "/dev/video0"
    [[camera.apps]]            # several at once, each with its own network
    app = "detect"
    classes = ["person", "car"]
    [[camera.apps]]
    app = "faces"
    model = "blazeface-full"

Environment and command line are for all cameras alike and win over the file. `{camera}` in a text stands for the
camera's name. A file without `[[camera]]` and `[defaults]` is one camera, whose options are its keys.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from saccade.config.camera import CameraApp, CameraConfig
from saccade.config.option import options_of
from saccade.config.run import APPS, RunConfig
from saccade.config.settings import (
    GivenValue,
    GivenValues,
    from_command_line,
    from_environment,
    from_table,
    merged,
    unknown,
)
from saccade.config.suggest import did_you_mean
from saccade.config.toml import read_toml
from saccade.config.variables import check_variables
from saccade.errors import ConfigError

_OWN = ("source", "name")
"""What each camera says for itself."""

_TABLES = ("defaults", "camera")


@dataclass(frozen=True, slots=True)
class Cameras:
    """The cameras of one file, in its order. defaults : what holds for the process, as the page's address.

    tables : what the file says of each, by its name. common : what it says of all.
    """

    path: str
    defaults: RunConfig
    cameras: tuple[CameraConfig, ...]
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[CameraConfig]:
        return iter(self.cameras)

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, name: str) -> CameraConfig:
        for camera in self.cameras:
            if camera.name == name:
                return camera
        there = f"; there are {', '.join(self.names)}" if self.cameras else "; there is none at all"
        raise ConfigError(f"camera {name!r}: there is none of that name{did_you_mean(name, self.names, there)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(camera.name for camera in self.cameras)


def is_cameras_file(path: str | os.PathLike[str]) -> bool:
    """Whether a TOML file speaks of cameras in tables, and not of one by its keys."""
    return not set(_TABLES).isdisjoint(read_toml(path))


def load_cameras(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    app: str = "",
) -> Cameras:
    """The cameras of a file, of one or of the other form; raises ConfigError.

    environ, given : as for `resolve`. app : what a camera is for that does not say so itself.
    """
    found, problems = examine_cameras(path, environ=environ, given=given, app=app)
    if problems:
        more = f" (and {len(problems) - 1} more: `saccade config check {path}`)" if len(problems) > 1 else ""
        raise ConfigError(f"{problems[0]}{more}")
    return found


def examine_cameras(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    app: str = "",
) -> tuple[Cameras, list[str]]:
    """The cameras of a file that are sound, and what is wrong with it, one line each."""
    document, reader = read_toml(path), _Reader(str(path), app)
    reader.listen(environ or {}, given or {})
    return reader.cameras(document), reader.problems


def read_camera(
    table: Mapping[str, Any],
    *,
    where: str,
    defaults: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    beside: Sequence[CameraConfig] = (),
) -> CameraConfig:
    """One camera of one table, as it may come to a running process; raises ConfigError.

    where : who says so, for messages. defaults : what `[defaults]` of its file says. environ, given : as for `resolve`.
    beside : the cameras that are there already.
    """
    reader = _Reader(where, "")
    reader.listen(environ or {}, given or {})
    reader.refuse_theirs()
    reader.defaults = _split(defaults or {}, f"{where} [defaults]")
    camera = reader.camera(table, where)
    if problems := reader.problems or between_cameras([*beside, camera], where):
        raise ConfigError(problems[0])
    out = camera.config.out
    taken = {folder for other in beside for folder in (other.config.out, str(Path(other.config.out).parent))}
    return _moved(camera) if out and str(Path(out)) in taken else camera


def runnable_cameras(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    app: str = "",
) -> tuple[Cameras, list[str]]:
    """The cameras of a file that can run, and why others cannot, a line each; of two that are in each other's way the
    first. Raises ConfigError where all are concerned: by what the file says of all, or where none is left.
    """
    found, problems = examine_cameras(path, environ=environ, given=given, app=app)
    between = between_cameras(found.cameras, str(path))
    general = [line for line in problems if line not in between and not line.startswith(f"{path} [[camera]]")]
    kept: list[CameraConfig] = []
    for camera in found:
        if not between_cameras([*kept, camera], str(path)):
            kept.append(camera)
    if general or not kept:
        line = (general or problems or [f"{path}: no cameras; each is a table [[camera]]"])[0]
        more = f" (and {len(problems) - 1} more: `saccade config check {path}`)" if len(problems) > 1 else ""
        raise ConfigError(f"{line}{more}")
    return replace(found, cameras=tuple(kept)), problems


def between_cameras(cameras: Sequence[CameraConfig], where: str) -> list[str]:
    """What is wrong with cameras that are sound one by one: what only one can have, as a name or a device, for two."""
    by_name, by_device, by_fifo = (
        _shared(cameras, key) for key in (lambda c: c.name.casefold(), lambda c: c.device, lambda c: c.config.fifo)
    )
    return [
        *(f"{where}: {len(same)} cameras are called {same[0].name}; give each a name of its own" for same in by_name),
        *(
            f"{where}: cameras {_names(same)} both look at {same[0].device}, which only one can; "
            "give one camera several apps instead"
            for same in by_device
        ),
        *(f"{where}: cameras {_names(same)} share the FIFO {same[0].config.fifo}; write {{camera}} into its name"
          for same in by_fifo),
        *(f"{where}: cameras {_names(same)} share a spool and not what becomes of it; give them one bucket and "
          "encryption, or write {camera} into spool"
          for same in _shared(cameras, _spool) if len({_destination(camera) for camera in same}) > 1),
        *(f"{where}: cameras {_names(same)} are one client ({name}) to their broker, which lets in only one of them; "
          "write client_id={camera}"
          for name, same in _by_client(cameras).items() if len(same) > 1),
    ]  # fmt: skip


def _by_client(cameras: Sequence[CameraConfig]) -> dict[str, list[CameraConfig]]:
    """Cameras by the ids that they were given with the addresses of their brokers."""
    clients: dict[str, list[CameraConfig]] = defaultdict(list)
    for camera in cameras:
        for target in camera.config.publish:
            with suppress(ValueError):  # whoever opens it says what is wrong with it
                address = urlsplit(target)
                for name in parse_qs(address.query).get("client_id", [])[-1:]:
                    clients[f"{name} of {address.hostname}"].append(camera)
    return clients


def _spool(camera: CameraConfig) -> str:
    """Where its crops wait for their upload; empty where they do not."""
    return camera.config.spool or ("the default" if camera.config.bucket else "")


def _destination(camera: CameraConfig) -> tuple[str, ...]:
    """What becomes of a spool; nothing without a bucket."""
    config = camera.config
    return (config.bucket, config.encryption, config.kms_key) if config.bucket else ()


def _shared(cameras: Sequence[CameraConfig], key: Any) -> list[list[CameraConfig]]:
    groups: dict[str, list[CameraConfig]] = defaultdict(list)
    for camera in cameras:
        groups[key(camera)].append(camera)
    return [same for value, same in groups.items() if value and len(same) > 1]


def _names(cameras: Sequence[CameraConfig]) -> str:
    return " and ".join(camera.name for camera in cameras)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table taken apart: options of `run`, of the camera, and its apps."""

    run: GivenValues
    own: GivenValues
    apps: tuple[Mapping[str, Any], ...] = ()


_NOTHING = _Table({}, {})


class _Reader:
    """Turns the tables of one file into cameras, and notes what is wrong."""

    def __init__(self, path: str, app: str) -> None:
        self.path = path
        self.problems: list[str] = []
        self.defaults = _NOTHING
        self.environment: dict[str, GivenValue] = {}
        self.command_line: dict[str, GivenValue] = {}
        self._app = app

    def listen(self, environ: Mapping[str, str], given: Mapping[str, str]) -> None:
        """Take what is said beside the file."""
        with self.noting():
            check_variables(environ)
        with self.noting():
            self.environment = from_environment(RunConfig, environ)
        with self.noting():
            self.command_line = from_command_line(RunConfig, given)

    def noting(self) -> Any:
        """A block whose ConfigError becomes a problem."""
        return _Noting(self.problems)

    def cameras(self, document: Mapping[str, Any]) -> Cameras:
        """All of them; what is wrong is noted."""
        if set(_TABLES).isdisjoint(document):
            return self._one(document)
        if "camera" not in document and isinstance(document.get("defaults"), dict):
            self.problems.append(f"{self.path}: [defaults] and no [[camera]]; each camera is a table of that name")
        self.refuse_theirs()
        self._look_beside(document)
        self.defaults = self._defaults(document.get("defaults", {}))
        tables = document.get("camera", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.problems.append(f"{self.path}: camera is no list of tables; write [[camera]], with two brackets")
            tables = []
        cameras: list[CameraConfig] = []
        said: dict[str, Mapping[str, Any]] = {}
        for number, table in enumerate(tables, 1):
            with self.noting():
                cameras.append(self.camera(table, f"{self.path} [[camera]] {table.get('name', number)}"))
                said.setdefault(cameras[-1].name, table)
        self.problems += between_cameras(cameras, self.path)
        process = RunConfig()
        with self.noting():
            process = merged(RunConfig, [self.defaults.run, self.environment, self.command_line]).config
        return Cameras(self.path, process, _in_own_folders(cameras), said, document.get("defaults", {}))

    def _one(self, table: Mapping[str, Any]) -> Cameras:
        """The camera of a file whose keys are its options; like any other it has a source by default."""
        cameras = []
        with self.noting():
            default = options_of(RunConfig)["source"].default
            cameras.append(self.camera({"source": default, **table}, self.path))
        return Cameras(self.path, cameras[0].config if cameras else RunConfig(), tuple(cameras))

    def camera(self, table: Mapping[str, Any], where: str) -> CameraConfig:
        """One camera; raises ConfigError."""
        if "source" not in table:
            raise ConfigError(f'{where}: no source; say where its pictures come from, as source = "/dev/video0"')
        mine = _split(table, where)
        layers = [self.defaults.run, mine.run, self.environment, self.command_line]
        settings = merged(RunConfig, layers)
        own = {**self.defaults.own, **mine.own}
        entries = mine.apps or self.defaults.apps or (({"app": self._app},) if self._app else ())
        config = _filled(settings.config)
        try:
            return CameraConfig(
                **{name: said.value for name, said in own.items()},
                apps=tuple(_app(entry, config, where) for entry in entries), config=config,
                origins=dict(settings.origins) | {name: said.origin for name, said in own.items()},
            )  # fmt: skip
        except ConfigError as error:
            raise ConfigError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None

    def refuse_theirs(self) -> None:
        """What is each camera's own is for none of several: it is taken away, and noted."""
        for layer in (self.environment, self.command_line):
            for name in _OWN:
                if said := layer.pop(name, None):
                    self.problems.append(
                        f"{said.origin} and the cameras of {self.path}: each has a {name} of its own; leave it out"
                    )

    def _look_beside(self, document: Mapping[str, Any]) -> None:
        for key in document:
            if key in _TABLES:
                continue
            where = "under [defaults]" if _is_option(key) else "in [defaults] or [[camera]]"
            self.problems.append(
                f"{self.path}: {key!r} beside the cameras{did_you_mean(key, _TABLES, f'; options stand {where}')}"
            )

    def _defaults(self, table: Any) -> _Table:
        """`[defaults]` without what is wrong in it, so that no camera tells of it again."""
        where = f"{self.path} [defaults]"
        if not isinstance(table, dict):
            self.problems.append(f"{self.path}: defaults is no table; write [defaults] on a line of its own")
            table = {}
        sound = {}
        for key, value in table.items():
            with self.noting():
                if key in _OWN:
                    raise ConfigError(f"{where}: {key} is each camera's own; say it in every [[camera]]")
                _split({key: value}, where)
                sound[key] = value
        return _split(sound, where)


class _Noting:
    def __init__(self, problems: list[str]) -> None:
        self._problems = problems

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if isinstance(error, ConfigError):
            self._problems.append(str(error))
        return isinstance(error, ConfigError)


def _is_option(key: str) -> bool:
    name = key.replace("-", "_")
    return name in options_of(RunConfig) or name in options_of(CameraConfig) or name in ("app", "apps")


def _split(table: Mapping[str, Any], where: str) -> _Table:
    """Take a table apart; raises ConfigError for the first key or value that is wrong."""
    run, own, apps = {}, {}, []
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in ("app", "apps"):
            apps += _entries(key, value, where)
        elif name in options_of(CameraConfig):
            own[key] = value
        elif name in options_of(RunConfig):
            run[key] = value
        else:
            known = [*options_of(RunConfig).values(), *options_of(CameraConfig).values()]
            raise ConfigError(f"{where}: unknown option {key!r}{unknown(key, known, also=('app', 'apps'))}")
    if "app" in table and "apps" in table:
        raise ConfigError(f"{where}: app and apps; one of them says it all")
    return _Table(from_table(RunConfig, run, where), from_table(CameraConfig, own, where), tuple(apps))


def _entries(key: str, value: Any, where: str) -> list[dict[str, Any]]:
    """`app` or `apps`: a name, a list of names, or tables."""
    entries = []
    for entry in value if isinstance(value, list) else [value]:
        table = {"app": entry} if isinstance(entry, str) else entry
        if not isinstance(table, dict) or "app" not in table:
            raise ConfigError(f"{where}: {key} = {entry!r}; expected names, or [[camera.apps]] tables with app = NAME")
        if table["app"] not in APPS:
            near = did_you_mean(str(table["app"]), APPS, f"; choose {', '.join(APPS)}")
            raise ConfigError(f"{where}: app {table['app']!r} is not known{near}")
        entries.append(table)
    return entries


def _app(entry: Mapping[str, Any], config: RunConfig, where: str) -> CameraApp:
    """An app with its own view of the camera's network."""
    where = f"{where} {entry['app']}"
    for key in entry:
        option = options_of(RunConfig).get(key.replace("-", "_"))
        if option is not None and option.section != "network":
            raise ConfigError(f"{where}: {key} belongs to the camera; an app's table speaks of its network only")
    layer = from_table(RunConfig, {key: value for key, value in entry.items() if key != "app"}, where)
    return CameraApp(entry["app"], _filled(config.replace(**{name: said.value for name, said in layer.items()})))


def _filled(config: RunConfig) -> RunConfig:
    """`{camera}` in texts is the camera's name."""
    changes = {}
    for each in fields(config):
        value = getattr(config, each.name)
        if each.name not in _OWN and "{camera}" in str(value):
            texts = value if isinstance(value, tuple) else (value,)
            named = tuple(str(text).replace("{camera}", config.camera) for text in texts)
            changes[each.name] = named if isinstance(value, tuple) else named[0]
    return config.replace(**changes) if changes else config


def _in_own_folders(cameras: Sequence[CameraConfig]) -> tuple[CameraConfig, ...]:
    """Cameras that would write crops into one folder get one each below it, by their names."""
    shared = {camera.name for same in _shared(cameras, lambda camera: camera.config.out) for camera in same}
    return tuple(_moved(camera) if camera.name in shared else camera for camera in cameras)


def _moved(camera: CameraConfig) -> CameraConfig:
    out = str(Path(camera.config.out) / camera.name)
    apps = tuple(replace(app, config=app.config.replace(out=out)) for app in camera.apps)
    return replace(camera, config=camera.config.replace(out=out), apps=apps)
