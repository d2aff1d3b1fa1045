"""`--input-shape`: sizes that a model file does not state, or states otherwise."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from saccade.errors import ConfigError


def add_input_shape(parser: argparse.ArgumentParser) -> None:
    """The option, once for each input."""
    parser.add_argument(
        "--input-shape", action="append", metavar="[NAME:]N,C,H,W", default=[],
        help="size of an input, where the file leaves it open or says another; an MXNet symbol never states it; HxW "
        "is enough for a picture",
    )  # fmt: skip


def input_shapes(options: argparse.Namespace) -> dict[str, Sequence[int]] | Sequence[int] | None:
    """What was given, as `read_model` takes it."""
    if not options.input_shape:
        return None
    from saccade.formats.shapes import parse_shapes

    try:
        return parse_shapes(options.input_shape)
    except ConfigError as error:
        raise ConfigError(f"--{str(error).replace('input shape', 'input-shape', 1)}") from None
