"""Where an archive lies and where its results go: a folder or a prefix of an S3 bucket, behind the same few verbs.

Reading is by range, and of exactly the version that was planned. Writing is of whole files under new names: a name
that is there already stays as it is.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Protocol

from saccade.archive.seeking import Seekable
from saccade.archive.trouble import Unavailable, in_words
from saccade.errors import ConfigError, OutputError
from saccade.storage import atomic, s3

BLOCK_BYTES = 4 << 20
"""Least that is asked of S3 at a time when a video is read."""
BODY_ATTEMPTS = 4
_TAKEN = ("PreconditionFailed", "412")
_ABSENT = ("NoSuchKey", "404")
_BUSY = ("ConditionalRequestConflict", "409")


def is_s3(address: str) -> bool:
    """Whether an address is that of S3."""
    return address.startswith("s3://")


def split_name(address: str) -> tuple[str, str]:
    """Place and name of a file there, of s3://BUCKET/…/NAME; raises ConfigError."""
    split_s3(address)
    place, _, name = address.removeprefix("s3://").rpartition("/")
    if not place or not name:
        raise ConfigError(f"{address}: names no object; expected s3://BUCKET/NAME")
    return f"s3://{place}", name


def split_s3(address: str) -> tuple[str, str]:
    """Bucket and key, or prefix, of s3://BUCKET/KEY; raises ConfigError."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigError(f"{address}: names no bucket; expected s3://BUCKET/PREFIX")
    return bucket, key


@lru_cache(1)
def s3_client() -> Any:
    """The S3 client of this process: what may go away is tried again."""
    return s3.client(connect_timeout=10, read_timeout=60, attempts=6, connections=16)


def s3_errors() -> tuple[type[Exception], ...]:
    """What a request to S3 may raise."""
    from botocore.exceptions import BotoCoreError, ClientError

    return (BotoCoreError, ClientError, OSError)


def _code(error: Exception) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def s3_get(bucket: str, key: str, **options: Any) -> bytes:
    """Content of an object, or of the range that `options` give, whole: botocore tries requests again, not bodies."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    for _ in range(BODY_ATTEMPTS - 1):
        with contextlib.suppress(HTTPClientError, IncompleteReadError):
            return bytes(s3_client().get_object(Bucket=bucket, Key=key, **options)["Body"].read())
    return bytes(s3_client().get_object(Bucket=bucket, Key=key, **options)["Body"].read())


def read_version(path: str, version: str, most: int) -> bytes:
    """All bytes of a planned picture; raises Unavailable where that version cannot be had.

    version : ETag of an object of S3; a local file's is checked by who hashes the bytes. most : bytes of a local file,
    which may have grown.
    """
    if not is_s3(path):
        try:
            return _read_file(path, most)
        except OSError as error:
            raise Unavailable(f"{path}: {in_words(error)}") from None
    bucket, key = split_s3(path)
    try:
        return s3_get(bucket, key, IfMatch=version)
    except s3_errors() as error:
        raise Unavailable(f"{path}: {in_words(error, 's3:GetObject')}") from None


def _read_file(path: str, most: int) -> bytes:
    with open(path, "rb") as file:
        return file.read(most)


def head_of(path: str, count: int) -> bytes:
    """The first bytes of an object of S3; raises Unavailable."""
    bucket, key = split_s3(path)
    try:
        return s3_get(bucket, key, Range=f"bytes=0-{count - 1}")
    except s3_errors() as error:
        raise Unavailable(f"{path}: {in_words(error, 's3:GetObject')}") from None


class S3File(Seekable):
    """An object of S3 to read from, by ranges of one version; two blocks are kept.

    `trouble` keeps what went wrong: FFmpeg, which reads from this, only knows that something did.
    """

    def __init__(self, path: str, version: str, size: int) -> None:
        super().__init__(size)
        self.path, self._version = path, version
        self._bucket, self._key = split_s3(path)
        self._blocks: dict[int, bytes] = {}
        self.trouble: Unavailable | None = None
        self.requests = 0

    def readinto(self, buffer: Any) -> int:
        """Up to a block's worth of bytes."""
        view = memoryview(buffer).cast("B")
        if self._position >= self._size or not view:
            return 0
        number, offset = divmod(self._position, BLOCK_BYTES)
        part = self._block(number)[offset : offset + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            start = number * BLOCK_BYTES
            wanted = f"bytes={start}-{min(start + BLOCK_BYTES, self._size) - 1}"
            try:
                self.requests += 1
                block = s3_get(self._bucket, self._key, Range=wanted, IfMatch=self._version)
            except s3_errors() as error:
                self.trouble = Unavailable(f"{self.path}: {in_words(error, 's3:GetObject')}")
                raise OSError(5, str(self.trouble)) from None
            while len(self._blocks) > 1:
                self._blocks.pop(next(iter(self._blocks)))
            self._blocks[number] = block
        return block


class Place(Protocol):
    """Where results go. address : as it was given. room : where scratch files lie."""

    address: str
    room: str

    def names(self, prefix: str) -> Iterator[str]:
        """Names of the files that are there, relative to the place."""
        ...

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        ...

    def add(self, name: str, file: Path) -> bool:
        """Give a finished scratch file this name, at once or not at all; False where the name is there already."""
        ...

    def scratch(self) -> contextlib.AbstractContextManager[Path]:
        """A local file to write to, gone at the end."""
        ...

    def tidy(self) -> None:
        """Remove what killed processes of this machine have left half written."""
        ...

    def read(self, name: str) -> bytes | None:
        """Content of a small file; None where there is none."""
        ...

    def open(self, name: str) -> IO[bytes] | io.RawIOBase:
        """A file to read from, which must be there."""
        ...


def place_of(address: str) -> Place:
    """The place that an address means."""
    return Bucket(address) if is_s3(address) else Folder(address)


@contextlib.contextmanager
def new_file(address: str) -> Iterator[Path]:
    """A file to write, which is at its address, whole, when the block ends without an error.

    A local file is replaced; an object of S3 that is there already is not. Raises OutputError.
    """
    if not is_s3(address):
        try:
            with atomic.replacing(Path(address)) as part:
                yield part
        except OSError as error:
            raise OutputError(f"{address}: {in_words(error)}") from None
        return
    folder, name = split_name(address)
    place, taken = place_of(folder), OutputError(f"{address}: is there already; give another name")
    if place.has(name):
        raise taken
    with place.scratch() as part:
        try:
            yield part
        except OSError as error:
            raise OutputError(f"{place.room}: {in_words(error)}") from None
        if not place.add(name, part):
            raise taken


@lru_cache(1)
def _machine() -> str:
    """What tells processes of this machine, as it was booted, and of this container from others of the same number."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return hashlib.blake2b(f"{boot} {os.stat('/proc/self/ns/pid').st_ino}".encode(), digest_size=8).hexdigest()


class Folder:
    """A folder of this machine or of a file system that several share."""

    def __init__(self, address: str) -> None:
        self.address = self.room = address
        self._folder = Path(address)

    def names(self, prefix: str) -> Iterator[str]:
        """Names of the files that are there; what is half written is not."""
        for path in sorted((self._folder / prefix).rglob("*")):
            if not path.name.startswith(".") and path.is_file():
                yield path.relative_to(self._folder).as_posix()

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self._folder / name).exists()

    def add(self, name: str, file: Path) -> bool:
        """Link; the content is on the disk before the name."""
        target = self._folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return atomic.place(file, target)
        except OSError as error:
            raise OutputError(f"{target}: {error.strerror}; what was written before is whole") from None

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A hidden file on the same file system, so that it can be renamed."""
        try:
            folder = self._folder / ".unfinished"
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f"{_machine()}-{os.getpid()}-", dir=folder)
        except OSError as error:
            raise OutputError(f"{self.address}: {error.strerror}; give a folder that can be written to") from None
        os.close(handle)
        try:
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove what killed processes of this machine have left half written."""
        for path in (self._folder / ".unfinished").glob(f"{_machine()}-*-*"):
            number = path.name.split("-")[1]
            if number.isdecimal() and not Path(f"/proc/{number}").exists():
                with contextlib.suppress(OSError):
                    path.unlink()

    def read(self, name: str) -> bytes | None:
        """Content of a small file."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self._folder / name}: {error.strerror}") from None

    def open(self, name: str) -> IO[bytes]:
        """A file to read from."""
        return (self._folder / name).open("rb")


class Bucket:
    """A prefix of an S3 bucket."""

    def __init__(self, address: str) -> None:
        self.address, self.room = address, tempfile.gettempdir()
        self._bucket, prefix = split_s3(address)
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""

    def names(self, prefix: str) -> Iterator[str]:
        """Names of the objects below the place, 1000 a request."""
        pages = s3_client().get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for found in page.get("Contents", ()):
                    yield found["Key"].removeprefix(self._prefix)
        except s3_errors() as error:
            raise OutputError(f"{self.address}: {in_words(error, 's3:ListBucket')}") from None

    def has(self, name: str) -> bool:
        """Whether an object is there."""
        try:
            s3_client().head_object(Bucket=self._bucket, Key=self._prefix + name)
            return True
        except s3_errors() as error:
            if _code(error) in _ABSENT:
                return False
            # Without the right to list, S3 says 403 of what is not there.
            raise OutputError(f"{self.address}: {in_words(error, 's3:GetObject and s3:ListBucket')}") from None

    def add(self, name: str, file: Path) -> bool:
        """Put, on the condition that the name is free."""
        key = self._prefix + name
        for attempt in range(6):
            try:
                with file.open("rb") as body:
                    s3_client().put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
                return True
            except s3_errors() as error:
                code = _code(error)
                if code in _TAKEN:
                    return False
                if code not in _BUSY or attempt == 5:
                    raise OutputError(f"s3://{self._bucket}/{key}: {in_words(error, 's3:PutObject')}") from None
                time.sleep(0.1 * 2**attempt)  # another writes that name just now
        return False

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A temporary file without a name, so that kill -9 leaves nothing behind."""
        try:
            file = tempfile.TemporaryFile(prefix="saccade-archive-")  # noqa: SIM115 - it lasts like the block
        except OSError as error:
            raise OutputError(f"{self.room}: {error.strerror}; set TMPDIR to a folder with room") from None
        with file:
            yield Path(f"/proc/self/fd/{file.fileno()}")

    def tidy(self) -> None:
        """Nothing is half written in S3."""

    def read(self, name: str) -> bytes | None:
        """Content of a small object."""
        try:
            return s3_get(self._bucket, self._prefix + name)
        except s3_errors() as error:
            if _code(error) in _ABSENT:
                return None
            raise OutputError(f"{self.address}: {in_words(error, 's3:GetObject')}") from None

    def open(self, name: str) -> IO[bytes]:
        """The object, in memory: parts and manifests are small."""
        try:
            return io.BytesIO(s3_get(self._bucket, self._prefix + name))
        except s3_errors() as error:
            if _code(error) in _ABSENT:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
            raise OutputError(f"{self.address}/{name}: {in_words(error, 's3:GetObject')}") from None
