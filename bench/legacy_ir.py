"""Old artifacts on saccade against Intel's original engine 2020.3, and against the same network as current IR.

    python -m bench.legacy_ir [MODEL.xml ...] [--rounds N] [--json FILE] [--check]

All sides take turns in one process with as many threads each; differences of results stand beside the speed. Without
models, those of the corpus of old models (SACCADE_CORPUS) that have weights are taken. The original engine comes from
a PyPI wheel (`bench.original_engine`); where it does not run, only current IR is compared.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from bench.corpus import corpus
from bench.figures import Figure, command_line, figure, finish
from bench.original_engine import OriginalNet, available, fetch
from saccade.formats.convert import convert
from saccade.networks import Model

THREADS = os.cpu_count() or 1
BIG = 174_000_000  # bytes of weights
SPEED, LOAD, MEMORY, ORIGINAL = 1.02, 2.0, 2.2, 0.95
APART, APART_CONVERTED = 1e-4, 1e-2
"""Most that results may differ from the original engine's, and from those of weights that were rounded to f16."""

Arrays = Mapping[str, np.ndarray]


def artifacts() -> list[Path]:
    """Old models with weights in the corpus."""
    found = sorted((corpus() / "corpus" / "ir").glob("v[2-7]/*/*.xml"))
    return [path for path in found if path.with_suffix(".bin").is_file() and "INT8" not in path.parent.name]


def picture(shape: tuple[int, ...]) -> np.ndarray:
    """Smooth values of the range of pixels, the same every time."""
    rng = np.random.default_rng(0)
    if len(shape) != 4:
        return np.ones(shape, np.float32)
    n, c, h, w = shape
    small = rng.uniform(0, 255, (n, c, h // 8 + 2, w // 8 + 2))
    rows, columns = np.arange(h) // 8, np.arange(w) // 8
    return small[:, :, rows][:, :, :, columns].astype(np.float32)


def difference(found: Arrays, expected: Arrays) -> float:
    """Largest difference of all outputs, relative to each output's largest value; of detections, of the best."""
    worst = 0.0
    for name, values in expected.items():
        a, b = np.asarray(found[name], np.float64).ravel(), np.asarray(values, np.float64).ravel()
        if values.ndim == 4 and values.shape[-1] == 7:
            a, b = best_rows(a), best_rows(b)
        worst = max(worst, float(np.abs(a - b).max(initial=0) / max(1e-30, np.abs(b).max(initial=0))))
    return worst


def best_rows(values: np.ndarray, count: int = 20) -> np.ndarray:
    """The rows of those detections that score highest, in an order that near ties do not change.

    A made-up picture shows nothing: all scores are low, and every row that is listed counts.
    """
    rows = values.reshape(-1, 7)
    best = rows[np.argsort(-rows[:, 2], kind="stable")[:count]]
    if not best[:, 2].max(initial=0) > 0:
        raise AssertionError("no detection is listed, so that nothing is compared")
    return np.sort(best, axis=0).ravel()


def take_turns(
    sides: Mapping[str, Callable[[], object]],
    rounds: int,
    seconds: float = 0.4,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time of a call of each side in each round, s: the lower quartile of its calls, which alternate with the others'.

    Kernels of both sides are the same, and what other programs take goes into the upper half.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    shuffle = random.Random(0)
    for run in sides.values():
        run()
    for _ in range(rounds):
        calls: dict[str, list[float]] = {name: [] for name in sides}
        start = time.perf_counter()
        while time.perf_counter() - start < seconds * len(sides) or len(next(iter(calls.values()))) < 5:
            for name, run in shuffle.sample(list(sides.items()), len(sides)):  # who comes after whom has an effect
                began = clock()
                run()
                calls[name].append(clock() - began)
        for name, values in calls.items():
            times[name].append(sorted(values)[len(values) // 4])
    return times


def compare(path: Path, rounds: int) -> list[Figure]:
    """Speed, load time and results of one artifact."""
    with tempfile.TemporaryDirectory() as folder:
        converted_path = convert(path, folder, "f16")
        models = {
            "f32": Model(path, precision="f32", threads=THREADS),
            "auto": Model(path, threads=THREADS),
            "converted": Model(converted_path, precision="f32", threads=THREADS),
        }
        feeds = {port.name: picture(tuple(port.shape)) for port in models["f32"].inputs}
        results: dict[str, Arrays] = {name: model.infer(feeds) for name, model in models.items()}
        sides: dict[str, Callable[[], object]] = {}
        for name, model in models.items():
            request = model.request()
            for port, values in feeds.items():
                request.inputs[port][:] = values
            sides[name] = request.infer
        if available():
            original = OriginalNet(path, threads=THREADS)
            results["original"] = original.infer(feeds)
            sides["original"] = original.run
        times = take_turns(sides, rounds)
        loads = take_turns(
            {
                "legacy": lambda: Model(path, precision="f32", threads=THREADS),
                "converted": lambda: Model(converted_path, precision="f32", threads=THREADS),
            },
            rounds,
            0.2,
        )

    def ratios(a: str, b: str) -> list[float]:
        return [x / y for x, y in zip(times[a], times[b], strict=True)]

    def best(name: str, of: dict[str, list[float]] = times) -> str:
        return f"{min(of[name]) * 1e3:.1f} ms"

    label, apart = path.parent.name, difference(results["f32"], results["converted"])
    if apart > APART_CONVERTED:
        raise AssertionError(f"{label}: results differ from the converted network's by {apart:.1e}")
    figures = [
        figure(
            f"{label}: time of f32 over current IR",
            ratios("f32", "converted"),
            SPEED,
            f"{best('f32')} against {best('converted')}; results differ by {apart:.0e}",
        ),
        figure(
            f"{label}: load over current IR",
            [a / b for a, b in zip(loads["legacy"], loads["converted"], strict=True)],
            LOAD,
            f"{best('legacy', loads)} against {best('converted', loads)}",
        ),
    ]
    if "original" in times:
        for name in ("f32", "auto"):
            gap = difference(results[name], results["original"])
            if name == "f32" and gap > APART:
                raise AssertionError(f"{label}: results differ from the original engine's by {gap:.1e}")
            precision = models[name].precision
            figures.append(
                figure(
                    f"{label}: speed of {name} ({precision}) over the original engine",
                    ratios("original", name),
                    ORIGINAL,
                    f"{best(name)} against {best('original')}; results differ by {gap:.0e}",
                    at_least=True,
                )
            )
    return figures


def big_model(folder: Path, half: bool) -> Path:
    """Write a chain of 3x3 convolutions with BIG bytes of weights."""
    size = 512 * 512 * 9 * (2 if half else 4)
    dims = "<dim>1</dim><dim>512</dim><dim>14</dim><dim>14</dim>"
    precision = "FP16" if half else "FP32"
    data = f'<output><port id="0">{dims}</port></output>'
    layers = [f'<layer id="0" name="data" type="Input" precision="{precision}">{data}</layer>']
    edges = []
    weights = np.random.default_rng(0).normal(0, 0.015, 512 * 512 * 9).astype(np.float16 if half else np.float32)
    with (folder / "big.bin").open("wb") as file:
        for i in range(1, BIG // size + 1):
            file.write(np.roll(weights, i).tobytes())
            layers.append(
                f'<layer id="{i}" name="conv{i}" type="Convolution" precision="{precision}"><data kernel="3,3" '
                f'strides="1,1" pads_begin="1,1" pads_end="1,1" dilations="1,1" group="1" output="512"/><input>'
                f'<port id="0">{dims}</port></input><output><port id="1">{dims}</port></output><blobs>'
                f'<weights offset="{(i - 1) * size}" size="{size}"/></blobs></layer>'
            )
            edges.append(f'<edge from-layer="{i - 1}" from-port="{min(1, i - 1)}" to-layer="{i}" to-port="0"/>')
    path = folder / "big.xml"
    path.write_text(
        f'<net name="big" version="3" batch="1"><layers>{"".join(layers)}</layers><edges>{"".join(edges)}</edges></net>'
    )
    return path


_MEASURE = """
import sys, threading, time
import openvino as ov
from saccade.networks import Model
def memory():
    rows = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(rows["RssAnon"].split()[0]) * 1024
base, peak, going = memory(), [0], [True]
def watch():
    while going[0]:
        peak[0] = max(peak[0], memory())
        time.sleep(0.002)
watcher = threading.Thread(target=watch)
watcher.start()
model = Model(sys.argv[1], precision=sys.argv[2])
going[0] = False
watcher.join()
print(max(peak[0], memory()) - base)
"""


def memory(half: bool, precision: str) -> Figure:
    """Peak of anonymous memory while a big artifact loads, over its weights; the file's own pages are not counted."""
    with tempfile.TemporaryDirectory() as folder:
        path = big_model(Path(folder), half)
        output = subprocess.run(
            [sys.executable, "-c", _MEASURE, str(path), precision], check=True, capture_output=True, text=True
        ).stdout
        ratio = int(output) / path.with_suffix(".bin").stat().st_size
    name = f"memory to load {BIG // 1_000_000} MB of {'FP16' if half else 'FP32'} for {precision}, over its weights"
    return figure(name, [ratio], MEMORY, f"{int(output) / 1e6:.0f} MB")


def measure(rounds: int, paths: list[Path] | None = None) -> Iterator[Figure]:
    """All figures of this suite."""
    try:
        fetch()
    except (OSError, subprocess.CalledProcessError, StopIteration) as error:
        print(f"the original engine cannot be had ({error}); comparing with current IR only")
    for path in artifacts() if paths is None else paths:
        yield from compare(path, rounds)
    for half, precision in ((True, "f32"), (True, "auto"), (False, "f32")):
        yield memory(half, precision)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__, rounds=5)
    parser.add_argument("models", nargs="*", type=Path)
    options = parser.parse_args()
    return finish(measure(options.rounds, paths=options.models or None), options)


if __name__ == "__main__":
    raise SystemExit(main())
