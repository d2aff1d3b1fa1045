"""Waiting for what must become true or come to its end, however busy the machine is."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from http.server import HTTPServer

PATIENCE = 180.0
"""How long a test waits for what should be there at once, s: no measure of speed, only the end of a hang."""


def wait_for(what: Callable[[], object], seconds: float = PATIENCE, *, pause: float = 0.002) -> bool:
    """True as soon as `what()` is; fails the test after `seconds`.

    pause : between two looks, s; longer ones for looks that start a process.
    """
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return True


@contextmanager
def meanwhile(*works: Callable[[], object]) -> Iterator[None]:
    """Has each done by a thread of its own; whoever leaves waits for their end, and fails where it does not come."""
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "what is done meanwhile does not end"


@contextmanager
def answering(server: HTTPServer) -> Iterator[str]:
    """The address of a server that answers meanwhile."""
    with server, meanwhile(partial(server.serve_forever, 0.02)):
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def waits_for(one: object, other: object) -> Callable[[object], None]:
    """A step that does not end for `one` before it has begun for `other`, which another thread has meanwhile."""
    begun = threading.Event()

    def step(which: object) -> None:
        if which == one:
            assert begun.wait(PATIENCE), "nobody does the other meanwhile"
        if which == other:
            begun.set()

    return step


def listens(pid: int) -> bool:
    """True once a process catches SIGTERM, as a run does from its begin on; also if it has ended."""
    try:
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return True
    return caught is None or bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
