"""What a benchmark says: figures with their targets, and the reports made of them."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure and what it shall be.

    ratio : median over the rounds. low, high : least and largest of the rounds. target : least (at_least) or largest
    ratio that passes. best : what no true ratio is better than, as that of more work over less of it; what was measured
    beyond is noise. None: there is no such limit.
    """

    name: str
    ratio: float
    low: float
    high: float
    target: float
    at_least: bool
    detail: str
    best: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the target is met."""
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target

    @property
    def noise(self) -> str:
        """What is to be said of a ratio that is better than any can be; else empty."""
        if self.best is None or (self.ratio <= self.best if self.at_least else self.ratio >= self.best):
            return ""
        return f"noise: {self.best:g} is the best there can be"

    @property
    def reached(self) -> float:
        """How often the target is met: 1 just so, less is a miss."""
        return times_target(self.ratio, self.target, self.at_least)

    @property
    def bound(self) -> str:
        """The target in signs."""
        return f"{'≥' if self.at_least else '≤'} {self.target:g}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"passed": self.passed}


def figure(
    name: str, ratios: Sequence[float], target: float, detail: str, *, at_least: bool = False, best: float | None = None
) -> Figure:
    """The figure of these ratios, one a round; the rest as in `Figure`."""
    return Figure(name, statistics.median(ratios), min(ratios), max(ratios), target, at_least, detail, best)


def times_target(ratio: float, target: float, at_least: bool) -> float:
    """How often a ratio meets its target; where less is better and nothing is left, or nothing is allowed: 1 or 0."""
    if at_least:
        return ratio / target if target else 1.0
    if not target or not ratio:
        return float(ratio <= target)
    return target / ratio


def as_line(figure: Figure) -> str:
    """One figure for a terminal."""
    bound = f"{'at least' if figure.at_least else 'at most'} {figure.target:g}"
    mark = "ok  " if figure.passed else "MISS"
    spread = f"{figure.low:.2f}-{figure.high:.2f}"
    noise = f"; {figure.noise}" if figure.noise else ""
    return f"{mark} {figure.ratio:6.2f} ({spread}, {bound}{noise})  {figure.name}\n     {figure.detail}"


def as_table(suites: dict[str, list[Figure]]) -> str:
    """All figures as a Markdown table."""
    lines = ["| suite | what | ratio | least to largest | target | |", "|---|---|---|---|---|---|"]
    for suite, figures in suites.items():
        for figure in figures:
            verdict = ", ".join(filter(None, ("reached" if figure.passed else "missed", figure.noise)))
            lines.append(
                f"| {suite} | {figure.name} | {figure.ratio:.2f} | {figure.low:.2f} to {figure.high:.2f} "
                f"| {figure.bound} | {verdict} |"
            )
    return "\n".join(lines) + "\n"


def command_line(doc: str | None, *, rounds: int | None = 3) -> argparse.ArgumentParser:
    """The options that every suite has; `finish` does what they say. rounds : by default; None: not to be said."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--check", action="store_true")
    return parser


def told(figures: Iterable[Figure]) -> list[Figure]:
    """The figures, each printed as soon as it is measured."""
    found = []
    for each in figures:
        print(as_line(each), flush=True)
        found.append(each)
    return found


def finish(measured: Iterable[Figure], options: argparse.Namespace) -> int:
    """Measure, print, write where `--json` says; the exit status, 1 if `--check` and a figure missed its target, or
    there is none.
    """
    figures = told(measured)
    if not figures:
        print("nothing was measured")
    if options.json:
        options.json.write_text(json.dumps([figure.as_dict() for figure in figures], indent=2) + "\n", encoding="utf-8")
    return int(options.check and not (figures and all(figure.passed for figure in figures)))
