"""Files for their owner's eyes, and places that somebody else may have prepared.

Pictures of people, models and results are nobody's business but their user's: what saccade makes for itself is 0700
and 0600, whatever the umask. In a folder where everybody may put something (/tmp), what another user has put there is
not used, as the kernel has it with fs.protected_symlinks, _fifos and _regular where they are on.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def check_place(path: str | os.PathLike[str]) -> None:
    """Raises `PermissionError` where another user has put a part of the path into a folder that is open to all."""
    for whole in {Path(os.path.abspath(path)), Path(os.path.realpath(path))}:
        for part in (*reversed(whole.parents), whole)[1:]:
            try:
                found, folder = part.lstat(), part.parent.stat()
            except OSError:
                break  # not there: whoever makes it owns it; or not to be looked at, as whoever opens it will find
            if folder.st_mode & stat.S_IWOTH and found.st_uid not in (os.geteuid(), folder.st_uid, 0):
                raise PermissionError(
                    errno.EPERM, f"another user has put {part} into a folder that is open to all", os.fspath(path)
                )


def private_folder(path: str | os.PathLike[str]) -> Path:
    """The folder; what is missing of it is made, for its owner only. Raises `OSError`, as for another user's."""
    check_place(path)
    whole = Path(path)
    missing = []
    for part in (whole, *whole.parents):
        if part.exists():
            break
        missing.append(part)
    for part in reversed(missing):
        part.mkdir(mode=0o700, exist_ok=True)
    if not whole.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
    return whole


def private_file(path: str, flags: int) -> int:
    """An opener for `open()`: a file that is made is its owner's only, and no link is followed."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
