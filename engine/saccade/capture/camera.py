"""Cameras through Video4Linux (OpenCV's V4L2 back end).

MJPEG is asked for and conversion switched off, so that the camera's own JPEG bytes arrive. OpenCV waits for a
picture in `select` for at most ten seconds, so that a dead camera is noticed.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from saccade.capture.source import Picture, Source
from saccade.errors import SourceError

WIDTH, HEIGHT, FRAME_RATE = 1920, 1080, 30
"""Asked for where the name does not say; the driver chooses the nearest that the camera has."""

_NAME = re.compile(r"(?P<path>[^@]+)(@(?P<width>\d{1,5})x(?P<height>\d{1,5})(@(?P<rate>\d{1,3}))?)?")


class CameraSource(Source):
    """A camera by number or device path, with a size and a frame rate if wanted: `/dev/video0@2688x1520@15`."""

    live = True
    comes_later = True
    every_frame = False

    def __init__(self, name: str) -> None:
        super().__init__(name)
        match = _NAME.fullmatch(name)
        if match is None:
            raise SourceError(f"camera {name!r} is not understood; give 0, /dev/video0 or /dev/video0@1280x720@30")
        path = match["path"]
        self._path = f"/dev/video{int(path)}" if path.isdecimal() else path
        self._wish = int(match["width"] or WIDTH), int(match["height"] or HEIGHT), int(match["rate"] or FRAME_RATE)
        self._camera: Any = None
        self._compressed = True

    def open(self) -> None:
        """Open the camera and ask for MJPEG."""
        import cv2

        self.close()
        if not Path(self._path).exists():
            raise SourceError(f"camera {self._path}: no such device; `saccade doctor` lists what is there")
        if not os.access(self._path, os.R_OK | os.W_OK):
            raise SourceError(f"camera {self._path}: no permission; add the user to the group `video`")
        camera = cv2.VideoCapture(self._path, cv2.CAP_V4L2)
        if not camera.isOpened():
            camera.release()
            raise SourceError(f"camera {self._path}: cannot be opened; it may be in use by another program")
        mjpeg = cv2.VideoWriter.fourcc(*"MJPG")
        camera.set(cv2.CAP_PROP_FOURCC, mjpeg)
        width, height, rate = self._wish
        camera.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        camera.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        camera.set(cv2.CAP_PROP_FPS, rate)
        # Two buffers of the driver: one being filled, one waiting. More only make pictures older.
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 2)
        self._compressed = int(camera.get(cv2.CAP_PROP_FOURCC)) == mjpeg
        camera.set(cv2.CAP_PROP_CONVERT_RGB, 0 if self._compressed else 1)
        self.frame_rate = camera.get(cv2.CAP_PROP_FPS) or None
        self._camera = camera

    def read(self) -> Picture | None:
        """The next picture, as the camera compressed it."""
        start = time.monotonic()
        while not self.interrupted:
            # A new array each time: the frame keeps the camera's bytes without a copy.
            good, data = self._camera.read()
            if good and data is not None and data.size:
                picture = Picture(time=time.time(), captured=time.monotonic(), size=data.nbytes)
                if self._compressed:
                    picture.jpeg = data.reshape(-1).data
                else:
                    picture.planes = (data,)
                return picture
            if not Path(self._path).exists():
                raise SourceError(f"camera {self._path}: unplugged")
            if time.monotonic() - start > self.stall:
                raise SourceError(f"camera {self._path}: silent for {self.stall:.0f} s")
            self._stop.wait(0.01)
        return None

    def close(self) -> None:
        """Let other programs have the camera."""
        if self._camera is not None:
            self._camera.release()
            self._camera = None
