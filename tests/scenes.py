"""Moving pictures and results to feed outputs with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, perf_counter

import cv2
import numpy as np

from conditions import PATIENCE
from saccade.frame import Frame
from saccade.results import Classification, Detections, HeadPose, Masks, Result, Segmentation


def faces_result(
    frame: int, time: float, boxes: list[tuple[float, float, float, float]], size: tuple[int, int] = (1280, 720)
) -> Result:
    """A result of the faces app; `size` is (width, height)."""
    count = len(boxes)
    detections = Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.linspace(0.98, 0.6, count, dtype=np.float32),
        np.zeros(count, np.int32),
        names=("face",),
    )
    return Result(frame=frame, time=time, app="faces", width=size[0], height=size[1], detections=detections)


def pose_result(frame: int, time: float, direction: int, *, size: tuple[int, int] = (1280, 720)) -> Result:
    """A result of the head-pose app."""
    scores = np.full(9, 0.02, np.float32)
    scores[direction] = 0.84
    width, height = size
    region = np.array([width * 0.35, height * 0.2, width * 0.65, height * 0.8], np.float32)
    pose = HeadPose(direction, scores, region, 21.0, -8.0, 2.0)
    return Result(frame=frame, time=time, app="head-pose", width=width, height=height, pose=pose, mirrored=True)


def classes_result(frame: int, time: float, *, size: tuple[int, int] = (1280, 720)) -> Result:
    """A result of the classify app."""
    classes = Classification(
        np.arange(3, dtype=np.int32), np.array([0.7, 0.2, 0.1], np.float32), ("tabby cat", "<b>dog</b>", "lynx")
    )
    return Result(frame=frame, time=time, app="classify", width=size[0], height=size[1], classes=classes)


def objects_result(frame: int, time: float, *, size: tuple[int, int] = (1280, 720)) -> Result:
    """A result of the detect app: masks, tracks and a name that is long."""
    boxes = np.array([(100, 100, 500, 700), (600, 200, 1000, 500), (900, 400, 1270, 700)], np.float32)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    masks = Masks(((1 - x**2 - y**2).astype(np.float32),) * 3, boxes)
    names = ("person", "car", "a class whose name is much longer than any table's column")
    detections = Detections(
        boxes, np.array([0.9, 0.8, 0.4], np.float32), np.array([0, 1, 2], np.int32), names=names, masks=masks,
        tracks=np.array([7, 12, 1234]),
    )  # fmt: skip
    return Result(frame=frame, time=time, app="detect", width=size[0], height=size[1], detections=detections)


def segments_result(frame: int, time: float, *, size: tuple[int, int] = (1280, 720)) -> Result:
    """A result of the segment app."""
    labels = np.zeros((36, 64), np.uint8)
    labels[18:] = 1
    labels[10:26, 20:40] = 2
    place = np.array([0, 0, *size], np.float32)
    found = Segmentation(labels, place, ("background", "road", "car"), background=0)
    return Result(frame=frame, time=time, app="segment", width=size[0], height=size[1], segmentation=found)


def heads_result(frame: int, time: float, *, size: tuple[int, int] = (1280, 720)) -> Result:
    """A result of the classify app from a network with two heads."""
    classes = classes_result(frame, time, size=size).classes
    assert classes is not None
    heads = {
        "gender": Classification(np.arange(2, dtype=np.int32), np.array([0.9, 0.1], np.float32)),
        "animal": classes,
    }
    return Result(
        frame=frame, time=time, app="classify", width=size[0], height=size[1], classes=heads["gender"], heads=heads
    )


MAKERS = {
    "classify": classes_result,
    "detect": objects_result,
    "segment": segments_result,
    "heads": heads_result,
}
"""What makes the results of an app whose results do not move."""


def picture(number: int = 0, *, width: int = 1280, height: int = 720) -> np.ndarray:
    """A textured picture that moves with its number, uint8 (height, width, 3) BGR."""
    small = np.random.default_rng(7).integers(40, 160, (height // 40, width // 40, 3), np.uint8)
    made = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    x = 100 + number * 7 % (width - 300)
    cv2.circle(made, (x, height // 2), height // 6, (200, 210, 240), -1, cv2.LINE_AA)
    return made


class Feeder:
    """Plays a camera: gives frames to an output from its own thread at a steady rate."""

    def __init__(self, accept: Callable[[Frame, Result], None], rate: float = 30.0, app: str = "faces") -> None:
        self._accept = accept
        self._interval = 1 / rate
        self._app = app
        self._pictures = [picture(n * 8) for n in range(8)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self.frames = 0
        self.slowest = 0.0
        self.latest: Result | None = None
        self.pause = threading.Event()
        self.idle = False
        self.started = monotonic()

    def _run(self) -> None:
        due = monotonic()
        while not self._stop.wait(max(0.0, due - monotonic())):
            due += self._interval
            self.idle = self.pause.is_set()
            if self.idle:
                continue
            number = self.frames
            time = number * self._interval
            if self._app == "head-pose":
                result = pose_result(number, time, number // 60 % 9)
            elif self._app in MAKERS:
                result = MAKERS[self._app](number, time)
            else:
                x = 60 + number * 7 % 900
                result = faces_result(number, time, [(x, 200, x + 240, 500), (900.0, 100.0, 1100.0, 340.0)])
            frame = Frame.from_bgr(self._pictures[number % 8], sequence=number, time=time, captured=monotonic())
            start = perf_counter()
            self._accept(frame, result)
            self.slowest = max(self.slowest, perf_counter() - start)
            frame.release()
            self.latest = result
            self.frames += 1

    def statistics(self) -> dict[str, object]:
        seconds = monotonic() - self.started
        stages = {"decode": 3.1, "preprocess": 0.2, "infer": 9.4, "postprocess": 0.3, "output": 0.02}
        return {
            "frames": self.frames,
            "seconds": seconds,
            "fps": self.frames / seconds,
            "dropped": 3,
            "damaged": 1,
            "reconnects": 0,
            "stages": {name: {"p50_ms": ms, "p99_ms": ms * 1.6} for name, ms in stages.items()},
            "age_ms": {"p50": 13.4, "p99": 19.7},
            "device": "CPU",
            "precision": "f32",
            "model": "face-detection",
            "source": "rtsp://admin:secret@camera/ch1",
            "app": self._app,
            "latest": self.latest.to_event() if self.latest else {},
        }

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)
