"""Any number of cameras in one process: workers, tickets, bulkheads.

A capture thread for each camera moves bytes and keeps the newest picture as it came. Workers, one more than cores, ask
the scheduler for a ticket, and lead the newest picture of that camera all the way: decode, infer, interpret, deliver.
A camera that floods, hangs or sends garbage holds its own ticket and nothing else; a worker that does not come back
from a decoder in time is replaced, and its camera opened anew. One whose results are not taken, as by a slow reader of
events, waits for that, and nothing of it is lost or opened anew.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from saccade.errors import ConfigError, SaccadeError
from saccade.ledger import Reason
from saccade.memory import give_back_free_pages
from saccade.pipeline.camera import Camera
from saccade.pipeline.delivery import ENDING_SECONDS
from saccade.pipeline.figures import EngineStatistics
from saccade.pipeline.lane import Lane
from saccade.pipeline.post import Look, Post
from saccade.pipeline.scheduler import Scheduler
from saccade.process import usable_cores

if TYPE_CHECKING:
    from saccade.capture import Capture

log = logging.getLogger(__name__)

FINISH_SECONDS = 2.0
"""So long workers have at the end of a run for what they are at, s."""
CLOSE_PATIENCE = 5.0
"""Outputs of a camera that is removed hold up whoever removes it no longer than this, s."""
WATCH_SECONDS = 0.1
"""So often somebody looks after the workers and the cameras, s."""
TRIM_SECONDS = 10.0
"""So often memory that was freed is returned to the system, s: cameras come, change and rest."""


class Engine:
    """Runs cameras until they end or it is stopped.

    Parameters
    ----------
    cameras : more may come while it runs.
    workers : threads that lead frames; None: one more than cores.
    lasting : it goes on without cameras.
    """

    def __init__(self, cameras: Iterable[Camera] = (), *, workers: int | None = None, lasting: bool = False) -> None:
        self.cores = usable_cores()
        self._workers = workers or self.cores + 1
        self.lasting = lasting
        self._scheduler = Scheduler(self._workers, self.cores)
        self._posts: dict[str, Post] = {}
        self._looks: set[Look] = set()
        self._threads: set[threading.Thread] = set()
        self._leaving: list[threading.Thread] = []
        self._turn = threading.Condition()
        self._alarm = math.inf
        self._trimmed = monotonic()
        self._stopping = threading.Event()
        self._running = False
        for camera in cameras:
            self.add(camera)

    def add(self, camera: Camera) -> None:
        """One camera more; raises ConfigError where there is one of that name.

        A source that cannot be there is no error of the others: the camera is listed as failed.
        """
        if camera.name in self._posts:
            raise ConfigError(f"camera {camera.name!r} is there already; names must differ")
        capture = camera.open()
        post = Post(camera, Lane(capture, camera.branches, depth=1, gate=camera.new_gate()))
        with self._turn:
            self._posts[camera.name] = post
            self._scheduler.add(camera.name, monotonic(), rate=camera.rate, weight=camera.weight)
            self._spread()
        self._connect(post)

    def remove(self, name: str, *, then: Callable[[], None] = lambda: None) -> None:
        """Stop a camera and forget it; what its outputs hold is written, and `then` called.

        What hangs at that holds up nobody: after `CLOSE_PATIENCE` it is left to itself, and the camera is gone.
        """
        post = self._post(name)
        with self._turn:
            del self._posts[name]
            self._scheduler.remove(name)
            self._spread()
        errors: list[Exception] = []

        def close() -> None:
            try:
                self._close(post)
                then()
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=close, name="saccade-closing", daemon=True)
        thread.start()
        thread.join(CLOSE_PATIENCE)
        if thread.is_alive():
            self._leaving.append(thread)
            log.error(
                "camera %s: its outputs are not closed after %g s; they are left to themselves, the others go on",
                name, CLOSE_PATIENCE,
            )  # fmt: skip
        elif errors:
            raise errors[0]

    def pause(self, name: str, *, paused: bool = True) -> None:
        """Let a camera rest, or go on; it stays open, and its pictures are counted as paused."""
        post = self._post(name)
        with self._turn:
            post.paused = paused
            self._scheduler.pause(name, monotonic(), paused=paused)
            self._turn.notify_all()

    def change(self, name: str, *, rate: float | None, weight: float) -> None:
        """Another rate and weight for a camera."""
        post = self._post(name)
        camera = replace(post.camera, rate=rate, weight=weight)
        with self._turn:
            post.camera = camera
            self._scheduler.change(name, monotonic(), rate=rate, weight=weight)
            self._turn.notify_all()

    def run(self, *, frames: int | None = None, seconds: float | None = None) -> EngineStatistics:
        """Run until all cameras end, `stop()` is called, or `frames` results in all or `seconds` have passed.

        The seconds count from the first frame's arrival; while there is none, from the start.
        """
        started = monotonic()
        self._running = True
        try:
            with self._turn:
                self._spread()
            for post in list(self._posts.values()):
                self._connect(post)
            for _ in range(self._workers):
                self._hire()
            while not self._stopping.wait(WATCH_SECONDS):
                self._watch()
                posts = list(self._posts.values())
                begun = min((post.lane.first for post in posts if post.lane.first), default=started)
                if seconds is not None and monotonic() - begun >= seconds:
                    break
                if frames is not None and sum(post.lane.frames for post in posts) >= frames:
                    break
                if not self.lasting and all(post.over for post in posts):
                    break
        finally:
            self._end()
        return self.statistics()

    def stop(self) -> None:
        """Ask the run to end; from any thread."""
        self._stopping.set()

    def close_outputs(self, seconds: float | None = None) -> None:
        """Have all outputs write what they hold, and close them, where the run was told to end; from any thread.
        Pictures that are on their way have no result then, as beside an output that hangs.

        seconds : one that has not done so by then is named and left to itself; None: it takes as long as it takes.
        """
        posts = list(self._posts.values())
        _all_at_once(partial(post.lane.close_outputs, seconds) for post in posts)
        for post in posts:
            post.lane.capture.ledger.seal()

    def state(self, name: str) -> str:
        """What a camera is up to, as its figures say, without working those out; "ended" where there is none."""
        with self._turn:
            post = self._posts.get(name)
        return "ended" if post is None else post.state

    def statistics(self) -> EngineStatistics:
        """Figures so far; from any thread."""
        with self._turn:
            posts = dict(self._posts)
            shares = self._scheduler.shares()
            overloaded = self._scheduler.overloaded(monotonic())
        cameras = {name: post.figures(shares[name]) for name, post in posts.items()}
        frames = sum(post.lane.frames for post in posts.values())
        firsts = [post.lane.first for post in posts.values() if post.lane.first]
        seconds = max((post.lane.last for post in posts.values()), default=0.0) - min(firsts) if firsts else 0.0
        return EngineStatistics(
            cameras, frames, max(seconds, 0.0), frames / seconds if seconds > 0 else 0.0, self.cores, overloaded
        )

    def _post(self, name: str) -> Post:
        post = self._posts.get(name)
        if post is None:
            known = ", ".join(self._posts) or "none"
            raise ConfigError(f"there is no camera {name!r}; there are: {known}")
        return post

    def _spread(self) -> None:
        """While it runs: a ticket for each camera; where there are fewer cameras than workers, more of them."""
        if not self._running:
            return
        tickets = max(1, self._workers // max(1, len(self._posts)))
        self._scheduler.spread(tickets)
        for post in self._posts.values():
            post.lane.deepen(tickets)

    def _connect(self, post: Post) -> None:
        """Let the camera's capture begin, and tell the scheduler of its pictures."""
        if not self._running or post.lane.capture.begun:
            return
        capture, name = post.lane.capture, post.camera.name

        def arrived() -> None:
            with self._turn:
                over = post.lane.capture is not capture or capture.ledger.sealed or capture.ended
                if not over and self._scheduler.arrive(name, monotonic()):
                    self._turn.notify()

        def lost() -> Reason:
            if post.paused:
                return "paused"
            if post.held:
                return "held"
            return "over budget" if self._scheduler.wants(name, monotonic()) else "newer"

        capture.on_arrival, capture.lost_as = arrived, lost
        capture.begin()

    def _hire(self) -> None:
        """A worker more."""
        thread = threading.Thread(target=self._work, name="saccade-worker", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        """What a worker does: tickets, one after the other, until the end or until it was replaced."""
        while (look := self._next_look()) is not None:
            served = True  # a look that fails was one, and the next is due when its time comes
            try:
                served = self._serve(look)
            except SaccadeError as error:
                look.note_failure(str(error))
            except Exception as error:
                look.note_failure(f"{type(error).__name__}: {error}", unforeseen=error)
            with self._turn:
                if look.ticket.revoked:
                    look.post.hung -= 1
                    break
                self._looks.discard(look)
                self._scheduler.give_back(look.ticket, monotonic(), served=served)
                if look.ticket.held:
                    look.post.held -= 1
                    self._turn.notify()  # what has come meanwhile is for another
                    break
        self._threads.discard(threading.current_thread())

    def _next_look(self) -> Look | None:
        with self._turn:
            while not self._stopping.is_set():
                now = monotonic()
                ticket = self._scheduler.take(now)
                if ticket is not None:
                    if self._scheduler.crowded:
                        # Another worker looks what else there is, and sees to the time.
                        self._alarm = math.inf
                        self._turn.notify()
                    look = Look(ticket, self._posts[ticket.camera], since=now)
                    self._looks.add(look)
                    return look
                self._rest(now)
        return None

    def _rest(self, now: float) -> None:
        """Wait for a call; one of the workers that do, for the next due time as well."""
        seconds = self._scheduler.wake(now)
        until = math.inf if seconds is None else now + seconds
        if until >= self._alarm > now:
            self._turn.wait()
            return
        self._alarm = until
        self._turn.wait(seconds)
        if self._alarm == until:
            self._alarm = math.inf

    def _serve(self, look: Look) -> bool:
        """Lead the newest picture of the ticket's camera all the way, if it is not still; False where there is none."""
        lane = look.post.lane
        again = partial(self._look_again, look)
        try:
            flight, found = lane.look(taken=again)
        finally:
            again()
        if flight is None:
            return found
        look.begin("infer")
        try:
            if not look.ticket.revoked:
                lane.finish(flight, begin=look.begin)
                look.post.failure = ""
        finally:
            lane.give_back(flight)
        return True

    def _look_again(self, look: Look) -> None:
        """Of a source of which every picture counts more than one may wait, and no other need come."""
        if look.post.lane.capture.queued:
            with self._turn:
                self._scheduler.again(look.ticket, monotonic())
                self._turn.notify()

    def _watch(self) -> None:
        """Replace workers that hang or wait for outputs, open cameras again that hung, see which have ended, and return
        memory.
        """
        now = monotonic()
        with self._turn:
            late = [look for look in self._looks if look.is_late(now)]
            for look in late:
                if look.is_delivering:
                    self._scheduler.hold(look.ticket, now)
                    look.post.held += 1
                    continue
                self._looks.discard(look)
                self._scheduler.revoke(look.ticket, now)
                look.post.hung += 1
        for look in late:
            if look.ticket.held:
                look.post.note_held()
                self._hire()
            else:
                self._replace(look, now)
        for post in list(self._posts.values()):
            if post.is_due(now):
                self._reopen(post)
            was_over = post.over
            post.over = post.retry is None and post.lane.capture.ended and not self._at_work(post)
            if post.over and not was_over and (reason := post.lane.capture.statistics().reason):
                log.error("camera %s has ended: %s", post.camera.name, reason)
        if now - self._trimmed >= TRIM_SECONDS:
            self._trimmed = now
            give_back_free_pages()

    def _at_work(self, post: Post) -> bool:
        with self._turn:
            return any(look.post is post for look in self._looks)

    def _replace(self, look: Look, now: float) -> None:
        """Another worker in the place of one that hangs, and an end of the capture in which it does."""
        # Several tickets may hang in one capture, and be noticed when another has taken its place, or none.
        here = self._posts.get(look.post.camera.name) is look.post
        if here and look.post.retry is None and look.ticket.granted >= look.post.opened:
            look.post.note_hang(look.stage, now)
            self._discard(look.post.lane.capture, "failed")
            with self._turn:
                self._scheduler.withdraw(look.ticket)
        self._hire()

    def _discard(self, capture: Capture, reason: Reason) -> None:
        """Stop a capture whose thread may hang as well, without waiting for it."""
        capture.ledger.seal(reason)
        threading.Thread(target=capture.stop, name="saccade-discard", daemon=True).start()

    def _reopen(self, post: Post) -> None:
        post.retry = None
        try:
            capture = post.camera.open()
        except Exception as error:  # whatever it is, the others go on
            post.failure = str(error) if isinstance(error, SaccadeError) else f"{type(error).__name__}: {error}"
            post.retry = monotonic() + post.pause
            return
        post.restarts += 1
        post.opened = monotonic()
        post.lane.attach(capture)
        self._connect(post)
        with self._turn:
            removed = self._posts.get(post.camera.name) is not post
        if removed:  # meanwhile, with the capture before this one
            self._discard(capture, "ended")

    def _close(self, post: Post, seconds: float | None = None) -> None:
        post.lane.capture.stop()
        post.lane.capture.ledger.seal()
        post.lane.close(seconds)

    def _end(self) -> None:
        """Let go of everything: workers finish what they have, for as long as they may. Outputs have all the time that
        they need to write what they hold, unless somebody has told the run to end.
        """
        seconds = ENDING_SECONDS if self._stopping.is_set() else None
        self._stopping.set()
        posts = list(self._posts.values())
        for post in posts:
            post.lane.capture.source.interrupt()
        with self._turn:
            self._turn.notify_all()
        until = monotonic() + FINISH_SECONDS
        for thread in list(self._threads):
            thread.join(max(0.0, until - monotonic()))
        _all_at_once(partial(self._close, post, seconds) for post in posts)
        until = monotonic() + CLOSE_PATIENCE
        for thread in self._leaving:
            thread.join(max(0.0, until - monotonic()))
        self._running = False


def _all_at_once(calls: Iterable[Callable[[], None]]) -> None:
    """Each on a thread of its own, as one may take long; raises what one of them raised when all have returned."""
    each = list(calls)
    with ThreadPoolExecutor(max(1, len(each)), thread_name_prefix="saccade-closing") as threads:
        done = [threads.submit(call) for call in each]
    for one in done:
        one.result()
