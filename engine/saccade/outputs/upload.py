"""Crops on their way to a bucket: the sharpest of each object, every few seconds, through the spool."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from saccade.frame import Frame
from saccade.outputs.crops import Crop, CropStatistics, CropWriter
from saccade.results import Result

if TYPE_CHECKING:
    from saccade.storage.spool import Spool

LEAST_SIDE = 80
"""Amazon Rekognition refuses pictures with a smaller side, px."""


def crop_key(prefix: str, seconds: float) -> str:
    """S3 key of a crop: ``{prefix}{month}_{day}/{hour}_{minute}/{timestamp}_{digest}.jpg``, in local time.

    prefix : as `faces/`, which the cloud stage waits for. The digest is of the crop, so that two crops of one second
    never share a key; see `Spool.put`. Files have the time of their stream, which begins at 0: theirs is now.
    """
    seconds = seconds if seconds >= 1e9 else time.time()
    t = time.localtime(seconds)
    return f"{prefix}{t.tm_mon}_{t.tm_mday}/{t.tm_hour}_{t.tm_min}/{int(seconds)}_{{digest}}.jpg"


class CropsToSpool:
    """An output that puts the sharpest crop of each object into the spool, from where it is uploaded.

    prefix : of the keys, as `faces/`. The others : see `CropWriter`.
    """

    leases = 1

    def __init__(self, spool: Spool, *, prefix: str, interval: float, margin: float, wait: bool = False) -> None:
        self._spool, self._prefix = spool, prefix
        self.name = f"crops to the spool ({spool.folder})"
        self._crops = CropWriter(self._put, interval=interval, margin=margin, least_side=LEAST_SIDE, wait=wait)

    def accept(self, frame: Frame, result: Result) -> None:
        """Follow the frame's objects."""
        self._crops.accept(frame, result)

    def statistics(self) -> CropStatistics:
        """Figures of the crops."""
        return self._crops.statistics()

    def close(self) -> None:
        """Spool the best of what is under way."""
        self._crops.close()

    def best_of(self, track: int) -> str | None:
        """S3 key of an object's best crop; see `CropWriter.best_of`."""
        return self._crops.best_of(track)

    def _put(self, crop: Crop) -> str:
        return self._spool.put(crop.jpeg, crop_key(self._prefix, crop.time)).key
