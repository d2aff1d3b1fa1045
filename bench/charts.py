"""Pictures of a benchmark run: bars against references, the stages of a frame, the trend of stored runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from bench.figures import Figure

GOOD, BAD, QUIET = "#2f9e62", "#c9483c", "#8a94a0"
STAGES = ("decode", "preprocess", "infer", "postprocess", "output")


def ratios(suites: dict[str, list[Figure]], path: Path) -> None:
    """A bar a figure, as a multiple of its target; the line at one is the target."""
    rows = [(suite, figure) for suite, figures in suites.items() for figure in figures]
    chart, axes = plt.subplots(figsize=(11, 0.34 * len(rows) + 1.2), layout="constrained")
    for place, (suite, figure) in enumerate(reversed(rows)):
        reached = figure.ratio / figure.target if figure.at_least else figure.target / max(figure.ratio, 1e-9)
        axes.barh(place, min(reached, 6), color=GOOD if figure.passed else BAD, height=0.7)
        bound = f"{'≥' if figure.at_least else '≤'}{figure.target:g}"
        axes.text(min(reached, 6) + 0.05, place, f"{figure.ratio:.2f} ({bound})", va="center", fontsize=7)
        axes.text(-0.05, place, f"{suite}: {figure.name}", va="center", ha="right", fontsize=7)
    axes.axvline(1, color=QUIET, linewidth=1)
    axes.set_yticks([])
    axes.set_xlim(0, 7)
    axes.set_xlabel("times the target (bars end at 6)")
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
    """Each figure over the stored runs, as a multiple of its first value."""
    names = [figure["name"] for figure in runs[-1]["figures"]]
    chart, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    for name in names:
        series = [
            (index, figure["ratio"]) for index, run in enumerate(runs) for figure in run["figures"]
            if figure["name"] == name
        ]  # fmt: skip
        if len(series) > 1 and series[0][1]:
            axes.plot([i for i, _ in series], [value / series[0][1] for _, value in series], linewidth=1, alpha=0.7)
    axes.axhline(1, color=QUIET, linewidth=1)
    axes.set_xlabel("stored runs, oldest first")
    axes.set_ylabel("ratio, as a multiple of the first run's")
    axes.spines[["top", "right"]].set_visible(False)
    chart.savefig(path, dpi=110)
    plt.close(chart)
