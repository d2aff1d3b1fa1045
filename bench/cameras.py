"""Many cameras in one process: what they cost against a process each, and what bad ones cost the others.

    python -m bench.cameras [--row NAME]... [--rounds N] [--cameras N] [--seconds T] [--json FILE] [--check]

Each row can be run alone:

- single: one camera through the engine against the plain loop, flat out and at 30 Hz.
- processes: demo sources flat out, in one process and in one process each.
- fleet: 16 live cameras of 1080p, MJPEG and H.264, at 5 looks a second each.
- gated: cameras that see something a fifth of the time, gated, against a process each without a gate.
- neighbours: a flood, a hang, garbage and a storm of reconnects beside seven good cameras.
- priority: a camera of weight 10 on a machine that has four times as much to do as it can.
- idle: what one more camera costs that sees nothing.
- day: as many reconnects and changes of size as a bad camera has in a day.

Both sides of a ratio run in turns; a figure is the median over the rounds of the ratio within a round. Frame rates and
ages are those of this machine at that moment: beside other work only the rows of CPU time and memory mean anything.
"""

from __future__ import annotations

import gc
import json
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import gating
from bench.camera_parts import (
    CORES,
    Flood,
    Garbage,
    HangingFaces,
    Seen,
    Site,
    Storm,
    Use,
    demo,
    jain,
    p99,
    pictures_of,
    use,
    video_source,
)  # fmt: skip
from bench.figures import Figure, command_line, figure, finish
from bench.pipeline import MODEL, video
from bench.videos import as_h264, looped
from saccade.apps.faces import Faces
from saccade.capture import Capture, connection, open_source
from saccade.pipeline import Branch, Camera, Engine, Pipeline
from saccade.predict import Predictor, open_predictor

COMMAND = (sys.executable, "-m", "saccade", "run")
FLEET = 16
OVERLOAD = 4.0
"""Of the row of priorities: so many times what the machine can do is wanted of it."""
RATE = 5.0
WARM = 2.0
"""Seconds after the first result that do not count."""
TAIL = 1.0
"""Seconds that a run goes on after those that count: its own begin with its first picture."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. count : cameras of a comparison with processes. seconds : of each run."""

    rounds: int
    count: int = 8
    seconds: float = 8.0
    frames: int = 200


# One camera.


def single(plan: Plan) -> Iterator[Figure]:
    """One camera through the engine, over the plain loop; both must see the same faces."""
    path = video("demo:", plan.frames)
    predictor = open_predictor(MODEL, threads=1)
    rates, costs, ages = [], [], []
    for turn in range(plan.rounds):
        sides = [_plain, _engine] if turn % 2 else [_engine, _plain]
        found = {side: side(video_source(path), predictor) for side in sides}
        assert found[_plain].faces == found[_engine].faces, "the engine sees other faces than the plain loop"
        rates.append(found[_engine].fps / found[_plain].fps)
        costs.append(found[_engine].cpu / found[_plain].cpu)
        paced = {side: side(demo, predictor, seconds=min(plan.seconds, 5)) for side in sides}
        ages.append(statistics.median(paced[_plain].ages) / statistics.median(paced[_engine].ages))
    detail = f"{plan.frames} frames of 1080p MJPEG, {MODEL}"
    yield figure("one camera: the engine's frames a second over the plain loop's", rates, 0.98, at_least=True,
                 detail=detail)  # fmt: skip
    yield figure("one camera: the engine's CPU time a frame over the plain loop's", costs, 1 / 0.98, at_least=False,
                 detail=detail)  # fmt: skip
    yield figure("one camera at 30 Hz: the plain loop's median age over the engine's", ages, 0.98, at_least=True,
                 detail="age of a result, demo source")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """A run of one camera. cpu : of the process, a frame, s."""

    fps: float
    cpu: float
    faces: list[int]
    ages: list[float]


def _plain(source: Callable[[], Any], predictor: Predictor, seconds: float | None = None) -> Look:
    seen = Seen()
    pipeline = Pipeline(Capture(source()), Faces(predictor), [seen])
    cpu = time.process_time()
    figures = pipeline.run(seconds=seconds)
    return Look(figures.fps, (time.process_time() - cpu) / figures.frames, seen.faces, seen.ages)


def _engine(source: Callable[[], Any], predictor: Predictor, seconds: float | None = None) -> Look:
    seen = Seen()
    branch = Branch(Faces(predictor), [seen])
    engine = Engine([Camera(name="one", open=lambda: Capture(source(), lazy=True), branches=[branch])])
    cpu = time.process_time()
    figures = engine.run(seconds=seconds)
    return Look(figures.fps, (time.process_time() - cpu) / figures.frames, seen.faces, seen.ages)


# Many cameras against as many processes.


@dataclass(frozen=True, slots=True)
class Run:
    """frames : a second, of each camera. p99 : age of a result, the worst of all cameras, ms. memory : PSS, MB.
    cpu : of all processes a frame, ms, without their start.
    """

    frames: list[float]
    p99: float
    memory: float
    cpu: float


def processes(plan: Plan) -> Iterator[Figure]:
    """All demo sources in one process, over one process each."""
    ours: list[Run] = []
    theirs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(plan.rounds):
            sides = [(one_process, ours), (own_processes, theirs)]
            for side, runs in sides if turn % 2 else reversed(sides):
                runs.append(side(plan.count, plan.seconds, Path(folder)))
    pairs = list(zip(ours, theirs, strict=True))
    detail = f"{plan.count} demo sources flat out, {CORES} cores"
    yield figure("cameras in one process: frames over those of a process each",
                 [sum(a.frames) / sum(b.frames) for a, b in pairs], 1.0, at_least=True,
                 detail=f"{detail}: {statistics.median(sum(a.frames) for a in ours):.0f} frames/s in all")  # fmt: skip
    yield figure("cameras in one process: CPU time a frame over that of a process each",
                 [a.cpu / b.cpu for a, b in pairs], 1.0, at_least=False,
                 detail=f"{detail}: {statistics.median(a.cpu for a in ours):.2f} ms")  # fmt: skip
    yield figure("cameras in one process: p99 age over that of a process each", [a.p99 / b.p99 for a, b in pairs],
                 0.5, at_least=False, detail=f"{detail}: {statistics.median(a.p99 for a in ours):.0f} ms")  # fmt: skip
    yield figure("cameras in one process: memory over that of a process each",
                 [a.memory / b.memory for a, b in pairs], 0.35, at_least=False,
                 detail=f"{detail}: {statistics.median(a.memory for a in ours):.0f} MB")  # fmt: skip
    yield figure("cameras in one process: Jain's index of their rates", [jain(a.frames) for a in ours], 0.99,
                 at_least=True, detail=detail)  # fmt: skip


def one_process(count: int, seconds: float, folder: Path) -> Run:
    """All cameras in one process."""
    file = folder / "cameras.toml"
    tables = "".join(f'[[camera]]\nname = "c{i}"\nsource = "demo:"\n' for i in range(count))
    file.write_text(f'[defaults]\napp = "faces"\nmodel = "{MODEL}"\n{tables}')
    (summary,), memory, cpu = _measured([[*COMMAND, "--config", str(file)]], seconds, folder)
    cameras = summary["cameras"].values()
    for camera in cameras:
        pictures = dict(camera["pictures"])
        assert pictures.pop("arrived") == sum(pictures.values()), "a picture is not accounted for"
    frames = [camera["frames"] / seconds for camera in cameras]
    return Run(frames, max(c["age_ms"]["p99"] for c in cameras), memory, 1000 * cpu / sum(frames))


def own_processes(count: int, seconds: float, folder: Path) -> Run:
    """A process for each camera."""
    command = [*COMMAND, "faces", "--source", "demo:", "--model", MODEL]
    summaries, memory, cpu = _measured([command] * count, seconds, folder)
    frames = [summary["frames"] / seconds for summary in summaries]
    return Run(frames, max(s["age_ms"]["p99"] for s in summaries), memory, 1000 * cpu / sum(frames))


def _measured(
    commands: Sequence[Sequence[str]], seconds: float, folder: Path
) -> tuple[list[dict[str, Any]], float, float]:
    """The summaries of commands that run side by side, what they take of memory at most, MB, and how much of cores.

    The start of a process is left out: cores are those of the last half of the run.
    """
    files = [folder / f"{number}.json" for number in range(len(commands))]
    runs = [
        subprocess.Popen(
            [*command, "--seconds", str(seconds), "--summary", str(file)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for command, file in zip(commands, files, strict=True)
    ]  # fmt: skip
    samples: list[tuple[float, list[Use]]] = []
    try:
        while any(run.poll() is None for run in runs):
            samples.append((time.monotonic(), [use(run.pid) for run in runs]))
            time.sleep(0.25)
    finally:
        for run in runs:
            if run.poll() is None:
                run.send_signal(signal.SIGTERM)
            run.wait()
    memory = max(sum(each.memory for each in uses) for _, uses in samples)
    whole = [(when, uses) for when, uses in samples if all(each.memory for each in uses)]
    late = [(when, uses) for when, uses in whole if when >= whole[-1][0] - seconds / 2]
    used = sum(each.cpu for each in late[-1][1]) - sum(each.cpu for each in late[0][1])
    return [json.loads(file.read_text()) for file in files], memory, used / (late[-1][0] - late[0][0])


# A fleet at its rate.


def fleet(plan: Plan) -> Iterator[Figure]:
    """16 live cameras at 5 looks a second, whose scenes move all the time."""
    seconds = max(plan.seconds, 12.0)
    with tempfile.TemporaryDirectory() as folder:
        scene = as_h264(video("demo:", 300), Path(folder, "scene.mp4"), (1920, 1080), preset="superfast", crf="26",
                        g="50", bf="0")  # fmt: skip
        file = looped(scene, int(seconds / 10) + 2)
        for kind, source in (("MJPEG", demo), ("H.264", video_source(file, realtime=True))):
            site = Site()
            cameras = [site.camera(f"c{i}", source, rate=RATE, gate="motion") for i in range(FLEET)]
            engine = Engine(cameras)
            site.count(WARM, seconds)
            start, began = use(), time.monotonic()
            figures = engine.run(seconds=seconds + WARM + TAIL)
            cores = (use().cpu - start.cpu) / (time.monotonic() - began)
            for camera in figures.cameras.values():
                pictures = dict(camera.run.pictures)
                assert pictures.pop("arrived") == sum(pictures.values()), "a picture is not accounted for"
                assert pictures["served"] > 0.9 * camera.run.frames, "a scene that moves is looked at"
            rates = [len(seen.ages) / seconds for seen in site.seen.values()]
            age = 1000 * p99([age for seen in site.seen.values() for age in seen.ages])
            name = f"{FLEET} x 1080p {kind} at {RATE:g} fps, gated"
            detail = f"{sum(rates) / FLEET:.2f} fps on average, {cores:.2f} of {CORES} cores"
            off = max(abs(rate / RATE - 1) for rate in rates)
            yield figure(f"{name}: largest deviation of a rate", [off], 0.02, at_least=False, detail=detail)
            yield figure(f"{name}: Jain's index", [jain(rates)], 0.99, at_least=True, detail=detail)
            yield figure(f"{name}: p99 age over two periods", [age / 1000 * RATE / 2], 1.0, at_least=False,
                         detail=f"{age:.0f} ms")  # fmt: skip


# Gated against processes.


def gated(plan: Plan) -> Iterator[Figure]:
    """CPU time for the same videos: cameras with a gate in one process, and a plain loop each; no clock has a say."""
    clips = (
        gating.Clip("MJPEG at 10 Hz", "mjpeg", 10, 3.0, 160, 0.5, ".avi", active=gating.FIFTH),
        gating.Clip("H.264 at 25 Hz", "libx264", 25, 2.0, 160, 0.5, active=gating.FIFTH),
    )
    count = 4
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            path = gating.encode(clip, Path(folder) / f"clip{clip.suffix}")
            ratios, parts = [], []
            for _ in range(plan.rounds):
                whole = _plain(video_source(path), open_predictor(MODEL, threads=1))
                site = Site()
                engine = Engine([site.camera(f"c{i}", video_source(path), gate="motion") for i in range(count)])
                cpu = time.process_time()
                engine.run()
                cpu = (time.process_time() - cpu) / count
                ratios.append(cpu / (whole.cpu * len(whole.faces)))
                parts.append(statistics.mean(len(seen.faces) for seen in site.seen.values()) / len(whole.faces))
                assert all(gating.recall(clip, seen.times) == 1 for seen in site.seen.values()), "motion was missed"
            detail = f"{count} cameras of 1080p; {statistics.median(parts):.0%} of the pictures served"
            yield figure(f"gated, a fifth active, {clip.name}: CPU time over a process each", ratios, 0.5,
                         at_least=False, detail=detail)  # fmt: skip


# Bad neighbours.


def neighbours(plan: Plan) -> Iterator[Figure]:
    """Seven good cameras at 5 looks a second, alone and beside a bad one."""
    pictures = list(pictures_of(video("demo:", 300), 20))
    with tempfile.TemporaryDirectory() as folder:
        small, large = _two_sizes(Path(folder))
        bad: dict[str, Callable[[], Any]] = {
            "flood": partial(Flood, pictures),
            "hang": demo,
            "garbage": partial(Garbage, pictures),
            "reconnect storm": partial(Storm, [video_source(small), video_source(large)], pause=0.03),
        }
        for name, source in bad.items():
            rates, ages, growths = [], [], []
            for _ in range(plan.rounds):
                alone, beside = _good(plan, None, demo), _good(plan, name, source)
                rates.append(min(b / a for a, b in zip(alone.rates, beside.rates, strict=True)))
                ages.append(beside.p99 / alone.p99)
                growths.append(beside.growth)
            yield figure(f"7 good cameras beside a {name}: the least of their rates over that alone", rates, 0.95,
                         at_least=True, detail=f"{RATE:g} fps each")  # fmt: skip
            yield figure(f"7 good cameras beside a {name}: their p99 age over that alone", ages, 1.2, at_least=False,
                         detail=f"{1000 * beside.p99:.0f} ms, alone {1000 * alone.p99:.0f}")  # fmt: skip
            yield figure(f"7 good cameras beside a {name}: memory at the end over that after a third", growths, 1.05,
                         at_least=False, detail="PSS")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Good:
    """rates : of the good cameras, Hz. p99 : of their ages, s. growth : of memory."""

    rates: list[float]
    p99: float
    growth: float


def _good(plan: Plan, bad: str | None, source: Callable[[], Any]) -> Good:
    site = Site()
    cameras = [site.camera(f"c{i}", demo, rate=RATE) for i in range(7)]
    hanging: list[HangingFaces] = []

    def app(predictor: Predictor) -> Faces:
        hanging.append(HangingFaces(predictor))
        return hanging[-1]

    if bad is not None:
        cameras.append(site.camera("bad", source, app if bad == "hang" else Faces))
    engine = Engine(cameras)
    seconds = plan.seconds + WARM + TAIL
    site.count(WARM, plan.seconds)
    uses: list[float] = []
    with _watching(seconds / 3, lambda: uses.append(use().memory)):
        engine.run(seconds=seconds)
        uses.append(use().memory)
    for each in hanging:
        each.let_go.set()
    site.check(but="bad")
    good = [site.seen[f"c{i}"] for i in range(7)]
    return Good([len(seen.ages) / plan.seconds for seen in good], p99([a for s in good for a in s.ages]),
                uses[-1] / uses[0])  # fmt: skip


@contextmanager
def _watching(seconds: float, look: Callable[[], None]) -> Iterator[None]:
    """Calls `look` once, after so long."""
    timer = threading.Timer(seconds, look)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _two_sizes(folder: Path) -> Iterator[Path]:
    """A second of H.264 in two sizes."""
    for size in ((640, 360), (1280, 720)):
        yield as_h264(video("demo:", 300), folder / f"{size[0]}.mp4", size, 25, preset="ultrafast")


# Priority.


def priority(plan: Plan) -> Iterator[Figure]:
    """A camera of weight 10 at 5 looks a second, alone and among some of 2688x1520 that want `OVERLOAD` times what the
    machine can do, as measured just before.
    """
    plan = replace(plan, seconds=max(plan.seconds, 16.0))
    big = partial(open_source, "demo:4mp")
    drawn = big()
    drawn.open()  # once, before all cameras would draw the loop at a time
    drawn.close()
    ratios, rates, others, wanted = [], [], [], []
    for _ in range(plan.rounds):
        capacity = _looks(0, 8, big, 30.0, 4.0).fps
        count = math.ceil((OVERLOAD * capacity - RATE) / 25)
        each = (OVERLOAD * capacity - RATE) / count
        alone = _looks(1, 0, big, each, plan.seconds)
        among = _looks(1, count, big, each, plan.seconds)
        ratios.append(p99(among.ages) / p99(alone.ages))
        rates.append(len(among.ages) / plan.seconds / RATE)
        others.append((among.fps - RATE) / capacity)
        wanted.append(count * each + RATE)
    detail = (
        f"{count} others want {statistics.median(wanted):.0f} looks/s with it, {OVERLOAD:g} times what {CORES} cores "
        f"can do; {1000 * p99(among.ages):.1f} ms, alone {1000 * p99(alone.ages):.1f}; median "
        f"{1000 * statistics.median(among.ages):.1f}, alone {1000 * statistics.median(alone.ages):.1f}; the others get "
        f"{statistics.median(others):.0%} of what they would have without it"
    )
    yield figure("priority of 10 under overload: p99 age over that alone", ratios, 1.1, at_least=False, detail=detail)
    yield figure("priority of 10 under overload: its rate over that wished", rates, 0.98, at_least=True, detail=detail)


@dataclass(frozen=True, slots=True)
class Looks:
    """fps : of all cameras. ages : of the first camera's results, s."""

    fps: float
    ages: list[float]


def _looks(firsts: int, others: int, source: Callable[[], Any], rate: float, seconds: float) -> Looks:
    """Cameras of weight 10 at 1080p, and others that want so many looks a second each."""
    site = Site()
    cameras = [site.camera(f"first{i}", demo, rate=RATE, weight=10) for i in range(firsts)]
    cameras += [site.camera(f"c{i}", source, rate=rate) for i in range(others)]
    engine = Engine(cameras)
    site.count(WARM, seconds)
    engine.run(seconds=seconds + WARM + TAIL)
    site.check()
    return Looks(sum(len(seen.ages) for seen in site.seen.values()) / seconds,
                 site.seen["first0"].ages if firsts else [])  # fmt: skip


# One more.


def idle(plan: Plan) -> Iterator[Figure]:
    """What four more cameras take that see a still scene, each."""
    more, warm, seconds = 4, 5.0, max(plan.seconds, 10.0)
    with tempfile.TemporaryDirectory() as folder:
        for clip in (
            gating.Clip("MJPEG at 10 Hz", "mjpeg", 10, 3.0, 160, 0, ".avi", seconds=10, active=()),
            gating.Clip("H.264 at 25 Hz", "libx264", 25, 2.0, 160, 0, seconds=10, active=()),
        ):
            short = gating.encode(clip, Path(folder) / f"clip{clip.suffix}")
            source = video_source(looped(short, 1 + int(2 * (warm + seconds) / 10) + 1), realtime=True)
            site = Site()
            engine = Engine([site.camera(f"c{i}", source, rate=RATE, gate="motion") for i in range(2)], lasting=True)
            run = threading.Thread(target=engine.run)
            run.start()
            try:
                used = []
                for extra in (0, more):
                    for i in range(extra):
                        engine.add(site.camera(f"more{i}", source, rate=RATE, gate="motion"))
                    time.sleep(warm)
                    gc.collect()
                    before = use()
                    time.sleep(seconds)
                    after = use()
                    used.append(((after.cpu - before.cpu) / seconds, after.memory))
                stills = [camera.run.pictures.get("still", 0) for camera in engine.statistics().cameras.values()]
                assert all(stills), "the gate found nothing still"
            finally:
                engine.stop()
                run.join()
            (cpu, memory), (cpu_more, memory_more) = used
            yield figure(f"one more idle camera, 1080p {clip.name}: memory, MB", [(memory_more - memory) / more], 12.0,
                         at_least=False, detail=f"PSS, {memory_more:.0f} MB with {more + 2} cameras")  # fmt: skip
            yield figure(f"one more idle camera, 1080p {clip.name}: part of a core", [(cpu_more - cpu) / more], 0.02,
                         at_least=False, detail=f"{cpu_more:.3f} cores with {more + 2} cameras")  # fmt: skip


# A day of trouble.


def day(plan: Plan) -> Iterator[Figure]:
    """As many reconnects and changes of size as a camera has in a day that breaks off each minute, without pauses."""
    wanted = 24 * 60
    pictures = list(pictures_of(video("demo:", 300), 20))
    storms: dict[str, Storm] = {}
    pauses = connection.FIRST_PAUSE, connection.LONGEST_PAUSE
    connection.FIRST_PAUSE = connection.LONGEST_PAUSE = 0.001
    try:
        with tempfile.TemporaryDirectory() as folder:
            small, large = _two_sizes(Path(folder))
            storms["H.264"] = Storm([video_source(small), video_source(large)])
            storms["MJPEG"] = Storm([partial(Flood, pictures), video_source(small)])
            site = Site()
            engine = Engine([site.camera(name, partial(lambda s: s, storm)) for name, storm in storms.items()])
            run = threading.Thread(target=engine.run)
            run.start()
            try:
                first = _after(storms, wanted // 5, run)
                last = _after(storms, wanted, run)
                figures = engine.statistics()
            finally:
                engine.stop()
                run.join()
    finally:
        connection.FIRST_PAUSE, connection.LONGEST_PAUSE = pauses
    for name, camera in figures.cameras.items():
        assert camera.run.reconnects >= wanted * 0.9, f"{name}: {camera.run.reconnects} reconnects"
        assert camera.run.frames > wanted, f"{name}: {camera.run.frames} frames"
    detail = f"{sum(storm.opened for storm in storms.values())} reconnects, with another size each time"
    yield figure("a day of reconnects: memory over that after a fifth of it", [last.memory / first.memory], 1.05,
                 at_least=False, detail=f"{detail}: {last.memory:.0f} MB")  # fmt: skip
    yield figure("a day of reconnects: threads more", [float(last.threads - first.threads)], 0, at_least=False,
                 detail=f"{detail}: {last.threads}")  # fmt: skip
    yield figure("a day of reconnects: descriptors more", [float(last.files - first.files)], 0, at_least=False,
                 detail=f"{detail}: {last.files}")  # fmt: skip


def _after(storms: dict[str, Storm], count: int, run: threading.Thread) -> Use:
    """What the process has when each has been opened so often."""
    while min(storm.opened for storm in storms.values()) < count:
        assert run.is_alive(), "the run has ended"
        time.sleep(0.05)
    gc.collect()
    # A descriptor may be open at the moment: the least of several looks is what lasts.
    looks = [use() for _ in range(20) if not time.sleep(0.02)]
    return Use(looks[-1].cpu, min(x.memory for x in looks), min(x.threads for x in looks), min(x.files for x in looks))


ROWS: dict[str, Callable[[Plan], Iterator[Figure]]] = {
    "single": single,
    "processes": processes,
    "fleet": fleet,
    "gated": gated,
    "neighbours": neighbours,
    "priority": priority,
    "idle": idle,
    "day": day,
}


def measure(rounds: int, *, rows: Sequence[str] = tuple(ROWS), plan: Plan | None = None) -> Iterator[Figure]:
    """Figures of these rows."""
    for name in rows:
        yield from ROWS[name](plan or Plan(rounds))


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--row", action="append", choices=tuple(ROWS), help="only this one; may be given again")
    parser.add_argument("--cameras", type=int, default=8, help="of the comparison with processes")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    options = parser.parse_args()
    plan = Plan(options.rounds, options.cameras, options.seconds)
    return finish(measure(options.rounds, rows=options.row or tuple(ROWS), plan=plan), options)


if __name__ == "__main__":
    raise SystemExit(main())
