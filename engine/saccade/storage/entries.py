"""One file of a spool: a line `saccade-spool 1`, a line of JSON, and the content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from saccade.errors import ConfigError, OutputError
from saccade.text import plain

_MAGIC = b"saccade-spool 1\n"
_HEADER_LIMIT = 8192
_KEY_LIMIT = 1024
_TYPE = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}(; ?[\w.+-]{1,100}=[\w.+-]{1,100})?", re.ASCII)
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN})
"""Failures of this process or moment, which say nothing about the file."""


class EntryError(OutputError):
    """This file is no entry that can be uploaded, now or later; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """One spooled object.

    number : place in the order of arrival. key : S3 key. content_type : MIME type. digest : SHA-256 of `data`, hex.
    time : POSIX time of arrival as the clock showed it, s. boot, uptime : boot id and seconds since boot at arrival,
    which tell the age whatever the clock does meanwhile. owner : who put it, for the counts of those who share a spool.
    """

    number: int
    key: str
    content_type: str
    digest: str
    time: float
    boot: str
    uptime: float
    data: bytes
    owner: str = ""

    @property
    def name(self) -> str:
        """File name in the queue."""
        return f"{self.number:016d}.entry"

    def encoded(self) -> bytes:
        """The file's content."""
        head = {
            "key": self.key, "type": self.content_type, "sha256": self.digest, "bytes": len(self.data),
            "time": self.time, "boot": self.boot, "uptime": self.uptime, "owner": self.owner,
        }  # fmt: skip
        return _MAGIC + json.dumps(head).encode() + b"\n" + self.data


def digest_number(data: bytes) -> str:
    """Twelve decimal digits of the content's SHA-256, for keys whose form allows digits only."""
    return f"{int.from_bytes(hashlib.sha256(data).digest()[:8], 'big') % 10**12:012d}"


def key_of(data: bytes, form: str) -> str:
    """The key of `data` after a form with ``{digest}`` in it; raises ConfigError where it can name no object."""
    if "{digest}" not in form:
        raise ConfigError(f"key {form[:80]!r}: has no {{digest}}; put it where the content's digest belongs")
    key = form.replace("{digest}", digest_number(data))
    if problem := _key_problem(key) or _shown_otherwise(key):
        raise ConfigError(f"key {key[:80]!r}: {problem}")
    return key


def _shown_otherwise(key: str) -> str:
    """Why people would see another name than this, or nothing. S3 takes such; what lies in a spool already goes."""
    return "" if plain(key) == key else "expected no characters that act on a terminal or turn text around"


def _key_problem(key: str) -> str:
    """Why this can name no object, or nothing."""
    if any(ord(c) < 32 or ord(c) == 127 for c in key) or any(part in ("", ".", "..") for part in key.split("/")):
        return "expected printable characters and no empty, '.' or '..' part"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "not valid Unicode"
    return f"{size} bytes; S3 takes at most {_KEY_LIMIT}" if size > _KEY_LIMIT else ""


def checked_type(content_type: str) -> str:
    """A MIME type that can stand in a header; raises ConfigError."""
    if not _TYPE.fullmatch(content_type):
        raise ConfigError(f"content type {content_type[:80]!r}: expected one as image/jpeg")
    return content_type


def read_entry(path: Path) -> SpoolEntry:
    """Read and check one entry file.

    Raises FileNotFoundError, EntryError for a file that is damaged or cannot be read, and OSError where this process
    is at fault (it has too many files open, say) and the file may be sound.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise EntryError(f"{path.name}: not a regular file")
        with os.fdopen(file, "rb") as stream:
            return _parsed(path, stream)
    except FileNotFoundError:
        raise
    except MemoryError:
        raise EntryError(f"{path.name}: larger than this machine's memory") from None
    except OSError as error:
        if error.errno in _PASSING:
            raise
        raise EntryError(f"{path.name}: cannot be read ({error.strerror})") from None


def _parsed(path: Path, stream: BinaryIO) -> SpoolEntry:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise EntryError(f"{path.name}: does not begin like an entry of a spool")
    line = stream.readline(_HEADER_LIMIT)
    try:
        head = json.loads(line)
        fields = (
            str(head["key"]), str(head["type"]), str(head["sha256"]), float(head["time"]),
            str(head["boot"]), float(head["uptime"]),
        )  # fmt: skip
        length, owner = int(head["bytes"]), str(head.get("owner", ""))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise EntryError(f"{path.name}: its header is damaged") from None
    if _key_problem(fields[0]) or not _TYPE.fullmatch(fields[1]):
        raise EntryError(f"{path.name}: its header names no object that S3 can hold")
    held = os.fstat(stream.fileno()).st_size - len(_MAGIC) - len(line)
    if held != length:
        raise EntryError(f"{path.name}: holds {held} bytes of content; its header says {length}")
    data = stream.read(length)
    if hashlib.sha256(data).hexdigest() != fields[2]:
        raise EntryError(f"{path.name}: its content does not match its digest")
    return SpoolEntry(int(path.name[:16]), *fields, data, owner)
