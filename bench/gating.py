"""What a gate saves on cameras that see little, and whether it misses anything.

    python -m bench.gating [--rounds N] [--json FILE] [--check]

The clips are made up: a textured scene with sensor noise, in which something walks for a tenth of the time, encoded as
cameras do (groups of 50 pictures, no B-frames; MJPEG). Each is read to its end by a capture with a gate and by one
without, which decodes everything; what counts is the processor's time from the first frame on. A moving second is
recalled if a frame of it came out of the gate. The bound is what key frames cost: to decode them alone takes a seventh
of the time of the whole on these clips.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from bench.figures import Figure, command_line, figure, finish
from saccade.capture import Capture, open_source
from saccade.pipeline.gate import Gate

WIDTH, HEIGHT = 1920, 1080
SECONDS = 40
TENTH = ((11, 13), (29, 31))
"""Seconds in which something moves, from and up to; a tenth of the time."""
FIFTH = ((5, 7), (13, 15), (23, 25), (33, 35))
NEEDED = (320, 320)
"""(height, width) of the network, px: JPEG pictures are decoded for it."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A made-up camera. noise : deviation of the sensor's, levels. side : of what walks, px. target : of the ratio.
    active : seconds in which something walks.
    """

    name: str
    codec: str
    rate: int
    noise: float
    side: int
    target: float
    suffix: str = ".mp4"
    seconds: int = SECONDS
    active: tuple[tuple[int, int], ...] = TENTH

    def moves(self, second: float) -> bool:
        """Whether something walks then."""
        return any(start <= second < end for start, end in self.active)

    @property
    def moving(self) -> list[int]:
        """The seconds in which something walks."""
        return [second for second in range(self.seconds) if self.moves(second)]


CLIPS = (
    Clip("H.264 1080p25, quiet sensor, a person", "libx264", 25, 1.0, 160, 3.0),
    Clip("H.264 1080p25, noisy sensor, a person", "libx264", 25, 4.0, 160, 3.0),
    Clip("H.264 1080p25, noisy sensor, something small", "libx264", 25, 3.0, 40, 3.0),
    Clip("MJPEG 1080p at 10 Hz, noisy sensor, a person", "mjpeg", 10, 3.0, 160, 1.5, ".avi"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A clip read to its end. cpu : the process's time from the first frame on, s.

    decoded : pictures. shown : times of frames taken, s.
    """

    cpu: float
    decoded: int
    shown: list[float]
    pictures: int


def recall(clip: Clip, shown: Iterable[float]) -> float:
    """Part of the moving seconds of which a picture was shown; shown : times, s."""
    seconds = {int(when) for when in shown}
    return sum(second in seconds for second in clip.moving) / len(clip.moving)


def pictures(clip: Clip) -> Iterator[NDArray[np.uint8]]:
    """The scene, uint8 (H, W) luma, picture by picture."""
    random = np.random.default_rng(11)
    coarse = random.integers(40, 190, (HEIGHT // 30, WIDTH // 30), np.uint8)
    calm = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noise = [np.rint(random.normal(0, clip.noise, calm.shape)).astype(np.int16) for _ in range(12)]
    walker = random.integers(0, 255, (clip.side // 8 * 2, clip.side // 8), np.uint8)
    walker = cv2.resize(walker, (clip.side, 2 * clip.side)).astype(np.int16)
    for count in range(clip.seconds * clip.rate):
        seen = calm.copy()
        if clip.moves(count / clip.rate):
            x = 200 + count * 150 // clip.rate % 1400
            seen[400 : 400 + 2 * clip.side, x : x + clip.side] = walker
        seen += np.roll(noise[random.integers(len(noise))], random.integers(HEIGHT), 0)
        yield np.clip(seen, 0, 255).astype(np.uint8)


def encode(clip: Clip, path: Path) -> Path:
    """The clip as a file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(clip.codec, rate=clip.rate)
        stream.width, stream.height = WIDTH, HEIGHT
        if clip.codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
            stream.options = {"qmin": "3", "qmax": "3"}
        else:
            stream.pix_fmt = "yuv420p"
            stream.options = {"preset": "superfast", "tune": "zerolatency", "crf": "26", "g": "50", "bf": "0"}
        chroma = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
        for luma in pictures(clip):
            frame = av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path: Path, gate: Gate | None) -> Reading:
    """Read a clip to its end."""
    capture = Capture(open_source(str(path)), lazy=True, size=NEEDED)
    capture.gate = gate
    shown = []
    start = 0.0
    with capture:
        while not capture.ended:
            frame = capture.latest(1.0)
            if frame is not None:
                start = start or time.process_time()
                shown.append(frame.time)
                frame.release()
    cpu = time.process_time() - start
    figures = capture.statistics()
    return Reading(cpu, figures.decode.count, shown, figures.captured)


def read_live(path: Path) -> tuple[float, list[float]]:
    """CPU time and times of pictures of a clip that a gate sees as that of a live camera: only the newest counts.

    What is late cannot be looked at any more, and the clip is not slowed down to its own rate: its times are its own.
    """
    source = open_source(str(path))
    source.every_frame, source.gate = False, Gate()
    source.open()
    start = time.process_time()
    shown = [picture.time for picture in iter(source.read, None)]
    source.close()
    return time.process_time() - start, shown


def compare(clip: Clip, path: Path, rounds: int) -> Iterator[Figure]:
    """Both ways, alternating."""
    pairs = [(read(path, None), read(path, Gate())) for _ in range(rounds)]
    ratios = [whole.cpu / gated.cpu for whole, gated in pairs]
    whole, gated = pairs[-1]
    recalled = recall(clip, gated.shown)
    part = len(gated.shown) / gated.pictures
    detail = (
        f"{whole.cpu:.2f} s of CPU for {whole.pictures} pictures, with the gate {gated.cpu:.2f} s: "
        f"{part:.1%} of them came to the network, {len(clip.moving) / clip.seconds:.0%} show motion"
    )
    seconds = f"{len(clip.moving)} s"
    yield figure(f"CPU to decode everything, over gated: {clip.name}", ratios, clip.target, detail, at_least=True)
    yield figure(f"moving seconds recalled: {clip.name}", [recalled], 0.99, seconds, at_least=True)
    yield figure(f"part of the pictures that came to the network: {clip.name}", [part], 0.25, detail)
    if clip.codec == "libx264":
        lives = [read_live(path) for _ in range(rounds)]
        ratios = [pair[0].cpu / cpu for pair, (cpu, _) in zip(pairs, lives, strict=True)]
        recalled = recall(clip, lives[-1][1])
        yield figure(
            f"the same of a live camera: {clip.name}", ratios, clip.target,
            f"{lives[-1][0]:.2f} s of CPU; the first group of pictures is decoded as a whole", at_least=True,
        )  # fmt: skip
        yield figure(
            f"moving seconds recalled of a live camera: {clip.name}", [recalled], 0.99,
            f"{seconds}; what sizes do not tell is seen when the next key frame shows it", at_least=True,
        )  # fmt: skip


def measure(rounds: int) -> Iterator[Figure]:
    """All figures of this suite."""
    with tempfile.TemporaryDirectory() as folder:
        for number, clip in enumerate(CLIPS):
            path = encode(clip, Path(folder) / f"{number}{clip.suffix}")
            yield from compare(clip, path, rounds)
            path.unlink()


if __name__ == "__main__":
    options = command_line(__doc__).parse_args()
    raise SystemExit(finish(measure(options.rounds), options))
