"""Hands results to outputs: in order, one frame lent at a time, whoever fails left out."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from time import monotonic

from saccade.errors import OutputError
from saccade.frame import Frame
from saccade.pipeline.app import Output
from saccade.results import LifeEvent, Result

log = logging.getLogger(__name__)

ENDING_SECONDS = 3.0
"""So long the outputs of a run that was told to end have to write what they hold, and to close, s."""
LEAST_SECONDS = 0.5
"""And each of them has so long, whatever those before it have taken, s."""


class Delivery:
    """The outputs of one app.

    lost : called with the number of frames that an output keeps and nobody will get back. busy : the output that has a
    result at present.
    """

    def __init__(self, outputs: Sequence[Output], lost: Callable[[int], None]) -> None:
        self.outputs = list(outputs)
        self.leases = sum(getattr(output, "leases", 0) for output in outputs)
        self.busy: Output | None = None
        self._lost = lost
        self._retained: dict[int, list[Frame]] = {}
        self._closing = threading.Condition()
        self._being_closed: list[Output] = []
        self._left: list[Output] = []

    def accept(self, frame: Frame, result: Result) -> None:
        """Give the result to each output; one that fails is reported once and left out from then on."""
        for output in tuple(self.outputs):
            self.busy = output
            lent = frame.lend()
            try:
                try:
                    output.accept(lent, result)
                finally:
                    lent.release()
                self._count_retained(output, lent)
            except Exception as error:
                if output not in self.outputs:
                    continue  # it was closed meanwhile
                self.outputs.remove(output)
                log.error("%s failed and is left out from now on: %s", name_of(output), error)
                _close(output)
                self._lost(sum(not held.released for held in self._retained.pop(id(output), ())))
            finally:
                self.busy = None

    def conclude(self, life: Sequence[LifeEvent]) -> None:
        """Tell the outputs that want to know it how the objects ended that were there to the last."""
        for output in tuple(self.outputs) if life else ():
            conclude = getattr(output, "conclude", None)
            try:
                if conclude is not None:
                    conclude(life)
            except Exception as error:
                log.error("%s failed at the end of the run: %s", name_of(output), error)

    def close(self, seconds: float | None = None) -> None:
        """Have the outputs write what they hold, and close them; from any thread, once is enough.

        seconds : what is not closed by then, here or on a thread that began before, is named and left to itself, and
        those behind it have `LEAST_SECONDS` each. None: it takes as long as it takes.
        """
        until = math.inf if seconds is None else monotonic() + seconds
        while (output := self._next_to_close()) is not None:
            if seconds is None:
                self._close(output)
                continue
            thread = threading.Thread(target=self._close, args=(output,), name="saccade-closing", daemon=True)
            thread.start()
            thread.join(max(LEAST_SECONDS, until - monotonic()))
        with self._closing:
            self._closing.wait_for(self._is_closed, None if seconds is None else max(0.0, until - monotonic()))
            hanging = [output for output in self._being_closed if output not in self._left]
            self._left += hanging
        for output in hanging:
            log.error("%s has not been closed in time; it is left to itself", name_of(output))

    def _next_to_close(self) -> Output | None:
        with self._closing:
            if not self.outputs:
                return None
            self._being_closed.append(self.outputs.pop(0))
            return self._being_closed[-1]

    def _close(self, output: Output) -> None:
        _close(output)
        with self._closing:
            self._being_closed.remove(output)
            self._closing.notify_all()

    def _is_closed(self) -> bool:
        """Whether nothing has to be waited for."""
        return all(output in self._left for output in self._being_closed)

    def _count_retained(self, output: Output, lent: Frame) -> None:
        """Raise OutputError where an output keeps more frames than it has said: the capture would starve."""
        kept = self._retained.setdefault(id(output), [])
        if lent.released and not kept:
            return
        kept[:] = [held for held in (*kept, lent) if not held.released]
        leases = getattr(output, "leases", 0)
        if len(kept) > leases:
            raise OutputError(
                f"it retains {len(kept)} frames and has `leases = {leases}`; release them sooner, copy what must stay "
                "(`frame.crop()`), or say `leases`, for which the capture makes room"
            )


def name_of(output: Output) -> str:
    """What an output is, for people, and where it writes, as it says itself; its class where it does not."""
    name = getattr(output, "name", "")
    return name if isinstance(name, str) and name else type(output).__name__


def _close(output: Output) -> None:
    """One that holds nothing need have nothing to close; one that cannot be closed stops nobody else."""
    close = getattr(output, "close", None)
    try:
        if close is not None:
            close()
    except Exception:
        log.exception("%s could not be closed cleanly", name_of(output))
