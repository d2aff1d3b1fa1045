"""The HTTP base: starlette's routes behind uvicorn's protocol, in an event loop that has a thread of its own.

Whoever serves gives routes (`starlette.routing.Route` and so on) and a `Door`. Handlers are coroutines in the loop's
thread; what computes or waits goes to other threads (`asyncio.to_thread`, or a pool of one's own). The rest of the
process is never waited for by the loop and never waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Router
from uvicorn.config import Config
from uvicorn.server import ServerState

from saccade.service.address import base_url, is_loopback
from saccade.service.connection import Connection, Lingering
from saccade.service.guard import Door, Guard
from saccade.service.limits import Bodies, Crowd, Limits, RefusedError

if TYPE_CHECKING:
    from saccade.service.guard import Render

log = logging.getLogger(__name__)

THREADS = 4
"""For what routes do with `asyncio.to_thread`."""

CUT_SECONDS = 1.0
"""How long what was cancelled may take to end, s."""


def as_text(status: int, message: str) -> tuple[bytes, str]:
    """A refusal as a line of text."""
    return message.encode("utf-8", "backslashreplace") + b"\n", "text/plain; charset=utf-8"


def as_json(status: int, message: str) -> tuple[bytes, str]:
    """A refusal as JSON."""
    return json.dumps({"error": message}).encode(), "application/json"


class HttpServer:
    """Serves routes on a bound socket, from `start` to `stop`.

    bound : from `address.bind`; the server closes it. door : who may come in; None: as `Door.of` has it.
    render : a refusal as its client expects it. name : of the thread.
    """

    def __init__(
        self,
        bound: socket.socket,
        routes: Sequence[BaseRoute],
        *,
        door: Door | None = None,
        limits: Limits | None = None,
        render: Render = as_text,
        name: str = "saccade-http",
    ) -> None:
        self.host, self.port = str(bound.getsockname()[0]), int(bound.getsockname()[1])
        self.door = door or Door.of(self.host, self.port)
        self.limits = limits or Limits()
        self.render = render
        self._bound = bound
        self._name = name
        self.loop = asyncio.new_event_loop()
        self.config = Config(
            Guard(Router(list(routes)), self.door, render), http=Connection, loop="asyncio", ws="none", lifespan="off",
            log_config=None, access_log=False, proxy_headers=False, server_header=False, date_header=False,
            h11_max_incomplete_event_size=self.limits.header_bytes,
        )  # fmt: skip
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"server", b"saccade")]
        self.crowd = Crowd(self.limits.connections, self.limits.share)
        self.bodies = Bodies(self.limits)
        self.lingering: set[Lingering] = set()
        self._grace = 0.0
        self._wanted_end: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """Base address, without a slash at its end."""
        return base_url(self.host, self.port)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()
        self._ready.wait()

    def stop(self, grace: float = 2.0) -> None:
        """Take nothing new, finish what is worked on within `grace` seconds, cut the rest and free the port."""
        if not self._thread.is_alive():
            self._bound.close()
            if not self.loop.is_closed():
                self.loop.close()
            return
        self._grace = grace
        wanted_end = self._wanted_end
        assert wanted_end is not None
        with suppress(RuntimeError):  # another thread has stopped it meanwhile
            self.loop.call_soon_threadsafe(wanted_end.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix=self._name)
        self.loop.set_default_executor(pool)
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._ready.set()
            self._bound.close()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            asyncio.set_event_loop(None)
            self.loop.close()

    async def _serve(self) -> None:
        self._wanted_end = asyncio.Event()
        listener = await self.loop.create_server(
            lambda: Connection(self), sock=self._bound, backlog=self.limits.backlog
        )
        self._ready.set()
        await self._wanted_end.wait()
        # What has just been accepted becomes a connection, which can be told, in the next rounds, and asyncio loses it
        # where the listener is closed before.
        self.loop.remove_reader(self._bound)
        for _ in range(3):
            await asyncio.sleep(0)
        listener.close()
        for connection in self._connections():
            connection.stop()
        await self._finish(self._grace)
        for task in self.state.tasks:
            task.cancel()
        await self._finish(CUT_SECONDS)
        for connection in self._connections():
            connection.abort()
        await asyncio.sleep(0)  # connections learn of their end in the next round

    async def _finish(self, seconds: float) -> None:
        if self.state.tasks:
            await asyncio.wait(set(self.state.tasks), timeout=seconds)

    def _connections(self) -> list[Connection]:
        return [connection for connection in self.state.connections if isinstance(connection, Connection)]


def connection_of(request: Request) -> Connection:
    """The connection that a request came by."""
    connection: Connection = request.scope["state"]["connection"]
    return connection


@asynccontextmanager
async def body_of(request: Request, *, limit: int | None = None) -> AsyncIterator[bytearray]:
    """The body of a request, for the length of the block; see `Bodies.read`.

    limit : bytes, in place of the server's. Raises RefusedError.
    """
    connection = connection_of(request)
    declared = request.headers.get("content-length")
    if declared is None and "transfer-encoding" not in request.headers:
        raise RefusedError(411, "Content-Length is missing")
    async with connection.http.bodies.read(
        request.receive, origin=connection.origin, interrupted=connection.interrupted,
        length=None if declared is None else int(declared), limit=limit,
    ) as data:  # fmt: skip
        yield data


def json_bytes(value: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()
