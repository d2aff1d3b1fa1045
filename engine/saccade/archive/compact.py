"""One file of all parts, in the manifest's order: its bytes depend on what was found, and on nothing that happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from saccade.archive import schema
from saccade.archive.manifest import Task, tasks_of
from saccade.archive.places import Place, new_file, place_of
from saccade.archive.run import Run, done_keys, is_done, recorded
from saccade.archive.shard import part_name
from saccade.errors import ConfigError, OutputError

GROUP_ROWS, GROUP_ROWS_OF_CROPS = 65536, 2048
"""Rows of a group in the file, as many whatever the parts' sizes."""


@dataclass(slots=True)
class Status:
    """How far a manifest is done. missing : paths of the first items that are not."""

    tasks: int = 0
    done: int = 0
    items: int = 0
    items_done: int = 0
    seconds: float = 0.0
    seconds_done: float = 0.0
    missing: list[str] = field(default_factory=list)


def known_run(place: Place) -> Run:
    """What the results of a place were made with; raises ConfigError where there are none."""
    run = recorded(place)
    if run is None:
        raise ConfigError(f"{place.address}: holds no results of an archive; give the --out of `saccade archive run`")
    return run


def status_of(manifest: str, place: Place) -> Status:
    """How far it is, from the names of the parts alone."""
    run, done, status = known_run(place), done_keys(place), Status()
    for task in tasks_of(manifest):
        length = sum(item.seconds for item in task.items)
        whole = task.key(run.digest) in done
        alone = [whole or key in done for key in task.keys_alone(run.digest)]
        status.tasks += 1
        status.done += all(alone)
        status.items += len(alone)
        status.items_done += sum(alone)
        status.seconds += length
        status.seconds_done += length if all(alone) else 0.0
        for item, is_there in zip(task.items, alone, strict=True):
            if not is_there and len(status.missing) < 20:
                status.missing.append(item.path)
    return status


def tables_of(manifest: str, place: Place, *, partial: bool = False) -> Iterator[pa.Table]:
    """The rows in the manifest's order. Raises ConfigError where some are missing and that is not allowed."""
    run, done = known_run(place), done_keys(place)
    if not partial:
        missing = sum(not is_done(task, run.digest, done) for task in tasks_of(manifest))
        if missing:
            raise ConfigError(
                f"{place.address}: {missing} tasks are not done; run it again, or give --partial for what there is"
            )
    for task in tasks_of(manifest):
        for key in _keys(task, run.digest, done):
            yield from _part(place, key)


def _keys(task: Task, digest: str, done: set[str]) -> list[str]:
    whole = task.key(digest)
    return [whole] if whole in done else [key for key in task.keys_alone(digest) if key in done]


def _part(place: Place, key: str) -> Iterator[pa.Table]:
    try:
        with place.open(part_name(key)) as stream, pq.ParquetFile(stream) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number).cast(schema.SCHEMA)
    except (pa.ArrowException, OSError) as error:
        raise OutputError(
            f"{place.address}/{part_name(key)}: cannot be read ({error}); remove it and run again"
        ) from None


def compact(manifest: str, out: str, target: str, *, partial: bool = False) -> int:
    """Write the file; returns its rows. An object of S3 that is there already is replaced by nobody."""
    place = place_of(out)
    crops = bool(known_run(place).order.get("crops"))
    rows = GROUP_ROWS_OF_CROPS if crops else GROUP_ROWS
    tables = tables_of(manifest, place, partial=partial)
    with new_file(target) as part:
        return _write(part, tables, rows)


def _write(file: Path, tables: Iterator[pa.Table], rows: int) -> int:
    count, held = 0, schema.SCHEMA.empty_table()
    with pq.ParquetWriter(file, schema.SCHEMA, compression="zstd") as writer:
        for table in tables:
            held = pa.concat_tables([held, table])
            while len(held) >= rows:
                writer.write_table(held.slice(0, rows).combine_chunks(), row_group_size=rows)
                count, held = count + rows, held.slice(rows)
        if len(held):
            writer.write_table(held.combine_chunks(), row_group_size=rows)
    return count + len(held)


def errors_of(manifest: str, place: Place) -> Iterator[tuple[str, str]]:
    """Path and error of what could not be read."""
    for table in tables_of(manifest, place, partial=True):
        for row in table.select(["path", "status", "error"]).to_pylist():
            if row["status"] == "error":
                yield row["path"], row["error"]
