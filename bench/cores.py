"""How busy the default keeps all cores: frames a second of a file over what the cores could do.

    python -m bench.cores [--rounds N] [--frames N] [--json FILE] [--check]

The bound is cores / (CPU time of all steps of a frame, alone): decode, preprocess, infer and parse, one after the other
on one thread with nothing else in the process. The run is `saccade run`'s own, with nothing said of threads, streams
and requests; its frames count from the first choice on, start-up apart. A light and a heavy network; the heavy one is
of the corpus (SACCADE_CORPUS). Frames a second need an idle machine; so that a busy one is seen, the detail says how
much CPU time the process got of what there was.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench.corpus import corpus
from bench.figures import Figure, command_line, figure, finish
from bench.pipeline import video
from saccade.apps import open_session
from saccade.capture import Capture, open_source
from saccade.config import RunConfig
from saccade.frame import Frame
from saccade.pipeline.balance import FIRST_FRAMES
from saccade.predict import open_predictor
from saccade.results import Result

NETWORKS = {
    "light (blazeface-full)": "blazeface-full",
    "heavy (face-detection-retail-0004)": "ir/v4/face-detection-retail-0004-FP32/face-detection-retail-0004.xml",
}
BUSY = 0.90
"""Part of the bound that shall be reached."""


def steps_alone(model: str, path: Path, frames: int) -> tuple[float, list[int]]:
    """CPU time of a frame, s: all steps in turn, on one thread; and how much each frame shows, from the first on."""
    found = []
    predictor = open_predictor(model, threads=1, streams=1)
    with Capture(open_source(path), size=predictor.least_size(1920, 1080), lazy=True) as capture:
        start = 0.0
        for index in range(frames + 10):
            if index == 10:
                start = time.process_time()
            frame = capture.latest(10.0)
            assert frame is not None
            found.append(len(predictor(frame).detections or ()))
            frame.release()
        return (time.process_time() - start) / frames, found


class Clock:
    """An output that keeps how much each frame shows; past the first choice when it came, and the CPU time then."""

    def __init__(self) -> None:
        self.found: list[int] = []
        self.times: list[float] = []
        self.cpu: list[float] = []

    def accept(self, frame: Frame, result: Result) -> None:
        """Keep the time."""
        self.found.append(len(result.detections or ()))
        if len(self.found) > 2 * FIRST_FRAMES:
            self.times.append(time.perf_counter())
            self.cpu.append(time.process_time())

    def close(self) -> None:
        """Nothing to do."""


def default_run(model: str, path: Path, frames: int) -> tuple[float, float, str, list[int]]:
    """Frames a second; cores that the process had; what was chosen; how much was found in each frame."""
    clock = Clock()
    config = RunConfig(source=str(path), model=model, frames=frames + 2 * FIRST_FRAMES, track=False)
    session = open_session("detect", config, extra_outputs={"clock": clock})
    session.run()
    seconds = clock.times[-1] - clock.times[0]
    balance = session.pipeline.balance
    chosen = balance.shares if balance else None
    return (len(clock.times) - 1) / seconds, (clock.cpu[-1] - clock.cpu[0]) / seconds, str(chosen), clock.found


def measure(rounds: int, frames: int = 250) -> Iterator[Figure]:
    """A figure for each network."""
    cores, path = len(os.sched_getaffinity(0)), video("demo:")
    for name, file in NETWORKS.items():
        model = str(corpus() / "corpus" / file) if "/" in file else file
        if "/" in file and not Path(model).is_file():
            print(f"no corpus under {corpus()}: set SACCADE_CORPUS to measure the {name} network")
            continue
        ratios, details = [], []
        for _ in range(rounds):
            alone, expected = steps_alone(model, path, 80)
            rate, used, chosen, found = default_run(model, path, frames)
            other = sum(a != b for a, b in zip(expected, found, strict=False))
            assert any(expected), "nothing is found, so that nothing is compared"
            assert other <= 0.02 * len(expected), f"other objects are found in {other} of {len(expected)} frames"
            ratios.append(rate * alone / cores)
            details.append((rate, cores / alone, used))
        rate, bound, used = (statistics.median(column) for column in zip(*details, strict=True))
        detail = f"{rate:.0f} of {bound:.0f} frames/s on {cores} cores, of which the process had {used:.2f}; {chosen}"
        yield figure(f"file, {name}: default over the cores' bound", ratios, BUSY, detail, at_least=True, best=1.0)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--frames", type=int, default=250, help="that count; the film has 300, of which 24 choose")
    options = parser.parse_args()
    return finish(measure(options.rounds, options.frames), options)


if __name__ == "__main__":
    raise SystemExit(main())
