"""What the commands that go into an AWS account share: their options, questions and tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from saccade.cli import style
from saccade.errors import ConfigError
from saccade.text import plain

log = logging.getLogger(__name__)

STACK = "saccade"
"""What a stack is called where nothing is said."""


def action(actions: Any, name: str, summary: str, example: str, *, lambdas: bool = True) -> argparse.ArgumentParser:
    """An action's parser in the common style. lambdas : whether it reads the folder of functions."""
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
    )  # fmt: skip
    add_lambdas(parser, used=lambdas)
    return parser


def add_lambdas(parser: argparse.ArgumentParser, *, used: bool) -> None:
    """`--lambdas`, which scripts may give to all actions alike; where it is not used, `tell_unused` says so."""
    what = "folder of functions and template (default: the checkout's)"
    parser.add_argument("--lambdas", metavar="DIR", help=what if used else argparse.SUPPRESS)
    parser.set_defaults(reads_lambdas=used)


def tell_unused(options: argparse.Namespace) -> None:
    """Warn of a folder of functions that changes nothing."""
    if options.lambdas and not options.reads_lambdas:
        log.warning("--lambdas %s changes nothing here: this reads no folder of functions", options.lambdas)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Which stack, in which account and region."""
    parser.add_argument("--stack", default=STACK, metavar="NAME", help="name of the stack")
    parser.add_argument("--region", metavar="REGION", help="AWS region (default: as configured)")
    parser.add_argument("--profile", metavar="NAME", help="AWS profile (default: as configured)")


def amount(text: str) -> float:
    """A number of something, for costs; an error of argparse where it is none."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a number from 0 on")
    return found


def show_status(report: dict[str, Any], as_json: bool) -> None:
    """State, parameters and outputs of a stack, as tables or JSON."""
    if as_json:
        print(json.dumps(report, indent=2, default=str))
        return
    outputs, parameters = report.pop("outputs"), report.pop("parameters")
    for rows, head in ((report, "state"), (parameters, "parameter"), (outputs, "output")):
        print(style.table([(str(k), plain(str(v))) for k, v in rows.items()], (head, "value")))


def show_costs(items: dict[str, float], what: str) -> None:
    """What something costs a month, by item."""
    rows = [(item, f"{dollars:.2f}") for item, dollars in items.items()]
    print(f"{what} (list prices, to be checked):\n" + style.table(rows, ("item", "US dollars a month")))


@contextlib.contextmanager
def explain_missing() -> Iterator[None]:
    """A part that is not installed is one line that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("saccade"):
            raise
        raise ConfigError(
            f"{error.name} is missing; install it with: pip install 'saccade-engine[cloud-local]'"
        ) from None


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE` texts of --set, else ConfigError."""
    wrong = [text for text in texts if "=" not in text or text.startswith("=")]
    if wrong:
        raise ConfigError(f"--set {wrong[0]}: expected NAME=VALUE")
    return dict(text.split("=", 1) for text in texts)


def ask(question: str, yes: bool) -> None:
    """Go on after a yes, given here or by --yes; else ConfigError."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Say so with --yes")
    print(f"{question} [yes/no] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise ConfigError("not done")


def find_lambdas(given: str | None = None) -> Path:
    """The folder of functions and template: the one given, else the checkout's, the wheel's, or ./lambdas."""
    here = Path(__file__).resolve()
    known = [here.parents[3] / "lambdas", here.parents[1] / "deploy" / "lambdas", Path("lambdas")]
    for folder in [Path(given)] if given else known:
        if (folder / "template.yaml").is_file():
            return folder
    raise ConfigError(f"no template.yaml in {given or 'lambdas'}; give --lambdas, the project's folder of functions")
