"""`--input-shape`: sizes that a model file does not state, or states otherwise."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from saccade.errors import ConfigError


def add_input_shape(parser: argparse.ArgumentParser) -> None:
    """The option, once for each input."""
    parser.add_argument(
        "--input-shape", action="append", metavar="[NAME=]N,C,H,W", default=[],
        help="size of an input, where the file leaves it open or says another; an MXNet symbol never states it",
    )  # fmt: skip


def input_shapes(options: argparse.Namespace) -> dict[str, Sequence[int]] | Sequence[int] | None:
    """What was given, as `read_model` takes it."""
    found: dict[str, Sequence[int]] = {}
    for text in options.input_shape:
        name, _, sizes = text.rpartition("=")
        if not re.fullmatch(r"\d{1,9}([,x]\d{1,9})*", sizes):
            raise ConfigError(f"--input-shape: got {text!r}; expected sizes such as 1,3,300,300 or data=1,3,300,300")
        if name in found or (found and "" in (name, *found)):
            raise ConfigError("--input-shape: give every input by name, once: data=1,3,300,300")
        found[name] = tuple(int(size) for size in re.split("[,x]", sizes))
    return found.get("", found) or None
