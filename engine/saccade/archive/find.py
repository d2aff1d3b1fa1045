"""What an archive holds: files of folders, globs, prefixes of S3 and lists, one after the other and each once."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from saccade.archive.manifest import moment_of
from saccade.archive.places import is_s3, s3_client, s3_errors, split_s3
from saccade.archive.trouble import in_words
from saccade.errors import ConfigError, SourceError

LINKED = "is a link to a folder; name it as a source of its own"
"""Links may lead in circles, and to the same files a second time."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file. path : as it is opened. version : ETag of an object of S3, "" of a local file. modified : by the clock of
    where it lies. trouble : why it cannot be read, or "".
    """

    path: str
    size: int
    version: str
    modified: datetime | None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What counts. include, exclude : patterns of whole paths. since, until : bounds of the time of change."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, found: Found) -> bool:
        """Whether a file counts."""
        if self.include and not any(fnmatch.fnmatchcase(found.path, pattern) for pattern in self.include):
            return False
        if any(fnmatch.fnmatchcase(found.path, pattern) for pattern in self.exclude):
            return False
        if found.modified is None:
            return True
        return not ((self.since and found.modified < self.since) or (self.until and found.modified >= self.until))


def find(sources: Sequence[str], chosen: Filter | None = None) -> Iterator[Found]:
    """The files of all sources, in a fixed order, each once.

    sources : files, folders, globs, s3://BUCKET/PREFIX (also with * in it), @FILE with one of these a line.
    Raises SourceError where a source is not there or cannot be listed.
    """
    chosen = chosen or Filter()
    seen: set[int] | None = set() if len(sources) > 1 or any(text.startswith("@") for text in sources) else None
    for source in _listed(sources):
        for found in _s3(source) if is_s3(source) else _local(source):
            if not chosen.takes(found):
                continue
            if seen is not None:
                mark = int.from_bytes(hashlib.blake2b(os.fsencode(found.path), digest_size=8).digest(), "big")
                if mark in seen:
                    continue
                seen.add(mark)
            yield found


def _listed(sources: Sequence[str]) -> Iterator[str]:
    for source in sources:
        if not source.startswith("@"):
            yield source
            continue
        name = source[1:]
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise SourceError(f"{source}: {in_words(error)}; expected a file with one source a line") from None
        yield from (line.strip() for line in text.splitlines() if line.strip())


def _local(source: str) -> Iterator[Found]:
    path = os.path.expanduser(source)
    if os.path.isdir(path):
        yield from _folder(path)
    elif os.path.lexists(path):
        yield _file(path)
    elif glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            raise SourceError(f"{source}: matches no file")
        for match in matches:
            if not os.path.isdir(match):
                yield _file(match)
    elif "://" in source:
        raise SourceError(f"{source}: is neither a path nor s3://; expected folders, globs, s3:// or @LIST")
    else:
        raise SourceError(f"{source}: no such file or folder")


def _folder(folder: str) -> Iterator[Found]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Found(folder, 0, "", None, error.strerror or str(error))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _folder(entry.path)
        elif os.path.isdir(entry.path):
            yield Found(entry.path, 0, "", None, LINKED)
        else:
            yield _file(entry.path)


def _file(path: str) -> Found:
    try:
        state = os.stat(path)
    except OSError as error:
        return Found(path, 0, "", None, error.strerror or str(error))
    try:
        path.encode("utf-8")
    except UnicodeError:
        return Found(path.encode("utf-8", "backslashreplace").decode(), 0, "", None, "its name is not UTF-8")
    return Found(path, state.st_size, "", moment_of(state), "" if stat.S_ISREG(state.st_mode) else "is no regular file")


def _s3(source: str) -> Iterator[Found]:
    bucket, wanted = split_s3(source)
    prefix = wanted if not glob.has_magic(wanted) else wanted[: min(wanted.find(c) for c in "*?[" if c in wanted)]
    pages = s3_client().get_paginator("list_objects_v2")
    count = 0
    try:
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            for found in page.get("Contents", ()):
                key = found["Key"]
                if key.endswith("/") or not (key.startswith(wanted) or fnmatch.fnmatchcase(key, wanted)):
                    continue
                count += 1
                yield Found(f"s3://{bucket}/{key}", found["Size"], found["ETag"], found["LastModified"])
    except s3_errors() as error:
        raise SourceError(f"{source}: {in_words(error, 's3:ListBucket')}") from None
    if not count:
        raise SourceError(f"{source}: holds no object; check the prefix")


def moment(text: str) -> datetime:
    """A time as 2026-03-01 or 2026-03-01T12:00+01:00; without an offset it is UTC. Raises ConfigError."""
    try:
        found = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)  # Python 3.10 knows no Z
    except ValueError:
        raise ConfigError(f"got {text!r}; expected a time as 2026-03-01 or 2026-03-01T12:00+01:00") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
