"""`saccade why`: what holds a run of cameras back, and what would help."""

from __future__ import annotations

import argparse
import json
from typing import Any

from saccade.cli import add_command, style
from saccade.cli.running import ask, the_run
from saccade.errors import ConfigError
from saccade.text import plain

_MOST = 16 << 20
"""Bytes of a file beyond which it is no summary."""


def add_parser(subparsers: Any) -> None:
    """`saccade why`."""
    parser = add_command(
        subparsers, "why", summary="what holds a run of cameras back, and what would help",
        example="saccade why\n  saccade why summary.json",
    )  # fmt: skip
    parser.add_argument("summary", nargs="?", metavar="FILE", help="summary of a run that has ended")
    parser.add_argument("--config", metavar="FILE", help="of the run of this file, where several go on")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Ask the run, or read the file, and explain."""
    from saccade.apps.why import explain

    if options.summary and options.config:
        raise ConfigError("--config and a summary: one is of a run that goes on, the other of one that has ended")
    why = explain(_of_file(options.summary) if options.summary else ask(the_run(options.config), "GET", ""))
    if options.json:
        print(json.dumps(why.summary(), indent=2))
        return 0
    print(style.paint(plain(f"{why.bound}: {why.why}"), "bold"))
    print(plain("\n".join(why.costs), lines=True))
    rows = [
        (plain(c.name), c.bound, f"{c.got:.1f}", "-" if c.asked is None else f"{c.asked:g}", plain(c.why))
        for c in why.cameras
    ]
    print(style.table(rows, ("camera", "bound by", "looks/s", "asked", "")))
    print("\n".join(f"estimate: {line}" for line in why.chances))
    return 0


def _of_file(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            figures = json.loads(file.read(_MOST))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the file of --summary") from None
    except (ValueError, RecursionError):
        raise ConfigError(
            f"{path}: no summary; give the file that `saccade run --config FILE --summary` wrote"
        ) from None
    if not isinstance(figures, dict):
        raise ConfigError(f"{path}: no summary; give the file that `saccade run --config FILE --summary` wrote")
    return figures
