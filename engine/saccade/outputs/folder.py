"""A folder that finished pictures are put into, each whole or not at all."""

from __future__ import annotations

import logging
from pathlib import Path

from saccade.errors import OutputError
from saccade.private import private_folder
from saccade.storage import atomic

log = logging.getLogger(__name__)


class PictureFolder:
    """Writes files atomically, readable by their owner only, and never over one that is there.

    A full disk, or a folder that is taken away, loses what comes while it lasts: counted, and told once.

    Raises
    ------
    OutputError : the folder cannot be made or written to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.written = self.lost = 0
        self._failing = False
        try:
            private_folder(self.path)
            atomic.probe(self.path)
        except OSError as error:
            raise OutputError(
                f"pictures cannot be written to {self.path}: {error.strerror}; give a folder that can be written to "
                "(--out)"
            ) from error

    def write(self, name: str, data: bytes) -> Path | None:
        """Write a file named `name`, or if that is taken with a number added; None where it could not be written."""
        try:
            path = atomic.add(self.path / name, data)
        except OSError as error:
            self.lost += 1
            if not self._failing:
                log.error(
                    "pictures cannot be written to %s: %s; those that come are lost until that is mended",
                    self.path,
                    error.strerror,
                )
            self._failing = True
            return None
        self.written += 1
        if self._failing:
            log.warning("pictures are written to %s again; %d were lost", self.path, self.lost)
        self._failing = False
        return path
