"""`saccade convert`: any supported artifact to current IR."""

from __future__ import annotations

import argparse
from typing import Any

from saccade.cli import add_command
from saccade.cli.shapes import add_input_shape, input_shapes
from saccade.storage.writable import check_folder
from saccade.text import plain


def add_parser(subparsers: Any) -> None:
    """`saccade convert MODEL -o DIR`."""
    parser = add_command(
        subparsers, "convert", summary="write any supported artifact as current OpenVINO IR, names kept",
        example="saccade convert deploy_ssd-symbol.json -o models",
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="artifact or catalogue name")
    parser.add_argument("-o", "--output", metavar="DIR", default=".", help="folder for the .xml and .bin")
    add_input_shape(parser)
    parser.add_argument("--epoch", type=int, metavar="N", help="which NAME-000N.params of an MXNet model (default: 0)")
    parser.add_argument(
        "--force-suppress", action="store_true",
        help="let SSD boxes suppress those of other classes where an MXNet symbol asks for it; the device never did",
    )  # fmt: skip
    parser.add_argument("--precision", choices=("f16", "f32"), default="f16", help="how weights are stored")


def run(options: argparse.Namespace) -> int:
    """Convert and print the path of the new .xml."""
    from saccade.formats.convert import convert
    from saccade.formats.load import ReadOptions
    from saccade.networks import catalogue

    check_folder("--output", options.output)
    path = catalogue.resolve(options.model)
    target = convert(
        path,
        options.output,
        options.precision,
        input_shapes=input_shapes(options),
        options=ReadOptions(epoch=options.epoch, force_suppress=options.force_suppress),
    )
    print(plain(str(target)))
    return 0
