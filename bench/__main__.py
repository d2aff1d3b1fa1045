"""All benchmarks and their report.

    python -m bench [--out DIR] [--suite NAME]... [--rounds N] [--resume] [--no-report] [--check]

Writes report.json, report.md, the charts and history.jsonl (one line a run, for the trend) to DIR. A suite's figures
are kept in DIR/unfinished.json until the report is made: `--resume` goes on with a run that was broken off, and with
`--no-report` the suites may be measured piece by piece, when the machine is idle. `--check` exits with 1 where a figure
misses its target.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

from bench import charts, pipeline
from bench.figures import Figure, as_table, told
from bench.gate import this_processor
from saccade import __version__
from saccade.capture import open_source
from saccade.storage import atomic

SUITES = (
    "kernels", "runner", "heads", "tracking", "pipeline", "cores", "gating", "cameras", "small_faces", "legacy_ir",
    "importing", "awscam", "spool", "archive", "cloud", "cloud_edge", "tune",
)  # fmt: skip


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--suite", action="append", choices=SUITES, help="only this one; may be given again")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resume", action="store_true", help="do not measure again what is kept of an unfinished run")
    parser.add_argument("--no-report", action="store_true", help="measure and keep the figures for a later --resume")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    unfinished = options.out / "unfinished.json"
    suites = kept(unfinished) if options.resume else {}
    for name in options.suite or SUITES:
        if name in suites:
            continue
        print(f"--- {name}", flush=True)
        suites[name] = told(importlib.import_module(f"bench.{name}").measure(options.rounds))
        keep(suites, unfinished)
    if options.no_report:
        return 0
    write({name: suites[name] for name in SUITES if name in suites}, options.out)
    unfinished.unlink(missing_ok=True)
    print(f"report, charts and history are in {options.out}")
    return int(options.check and not all(f.passed for figures in suites.values() for f in figures))


def keep(suites: dict[str, list[Figure]], path: Path) -> None:
    """The figures so far, for a run that goes on later."""
    atomic.write(path, json.dumps({name: [asdict(f) for f in figures] for name, figures in suites.items()}).encode())


def kept(path: Path) -> dict[str, list[Figure]]:
    """What `keep` wrote; nothing where no run was broken off."""
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: [Figure(**figure) for figure in figures] for name, figures in said.items()}


def write(suites: dict[str, list[Figure]], folder: Path) -> None:
    """The report, its charts, and one more line of the history."""
    run = {
        "saccade": __version__,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{this_processor()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
        "figures": [figure.as_dict() | {"suite": name} for name, figures in suites.items() for figure in figures],
    }
    (folder / "report.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    head = f"# saccade {run['saccade']}, {run['time']}\n\n{run['machine']}. A ratio is the median of its rounds.\n"
    if empty := [name for name, figures in suites.items() if not figures]:
        head += f"Without figures, as something they need is not here: {', '.join(empty)}.\n"
    (folder / "report.md").write_text(f"{head}\n{as_table(suites)}", encoding="utf-8")
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
