"""Annotated pictures for whoever watches, made only while somebody does.

One `Display` serves the FIFO and the live page. Its thread takes the newest frame when a viewer waits for a picture,
decodes it at the size that is watched, draws the result, encodes it once per size and hands it to all who wait. A
viewer that stalls asks for nothing and so costs nothing; the pipeline is never waited for and never waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from types import TracebackType

from saccade.frame import Frame
from saccade.outputs.annotate import Annotator
from saccade.outputs.jpeg import encode_jpeg
from saccade.results import Result
from saccade.statistics import Stopwatch, Timing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """One annotated picture.

    jpeg : JFIF bytes. frame : sequence number of the frame. captured : `Frame.captured` of the frame, s.
    result : what is drawn in it.
    """

    jpeg: bytes
    frame: int
    captured: float
    result: Result


@dataclass(frozen=True, slots=True)
class DisplayStatistics:
    """What a display did.

    viewers : open viewers. encoded : pictures made. skipped : frames that were wanted, but came while the thread was
    busy or sooner than the rate allows. failed : frames that could not be drawn. encode : decode, draw and encode.
    """

    viewers: int
    encoded: int
    skipped: int
    failed: int
    encode: Timing


class Viewer:
    """One watcher of a display; `Display.watch()` makes it. To be used by one thread."""

    def __init__(self, display: Display, width: int, height: int) -> None:
        self._display = display
        self.size = width, height
        self._picture: DrawnPicture | None = None
        self._call: Callable[[DrawnPicture | None], None] | None = None

    def next(self, timeout: float) -> DrawnPicture | None:
        """Wait for a picture of a frame newer than this call; None after `timeout`, s, or when the display closes."""
        return self._display._next(self, timeout)

    def ask(self, call: Callable[[DrawnPicture | None], None]) -> None:
        """Have `call` called once, in the display's thread, as soon as there is what `next` waits for.

        It gets None when the display closes. For watchers that may not wait, as an event loop; asking again replaces
        what was asked before.
        """
        self._display._ask(self, call)

    def newest(self) -> DrawnPicture | None:
        """The last picture that was made, however old, of this viewer's size if there is one; None before the first."""
        made = self._display._newest
        return made.get(self.size) or next(iter(made.values()), None)

    def _take_call(self) -> Callable[[DrawnPicture | None], None] | None:
        call, self._call = self._call, None
        return call

    def close(self) -> None:
        """Watch no more."""
        self._display._leave(self)

    def __enter__(self) -> Viewer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Display:
    """An output that shows frames to viewers.

    Parameters
    ----------
    width, height : bounds of the picture, px; it keeps the frame's aspect ratio and is never enlarged.
    rate : pictures a second at most.
    quality : of the JPEG, 1-100.

    A frame is held from the moment it is taken until its picture is made, one at a time (`leases`).
    """

    leases = 1
    name = "the page"

    def __init__(
        self,
        *,
        width: int = 858,
        height: int = 480,
        rate: float = 30.0,
        quality: int = 80,
        annotator: Annotator | None = None,
    ) -> None:
        self.width, self.height = width, height
        self._interval = 1 / rate
        self._quality = quality
        self._annotator = annotator or Annotator()
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._ready = threading.Condition(self._lock)
        self._viewers: set[Viewer] = set()
        self._waiting: set[Viewer] = set()
        self._newest: dict[tuple[int, int], DrawnPicture] = {}
        self._job: tuple[Frame, Result] | None = None
        self._busy = False
        self._due = 0.0
        self._thread: threading.Thread | None = None
        self._closed = False
        self._encoded = self._skipped = self._failed = 0
        self._watch = Stopwatch(window=512)

    @property
    def closed(self) -> bool:
        """True once there will be no more pictures."""
        return self._closed

    def accept(self, frame: Frame, result: Result) -> None:
        """Take the frame if a viewer waits and its time has come; returns at once in any case."""
        if not self._waiting:  # the whole cost while nobody watches; a viewer that comes now gets the next frame
            return
        now = monotonic()
        with self._lock:
            if self._closed:
                return
            # A frame that comes a little early is taken, or jitter would halve a rate that is just the source's.
            if self._busy or now < self._due - self._interval / 2:
                self._skipped += 1
                return
            self._due = max(self._due, now - self._interval) + self._interval
            self._job, self._busy = (frame.retain(), result), True
            self._work.notify()

    def watch(self, *, width: int | None = None, height: int | None = None) -> Viewer:
        """A new viewer, by default of the display's size."""
        viewer = Viewer(self, width or self.width, height or self.height)
        with self._lock:
            self._viewers.add(viewer)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="saccade-display", daemon=True)
                self._thread.start()
        return viewer

    def statistics(self) -> DisplayStatistics:
        """Figures so far."""
        with self._lock:
            viewers, encoded, skipped, failed = len(self._viewers), self._encoded, self._skipped, self._failed
        return DisplayStatistics(viewers, encoded, skipped, failed, self._watch.statistics())

    def close(self) -> None:
        """Let the viewers go and end the thread."""
        with self._lock:
            self._closed = True
            self._work.notify_all()
            self._ready.notify_all()
            thread = self._thread
            calls = [viewer._take_call() for viewer in self._viewers]
        for call in calls:
            if call is not None:
                call(None)
        if thread is not None:
            thread.join()

    def _ask(self, viewer: Viewer, call: Callable[[DrawnPicture | None], None]) -> None:
        with self._lock:
            closed = self._closed
            if not closed:
                viewer._call = call
                self._waiting.add(viewer)
        if closed:
            call(None)

    def _next(self, viewer: Viewer, timeout: float) -> DrawnPicture | None:
        with self._lock:
            viewer._picture = None
            if not self._closed:
                self._waiting.add(viewer)
                try:
                    self._ready.wait_for(lambda: viewer._picture is not None or self._closed, timeout)
                finally:
                    self._waiting.discard(viewer)
            return viewer._picture

    def _leave(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers.discard(viewer)
            self._waiting.discard(viewer)
            viewer._call = None

    def _run(self) -> None:
        while True:
            with self._lock:
                self._work.wait_for(lambda: self._job is not None or self._closed)
                job, self._job = self._job, None
                sizes = {viewer.size for viewer in self._waiting}
            if job is None:
                return
            frame, result = job
            pictures: dict[tuple[int, int], DrawnPicture] = {}
            error: Exception | None = None
            try:
                for width, height in sizes if not self._closed else ():
                    with self._watch.measure():
                        drawn = self._annotator.render(frame, result, max_width=width, max_height=height)
                        jpeg = encode_jpeg(drawn, quality=self._quality)
                    pictures[width, height] = DrawnPicture(jpeg, frame.sequence, frame.captured, result)
            except Exception as failure:  # a damaged picture must not end the display: counted, and told once
                error = failure
            finally:
                frame.release()
            with self._lock:
                self._busy = False
                self._encoded += len(pictures)
                self._newest = pictures or self._newest
                served = [viewer for viewer in self._waiting if viewer.size in pictures]
                calls = []
                for viewer in served:
                    viewer._picture = pictures[viewer.size]
                    self._waiting.discard(viewer)
                    if (call := viewer._take_call()) is not None:
                        calls.append((call, viewer._picture))
                self._ready.notify_all()
                self._failed += error is not None
                first = error is not None and self._failed == 1
            for call, picture in calls:
                call(picture)
            if first:
                log.warning("frame %d cannot be shown: %s; such frames are skipped", frame.sequence, error)
