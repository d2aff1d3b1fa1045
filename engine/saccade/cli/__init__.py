"""The `saccade` command. Each subcommand is a module with `add_parser(subparsers)` and `run(arguments) -> int`.

Exit status: 0 on success, 2 on bad input with one line that says what to do, 130 after Ctrl-C where nothing was
finished. A user's mistake never prints a traceback; `SACCADE_DEBUG=1` shows it to a developer.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from saccade import __version__
from saccade.errors import SaccadeError

COMMANDS = ("run", "models", "inspect", "convert", "infer", "run_script", "spool", "serve", "cloud", "doctor", "bench")


class Help(argparse.RawDescriptionHelpFormatter):
    """Shows examples as they are written, and defaults where there are any."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if text and action.default not in (None, "", (), False, argparse.SUPPRESS) and "default" not in text:
            text += " (default: %(default)s)"
        return text


def add_command(subparsers: Any, name: str, *, summary: str, example: str) -> argparse.ArgumentParser:
    """A subcommand's parser in the common style."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}", formatter_class=Help, allow_abbrev=False,
    )  # fmt: skip
    return parser


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="saccade",
        description="Frame-to-result inference for small x86 cameras; runs DeepLens-era models and scripts.",
        epilog="example:\n  saccade run faces --source demo: --view 127.0.0.1:8080",
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"saccade {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on standard error")
    parser.add_argument("-q", "--quiet", action="store_true", help="say only what went wrong")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"saccade.cli.{name}")
        module.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    level = logging.DEBUG if options.verbose else logging.WARNING if options.quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("saccade").setLevel(level)
    module = importlib.import_module(f"saccade.cli.{options.command.replace('-', '_')}")
    try:
        status = int(module.run(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of standard output has gone, as `head` does; the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SaccadeError as error:
        if os.environ.get("SACCADE_DEBUG"):
            raise
        print(f"saccade {options.command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if os.environ.get("SACCADE_DEBUG"):
            raise
        print(f"saccade {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"saccade {options.command}: interrupted", file=sys.stderr)
        return 130
    return status
