"""Files that are whole or not there: written beside their place, synced, and only then given their name.

Whoever reads a name never sees half a file, also after kill -9 or a power cut. What is half written carries a hidden
name, `.NAME.….part`, and is removed where its writer still can. Every function raises OSError, and then what had the
name before has it still.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600
"""Mode of files unless told otherwise: what saccade writes shows people, or says where they were."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links say."""


def write(target: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Make `data` the content of `target`; it is on the disk when this returns."""
    with _part(target, mode) as (file, part):
        _write_all(file, data)
        os.fsync(file)
        os.replace(part, target)
    sync(target.parent)


@contextlib.contextmanager
def replacing(target: Path, *, mode: int = PRIVATE) -> Iterator[Path]:
    """An empty file beside `target` to write to; it takes the target's place when the block ends without an error."""
    with _part(target, mode) as (file, part):
        yield part
        os.fsync(file)
        os.replace(part, target)
    sync(target.parent)


def move(source: Path, target: Path) -> None:
    """Give a finished file, on the same file system, the name `target`, after its content has reached the disk."""
    sync(source)
    os.replace(source, target)
    sync(target.parent)


def add(target: Path, data: bytes, *, mode: int = PRIVATE) -> Path:
    """Write a new file and never over one that is there: as `target`, else as NAME-2, NAME-3 …; returns its path.

    The content is on the disk before the name, but the name not yet when this returns.
    """
    with _part(target, mode) as (file, part):
        _write_all(file, data)
        os.fsync(file)
        return _place(part, target)


def place(source: Path, target: Path) -> bool:
    """Give a finished file, on the same file system, the name `target` unless that is taken; False where it is.

    Of several that do so at a time one succeeds. The source may keep its name: who made it removes it.
    """
    sync(source)
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            return False
        os.replace(source, target)
    sync(target.parent)
    return True


def sync(path: Path) -> None:
    """Have a file's content, or a folder's names, on the disk."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def probe(folder: Path) -> None:
    """See whether files can be made in a folder."""
    with _part(folder / "probe", PRIVATE):
        pass


@contextlib.contextmanager
def _part(target: Path, mode: int) -> Iterator[tuple[int, Path]]:
    """A new file beside the target, open for writing; removed at the end unless it was renamed."""
    if not target.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    # A name may have 255 bytes, and the target's may have them all already.
    stem = os.fsdecode(os.fsencode(target.name)[:200])
    part = target.with_name(f".{stem}.{os.getpid()}-{secrets.token_hex(4)}.part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        yield file, part
    finally:
        os.close(file)
        with contextlib.suppress(OSError):
            part.unlink()


def _place(part: Path, target: Path) -> Path:
    path, count = target, 1
    while True:
        try:
            os.link(part, path)  # fails where the name is taken, which a rename would not
            return path
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not os.path.lexists(path):
                part.rename(path)
                return path
        count += 1
        path = target.with_name(f"{target.stem}-{count}{target.suffix}")


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
