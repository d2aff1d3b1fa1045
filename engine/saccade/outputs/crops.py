"""A picture of each face every few seconds: the sharpest of its interval, not thirty a second."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TypeAlias, cast

import cv2

from saccade.errors import OutputError
from saccade.frame import Frame, Image
from saccade.outputs.crop_note import noted
from saccade.outputs.folder import PictureFolder
from saccade.outputs.jpeg import encode_jpeg
from saccade.outputs.worker import FrameWorker
from saccade.results import Detections, Result
from saccade.tracking import Tracker

log = logging.getLogger(__name__)

Box: TypeAlias = tuple[int, int, int, int]

SCORED_SIDE = 96
"""Side to which a face is brought before its sharpness is measured, px."""

REMEMBERED = 1000
"""Faces whose best crop is known by its name, the newest."""


def enlarged(picture: Image, least: int) -> Image:
    """The picture with sides of at least `least` px and its shape kept; the picture itself where they are."""
    height, width = picture.shape[:2]
    factor = least / min(height, width)
    if factor <= 1:
        return picture
    size = max(least, round(width * factor)), max(least, round(height * factor))
    return cast(Image, cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC))


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop, ready to be kept.

    jpeg : JFIF bytes. time : of its frame, s. frame : sequence number. track : number of the face's track.
    index : 1 for a track's first crop. score : of the detection. sharpness : see `sharpness()`.
    box : x1, y1, x2, y2 of the crop in the frame, px. label : of the object.
    """

    jpeg: bytes
    time: float
    frame: int
    track: int
    index: int
    score: float
    sharpness: float
    box: Box
    label: str = ""

    @property
    def name(self) -> str:
        """`{time}_{track}_{index}.jpg`, time in ms; sorts by time."""
        return f"{max(0, round(self.time * 1e3)):013d}_{self.track}_{self.index}.jpg"

    @property
    def file(self) -> bytes:
        """The JPEG with what it shows noted in it, for who looks back at a folder."""
        return noted(self.jpeg, {"label": self.label, "score": round(self.score, 4), "box": self.box})


@dataclass(frozen=True, slots=True)
class CropStatistics:
    """What became of the faces.

    tracks : faces followed. sampled : candidates scored. skipped : candidates that came while the last was still
    worked on. written, lost : crops. failed : frames that could not be read.
    """

    tracks: int
    sampled: int
    skipped: int
    written: int
    lost: int
    failed: int


@dataclass(slots=True)
class _Interval:
    """A track's present interval, as the pipeline's thread knows it: stream time of its start and of when the face was
    last seen, s; if it has a sample.
    """

    start: float
    seen: float
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class _Sample:
    """A face to be scored; `box` is of the face, without margin, px."""

    track: int
    box: Box
    score: float
    label: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    picture: Image
    time: float
    frame: int
    score: float
    sharpness: float
    box: Box
    label: str


@dataclass(frozen=True, slots=True)
class _Job:
    """`ended`: tracks whose interval has ended (True: the track, too); `samples`: to be scored, of `time`, s."""

    ended: tuple[tuple[int, bool], ...] = ()
    samples: tuple[_Sample, ...] = ()
    time: float = 0.0


class CropWriter:
    """An output that keeps the sharpest crop of each face per interval.

    Candidates are cut and scored in a thread of its own. Which face is which the result's tracks say; where it has
    none they are followed here. A crop is written when its interval ends, when its face has not been seen for as long,
    but at most for a second, and at `close()`.

    Parameters
    ----------
    target : a folder, where crops become files of mode 0600; or a function that takes each `Crop` (called in this
        output's thread, for example to put it into a spool), says under which key it is kept, and raises OutputError
        where it cannot be.
    interval : between crops of one face, s of stream time.
    margin : around the face, as a part of its width and height.
    rate : candidates a second of stream time.
    least : smallest side of a face that is kept, px. least_side : a crop with a smaller side is enlarged to it, px;
        Rekognition wants 80.
    wait : every frame matters (a source read frame by frame): wait for the thread rather than skip candidates.
    """

    leases = 1

    def __init__(
        self,
        target: str | Path | Callable[[Crop], str | None],
        *,
        interval: float = 3.0,
        margin: float = 0.25,
        rate: float = 5.0,
        least: int = 16,
        least_side: int = 0,
        quality: int = 92,
        wait: bool = False,
    ) -> None:
        self._keep = self._give(target) if callable(target) else self._write(PictureFolder(target))
        self.name = "crops" if callable(target) else f"crops ({target})"
        self._interval = interval
        self._margin = margin
        self._period = 1 / rate
        self._least = least
        self._least_side = least_side
        self._quality = quality
        # of the pipeline's thread, and who closes
        self._accepting = Lock()
        self._patience = min(1.0, interval)
        self._tracker = Tracker(patience=self._patience)
        self._intervals: dict[int, _Interval] = {}
        self._sampled_at = -math.inf
        self._tracks = self._skipped = 0
        # of the worker's thread
        self._best: dict[int, _Candidate] = {}
        self._count: dict[int, int] = {}
        # of both
        self._names = _Names()
        self._sampled = self._written = self._lost = 0
        self._worker: FrameWorker[_Job] = FrameWorker("saccade-crops", self._work, output=self.name, wait=wait)

    def accept(self, frame: Frame, result: Result) -> None:
        """Follow the frame's faces, and hand over those that are due to be sampled."""
        if result.detections is not None:
            with self._accepting:  # what was taken is written, though the camera is removed meanwhile
                self._follow(frame, result, result.detections)

    def _follow(self, frame: Frame, result: Result, detections: Detections) -> None:
        size, time = (result.width, result.height), result.time
        if detections.tracks is None:
            detections = self._tracker.update(detections, time, size=size)
        assert detections.tracks is not None
        ended = self._end_absent(time)
        faces = [
            _Sample(track, face, score, detections.name(i))
            for i, (track, box, score) in enumerate(
                zip(detections.tracks.tolist(), detections.boxes.tolist(), detections.scores.tolist(), strict=True)
            )
            if track > 0 and (face := self._whole_pixels(box, *size)) is not None
        ]
        samples = self._due(faces, time, ended)
        if samples and self._worker.offer(frame, _Job(tuple(ended), tuple(samples), time)):
            self._sampled_at = time
            for sample in samples:
                self._intervals[sample.track].sampled = True
        else:
            self._skipped += len(samples)
            if ended:
                self._worker.tell(_Job(tuple(ended)))

    def close(self) -> None:
        """Write the best of what is under way and end the thread."""
        with self._accepting:
            if self._intervals:
                self._names.expect(self._intervals)
                self._worker.tell(_Job(tuple((track, True) for track in self._intervals)))
                self._intervals.clear()
        self._worker.close()

    def best_of(self, track: int) -> str | None:
        """File or key of the sharpest crop of a face that has gone; "" without one, None while it is under way."""
        return None if track in self._intervals else self._names.of(track)

    def statistics(self) -> CropStatistics:
        """Figures so far."""
        return CropStatistics(
            self._tracks, self._sampled, self._skipped, self._written, self._lost, self._worker.failed
        )

    def _end_absent(self, time: float) -> list[tuple[int, bool]]:
        gone = [n for n, interval in self._intervals.items() if not 0 <= time - interval.seen <= self._patience]
        self._names.expect(gone)
        for track in gone:
            del self._intervals[track]
        return [(track, True) for track in gone]

    def _due(self, faces: list[_Sample], time: float, ended: list[tuple[int, bool]]) -> list[_Sample]:
        """Those of the frame's faces that are to be sampled; adds to `ended` the intervals that end with it."""
        # One clock for all tracks: faces that are in the picture together are cut out of the same decoded frame.
        tick = not self._sampled_at <= time < self._sampled_at + self._period
        samples = []
        for face in faces:
            interval = self._intervals.get(face.track)
            if interval is None:
                interval = self._intervals[face.track] = _Interval(time, time)
                self._tracks += 1
            elif time - interval.start >= self._interval:
                ended.append((face.track, False))
                interval.start, interval.sampled = time, False
            interval.seen = time
            if tick or not interval.sampled:
                samples.append(face)
        return samples

    def _whole_pixels(self, box: list[float], width: int, height: int) -> Box | None:
        """The face's part of the frame, or None where that is too small to keep."""
        x1, y1, x2, y2 = box
        if not math.isfinite(x1 + y1 + x2 + y2):
            return None
        left, top = max(0, math.floor(x1)), max(0, math.floor(y1))
        right, bottom = min(width, math.ceil(x2)), min(height, math.ceil(y2))
        return (left, top, right, bottom) if min(right - left, bottom - top) >= self._least else None

    def _work(self, frame: Frame | None, job: _Job) -> None:
        for number, whole_track in job.ended:
            self._finish(number)
            if whole_track:
                self._count.pop(number, None)
                self._names.settle(number)
        if frame is None:
            return
        if len(job.samples) > 1:
            frame.bgr()  # decoded once for all of them
        for sample in job.samples:
            self._score(frame, sample, job.time)

    def _score(self, frame: Frame, sample: _Sample, time: float) -> None:
        x1, y1, x2, y2 = sample.box
        dx, dy = round((x2 - x1) * self._margin), round((y2 - y1) * self._margin)
        box = (max(0, x1 - dx), max(0, y1 - dy), min(frame.width, x2 + dx), min(frame.height, y2 + dy))
        picture = frame.crop(*box)
        face = picture[y1 - box[1] : y2 - box[1], x1 - box[0] : x2 - box[0]]
        self._sampled += 1
        value = sharpness(face)
        best = self._best.get(sample.track)
        if best is None or value > best.sharpness:
            self._best[sample.track] = _Candidate(picture, time, frame.sequence, sample.score, value, box, sample.label)

    def _finish(self, number: int) -> None:
        best = self._best.pop(number, None)
        if best is None:
            return
        index = self._count[number] = self._count.get(number, 0) + 1
        jpeg = encode_jpeg(enlarged(best.picture, self._least_side), quality=self._quality)
        crop = Crop(jpeg, best.time, best.frame, number, index, best.score, best.sharpness, best.box, best.label)
        name = self._keep(crop)
        if name is None:
            self._lost += 1
        else:
            self._written += 1
            self._names.add(crop, name)

    @staticmethod
    def _write(folder: PictureFolder) -> Callable[[Crop], str | None]:
        def keep(crop: Crop) -> str | None:
            path = folder.write(crop.name, crop.file)
            return None if path is None else str(path)

        return keep

    def _give(self, take: Callable[[Crop], str | None]) -> Callable[[Crop], str | None]:
        def keep(crop: Crop) -> str | None:
            try:
                return take(crop) or ""
            except OutputError as error:
                if not self._lost:
                    log.error("a crop could not be kept: %s", error)
                return None

        return keep


class _Names:
    """Under which name the sharpest crop of each face is kept; of the pipeline's and the worker's thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._best: dict[int, tuple[float, str]] = {}
        self._expected: dict[int, int] = {}

    def expect(self, tracks: Iterable[int]) -> None:
        """These have gone, and the worker is being told so."""
        with self._lock:
            for track in tracks:
                self._expected[track] = self._expected.get(track, 0) + 1

    def settle(self, track: int) -> None:
        """What was under way of one that has gone is kept, or lost."""
        with self._lock:
            left = self._expected.pop(track, 1) - 1
            if left:
                self._expected[track] = left

    def add(self, crop: Crop, name: str) -> None:
        """A crop is kept."""
        with self._lock:
            best = self._best.pop(crop.track, (-math.inf, ""))
            self._best[crop.track] = max(best, (crop.sharpness, name))
            if len(self._best) > REMEMBERED:
                del self._best[next(iter(self._best))]

    def of(self, track: int) -> str | None:
        """Name of the sharpest; "" where there is none, None while one may still come."""
        with self._lock:
            return None if track in self._expected else self._best.get(track, (0.0, ""))[1]


def sharpness(face: Image) -> float:
    """Variance of the Laplacian of the face's luma, after the face was brought to one size.

    So a near face and a far one compare, and one that has too few pixels counts as the blurred one that it is.
    face : uint8 (h, w, 3) BGR.
    """
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    even = cv2.resize(grey, (SCORED_SIDE, SCORED_SIDE), interpolation=cv2.INTER_AREA)
    return float(cast(Image, cv2.Laplacian(even, cv2.CV_32F)).var())
