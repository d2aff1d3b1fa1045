"""What a frame costs on a processor without AVX, in instructions, counted on an emulated Goldmont-class Atom.

    python -m bench.emulated [--update] [--frames N] [--check]

The way of a frame: decode at the scale that the network needs, preprocess, infer in f32, parse; one thread, frame
after frame, of the demo's 1080p MJPEG. Instructions do not depend on how busy the machine is, nor on its processor. A
case may grow by 3 % over bench/emulated.json, which belongs to the releases of OpenVINO, NumPy and libjpeg-turbo that
made it; `--update` measures it anew. Needs qemu-user with plugins, and a C compiler.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.heads import corpus

BASELINE = Path(__file__).with_suffix(".json")
PLUGIN = Path(__file__).with_suffix(".c")
TOLERANCE = 0.03
MARK = 1999
CPU = (
    "Denverton,-x2apic,-tsc-deadline,-rdseed,-sha-ni,-spec-ctrl,-arch-capabilities,-ssbd,-3dnowprefetch,-xsavec,"
    "-rdctl-no,-skip-l1dfl-vmentry"
)
"""As in .ci/no-avx.sh."""

CASES = {
    "blazeface-full": "blazeface-full",
    "face-detection-retail-0004": "ir/v4/face-detection-retail-0004-FP32/face-detection-retail-0004.xml",
}


def releases() -> str:
    """What a baseline belongs to."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("openvino", "numpy", "simplejpeg"))


def model_file(case: str) -> str | None:
    """The file or name of a case's network; None where the corpus is not there."""
    name = CASES[case]
    if "/" not in name:
        return name
    path = corpus() / "corpus" / name
    return str(path) if path.is_file() else None


def inside(model: str, video: str, frames: int) -> None:
    """On the emulated processor: two frames, which fill caches; a mark, all the others, a mark."""
    from saccade.capture import Capture, open_source
    from saccade.kernels import variant
    from saccade.predict import open_predictor

    assert variant() == "sse42", variant()
    mark = ctypes.CDLL(None).syscall
    predictor = open_predictor(model, precision="f32", threads=1, streams=1)
    with Capture(open_source(video), size=predictor.least_size(1920, 1080), lazy=True) as capture:
        for index in range(frames + 2):
            if index == 2:
                mark(MARK)
            frame = capture.latest(600.0)
            assert frame is not None
            predictor(frame)
            frame.release()
        mark(MARK)


def instructions(model: str, frames: int) -> int:
    """Instructions a frame."""
    from bench.pipeline import video

    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder, "count.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(PLUGIN), "-o", str(plugin)], check=True)
        command = ["qemu-x86_64", "-cpu", CPU, "-plugin", str(plugin), sys.executable, "-m", "bench.emulated"]
        command += ["--inside", model, str(video("demo:")), "--frames", str(frames)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    marks = [int(count) for count in re.findall(r"^instructions: (\d+)$", done.stderr, re.MULTILINE)]
    if done.returncode or len(marks) != 2:
        raise RuntimeError(f"the emulated run failed with {done.returncode}: {done.stderr[-2000:]}")
    return (marks[1] - marks[0]) // frames


def verdict(case: str, count: int, baseline: dict[str, object]) -> tuple[str, bool]:
    """A line for a case, and whether it is worse."""
    counts = baseline.get("instructions", {})
    usual = counts.get(case) if isinstance(counts, dict) else None
    if baseline.get("releases") != releases() or usual is None:
        return f"{case}: {count:,} instructions a frame; no baseline for {releases()}", False
    growth = count / usual - 1
    worse = growth > TOLERANCE
    return f"{case}: {count:,} instructions a frame, {growth:+.1%} {'WORSE' if worse else 'ok'}", worse


def main() -> int:
    """Count, and compare or update."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--inside", nargs=2, metavar=("MODEL", "VIDEO"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(*options.inside, options.frames)
        return 0
    baseline = json.loads(BASELINE.read_text()) if BASELINE.is_file() else {}
    counts, worse = {}, False
    for case in CASES:
        model = model_file(case)
        if model is None:
            print(f"{case}: no corpus under {corpus()}: set SACCADE_CORPUS")
            continue
        counts[case] = instructions(model, options.frames)
        line, bad = verdict(case, counts[case], baseline)
        worse |= bad
        print(line, flush=True)
    if options.update:
        BASELINE.write_text(json.dumps({"releases": releases(), "instructions": counts}, indent=2) + "\n")
    return int(worse and options.check)


if __name__ == "__main__":
    raise SystemExit(main())
