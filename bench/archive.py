"""Archives: against Ray's obvious pipeline, over more workers, on long videos, and through a hundred kills.

    python -m bench.archive [--rounds N] [--films N] [--kills N] [--keys N] [--only NAME] [--json FILE] [--check]

The comparison with `ray.data.read_videos` + `map_batches` needs Ray and decord, the kills need moto; what is not
installed is left out and said. Each run is a process of its own, as people start it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.boxes import iou
from bench.figures import Figure, command_line, figure, finish
from bench.memory import PEAK
from bench.spool import s3_at
from bench.videos import looped

MODEL = "blazeface-full"
RATE = 5
SECONDS, FILES = 20, 48
"""Of a film, and films: tasks of a minute are to be many, or the last ones leave workers without one."""
LONG_HOURS = 24


def film(path: Path, seconds: int, *, height: int = 1080, group: int = 50) -> None:
    """H.264 of 25 frames a second as cameras send it: somebody who moves over a noisy field.

    group : frames from one key frame to the next.
    """
    import av
    import cv2
    import numpy as np

    from saccade.networks import catalogue

    width, size = height * 16 // 9, height * 9 // 10 // 2 * 2
    y, x = np.mgrid[:height, :width]
    field = np.stack([x * 90 // width, y * 90 // height, (x + y) * 90 // (width + height)], -1).astype(np.uint8) + 60
    noise = np.random.default_rng(0).integers(0, 12, (height, width, 3), np.uint8)
    person = cv2.resize(cv2.imread(str(catalogue.pull("demo-astronaut")[0])), (size, size))
    with av.open(str(path), "w") as container:
        options = {"g": str(group), "keyint_min": str(group), "bf": "0", "preset": "veryfast", "sc_threshold": "0"}
        stream: Any = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = width, height, "yuv420p", Fraction(1, 25)
        for index in range(seconds * 25):
            picture = field + np.roll(noise, index * 37, axis=1)
            left = round(abs(index * height / 250 % (2 * (width - size)) - (width - size)))
            picture[height - size :, left : left + size] = person
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


class Usage:
    """CPU time and memory of a command and of all that it starts, by looking now and then: looking costs, too.

    cpu : s, by process. peak : most resident memory, bytes, by process. own : most of it that belongs to no file; the
    rest are pages of libraries, which processes share. workers : processes of the pool.
    others : s of the cores that the rest of the machine took meanwhile, also beneath a virtual machine. seconds : by
    the clock, from the command to its end.
    """

    def __init__(self) -> None:
        self.seconds = -time.monotonic()
        self.cpu: dict[int, float] = {}
        self.peak: dict[int, int] = {}
        self.own: dict[int, int] = {}
        self.workers: set[int] = set()
        self.others = -_busy()

    def look(self, root: int) -> None:
        """Note how things stand."""
        for number in _with_descendants(root):
            with contextlib.suppress(OSError, KeyError, IndexError):
                folder = Path(f"/proc/{number}")
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
                self.peak[number] = int(lines["VmHWM"].split()[0]) * 1024
                self.own[number] = max(self.own.get(number, 0), int(lines["RssAnon"].split()[0]) * 1024)
                self.cpu[number] = (int(fields[11]) + int(fields[12])) / _TICKS
                if b"saccade.archive.worker" in (folder / "cmdline").read_bytes():
                    self.workers.add(number)

    def end(self) -> None:
        """The command is over."""
        self.seconds += time.monotonic()
        self.others += _busy() - self.total

    @property
    def total(self) -> float:
        """CPU time of all, s."""
        return sum(self.cpu.values())

    @property
    def longest_way(self) -> float:
        """CPU time of the driver, which works before and after, and of the worker with most to do, s."""
        return sum(self.cpu.values()) - sum(self.cpu[w] for w in self.workers) + max(self.cpu[w] for w in self.workers)


_TICKS = os.sysconf("SC_CLK_TCK")


def _busy() -> float:
    """What all cores have worked since the machine began, s, and what a machine below has kept from them."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def _with_descendants(root: int) -> Iterator[int]:
    """A process and all below it. To ask each thread for its children costs far less than to ask all for parents."""
    yield root
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{root}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _with_descendants(int(child))


def watched(command: list[str]) -> tuple[str, Usage]:
    """What a command prints, and what it took."""
    usage = Usage()
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=told, stderr=said)
        while process.poll() is None:
            usage.look(process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        usage.end()
        told.seek(0)
        said.seek(0)
        if process.returncode:
            raise RuntimeError(said.read()[-2000:])
        return told.read(), usage


def archive(*words: object) -> tuple[dict[str, Any], Usage]:
    """One command; its report and what it took."""
    told, usage = watched([sys.executable, "-m", "saccade", "-q", "archive", *map(str, words), "--json"])
    return json.loads(told), usage


def ours(manifest: Path, out: Path, workers: int, *more: str) -> tuple[dict[str, Any], Usage]:
    """A run."""
    return archive("run", manifest, "--model", MODEL, "--rate", RATE, "--out", out, "--workers", workers, *more)


PIPELINE = """
import json, os, sys
import numpy as np, ray
folder, model, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=40)
from ray.data import ActorPoolStrategy, DataContext
DataContext.get_current().enable_progress_bars = False

class Look:
    def __init__(self):
        import saccade
        self.predictor = saccade.open(model, threads=1, precision="f32", device="CPU")
    def __call__(self, batch):
        found = [self.predictor(np.ascontiguousarray(frame[:, :, ::-1])) for frame in batch["frame"]]
        boxes = [json.dumps(r.detections.boxes.tolist()) for r in found]
        return {"path": batch["path"], "frame_index": batch["frame_index"], "boxes": np.array(boxes, object)}

frames = ray.data.read_videos(folder, fps=5, include_paths=True)
pool = ActorPoolStrategy(size=max(1, workers // 2))
rows = frames.map_batches(Look, batch_size=8, num_cpus=1, compute=pool).take_all()
found = [[os.path.basename(row["path"]), int(row["frame_index"]), json.loads(row["boxes"])] for row in rows]
print(json.dumps({"found": found}))
"""
"""The pipeline of Ray's own guide, with the network of the comparison. Frames come as RGB."""

Found = dict[tuple[str, int], list[list[float]]]


def obvious(folder: Path, workers: int) -> tuple[Found, Usage]:
    """Boxes of Ray's pipeline on the same files, and what it took."""
    told, usage = watched([sys.executable, "-c", PIPELINE, str(folder), MODEL, str(workers)])
    report = json.loads(told.splitlines()[-1])
    return {(name, index): boxes for name, index, boxes in report["found"]}, usage


def boxes_of(manifest: Path, out: Path) -> Found:
    """Boxes of our results by file and frame."""
    from saccade.archive.compact import tables_of
    from saccade.archive.places import place_of

    found: Found = {}
    for table in tables_of(str(manifest), place_of(str(out))):
        for row in table.to_pylist():
            boxes = found.setdefault((os.path.basename(row["path"]), round(row["time"] * 25)), [])
            if row["status"] == "object":
                boxes.append([row[name] for name in ("x1", "y1", "x2", "y2")])
    return found


def agreement(one: Found, other: Found) -> float:
    """Share of the frames in which both see the same; raises RuntimeError where they looked at different ones."""
    if one.keys() != other.keys():
        raise RuntimeError(f"other frames: {sorted(one.keys() ^ other.keys())[:5]}")
    if not any(one.values()):
        raise RuntimeError("nothing is seen, so that nothing is compared")
    return sum(_same(one[frame], other[frame]) for frame in one) / len(one)


def _same(one: list[list[float]], other: list[list[float]]) -> bool:
    return len(one) == len(other) and bool((iou(one, other) > 0.85).any(1).all())


@contextlib.contextmanager
def local_s3() -> Iterator[str]:
    """A moto in a process of its own; its address is in the environment meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = "from moto.server import main; main()"
    command = [sys.executable, "-W", "ignore", "-c", program, "-H", "127.0.0.1", "-p", str(port)]
    url = f"http://127.0.0.1:{port}"
    with s3_at(url), subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close()
                    break
                time.sleep(0.1)
            yield url
        finally:
            server.kill()


def kills(count: int, folder: Path) -> Figure:
    """A run over S3 that is killed at random until it has been killed so often, against an undisturbed one.

    Where a run ends before the count is full, another begins at another place.
    """
    import boto3

    from saccade.archive.compact import compact

    chance = random.Random(0)
    with local_s3():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="kills")
        s3.put_bucket_versioning(Bucket="kills", VersioningConfiguration={"Status": "Enabled"})
        small = folder / "small.mp4"
        film(small, 6, height=360)
        for number in range(60):
            s3.upload_file(str(small), "kills", f"in/{number:03}.mp4")
        manifest = folder / "kills.parquet"
        archive("plan", "s3://kills/in/", "-o", manifest, "--segment", 2)
        words = ["run", str(manifest), "--model", MODEL, "--rate", str(RATE), "--workers", "2", "--out"]
        archive(*words, "s3://kills/quiet")
        compact(str(manifest), "s3://kills/quiet", str(folder / "quiet.parquet"))
        done: Counter[str] = Counter()
        rounds = 0
        same = True
        while done.total() < count:
            out = f"s3://kills/out{rounds}"
            _killed_until_done([*words, out], count - done.total(), done, chance)
            compact(str(manifest), out, str(folder / "killed.parquet"))
            same = same and (folder / "killed.parquet").read_bytes() == (folder / "quiet.parquet").read_bytes()
            rounds += 1
        pages = s3.get_paginator("list_object_versions").paginate(Bucket="kills")
        versions = Counter(version["Key"] for page in pages for version in page.get("Versions", []))
    twice = sum(number - 1 for number in versions.values())
    detail = (
        f"{done.total()} kills ({done['driver']} of drivers, {done['worker']} of workers), {rounds} runs: "
        f"{'the same bytes' if same else 'OTHER BYTES'}, {twice} objects twice"
    )
    return figure("wrong after random kill -9 (bytes, objects twice)", [twice + (not same)], 0, detail)


def _killed_until_done(words: list[str], most: int, done: Counter[str], chance: random.Random) -> None:
    """Start the run again and again, each time killing something, until it ends by itself; counts kills that struck."""
    import psutil

    struck = 0
    while True:
        command = [sys.executable, "-m", "saccade", "-q", "archive", *words]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        driver = psutil.Process(process.pid)
        while process.poll() is None:
            time.sleep(chance.uniform(0.3, 8.0))
            of_a_worker = chance.random() < 0.5
            if struck >= most or process.poll() is not None:
                process.wait()
                break
            # The driver at any time; a worker as often, once there are some.
            victim = driver
            while of_a_worker and process.poll() is None and victim is driver:
                with contextlib.suppress(psutil.Error):
                    victim = chance.choice(driver.children() or [driver])
                time.sleep(0.05)
            if victim is driver:
                process.kill()
                hit = process.wait() == -signal.SIGKILL
            else:
                hit = _kill(victim)
            struck += hit
            done["driver" if victim is driver else "worker"] += hit
        if process.wait() == 0:
            return


def _kill(process: Any) -> bool:
    """Kill a process that is none of ours; whether it was that which ended it."""
    import psutil

    try:
        was = process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        process.kill()
        psutil.wait_procs([process])
    except psutil.NoSuchProcess:
        return False
    return bool(was)


def million(count: int, folder: Path) -> Figure:
    """A prefix of so many pictures, simulated: time and memory of its plan."""
    program = (
        f"{PEAK}\n"
        "import sys, time\n"
        "from saccade.archive import find, plan\n"
        "class Keys:\n"
        "    def get_paginator(self, name): return self\n"
        "    def paginate(self, **_):\n"
        f"        for page in range({count // 1000}):\n"
        "            yield {'Contents': [{'Key': f'p/{page:06}{n:03}.jpg', 'Size': 99, 'ETag': f'{page}-{n}',"
        " 'LastModified': None} for n in range(1000)]}\n"
        "find.s3_client = Keys\n"
        "begin = time.perf_counter()\n"
        "made = plan.plan(['s3://bucket/p/'], sys.argv[1])\n"
        "print(made.pictures, time.perf_counter() - begin, peak())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "million.parquet")], capture_output=True, text=True, check=True
    )
    pictures, seconds, most = done.stdout.split()
    memory = int(most) / 1e6
    detail = f"{float(seconds):.0f} s, {memory:.0f} MB at most"
    return figure(f"plan of {int(pictures)} keys (MB)", [memory], 300, detail)


def memory(folder: Path) -> Iterator[Figure]:
    """A worker on a day of video, and on one of 1080 rows without key frames, so that it cannot be cut."""
    small, day, whole = folder / "small.mp4", folder / "day.mp4", folder / "whole.mp4"
    film(small, 10, height=144)
    looped(small, LONG_HOURS * 360, day)
    film(whole, 40, group=100_000)
    for name, path, more in (
        (f"memory of a worker, {LONG_HOURS} h of video (MB)", day, ["--shard", "5/96"]),
        ("memory of a worker, 1080p without key frames (MB)", whole, []),
    ):
        manifest = folder / f"{path.stem}.parquet"
        plan, usage = archive("plan", path, "-o", manifest)
        planning = max(usage.peak.values()) / 1e6
        report, usage = ours(manifest, folder / f"{path.stem}-out", 1, *more)
        if report["errors"] or not report["frames"]:
            raise RuntimeError(f"{path.name}: {report}")
        peak = max(usage.peak[worker] for worker in usage.workers) / 1e6
        own = max(usage.own[worker] for worker in usage.workers) / 1e6
        detail = (
            f"{plan['seconds'] / 3600:.2f} h in {plan['segments']} segments, {report['frames']} frames looked at; "
            f"{own:.0f} MB are the worker's own, the rest libraries'; the plan took {planning:.0f} MB"
        )
        yield figure(name, [peak], 300, detail)


def films(folder: Path, count: int) -> None:
    """The videos that are compared."""
    folder.mkdir()
    film(folder / "0.mp4", SECONDS)
    for number in range(1, count):
        shutil.copy(folder / "0.mp4", folder / f"{number}.mp4")


def speed(rounds: int, folder: Path, count: int = FILES) -> Iterator[Figure]:
    """Two workers against one, Ray against the pool, and the pool against the obvious pipeline.

    Each by the clock, from command to prompt, and by CPU time, which also means something where others use the machine.
    """
    source = folder / "films"
    films(source, count)
    manifest = folder / "films.parquet"
    archive("plan", source, "-o", manifest)
    with_ray = find_spec("ray") is not None
    with_decord = with_ray and find_spec("decord") is not None
    took: dict[str, list[float]] = {}

    def note(name: str, usage: Usage) -> None:
        took.setdefault(f"{name}, clock", []).append(usage.seconds)
        took.setdefault(f"{name}, CPU", []).append(usage.total)
        print(f"     round {number}, {name}: {usage.seconds:.1f} s by the clock, {usage.total:.1f} s of CPU; "
              f"the rest of the machine took {usage.others:.1f} s of CPU")  # fmt: skip

    same, frames = 1.0, 0
    first: Found = {}

    def note_found(out: Path) -> Found:
        nonlocal first
        found = boxes_of(manifest, out)
        first = first or found
        if found != first:
            raise RuntimeError(f"{out.name} sees other objects than the first run")
        return found

    for number in range(rounds):
        for workers in (1, 2):
            out = folder / f"out{number}-{workers}"
            report, usage = ours(manifest, out, workers)
            frames = report["frames"]
            note(f"{workers}", usage)
            took.setdefault(f"{workers}, way", []).append(usage.longest_way)
            found = note_found(out)
        if with_ray:
            _, usage = ours(manifest, folder / f"ray{number}", 2, "--ray", "local")
            note("ray", usage)
            note_found(folder / f"ray{number}")
        if with_decord:
            theirs, usage = obvious(source, 2)
            note("obvious", usage)
            same = min(same, agreement(found, theirs))
    if same < 0.95:
        raise RuntimeError(f"the pipelines see the same in {same:.0%} of the frames only")

    def ratio(name: str, above: str, below: str, target: float, unit: str, **options: Any) -> Figure:
        ratios = [a / b for a, b in zip(took[above], took[below], strict=True)]
        detail = f"{statistics.median(took[above]):.1f} against {statistics.median(took[below]):.1f} {unit}"
        return figure(name, ratios, target, detail, **options)

    of_two = {"at_least": True, "best": 2.0}
    yield ratio("2 workers against 1 (speed)", "1, clock", "2, clock", 1.7, "s, start-up included", **of_two)
    yield ratio("2 workers against 1 (CPU time of driver and busiest worker)", "1, way", "2, way", 1.7, "s of CPU",
                **of_two)  # fmt: skip
    for kind, unit in (("clock", "s"), ("CPU", "s of CPU")):
        if with_ray:
            yield ratio(f"Ray local against the pool ({kind})", f"ray, {kind}", f"2, {kind}", 100, unit)
        if with_decord:
            yield ratio(f"read_videos(fps=5) + map_batches against the pool ({kind})", f"obvious, {kind}",
                        f"2, {kind}", 3, f"{unit} for {frames} frames; {same:.1%} of them show the same",
                        at_least=True)  # fmt: skip
    if not with_decord:
        print("not compared with Ray's pipeline, as Ray or decord is not installed")


def measure(
    rounds: int, *, count: int = 100, keys: int = 1_000_000, number: int = FILES, only: str = ""
) -> Iterator[Figure]:
    """All figures of this suite."""
    with tempfile.TemporaryDirectory(prefix="saccade-bench-") as name:
        folder = Path(name)
        if only in ("", "speed"):
            yield from speed(rounds, folder, number)
        if only in ("", "memory"):
            yield from memory(folder)
        if only in ("", "keys"):
            yield million(keys, folder)
        if only in ("", "kills"):
            if find_spec("moto") is None:
                print("no kills, as moto is not installed")
            else:
                yield kills(count, folder)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--films", type=int, default=FILES, help=f"of {SECONDS} s each, to measure speed with")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("speed", "memory", "keys", "kills"), default="")
    options = parser.parse_args()
    measured = measure(options.rounds, count=options.kills, keys=options.keys, number=options.films, only=options.only)
    return finish(measured, options)


if __name__ == "__main__":
    raise SystemExit(main())
