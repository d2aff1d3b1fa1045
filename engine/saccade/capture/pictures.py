"""A folder or glob of pictures, in the order of their names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saccade.capture.jpeg import orientation
from saccade.capture.source import Pace, Picture, Source
from saccade.errors import SourceError

FRAME_RATE = 30.0
"""Pictures have no time of their own; real time shows them at this rate, Hz."""


class PictureSource(Source):
    """Pictures from files, one a frame. paced : at `FRAME_RATE` instead of as fast as they are taken."""

    def __init__(self, name: str, paths: Sequence[Path], *, paced: bool = False) -> None:
        super().__init__(name)
        self._paths = list(paths)
        self._next = 0
        self._pace = Pace(self._stop) if paced else None

    def open(self) -> None:
        """Check that the files are there."""
        self._next = 0
        self.frame_rate = FRAME_RATE
        missing = next((path for path in self._paths if not path.is_file()), None)
        if missing is not None:
            raise SourceError(f"{missing}: not a file")

    def read(self) -> Picture | None:
        """The next file."""
        while self._next < len(self._paths) and not self.interrupted:
            path, position = self._paths[self._next], self._next / FRAME_RATE
            self._next += 1
            if self._pace is not None:
                self._pace.wait(position)
            try:
                data = path.read_bytes()
            except OSError as error:
                raise SourceError(f"{path}: {error.strerror}") from error
            picture = Picture(time=position, captured=time.monotonic(), size=len(data))
            # OpenCV turns pictures that were taken with the camera on its side.
            if data[:2] == b"\xff\xd8" and orientation(data) == 1:
                picture.jpeg = data
                return picture
            import cv2

            decoded: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
            if decoded is None:
                if len(self._paths) == 1:
                    raise SourceError(f"{path}: not a picture; expected JPEG, PNG or another format of OpenCV")
                self.damaged += 1
                continue
            picture.planes = (decoded,)
            picture.seconds = time.monotonic() - picture.captured
            return picture
        return None

    def close(self) -> None:
        """Nothing stays open between two pictures."""
