"""`saccade config`: what is in force and where it came from, and what is wrong with a file."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from saccade.address import hidden
from saccade.cli import add_command, style
from saccade.cli.parser import add_options, given, given_words
from saccade.config import (
    APPS,
    CameraConfig,
    Option,
    RunConfig,
    check_variables,
    examine_cameras,
    from_environment,
    options_of,
    resolve,
)
from saccade.config.commands import ScriptConfig, ServeConfig
from saccade.errors import ConfigError
from saccade.text import plain

_KINDS: Mapping[str, type[Any]] = {"run": RunConfig, "serve": ServeConfig, "run-script": ScriptConfig}
_DEFAULT = "default"


def add_parser(subparsers: Any) -> None:
    """`saccade config {show,check}`."""
    parser = add_command(
        subparsers, "config", summary="show the settings in force and where they came from, or check a file",
        example="saccade config show --config camera.toml\n  saccade config check cameras.toml",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show", help="settings with what they come from; passwords are not shown",
        description="Settings with what they come from: a file, the environment, the command line. Passwords are not "
        "shown.",
        epilog="example:\n  saccade config show --config camera.toml --device CPU",
    )  # fmt: skip
    show.add_argument("--config", metavar="FILE", help="TOML file with options (default: $SACCADE_CONFIG)")
    show.add_argument("--command", choices=tuple(_KINDS), default="run", help="whose settings", dest="whose")
    show.add_argument("--all", action="store_true", help="those at their defaults, too, with what they mean")
    show.add_argument("--json", action="store_true", help="print JSON")
    add_options(show, RunConfig)
    check = actions.add_parser(
        "check", help="say what is wrong with a file and the environment; status 2 if anything is",
        description="Say everything that is wrong with a file and the environment, one line each; status 2 if "
        "anything is.",
        epilog="example:\n  saccade config check cameras.toml",
    )  # fmt: skip
    check.add_argument("files", metavar="FILE", nargs="*", help="TOML files for run (default: $SACCADE_CONFIG)")
    check.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Show or check."""
    return _check(options) if options.action == "check" else _show(options)


# Showing


def _show(options: argparse.Namespace) -> int:
    tables = _tables(options)
    if options.json:
        print(json.dumps([{"of": name, "settings": rows} for name, rows in tables], indent=2))
        return 0
    for name, rows in tables:
        shown = [row for row in rows if options.all or row["from"] != _DEFAULT]
        print(style.paint(name, "bold"))
        if not shown:
            print("everything at its default; --all shows them")
            continue
        header = ("setting", "value", "from", *(["meaning"] if options.all else []))
        lines = [[row[key] for key in header] for row in shown]
        print(style.table(lines, header))
    return 0


def _tables(options: argparse.Namespace) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows of settings of each camera, or of the one command."""
    kind, file = _KINDS[options.whose], options.config or os.environ.get("SACCADE_CONFIG")
    said = given(options, RunConfig)
    if kind is not RunConfig:
        if said:
            raise ConfigError(
                f"--{next(iter(said))}: with --command {options.whose} only file and environment are shown"
            )
        settings = resolve(kind, file=file, environ=os.environ)
        return [(options.whose, _rows(settings.config, settings.origins))]
    if file:
        cameras, problems = examine_cameras(file, environ=os.environ, given=said, app=next(iter(APPS)))
        if problems:
            raise ConfigError(problems[0])
        return [(f"camera {camera.name}", _camera_rows(camera)) for camera in cameras]
    settings = resolve(RunConfig, environ=os.environ, given=said)
    return [("run", _rows(settings.config, settings.origins))]


def _rows(config: Any, origins: Mapping[str, str], options: Iterable[Option] | None = None) -> list[dict[str, Any]]:
    return [
        {
            "setting": option.key,
            "value": hidden(option.shown(getattr(config, option.name))),
            "from": origins.get(option.name, _DEFAULT),
            "meaning": option.help,
        }
        for option in (options or options_of(type(config)).values())
    ]


def _camera_rows(camera: CameraConfig) -> list[dict[str, Any]]:
    rows = _rows(camera, camera.origins) + _rows(camera.config, camera.origins)
    for app in camera.apps:
        own = [
            o for o in options_of(RunConfig).values() if getattr(app.config, o.name) != getattr(camera.config, o.name)
        ]
        said = ", ".join(f"{option.key} {option.shown(getattr(app.config, option.name))}" for option in own)
        rows.append({"setting": "app", "value": f"{app.app} {said}".strip(), "from": "file", "meaning": APPS[app.app]})
    return rows


# Checking


def _check(options: argparse.Namespace) -> int:
    named = os.environ.get("SACCADE_CONFIG")
    files = options.files or ([named] if named else [])
    problems = _of_environment()
    lines = []
    for file in files:
        try:
            cameras, found = examine_cameras(file, app=next(iter(APPS)))
        except ConfigError as error:
            found = [str(error)]
        else:
            found += [line for camera in cameras for line in _missing_files(file, camera)]
            lines.append(f"{file}: {len(cameras)} camera{'s' * (len(cameras) != 1)}: {', '.join(cameras.names)}")
        problems += found
    problems = [hidden(problem, given_words()) for problem in problems]
    if options.json:
        print(json.dumps({"files": files, "problems": problems}, indent=2))
        return 2 if problems else 0
    for problem in problems:
        print(f"saccade config check: {plain(problem)}", file=sys.stderr)
    if not problems:
        print(plain("\n".join([*lines, "environment: sound"]), lines=True))
    return 2 if problems else 0


def _of_environment() -> list[str]:
    """What is wrong with the environment by itself, variable by variable."""
    problems = []
    for name, text in sorted(os.environ.items()):
        try:
            check_variables([name])
            for kind in (RunConfig, ServeConfig, ScriptConfig):
                from_environment(kind, {name: text})
        except ConfigError as error:
            problems.append(str(error))
    return problems


def _missing_files(file: str, camera: CameraConfig) -> list[str]:
    """Files that a camera's settings name and that are not there."""
    problems = []
    for name in ("labels", "ca"):
        for config in {id(c): c for c in (camera.config, *(app.config for app in camera.apps))}.values():
            path = getattr(config, name)
            line = f"{file}: camera {camera.name}: {name} {path}: no such file"
            if path and not os.path.isfile(path) and line not in problems:
                problems.append(line)
    return problems
