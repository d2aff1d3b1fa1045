"""What clients may take, and how it is shared between them.

Two things are scarce: connections, and bytes of request bodies that are held in memory. Nobody may take them all: a
source address has at most a part, and where the whole is in use the one who does the least with it gives way, so that
a client that asks something now is answered however many idle, drip or leave bodies unfinished.

Everything here runs in the server's event loop; nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from saccade.errors import SaccadeError

STALE_SECONDS = 0.5
"""A body that has brought nothing for so long gives way to one that does, s."""


class RefusedError(SaccadeError):
    """A request that is not answered as asked. status : HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GoneError(Exception):
    """The client has left before its request was complete; there is nobody to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one server.

    connections : at once; `share` of them for one source address. header_bytes, header_seconds : of a request's head,
    however it drips. idle_seconds : between two requests of a connection.
    body_bytes : of one request; buffered_bytes : of all that are held. silent_seconds : between two parts of a body;
    slowest, slow_after : bytes a second that it has to bring on average, once it takes longer than that.
    stall_seconds : for a client to take what it was sent. linger_seconds : a connection that is closed and has sent all
    is read and thrown away for so long, that its last answer is not lost. send_buffer : bytes that wait in the kernel
    for one client; 0: as the system has it. backlog : connections that wait to be accepted.
    """

    connections: int = 192
    share: float = 0.75
    header_bytes: int = 64 << 10
    header_seconds: float = 10.0
    idle_seconds: float = 60.0
    body_bytes: int = 1 << 20
    buffered_bytes: int = 100 << 20
    silent_seconds: float = 10.0
    slowest: int = 8 << 10
    slow_after: float = 20.0
    stall_seconds: float = 15.0
    linger_seconds: float = 2.0
    send_buffer: int = 0
    backlog: int = 128


def origin_of(peer: object) -> str:
    """The source that a peer name counts for: an IPv4 address, or the network of an IPv6 one, whose hosts are one."""
    if not isinstance(peer, tuple):
        return ""
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Guest(Protocol):
    """A connection, as far as crowding is concerned.

    origin : its source. since : when it began what it does, s. waits : it does nothing that anybody waits for.
    """

    origin: str
    since: float

    @property
    def waits(self) -> bool:
        """True while no request of it is worked on."""
        ...

    def give_way(self) -> None:
        """End, for another's sake."""
        ...


class Crowd:
    """The connections of a server."""

    def __init__(self, most: int, share: float) -> None:
        self._most = most
        self._each = max(1, int(most * share))
        self._guests: set[Guest] = set()

    def __len__(self) -> int:
        return len(self._guests)

    def admit(self, guest: Guest) -> bool:
        """Take a connection in; where there is no room, one that waits has to go. False where all are at work."""
        counts = Counter(other.origin for other in self._guests)
        if counts[guest.origin] >= self._each:
            crowded: str | None = guest.origin
        elif len(self._guests) >= self._most:
            crowded = counts.most_common(1)[0][0]
        else:
            self._guests.add(guest)
            return True
        waiting = [other for other in self._guests if other.origin == crowded and other.waits]
        if not waiting:
            return False
        longest = min(waiting, key=lambda other: other.since)
        self._guests.discard(longest)
        longest.give_way()
        self._guests.add(guest)
        return True

    def leave(self, guest: Guest) -> None:
        """A connection has ended."""
        self._guests.discard(guest)


class _Body:
    """A request's body under way. data : so far. touched : when it brought something last, s."""

    def __init__(self, origin: str, now: float, evicted: asyncio.Future[None]) -> None:
        self.origin = origin
        self.data = bytearray()
        self.begun = self.touched = now
        self.complete = False
        self.evicted = evicted


class Bodies:
    """Bodies of requests that are held in memory, all within one bound."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held: set[_Body] = set()

    @property
    def bytes(self) -> int:
        """Held now."""
        return sum(len(body.data) for body in self._held)

    @asynccontextmanager
    async def read(
        self,
        receive: Callable[[], Awaitable[Any]],
        *,
        origin: str,
        interrupted: asyncio.Future[str],
        length: int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[bytearray]:
        """The body of a request, counted until the block ends.

        length : that the client has declared. limit : instead of the server's, bytes. interrupted : done when the
        body shall be read no further, with the reason. Raises RefusedError 408, 413 or 503, and GoneError.
        """
        limit = self._limits.body_bytes if limit is None else limit
        if length is not None and length > limit:
            raise RefusedError(413, f"{length} bytes are too many; a request may have {limit}")
        loop = asyncio.get_running_loop()
        body = _Body(origin, loop.time(), loop.create_future())
        self._held.add(body)
        try:
            more = True
            while more:
                message = await self._next(body, receive, interrupted)
                if message["type"] == "http.disconnect":
                    raise GoneError
                chunk, more = message.get("body", b""), message.get("more_body", False)
                if len(body.data) + len(chunk) > limit:
                    raise RefusedError(413, f"the body is too long; a request may have {limit} bytes")
                self._make_room(body, len(chunk), loop.time())
                body.data += chunk
                body.touched = loop.time()
            body.complete = True
            yield body.data
        finally:
            self._held.discard(body)

    async def _next(self, body: _Body, receive: Callable[[], Awaitable[Any]], interrupted: asyncio.Future[str]) -> Any:
        limits = self._limits
        receiving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait(
                {receiving, interrupted, body.evicted}, timeout=limits.silent_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )  # fmt: skip
        finally:
            if not receiving.done():
                receiving.cancel()
        if body.evicted.done():
            raise RefusedError(503, "too many bodies are under way and this one comes slowly; come again in a moment")
        if receiving.done() and not receiving.cancelled():
            spent = asyncio.get_running_loop().time() - body.begun
            if spent > limits.slow_after and len(body.data) < limits.slowest * spent:
                raise RefusedError(408, f"the body comes too slowly; {limits.slowest} bytes a second are the least")
            return receiving.result()
        if interrupted.done():
            raise RefusedError(503, interrupted.result())
        raise RefusedError(408, f"the body has brought nothing for {limits.silent_seconds:g} s")

    def _make_room(self, body: _Body, size: int, now: float) -> None:
        """Let bodies that bring nothing go until `size` more bytes fit; where all come well, the newest one waits."""
        while self.bytes + size > self._limits.buffered_bytes:
            unfinished = [held for held in self._held if not held.complete and not held.evicted.done()]
            by_origin: Counter[str] = Counter()
            for held in unfinished:
                by_origin[held.origin] += len(held.data)
            heaviest = by_origin.most_common(1)[0][0]
            candidates = [held for held in unfinished if held.origin == heaviest and held is not body and held.data]
            slowest = min(candidates, key=lambda held: held.touched, default=None)
            if slowest is None or (now - slowest.touched < STALE_SECONDS and heaviest == body.origin):
                raise RefusedError(503, "too many bodies are under way; come again in a moment")
            slowest.evicted.set_result(None)
            slowest.data = bytearray()
