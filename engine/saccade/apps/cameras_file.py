"""A file of cameras as a run sees it: with what the command line and the environment say beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from saccade.config import CameraConfig, Cameras, load_cameras, read_camera, runnable_cameras

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CamerasFile:
    """A file of cameras with what is said beside it. environ, given : as for `load_cameras`. only : this camera."""

    path: str
    environ: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    app: str = ""
    only: str = ""

    def runnable(self, *, quiet: bool = False) -> Cameras:
        """Those that can run; a line in the log for each that cannot. Raises ConfigError where none can."""
        found, problems = runnable_cameras(self.path, environ=self.environ, given=self.given, app=self.app)
        for line in () if quiet else problems:
            log.error("%s; the others run", line)
        return self._chosen(found)

    def read(self) -> Cameras:
        """All of them; raises ConfigError where anything is wrong."""
        return self._chosen(load_cameras(self.path, environ=self.environ, given=self.given, app=self.app))

    def camera(self, table: Mapping[str, Any], where: str, found: Cameras) -> CameraConfig:
        """A camera beside those that were found; raises ConfigError."""
        return read_camera(
            table, where=where, defaults=found.common, environ=self.environ, given=self.given, beside=found.cameras
        )

    def mark(self) -> tuple[int, ...] | None:
        """Changes when the file does; None where there is none."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _chosen(self, found: Cameras) -> Cameras:
        return replace(found, cameras=(found[self.only],)) if self.only else found
