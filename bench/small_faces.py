"""How many small faces the face app finds by default, and what that costs.

    python -m bench.small_faces [--rounds N] [--json FILE] [--check]

Pictures of 1920x1080 with three faces of 80 to 120 px each, at places drawn by lot, before a wall with light, shadow
and sensor noise: what a camera at the end of a corridor sees. Truth is where they were put. A face counts as found
where a box overlaps it by more than half of their union; what overlaps none is false.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.boxes import iou
from bench.figures import Figure, command_line, figure, finish
from saccade.apps import make_app
from saccade.config import RunConfig
from saccade.frame import Image
from saccade.networks import catalogue
from saccade.predict import Predictor, open_predictor

MODEL = "blazeface-full"
WIDTH, HEIGHT = 1920, 1080
FRAMES = 90
LEAST_RECALL = 0.97
MOST_COST = 2.3
"""Of the default over the frame seen whole, in the processor's time of a picture: two tiles instead of one."""
FOUND = 0.5

Box = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """recall : part of the faces that were found. false : boxes that are none."""

    recall: float
    false: int


def portraits() -> list[tuple[Image, Box]]:
    """Three portraits (one of them mirrored), each with its face's box as a close-range detector sees it, px."""
    closely = open_predictor("blazeface-short", precision="f32", threads=1)
    pictures = [cv2.imread(str(catalogue.pull(name)[0])) for name in ("demo-astronaut", "demo-hopper")]
    pictures.append(cv2.flip(pictures[1], 1))
    found = []
    for picture in pictures:
        assert picture is not None
        detections = closely(np.asarray(picture, np.uint8)).detections
        assert detections is not None
        assert len(detections) == 1
        found.append(_bust(np.asarray(picture, np.uint8), detections.boxes[0].astype(np.float64)))
    return found


def _bust(picture: Image, box: Box) -> tuple[Image, Box]:
    """Head and shoulders, and the face's box in them."""
    centre, reach = (box[:2] + box[2:]) / 2, 2.0 * (box[3] - box[1])
    left, top = np.maximum(0, centre - reach).astype(int)
    right, bottom = (centre + reach).astype(int)
    return picture[top:bottom, left:right], box - np.array([left, top, left, top])


def scenes(frames: int = FRAMES, seed: int = 0) -> Iterator[tuple[Image, list[Box]]]:
    """Frames, and the boxes of the faces in each."""
    rng = np.random.default_rng(seed)
    people = portraits()
    wall = cv2.resize(
        rng.uniform(70, 150, (3, 4, 1)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    ground = np.clip(wall[..., None] + rng.normal(0, 3, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    for _ in range(frames):
        frame, truth = ground.copy(), []
        for slot, (picture, box) in zip(rng.permutation(len(people)), people, strict=True):
            scale = rng.uniform(80, 120) / (box[3] - box[1])
            small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            height, width = small.shape[:2]
            share = WIDTH // len(people)
            left = int(slot * share + rng.uniform(0, share - width))
            top = int(rng.uniform(0, HEIGHT - height))
            frame[top : top + height, left : left + width] = small
            truth.append(box * scale + np.array([left, top, left, top]))
        yield frame, truth


def score(predictor: Predictor, frames: list[tuple[Image, list[Box]]]) -> Score:
    """What a predictor finds of the faces."""
    hits = total = false = 0
    for frame, truth in frames:
        detections = predictor(frame).detections
        assert detections is not None
        overlaps = iou(detections.boxes, np.array(truth))
        hits += int((overlaps.max(0, initial=0) > FOUND).sum())
        false += int((overlaps.max(1, initial=0) <= FOUND).sum())
        total += len(truth)
    return Score(hits / total, false)


def cost(one: Predictor, other: Predictor, frame: Image, runs: int = 20) -> float:
    """Time of a picture, of one predictor over that of another: the processor's, of calls that take turns."""
    times = [(_seconds(one, frame), _seconds(other, frame)) for _ in range(runs)]
    (first, second) = (statistics.quantiles(column, n=4)[0] for column in zip(*times, strict=True))
    return first / second


def _seconds(predictor: Predictor, frame: Image) -> float:
    start = time.process_time()
    predictor(frame)
    return time.process_time() - start


def measure(rounds: int) -> Iterator[Figure]:
    """All figures of this suite."""
    frames = list(scenes())
    default = make_app("faces", RunConfig(device="CPU", precision="f32", threads=1)).predictor
    whole = open_predictor(MODEL, precision="f32", threads=1, tiles="off")
    found, without = score(default, frames), score(whole, frames)
    detail = f"{found.false} false boxes; seen whole: recall {without.recall:.2f}, {without.false} false"
    yield figure("faces of 80 to 120 px at 1080p: recall without an option", [found.recall], LEAST_RECALL, detail,
                 at_least=True)  # fmt: skip
    picture = frames[0][0]
    ratios = [cost(default, whole, picture) for _ in range(rounds + 1)][1:]
    yield figure("the same: time of a picture over that of the frame seen whole", ratios, MOST_COST,
                 "preprocessing, network and parsing, one thread")  # fmt: skip


if __name__ == "__main__":
    options = command_line(__doc__).parse_args()
    raise SystemExit(finish(measure(options.rounds), options))
