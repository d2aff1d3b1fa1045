"""A connection: uvicorn's HTTP/1.1 protocol with deadlines, a place in the crowd, and an answer in every case.

What uvicorn leaves to a proxy in front of it is done here, as there is none: a head has to come in time however it
drips, a client that takes nothing is dropped, who sends what is no HTTP is told so, and an answer before a close is
not lost to bytes that nobody has read.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import MutableMapping
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from saccade.service.limits import origin_of

if TYPE_CHECKING:
    from saccade.service.server import HttpServer

log = logging.getLogger(__name__)

MOST_LINGERING = 128
"""Connections that are closed and still read at once; more are cut."""


class Phase(Enum):
    """What a connection is at."""

    FRESH = "nothing has come yet"
    IDLE = "between two requests"
    HEAD = "a request's head is coming"
    WORK = "a request is worked on"
    REST = "answered, while the rest of its body still comes"
    END = "closed, or closing"


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # has no parameters before Python 3.11


class _Demoted(_Adapter):
    """uvicorn warns of what strangers send; that belongs into the debug log."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        super().log(logging.DEBUG if level <= logging.WARNING else level, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, kwargs

    @property
    def level(self) -> int:
        return self.logger.getEffectiveLevel()


class Lingering:
    """A transport whose `close` ends only what is sent, and throws away for a while what still comes.

    A socket that is closed with unread bytes resets the connection, and the client may never see its answer.
    """

    def __init__(self, transport: asyncio.Transport, server: HttpServer) -> None:
        self._transport = transport
        self._server = server
        self._timer: asyncio.TimerHandle | None = None
        self.closing = False
        self.peer_ended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """True from `close` on."""
        return self.closing or self._transport.is_closing()

    def close(self) -> None:
        """Send what is to be sent, then wait for the peer's end, but not for long."""
        if self.is_closing():
            return
        self.closing = True
        # What is not sent yet makes the protocol pause: the client has to take it in time, and `sent` is called then.
        self._transport.set_write_buffer_limits(0)
        if self.peer_ended or len(self._server.lingering) >= MOST_LINGERING:
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the peer has gone without a word
            self._transport.abort()
            return
        self._server.lingering.add(self)
        self._transport.resume_reading()
        if not self._transport.get_write_buffer_size():
            self.sent()

    def sent(self) -> None:
        """The client has taken all of a last answer, or of what came before it."""
        if self in self._server.lingering:
            self._timer = self._server.loop.call_later(self._server.limits.linger_seconds, self._transport.abort)

    def forget(self) -> None:
        """The connection is lost."""
        self.closing = True
        self._server.lingering.discard(self)
        if self._timer is not None:
            self._timer.cancel()


class Connection(H11Protocol):
    """One client's connection.

    interrupted : done, with the reason, when whatever the connection is at shall end: its client is lost, or the
    server stops. origin : see `limits.origin_of`.
    """

    def __init__(self, server: HttpServer) -> None:
        super().__init__(server.config, server.state, {"connection": self}, server.loop)
        self.http = server
        self.logger = cast(logging.Logger, _Demoted(log, {}))
        self.access_log = False
        self.interrupted: asyncio.Future[str] = server.loop.create_future()
        self.origin = ""
        self.phase = Phase.FRESH
        self.since = server.loop.time()
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    # ---- in the crowd ----

    @property
    def waits(self) -> bool:
        """True while no request is worked on."""
        return self.phase is not Phase.WORK

    def give_way(self) -> None:
        """End, for another's sake."""
        if self.phase is Phase.HEAD:
            self.refuse(503, "too many connections; come again in a moment")
        else:
            self._end()
            self.transport.abort()

    def stop(self) -> None:
        """The server ends: what is under way is finished, but streams, and bodies that are not here, are not."""
        if self.phase is not Phase.WORK:
            self._end()
            self.transport.abort()
            return
        self.cycle.keep_alive = False
        self._interrupt("this server is stopping")

    def abort(self) -> None:
        """Cut the connection, whatever it is at."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.abort()

    # ---- asyncio's side ----

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection in, or tell it that there is no room."""
        limits = self.http.limits
        if limits.send_buffer:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, limits.send_buffer)
        super().connection_made(cast(asyncio.Transport, Lingering(transport, self.http)))
        self.origin = origin_of(transport.get_extra_info("peername"))
        self._arm(limits.header_seconds)
        if not self.http.crowd.admit(self):
            self.refuse(503, "too many connections; come again in a moment")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._lingering.forget()
        super().connection_lost(exc)
        self._end()
        self._cancel_stall()
        self._interrupt("the client has gone")

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; those after the last one that is answered are thrown away."""
        if self.transport.is_closing() or self.conn.their_state in (h11.MUST_CLOSE, h11.CLOSED):
            return
        super().data_received(data)
        self._settle()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more; who has sent a whole request may still wait for its answer."""
        self._lingering.peer_ended = True
        if self.transport.is_closing():
            return None
        whole = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        if self.phase in (Phase.HEAD, Phase.WORK) and not whole:
            self.refuse(400, "the request ends before it is complete")
        elif self.phase is Phase.WORK and not self.cycle.response_started:
            self.cycle.keep_alive = False
        else:
            self.transport.close()
        return True

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        super().pause_writing()
        self._stall = self.loop.call_later(self.http.limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._cancel_stall()
        super().resume_writing()
        self._lingering.sent()

    # ---- requests and answers ----

    def on_response_complete(self) -> None:
        """A request is answered."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # `_settle` has deadlines of its own
        self._settle()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self.refuse(400, "this is not a request that HTTP/1.1 knows")

    def refuse(self, status: int, message: str) -> None:
        """Answer what is no request yet, or one that is broken, and close."""
        asked = self.cycle is not None and not self.cycle.response_complete
        if asked:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body, kind = self.http.render(status, message)
            headers = [
                *self.http.state.default_headers, (b"Content-Type", kind.encode()),
                (b"Content-Length", b"%d" % len(body)), (b"Connection", b"close"),
                (b"X-Content-Type-Options", b"nosniff"),
            ]  # fmt: skip
            response = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode())
            if asked and self.scope["method"] == "HEAD":
                body = b""
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self._end()
        self.transport.close()

    def answer_until_close(self) -> None:
        """Let the answer to the present request end with the connection, in place of chunks.

        Many programs that show MJPEG read the stream without knowing of chunks. A write returns when the client has
        taken it (`taken`), so that nobody is sent the past.
        """
        self.conn.their_http_version = b"1.0"
        self.cycle.keep_alive = False
        self.transport.set_write_buffer_limits(0)

    async def taken(self) -> None:
        """Wait until the kernel has what was sent, or the connection is interrupted."""
        if self.flow.write_paused:
            draining = asyncio.ensure_future(self.flow.drain())
            either: set[asyncio.Future[Any]] = {draining, self.interrupted}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            draining.cancel()

    # ---- deadlines ----

    @property
    def _lingering(self) -> Lingering:
        return cast(Lingering, self.transport)

    def _phase(self) -> Phase:
        if self.transport.is_closing():
            return Phase.END
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.WORK
        if self.conn.their_state is h11.SEND_BODY:
            return Phase.REST
        if self.conn.trailing_data[0]:
            return Phase.HEAD
        return Phase.IDLE if self.cycle is not None else Phase.FRESH

    def _settle(self) -> None:
        """Give the phase that the connection is in its deadline, once."""
        phase = self._phase()
        if phase is self.phase:
            return
        limits = self.http.limits
        fresh = self.phase is Phase.FRESH
        self.phase, self.since = phase, self.loop.time()
        if phase is Phase.IDLE:
            self._arm(limits.idle_seconds)
        elif phase is Phase.HEAD and not fresh:  # who is fresh has its time since it came
            self._arm(limits.header_seconds)
        elif phase is Phase.REST:
            self._arm(limits.silent_seconds)
        elif phase in (Phase.WORK, Phase.END):
            self._disarm()

    def _late(self) -> None:
        if self.phase is Phase.HEAD:
            self.refuse(408, f"the request has not come within {self.http.limits.header_seconds:g} s")
        elif self.phase is Phase.REST:
            self.abort()
        else:
            self._end()
            self.transport.close()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cancel_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _end(self) -> None:
        """Take no room from now on."""
        self.phase = Phase.END
        self._disarm()
        self._unset_keepalive_if_required()
        self.http.crowd.leave(self)

    def _interrupt(self, why: str) -> None:
        if not self.interrupted.done():
            self.interrupted.set_result(why)
