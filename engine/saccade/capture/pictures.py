"""A folder, a glob or a file of pictures, in the order of their names."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from saccade.capture import formats, still
from saccade.capture.source import Pace, Picture, Source
from saccade.errors import JpegError, SourceError

FRAME_RATE = 30.0
"""Pictures have no time of their own; real time shows them at this rate, Hz."""
PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm",
    ".pnm", ".jp2", ".j2k", ".avif",
)  # fmt: skip
"""Whatever is called so in a folder is taken for a picture; other files only if they start as one."""
_MOST_BYTES_PER_PIXEL = 8
_SPARE_BYTES = 1 << 26


class PictureSource(Source):
    """Pictures from files, one a frame. paced : at `FRAME_RATE` instead of as fast as they are taken.

    An entry that is no usable picture is left out, named and counted; only where it was the only one it is an error.
    """

    named = 20

    def __init__(self, name: str, paths: Sequence[Path], *, paced: bool = False) -> None:
        super().__init__(name)
        self._paths = list(paths)
        self._next = 0
        self._pace = Pace(self._stop) if paced else None

    def open(self) -> None:
        """Start with the first file."""
        self._next = 0
        self.frame_rate = FRAME_RATE

    def read(self) -> Picture | None:
        """The next file."""
        while self._next < len(self._paths) and not self.interrupted:
            path, position = self._paths[self._next], self._next / FRAME_RATE
            self._next += 1
            if self._pace is not None:
                self._pace.wait(position)
            try:
                return self._picture(path, position)
            except (OSError, JpegError) as error:
                reason = f"{path}: {getattr(error, 'strerror', None) or error}"
                if len(self._paths) == 1:
                    raise SourceError(reason) from error
                self.note_damage(reason)
        return None

    def close(self) -> None:
        """Nothing stays open between two pictures."""

    def _picture(self, path: Path, position: float) -> Picture:
        data = content(path, self.max_pixels)
        picture = Picture(time=position, captured=time.monotonic(), size=len(data), name=str(path))
        if data.startswith(formats.JPEG[:2]):
            picture.jpeg = data
        else:
            picture.planes = (still.decode(data, max_pixels=self.max_pixels),)
            picture.seconds = time.monotonic() - picture.captured
        return picture


def content(path: Path, max_pixels: int) -> bytes:
    """The bytes of a file that may be a picture of so many pixels; `OSError` where they are too many for one."""
    return _content(path, _MOST_BYTES_PER_PIXEL * max_pixels + _SPARE_BYTES)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder by name or content, sorted. Raises `SourceError` if there are none."""
    try:
        entries = sorted(folder.iterdir(), key=str)
    except OSError as error:
        raise SourceError(f"folder {str(folder)!r}: {error.strerror}") from error
    found = [entry for entry in entries if entry.suffix.lower() in PICTURE_SUFFIXES or _starts_as_picture(entry)]
    if not found:
        raise SourceError(f"folder {str(folder)!r} holds no pictures; expected JPEG, PNG, WebP, BMP, TIFF, GIF or PNM")
    return found


def _starts_as_picture(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    try:
        return formats.is_picture(_content(path, None, formats.HEAD_BYTES))
    except OSError:
        return False


def _content(path: Path, most: int | None, count: int = -1) -> bytes:
    """The bytes of a regular file; opening anything else does not wait for a writer, and is an `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0 if count >= 0 else -1) as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(0, "not a file")
        if most is not None and state.st_size > most:
            raise OSError(0, f"{state.st_size} bytes are more than a picture of the largest size has")
        return file.read(count) or b""
