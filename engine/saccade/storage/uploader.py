"""Drains a spool into a bucket, in order, exactly once."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.errors import ConfigError, OutputError
from saccade.statistics import Stopwatch, Timing
from saccade.storage import s3
from saccade.storage.entries import SpoolEntry
from saccade.storage.spool import Spool

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 64
"""Connections that are kept open, if there are so many threads at work; more than these are closed after each use."""


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


class UploadCounts:
    """What was uploaded of one owner's entries; only the thread that uploads writes to it."""

    def __init__(self) -> None:
        self.uploaded = self.repeats = self.failures = 0
        self.upload = Stopwatch()


class SharedClient:
    """A client of S3 for all who upload: made when the first of them does, and used by all of their threads."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._client: Any = None
        self._lock = threading.Lock()

    def get(self) -> Any:
        """The client; whatever boto3 raises where none can be made."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def forget(self, client: Any) -> None:
        """Its credentials are refused: the next one asks for them anew, as they may have been renewed."""
        with self._lock:
            if self._client is client:
                self._client = None


class Uploader:
    """Drains a spool into a bucket, in order, from one thread.

    Parameters
    ----------
    spool : where from. bucket : where to.
    client : a boto3 S3 client, or one that is shared; by default its own, which `s3_client` makes.
    encryption : ``AES256`` (SSE-S3), ``aws:kms``, or "" for stores that know none. kms_key : key id with ``aws:kms``.
    back_off : (first, longest) pause after a failed attempt, s; doubled each time, with full jitter.
    counts_of : where an entry is counted; by default all are counted here.

    A failure never loses an entry: it stays first in the queue and is tried again, with growing pauses. Only what S3
    refuses for good (a key or content that it can never take) is quarantined, so that it cannot block the rest.
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
        counts_of: Callable[[SpoolEntry], UploadCounts] | None = None,
    ) -> None:
        self.spool, self.bucket = spool, _checked_bucket(bucket)
        if isinstance(client, SharedClient):
            self._client = client
        else:
            self._client = SharedClient(s3_client if client is None else lambda: client)
        self._options: dict[str, str] = {"ServerSideEncryption": encryption} if encryption else {}
        if kms_key:
            self._options["SSEKMSKeyId"] = kms_key
        self._first, self._longest = back_off
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.counts = UploadCounts()
        self._counts_of = counts_of or (lambda entry: self.counts)
        self._problem = ""
        self._draining = False

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

    def flush(self, timeout: float | None = None, *, progress: Callable[[SpoolEntry], None] | None = None) -> bool:
        """Upload from this thread until the queue is empty or `timeout` s are over; True if it is empty.

        Raises OutputError if another process is uploading this spool, or if the folder cannot be read.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._drain_lock() as mine:
            if not mine:
                raise OutputError(f"spool {self.spool.folder}: another process is uploading it; wait for it or stop it")
            try:
                return self._drain(end, progress)
            except OSError as error:
                raise OutputError(f"spool {self.spool.folder}: cannot be read ({error.strerror})") from None

    def statistics(self) -> UploadStatistics:
        """Counts so far."""
        counts = self.counts
        return UploadStatistics(
            counts.uploaded, counts.repeats, counts.failures, self._problem, self._draining, counts.upload.statistics()
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
                self._report(f"{type(error).__name__}: {error}", self.counts)
            self._stop.wait(1.0)

    def _drain(self, end: float | None, progress: Callable[[SpoolEntry], None] | None) -> bool:
        """Upload all there is, in order; False if stopped, out of time, or if something was passed over."""
        for path in self._batch():
            pause = self._first
            while not self._stop.is_set() and (end is None or time.monotonic() < end):
                if self._try(path.name, progress):
                    break
                wait = random.uniform(0.0, pause)  # jitter, so that a fleet does not come back at once
                pause = min(self._longest, pause * 2)
                self._stop.wait(wait if end is None else min(wait, max(0.0, end - time.monotonic())))
            else:
                return False
        return not self.spool.passed_over()

    def _try(self, name: str, progress: Callable[[SpoolEntry], None] | None) -> bool:
        """Upload one entry, if it is one; whether it is dealt with, or has to be tried again."""
        try:
            entry = self.spool.load(name)
        except OSError as error:
            self._report(f"{name} cannot be read now: {error.strerror}", self.counts)
            return False
        if entry is None:
            return True
        counts = self._counts_of(entry)
        try:
            self._upload(entry, counts)
        except UploadRefused as error:
            self.spool.quarantine(name, f"S3 refused {entry.key}: {error}")
            return True
        except Exception as error:  # whatever a network, credentials or a proxy can do: the entry is kept
            self._report(_reason(error, self.bucket), counts)
            return False
        self.spool.remove(entry)
        if progress is not None:
            progress(entry)
        return True

    def _batch(self) -> Iterator[Path]:
        """Entries in order, including those that arrive meanwhile."""
        while True:
            paths = self.spool.entries()
            if not paths:
                return
            yield from paths

    def _upload(self, entry: SpoolEntry, counts: UploadCounts) -> None:
        from botocore.exceptions import ClientError, NoCredentialsError, ParamValidationError

        client = self._client.get()
        try:
            with counts.upload.measure():
                client.put_object(
                    Bucket=self.bucket, Key=entry.key, Body=entry.data, ContentType=entry.content_type,
                    IfNoneMatch="*", ChecksumSHA256=base64.b64encode(bytes.fromhex(entry.digest)).decode(),
                    Metadata={"sha256": entry.digest}, **self._options,
                )  # fmt: skip
        except ParamValidationError as error:
            raise UploadRefused(str(error)) from None
        except NoCredentialsError:
            self._client.forget(client)
            raise
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = error.response.get("Error", {}).get("Code", "")
            if status == 412 or code == "PreconditionFailed":
                counts.repeats += 1
            elif code in _FOR_GOOD:
                raise UploadRefused(f"{code}: {error.response['Error'].get('Message', '')}") from None
            else:
                if code in _CREDENTIALS:
                    self._client.forget(client)
                raise
        else:
            counts.uploaded += 1
        if self._problem:
            log.warning("spool: uploads to %s work again", self.bucket)
            self._problem = ""

    def _report(self, problem: str, counts: UploadCounts) -> None:
        counts.failures += 1
        if problem != self._problem:
            # Once for each new trouble, not once for each attempt.
            log.warning("spool: cannot upload: %s (everything is kept and tried again)", problem)
            self._problem = problem


_FOR_GOOD = frozenset(
    {"EntityTooLarge", "KeyTooLongError", "InvalidObjectName", "BadDigest", "XAmzContentSHA256Mismatch"}
)


_CREDENTIALS = frozenset({"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"})


def s3_client(*, connect_timeout: float = 5.0, read_timeout: float = 15.0) -> Any:
    """The S3 client for uploads: short timeouts, retries left to the spool, a connection kept open for each thread."""
    return s3.client(
        connect_timeout=connect_timeout, read_timeout=read_timeout, attempts=1, connections=MOST_CONNECTIONS
    )


def _reason(error: Exception, bucket: str) -> str:
    """A failure in one line that says what to do, where that is known."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "?"))
        hint = s3.hint(code, "s3:PutObject")
        return f"bucket {bucket}: {code}" + (f": {hint}" if hint else "")
    return f"bucket {bucket}: {type(error).__name__}: {str(error)[:200]}"


def _checked_bucket(bucket: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]|arn:[^\s]{1,2000}", bucket):
        raise ConfigError(f"bucket {bucket[:80]!r}: not a bucket name; expected 3 to 63 letters, digits, '.' and '-'")
    return bucket
