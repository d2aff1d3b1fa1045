"""A durable spool: what is put in is in the bucket in the end, exactly once, whatever happens between.

`Spool` is a folder of entries, one file each. `put()` returns after the entry is written, fsynced, renamed into place
and the folder is fsynced, so whatever a caller counts survives kill -9 and power loss. `Uploader` drains it from a
thread of its own, oldest first, and removes an entry only after S3 has said that it has it.

The object's key carries a digest of its content (see `Spool.put`). A key therefore names one content, and an upload
that is repeated after a lost answer or a crash meets its own object: `If-None-Match: *` answers 412, which counts as
done. Neither read access to the bucket nor a list of what was sent is needed for that.

    FOLDER/queue/0000000000000042.entry   entries, in order of arrival
    FOLDER/quarantine/                    damaged, foreign and refused files, each with NAME.why beside it
    FOLDER/state                          next number, entries and bytes; its lock serialises all processes
    FOLDER/drain                          locked by the one process that uploads

An entry is a line `saccade-spool 1`, a line of JSON and the content. Several processes may put; one drains.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import re
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from saccade.config import users_folder
from saccade.errors import ConfigError, OutputError
from saccade.private import private_folder
from saccade.statistics import Stopwatch, Timing
from saccade.storage import atomic
from saccade.storage.entries import EntryError, SpoolEntry, checked_type, key_of, read_entry

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)

_STATE = struct.Struct("<QQQ")
_NAME = re.compile(r"0\d{15}\.entry")
_TEMPORARY = re.compile(r"\.0\d{15}\.(tmp|entry\..+\.part)")
_NUMBERS = 10**15
"""Entries are numbered below this, so that their names sort; a file with a larger number is not ours."""
_EARLIEST = 1_700_000_000.0
"""A clock before 2023-11 has not been set: boards without a battery start in 1970 or at their image's date."""

WhenFull = Literal["oldest", "refuse"]


class SpoolFull(OutputError):
    """The spool is full and its owner has chosen to refuse rather than to drop the oldest."""


@dataclass(frozen=True, slots=True)
class SpoolStatistics:
    """What went through a spool since it was opened by this process; pending figures are the folder's.

    written : entries made durable. refused : puts turned away. dropped : entries deleted to make room.
    expired : entries deleted for their age. quarantined : damaged, foreign or refused files moved out of the queue.
    passed_over : files that could be neither read nor moved, or not deleted; they are part of what is pending.
    pending, pending_bytes : still to upload. write : time of one durable put.
    """

    written: int
    refused: int
    dropped: int
    expired: int
    quarantined: int
    passed_over: int
    pending: int
    pending_bytes: int
    write: Timing


class Spool:
    """A folder that keeps what is put into it until it is removed.

    Parameters
    ----------
    folder : made if missing (mode 0700: face crops are personal data).
    max_bytes : bound of all entries together, bytes. min_free : bytes to leave free on the disk.
    max_age : seconds after which an entry is deleted unsent, or None. Measured against the time since boot, so a
        clock that is set does not age anything.
    when_full : ``oldest`` deletes the oldest entries to make room, ``refuse`` raises `SpoolFull`; both are counted.
    owner : whose entries these are, where several put theirs into one folder.

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
        owner: str = "",
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
        self.owner = owner
        self._queue, self._quarantine = self.folder / "queue", self.folder / "quarantine"
        self._lock = threading.Lock()
        self._boot = _boot_id()
        self._seen: dict[int, float] = {}
        self._passed: dict[str, str] = {}
        self._written = self._refused = self._dropped = self._expired = self._quarantined = 0
        self._watch = Stopwatch()
        self.arrived = threading.Event()
        """Set by each put of this process; the uploader waits for it."""
        try:
            missing = [part for part in (self._queue, self.folder, *self.folder.parents) if not part.exists()]
            private_folder(self.folder)
            self._queue.mkdir(mode=0o700, exist_ok=True)
            for part in missing:  # or a power cut takes the folder, with all that is durable in it
                with contextlib.suppress(PermissionError):  # of a folder that may not be listed
                    atomic.sync(part.parent)
            self._adopt_quarantine()
            self._quarantine.mkdir(mode=0o700, exist_ok=True)
            self._state = os.open(self.folder / "state", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OutputError(
                f"spool {folder}: cannot be used ({error.strerror}: {error.filename}); "
                "give a folder on a local disk that this user may write to"
            ) from None
        try:
            with self._exclusive():
                self._recover()
        except OSError as error:
            os.close(self._state)
            raise OutputError(f"spool {folder}: cannot be used ({error.strerror}); check the folder's rights") from None

    def put(self, data: bytes, key: str, *, content_type: str = "image/jpeg") -> SpoolEntry:
        """Make one object durable; it is on the disk when this returns.

        `key` is the S3 key with ``{digest}`` where twelve digits of the content's digest go, as
        ``faces/11_20/16_22/1763655720_0{digest}.jpg``: it ties the key to the content (see the module).
        Raises ConfigError for an unusable key, SpoolFull or OutputError where the content cannot be kept; nothing
        of a put that raises is ever uploaded.
        """
        key, content_type = key_of(data, key), checked_type(content_type)
        with self._watch.measure(), self._exclusive():
            number, entries, size = self._counters()
            entry = SpoolEntry(
                number, key, content_type, hashlib.sha256(data).hexdigest(),
                round(time.time(), 3), self._boot, round(_uptime(), 3), data, self.owner,
            )  # fmt: skip
            blob = entry.encoded()
            try:
                entries, size = self._make_room(len(blob), entries, size)
                entries, size = self._write(entry.name, blob, entries, size)
                self._store(number + 1, entries + 1, size + len(blob))
            except OSError as error:
                self._refused += 1
                raise OutputError(f"spool {self.folder}: cannot be written ({error.strerror})") from None
            self._written += 1
        self.arrived.set()
        return entry

    def entries(self) -> list[Path]:
        """Files in the queue, oldest first."""
        return [self._queue / name for name in self._names()]

    def load(self, name: str) -> SpoolEntry | None:
        """Read one entry of the queue; None if it is gone, expired, or cannot be read (and now quarantined).

        Raises OSError where this process cannot read any file just now.
        """
        try:
            entry = read_entry(self._queue / name)
        except FileNotFoundError:
            return None
        except EntryError as error:
            self.quarantine(name, str(error))
            return None
        age = self.age(entry)
        if self.max_age is not None and age > self.max_age:
            if self.remove(entry):
                self._expired += 1
                log.warning("spool: %s was never sent and is %.1f days old: deleted", entry.key, age / 86400)
            return None
        return entry

    def remove(self, entry: SpoolEntry) -> bool:
        """Delete an entry that is done with; False if somebody else already has.

        One that cannot be deleted is passed over from then on, so that it does not stand before the others.
        """
        with self._exclusive():
            number, entries, size = self._counters()
            try:
                held = self._unlink(entry.name)
            except FileNotFoundError:
                return False
            except OSError as error:
                self._pass_over(entry.name, f"it is done with, but cannot be deleted ({error.strerror})")
                return True
            self._seen.pop(entry.number, None)
            self._store(number, max(0, entries - 1), max(0, size - held))
            return True

    def quarantine(self, name: str, why: str) -> None:
        """Move a file that cannot be uploaded out of the queue, and say why beside it.

        One that cannot be moved either is passed over until the spool is opened again; see `passed_over`.
        """
        with self._exclusive():
            number, entries, size = self._counters()
            try:
                held = _size(self._queue / name)
                target = self._move_to_quarantine(name, name)
            except FileNotFoundError:
                return
            except OSError as error:
                self._pass_over(name, f"{why}; it cannot be moved either ({error.strerror})")
                return
            log.error("spool: %s is quarantined in %s: %s", name, self._quarantine, why)
            self._quarantined += 1
            if _NAME.fullmatch(name):
                self._store(number, max(0, entries - 1), max(0, size - held))
        with contextlib.suppress(OSError):
            atomic.write(target.with_name(target.name + ".why"), f"{why}\n".encode(errors="backslashreplace"))

    def passed_over(self) -> dict[str, str]:
        """Files that stay in the queue and are not looked at again by this process, with the reason for each."""
        return dict(self._passed)

    def age(self, entry: SpoolEntry) -> float:
        """Seconds since the entry arrived, as well as can be told without trusting the clock."""
        if entry.boot and entry.boot == self._boot:
            return max(0.0, _uptime() - entry.uptime)
        now = time.time()
        since_seen = time.monotonic() - self._seen.setdefault(entry.number, time.monotonic())
        if _EARLIEST <= entry.time <= now:
            return now - entry.time
        return since_seen

    def quarantined_files(self) -> list[Path]:
        """Files that were moved out of the queue."""
        return sorted(path for path in self._quarantine.iterdir() if path.suffix != ".why")

    def statistics(self) -> SpoolStatistics:
        """Counts of this process; pending as of now."""
        with self._exclusive():
            _, entries, size = self._counters()
        return SpoolStatistics(
            self._written, self._refused, self._dropped, self._expired, self._quarantined,
            len(self._passed), entries, size, self._watch.statistics(),
        )  # fmt: skip

    def close(self) -> None:
        """Close the folder; entries stay."""
        if self._state >= 0:
            os.close(self._state)
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
            return sorted(item.name for item in found if _NAME.fullmatch(item.name) and item.name not in self._passed)

    def _adopt_quarantine(self) -> None:
        """What an earlier release put into `aside/` stays listed, and can still be put back."""
        earlier = self.folder / "aside"
        if earlier.is_dir() and not earlier.is_symlink() and not self._quarantine.exists():
            earlier.rename(self._quarantine)

    def _recover(self) -> None:
        """Count what is there, delete half-written files, and quarantine foreign ones."""
        number, _, _ = self._counters()
        if number >= _NUMBERS:
            number = 0
        entries = size = 0
        foreign = []
        with os.scandir(self._queue) as found:
            for item in found:
                if _NAME.fullmatch(item.name) and item.is_file(follow_symlinks=False):
                    entries += 1
                    size += _size(Path(item.path))
                    number = max(number, int(item.name[:16]) + 1)
                elif _TEMPORARY.fullmatch(item.name):
                    with contextlib.suppress(OSError):
                        os.unlink(item.path)
                else:
                    foreign.append(item.name)
        for name in foreign:
            try:
                self._move_to_quarantine(name, f"{number:016d}-{name}")
            except OSError as error:
                self._pass_over(name, f"no entry of a spool; it cannot be moved ({error.strerror})")
            else:
                log.error("spool: %r in %s is no entry of a spool: quarantined", name, self._queue)
                self._quarantined += 1
        self._store(number, entries, size)

    def _write(self, name: str, blob: bytes, entries: int, size: int) -> tuple[int, int]:
        """Write an entry, at the cost of the oldest ones where the disk is full."""
        while True:
            try:
                atomic.write(self._queue / name, blob)
            except OSError as error:
                with contextlib.suppress(OSError):
                    self._unlink(name)  # a put that raises leaves nothing to upload
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                entries, size = self._evict(len(blob), entries, size, "the disk is full")
            else:
                return entries, size

    def _unlink(self, name: str) -> int:
        """Delete a file of the queue; returns its size, bytes."""
        held = _size(self._queue / name)
        (self._queue / name).unlink()
        return held

    def _move_to_quarantine(self, name: str, wanted: str) -> Path:
        self._quarantine.mkdir(mode=0o700, exist_ok=True)  # somebody may have tidied up
        target, count = self._quarantine / wanted[:240], 0
        while os.path.lexists(target):
            count += 1
            target = self._quarantine / f"{wanted[:240]}.{count}"
        os.rename(self._queue / name, target)
        return target

    def _pass_over(self, name: str, why: str) -> None:
        self._passed[name] = why
        log.error("spool: %r in %s is passed over: %s", name, self._queue, why)

    def _make_room(self, needed: int, entries: int, size: int) -> tuple[int, int]:
        if needed > self.max_bytes:
            self._refused += 1
            raise SpoolFull(
                f"spool {self.folder}: an object of {needed} bytes; the whole spool may hold {self.max_bytes}"
            )
        if size + needed > self.max_bytes:
            entries, size = self._evict(
                size + needed - self.max_bytes, entries, size, f"it holds {self.max_bytes} bytes at most"
            )
        disk = os.statvfs(self._queue)
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
            try:
                held = self._unlink(name)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._pass_over(name, f"it should make room, but cannot be deleted ({error.strerror})")
                continue
            gained += held
            entries, size = max(0, entries - 1), max(0, size - held)
            self._dropped += 1
        number = self._counters()[0]
        self._store(number, entries, size)
        log.warning("spool %s: full (%s): the oldest entries were dropped, %d so far", self.folder, why, self._dropped)
        return entries, size


def _size(path: Path) -> int:
    """Bytes of a file, 0 where even that cannot be read. Raises FileNotFoundError."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        raise
    except OSError:
        return 0


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
    return users_folder("XDG_STATE_HOME", ".local/state") / "saccade" / "spool"
