"""The gate against slowdowns, made of figures that do not depend on how busy the machine is.

    python -m bench.gate            check; exits with 1 where something got worse
    python -m bench.gate --update   measure anew and write bench/baseline.json, whose diff a reviewer reads

(a) Instructions that each kernel executes, counted by callgrind, may grow by 3 % over the baseline. The C sources are
built with setup.py's flags into a small program (bench/harness.c). Counts are the same on every processor, but belong
to a compiler: one that has no baseline is held against the largest count of those that have, with a tolerance of 25 %
(gcc 11 to 15 stay within 11 % above gcc 12).
(b) A kernel may take 25 % longer, measured by its reference in the same process, than the baseline of this kind of
processor says. Where there is none, and where the reference is of another release, ratios are only reported.
(c) `import saccade` loads nothing but the standard library and takes at most a quarter of NumPy's CPU time to import,
and a run of the pipeline needs at most 10 % more memory than the baseline. The scheduler of 16 cameras makes at most
10 % more calls of Python functions for a ticket; their number belongs to a release of Python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from bench import callgrind
from bench.figures import Figure

BASELINE = Path(__file__).with_name("baseline.json")
HARNESS = Path(__file__).with_name("harness.c")
SOURCES = Path(__file__).parents[1] / "ext"

INSTRUCTIONS_TOLERANCE = 0.03
OTHER_COMPILER_TOLERANCE = 0.25
TIME_TOLERANCE = 0.25
MEMORY_TOLERANCE = 0.10
CALLS_TOLERANCE = 0.10
IMPORT_LIMIT = 0.25
"""CPU time of `import saccade` over that of `import numpy`."""
ATTEMPTS = 3
"""How often a row must miss its bound before it is worse; each attempt has twice the rounds of the one before."""
PASSES = 5
"""Of how many measurements, each on new arrays, a baseline of ratios is the median."""
FRAMES = 300
HOW_TO_UPDATE = "run python -m bench.gate --update and commit bench/baseline.json"

FLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-march=x86-64-v2", "-mtune=generic"]

Counts = Mapping[str, int]
Measure = Callable[[int, Collection[str] | None], Mapping[str, Figure]]
"""Figures by name. Arguments: rounds, and the exact names of the cases to measure (None: all)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the gate's table: what was measured, against what it was held, and what follows from that."""

    name: str
    measured: str
    bound: str
    verdict: str = "ok"
    worse: bool = False


def as_table(title: str, rows: Sequence[Row]) -> str:
    """The rows for a terminal."""
    lines = [(title, "measured", "bound", "verdict")]
    lines += [(shorten(row.name, 72, placeholder=" ..."), row.measured, row.bound, row.verdict) for row in rows]
    name, measured, bound = (max(len(line[column]) for line in lines) for column in range(3))
    return "\n".join(f"{a:{name}}  {b:>{measured}}  {c:{bound}}  {d}" for a, b, c, d in lines) + "\n"


# (a) Instructions.


def compiler() -> str:
    """Name and version of the C compiler, to which instruction counts belong."""
    line = subprocess.run(["cc", "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    return line.partition(" ")[2]


def instructions(sources: Path = SOURCES) -> dict[str, int]:
    """Executed instructions by "variant case". callgrind knows no AVX-512, so that variant is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "harness")
        files = [str(path) for path in sorted(sources.glob("*.c")) if not path.name.startswith("_")]
        subprocess.run(["cc", *FLAGS, f"-I{sources}", str(HARNESS), *files, "-lm", "-o", str(program)], check=True)
        return callgrind.counts([program], Path(folder))


def count_rows(counts: Counts, baselines: Mapping[str, Counts], compiler: str) -> list[Row]:
    """A row for each count, and for each that the compiler's baseline has and this run has not."""
    rows = []
    own = baselines.get(compiler, {})
    for name, count in counts.items():
        others = [baseline[name] for baseline in baselines.values() if name in baseline]
        if not others:
            rows.append(Row(name, f"{count:,}", "", f"WORSE, no baseline: {HOW_TO_UPDATE}", worse=True))
            continue
        held, tolerance = own.get(name, max(others)), INSTRUCTIONS_TOLERANCE
        bound = f"{held:,} + {INSTRUCTIONS_TOLERANCE:.0%}"
        if name not in own:
            tolerance = OTHER_COMPILER_TOLERANCE
            bound = f"{held:,} + {tolerance:.0%}, of another compiler"
        growth = count / held - 1
        if growth > tolerance:
            rows.append(Row(name, f"{count:,}", bound, f"WORSE, {growth:+.1%}", worse=True))
        else:
            rows.append(Row(name, f"{count:,}", bound))
    here = {name.split()[0] for name in counts}  # variants that this processor runs
    lost = (name for name in own.keys() - counts.keys() if name.split()[0] in here)
    return rows + [
        Row(name, "not counted", f"{own[name]:,}", f"WORSE, lost: {HOW_TO_UPDATE}", worse=True) for name in sorted(lost)
    ]


def check_instructions(baseline: Mapping[str, Any], sources: Path) -> list[Row]:
    """Part (a)."""
    return count_rows(instructions(sources), baseline["instructions"], compiler())


# (b) Ratios.


def processor(cpuinfo: str, variant: str) -> str:
    """The kind of processor that ratios belong to: vendor, family and model, and the kernels' variant on it.

    cpuinfo : text of /proc/cpuinfo. The variant stands for the instruction sets, which a virtual machine may hide.
    """
    fields = dict(re.findall(r"^(vendor_id|cpu family|model)\s*:\s*(.+)$", cpuinfo, re.MULTILINE))
    if len(fields) < 3:
        return f"{platform.machine()}, {variant}"
    return f"{fields['vendor_id']} family {fields['cpu family']} model {fields['model']}, {variant}"


def this_processor() -> str:
    """The kind of this machine's processor."""
    from saccade.kernels import variant

    cpuinfo = Path("/proc/cpuinfo")
    return processor(cpuinfo.read_text() if cpuinfo.is_file() else "", variant())


def references() -> str:
    """Releases of the libraries that the references are made of; ratios belong to them as well."""
    import cv2
    import numpy as np
    import openvino as ov

    versions = {"OpenCV": cv2.__version__, "OpenVINO": ov.__version__, "NumPy": np.__version__}
    return ", ".join(f"{name} {'.'.join(number.split('.')[:2])}" for name, number in versions.items())


def measure_kernels(rounds: int, names: Collection[str] | None) -> dict[str, Figure]:
    """Figures of the kernels, and of following objects, by name; see Measure."""
    from bench import kernels, tracking

    cases = (case for case in kernels.cases() if names is None or case.name in names)
    figures = {case.name: kernels.compare(case, rounds) for case in cases}
    if names is None or tracking.COST_NAME in names:
        figures[tracking.COST_NAME] = tracking.cost(rounds)
    return figures


def ratio_row(figure: Figure, ratios: Mapping[str, float] | None, why_none: str) -> Row:
    """The figure against the baseline's ratio. ratios : of this processor by name, None for the reason `why_none`."""
    measured, limit = f"{figure.ratio:.2f}", "at least" if figure.at_least else "at most"
    if ratios is None or figure.name not in ratios:
        reason = why_none if ratios is None else f"no baseline for this row: {HOW_TO_UPDATE}"
        return Row(figure.name, measured, f"target {limit} {figure.target:g}", f"reported, {reason}")
    usual, longer = ratios[figure.name], 1 + TIME_TOLERANCE
    bound = usual / longer if figure.at_least else usual * longer
    worse = figure.ratio < bound if figure.at_least else figure.ratio > bound
    return Row(figure.name, measured, f"{limit} {bound:.2f} (usual {usual:g})", "WORSE" if worse else "ok", worse)


def ratio_rows(measure: Measure, rounds: int, ratios: Mapping[str, float] | None, why_none: str = "") -> list[Row]:
    """A row for each figure; those that miss their bound are measured again, they alone."""
    figures = dict(measure(rounds, None))
    for attempt in range(1, ATTEMPTS):
        again = [figure.name for figure in figures.values() if ratio_row(figure, ratios, why_none).worse]
        if not again:
            break
        figures |= measure(rounds * 2**attempt, again)
    return [ratio_row(figure, ratios, why_none) for figure in figures.values()]


def usual_ratios(
    baselines: Mapping[str, Any], processor: str, references: str
) -> tuple[Mapping[str, float] | None, str]:
    """Ratios by row that hold for this processor and these references, or None and why there are none."""
    if processor not in baselines:
        return None, "no baseline for this processor"
    known = baselines[processor]
    if known["references"] != references:
        return None, f"no baseline for these references (it has {known['references']})"
    return known["ratios"], ""


def check_ratios(baseline: Mapping[str, Any], rounds: int) -> list[Row]:
    """Part (b)."""
    print(f"processor: {this_processor()}; references: {references()}")
    ratios, why_none = usual_ratios(baseline["processors"], this_processor(), references())
    return ratio_rows(measure_kernels, rounds, ratios, why_none)


def update_ratios(measure: Measure, rounds: int) -> dict[str, Any]:
    """What the baseline says of this processor: the median ratio of each row."""
    passes = [measure(rounds, None) for _ in range(PASSES)]
    ratios = {name: round(statistics.median(figures[name].ratio for figures in passes), 2) for name in passes[0]}
    return {"references": references(), "ratios": ratios}


# (c) The process.


def import_row() -> Row:
    """CPU time of `import saccade` over that of `import numpy`, each the least of seven new interpreters."""
    program = (
        "import sys, time; before, start = set(sys.modules), time.process_time(); import {0}; "
        "took, new = time.process_time() - start, {{name for name, m in sys.modules.items() if m}} - before; "
        "print(took, *{{name.partition('.')[0] for name in new}} - sys.stdlib_module_names - {{'{0}'}})"
    )
    times: dict[str, list[float]] = {"saccade": [], "numpy": []}
    for _ in range(7):
        for name, taken in times.items():
            command = [sys.executable, "-c", program.format(name)]
            took, *others = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            if name == "saccade" and others:
                return Row("import saccade", f"loads {', '.join(sorted(others))}", "standard library", "WORSE", True)
            taken.append(float(took))
    ratio = min(times["saccade"]) / min(times["numpy"])
    worse = ratio > IMPORT_LIMIT
    bound = f"at most {IMPORT_LIMIT:g} of NumPy's CPU time"
    return Row("import saccade", f"{ratio:.2f}", bound, "WORSE" if worse else "ok", worse)


def _alone_on_one_processor() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def peak_memory_mb() -> float:
    """Largest anonymous memory at any result of the face app on the demo's frames, MB.

    Looked at from outside at each result, so that no clock has a say; with one processor, thread and arena and in f32,
    so that the machine has none. Pages of mapped libraries do not count: how many of them are resident is the page
    cache's affair. A first run draws the demo and fills the caches.
    """
    command = [sys.executable, "-m", "saccade", "--quiet", "run", "faces", "--source", "demo:", "--every-frame"]
    command += ["--threads", "1", "--precision", "f32", "--events", "/dev/stdout", "--frames"]
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "1"], env=environment, check=True, stdout=subprocess.DEVNULL)
    sizes = []
    with subprocess.Popen(
        [*command, str(FRAMES)], env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=_alone_on_one_processor
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = re.search(r"RssAnon:\s*(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            if line.startswith("{") and found:  # an event, of a process that has not ended yet
                sizes.append(int(found[1]) / 1024)
    if process.returncode or not sizes:
        raise RuntimeError(f"the pipeline run failed with {process.returncode} after {len(sizes)} results")
    return max(sizes)


def memory_row(peak: float, usual: float) -> Row:
    """Peak memory of the pipeline, MB, against the baseline."""
    bound = usual * (1 + MEMORY_TOLERANCE)
    worse = peak > bound
    verdict = f"WORSE, {peak / usual - 1:+.1%}" if worse else "ok"
    return Row("pipeline, peak memory", f"{peak:.1f} MB", f"at most {bound:.1f} MB (usual {usual:g})", verdict, worse)


def scheduler_calls() -> float:
    """Calls of Python functions for a ticket: 16 cameras of 25 Hz that are to be served five times a second.

    Ten seconds of virtual time, each ticket back after 10 ms; the same number on any machine.
    """
    from saccade.pipeline.scheduler import Scheduler, Ticket

    scheduler = Scheduler(3, 2)
    names = [f"camera{number}" for number in range(16)]
    for name in names:
        scheduler.add(name, 0.0, rate=5.0)
    calls = tickets = 0
    out: deque[tuple[float, Ticket]] = deque()

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        for step in range(16 * 250):
            now = step / 400
            while out and now - out[0][0] >= 0.01:
                scheduler.give_back(out.popleft()[1], now)
            scheduler.arrive(names[step % 16], now)
            while (ticket := scheduler.take(now)) is not None:
                out.append((now, ticket))
                tickets += 1
            scheduler.wake(now)
    finally:
        sys.setprofile(None)
    return calls / tickets


def calls_row(calls: float, baselines: Mapping[str, float]) -> Row:
    """Calls for a ticket against the baseline of this release of Python."""
    name, release = "scheduler of 16 cameras, calls for a ticket", python_release()
    if release not in baselines:
        return Row(name, f"{calls:.1f}", "", f"reported, no baseline for Python {release}")
    bound = baselines[release] * (1 + CALLS_TOLERANCE)
    worse = calls > bound
    return Row(name, f"{calls:.1f}", f"at most {bound:.1f}", "WORSE" if worse else "ok", worse)


def python_release() -> str:
    """Such as 3.11."""
    return ".".join(platform.python_version_tuple()[:2])


def check_process(baseline: Mapping[str, Any]) -> list[Row]:
    """Part (c)."""
    return [
        import_row(),
        memory_row(peak_memory_mb(), baseline["pipeline_peak_mb"]),
        calls_row(scheduler_calls(), baseline.get("scheduler_calls", {})),
    ]


def update(parts: Collection[str], rounds: int) -> None:
    """Measure anew what the baseline holds of these parts. Entries of other compilers and processors stay."""
    known: dict[str, Any] = json.loads(BASELINE.read_text()) if BASELINE.is_file() else {}
    if "instructions" in parts:
        known.setdefault("instructions", {})[compiler()] = instructions()
    if "ratios" in parts:
        known.setdefault("processors", {})[this_processor()] = update_ratios(measure_kernels, rounds)
    if "process" in parts:
        known["pipeline_peak_mb"] = round(peak_memory_mb())
        known.setdefault("scheduler_calls", {})[python_release()] = round(scheduler_calls(), 1)
    BASELINE.write_text(json.dumps(known, indent=2) + "\n")
    print(f"wrote {BASELINE}: read its diff, and say in the commit why it changed")


PARTS = ("instructions", "ratios", "process")


def main() -> int:
    """Check or update."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write bench/baseline.json instead of checking")
    parser.add_argument("--part", choices=PARTS, help="only this")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of the C sources to count")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    parts = [options.part] if options.part else PARTS
    if options.update:
        update(parts, options.rounds)
        return 0
    baseline = json.loads(BASELINE.read_text())
    checks: dict[str, Callable[[], list[Row]]] = {
        "instructions": lambda: check_instructions(baseline, options.sources),
        "ratios": lambda: check_ratios(baseline, options.rounds),
        "process": lambda: check_process(baseline),
    }
    rows: list[Row] = []
    for part in parts:
        found = checks[part]()
        print(as_table(part, found))
        rows += found
    worse = [row.name for row in rows if row.worse]
    print(f"the gate is shut by {len(worse)} of {len(rows)} rows" if worse else "the gate is open")
    return int(bool(worse))


if __name__ == "__main__":
    raise SystemExit(main())
