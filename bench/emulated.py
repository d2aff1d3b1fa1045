"""What a frame costs on a processor without AVX, in instructions, counted on an emulated Goldmont-class Atom.

    python -m bench.emulated [--update] [--frames N] [--check]
    python -m bench.emulated --tune MODEL SOURCE [--frames N]

The way of a frame: decode at the scale that the network needs, preprocess, infer in f32, parse; one thread, frame
after frame, of the demo's 1080p MJPEG. Instructions do not depend on how busy the machine is, nor on its processor. A
case may grow by 3 % over bench/emulated.json, which belongs to the releases of OpenVINO, NumPy and libjpeg-turbo that
made it; `--update` measures it anew. Needs qemu-user with plugins, and a C compiler.

`--tune` makes a profile there, as `saccade tune` does, with counted instructions in place of time, and tells which
kernels then run. It is no part of that command: a profile holds for the processor that it was made on, and a device at
hand is measured by the clock.
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
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.corpus import corpus

BASELINE = Path(__file__).with_suffix(".json")
PLUGIN = Path(__file__).with_suffix(".c")
TOLERANCE = 0.03
MARK = 1999
CPU = (
    "Denverton,-x2apic,-tsc-deadline,-rdseed,-sha-ni,-spec-ctrl,-arch-capabilities,-ssbd,-3dnowprefetch,-xsavec,"
    "-rdctl-no,-skip-l1dfl-vmentry"
)
"""As in .ci/no-avx.sh."""

CONVOLUTIONS = {"Convolution", "GroupConvolution", "Deconvolution"}
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
                mark(MARK, 2)
            frame = capture.latest(600.0)
            assert frame is not None
            predictor(frame)
            frame.release()
        mark(MARK, 2)


def counter() -> Callable[[], float]:
    """What tells, on the emulated processor, how many instructions there were so far."""
    reader, writer = os.pipe()
    mark = ctypes.CDLL(None).syscall

    def read() -> float:
        mark(MARK, writer)
        return float(os.read(reader, 64).split()[-1])

    return read


def tune_inside(model: str, source: str, frames: int) -> None:
    """On the emulated processor: tune by counted instructions, and tell what came of it; NNCF runs outside of it."""
    import saccade
    from saccade.capture import open_source
    from saccade.cli import style
    from saccade.tune import report
    from saccade.tune.config import Meter, TuneConfig
    from saccade.tune.tuning import tune

    order = TuneConfig(
        model=model, device="CPU", budget=86400, options={}, most=frames, meter=Meter("instructions", counter())
    )
    outcome = tune(order, open_source(source, realtime=False))
    print(style.table(report.table(outcome.rows), report.HEADER))
    kinds = Counter(primitives(saccade.open(model, device="CPU").network._compiled).values())
    print(f"{outcome.profile.in_words()}; convolutions: {', '.join(f'{n} {kind}' for kind, n in kinds.items())}")


def primitives(compiled: Any) -> dict[str, str]:
    """What computes each convolution of a compiled network, by the layer's name."""
    return {
        layer.friendly_name: layer.get_rt_info()["primitiveType"].astype(str)
        for layer in compiled.get_runtime_model().get_ops()
        if layer.get_rt_info()["layerType"].astype(str) in CONVOLUTIONS
    }


def emulated(arguments: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """This module on the emulated processor, with its instructions counted."""
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder, "count.so")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(PLUGIN), "-o", str(plugin)], check=True)
        command = ["qemu-x86_64", "-cpu", CPU, "-plugin", str(plugin), sys.executable, "-m", "bench.emulated"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"the emulated run failed with {done.returncode}: {done.stderr[-2000:]}")
    return done


def instructions(model: str, frames: int) -> int:
    """Instructions a frame."""
    from bench.pipeline import video

    done = emulated(["--inside", model, str(video("demo:")), "--frames", str(frames)])
    marks = [int(count) for count in re.findall(r"^instructions: (\d+)$", done.stderr, re.MULTILINE)]
    if len(marks) != 2:
        raise RuntimeError(f"the emulated run did not count: {done.stderr[-2000:]}")
    return (marks[1] - marks[0]) // frames


def tuned(model: str, source: str, frames: int) -> str:
    """What a tuning comes to there, in a cache of its own."""
    from saccade.networks import catalogue

    with tempfile.TemporaryDirectory() as cache:
        # The processor that is told of in /proc is the real one, which may have VNNI.
        variables = {"SACCADE_CACHE": cache, "ONEDNN_MAX_CPU_ISA": "AVX2"}
        arguments = ["--tune-inside", str(catalogue.resolve(model)), source, "--frames", str(frames)]
        return emulated(arguments, **variables).stdout


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
    parser.add_argument("--tune", nargs=2, metavar=("MODEL", "SOURCE"))
    parser.add_argument("--tune-inside", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tune_inside:
        tune_inside(*options.tune_inside, options.frames)
        return 0
    if options.tune:
        print(tuned(*options.tune, max(options.frames, 16)), end="")
        return 0
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
