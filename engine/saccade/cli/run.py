"""`saccade run`: frames in, results out."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from typing import Any, Literal, get_args, get_origin, get_type_hints

from saccade.cli import Help, add_command, style
from saccade.config import RunConfig, from_environment, from_file, parse_value
from saccade.errors import ConfigError, OutputError

APPS = {
    "faces": "find faces; with --out keep a crop of each",
    "head-pose": "where a head points, in nine directions",
    "classify": "name what the frame shows",
}


def add_parser(subparsers: Any) -> None:
    """`saccade run {faces,head-pose,classify}`."""
    parser = add_command(
        subparsers, "run", summary="run an app on a camera, file or stream",
        example="saccade run faces --source /dev/video0 --view 127.0.0.1:8080 --out crops",
    )  # fmt: skip
    apps = parser.add_subparsers(dest="app", metavar="APP", required=True)
    for name, summary in APPS.items():
        app = apps.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:] + ".", formatter_class=Help,
            epilog=f"example:\n  saccade run {name} --source demo: --seconds 10 --events -\n\n"
            "Every option may also stand in the environment (SACCADE_SOURCE=...) or in a TOML file (--config).",
            allow_abbrev=False,
        )  # fmt: skip
        app.add_argument("--config", metavar="FILE", help="TOML file with options; the command line wins")
        _add_options(app)


def run(options: argparse.Namespace) -> int:
    """Run the app; the summary goes to the terminal, or where --summary says."""
    config = _configuration(options)
    from saccade import apps

    session = apps.open_session(options.app, config)
    stopped_by: list[int] = []

    def stop(signum: int, _: Any) -> None:
        if stopped_by:
            raise KeyboardInterrupt
        stopped_by.append(signum)
        session.stop()

    previous = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        if session.page_url:
            print(f"live page: {session.page_url}", file=sys.stderr, flush=True)
        statistics = session.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    summary = statistics.summary() | session.output_statistics()
    if config.summary:
        _write_summary(config.summary, summary)
    if config.summary != "-" and config.events != "-":
        print(_readable(summary))
    return 0


def _add_options(parser: argparse.ArgumentParser) -> None:
    hints = get_type_hints(RunConfig)
    for field in dataclasses.fields(RunConfig):
        hint, text = hints[field.name], field.metadata["help"]
        flag = "--" + field.name.replace("_", "-")
        if field.name == "realtime":
            parser.add_argument("--realtime", dest="realtime", action="store_const", const="true", help=text)
            parser.add_argument(
                "--every-frame", dest="realtime", action="store_const", const="false", help="take every frame"
            )
            continue
        keywords: dict[str, Any] = {"default": None, "metavar": field.metadata["metavar"]}
        if get_origin(hint) is Literal:
            keywords["choices"] = [value for value in get_args(hint) if value]
            keywords["metavar"] = None
        if field.metadata["bare"]:
            keywords |= {"nargs": "?", "const": field.metadata["bare"]}
        default = "" if field.default in (None, "", ()) or "default" in text else f" (default: {field.default})"
        parser.add_argument(flag, help=text.replace("%", "%%") + default, **keywords)


def _configuration(options: argparse.Namespace) -> RunConfig:
    """Defaults, then the TOML file, then the environment, then the command line."""
    config = from_file(options.config) if options.config else RunConfig()
    config = from_environment(os.environ, config)
    changes = {}
    for field in dataclasses.fields(RunConfig):
        text = getattr(options, field.name)
        if text is not None:
            try:
                changes[field.name] = parse_value(field.name, text)
            except ConfigError as error:
                raise ConfigError(f"--{error}") from None
    config = config.replace(**changes)
    if config.events == "-" and config.summary == "-":
        raise ConfigError("--events - and --summary - would mix on standard output; give one of them a file")
    return config


def _write_summary(path: str, summary: dict[str, Any]) -> None:
    text = json.dumps(summary, indent=2) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"--summary {path}: cannot be written ({error.strerror})") from None


def _readable(summary: dict[str, Any]) -> str:
    """The summary as a person reads it."""
    stages = [(name, f"{t['p50_ms']:.2f}", f"{t['p99_ms']:.2f}") for name, t in summary["stages"].items()]
    stages.append(("capture to result", f"{summary['age_ms']['p50']:.2f}", f"{summary['age_ms']['p99']:.2f}"))
    lines = [
        style.paint(f"{summary['frames']} frames in {summary['seconds']:.1f} s: {summary['fps']:.1f} frames/s", "bold"),
        f"{summary['model']} on {summary['device']} ({summary['precision']}), source {summary['source']}: "
        f"{summary['dropped']} dropped, {summary['damaged']} damaged, {summary['reconnects']} reconnects",
        style.table(stages, ("stage", "p50 ms", "p99 ms")),
    ]
    for name in ("crops", "events", "spool"):
        if name in summary:
            lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in summary[name].items()))
    return "\n".join(lines)
