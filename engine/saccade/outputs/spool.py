"""A durable spool: what is put in is in the bucket in the end, exactly once, whatever happens between.

`Spool` is a folder of entries, one file each. `put()` returns after the entry is written, fsynced, renamed into place
and the folder is fsynced, so whatever a caller counts survives kill -9 and power loss. `Uploader` drains it from a
thread of its own, oldest first, and removes an entry only after S3 has said that it has it.

The object's key carries a digest of its content (see `Spool.put`). A key therefore names one content, and an upload
that is repeated after a lost answer or a crash meets its own object: `If-None-Match: *` answers 412, which counts as
done. Neither read access to the bucket nor a list of what was sent is needed for that.

    FOLDER/queue/0000000000000042.entry   entries, in order of arrival
    FOLDER/aside/                         damaged, foreign and refused files, each with NAME.why beside it
    FOLDER/state                          next number, entries and bytes; its lock serialises all processes
    FOLDER/drain                          locked by the one process that uploads

An entry is a line `saccade-spool 1`, a line of JSON and the content. Several processes may put; one drains.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import random
import re
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from saccade.errors import ConfigError, OutputError
from saccade.statistics import Stopwatch, Timing

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)

_MAGIC = b"saccade-spool 1\n"
_HEADER_LIMIT = 8192
_STATE = struct.Struct("<QQQ")
_NAME = re.compile(r"0\d{15}\.entry")
_TEMPORARY = re.compile(r"\.0\d{15}\.tmp")
_NUMBERS = 10**15
"""Entries are numbered below this, so that their names sort; a file with a larger number is not ours."""
_EARLIEST = 1_700_000_000.0
"""A clock before 2023-11 has not been set: boards without a battery start in 1970 or at their image's date."""

WhenFull = Literal["oldest", "refuse"]


class SpoolFull(OutputError):
    """The spool is full and its owner has chosen to refuse rather than to drop the oldest."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One spooled object.

    number : place in the order of arrival. key : S3 key. content_type : MIME type. digest : SHA-256 of `data`, hex.
    time : POSIX time of arrival as the clock showed it, s. boot, uptime : boot id and seconds since boot at arrival,
    which tell the age whatever the clock does meanwhile.
    """

    number: int
    key: str
    content_type: str
    digest: str
    time: float
    boot: str
    uptime: float
    data: bytes

    @property
    def name(self) -> str:
        """File name in the queue."""
        return f"{self.number:016d}.entry"


@dataclass(frozen=True, slots=True)
class SpoolStatistics:
    """What went through a spool since it was opened by this process; pending figures are the folder's.

    written : entries made durable. refused : puts turned away. dropped : entries deleted to make room.
    expired : entries deleted for their age. set_aside : damaged, foreign or refused files moved out of the queue.
    pending, pending_bytes : still to upload. write : time of one durable put.
    """

    written: int
    refused: int
    dropped: int
    expired: int
    set_aside: int
    pending: int
    pending_bytes: int
    write: Timing


def digest_number(data: bytes) -> str:
    """Twelve decimal digits of the content's SHA-256, for keys whose form allows digits only."""
    return f"{int.from_bytes(hashlib.sha256(data).digest()[:8], 'big') % 10**12:012d}"


class Spool:
    """A folder that keeps what is put into it until it is removed.

    Parameters
    ----------
    folder : made if missing (mode 0700: face crops are personal data).
    max_bytes : bound of all entries together, bytes. min_free : bytes to leave free on the disk.
    max_age : seconds after which an entry is deleted unsent, or None. Measured against the time since boot, so a
        clock that is set does not age anything.
    when_full : ``oldest`` deletes the oldest entries to make room, ``refuse`` raises `SpoolFull`; both are counted.

    Raises OutputError where the folder cannot be used, ConfigError for bounds that make no sense.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        max_bytes: int = 1 << 30,
        min_free: int = 64 << 20,
        max_age: float | None = 30 * 86400.0,
        when_full: WhenFull = "oldest",
    ) -> None:
        if when_full not in ("oldest", "refuse"):
            raise ConfigError(f"when_full: got {when_full!r}; expected oldest or refuse")
        if max_bytes <= 0 or min_free < 0 or (max_age is not None and max_age <= 0):
            raise ConfigError(
                f"spool bounds: got max_bytes {max_bytes}, min_free {min_free}, max_age {max_age}; "
                "expected positive numbers"
            )
        self.folder = Path(folder)
        self.max_bytes, self.min_free, self.max_age, self.when_full = max_bytes, min_free, max_age, when_full
        self._queue, self._aside = self.folder / "queue", self.folder / "aside"
        self._lock = threading.Lock()
        self._boot = _boot_id()
        self._seen: dict[int, float] = {}
        self._written = self._refused = self._dropped = self._expired = self._set_aside = 0
        self._watch = Stopwatch()
        self.arrived = threading.Event()
        """Set by each put of this process; the uploader waits for it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._queue.mkdir(mode=0o700, exist_ok=True)
            self._aside.mkdir(mode=0o700, exist_ok=True)
            self._state = os.open(self.folder / "state", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OutputError(
                f"spool {folder}: cannot be used ({error.strerror}: {error.filename}); "
                "give a folder on a local disk that this user may write to"
            ) from None
        try:
            self._directory = os.open(self._queue, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with self._exclusive():
                self._recover()
        except OSError as error:
            os.close(self._state)
            raise OutputError(f"spool {folder}: cannot be used ({error.strerror}); check the folder's rights") from None

    def put(self, data: bytes, key: str, *, content_type: str = "image/jpeg") -> Entry:
        """Make one object durable; it is on the disk when this returns.

        `key` is the S3 key with ``{digest}`` where twelve digits of the content's digest go, as
        ``faces/11_20/16_22/1763655720_0{digest}.jpg``: it ties the key to the content (see the module).
        Raises ConfigError for an unusable key, SpoolFull or OutputError where the content cannot be kept; nothing
        of a put that raises is ever uploaded.
        """
        key = _checked_key(key).replace("{digest}", digest_number(data))
        if len(key.encode()) > 1024:
            raise ConfigError(f"key {key[:60]!r}...: {len(key.encode())} bytes; S3 takes at most 1024")
        with self._watch.measure(), self._exclusive():
            number, entries, size = self._counters()
            entry = Entry(
                number, key, content_type, hashlib.sha256(data).hexdigest(),
                round(time.time(), 3), self._boot, round(_uptime(), 3), data,
            )  # fmt: skip
            blob = _encode(entry)
            entries, size = self._make_room(len(blob), entries, size)
            while True:
                try:
                    self._write(entry.name, blob)
                    break
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        self._refused += 1
                        raise OutputError(f"spool {self.folder}: cannot be written ({error.strerror})") from None
                    entries, size = self._evict(len(blob), entries, size, "the disk is full")
            self._store(number + 1, entries + 1, size + len(blob))
            self._written += 1
        self.arrived.set()
        return entry

    def entries(self) -> list[Path]:
        """Files in the queue, oldest first."""
        return [self._queue / name for name in self._names()]

    def next(self, after: int = -1) -> Entry | None:
        """The oldest sound entry with a number above `after`; damaged and foreign files are set aside on the way."""
        for name in self._names():
            if int(name[:16]) <= after:
                continue
            entry = self.load(name)
            if entry is not None:
                return entry
        return None

    def load(self, name: str) -> Entry | None:
        """Read one entry of the queue; None if it is gone, expired, or damaged (and now set aside)."""
        path = self._queue / name
        try:
            entry = read_entry(path)
        except FileNotFoundError:
            return None
        except OutputError as error:
            self.set_aside(name, str(error))
            return None
        age = self.age(entry)
        if self.max_age is not None and age > self.max_age:
            if self.remove(entry):
                self._expired += 1
                log.warning("spool: %s was never sent and is %.1f days old: deleted", entry.key, age / 86400)
            return None
        return entry

    def remove(self, entry: Entry) -> bool:
        """Delete an entry that is done with; False if somebody else already has."""
        with self._exclusive():
            return self._delete(entry.name)

    def set_aside(self, name: str, why: str) -> None:
        """Move a file that cannot be uploaded out of the queue, and say why beside it."""
        log.error("spool: %s is set aside in %s: %s", name, self._aside, why)
        with self._exclusive():
            target = self._aside / name
            suffix = 0
            while os.path.lexists(target):
                suffix += 1
                target = self._aside / f"{name}.{suffix}"
            number, entries, size = self._counters()
            try:
                held = (self._queue / name).lstat().st_size
                os.rename(self._queue / name, target)
            except FileNotFoundError:
                return
            self._set_aside += 1
            if _NAME.fullmatch(name):
                self._store(number, max(0, entries - 1), max(0, size - held))
        with contextlib.suppress(OSError):
            target.with_name(target.name + ".why").write_text(why + "\n", encoding="utf-8")

    def age(self, entry: Entry) -> float:
        """Seconds since the entry arrived, as well as can be told without trusting the clock."""
        if entry.boot and entry.boot == self._boot:
            return max(0.0, _uptime() - entry.uptime)
        now = time.time()
        since_seen = time.monotonic() - self._seen.setdefault(entry.number, time.monotonic())
        if _EARLIEST <= entry.time <= now:
            return now - entry.time
        return since_seen

    def set_aside_files(self) -> list[Path]:
        """Files that were set aside."""
        return sorted(path for path in self._aside.iterdir() if path.suffix != ".why")

    def statistics(self) -> SpoolStatistics:
        """Counts of this process; pending as of now."""
        with self._exclusive():
            _, entries, size = self._counters()
        return SpoolStatistics(
            self._written, self._refused, self._dropped, self._expired, self._set_aside,
            entries, size, self._watch.statistics(),
        )  # fmt: skip

    def close(self) -> None:
        """Close the folder; entries stay."""
        if self._state >= 0:
            os.close(self._state)
            os.close(self._directory)
            self._state = -1

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # All below is called with the lock held.

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One thread of one process at a time; the kernel frees the lock of a process that dies."""
        with self._lock:
            if self._state < 0:
                raise OutputError(f"spool {self.folder}: was closed; open it again")
            fcntl.flock(self._state, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._state, fcntl.LOCK_UN)

    def _counters(self) -> tuple[int, int, int]:
        data = os.pread(self._state, _STATE.size, 0)
        return _STATE.unpack(data) if len(data) == _STATE.size else (0, 0, 0)

    def _store(self, number: int, entries: int, size: int) -> None:
        # Not synced: after a power cut _recover() counts what is there.
        os.pwrite(self._state, _STATE.pack(number, entries, size), 0)

    def _names(self) -> list[str]:
        with os.scandir(self._queue) as found:
            return sorted(item.name for item in found if _NAME.fullmatch(item.name))

    def _recover(self) -> None:
        """Count what is there, delete half-written files, and set foreign ones aside."""
        number, _, _ = self._counters()
        if number >= _NUMBERS:
            number = 0
        entries = size = 0
        foreign = []
        with os.scandir(self._queue) as found:
            for item in found:
                if _NAME.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                    entries += 1
                    size += item.stat(follow_symlinks=False).st_size
                    number = max(number, int(item.name[:16]) + 1)
                elif _TEMPORARY.fullmatch(item.name):
                    os.unlink(item.path)
                else:
                    foreign.append(item.name)
        for name in foreign:
            log.error("spool: %s in %s is no entry of a spool: set aside", name, self._queue)
            with contextlib.suppress(OSError):
                os.rename(self._queue / name, self._aside / f"{number:016d}-{name}"[:255])
                self._set_aside += 1
        self._store(number, entries, size)

    def _write(self, name: str, blob: bytes) -> None:
        temporary = f".{name[:16]}.tmp"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=self._directory)
        try:
            try:
                view = memoryview(blob)
                while view:
                    view = view[os.write(file, view) :]
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(temporary, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._directory)
            raise
        os.fsync(self._directory)

    def _make_room(self, needed: int, entries: int, size: int) -> tuple[int, int]:
        if needed > self.max_bytes:
            self._refused += 1
            raise SpoolFull(
                f"spool {self.folder}: an object of {needed} bytes; the whole spool may hold {self.max_bytes}"
            )
        if size + needed > self.max_bytes:
            return self._evict(
                size + needed - self.max_bytes, entries, size, f"it holds {self.max_bytes} bytes at most"
            )
        disk = os.fstatvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        if free < needed + self.min_free:
            return self._evict(
                needed + self.min_free - free, entries, size, f"{self.min_free} bytes of disk must stay free"
            )
        return entries, size

    def _evict(self, wanted: int, entries: int, size: int, why: str) -> tuple[int, int]:
        """Delete the oldest entries until `wanted` bytes are gained, or refuse."""
        names = self._names() if self.when_full == "oldest" else []
        if not names:
            self._refused += 1
            raise SpoolFull(f"spool {self.folder}: full ({why}); upload or delete entries, or allow it more room")
        gained = 0
        for name in names:
            if gained >= wanted:
                break
            with contextlib.suppress(FileNotFoundError):
                held = (self._queue / name).lstat().st_size
                os.unlink(name, dir_fd=self._directory)
                gained += held
                entries, size = max(0, entries - 1), max(0, size - held)
                self._dropped += 1
        number = self._counters()[0]
        self._store(number, entries, size)
        log.warning("spool %s: full (%s): the oldest entries were dropped, %d so far", self.folder, why, self._dropped)
        return entries, size

    def _delete(self, name: str) -> bool:
        number, entries, size = self._counters()
        try:
            held = (self._queue / name).lstat().st_size
            os.unlink(name, dir_fd=self._directory)
        except FileNotFoundError:
            return False
        self._seen.pop(int(name[:16]), None)
        self._store(number, max(0, entries - 1), max(0, size - held))
        return True


def read_entry(path: Path) -> Entry:
    """Read and check one entry file; raises FileNotFoundError, or OutputError that says what is wrong with it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OutputError(f"{path.name}: cannot be read ({error.strerror})") from None
    with os.fdopen(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OutputError(f"{path.name}: not a regular file")
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise OutputError(f"{path.name}: does not begin like an entry of a spool")
        line = stream.readline(_HEADER_LIMIT)
        try:
            head = json.loads(line)
            fields = (
                str(head["key"]), str(head["type"]), str(head["sha256"]), float(head["time"]),
                str(head["boot"]), float(head["uptime"]),
            )  # fmt: skip
            length = int(head["bytes"])
        except (ValueError, KeyError, TypeError):
            raise OutputError(f"{path.name}: its header is damaged") from None
        held = os.fstat(stream.fileno()).st_size - len(_MAGIC) - len(line)
        if held != length:
            raise OutputError(f"{path.name}: holds {held} bytes of content; its header says {length}")
        data = stream.read(length)
    if hashlib.sha256(data).hexdigest() != fields[2]:
        raise OutputError(f"{path.name}: its content does not match its digest")
    return Entry(int(path.name[:16]), *fields, data)


class UploadRefused(Exception):
    """S3 will never take this object; the message says why."""


@dataclass(frozen=True, slots=True)
class UploadStatistics:
    """What the uploader has done.

    uploaded : objects that S3 took. repeats : objects that were already there. failures : attempts that failed and
    are tried again. problem : the newest failure in words while it lasts, else "". draining : False while another
    process uploads this spool. upload : time of one successful upload.
    """

    uploaded: int
    repeats: int
    failures: int
    problem: str
    draining: bool
    upload: Timing


class Uploader:
    """Drains a spool into a bucket, in order, from one thread.

    Parameters
    ----------
    spool : where from. bucket : where to.
    client : a boto3 S3 client; by default one is made by `s3_client()` and shared by all uploads.
    encryption : ``AES256`` (SSE-S3), ``aws:kms``, or "" for stores that know none. kms_key : key id with ``aws:kms``.
    back_off : (first, longest) pause after a failed attempt, s; doubled each time, with full jitter.

    A failure never loses an entry: it stays first in the queue and is tried again, with growing pauses. Only what S3
    refuses for good (a key or content that it can never take) is set aside, so that it cannot block the rest.
    """

    def __init__(
        self,
        spool: Spool,
        bucket: str,
        *,
        client: Any = None,
        encryption: str = "AES256",
        kms_key: str = "",
        back_off: tuple[float, float] = (0.5, 60.0),
    ) -> None:
        self.spool, self.bucket = spool, _checked_bucket(bucket)
        self._client = client
        self._options: dict[str, str] = {"ServerSideEncryption": encryption} if encryption else {}
        if kms_key:
            self._options["SSEKMSKeyId"] = kms_key
        self._first, self._longest = back_off
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._uploaded = self._repeats = self._failures = 0
        self._problem = ""
        self._draining = False
        self._watch = Stopwatch()

    def start(self) -> Uploader:
        """Upload in the background until `stop()`."""
        if self._thread is None:
            # A daemon, because an upload may hang in the network for a while and nothing is lost if it is cut off.
            self._thread = threading.Thread(target=self._run, name="saccade-upload", daemon=True)
            self._thread.start()
        return self

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread; waits `timeout` s for the upload in hand."""
        self._stop.set()
        self.spool.arrived.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def flush(self, timeout: float | None = None, *, progress: Callable[[Entry], None] | None = None) -> bool:
        """Upload from this thread until the queue is empty or `timeout` s are over; True if it is empty.

        Raises OutputError if another process is uploading this spool.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._drain_lock() as mine:
            if not mine:
                raise OutputError(f"spool {self.spool.folder}: another process is uploading it; wait for it or stop it")
            return self._drain(end, progress)

    def statistics(self) -> UploadStatistics:
        """Counts so far."""
        return UploadStatistics(
            self._uploaded, self._repeats, self._failures, self._problem, self._draining, self._watch.statistics()
        )

    @contextlib.contextmanager
    def _drain_lock(self) -> Iterator[bool]:
        file = os.open(self.spool.folder / "drain", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            self._draining = True
            yield True
        finally:
            self._draining = False
            os.close(file)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._drain_lock() as mine:
                    while mine and not self._stop.is_set():
                        self.spool.arrived.clear()
                        self._drain(None, None)
                        # Puts of other processes set no event here, hence the timeout.
                        self.spool.arrived.wait(1.0)
            except Exception as error:
                # The queue's folder may be unreadable for a while; the thread must outlive that.
                self._report(f"{type(error).__name__}: {error}")
            self._stop.wait(1.0)

    def _drain(self, end: float | None, progress: Callable[[Entry], None] | None) -> bool:
        """Upload all there is, in order; False if stopped or out of time."""
        pause = self._first
        for path in self._batch():
            while True:
                if self._stop.is_set() or (end is not None and time.monotonic() >= end):
                    return False
                entry = self.spool.load(path.name)
                if entry is None:
                    break
                try:
                    self._upload(entry)
                except UploadRefused as error:
                    self.spool.set_aside(entry.name, f"S3 refused {entry.key}: {error}")
                    break
                except Exception as error:
                    self._report(_reason(error, self.bucket))
                    wait = random.uniform(0.0, pause)  # jitter, so that a fleet does not come back at once
                    pause = min(self._longest, pause * 2)
                    if end is not None:
                        wait = min(wait, max(0.0, end - time.monotonic()))
                    self._stop.wait(wait)
                    continue
                pause = self._first
                self.spool.remove(entry)
                if progress is not None:
                    progress(entry)
                break
        return True

    def _batch(self) -> Iterator[Path]:
        """Entries in order, including those that arrive meanwhile."""
        while True:
            paths = self.spool.entries()
            if not paths:
                return
            yield from paths

    def _upload(self, entry: Entry) -> None:
        from botocore.exceptions import ClientError, ParamValidationError

        if self._client is None:
            self._client = s3_client()
        try:
            with self._watch.measure():
                self._client.put_object(
                    Bucket=self.bucket, Key=entry.key, Body=entry.data, ContentType=entry.content_type,
                    IfNoneMatch="*", ChecksumSHA256=base64.b64encode(bytes.fromhex(entry.digest)).decode(),
                    Metadata={"sha256": entry.digest}, **self._options,
                )  # fmt: skip
        except ParamValidationError as error:
            raise UploadRefused(str(error)) from None
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = error.response.get("Error", {}).get("Code", "")
            if status == 412 or code == "PreconditionFailed":
                self._repeats += 1
            elif code in _FOR_GOOD:
                raise UploadRefused(f"{code}: {error.response['Error'].get('Message', '')}") from None
            else:
                raise
        else:
            self._uploaded += 1
        if self._problem:
            log.warning("spool: uploads to %s work again", self.bucket)
            self._problem = ""

    def _report(self, problem: str) -> None:
        self._failures += 1
        if problem != self._problem:
            # Once for each new trouble, not once for each attempt.
            log.warning("spool: cannot upload: %s (everything is kept and tried again)", problem)
            self._problem = problem


_FOR_GOOD = frozenset(
    {"EntityTooLarge", "KeyTooLongError", "InvalidObjectName", "BadDigest", "XAmzContentSHA256Mismatch"}
)


def s3_client(*, connect_timeout: float = 5.0, read_timeout: float = 15.0) -> Any:
    """The S3 client for uploads: one connection kept open, short timeouts, retries left to the spool."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        config=Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries={"total_max_attempts": 1},
            max_pool_connections=2,
            tcp_keepalive=True,
        ),
    )


def _reason(error: Exception, bucket: str) -> str:
    """A failure in one line that says what to do, where that is known."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "?"))
        hint = {
            "NoSuchBucket": "make it, or give another bucket",
            "AccessDenied": "the credentials need s3:PutObject on it",
            "InvalidAccessKeyId": "check the credentials",
            "SignatureDoesNotMatch": "check the credentials",
            "ExpiredToken": "renew the credentials",
            "RequestTimeTooSkewed": "set this machine's clock",
        }.get(code)
        return f"bucket {bucket}: {code}" + (f": {hint}" if hint else "")
    return f"bucket {bucket}: {type(error).__name__}: {str(error)[:200]}"


def _encode(entry: Entry) -> bytes:
    head = {
        "key": entry.key, "type": entry.content_type, "sha256": entry.digest, "bytes": len(entry.data),
        "time": entry.time, "boot": entry.boot, "uptime": entry.uptime,
    }  # fmt: skip
    return _MAGIC + json.dumps(head).encode() + b"\n" + entry.data


def _checked_key(key: str) -> str:
    if "{digest}" not in key:
        raise ConfigError(f"key {key[:80]!r}: has no {{digest}}; put it where the content's digest belongs")
    if any(ord(c) < 32 or ord(c) == 127 for c in key) or any(part in ("", ".", "..") for part in key.split("/")):
        raise ConfigError(f"key {key[:80]!r}: expected printable characters and no empty, '.' or '..' part")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"key {key[:80]!r}: not valid Unicode") from None
    return key


def _checked_bucket(bucket: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]|arn:[^\s]{1,2000}", bucket):
        raise ConfigError(f"bucket {bucket[:80]!r}: not a bucket name; expected 3 to 63 letters, digits, '.' and '-'")
    return bucket


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def default_folder() -> Path:
    """Where crops wait unless told otherwise: $SACCADE_SPOOL, else saccade/spool in the user's state folder."""
    own = os.environ.get("SACCADE_SPOOL")
    if own:
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "saccade" / "spool"
