"""A folder that finished pictures are put into, each whole or not at all."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from saccade.errors import OutputError

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
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".{os.getpid()}.part"
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            probe.unlink()
        except OSError as error:
            raise OutputError(
                f"pictures cannot be written to {self.path}: {error.strerror}; give a folder that can be written to "
                "(--out)"
            ) from error

    def write(self, name: str, data: bytes) -> Path | None:
        """Write a file named `name`, or if that is taken with a number added; None where it could not be written."""
        part = self.path / f".{name}.{os.getpid()}.part"
        try:
            self._write(part, data)
            path = self._place(part, name)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
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

    @staticmethod
    def _write(part: Path, data: bytes) -> None:
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)  # the name must not be there before the bytes, whatever happens to the machine
        finally:
            os.close(file)

    def _place(self, part: Path, name: str) -> Path:
        stem, suffix = os.path.splitext(name)
        path, count = self.path / name, 1
        while True:
            try:
                os.link(part, path)  # fails where the name is taken, which a rename would not
            except FileExistsError:
                count += 1
                path = self.path / f"{stem}-{count}{suffix}"
                continue
            except PermissionError:  # a file system without hard links
                if path.exists():
                    count += 1
                    path = self.path / f"{stem}-{count}{suffix}"
                    continue
                part.rename(path)
                return path
            part.unlink()
            return path
