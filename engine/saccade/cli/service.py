"""`saccade service`: a run that systemd starts at every boot."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saccade.address import hidden
from saccade.cli import add_command, style
from saccade.cli.parser import add_options, given
from saccade.config import APPS, Cameras, RunConfig, load_cameras, options_of, resolve
from saccade.config.toml import as_toml
from saccade.errors import ConfigError
from saccade.text import plain

if TYPE_CHECKING:
    from saccade.service.systemd import Installed

_NOT_RUNNING, _NO_SUCH = 3, 4
"""Status of `status`, as of `systemctl status`."""

_SAY = f"say `saccade service install APP` ({', '.join(APPS)}) or --config FILE"

_ACTIONS = {
    "install": "write a unit, have it start at every boot, and start it now",
    "uninstall": "stop the service and take its unit away; what it has written stays",
    "status": "how the service and its cameras are doing; status 0 while it runs",
}
_EXAMPLES = {
    "install": "sudo saccade service install faces --source /dev/video0 --view 0.0.0.0:8080 --out crops\n"
    "  sudo saccade service install --config /etc/saccade/cameras.toml",
    "uninstall": "sudo saccade service uninstall",
    "status": "saccade service status",
}


def add_parser(subparsers: Any) -> None:
    """`saccade service {install,uninstall,status}`."""
    parser = add_command(
        subparsers, "service", summary="install a run as a systemd service, remove it, see how it does",
        example=_EXAMPLES["install"],
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary in _ACTIONS.items():
        action = actions.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {_EXAMPLES[name]}",
        )  # fmt: skip
        if name == "install":
            action.add_argument("app", metavar="APP", nargs="?", default="", choices=["", *APPS], help=", ".join(APPS))
            action.add_argument("--config", metavar="FILE", help="TOML file that it reads at each start")
            action.add_argument("--print", action="store_true", help="print the unit and write nothing")
        if name == "uninstall":
            action.add_argument("--purge", action="store_true", help="remove its configuration and its files as well")
        action.add_argument(
            "--service", metavar="NAME", default="saccade", help="of the service, where there are several"
        )
        if name != "status":
            action.add_argument("--root", metavar="DIR", default="/", help="of the system, as of an image being made")
        if name == "install":
            add_options(action, RunConfig)


def run(options: argparse.Namespace) -> int:
    """One action."""
    from saccade.service.systemd import Installed

    installed = Installed(options.service, Path(getattr(options, "root", "/")).absolute())
    if options.action == "status":
        return _status(installed)
    return _install(installed, options) if options.action == "install" else _uninstall(installed, options.purge)


# Installing


def _install(installed: Installed, options: argparse.Namespace) -> int:
    from saccade.service import reach, systemd
    from saccade.service.health import NO_ANSWER, health_at
    from saccade.service.unit import Unit

    text = _options_as_file(options)
    path = Path(options.config).absolute() if options.config else installed.config
    if not options.print:
        systemd.require_root(installed, "install")
    installed.is_installed()
    cameras = _cameras(path, text)
    if found := reach.problems(cameras, installed.name):
        for line in found[:-1]:
            print(f"saccade service: {plain(hidden(line))}", file=sys.stderr)
        raise ConfigError(found[-1])
    unit = Unit(
        name=installed.name, command=systemd.command(), config=_inside(path, installed.root), groups=installed.groups(),
        shown=reach.shown_folders(cameras), systemd=installed.version(),
    )  # fmt: skip
    if options.print:
        print(unit.text, end="")
        return 0
    print(systemd.write_config(installed, text) if text else f"configuration {path}")
    view = _view(cameras)
    said = systemd.install(installed, unit, lambda: bool(view) and not health_at(view).startswith(NO_ANSWER))
    print(f"unit {installed.unit}, started at every boot{', and now' if installed.runs else ''}")
    if said:
        print(f"saccade service: it has ended, and is tried again; it said: {plain(hidden(said))}", file=sys.stderr)
    print(f"see it with `saccade service status{_named(installed)}` and `journalctl -u {installed.name}`")
    return 0


def _options_as_file(options: argparse.Namespace) -> str:
    """The text of a TOML file that says what the command line and the environment say; "" where a file does."""
    from saccade.service.reach import made_absolute

    said = given(options, RunConfig)
    environ = {name: text for name, text in os.environ.items() if name != "SACCADE_CONFIG"}
    settings = resolve(RunConfig, environ=environ, given=said)
    named = [name for name, origin in settings.origins.items() if origin != "default"]
    if options.config:
        if options.app or named:
            what = options.app or settings.origins[named[0]]
            raise ConfigError(
                f"{what} and --config {options.config}: a service has one of them; write it into the file"
            )
        return ""
    if not options.app:
        if not named:
            return ""
        raise ConfigError(f"no app; {_SAY}")
    config = made_absolute(settings.config)
    table = {option.key: getattr(config, name) for name, option in options_of(RunConfig).items() if name in named}
    return as_toml({"app": options.app, **{key: value for key, value in table.items() if value is not None}})


def _cameras(path: Path, text: str) -> Cameras:
    """What the service will run, checked as it will be read."""
    if not text:
        if not path.exists():
            raise ConfigError(
                f"no app and no {path}; say `saccade service install APP` ({', '.join(APPS)}) or --config FILE"
            )
        return load_cameras(path)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="saccade-service-") as folder:
        file = Path(folder) / path.name
        file.write_text(text, encoding="utf-8")
        found = load_cameras(file)
    return Cameras("service install", found.defaults, found.cameras)


def _inside(path: Path, root: Path) -> Path:
    """The file's name for the system below `root`."""
    return Path("/") / path.relative_to(root) if path.is_relative_to(root) else path


def _uninstall(installed: Installed, purge: bool) -> int:
    from saccade.service import systemd

    systemd.require_root(installed, "uninstall")
    systemd.uninstall(installed, purge=purge)
    kept = "" if purge else f"; {installed.config.parent} and /var/lib/{installed.name} stay (--purge removes them)"
    print(f"{installed.unit} is removed{kept}")
    return 0


# How it does


def _status(installed: Installed) -> int:
    from saccade.service import systemd

    if not installed.is_installed():
        print(f"no service {installed.name} is installed; `sudo saccade service install APP` does", file=sys.stderr)
        return _NO_SUCH
    state = systemd.state(installed)
    print(style.table([*_rows(state), ("configuration", systemd.config_of(installed)), *_page(installed)]))
    if state.get("ActiveState") == "active":
        return 0
    print(f"what it said: journalctl -u {installed.name} -n 20", file=sys.stderr)
    return _NOT_RUNNING


def _rows(state: dict[str, str] | Any) -> list[tuple[str, str]]:
    rows = [
        ("at boot", "started" if state["UnitFileState"] == "enabled" else f"not started ({state['UnitFileState']})")
    ]
    if "ActiveState" not in state:
        return [*rows, ("now", "systemd does not run here")]
    now = f"{state['ActiveState']} ({state['SubState']})"
    since = f" since {state['ActiveEnterTimestamp']}" if state["ActiveState"] == "active" else ""
    rows.append(("now", now + since))
    if state["NRestarts"] != "0":
        rows.append(("started again", f"{state['NRestarts']} times; last end: {_ending(state)}"))
    if state["MemoryCurrent"].isdigit():
        rows.append(("memory", f"{int(state['MemoryCurrent']) >> 20} MB"))
    return rows


def _ending(state: dict[str, str] | Any) -> str:
    result, status = state["Result"], state["ExecMainStatus"]
    return f"status {status}" if result in ("success", "exit-code") else f"{result}, status {status}"


def _page(installed: Installed) -> list[tuple[str, str]]:
    """What the page says of the sources, where there is one and its address may be read."""
    from saccade.service import systemd
    from saccade.service.health import health_at

    try:
        cameras = load_cameras(systemd.config_of(installed))
    except ConfigError:
        return [("page", "unknown: its configuration may not be read, or is wrong")]
    view = _view(cameras)
    return [("page", f"{view}: {health_at(view)}")] if view else []


def _view(cameras: Cameras) -> str:
    """The address of the page; "" where there is none."""
    return cameras.defaults.view or next((camera.config.view for camera in cameras if camera.config.view), "")


def _named(installed: Installed) -> str:
    return "" if installed.name == "saccade" else f" --service {installed.name}"
