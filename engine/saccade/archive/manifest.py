"""The manifest: what there is to do, as a Parquet file that people may read and filter with their own tools.

A row is an item: a picture, or a segment of a video. Rows of the same `task` lie together and are done together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.errors import ConfigError, SourceError

VERSION = "1"
_KEY = b"saccade.archive.manifest"
BATCH_ROWS = 8192

SCHEMA = pa.schema(
    [
        ("task", pa.int64()),
        ("path", pa.string()),
        ("kind", pa.string()),
        ("version", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.timestamp("us", "UTC")),
        ("segment", pa.int32()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("position", pa.int64()),
        ("seconds", pa.float64()),
        ("frames", pa.int64()),
    ],
    {_KEY: VERSION.encode()},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A picture, or a segment of a video.

    kind : picture or video. version : what the content is: an ETag, or a hash. segment : number within the file.
    start, stop : time stamps of the key frames that bound it, in ticks of the video stream; None: begin and end of the
    file. position : of a file in fragments, the byte from which on it may be read for this segment; None: it is opened.
    seconds, frames : of the segment, as its packets say; 0 where they do not.
    """

    path: str
    kind: str
    version: str
    size: int
    modified: datetime | None = None
    segment: int = 0
    start: int | None = None
    stop: int | None = None
    position: int | None = None
    seconds: float = 0.0
    frames: int = 1

    def work(self, rate: float | None) -> float:
        """Frames that will be looked at, more or less."""
        if self.kind == "picture" or rate is None or not self.seconds:
            return max(1.0, float(self.frames))
        return max(1.0, min(float(self.frames), self.seconds * rate))

    def identity(self) -> bytes:
        """What makes it this item and no other."""
        return "\0".join((self.path, self.version, str(self.segment), str(self.start), str(self.stop))).encode()

    def plain(self) -> dict[str, Any]:
        """For JSON; `Item.of` makes it again."""
        return asdict(self) | {"modified": self.modified.isoformat() if self.modified else None}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Item:
        """From JSON."""
        modified = plain["modified"]
        return cls(**plain | {"modified": datetime.fromisoformat(modified) if modified else None})


@dataclass(frozen=True, slots=True)
class Task:
    """Items that are done together, and whose rows are one part.

    number : in the manifest. apart : each item gets a part of its own, since not all can be had, or some have theirs.
    errors : by place in `items`, what is recorded of those that no worker survives; nobody looks at them any more.
    """

    number: int
    items: tuple[Item, ...]
    apart: bool = False
    errors: Mapping[int, str] = field(default_factory=dict)

    def key(self, digest: str) -> str:
        """Name of its part. digest : of the model and the options."""
        return part_key(digest, self.items)

    def keys_alone(self, digest: str) -> list[str]:
        """Names of parts of its items alone, of which it also may be made up."""
        return [part_key(digest, (item,)) for item in self.items]


def part_key(digest: str, items: tuple[Item, ...]) -> str:
    """A name that depends on content, model and options, and on nothing else."""
    found = hashlib.blake2b(digest.encode(), digest_size=16)
    for item in items:
        found.update(item.identity() + b"\n")
    return found.hexdigest()


def moment_of(state: os.stat_result) -> datetime | None:
    """When a local file was changed; None where that is no date (clocks may say anything)."""
    try:
        return datetime.fromtimestamp(state.st_mtime, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


class Writer:
    """Writes a manifest as it comes, and gathers items into tasks.

    A task is full when it has `pictures` pictures, or as many seconds of video as a segment has.
    """

    def __init__(self, file: Path, *, pictures: int, seconds: float) -> None:
        self._writer = pq.ParquetWriter(file, SCHEMA, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._share = 1 / pictures, 1 / seconds
        self._full = 0.0
        self.tasks = 0

    def add(self, item: Item) -> None:
        """One item more."""
        share = self._share[0] if item.kind == "picture" else max(self._share[0], item.seconds * self._share[1])
        if self._full + share > 1 + 1e-9 or not self.tasks:
            self.tasks, self._full = self.tasks + 1, 0.0
        self._full += share
        self._rows.append({"task": self.tasks - 1} | asdict(item))
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, SCHEMA))
            self._rows = []

    def close(self) -> None:
        """Write the rest."""
        self._flush()
        self._writer.close()


def opened(path: str) -> pq.ParquetFile:
    """A manifest; raises ConfigError for any other file."""
    from saccade.archive.places import is_s3, place_of, split_name

    try:
        if is_s3(path):
            place, name = split_name(path)
            source: Any = place_of(place).open(name)
        else:
            source = path
        file = pq.ParquetFile(source)
    except (OSError, pa.ArrowException) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else "is no Parquet file"
        raise SourceError(f"{path}: {reason}; give what `saccade archive plan` wrote") from None
    version = (file.schema_arrow.metadata or {}).get(_KEY)
    if version != VERSION.encode():
        kind = "no manifest" if version is None else f"a manifest of version {version.decode(errors='replace')}"
        raise ConfigError(f"{path}: is {kind}; expected one of version {VERSION}: plan again with this release")
    if file.schema_arrow.names != SCHEMA.names:
        raise ConfigError(f"{path}: has other columns than a manifest: {', '.join(file.schema_arrow.names)}")
    return file


def tasks_of(path: str) -> Iterator[Task]:
    """The tasks of a manifest, in its order; memory does not grow with it."""
    file = opened(path)
    rows = (row for batch in file.iter_batches(BATCH_ROWS) for row in batch.to_pylist())
    for number, group in groupby(rows, key=lambda row: row["task"]):
        items = tuple(Item(**{key: value for key, value in row.items() if key != "task"}) for row in group)
        yield Task(number, items)
