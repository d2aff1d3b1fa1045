"""The `saccade` command. Each subcommand is a module with `add_parser(subparsers)` and `run(arguments) -> int`.

Exit status: 0 on success, 2 on bad input with one line that says what to do, 130 after Ctrl-C where nothing was
finished. A user's mistake never prints a traceback; `SACCADE_DEBUG=1` shows it to a developer.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from saccade import __version__
from saccade.address import hidden
from saccade.cli.parser import CommandParser, Help, given_words
from saccade.errors import SaccadeError
from saccade.process import secure_standard_streams, timed
from saccade.text import PlainFormatter, plain

__all__ = ["COMMANDS", "CommandParser", "Help", "add_command", "main", "make_parser"]

COMMANDS = (
    "run", "cameras", "why", "service", "models", "inspect", "convert", "infer", "run_script", "spool", "serve",
    "archive", "cloud", "device", "config", "doctor", "completion", "bench", "tune",
)  # fmt: skip


LASTING = ("run", "serve", "run-script")
"""Commands that may go on for long: their log says when."""


def add_command(subparsers: Any, name: str, *, summary: str, example: str) -> CommandParser:
    """A subcommand's parser in the common style."""
    parser: CommandParser = subparsers.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"example:\n  {example}"
    )
    return parser


def make_parser(words: Sequence[str] = ()) -> CommandParser:
    """The command line: whole, or only the command that `words` name, which starts sooner."""
    parser = CommandParser(
        prog="saccade",
        description="Frame-to-result inference for small x86 cameras; runs DeepLens-era models and scripts.",
        epilog="example:\n  saccade run faces --source demo: --view 127.0.0.1:8080",
    )
    parser.add_argument("--version", action="version", version=f"saccade {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on standard error")
    parser.add_argument("-q", "--quiet", action="store_true", help="say only what went wrong")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((word.replace("-", "_") for word in words if not word.startswith("-")), "")
    for name in [named] if named in COMMANDS else COMMANDS:
        module = importlib.import_module(f"saccade.cli.{name}")
        module.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Without `arguments` it is that of the process, which ends with it."""
    secure_standard_streams()
    parser = make_parser(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(arguments)
    options.ends_process = arguments is None
    level = logging.DEBUG if options.verbose else logging.WARNING if options.quiet else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    line = "%(levelname)s %(message)s"
    handler.setFormatter(PlainFormatter(timed(line) if options.command in LASTING else line))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("saccade").setLevel(level)
    module = importlib.import_module(f"saccade.cli.{options.command.replace('-', '_')}")
    try:
        status = int(module.run(options))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of standard output has gone, as `head` does; the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SaccadeError, OSError, UnicodeError) as error:
        # Names that the locale cannot write are of the last kind.
        if os.environ.get("SACCADE_DEBUG"):
            raise
        print(f"saccade {options.command}: {plain(hidden(str(error), given_words(arguments)))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"saccade {options.command}: interrupted", file=sys.stderr)
        return 130
    return status
