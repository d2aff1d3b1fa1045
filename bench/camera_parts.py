"""What the suite of many cameras is made of: cameras, good and bad, and what a process costs."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import av

from bench.pipeline import MODEL
from saccade.apps.faces import Faces
from saccade.capture import Capture, open_source
from saccade.capture.source import Picture, Source
from saccade.errors import SourceError
from saccade.frame import Frame
from saccade.networks.sharing import Networks
from saccade.pipeline import Branch, Camera
from saccade.predict import Predictor, open_predictor
from saccade.results import Result

CORES = len(os.sched_getaffinity(0))


@dataclass(slots=True)
class Window:
    """The time in which results count: `seconds` from `warm` after the first result of any camera on, s. To open many
    cameras takes seconds, which a run does not count either.
    """

    warm: float = 0.0
    seconds: float = float("inf")
    first: float | None = None

    def holds(self, now: float) -> bool:
        """Whether a result counts that is there now, monotonic, s."""
        if self.first is None:
            self.first = now
        return self.warm <= now - self.first < self.warm + self.seconds


@dataclass(slots=True)
class Seen:
    """Keeps of each frame how many faces it has, its time, s, and how old it was when that was known, s."""

    leases: int = 0
    window: Window = field(default_factory=Window)
    faces: list[int] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def accept(self, frame: Frame, result: Result) -> None:
        """Count."""
        now = time.monotonic()
        if self.window.holds(now):
            assert result.detections is not None
            self.faces.append(len(result.detections))
            self.ages.append(now - frame.captured)
            self.times.append(frame.time)

    def close(self) -> None:
        """Nothing."""


class Site:
    """Cameras that look for faces with one network, and what was seen of each."""

    def __init__(self) -> None:
        self._networks = Networks(threads=CORES, streams=CORES)
        self.seen: dict[str, Seen] = {}
        self._window = Window()

    def camera(
        self, name: str, source: Callable[[], Source], app: Callable[[Predictor], Faces] = Faces, **options: object
    ) -> Camera:
        """One more; options as for `Camera`."""
        seen = self.seen[name] = Seen(window=self._window)
        branch = Branch(app(open_predictor(MODEL, networks=self._networks)), [seen])
        return Camera(
            name=name,
            open=lambda: Capture(source(), lazy=True, wait=True),
            branches=[branch],
            **options,  # type: ignore[arg-type]
        )

    def count(self, warm: float, seconds: float) -> None:
        """Count only what comes `warm` seconds after the first result, and so long."""
        self._window.warm, self._window.seconds = warm, seconds

    def check(self, *, but: str = "") -> None:
        """Raise AssertionError unless every look of every camera but one found a face: the demo always shows some."""
        for name, seen in self.seen.items():
            missed = f"{name}: no face in {seen.faces.count(0)} of {len(seen.faces)} looks"
            assert name == but or all(seen.faces), missed


def demo() -> Source:
    """A live camera: 1080p MJPEG at 30 Hz."""
    return open_source("demo:")


class Flood(Source):
    """A camera that sends pictures as fast as they are taken off it."""

    live, every_frame, comes_later = True, False, True

    def __init__(self, pictures: Sequence[bytes]) -> None:
        super().__init__("flood")
        self._pictures = pictures
        self._index = 0

    def open(self) -> None:
        """Nothing."""

    def read(self) -> Picture | None:
        """The next one."""
        if self.interrupted:
            return None
        # A network card at 250 KB a picture: 2 Gbit/s.
        time.sleep(0.001)
        self._index += 1
        data = self._pictures[self._index % len(self._pictures)]
        return Picture(time=time.time(), captured=time.monotonic(), size=len(data), jpeg=memoryview(data))

    def close(self) -> None:
        """Nothing."""


class Garbage(Flood):
    """Sends half pictures and noise at 30 Hz."""

    def __init__(self, pictures: Sequence[bytes]) -> None:
        super().__init__(pictures)
        self.name = "garbage"
        chance = random.Random(1)
        self._pictures = [
            *(picture[: chance.randrange(100, len(picture))] for picture in pictures[:8]),
            *(b"\xff\xd8" + chance.randbytes(100_000) for _ in range(8)),
        ]

    def read(self) -> Picture | None:
        """The next one."""
        self._stop.wait(1 / 30)
        return super().read()


class HangingFaces(Faces):
    """Faces of a camera whose decoder does not come back, from its fourth picture on, until `let_go`."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor)
        self._asked = 0
        self.let_go = threading.Event()

    def least_size(self, width: int, height: int) -> tuple[int, int]:
        """Asked by whoever decodes, as it begins to."""
        self._asked += 1
        if self._asked >= 4:
            self.let_go.wait()
        return super().least_size(width, height)


class Storm(Source):
    """A camera that breaks off again and again, and has another size each time it is back."""

    live, every_frame, comes_later = True, False, True

    def __init__(self, sources: Sequence[Callable[[], Source]], pictures: int = 3, pause: float = 0.0) -> None:
        super().__init__("storm")
        self._sources = sources
        self._pictures = pictures
        self._between = pause
        self._left = 0
        self._inner: Source | None = None
        self.opened = 0

    def open(self) -> None:
        """The next of the sources."""
        self.close()
        self._inner = self._sources[self.opened % len(self._sources)]()
        self._inner.open()
        self.opened += 1
        self._left = self._pictures

    def read(self) -> Picture | None:
        """Some pictures, then the end."""
        if self.interrupted:
            return None
        self._left -= 1
        if self._left < 0 or self._inner is None:
            raise SourceError("storm: the connection was reset")
        if self._between:
            self._stop.wait(self._between)
        picture = self._inner.read()
        if picture is not None:
            picture.time, picture.captured = time.time(), time.monotonic()
        return picture

    def close(self) -> None:
        """Close what is open."""
        if self._inner is not None:
            self._inner.close()
            self._inner = None


def video_source(path: Path, *, realtime: bool = False) -> Callable[[], Source]:
    """Opens a video file; in real time it plays like a camera."""
    return partial(open_source, str(path), realtime=realtime)


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has and has used. cpu : s. memory : private and its part of what is shared (PSS), MB."""

    cpu: float
    memory: float
    threads: int
    files: int


def use(pid: int | str = "self") -> Use:
    """Of a process, now; zeros where it has gone."""
    try:
        folder = Path(f"/proc/{pid}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        lines = (folder / "smaps_rollup").read_text().splitlines()
        memory = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
        return Use(cpu, memory, len(os.listdir(folder / "task")), len(os.listdir(folder / "fd")))
    except (OSError, IndexError):
        return Use(0.0, 0.0, 0, 0)


def jain(rates: Sequence[float]) -> float:
    """Jain's index of fairness: 1 where all have the same."""
    whole = sum(rates)
    return whole * whole / (len(rates) * sum(rate * rate for rate in rates)) if whole else 0.0


def p99(values: Sequence[float]) -> float:
    """The value that one of a hundred is above."""
    return sorted(values)[int(0.99 * (len(values) - 1))] if values else float("inf")


def pictures_of(path: Path, count: int) -> Iterator[bytes]:
    """The first pictures of an MJPEG video."""
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.size and count > 0:
                count -= 1
                yield bytes(packet)
