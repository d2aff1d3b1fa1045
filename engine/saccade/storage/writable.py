"""Files and folders that are written when all is done: whether they can be is asked before it begins."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from saccade.errors import OutputError
from saccade.private import check_place


def check_file(option: str, path: str | os.PathLike[str]) -> None:
    """Raises OutputError, with the option that names it, where a file could not be written; nothing is left there."""
    try:
        _check(Path(path))
    except OSError as error:
        raise _refused(option, path, error) from None


def check_folder(option: str, path: str | os.PathLike[str]) -> None:
    """The same of a folder, of which what is missing will be made."""
    try:
        check_place(path)
        whole = Path(os.path.abspath(path))
        there = next(part for part in (whole, *whole.parents) if os.path.lexists(part))
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _refused(option, path, error) from None


def write_file(option: str, path: str | os.PathLike[str], text: str) -> None:
    """Write a text; raises OutputError."""
    try:
        check_place(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _refused(option, path, error) from None


def _check(path: Path) -> None:
    check_place(path)
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            path = path.resolve()  # a link to what is not there yet
        with tempfile.TemporaryFile(dir=path.parent):
            return
    if stat.S_ISREG(kind):
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
    elif stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    elif not os.access(path, os.W_OK):
        # To open a pipe would wait for its reader.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _refused(option: str, path: str | os.PathLike[str], error: OSError) -> OutputError:
    return OutputError(f"{option} {os.fspath(path)}: cannot be written ({error.strerror}); give another place")
