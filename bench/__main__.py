"""All benchmarks and their report.

    python -m bench [--out DIR] [--suite NAME]... [--rounds N] [--check]

Writes report.json, report.md, the charts and history.jsonl (one line a run, for the trend) to DIR. `--check` exits
with 1 where a figure misses its target.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import time
from pathlib import Path

from bench import charts, pipeline
from bench.figures import Figure, as_table
from saccade import __version__
from saccade.capture import open_source

SUITES = (
    "kernels", "runner", "heads", "tracking", "pipeline", "cores", "gating", "cameras", "small_faces", "legacy_ir",
    "importing", "awscam", "spool", "archive", "cloud", "tune",
)  # fmt: skip


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this one; may be given again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    suites: dict[str, list[Figure]] = {}
    for name in options.suite or SUITES:
        print(f"--- {name}")
        suites[name] = importlib.import_module(f"bench.{name}").measure(options.rounds)
    write(suites, options.out)
    print(f"report, charts and history are in {options.out}")
    return int(options.check and not all(f.passed for figures in suites.values() for f in figures))


def write(suites: dict[str, list[Figure]], folder: Path) -> None:
    """The report, its charts, and one more line of the history."""
    run = {
        "saccade": __version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "figures": [figure.as_dict() | {"suite": name} for name, figures in suites.items() for figure in figures],
    }
    (folder / "report.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(as_table(suites), encoding="utf-8")
    history = folder / "history.jsonl"
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
    charts.ratios(suites, folder / "ratios.png")
    stages = pipeline.Pipeline(
        pipeline.Capture(open_source(pipeline.video("demo:")), slots=3), pipeline.make_faces()
    ).run().summary()  # fmt: skip
    charts.waterfall(stages["stages"], stages["fps"], folder / "stages.png")
    charts.trend([json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()], folder / "trend.png")


if __name__ == "__main__":
    raise SystemExit(main())
