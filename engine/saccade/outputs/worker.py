"""A thread that does an output's slow work on frames, so that the pipeline does not wait for it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from saccade.frame import Frame

log = logging.getLogger(__name__)

Job = TypeVar("Job")


class FrameWorker(Generic[Job]):
    """Does jobs in order in one thread; of the frames that come with them it holds one at a time.

    Parameters
    ----------
    thread : its name. output : whose work it is, for people.
    work : called with each job and its frame, which is released afterwards; what it raises is counted and told once.
    wait : when a frame is still worked on, `offer` waits for that one's end (for sources of which every frame
        matters) instead of declining the new one (for live sources).
    """

    def __init__(
        self, thread: str, work: Callable[[Frame | None, Job], None], *, output: str, wait: bool = False
    ) -> None:
        self._work = work
        self._output = output
        self._wait = wait
        self._jobs: deque[tuple[Frame | None, Job]] = deque()
        self._holds_frame = self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=thread, daemon=True)
        self.failed = 0

    def offer(self, frame: Frame, job: Job) -> bool:
        """Hand over a job with a frame, which is retained; False where it was declined."""
        with self._changed:
            if self._wait:
                self._changed.wait_for(lambda: not self._holds_frame or self._closed)
            if self._holds_frame or self._closed:
                return False
            self._holds_frame = True
            self._append(frame.retain(), job)
            return True

    def tell(self, job: Job) -> None:
        """Hand over a job without a frame; it is never declined."""
        with self._changed:
            if not self._closed:
                self._append(None, job)

    def close(self) -> None:
        """Do all jobs that were taken, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _append(self, frame: Frame | None, job: Job) -> None:
        self._jobs.append((frame, job))
        if self._thread.ident is None:
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    return
                frame, job = self._jobs.popleft()
            try:
                self._work(frame, job)
            except Exception as error:  # one frame's mishap (a damaged picture, say) must not end the output
                self.failed += 1
                if self.failed == 1:
                    where = "" if frame is None else f" on frame {frame.sequence}"
                    log.warning("%s%s: %s; such frames are left out", self._output, where, error)
            finally:
                if frame is not None:
                    frame.release()
                    with self._changed:
                        self._holds_frame = False
                        self._changed.notify_all()
