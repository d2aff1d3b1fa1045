"""Identities over time: how many are right on made-up scenes of which the truth is known, and what a frame costs.

    python -m bench.tracking [--rounds N] [--json FILE] [--check]

IDF1 (E. Ristani et al., Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking, 2016) and switches
of identity (K. Bernardin, R. Stiefelhagen, Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics,
2008) are those of `saccade.tracking` and, beside them, of the usual way without a filter: boxes go to the object whose
box, moved on by its last velocity, they overlap most. A box's object is known here and need not be found by overlap. An
object that is in sight and was missed by the detector counts as missed by both.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.boxes import iou
from bench.figures import Figure, command_line, figure, finish
from saccade.results import Detections
from saccade.tracking import Tracker
from saccade.tracking.assignment import assign

WIDTH, HEIGHT = 1920, 1080
NAMES = ("person", "car", "truck")
OBJECTS, MOST_US = 20, 150.0
"""How many objects the cost is measured with, and the most that a frame may take, us."""
COST_NAME = f"a frame with {OBJECTS} objects to follow, over pairing by overlap"
COST_OF_USUAL = 1.0
"""The most that a frame may take as a part of the usual way's time."""

Follow = Callable[[Detections, float], NDArray[np.int64]]
"""The number of each box of a frame; arguments: the boxes and the frame's time."""


@dataclass(frozen=True, slots=True)
class Look:
    """One frame. truth : number of each box's object, -1 for a false box. visible : objects in sight."""

    time: float
    boxes: Detections
    truth: NDArray[np.int64]
    visible: int


@dataclass(frozen=True, slots=True)
class Scene:
    """A made-up scene.

    least : IDF1 that shall be reached. rate : frames a second. speed : px/s. turning : of the heading, rad / s^0.5.
    missed : part of the boxes that the detector misses. false : false boxes a frame. pillar : how long what stands in
    the middle hides those who pass, s. confused : part of the boxes with another class.
    lost : longest gap between two frames, s. lanes : people walk in rows, every other one against the rest. hard : what
    pairing by overlap cannot do.
    """

    name: str
    least: float
    rate: float = 30.0
    seconds: float = 20.0
    people: int = 8
    speed: float = 140.0
    turning: float = 0.4
    missed: float = 0.02
    false: float = 0.05
    noise: float = 0.03
    pillar: float = 0.0
    confused: float = 0.0
    lost: float = 0.0
    lanes: bool = False
    hard: bool = False


SCENES = (
    Scene("people cross", least=0.93),
    Scene("people cross in lanes, towards each other", least=0.95, lanes=True, people=10),
    Scene("behind a pillar for a second", hard=True, least=0.95, pillar=1.0, people=6, lanes=True),
    Scene("the same, 5 frames a second", hard=True, least=0.88, rate=5.0, pillar=1.0, people=6, lanes=True),
    Scene("a poor detector: misses, false and shaky boxes", hard=True, least=0.72, missed=0.2, false=1.0, noise=0.06),
    Scene("10 frames a second", least=0.93, rate=10.0),
    Scene("2 frames a second", hard=True, least=0.82, rate=2.0, people=5, seconds=40.0),
    Scene("gaps between the frames", least=0.93, rate=15.0, lost=0.5),
    Scene("classes that are mixed up", hard=True, least=0.90, confused=0.2),
)  # fmt: skip


def looks(scene: Scene, seed: int) -> Iterator[Look]:
    """The frames of a scene."""
    rng = np.random.default_rng(seed)
    steps, fine = int(scene.seconds * 60), 1 / 60
    n = scene.people
    depth = rng.uniform(0.6, 1.4, n)
    sides = np.stack([70 * depth, 180 * depth], 1)
    place = rng.uniform([100, 250], [WIDTH - 100, HEIGHT - 250], (n, 2))
    heading = rng.uniform(0, 2 * np.pi, n)
    if scene.lanes:
        heading = np.where(np.arange(n) % 2, 0.0, np.pi) + rng.normal(0, 0.02, n)
        place[:, 1] = 300 + np.arange(n) // 2 * 140 + rng.normal(0, 10, n)
    pace = scene.speed * depth * rng.uniform(0.7, 1.3, n)
    labels = np.zeros(n, np.int32)
    if scene.confused:
        labels = rng.integers(1, 3, n).astype(np.int32)
    next_look = 0.0
    for step in range(steps):
        heading += rng.normal(0, scene.turning * np.sqrt(fine), n)
        pace += rng.normal(0, 0.15 * scene.speed * np.sqrt(fine), n)
        pace = np.clip(pace, 0.3 * scene.speed, 2 * scene.speed)
        place += np.stack([np.cos(heading), 0.5 * np.sin(heading)], 1) * pace[:, None] * fine
        out = (place[:, 0] < 60) & (np.cos(heading) < 0) | (place[:, 0] > WIDTH - 60) & (np.cos(heading) > 0)
        heading[out] = np.pi - heading[out]
        over = (place[:, 1] < 200) & (np.sin(heading) < 0) | (place[:, 1] > HEIGHT - 200) & (np.sin(heading) > 0)
        heading[over] = -heading[over]
        now = step * fine
        if now + 1e-9 < next_look:
            continue
        next_look += 1 / scene.rate + (rng.uniform(0, scene.lost) if rng.random() < 0.1 else 0.0)
        yield _look(scene, rng, now, place, np.abs(np.cos(heading)) * pace, sides, depth, labels)


def _look(
    scene: Scene, rng: np.random.Generator, now: float, place: NDArray[np.float64], pace: NDArray[np.float64],
    sides: NDArray[np.float64], depth: NDArray[np.float64], labels: NDArray[np.int32],
) -> Look:  # fmt: skip
    """What a detector finds, of who is in sight."""
    boxes = np.concatenate([place - sides / 2, place + sides / 2], 1)
    visible = np.array([not _hidden(i, boxes, depth) for i in range(len(boxes))])
    if scene.pillar:
        visible &= np.abs(place[:, 0] - WIDTH / 2) > scene.pillar / 2 * pace
    found = np.flatnonzero(visible & (rng.random(len(boxes)) >= scene.missed))
    count = rng.poisson(scene.false)
    corner, size = rng.uniform(0, [WIDTH - 200, HEIGHT - 300], (count, 2)), rng.uniform(40, 250, (count, 2))
    noise = rng.normal(0, scene.noise, (len(found), 4)) * np.tile(sides[found], 2)
    all_boxes = np.concatenate([boxes[found] + noise, np.concatenate([corner, corner + size], 1)])
    truth = np.concatenate([found, np.full(count, -1)])
    scores = np.concatenate([rng.uniform(0.6, 0.95, len(found)), rng.uniform(0.4, 0.7, count)])
    kinds = np.concatenate([labels[found], np.full(count, labels[0])]).astype(np.int32)
    mixed = rng.random(len(kinds)) < scene.confused
    kinds[mixed] = 3 - kinds[mixed]
    order = np.argsort(-scores)
    shown = Detections(all_boxes[order].astype(np.float32), scores[order].astype(np.float32), kinds[order], names=NAMES)
    return Look(now, shown, truth[order].astype(np.int64), int(visible.sum()))


def _hidden(index: int, boxes: NDArray[np.float64], depth: NDArray[np.float64]) -> bool:
    """Whether more than half of it is behind somebody who is nearer."""
    x1, y1, x2, y2 = boxes[index]
    area = (x2 - x1) * (y2 - y1)
    for other in np.flatnonzero(depth > depth[index]):
        a1, b1, a2, b2 = boxes[other]
        if max(0.0, min(x2, a2) - max(x1, a1)) * max(0.0, min(y2, b2) - max(y1, b1)) > 0.5 * area:
            return True
    return False


@dataclass(slots=True)
class _Seen:
    """An object of the usual way. box : x1, y1, x2, y2, px. velocity : px/s. time : when it was last seen, s."""

    number: int
    box: list[float]
    velocity: tuple[float, float]
    time: float

    def expected(self, now: float) -> list[float]:
        (vx, vy), passed = self.velocity, now - self.time
        x1, y1, x2, y2 = self.box
        return [x1 + vx * passed, y1 + vy * passed, x2 + vx * passed, y2 + vy * passed]

    def move(self, box: list[float], now: float) -> None:
        passed = now - self.time
        if passed > 0:
            shifts = ((box[i] + box[i + 2] - self.box[i] - self.box[i + 2]) / 2 for i in (0, 1))
            vx, vy = ((old + shift / passed) / 2 for old, shift in zip(self.velocity, shifts, strict=True))
            self.velocity = vx, vy
        self.box, self.time = box, now


def overlap_tracker(patience: float = 1.0, least: float = 0.2) -> Follow:
    """The usual way: greedy by overlap with where each object would be by its last velocity."""
    known: list[_Seen] = []
    number = 0

    def follow(found: Detections, now: float) -> NDArray[np.int64]:
        nonlocal number
        known[:] = [each for each in known if now - each.time <= patience]
        boxes = found.boxes.astype(np.float64)
        pairs: dict[int, int] = {}
        if known and len(boxes):
            shares = iou(np.array([each.expected(now) for each in known]), boxes)
            taken: set[int] = set()
            for flat in np.argsort(-shares, axis=None).tolist():
                row, column = divmod(flat, len(boxes))
                if shares[row, column] < least:
                    break
                if column not in pairs and row not in taken:
                    pairs[column] = row
                    taken.add(row)
        tracks = []
        for column, box in enumerate(boxes.tolist()):
            if column in pairs:
                known[pairs[column]].move(box, now)
            else:
                number += 1
                pairs[column] = len(known)
                known.append(_Seen(number, box, (0.0, 0.0), now))
            tracks.append(known[pairs[column]].number)
        return np.array(tracks, np.int64)

    return follow


def saccade_tracker() -> Follow:
    """The tracker of this package."""
    tracker = Tracker()

    def follow(found: Detections, now: float) -> NDArray[np.int64]:
        tracks = tracker.update(found, now).tracks
        assert tracks is not None
        return tracks

    return follow


@dataclass(frozen=True, slots=True)
class Score:
    """idf1 : 1 where each object has one number of its own from end to end. switches : changes of number."""

    idf1: float
    switches: int


def score(frames: Sequence[Look], follow: Follow) -> Score:
    """How well a tracker does on a scene."""
    together: Counter[tuple[int, int]] = Counter()
    last: dict[int, int] = {}
    switches = given = 0
    for frame in frames:
        tracks = follow(frame.boxes, frame.time)
        given += len(tracks)
        for thing, track in zip(frame.truth.tolist(), tracks.tolist(), strict=True):
            if thing >= 0:
                together[thing, track] += 1
                switches += last.setdefault(thing, track) != track
                last[thing] = track
    things, numbers = (sorted({pair[side] for pair in together}) for side in (0, 1))
    counts = np.array([[together[thing, number] for number in numbers] for thing in things])
    rows, columns = assign(-counts.astype(np.float64), 0.0)
    right = int(counts[rows, columns].sum())
    return Score(2 * right / (given + sum(frame.visible for frame in frames)), switches)


def quality(scene: Scene, seeds: int) -> tuple[list[Score], list[Score]]:
    """Scores of this package's tracker and of the usual way."""
    mine, usual = [], []
    for seed in range(seeds):
        frames = list(looks(scene, seed))
        mine.append(score(frames, saccade_tracker()))
        usual.append(score(frames, overlap_tracker()))
    return mine, usual


def quality_figure(scene: Scene, seeds: int) -> Figure:
    """IDF1 on a scene."""
    mine, usual = quality(scene, seeds)
    values = [each.idf1 for each in mine]
    return Figure(
        f"IDF1: {scene.name}", statistics.mean(values), min(values), max(values), scene.least, True,
        f"{sum(each.switches for each in mine)} switches; by overlap {statistics.mean(u.idf1 for u in usual):.2f} and "
        f"{sum(each.switches for each in usual)}",
    )  # fmt: skip


def crowd(frames: int = 300) -> list[tuple[Detections, float]]:
    """`OBJECTS` people who walk, all of them found in each frame, in any order."""
    rng = np.random.default_rng(0)
    place, speed = rng.uniform(200, 1700, (OBJECTS, 2)), rng.normal(0, 60, (OBJECTS, 2))
    sides, labels = rng.uniform(40, 160, (OBJECTS, 2)), np.zeros(OBJECTS, np.int32)
    scores = np.sort(rng.uniform(0.5, 1, OBJECTS))[::-1].astype(np.float32)
    shown = []
    for n in range(frames):
        now = place + speed * (n / 30)
        boxes = np.concatenate([now - sides / 2, now + sides / 2], 1) + rng.normal(0, 2, (OBJECTS, 4))
        shown.append((Detections(rng.permutation(boxes).astype(np.float32), scores, labels, names=NAMES), n / 30))
    return shown


def cost(rounds: int) -> Figure:
    """CPU time of a frame over the usual way's; both in us beside it."""
    shown = crowd()
    pairs = []
    for _ in range(rounds):
        taken = [min(_seconds(make(), shown) for _ in range(5)) for make in (saccade_tracker, overlap_tracker)]
        pairs.append(taken)
    ratios = [mine / usual for mine, usual in pairs]
    mine, usual = (min(column) / len(shown) * 1e6 for column in zip(*pairs, strict=True))
    return figure(COST_NAME, ratios, COST_OF_USUAL, f"{mine:.0f} us (at most {MOST_US:.0f}) against {usual:.0f}")


def _seconds(follow: Follow, shown: Sequence[tuple[Detections, float]]) -> float:
    start = time.process_time()
    for found, now in shown:
        follow(found, now)
    return time.process_time() - start


def measure(rounds: int) -> Iterator[Figure]:
    """All figures of this suite."""
    yield cost(rounds)
    for scene in SCENES:
        yield quality_figure(scene, 2 * rounds)


if __name__ == "__main__":
    options = command_line(__doc__).parse_args()
    raise SystemExit(finish(measure(options.rounds), options))
