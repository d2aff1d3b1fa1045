"""The local pool: a process a core, each with the network, fed one task at a time. As many as there are cores have one
each.

Workers are programs of their own, so that what kills one, a decoder's crash as much as an operator, takes nothing else
along. A task whose worker died is done again by another. An item that crashed two workers becomes a row with an error.
One at which workers are killed time and again, as the system does where memory runs out, is left for later. Where
workers do not even come to begin, the run ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from saccade.archive.manifest import Task
from saccade.archive.order import Order
from saccade.archive.shard import TaskReport, plain_task
from saccade.errors import OutputError, SaccadeError
from saccade.process import usable_cores

log = logging.getLogger(__name__)

_RUN = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "import runpy; runpy.run_module(sys.argv.pop(1), None, '__main__')"
)
"""What `python -m` does, but that modules do not come out of the current folder: it may be that of the archive."""
MOST_CRASHES = 2
MOST_KILLS = 5


@dataclass(slots=True)
class _Worker:
    """A process. core : the only one that it uses; None: any. task, at : what it is doing, and which item of it.
    words : why it ends, where it could say so.
    """

    process: subprocess.Popen[bytes]
    core: int | None = None
    buffer: bytearray = field(default_factory=bytearray)
    ready: bool = False
    task: Task | None = None
    at: int = 0
    words: str = ""

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end is noticed elsewhere
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()


class Pool:
    """Runs tasks in processes of this machine. workers : how many. Ends them all at the end of the `with` block."""

    def __init__(self, order: Order, out: str, workers: int) -> None:
        self._order, self._out, self.count = order, out, workers
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()
        self._deaths: Counter[tuple[bytes, bool]] = Counter()
        self._unready = 0
        self._digest = ""
        # A worker decodes in one thread and infers in another, in turns. Left free, the threads of several workers are
        # put onto the same core time and again, and another core idles for a fifth of the run.
        free = sorted(os.sched_getaffinity(0))
        self._cores = free if workers > 1 and workers == len(free) == usable_cores() else []
        self._again: list[Task] = []
        self._left: dict[int, dict[str, str]] = {}
        self.stopped = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._selector.close()

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers.values():
            worker.process.kill()
        for worker in list(self._workers.values()):
            self._forget(worker)

    def stop(self) -> None:
        """Give out no more; from any thread."""
        self.stopped = True

    def start(self, most: int = 1) -> None:
        """Start workers, `most` at most of those that there are to be: they open the network meanwhile."""
        while len(self._workers) < min(self.count, most):
            self._start()

    def digest(self, most: int = 1) -> str:
        """What the results are made with, see `order.digest_of`, as the first worker says that has opened the network;
        "" where it was told to stop. most : see `start`. Raises what a worker cannot begin after.
        """
        while not self._digest and not self.stopped:
            self.start(most)
            for key, _ in self._selector.select(0.5):
                for _ in self._reports(key.data):
                    pass
        return self._digest

    def run(self, tasks: Iterator[Task]) -> Iterator[TaskReport | None]:
        """Reports as they come; None now and then, when there is none. Raises what a worker cannot go on after."""
        waiting = iter(tasks)
        ended = False
        for worker in list(self._workers.values()):
            task = next(waiting, None)
            ended = ended or task is None
            if task is None:
                self._dismiss(worker)
            elif worker.ready:
                self._give(worker, task)
            else:
                worker.task = task
        while not self.stopped:
            while len(self._workers) < self.count and (self._again or not ended):
                task = self._again.pop() if self._again else next(waiting, None)
                if task is None:
                    ended = True
                    break
                worker = self._start()
                worker.task = task
            if not self._workers:
                return
            events = self._selector.select(0.5)
            if not events:
                yield None
            for key, _ in events:
                worker = key.data
                for report in self._reports(worker):
                    yield report
                    if worker.process.pid not in self._workers:
                        break
                    task = self._again.pop() if self._again else next(waiting, None)
                    ended = ended or task is None
                    if task is None:
                        self._dismiss(worker)
                        break
                    self._give(worker, task)

    def _start(self) -> _Worker:
        command = [sys.executable, "-c", _RUN, "saccade.archive.worker", str(os.getpid())]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
        environment.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # its own one keeps some MB for the next time
        # In a session of its own, so that Ctrl-C reaches the driver alone.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        taken = {worker.core for worker in self._workers.values()}
        core = next((core for core in self._cores if core not in taken), None)
        if core is not None:
            with contextlib.suppress(OSError):  # it is gone again already
                os.sched_setaffinity(process.pid, {core})
        worker = self._workers[process.pid] = _Worker(process, core)
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
        worker.send({"order": self._order.plain(), "out": self._out})
        return worker

    def _give(self, worker: _Worker, task: Task) -> None:
        worker.task, worker.at = task, 0
        worker.send(plain_task(task))

    def _reports(self, worker: _Worker) -> Iterator[TaskReport]:
        """What comes of what a worker has said."""
        assert worker.process.stdout is not None
        data = os.read(worker.process.stdout.fileno(), 1 << 16)
        if not data:
            report = self._died(worker)
            if report is not None:
                yield report
            return
        worker.buffer += data
        *lines, rest = bytes(worker.buffer).split(b"\n")
        worker.buffer = bytearray(rest)
        for line in lines:
            report = self._take(worker, json.loads(line))
            if report is not None:
                yield report

    def _take(self, worker: _Worker, answer: dict[str, Any]) -> TaskReport | None:
        if "fatal" in answer:
            raise OutputError(answer["fatal"])
        if "ready" in answer:
            worker.ready = True
            self._unready = 0
            self._digest = answer["ready"]
            if worker.task is not None:
                self._give(worker, worker.task)
        elif "at" in answer:
            worker.at = answer["at"]
        elif "words" in answer:
            worker.words = answer["words"]
        else:
            worker.task = None
            return self._with_left(TaskReport(**answer["report"]))
        return None

    def _died(self, worker: _Worker) -> TaskReport | None:
        """See to it that a worker's task is done; a report where nothing is left of it to do."""
        status = worker.process.wait()
        self._forget(worker)
        task = worker.task
        if task is None and worker.ready:
            return None
        killed = status in (-signal.SIGKILL, -signal.SIGTERM)
        how = worker.words or (signal.Signals(-status).name if status < 0 else f"status {status}")
        if not worker.ready:
            self._unready += 1
            if not killed or self._unready >= MOST_KILLS:
                hint = "is there too little memory? give fewer --workers" if killed else "its messages say why"
                raise SaccadeError(f"a worker ended with {how} before it could begin; {hint}")
            if task is not None:
                self._again.append(task)
            return None
        assert task is not None
        item = task.items[worker.at]
        said = f"{item.path}: workers {'were killed' if killed else 'crashed'} at it ({how})"
        log.warning("%s; another takes the task", said)
        self._deaths[item.identity(), killed] += 1
        count = self._deaths[item.identity(), killed]
        if killed and count >= MOST_KILLS:
            said += "; is there too little memory? give fewer --workers"
            self._left[task.number] = self._left.get(task.number, {}) | {item.path: said}
            task = _without(task, worker.at)
        elif not killed and count >= MOST_CRASHES:
            task = replace(task, errors={**task.errors, worker.at: said})
        if task.items:
            self._again.append(task)
            return None
        return self._with_left(TaskReport(task.number))

    def _with_left(self, report: TaskReport) -> TaskReport:
        """A report that also names what the pool itself has left for later."""
        left = self._left.pop(report.task, None)
        return replace(report, missing=(report.missing or {}) | left) if left else report

    def _dismiss(self, worker: _Worker) -> None:
        """End a worker that has nothing left to do: what it has reported is written, and libraries end slowly."""
        worker.process.kill()
        self._forget(worker)

    def _forget(self, worker: _Worker) -> None:
        self._selector.unregister(worker.process.stdout)  # type: ignore[arg-type]
        worker.process.wait()
        for stream in (worker.process.stdin, worker.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._workers.pop(worker.process.pid, None)


def _without(task: Task, index: int) -> Task:
    """A task with an item less, of which the others get parts of their own."""
    errors = {at - (at > index): said for at, said in task.errors.items()}
    return replace(task, items=task.items[:index] + task.items[index + 1 :], apart=True, errors=errors)
