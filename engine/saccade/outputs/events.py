"""Results as JSON lines, one object a frame."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import select
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saccade.errors import OutputError
from saccade.frame import Frame
from saccade.private import check_place
from saccade.process import is_writable
from saccade.results import Result

log = logging.getLogger(__name__)

PIECE = 4096
"""Bytes that a pipe takes without blocking once it is ready to be written (POSIX: at least 512, Linux: 4096)."""

STDOUT = 1


def to_json(value: Any) -> str:
    """Compact JSON on one line; NumPy's values become plain, and NaN and infinity, which JSON has not, null."""
    try:
        return _dumps(value)
    except ValueError:
        return _dumps(_finite(value))


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in an event; use numbers, text, lists and dicts")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """Lines written, and lines that could not be."""

    written: int
    lost: int


class EventWriter:
    """An output that writes each result as one line.

    Each line goes out whole and at once, in one write, so that a reader or a crash never sees half of one. A full
    disk loses lines, counted, and is told once; what was written stays, and writing goes on when there is room.

    Parameters
    ----------
    target : path of a file (begun anew unless `append`), or `-` for standard output.
    camera : stands in each line, where it has a name.

    name : what it is, for people, as "events (PATH)".

    Raises
    ------
    OutputError : the file cannot be opened; from `accept`, once, when the reader of a pipe has gone.
    """

    leases = 0
    _kind = "events"

    def __init__(self, target: str | Path, *, append: bool = False, camera: str = "") -> None:
        self._camera = {"camera": camera} if camera else {}
        self._written = self._lost = 0
        self._failing = self._gone = self._closed = False
        self._lock = threading.Lock()
        self._place = "standard output" if str(target) == "-" else str(target)
        self.name = f"{self._kind} ({self._place})"
        if str(target) == "-" and not is_writable(STDOUT):
            raise OutputError("events cannot be written: standard output is closed; give a file (--events)")
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
        try:
            if str(target) != "-":
                check_place(target)
            # A descriptor of our own, for standard output too: no buffer of the interpreter's is between.
            self._file = os.dup(STDOUT) if str(target) == "-" else os.open(target, flags, 0o666)
        except OSError as error:
            raise OutputError(
                f"events cannot be written to {self._place}: {error.strerror}; give a file in a folder that is there "
                "and can be written to (--events)"
            ) from error
        self._regular = stat.S_ISREG(os.fstat(self._file).st_mode)

    def accept(self, frame: Frame, result: Result) -> None:
        """Write the result's line."""
        with self._lock:
            self._accept(result)

    def _accept(self, result: Result) -> None:
        if self._gone or self._closed:
            self._lost += 1
            return
        try:
            self._write(to_json(self._camera | result.to_event()).encode() + b"\n")
        except BrokenPipeError:
            self._gone = True
            self._lost += 1
            raise OutputError(f"the reader of the events on {self._place} has gone; no more are written") from None
        except OSError as error:
            self._lost += 1
            if not self._failing:
                log.error(
                    "events cannot be written to %s: %s; lines are lost until that is mended",
                    self._place,
                    error.strerror,
                )
            self._failing = True
        else:
            self._written += 1
            if self._failing:
                log.warning("events are written to %s again; %d lines were lost", self._place, self._lost)
            self._failing = False

    def statistics(self) -> EventStatistics:
        """Figures so far."""
        return EventStatistics(self._written, self._lost)

    def close(self) -> None:
        """Close the file; may be called from another thread while `accept` waits for a slow reader."""
        already, self._closed = self._closed, True
        with self._lock:
            if not already:
                os.close(self._file)

    def _write(self, line: bytes) -> None:
        if not self._regular:
            self._write_patiently(line)
            return
        done = 0
        try:
            while done < len(line):
                done += os.write(self._file, line[done:])
        except OSError:
            if done:  # take the half line back
                os.ftruncate(self._file, os.lseek(self._file, -done, os.SEEK_CUR))
            raise

    def _write_patiently(self, line: bytes) -> None:
        """Write to a pipe or terminal; a slow reader holds the stream up rather than lose lines."""
        poll = select.poll()
        poll.register(self._file, select.POLLOUT)
        rest = memoryview(line)
        while rest:
            if self._closed:
                raise OSError(errno.ECANCELED, "closed while its reader took nothing")
            if poll.poll(100):
                rest = rest[os.write(self._file, rest[:PIECE]) :]
