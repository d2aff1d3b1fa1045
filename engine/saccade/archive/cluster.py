"""The same shard function under Ray Data, on this machine or a cluster. Ray brings workers; exactly once is ours.

Ray may do a task twice or lose a worker: a repeat finds the part and does nothing. Errors are reports, never
exceptions, since Ray ends a run over one, and starts an actor anew without end that crashes at a file.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Iterator
from typing import Any

from saccade.archive.manifest import Task
from saccade.archive.order import Order
from saccade.archive.pool import Pool
from saccade.archive.shard import TaskReport, plain_task, task_from
from saccade.errors import ConfigError, OutputError, SaccadeError


class Actor:
    """A worker of Ray: a pool of one, so that a file that crashes its process is what it is everywhere, a row."""

    def __init__(self, order: dict[str, Any], out: str) -> None:
        self._pool = Pool(Order(**order), out, 1)
        self._waiting: list[Task] = []
        self._reports = self._pool.run(iter(self._waiting.pop, None))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Tasks, packed, in the column `task`; reports as JSON in the column `report`."""
        return {"report": [self._report(packed) for packed in batch["task"]]}

    def _report(self, packed: bytes) -> str:
        self._waiting.append(unpacked(packed))
        try:
            return json.dumps({"report": next(report for report in self._reports if report is not None).plain()})
        except SaccadeError as error:
            return json.dumps({"fatal": str(error)})


def packed(task: Task) -> bytes:
    """A task as Ray holds it until its turn comes; a million pictures are some 40 MB."""
    return zlib.compress(json.dumps(plain_task(task)).encode())


def unpacked(data: bytes) -> Task:
    """The task again."""
    return task_from(json.loads(zlib.decompress(data)))


def run(address: str, order: Order, out: str, tasks: Iterator[Task], workers: int | None) -> Iterator[TaskReport]:
    """Reports as they come.

    address : of a cluster, `auto` for the one that this machine is part of, or `local`. workers : actors at a time.
    Raises ConfigError where Ray is not installed or the cluster does not answer.
    """
    try:
        import ray
        from ray.data import ActorPoolStrategy, DataContext
    except ImportError:
        raise ConfigError("--ray needs Ray Data: pip install 'saccade-engine[ray]'") from None
    try:
        if address == "local":
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"ray {address}: {str(error).splitlines()[0]}") from None
    try:
        DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # the progress here is enough
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        rows = [{"task": packed(task)} for task in tasks]
        if not rows:
            return
        reports = ray.data.from_items(rows, override_num_blocks=min(len(rows), 4096)).map_batches(
            Actor,
            fn_constructor_kwargs={"order": order.plain(), "out": out},
            batch_size=1,
            num_cpus=1,
            compute=ActorPoolStrategy(size=min(count, len(rows))),
        )
        for row in reports.iter_rows():
            answer = json.loads(row["report"])
            if "fatal" in answer:
                raise OutputError(answer["fatal"])
            yield TaskReport(**answer["report"])
    finally:
        ray.shutdown()
