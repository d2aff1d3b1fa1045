"""The stages of a frame, each for itself, as a duel of two builds times and counts them (`bench.duel`).

Run as a program, it answers lines of standard input. `NAME CALLS PARTS` runs a stage that often, in so many parts, and
prints the CPU time of the fastest of them, ns; `NAME anew` makes its buffers anew, at another place of memory; `list`
prints the stages that this build has, with a digest of what each computes. With `--count COUNTER` it instead runs each
stage between the marks of a shared library, for callgrind, and ends. `--slow STAGE=FACTOR` makes a stage take so much
longer, to see whether a duel finds it.

Only what the package exports is used, so that builds of different days have the same stages. All inputs are made here.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from ctypes import CDLL
from functools import cache
from itertools import repeat
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import saccade

Stage = Callable[[], object]

KEPT = 6
"""Stages whose buffers are kept when they are made anew: memory just given back would be the next to be had."""
COUNTED = {"track": 40, "events": 200, "predictor": 40, "nms": 40}
"""Calls of a stage that are counted, where not 10."""


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Gradients with noise, uint8 (height, width, 3); each time at another place of memory."""
    return _picture(height, width).copy()


@cache
def _picture(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    y, x = np.ogrid[:height, :width]
    scene = np.stack([x * 255 // width + 0 * y, y * 255 // height + 0 * x, (x + y) % 256], -1)
    return (scene // 2 + rng.integers(0, 12, scene.shape)).astype(np.uint8)


def yolo_tensor(n: int = 8400, objects: int = 100) -> NDArray[np.float32]:
    """float32 (1, 84, n): boxes all over 640 x 640 px; `objects` rows have a class that scores from 0.3 to 1."""
    rng = np.random.default_rng(3)
    tensor = rng.random((1, 84, n), np.float32)
    tensor[0, :2] *= 640
    tensor[0, 2:4] = 20 + 60 * tensor[0, 2:4]
    tensor[0, 4:] *= 0.2
    found = rng.choice(n, objects, replace=False)
    tensor[0, 4 + rng.integers(0, 80, objects), found] = 0.3 + 0.7 * rng.random(objects, np.float32)
    return tensor


class Still:
    """A request whose answer is there already: what remains is the way to and from a network."""

    done = True

    def __init__(self, shape: tuple[int, ...], answer: NDArray[np.float32]) -> None:
        self.inputs = {"images": np.zeros(shape, np.float32)}
        self.outputs = {"output0": answer}

    def start(self, callback: Callable[[Any], None] | None = None) -> None:
        """Nothing is in flight."""
        if callback is not None:
            callback(self)

    def infer(self) -> None:
        """Nothing is computed."""

    wait = infer


class StillNetwork:
    """A YOLO that always says the same."""

    name, path, device, precision = "still", None, "CPU", "f32"
    is_remote, spec, label_base = False, None, 0
    metadata: Mapping[str, Any] = MappingProxyType({})

    def __init__(self) -> None:
        from saccade.networks.network import Port

        self._shape, self._answer = (1, 3, 320, 320), yolo_tensor(2100, 20)
        self.inputs = (Port("images", self._shape, np.dtype(np.float32)),)
        self.outputs = (Port("output0", self._answer.shape, np.dtype(np.float32)),)
        self.idle: deque[Any] = deque()

    def request(self) -> Still:
        """One more."""
        return Still(self._shape, self._answer)

    def infer(self, inputs: Any) -> dict[str, NDArray[np.float32]]:
        """The same as ever."""
        return {"output0": self._answer.copy()}


def preprocess(pixels: str, size: tuple[int, int], **options: Any) -> Stage:
    """1080p pixels to a float32 NCHW tensor."""
    frame = picture(1080, 1920)
    if pixels != "bgr":
        frame = frame.reshape(-1)[: 1080 * 1920 * 3 // 2].reshape(1620, 1920).copy()
    tensor = np.zeros((1, 3, *size), np.float32)
    plan = saccade.Preprocess((1080, 1920), size, scale=255, pixels=pixels, **options)

    def run() -> object:
        plan(frame, tensor)
        return tensor

    return run


def decode_ssd() -> Stage:
    """8,732 priors of 21 classes."""
    rng = np.random.default_rng(1)
    n, classes = 8732, 21
    centre, size = rng.random((n, 2), np.float32), 0.02 + 0.3 * rng.random((n, 2), np.float32)
    priors = np.concatenate([centre - size / 2, centre + size / 2], 1)
    loc = rng.normal(0, 0.5, (n, 4)).astype(np.float32)
    logits = rng.normal(0, 1, (n, classes)).astype(np.float32)
    logits[:, 0] += 6
    conf = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return lambda: saccade.decode_ssd(
        loc, conf, priors, score_threshold=0.01, iou_threshold=0.45, top_k=400, keep_top_k=200
    )


def decode_yolo() -> Stage:
    """8,400 rows of 80 classes, channels first."""
    tensor = yolo_tensor()
    return lambda: saccade.decode_yolo(
        tensor, layout="cxcywh", score_threshold=0.25, iou_threshold=0.45, channels_first=True, agnostic=True
    )


def nms() -> Stage:
    """1,000 boxes."""
    rng = np.random.default_rng(2)
    corner, size = rng.random((1000, 2), np.float32) * 1000, 20 + 60 * rng.random((1000, 2), np.float32)
    boxes, scores = np.concatenate([corner, corner + size], 1), rng.random(1000, np.float32)
    return lambda: saccade.nms(boxes, scores, 0.45)


def predictor() -> Stage:
    """From a frame to a result, with a network that takes no time."""
    frame = saccade.Frame.from_bgr(picture(180, 320))
    predict = saccade.open(StillNetwork(), head="yolov8", labels=[str(n) for n in range(80)])
    return lambda: predict(frame).detections.boxes


def crowd(frames: int) -> list[saccade.Detections]:
    """Twenty walking people, all of them found in each frame."""
    rng = np.random.default_rng(4)
    place, speed = rng.uniform(200, 1700, (20, 2)), rng.normal(0, 2, (20, 2))
    sides, scores = rng.uniform(40, 160, (20, 2)), np.linspace(1, 0.5, 20, dtype=np.float32)
    boxes = [np.concatenate([p - sides / 2, p + sides / 2], 1) for p in (place + speed * n for n in range(frames))]
    return [saccade.Detections(b.astype(np.float32), scores, np.zeros(20, np.int32), names=("person",)) for b in boxes]


def track() -> Stage:
    """A tracker follows twenty people."""
    from saccade.tracking import Tracker

    shown, tracker, turn = crowd(100), Tracker(), iter(range(10**9))

    def run() -> object:
        n = next(turn)
        back_and_forth = n % 198 if n % 198 < 100 else 198 - n % 198
        return tracker.update(shown[back_and_forth], n / 30)

    return run


def events() -> Stage:
    """Twenty objects as JSON's objects."""
    found = crowd(1)[0]
    return lambda: found.to_event()


STAGES: dict[str, Callable[[], Stage]] = {
    "BGR to 300x300": lambda: preprocess("bgr", (300, 300)),
    "I420 to 300x300": lambda: preprocess("i420", (300, 300)),
    "head crop": lambda: preprocess("bgr", (84, 84), roi=(640, 220, 640, 640), mirror=True),
    "decode_ssd": decode_ssd,
    "decode_yolo": decode_yolo,
    "nms": nms,
    "predictor": predictor,
    "track": track,
    "events": events,
}


def digest(value: object) -> str:
    """Of a result's numbers; the same for equal results."""
    data = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
    return hashlib.sha256(data).hexdigest()[:12]


def at_hand() -> Iterator[tuple[str, Stage]]:
    """The stages that this build has."""
    for name, make in STAGES.items():
        try:
            stage = make()
            stage()
        except (AttributeError, ImportError, TypeError) as error:  # of another day
            print(f"{name}: {error}", file=sys.stderr)
            continue
        yield name, stage


def taken(stage: Stage, calls: int) -> int:
    """CPU time of so many calls, ns."""
    start = time.process_time_ns()
    for _ in range(calls):
        stage()
    return time.process_time_ns() - start


def idle(loops: int) -> None:
    """Do nothing for so long."""
    for _ in repeat(None, loops):
        pass


def loops_for(stage: Stage, factor: float) -> int:
    """How long a stage must idle to take `factor` of its time."""

    def least(work: Stage) -> int:
        return min(taken(work, 1) for _ in range(100))

    return round((factor - 1) * least(stage) * 10_000 / least(lambda: idle(10_000)))


def slowed(stage: Stage, loops: int) -> Stage:
    """The stage, which then idles."""

    def run() -> object:
        result = stage()
        idle(loops)
        return result

    return run


def answer(stages: dict[str, Stage], loops: Mapping[str, int]) -> None:
    """Slices as they are asked for. loops : of stages that idle."""
    before: deque[Stage] = deque(maxlen=KEPT)
    for line in sys.stdin:
        if line.strip() == "list":
            print(*(f"{name}={digest(stage())}" for name, stage in stages.items()), sep="\t", flush=True)
        elif line.endswith(" anew\n"):
            name = line[: -len(" anew\n")]
            before.append(stages[name])  # holds its memory, so that no other gets it
            stage = STAGES[name]()
            stages[name] = slowed(stage, loops[name]) if name in loops else stage
            print("made", flush=True)
        else:
            name, calls, parts = line.rsplit(maxsplit=2)
            print(min(taken(stages[name], int(calls)) for _ in range(int(parts))), flush=True)


def count(stages: Mapping[str, Stage], library: str) -> None:
    """Each stage between the marks of bench/counter.c."""
    counter = CDLL(library)
    for name, stage in stages.items():
        stage()
        calls = COUNTED.get(name, 10)
        gc.collect()
        counter.begin()
        for _ in range(calls):
            stage()
        counter.end(f"{name}={calls}".encode())


def factors(texts: Iterable[str]) -> dict[str, float]:
    """Of stages, out of STAGE=FACTOR."""
    return {name: float(factor) for name, _, factor in (text.rpartition("=") for text in texts)}


def main() -> None:
    """Answer, or count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow", action="append", default=[], metavar="STAGE=FACTOR")
    parser.add_argument("--count", metavar="COUNTER", help="bench/counter.c as a shared library")
    options = parser.parse_args()
    gc.disable()
    loops = {name: loops_for(STAGES[name](), factor) for name, factor in factors(options.slow).items()}
    stages = dict(at_hand())
    stages |= {name: slowed(stages[name], loops[name]) for name in loops}
    if options.count:
        count(stages, options.count)
    else:
        answer(stages, loops)


if __name__ == "__main__":
    main()
