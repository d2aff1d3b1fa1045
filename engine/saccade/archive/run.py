"""A run: which tasks of a manifest are left to do, who does them, and how far it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from saccade.archive.manifest import Task, tasks_of
from saccade.archive.order import Order
from saccade.archive.places import Place
from saccade.archive.shard import TaskReport
from saccade.errors import ConfigError, OutputError

FORMAT = "1"
NAME = "archive.json"


@dataclass(frozen=True, slots=True)
class Run:
    """What a folder of results was made with. digest : see `order.digest_of`."""

    digest: str
    order: dict[str, Any]


def settle(order: Order, digest: str, place: Place) -> Run:
    """Note in the place what its results are made with; raises ConfigError where it holds those of another order.

    digest : see `order.digest_of`; whoever has opened the network knows it.
    """
    run = Run(digest, order.plain())
    text = json.dumps({"format": FORMAT, "digest": run.digest, "order": run.order}, indent=2, sort_keys=True)
    known = recorded(place)
    if known is None:
        with place.scratch() as scratch:
            try:
                Path(scratch).write_text(text + "\n", encoding="utf-8")
            except OSError as error:
                raise OutputError(f"{place.room}: {error.strerror}") from None
            place.add(NAME, scratch)
        known = recorded(place)
    if known is None or known.digest != run.digest:
        said = [] if known is None else [k for k, v in run.order.items() if known.order.get(k) != v]
        what = ", ".join(said) or "the model's files"
        raise ConfigError(
            f"{place.address}: holds results that were made with another choice of {what}; give another --out"
        )
    return run


def recorded(place: Place) -> Run | None:
    """What a place's results were made with; None where nothing is there yet."""
    data = place.read(NAME)
    if data is None:
        return None
    try:
        found = json.loads(data)
        return Run(str(found["digest"]), dict(found["order"]))
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{place.address}/{NAME}: is damaged; give another --out") from None


def done_keys(place: Place) -> set[str]:
    """Names of the parts that are there."""
    return {name[-40:-8] for name in place.names("parts/") if name.endswith(".parquet")}


def is_done(task: Task, digest: str, done: set[str]) -> bool:
    """Whether a task's rows are all there, as one part or item by item."""
    return task.key(digest) in done or (len(task.items) > 1 and done.issuperset(task.keys_alone(digest)))


@dataclass(slots=True)
class Progress:
    """How far a run is. total, work : tasks, and frames that are expected of them. before : tasks that were done when
    it began. missing : files that could not be had, with the reason.
    """

    total: int = 0
    before: int = 0
    done: int = 0
    work: float = 0.0
    worked: float = 0.0
    frames: int = 0
    rows: int = 0
    errors: int = 0
    repeated: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def take(self, report: TaskReport) -> None:
        """One task more."""
        if report.missing:
            self.missing |= report.missing
        else:
            self.done += 1
        self.worked += report.work
        self.frames += report.frames
        self.rows += report.rows
        self.errors += report.errors
        self.repeated += report.repeated

    @property
    def seconds(self) -> float:
        """Since the begin."""
        return time.monotonic() - self.started

    def line(self) -> str:
        """In one line."""
        rate = self.frames / self.seconds if self.seconds else 0.0
        left = (self.work - self.worked) * self.seconds / self.worked if self.worked else None
        remaining = "" if left is None else f", {duration(left)} left"
        errors = f", {self.errors} errors" if self.errors else ""
        return f"{self.before + self.done} of {self.total} tasks, {rate:.1f} frames/s{errors}{remaining}"

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "tasks": self.total, "done_before": self.before, "done": self.done, "frames": self.frames,
            "rows": self.rows, "errors": self.errors, "seconds": round(self.seconds, 3), "missing": self.missing,
        }  # fmt: skip


def duration(seconds: float) -> str:
    """For people: 3 s, 4 min, 5.2 h, 3.1 days."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.{1 if name == 'h' else 0}f} {name}"
    return f"{seconds / 86400:.1f} days"


def workers_for(manifest: str, shard: tuple[int, int], workers: int) -> int:
    """How many of the workers have something to do, at most."""
    number, count = shard
    return sum(1 for _ in islice((t for t in tasks_of(manifest) if t.number % count == number), workers))


def left_to_do(
    manifest: str, run: Run, place: Place, rate: float | None, shard: tuple[int, int], progress: Progress
) -> Iterator[Task]:
    """The tasks of a shard that are not done. The numbers of `progress` are set when the first one comes."""
    number, count = shard
    done = done_keys(place)
    for task in tasks_of(manifest):
        if task.number % count != number:
            continue
        progress.total += 1
        if is_done(task, run.digest, done):
            progress.before += 1
        else:
            progress.work += sum(item.work(rate) for item in task.items)
    progress.started = time.monotonic()
    for task in tasks_of(manifest):
        if task.number % count == number and not is_done(task, run.digest, done):
            yield replace(task, apart=not done.isdisjoint(task.keys_alone(run.digest)))


def shard_of(text: str) -> tuple[int, int]:
    """Number from 0 and count of `2/8`, which is the third of eight; raises ConfigError.

    The variables of array jobs count from 0 (AWS Batch) or from what their user says (Slurm).
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise ConfigError(f"shard: got {text!r}; expected I/N with I from 0 to N - 1, as 0/8")
    return int(number), int(count)


def estimate(manifest: str, order: Order, *, seconds: float = 10.0) -> tuple[float, float]:
    """Frames that are to be looked at, and seconds that a worker needs for all, from some that are looked at here."""
    from saccade.archive.shard import Examiner

    counts: dict[str, float] = {"picture": 0.0, "video": 0.0}
    samples: dict[str, list[Any]] = {"picture": [], "video": []}
    for task in tasks_of(manifest):
        for item in task.items:
            counts[item.kind] += item.work(order.rate)
            # Of each doubling of the number one: spread over all, whatever their number.
            if len(samples[item.kind]) < 40 and (task.number & (task.number - 1)) == 0:
                samples[item.kind].append(item)
    examiner, total = Examiner(order), 0.0
    for kind, items in samples.items():
        frames, begin = 0, time.perf_counter()
        for item in items:
            for _ in _frames(examiner, item):
                frames += 1
                if time.perf_counter() - begin > seconds / 2:
                    break
        if frames:
            total += counts[kind] * (time.perf_counter() - begin) / frames
    return sum(counts.values()), total


def _frames(examiner: Any, item: Any) -> Iterable[float | None]:
    from saccade.errors import SourceError

    latest: tuple[Any, ...] = ()
    try:
        for row in examiner.rows(item):
            if (row["status"], row.get("time")) != latest:
                latest = row["status"], row.get("time")
                yield row.get("time")
    except SourceError:
        return
