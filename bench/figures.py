"""What a benchmark says: figures with their targets, and the reports made of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure and what it shall be.

    ratio : median over the rounds. low, high : least and largest of the rounds. target : least (at_least) or largest
    ratio that passes.
    """

    name: str
    ratio: float
    low: float
    high: float
    target: float
    at_least: bool
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the target is met."""
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"passed": self.passed}


def as_line(figure: Figure) -> str:
    """One figure for a terminal."""
    bound = f"{'at least' if figure.at_least else 'at most'} {figure.target:g}"
    mark = "ok  " if figure.passed else "MISS"
    spread = f"{figure.low:.2f}-{figure.high:.2f}"
    return f"{mark} {figure.ratio:6.2f} ({spread}, {bound})  {figure.name}\n     {figure.detail}"


def as_table(suites: dict[str, list[Figure]]) -> str:
    """All figures as a Markdown table."""
    lines = ["| suite | what | ratio | least to largest | target | |", "|---|---|---|---|---|---|"]
    for suite, figures in suites.items():
        for figure in figures:
            bound = f"{'≥' if figure.at_least else '≤'} {figure.target:g}"
            lines.append(
                f"| {suite} | {figure.name} | {figure.ratio:.2f} | {figure.low:.2f} to {figure.high:.2f} | {bound} "
                f"| {'reached' if figure.passed else 'missed'} |"
            )
    return "\n".join(lines) + "\n"
