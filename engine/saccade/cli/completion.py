"""`saccade completion`: commands, options and files at the press of Tab."""

from __future__ import annotations

import argparse
from typing import Any

from saccade.cli import add_command, make_parser

HOW = {
    "bash": "saccade completion bash > ~/.local/share/bash-completion/completions/saccade",
    "zsh": "saccade completion zsh > ~/.zfunc/_saccade   # a folder that is in $fpath",
    "fish": "saccade completion fish > ~/.config/fish/completions/saccade.fish",
}

FILES = ("FILE", "FILE|-", "PATH", "M", "S", "FILE|-|URL")
"""Words for values that may be files."""


def add_parser(subparsers: Any) -> None:
    """`saccade completion {bash,zsh,fish}`."""
    parser = add_command(
        subparsers, "completion", summary="print what makes a shell complete commands and options",
        example="\n  ".join(HOW.values()),
    )  # fmt: skip
    parser.add_argument("shell", choices=tuple(HOW), help="the shell that is to complete")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    parser = make_parser()
    _offer_files(parser)
    print(shtab.complete(parser, options.shell))
    return 0


def _offer_files(parser: argparse.ArgumentParser) -> None:
    """Say which values are files and folders."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _offer_files(command)
        elif action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
