"""`saccade models`: what can be had by name, and getting it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from saccade.cli import add_command, style
from saccade.config import did_you_mean
from saccade.errors import ConfigError
from saccade.text import plain


def add_parser(subparsers: Any) -> None:
    """`saccade models {list,pull NAME}`."""
    parser = add_command(
        subparsers, "models", summary="list and download models by name", example="saccade models pull demo"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="show every model with its licence, source and SHA digest")
    listing.add_argument("--json", action="store_true", help="print JSON, with the digest of each file")
    pull = actions.add_parser("pull", help="download models; a sound copy is kept as it is")
    pull.add_argument("names", metavar="NAME", nargs="+", help="name from the list, or demo for all the demo needs")


def run(options: argparse.Namespace) -> int:
    """List or pull."""
    from saccade.networks import catalogue

    if options.action == "list":
        if options.json:
            print(json.dumps([_as_json(entry) for entry in catalogue.ENTRIES], indent=2))
        else:
            rows = [
                (e.name, e.task, f"{e.size / 1e6:.1f}", e.licence, "here" if e.is_pulled() else "", e.source)
                for e in catalogue.ENTRIES
            ]
            print(style.table(rows, ("name", "task", "MB", "licence", "state", "source")))
        return 0
    for name in options.names:
        if not catalogue.find(name):
            near = did_you_mean(name, catalogue.names(), "; `saccade models list` shows the names")
            raise ConfigError(f"no model is called {name!r}{near}")
        for path in catalogue.pull(name):
            if not options.quiet:
                print(plain(str(path)))
    return 0


def _as_json(entry: Any) -> dict[str, Any]:
    return {
        "name": entry.name,
        "task": entry.task,
        "licence": entry.licence,
        "source": entry.source,
        "pulled": entry.is_pulled(),
        "path": str(entry.path),
        "files": [{"origin": f.origin, "bytes": f.size, "digest": f.digest} for f in entry.files],
    }
