"""What files to read from have in common that are no files of the system: they know their size and where one is."""

from __future__ import annotations

import io


class Seekable(io.RawIOBase):
    """A file of so many bytes, at its begin. Whoever derives from it reads from `_position` on, and moves that."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size, self._position = size, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """The new position, which may lie behind the end."""
        self._position = max(0, (0, self._position, self._size)[whence] + offset)
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position
