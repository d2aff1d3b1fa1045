"""Pictures of a benchmark run: bars against references, the stages of a frame, the trend of stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.figures import Figure, times_target

GOOD, BAD, QUIET = "#2f9e62", "#c9483c", "#8a94a0"
LONGEST = 6
"""Where bars end, in multiples of the target."""
STAGES = ("decode", "preprocess", "infer", "postprocess", "output")


def ratios(suites: dict[str, list[Figure]], path: Path) -> None:
    """A bar a figure, labelled with its length: how often it meets its target. The line at one is the target.

    Beside it stands what was measured, against what; what is better than can be is hatched and called noise.
    """
    rows = [(suite, figure) for suite, figures in suites.items() for figure in figures]
    chart, axes = plt.subplots(figsize=(12, 0.34 * len(rows) + 1.2), layout="constrained")
    for place, (suite, figure) in enumerate(reversed(rows)):
        length, noise = min(figure.reached, LONGEST), f"; {figure.noise}" if figure.noise else ""
        colour = QUIET if noise else GOOD if figure.passed else BAD
        axes.barh(place, length, color=colour, height=0.7, hatch="///" if noise else "", edgecolor="white")
        more = ">" if figure.reached > length else ""
        label = f"{more}{length:.2f} times   (measured {figure.ratio:.2f}, target {figure.bound}{noise})"
        axes.text(max(length, 1) + 0.05, place, label, va="center", fontsize=7)  # clear of the line at one
        axes.text(-0.05, place, f"{suite}: {figure.name}", va="center", ha="right", fontsize=7)
    axes.axvline(1, color=QUIET, linewidth=1)
    axes.set_yticks([])
    axes.set_xlim(0, LONGEST + 4)
    axes.margins(y=0.01)
    kinds = {"target met": GOOD, "missed": BAD, "noise: better than can be": QUIET}
    axes.legend(
        handles=[Patch(color=colour, label=kind) for kind, colour in kinds.items()], loc="lower right", fontsize=7,
        frameon=False,
    )  # fmt: skip
    axes.set_xticks(range(LONGEST + 1))
    axes.set_xlabel(f"times the target (bars end at {LONGEST})")
    axes.spines[["top", "right", "left"]].set_visible(False)
    chart.savefig(path, dpi=110)
    plt.close(chart)


def waterfall(stages: dict[str, dict[str, float]], fps: float, path: Path) -> None:
    """The stages of one frame after each other, median and p99, ms."""
    chart, axes = plt.subplots(figsize=(8, 2.6), layout="constrained")
    start = 0.0
    for place, name in enumerate(STAGES):
        p50, p99 = stages[name]["p50_ms"], stages[name]["p99_ms"]
        axes.barh(-place, p50, left=start, color=GOOD, height=0.62)
        axes.plot([start + p50, start + p99], [-place, -place], color=QUIET, linewidth=1.5)
        axes.text(start + max(p50, p99) + 0.05, -place, f"{p50:.2f} ms (p99 {p99:.2f})", va="center", fontsize=8)
        start += p50
    axes.set_yticks([-i for i in range(len(STAGES))], STAGES)
    axes.set_xlabel(f"ms; decode runs beside the rest, {fps:.0f} frames a second")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.25)
    chart.savefig(path, dpi=110)
    plt.close(chart)


def trend(runs: list[dict[str, Any]], path: Path) -> None:
    """Each figure over the stored runs, as a multiple of its target, with a colour for each suite.

    runs : as report.json, oldest first. Each run is a column of points for each suite, so that the first one shows
    where all stand.
    """
    series: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for number, run in enumerate(runs, 1):
        for figure in run["figures"]:
            reached = times_target(figure["ratio"], figure["target"], figure["at_least"])
            series.setdefault((figure["suite"], figure["name"]), []).append((number, min(reached, LONGEST)))
    suites = list(dict.fromkeys(suite for suite, _ in series))
    colours = dict(zip(suites, mpl.colormaps["tab20"].colors, strict=False))  # type: ignore[attr-defined]
    chart, axes = plt.subplots(figsize=(10, 5), layout="constrained")
    labelled: set[str] = set()
    beside = {suite: 0.5 * ((place + 0.5) / len(suites) - 0.5) for place, suite in enumerate(suites)}
    for (suite, _), points in series.items():
        label = None if suite in labelled else suite
        labelled.add(suite)
        axes.plot(
            [number + beside[suite] for number, _ in points], [reached for _, reached in points],
            marker="o", markersize=4, linewidth=1, alpha=0.7, color=colours[suite], label=label,
        )  # fmt: skip
    axes.axhline(1, color=QUIET, linewidth=1)
    axes.set_xlim(0.5, len(runs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("stored runs, oldest first")
    axes.set_ylabel(f"times the target (at most {LONGEST})")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    chart.savefig(path, dpi=110)
    plt.close(chart)
