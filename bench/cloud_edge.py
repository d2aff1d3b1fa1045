"""Inference at the edge against inference in the cloud: bytes sent, latency, frame rate.

    python -m bench.cloud_edge [--seconds T] [--out FILE]

The same pipeline on the same 1080p demo stream, as live video, with the same network: here, and behind `saccade serve`
in a process of its own, over loopback and over a line with the delay and the rate of a mobile uplink. At the edge only
face crops leave the device; in the cloud the network's input of each frame does; the tutorial sent whole frames.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure, figure
from saccade.apps.faces import DEFAULT_MODEL, Faces
from saccade.capture import Capture, open_source
from saccade.networks.remote import RemoteModel
from saccade.outputs.crops import CropWriter
from saccade.pipeline import Pipeline
from saccade.predict import open_predictor


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run: kilobytes a frame that leave the device, latency of inference, ms, and frames a second."""

    name: str
    sent_kb: float
    p50_ms: float
    p99_ms: float
    fps: float
    faces: float

    def row(self) -> str:
        return (
            f"| {self.name} | {self.sent_kb:.2f} | {self.sent_kb * 8 * self.fps / 1000:.2f} | {self.p50_ms:.1f} "
            f"| {self.p99_ms:.1f} | {self.fps:.1f} | {self.faces:.2f} |"
        )


class Line(threading.Thread):
    """A TCP relay with a one-way delay, s, and an uplink rate, bytes a second."""

    def __init__(self, target: str, delay: float, rate: float) -> None:
        super().__init__(name="line", daemon=True)
        host, port = target.removeprefix("http://").split(":")
        self._target = host, int(port)
        self._delay, self._rate = delay, rate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._free = 0.0
        self.start()

    def run(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.create_connection(self._target)
            for source, sink, rate in ((near, far, self._rate), (far, near, 0.0)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pump(source, sink, rate)

    def _pump(self, source: socket.socket, sink: socket.socket, rate: float) -> None:
        """Two threads: one stamps what comes with the time at which it has crossed the line, one lets it out then."""
        waiting: deque[tuple[float, bytes]] = deque()
        ready = threading.Semaphore(0)

        def take() -> None:
            while data := source.recv(1 << 14):
                due = time.monotonic()
                if rate:
                    with self._lock:  # all connections share the uplink
                        self._free = due = max(due, self._free) + len(data) / rate
                waiting.append((due + self._delay, data))
                ready.release()

        def give() -> None:
            while True:
                ready.acquire()
                due, data = waiting.popleft()
                time.sleep(max(0.0, due - time.monotonic()))
                sink.sendall(data)

        for work in (take, give):
            threading.Thread(target=work, daemon=True).start()


def run(name: str, model_address: str, seconds: float, *, crops: bool = False) -> Way:
    """One run of the faces pipeline."""
    app = Faces(open_predictor(model_address, **({} if "://" in model_address else {"threads": 1})))
    sent = [0]
    outputs = [CropWriter(lambda crop: sent.__setitem__(0, sent[0] + len(crop.jpeg)))] if crops else []
    found = [0]

    class Count:
        def accept(self, frame: object, result: object) -> None:
            found[0] += len(result.detections or ())  # type: ignore[attr-defined]

        def close(self) -> None:
            pass

    capture = Capture(open_source("demo:", realtime=True), slots=5)
    statistics = Pipeline(capture, app, [*outputs, Count()], requests=3).run(seconds=seconds)
    infer = statistics.stages["infer"]
    remote: object = app.predictor.network
    total = remote.statistics().bytes_sent if isinstance(remote, RemoteModel) else sent[0]
    return Way(
        name, total / statistics.frames / 1000, infer.p50_ms, infer.p99_ms, statistics.fps, found[0] / statistics.frames
    )


def whole_frame_kb() -> float:
    """What a JPEG of the whole frame takes, kB: what the tutorial sent."""
    import cv2

    capture = Capture(open_source("demo:", realtime=False), slots=2)
    with capture:
        frame = capture.latest(timeout=5)
        assert frame is not None
        size = len(cv2.imencode(".jpg", frame.bgr(), [cv2.IMWRITE_JPEG_QUALITY, 90])[1])
        frame.release()
    return size / 1000


@contextmanager
def server() -> Iterator[str]:
    """The address of a model behind HTTP, in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "saccade", "serve", "--model", DEFAULT_MODEL, "--address", "127.0.0.1:0"],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split(" at ")[1].strip()
        finally:
            process.terminate()


def table(seconds: float) -> list[Way]:
    """All ways, measured one after another."""
    with server() as url:
        mobile = Line(url, 0.025, 1.25e6).url
        return [
            run("edge: inference here, crops leave", DEFAULT_MODEL, seconds, crops=True),
            run("cloud on this machine, JPEG", url, seconds),
            run("cloud on this machine, raw pixels", f"{url}?encoding=npy", seconds),
            run("cloud over 10 Mbit/s up, 50 ms there and back, JPEG", mobile, seconds),
            run("cloud over the same line, raw pixels", f"{mobile}?encoding=npy", seconds),
        ]


def as_markdown(ways: list[Way]) -> str:
    """The comparison for docs/cloud.md."""
    lines = [
        "| where the network runs | kB a frame | Mbit/s | latency p50, ms | p99, ms | frames/s | faces a frame |",
        "|---|---|---|---|---|---|---|",
        *(way.row() for way in ways),
    ]
    return "\n".join(lines) + f"\n\nA JPEG of the whole 1080p frame takes {whole_frame_kb():.0f} kB.\n"


def measure(rounds: int) -> Iterator[Figure]:
    """The part that has a target: a model behind HTTP on this machine against the same model here."""
    with server() as url:
        pairs = [(run("here", DEFAULT_MODEL, 2.0, crops=True), run("behind HTTP", url, 2.0)) for _ in range(rounds)]
    for here, behind in pairs:
        assert abs(behind.faces - here.faces) < 0.1, f"{behind.faces:.2f} faces a frame, {here.faces:.2f} here"
    here, behind = pairs[-1]
    yield figure(
        "frame rate with the model behind HTTP over the model here", [b.fps / h.fps for h, b in pairs], 0.8,
        f"{behind.fps:.1f} against {here.fps:.1f} frames/s of a live 30 frames/s stream", at_least=True, best=1.0,
    )  # fmt: skip


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = as_markdown(table(options.seconds))
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
