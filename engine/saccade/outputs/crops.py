"""A picture of each face every few seconds: the sharpest of its interval, not thirty a second."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import cv2

from saccade.errors import OutputError
from saccade.frame import Frame, Image
from saccade.outputs.folder import PictureFolder
from saccade.outputs.jpeg import encode_jpeg
from saccade.outputs.track import Track, Tracker
from saccade.outputs.worker import FrameWorker
from saccade.results import Result

log = logging.getLogger(__name__)

Box: TypeAlias = tuple[int, int, int, int]

SCORED_SIDE = 96
"""Side to which a face is brought before its sharpness is measured, px."""


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
    box : x1, y1, x2, y2 of the crop in the frame, px.
    """

    jpeg: bytes
    time: float
    frame: int
    track: int
    index: int
    score: float
    sharpness: float
    box: Box

    @property
    def name(self) -> str:
        """`{time}_{track}_{index}.jpg`, time in ms; sorts by time."""
        return f"{max(0, round(self.time * 1e3)):013d}_{self.track}_{self.index}.jpg"


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
    """A track's present interval, as the pipeline's thread knows it: stream time of its start, if it has a sample."""

    start: float
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class _Sample:
    """A face to be scored; `box` is of the face, without margin, px."""

    track: int
    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class _Candidate:
    picture: Image
    time: float
    frame: int
    score: float
    sharpness: float
    box: Box


@dataclass(frozen=True, slots=True)
class _Job:
    """`ended`: tracks whose interval has ended (True: the track, too); `samples`: to be scored, of `time`, s."""

    ended: tuple[tuple[int, bool], ...] = ()
    samples: tuple[_Sample, ...] = ()
    time: float = 0.0


class CropWriter:
    """An output that follows faces and keeps the sharpest crop of each per interval.

    Candidates are cut and scored in a thread of its own; the pipeline's thread only follows the boxes. A crop is
    written when its interval ends, when its face has gone, and at `close()`.

    Parameters
    ----------
    target : a folder, where crops become files of mode 0600; or a function that takes each `Crop` (called in this
        output's thread, for example to put it into a spool) and raises OutputError where it cannot.
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
        target: str | Path | Callable[[Crop], object],
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
        self._interval = interval
        self._margin = margin
        self._period = 1 / rate
        self._least = least
        self._least_side = least_side
        self._quality = quality
        # of the pipeline's thread
        self._tracker = Tracker(patience=min(1.0, interval))
        self._intervals: dict[int, _Interval] = {}
        self._size = (0, 0)
        self._sampled_at = -math.inf
        self._tracks = self._skipped = 0
        # of the worker's thread
        self._best: dict[int, _Candidate] = {}
        self._count: dict[int, int] = {}
        self._sampled = self._written = self._lost = 0
        self._worker: FrameWorker[_Job] = FrameWorker("saccade-crops", self._work, wait=wait)

    def accept(self, frame: Frame, result: Result) -> None:
        """Follow the frame's faces, and hand over those that are due to be sampled."""
        detections = result.detections
        if detections is None:
            return
        size, time = (result.width, result.height), result.time
        ended: list[tuple[int, bool]] = []
        if size != self._size:
            ended += self._end(self._tracker.clear())
            self._size = size
        found = [self._whole_pixels(box, *size) for box in detections.boxes.tolist()]
        usable = [index for index, face in enumerate(found) if face is not None]
        tracks, gone = self._tracker.update(detections.boxes[usable], time)
        ended += self._end(gone)
        faces = [
            _Sample(track.number, cast(Box, found[index]), float(detections.scores[index]))
            for index, track in zip(usable, tracks, strict=True)
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
        ended = self._end(self._tracker.clear())
        if ended:
            self._worker.tell(_Job(tuple(ended)))
        self._worker.close()

    def statistics(self) -> CropStatistics:
        """Figures so far."""
        return CropStatistics(
            self._tracks, self._sampled, self._skipped, self._written, self._lost, self._worker.failed
        )

    def _end(self, tracks: list[Track]) -> list[tuple[int, bool]]:
        return [(track.number, True) for track in tracks if self._intervals.pop(track.number, None)]

    def _due(self, faces: list[_Sample], time: float, ended: list[tuple[int, bool]]) -> list[_Sample]:
        """Those of the frame's faces that are to be sampled; adds to `ended` the intervals that end with it."""
        # One clock for all tracks: faces that are in the picture together are cut out of the same decoded frame.
        tick = not self._sampled_at <= time < self._sampled_at + self._period
        samples = []
        for face in faces:
            interval = self._intervals.get(face.track)
            if interval is None:
                interval = self._intervals[face.track] = _Interval(time)
                self._tracks += 1
            elif time - interval.start >= self._interval:
                ended.append((face.track, False))
                interval.start, interval.sampled = time, False
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
            self._best[sample.track] = _Candidate(picture, time, frame.sequence, sample.score, value, box)

    def _finish(self, number: int) -> None:
        best = self._best.pop(number, None)
        if best is None:
            return
        index = self._count[number] = self._count.get(number, 0) + 1
        jpeg = encode_jpeg(enlarged(best.picture, self._least_side), quality=self._quality)
        if self._keep(Crop(jpeg, best.time, best.frame, number, index, best.score, best.sharpness, best.box)):
            self._written += 1
        else:
            self._lost += 1

    @staticmethod
    def _write(folder: PictureFolder) -> Callable[[Crop], bool]:
        return lambda crop: folder.write(crop.name, crop.jpeg) is not None

    def _give(self, take: Callable[[Crop], object]) -> Callable[[Crop], bool]:
        def keep(crop: Crop) -> bool:
            try:
                take(crop)
            except OutputError as error:
                if not self._lost:
                    log.error("a crop could not be kept: %s", error)
                return False
            return True

        return keep


def sharpness(face: Image) -> float:
    """Variance of the Laplacian of the face's luma, after the face was brought to one size.

    So a near face and a far one compare, and one that has too few pixels counts as the blurred one that it is.
    face : uint8 (h, w, 3) BGR.
    """
    import cv2

    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    even = cv2.resize(grey, (SCORED_SIDE, SCORED_SIDE), interpolation=cv2.INTER_AREA)
    return float(cast(Image, cv2.Laplacian(even, cv2.CV_32F)).var())
