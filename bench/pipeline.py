"""The whole pipeline against what the old projects did, and against its own ceiling.

    python -m bench.pipeline [--rounds N] [--frames N] [--json FILE] [--check]

Reference and saccade take turns in one process on one MJPEG file with one network; each figure is the median over the
rounds of the ratio within a round. Both must find the same faces. `--check` exits with 1 where a figure misses its
target.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from bench.boxes import iou
from bench.figures import Figure, command_line, figure, finish
from bench.reference import old_loop
from saccade.apps.faces import Faces
from saccade.capture import Capture, Picture, Source, jpeg, open_source
from saccade.config import cache_dir
from saccade.frame import Frame
from saccade.geometry import WHOLE_FRAME
from saccade.networks import catalogue
from saccade.outputs.display import Display
from saccade.pipeline import Pipeline
from saccade.predict import open_predictor
from saccade.predict.framing import make_plan
from saccade.results import Result
from saccade.service.page import LivePage

MODEL = "blazeface-full"
LEAST_MATCHED = 0.95
"""Part of the reference's faces that saccade must find at the same place; it sees a DCT-scaled picture."""


@dataclass(frozen=True, slots=True)
class Run:
    """frames per second; CPU time of the process per frame, s; boxes of each frame, float32 (n, 4) source px."""

    fps: float
    cpu: float
    boxes: list[NDArray[np.float32]]


def video(name: str, frames: int = 300) -> Path:
    """An MJPEG AVI of the demo scene, kept in the cache folder. name : `demo:` or `demo:4mp`."""
    path = cache_dir() / "bench" / f"{name.replace(':', '-').strip('-')}-{frames}.avi"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.avi")
    with av.open(str(part), "w") as container, Capture(open_source(name, realtime=False), size=(64, 64)) as capture:
        stream = None
        for index in range(frames):
            frame = capture.latest(10.0)
            assert frame is not None
            assert frame.jpeg is not None
            if stream is None:
                stream = container.add_stream("mjpeg", rate=30)
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuvj420p"
                stream.time_base = Fraction(1, 30)
            packet = av.Packet(bytes(frame.jpeg))
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 30)
            container.mux(packet)
            frame.release()
    part.replace(path)
    return path


def run_reference(path: Path, frames: int) -> Run:
    """The old loop; timed from its first result on, start-up apart."""
    loop = old_loop(path, catalogue.resolve(MODEL))
    boxes = [next(loop)[:, 1:]]
    start, cpu = time.perf_counter(), time.process_time()
    for found in loop:
        boxes.append(found[:, 1:])
        if len(boxes) == frames:
            break
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Run((len(boxes) - 1) / seconds, cpu / (len(boxes) - 1), boxes)


class Collect:
    """An output that keeps the boxes, and the CPU time at the first result."""

    def __init__(self) -> None:
        self.boxes: list[NDArray[np.float32]] = []
        self.cpu = 0.0

    def accept(self, frame: Frame, result: Result) -> None:
        """Keep the boxes."""
        if not self.boxes:
            self.cpu = time.process_time()
        assert result.detections is not None
        self.boxes.append(result.detections.boxes)

    def close(self) -> None:
        """Nothing to do."""


def make_faces(threads: int = 1) -> Faces:
    """The faces app with the demo detector."""
    return Faces(open_predictor(MODEL, threads=threads))


def run_saccade(source: Source, frames: int, *, watched: bool = False, requests: int = 2) -> Run:
    """The pipeline, with one viewer of the live page where `watched`."""
    collect, display = Collect(), Display()
    pipeline = Pipeline(
        Capture(source, slots=requests + 1 + watched), make_faces(), [collect, display], requests=requests
    )
    with contextlib.ExitStack() as stack:
        if watched:
            page = LivePage("127.0.0.1:0", display, lambda: pipeline.statistics().live()).start()
            stack.callback(page.close)
            stack.enter_context(viewer(page.url))
        figures = pipeline.run(frames=frames)
        assert not watched or display.statistics().encoded > 0, "the viewer saw nothing"
    count = len(collect.boxes)
    return Run(figures.fps, (time.process_time() - collect.cpu) / (count - 1), collect.boxes)


@contextlib.contextmanager
def viewer(url: str) -> Iterator[None]:
    """A process that reads the live page's stream as fast as it comes."""
    code = (
        "import sys, urllib.request\n"
        "stream = urllib.request.urlopen(sys.argv[1] + 'stream.mjpeg', timeout=30)\n"
        "print(len(stream.read1(1)), flush=True)\n"
        "while stream.read1(1 << 16): pass\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def matched(found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> float:
    """Part of the expected boxes that were found with an IoU of at least one half, frame by frame."""
    hits = total = 0
    for mine, theirs in zip(found, expected, strict=False):
        total += len(theirs)
        hits += int((iou(theirs, mine).max(1, initial=0) >= 0.5).sum())
    return hits / total if total else 0.0


def against_old_loop(name: str, frames: int, rounds: int, *, watched: bool) -> tuple[list[float], list[float], str]:
    """Ratios of frames a second and of CPU time per frame, round by round."""
    path = video(name)
    speed, cpu, details = [], [], []
    for _ in range(rounds):
        old = run_reference(path, min(frames, 200))
        new = run_saccade(open_source(path), frames, watched=watched)
        part = matched(new.boxes, old.boxes)
        assert part >= LEAST_MATCHED, f"only {part:.0%} of the reference's faces were found on {name}"
        speed.append(new.fps / old.fps)
        cpu.append(new.cpu / old.cpu)
        details.append((new.fps, old.fps, new.cpu, old.cpu, part))
    new_fps, old_fps, new_cpu, old_cpu, part = (statistics.median(column) for column in zip(*details, strict=True))
    detail = (
        f"{new_fps:.0f} against {old_fps:.0f} frames/s, "
        f"{new_cpu * 1e3:.1f} against {old_cpu * 1e3:.1f} ms CPU a frame, {part:.1%} of the faces matched"
    )
    return speed, cpu, detail


class Decoded(Source):
    """A source of one picture in memory, already decoded."""

    def __init__(self, planes: tuple[NDArray[np.uint8], ...]) -> None:
        super().__init__("decoded")
        self._planes = planes

    def open(self) -> None:
        """Nothing to open."""

    def read(self) -> Picture | None:
        """The same picture again."""
        if self.interrupted:
            return None
        return Picture(time=0.0, captured=time.monotonic(), size=0, planes=self._planes)

    def close(self) -> None:
        """Nothing to close."""


def decode_rate(path: Path, size: tuple[int, int], frames: int) -> float:
    """Frames a second of the capture alone."""
    with Capture(open_source(path), size=size, slots=3) as capture:
        first = capture.latest(10.0)
        assert first is not None
        first.release()
        start = time.perf_counter()
        for _ in range(frames - 1):
            frame = capture.latest(10.0)
            assert frame is not None
            frame.release()
        return (frames - 1) / (time.perf_counter() - start)


def infer_rate(frames: int, requests: int = 2) -> float:
    """Inferences a second of the network alone, at the pipeline's thread count, `requests` in flight."""
    model = make_faces().predictor.network
    ring = [model.request() for _ in range(requests)]
    for request in ring:
        request.start()
    start = time.perf_counter()
    for index in range(frames):
        request = ring[index % requests]
        request.wait()
        request.start()
    seconds = time.perf_counter() - start
    for request in ring:
        request.wait()
    return frames / seconds


def against_ceiling(frames: int, rounds: int) -> tuple[list[float], list[float], str]:
    """Pipeline rate over the smaller of decode-only and infer-only rate: decoded frames, then decoding ones."""
    path = video("demo:")
    with Capture(open_source(path), size=make_faces().least_size(1920, 1080)) as capture:
        frame = capture.latest(10.0)
        assert frame is not None
        planes = tuple(plane.copy() for plane in frame.planes)
        frame.release()
    decoded, decoding, details = [], [], []
    for _ in range(rounds):
        infer = infer_rate(frames)
        decode = decode_rate(path, planes[0].shape[:2], min(frames, 300))
        with_decoded, whole = run_saccade(Decoded(planes), frames), run_saccade(open_source(path), min(frames, 300))
        assert {len(boxes) for boxes in with_decoded.boxes} == {len(whole.boxes[0])} != {0}, "other faces are found"
        decoded.append(with_decoded.fps / infer)
        decoding.append(whole.fps / min(infer, decode))
        details.append((infer, decode, with_decoded.fps, whole.fps))
    infer, decode, on_decoded, on_mjpeg = (statistics.median(column) for column in zip(*details, strict=True))
    detail = (
        f"infer alone {infer:.0f}, decode alone {decode:.0f}, pipeline on decoded frames {on_decoded:.0f}, "
        f"on MJPEG {on_mjpeg:.0f} a second"
    )
    return decoded, decoding, detail


def result_age(rounds: int, frames: int = 300) -> tuple[list[float], str]:
    """p99 of capture to result on a stream at 30 Hz, over the median of decode + preprocess + infer alone.

    The steps alone run one after the other at the same 30 Hz: a processor that slept between two frames is as slow
    for them as for the pipeline.
    """
    path, ratios, details = video("demo:"), [], []
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux() if packet.size]
    for _ in range(rounds):
        predictor = make_faces().predictor
        request = predictor.network.request()
        header = jpeg.read_header(packets[0])
        size = header.scaled(*predictor.least_size(header.width, header.height))
        picture = np.empty((*size, 3), np.uint8)
        plan, _ = make_plan(
            Frame(width=header.width, height=header.height, planes=(picture,)), predictor.spec, WHOLE_FRAME
        )
        alone, due = [], time.perf_counter()
        for packet in packets[:150]:
            due += 1 / 30
            time.sleep(max(0.0, due - time.perf_counter()))
            start = time.perf_counter()
            jpeg.decode_into(packet, picture, full=(header.height, header.width))
            plan(picture, out=request.inputs[predictor.network.inputs[0].name])
            request.infer()
            alone.append(time.perf_counter() - start)
        steps = statistics.median(alone) * 1e3
        figures = Pipeline(Capture(open_source(path, realtime=True), slots=3), make_faces()).run(frames=frames)
        ratios.append(figures.age.p99_ms / steps)
        details.append((figures.age.p50_ms, figures.age.p99_ms, steps))
    p50, p99, steps = (statistics.median(column) for column in zip(*details, strict=True))
    return ratios, f"age p50 {p50:.1f} ms, p99 {p99:.1f} ms; steps alone {steps:.1f} ms"


def measure(rounds: int, frames: int = 300) -> Iterator[Figure]:
    """All figures of this suite."""
    speed, cpu, detail = against_old_loop("demo:", frames, rounds, watched=False)
    yield figure("1080p, nobody watches: frames a second over the old loop's", speed, 4.0, detail, at_least=True)
    yield figure("1080p, nobody watches: CPU time a frame over the old loop's", cpu, 0.40, detail)
    speed, _, detail = against_old_loop("demo:", frames, rounds, watched=True)
    yield figure("1080p, one viewer: frames a second over the old loop's", speed, 3.0, detail, at_least=True)
    speed, _, detail = against_old_loop("demo:4mp", frames, rounds, watched=False)
    yield figure("2688x1520, nobody watches: frames a second over the old loop's", speed, 5.0, detail, at_least=True)
    decoded, decoding, detail = against_ceiling(frames, rounds)
    yield figure("decoded frames: pipeline over the network alone", decoded, 0.95, detail, at_least=True, best=1.0)
    yield figure("MJPEG: pipeline over the slower of decoder and network alone", decoding, 0.95, detail, at_least=True)
    ratios, detail = result_age(rounds)
    yield figure("age p99 at 30 Hz over the steps alone", ratios, 1.5, detail)


def main() -> int:
    """Measure and report."""
    parser = command_line(__doc__)
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    return finish(measure(options.rounds, options.frames), options)


if __name__ == "__main__":
    raise SystemExit(main())
