"""The gate against slowdowns, made of figures that do not depend on how busy the machine is.

    python -m bench.gate            check; exits with 1 where something got worse
    python -m bench.gate --update   measure anew and write bench/baseline.json, whose diff a reviewer reads

(a) Instructions that each kernel executes, counted by callgrind, may grow by 3 % over the baseline. The C sources are
built with setup.py's flags into a small program (bench/harness.c). Counts belong to a compiler: with one that has no
baseline, another's counts are held against it with a tolerance of 25 %.
(b) The kernels' speed over their references, taken in turns in one process, may miss its target by 20 %.
(c) `import saccade` takes at most 150 ms and loads no heavy library, and a run of the pipeline needs at most 10 % more
memory than the baseline.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

BASELINE = Path(__file__).with_name("baseline.json")
HARNESS = Path(__file__).with_name("harness.c")
SOURCES = Path(__file__).parents[1] / "ext"

INSTRUCTIONS_TOLERANCE = 0.03
OTHER_COMPILER_TOLERANCE = 0.25
RATIO_TOLERANCE = 0.20
MEMORY_TOLERANCE = 0.10
IMPORT_LIMIT_MS = 150.0
HEAVY = ("cv2", "numba", "openvino", "av", "boto3")

FLAGS = [
    "-O3",
    "-g",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-march=x86-64-v2",
    "-mtune=generic",
]


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
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/counts", str(program)]
        done = subprocess.run(valgrind, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"callgrind failed: {done.stderr.strip().splitlines()[-1]}")
        counts = {}
        for dump in Path(folder).glob("counts.*"):
            text = dump.read_text()
            label = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.MULTILINE)
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
            if label and total:
                counts[label[1]] = int(total[1])
        return dict(sorted(counts.items()))


def worse_counts(counts: Mapping[str, int], baseline: Mapping[str, int], tolerance: float) -> list[str]:
    """A line for each count that grew by more than the tolerance, or that one side lacks."""
    lines = [f"{name}: no baseline; update it" for name in counts.keys() - baseline.keys()]
    here = {name.split()[0] for name in counts}  # variants that this processor runs
    lost = (name for name in baseline.keys() - counts.keys() if name.split()[0] in here)
    lines += [f"{name}: in the baseline, but not counted" for name in lost]
    for name in sorted(counts.keys() & baseline.keys()):
        growth = counts[name] / baseline[name] - 1
        if growth > tolerance:
            lines.append(f"{name}: {counts[name]:,} instructions, {growth:+.1%} over {baseline[name]:,}")
    return lines


def check_instructions(sources: Path = SOURCES) -> list[str]:
    """Part (a): what got worse."""
    baselines: dict[str, dict[str, int]] = json.loads(BASELINE.read_text())["instructions"]
    name, tolerance = compiler(), INSTRUCTIONS_TOLERANCE
    if name not in baselines:
        print(f"no baseline for {name}: held against another compiler's with {OTHER_COMPILER_TOLERANCE:.0%} tolerance")
        name, tolerance = next(iter(baselines)), OTHER_COMPILER_TOLERANCE
    counts = instructions(sources)
    print(f"instructions: {len(counts)} counts against {name}")
    return worse_counts(counts, baselines[name], tolerance)


def check_ratios(rounds: int) -> list[str]:
    """Part (b): kernels that miss their target by more than the tolerance, twice."""
    from bench import kernels

    def missed(figure: kernels.Figure) -> bool:
        bound = figure.target * (1 - RATIO_TOLERANCE if figure.at_least else 1 + RATIO_TOLERANCE)
        return figure.ratio < bound if figure.at_least else figure.ratio > bound

    again = [figure.name for figure in kernels.measure(rounds) if missed(figure)]
    figures = [figure for name in again for figure in kernels.measure(2 * rounds, only=name)]
    return [f"{f.name}: ratio {f.ratio:.2f}, target {f.target:g}" for f in figures if missed(f)]


def import_ms() -> float:
    """Time of `import saccade` in a new interpreter, best of seven, ms; NumPy's own share included."""
    program = (
        "import sys, time; start = time.perf_counter(); import saccade; "
        "print((time.perf_counter() - start) * 1e3, *sys.modules)"
    )
    times = []
    for _ in range(7):
        words = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.split()
        times.append(float(words[0]))
        heavy = sorted(set(HEAVY) & set(words[1:]))
        if heavy:
            raise RuntimeError(f"import saccade loads {', '.join(heavy)}")
    return min(times)


def peak_memory_mb() -> float:
    """Peak anonymous memory of 300 frames of the demo through the face app, MB.

    Pages of mapped libraries do not count: how many of them are resident is the page cache's affair.
    """
    program = """
import re, sys, threading
from saccade.cli import main

peak, done = 0, threading.Event()
def watch():
    global peak
    while not done.wait(0.01):
        status = open("/proc/self/status").read()
        peak = max(peak, int(re.search(r"RssAnon:\\s*(\\d+)", status)[1]))
threading.Thread(target=watch, daemon=True).start()
status = main(["--quiet", "run", "faces", "--source", "demo:", "--frames", "300", "--events", "/dev/null"])
done.set()
print(peak / 1024, file=sys.stderr)
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the pipeline run failed: {done.stderr.strip()}")
    return float(done.stderr.split()[-1])


def check_process() -> list[str]:
    """Part (c): what got worse."""
    lines = []
    took, limit = import_ms(), IMPORT_LIMIT_MS
    print(f"import saccade: {took:.0f} ms")
    if took > limit:
        lines.append(f"import saccade takes {took:.0f} ms; at most {limit:.0f}")
    baseline: float = json.loads(BASELINE.read_text())["pipeline_peak_mb"]
    peak = peak_memory_mb()
    print(f"pipeline: {peak:.0f} MB at its peak")
    if peak > baseline * (1 + MEMORY_TOLERANCE):
        lines.append(f"the pipeline needs {peak:.0f} MB at its peak, {peak / baseline - 1:+.1%} over {baseline:.0f}")
    return lines


def update() -> None:
    """Measure anew what the baseline holds. Counts of other compilers stay."""
    old = json.loads(BASELINE.read_text()) if BASELINE.is_file() else {"instructions": {}}
    old["instructions"][compiler()] = instructions()
    old["pipeline_peak_mb"] = round(peak_memory_mb())
    BASELINE.write_text(json.dumps(old, indent=2) + "\n")
    print(f"wrote {BASELINE}: read its diff, and say in the commit why it changed")


def main() -> int:
    """Check or update."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write bench/baseline.json instead of checking")
    parser.add_argument("--part", choices=["instructions", "ratios", "process"], help="check only this")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="folder of the C sources to count")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.update:
        update()
        return 0
    worse = []
    if options.part in (None, "instructions"):
        worse += check_instructions(options.sources)
    if options.part in (None, "ratios"):
        worse += check_ratios(options.rounds)
    if options.part in (None, "process"):
        worse += check_process()
    for line in worse:
        print(f"worse: {line}")
    print("the gate is shut" if worse else "the gate is open")
    return int(bool(worse))


if __name__ == "__main__":
    raise SystemExit(main())
