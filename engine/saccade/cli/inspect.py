"""`saccade inspect`: what an artifact is, and whether it runs."""

from __future__ import annotations

import argparse
import json
from typing import Any

from saccade.cli import add_command, style
from saccade.cli.shapes import add_input_shape, input_shapes


def add_parser(subparsers: Any) -> None:
    """`saccade inspect MODEL [--json]`."""
    parser = add_command(
        subparsers, "inspect", summary="show what an artifact is, its inputs, outputs and layers, and whether it runs",
        example="saccade inspect mxnet_deploy_ssd_FP16_FUSED.xml",
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="artifact or catalogue name")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_input_shape(parser)


def run(options: argparse.Namespace) -> int:
    """Print the description; status 2 where the artifact does not run."""
    from saccade.models import catalogue, describe

    description = describe(catalogue.resolve(options.model), input_shapes(options))
    if options.json:
        print(json.dumps(description, indent=2, default=str))
    else:
        print(readable(description))
    return 0 if description.get("runs", True) else 2


def readable(description: dict[str, Any]) -> str:
    """The description as a person reads it: facts first, then ports, then layers."""
    lines = []
    first = ("path", "name", "format", "version", "origin")
    for key in (*(key for key in first if key in description), *(key for key in description if key not in first)):
        value = description[key]
        if key in ("inputs", "outputs", "layers") or value in (None, "", [], {}):
            continue
        if isinstance(value, (list, tuple)):
            value = "; ".join(str(part) for part in value)
        elif isinstance(value, dict):
            value = ", ".join(f"{name} {part}" for name, part in value.items())
        lines.append(f"{style.paint(key.replace('_', ' ') + ':', 'bold')} {value}")
    for key in ("inputs", "outputs"):
        ports = [
            (key[:-1], port["name"], "x".join(map(str, port["shape"])), port.get("type", port.get("dtype", "")))
            for port in description.get(key, ())
        ]
        if ports:
            lines.append(style.table(ports))
    layers: dict[str, int] = description.get("layers", {})
    if layers:
        counts = sorted(layers.items(), key=lambda item: -item[1])
        lines.append(style.table(counts, ("layer", "count")))
    return "\n".join(lines)
