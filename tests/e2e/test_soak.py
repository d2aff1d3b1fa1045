"""A camera in a bad week: all faults at once, and nothing is lost.

By default six seconds; `SACCADE_SOAK=600 pytest tests/e2e/test_soak.py -s` runs ten minutes and prints what it saw.

The faces function runs on a live demo stream. Meanwhile S3 answers late, with errors, half or not at all, the broker is
restarted, viewers of the FIFO come, stall and die, rubbish falls into the spool's folder, and the process is killed
with SIGKILL again and again. In the end each crop whose put had returned is in the bucket, once. A second function runs
beside it without any trouble: in the exhaustive form the frame rates of the two are compared over the same moments
of the same machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import local_s3
from conditions import PATIENCE, wait_for
from lengths import EXHAUSTIVE, length
from local_broker import MOSQUITTO, Mosquitto, Subscriber
from saccade.storage.spool import Spool
from saccade.storage.uploader import Uploader

SECONDS = length(6, 60, "SACCADE_SOAK")
START_SECONDS = 120.0
"""How long a life may take to its first crop: no measure of speed, only the end of a hang."""
FRAME_RATE = 30.0
TESTS = Path(local_s3.__file__).parent

# The function as it is deployed; it says each key after its put has returned.
DEVICE = textwrap.dedent("""
    import sys
    from saccade.storage.spool import Spool
    put = Spool.put
    def told(self, *arguments, **options):
        entry = put(self, *arguments, **options)
        print(entry.key, flush=True)
        return entry
    Spool.put = told
    from saccade.service.edge import main
    sys.exit(main("faces"))
""")

BAD_NETWORK = {"pass": 12.0, "500": 1, "refuse": 1, "cut_request": 1, "cut_answer": 1, "slow": 0.3, "stall": 0.2}


@dataclass
class Life:
    """One process from start to kill."""

    number: int
    keys: list[str] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Frames a second between the first and the last result."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0]) if len(self.times) > 30 else 0.0

    def frames(self, begin: float, end: float) -> int:
        """Results of frames of a span of time."""
        return sum(begin <= moment <= end for moment in self.times)


class Device:
    """The process under test."""

    def __init__(self, folder: Path, number: int, settings: dict[str, str]) -> None:
        self.life = Life(number)
        self._events = folder / f"events-{number}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SACCADE_", "AWS_"))}
        environment |= local_s3.CREDENTIALS | {
            "SACCADE_SOURCE": "demo:", "SACCADE_REALTIME": "1", "SACCADE_INTERVAL": "0.3", "SACCADE_SPOOL_FREE": "1000",
            "SACCADE_EVENTS": str(self._events), "SACCADE_THREADS": "1", "OMP_NUM_THREADS": "1",
        } | settings  # fmt: skip
        if "SACCADE_CACHE" in os.environ:
            environment["SACCADE_CACHE"] = os.environ["SACCADE_CACHE"]
        self._log = (folder / f"log-{number}").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-c", DEVICE], stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):
                self.life.keys.append(line.strip())

    def run(self, seconds: float) -> None:
        """Let it live from its first crop on, and look at its memory and threads."""
        wait_for(lambda: self.life.keys or self.process.poll() is not None, START_SECONDS)
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.25)
            with contextlib.suppress(OSError, KeyError):
                status = dict(
                    line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
                )
                self.life.rss.append(int(status["VmRSS"].split()[0]) // 1024)
                self.life.threads.append(int(status["Threads"]))

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def end(self, *, kill: bool) -> Life:
        """Kill it, or let it stop."""
        died = self.process.poll()
        (self.process.kill if kill else self.process.terminate)()
        self.process.wait(START_SECONDS)
        self._reader.join(START_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()
        assert died is None, f"the function ended by itself with {died}: {Path(self._log.name).read_text()[-2000:]}"
        for line in self._events.read_text().splitlines() if self._events.exists() else []:
            with contextlib.suppress(ValueError):
                self.life.times.append(float(json.loads(line)["time"]))
        return self.life


def disturb_network(proxy: local_s3.FaultProxy, stop: threading.Event, chance: random.Random) -> None:
    """Good and bad times, and none at all."""
    while not stop.wait(chance.uniform(0.5, 4.0)):
        proxy.faults = chance.choice([BAD_NETWORK, BAD_NETWORK, {"pass": 1.0}, {"refuse": 1.0}, {"500": 1.0}])


def watch_fifo(path: Path, stop: threading.Event, chance: random.Random, seen: list[int]) -> None:
    """Viewers that read, stall and die."""
    while not stop.wait(chance.uniform(0.1, 1.0)):
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            with os.fdopen(file, "rb", buffering=0) as fifo:
                end = time.monotonic() + chance.uniform(0.5, 3.0)
                stalled = chance.random() < 0.3
                while time.monotonic() < end and not stop.is_set():
                    if not stalled:
                        seen[0] += len(fifo.read(1 << 16) or b"")
                    time.sleep(0.01)


def restart_broker(broker: Mosquitto, stop: threading.Event, chance: random.Random) -> None:
    while not stop.wait(chance.uniform(3.0, 8.0)):
        broker.stop()
        stop.wait(chance.uniform(0.2, 2.0))
        broker.start()


def litter(queue: Path, stop: threading.Event, chance: random.Random) -> None:
    """Files that no spool made, and one that is half an entry."""
    number = 0
    while not stop.wait(chance.uniform(2.0, 5.0)):
        number += 1
        with contextlib.suppress(OSError):
            (queue / f"holiday {number}.jpg").write_bytes(b"\xff\xd8")
            (queue / f"{10**16 - number}.entry").write_bytes(b"saccade-spool 1\n{")
            with (queue / f"{number:016d}.entry").open("xb") as file:
                file.write(b"saccade-spool 1\n{")


@contextlib.contextmanager
def running(*threads: threading.Thread) -> Iterator[None]:
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(PATIENCE)


@pytest.mark.slow
@pytest.mark.timeout(600 + 2 * SECONDS)
@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_nothing_is_lost(tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("SACCADE_SEED", "7")))
    stop, seen = threading.Event(), [0]
    fifo, lives = tmp_path / "results.mjpeg", []
    with local_s3.moto_server() as url, local_s3.FaultProxy(urlsplit(url).port, seed=11) as proxy:
        s3 = local_s3.client(url)
        local_s3.versioned_bucket(s3, "soak")
        s3.create_bucket(Bucket="calm")
        quiet = {"AWS_ENDPOINT_URL": url, "SACCADE_BUCKET": "calm", "SACCADE_SPOOL": str(tmp_path / "calm")}
        broker = Mosquitto(tmp_path / "broker")
        settings = {
            "AWS_ENDPOINT_URL": proxy.url, "SACCADE_PUBLISH": f"mqtt://127.0.0.1:{broker.port}",
            "SACCADE_FIFO": str(fifo), "AWS_IOT_THING_NAME": "soak", "SACCADE_BUCKET": "soak",
            "SACCADE_SPOOL": str(tmp_path / "spool"),
        }  # fmt: skip
        with broker, Subscriber(broker) as subscriber, Device(tmp_path, 0, quiet) as calm:
            troubles = [
                threading.Thread(target=disturb_network, args=(proxy, stop, random.Random(1))),
                threading.Thread(target=watch_fifo, args=(fifo, stop, random.Random(2), seen)),
                threading.Thread(target=restart_broker, args=(broker, stop, random.Random(3))),
                threading.Thread(target=litter, args=(tmp_path / "spool" / "queue", stop, random.Random(4))),
            ]
            end = time.monotonic() + SECONDS
            try:
                with running(*troubles):
                    while time.monotonic() < end or not (lives and seen[0] and subscriber.messages):
                        # Most lives are short; some are long enough to see whether memory grows.
                        seconds = min(chance.choice([4.0, 8.0, 8.0, SECONDS / 4]), max(4.0, end - time.monotonic()))
                        with Device(tmp_path, len(lives) + 1, settings) as device:
                            device.run(seconds)
                            lives.append(device.end(kill=True))
                    stop.set()
            finally:
                stop.set()
            undisturbed = calm.end(kill=False)
            received = len(subscriber.messages)
        with Spool(tmp_path / "spool", min_free=0) as spool:
            client = local_s3.client(url)
            waiting = spool.statistics().pending
            assert Uploader(spool, "soak", client=client).flush(300)
            quarantined = len(spool.quarantined_files())
            client.close()
        stored = local_s3.versions(s3, "soak")
        s3.close()
    counted = [key for life in lives for key in life.keys]
    spans = [(life.times[0], life.times[-1], life) for life in lives if life.rate]
    pairs = [(life.frames(begin, end), undisturbed.frames(begin, end)) for begin, end, life in spans]
    ratio = sum(mine for mine, _ in pairs) / max(1, sum(other for _, other in pairs))
    memory, threads = (max(max(getattr(life, name), default=0) for life in lives) for name in ("rss", "threads"))
    rates = ", ".join(f"{life.rate:.1f}" for _, _, life in spans)
    print(
        f"\n{SECONDS} s, {len(lives)} kills, {len(counted)} crops counted, {len(stored)} objects, "
        f"{waiting} were left to upload, {quarantined} files quarantined; faults met {proxy.seen}; "
        f"{received} messages, {seen[0] / 1e6:.1f} MB of stream seen; frames over those of the undisturbed {ratio:.3f} "
        f"({undisturbed.rate:.1f}/s; {rates}); at most {memory} MB, {threads} threads"
    )
    assert len(stored) == len(set(stored)), "a crop is in the bucket twice"
    assert set(counted) <= set(stored), "a crop that was counted is lost"
    assert len(stored) <= len(counted) + len(lives), "more crops than were put"
    assert all(life.keys for life in lives)
    assert quarantined > 0
    assert received > 0
    assert seen[0] > 0
    # Of a machine that has too little left for both, whoever is disturbed, nothing is asked.
    if EXHAUSTIVE and undisturbed.rate >= 0.95 * FRAME_RATE:
        assert spans
        assert ratio >= 0.9
    for life in lives:
        flat(life)


def flat(life: Life) -> None:
    """Memory and threads of the second half of a life are those of its first half, start-up apart."""
    rss, threads = life.rss[8:], life.threads[8:]
    if len(rss) < 40:
        return
    middle = len(rss) // 2
    assert median(rss[middle:]) <= median(rss[:middle]) * 1.05 + 8, f"memory grows: {rss[::8]}"
    # A thread or two come and go with viewers and connections.
    assert max(threads[middle:]) <= max(threads[:middle]) + 2, f"threads grow: {threads[::8]}"


def median(values: list[int]) -> Any:
    return sorted(values)[len(values) // 2]
