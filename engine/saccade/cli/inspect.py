"""`saccade inspect`: what an artifact is, and whether it runs."""

from __future__ import annotations

import argparse
import json
from typing import Any

from saccade.cli import add_command, style
from saccade.cli.shapes import add_input_shape, input_shapes
from saccade.text import plain


def add_parser(subparsers: Any) -> None:
    """`saccade inspect MODEL [--json]`."""
    parser = add_command(
        subparsers, "inspect", summary="show what an artifact is, its inputs, outputs and layers, and whether it runs",
        example="saccade inspect mxnet_deploy_ssd_FP16_FUSED.xml",
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="artifact or catalogue name")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_input_shape(parser)
    parser.add_argument("--labels", metavar="FILE", help="file with the class names: is it one for this network?")
    parser.add_argument("--task", metavar="T", default="", help="what the network does, as if said to run")
    parser.add_argument("--head", metavar="NAME", default="", help="family of the network's outputs, likewise")


def run(options: argparse.Namespace) -> int:
    """Print the description; status 2 where the artifact does not run."""
    from saccade.networks import catalogue
    from saccade.predict.inspect import describe
    from saccade.predict.opening import Wishes

    wishes = Wishes(labels=options.labels, task=options.task, head=options.head)
    description = describe(catalogue.resolve(options.model), input_shapes(options), wishes)
    if options.json:
        print(json.dumps(description, indent=2, default=str))
    else:
        print(readable(description))
    return 0 if description.get("runs", True) else 2


def readable(description: dict[str, Any]) -> str:
    """The description as a person reads it: facts first, then ports, what is understood, and layers."""
    lines = []
    first = ("path", "name", "format", "version", "origin")
    for key in (*(key for key in first if key in description), *(key for key in description if key not in first)):
        value = description[key]
        if key in _TABLES or value in (None, "", [], {}):
            continue
        if isinstance(value, (list, tuple)):
            value = "; ".join(str(part) for part in value)
        elif isinstance(value, dict):
            value = ", ".join(f"{name} {part}" for name, part in value.items())
        lines.append(f"{style.paint(plain(key.replace('_', ' ')) + ':', 'bold')} {plain(str(value))}")
    for key in ("inputs", "outputs"):
        ports = [
            (key[:-1], port["name"], "x".join(map(str, port["shape"])), port.get("type", port.get("dtype", "")))
            for port in description.get(key, ())
        ]
        if ports:
            lines.append(style.table(ports))
    lines += _understood(description)
    layers: dict[str, int] = description.get("layers", {})
    if layers:
        counts = sorted(layers.items(), key=lambda item: -item[1])
        lines.append(style.table(counts, ("layer", "count")))
    return "\n".join(lines)


_TABLES = ("inputs", "outputs", "layers", "understood", "stated", "calls")


def _understood(description: dict[str, Any]) -> list[str]:
    """What the network is taken for, or, where it is not understood, what its files say of it."""
    understood = description.get("understood")
    if understood:
        rows: list[tuple[Any, ...]]
        rows = [(name, _short(v["value"]), v["from"], v["override"]) for name, v in understood.items()]
        header = ("understood", "value", "from", "override with")
        calls = description["calls"]
        return [
            style.table(rows, header),
            f"{style.paint('to say otherwise:', 'bold')} {plain(calls['command'])}",
            f"{style.paint('in Python:', 'bold')} {plain(calls['python'])}",
        ]
    stated = description.get("stated")
    if stated:
        rows = [(name, _short(v["value"]), v["from"]) for name, v in stated.items()]
        return [style.table(rows, ("stated", "value", "from"))]
    return []


def _short(value: Any) -> str:
    """A value in a table's cell."""
    from saccade.predict.inspect import as_option

    if isinstance(value, (list, tuple)) and any(isinstance(part, str) for part in value):
        more = len(value) - 4
        return ", ".join(map(str, value[:4])) + (f" and {more} more" if more > 0 else "")
    return as_option(value)
