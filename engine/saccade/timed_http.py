"""HTTP requests that end in time, whatever the other side does.

`http.client` limits each wait for the network by itself, so that a server that sends a byte now and then holds a
request without end. Here a moment is set by which all of it is over: connecting, encryption, sending, and the answer to
its last byte. What a name's lookup takes is the system's affair.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import time
from collections.abc import Mapping
from typing import Any

_BLOCK = 1 << 16  # bytes


class TooLongError(http.client.HTTPException):
    """An answer has more bytes than it may have."""


class Timed(http.client.HTTPConnection):
    """A kind of connection of which everything ends so many seconds after `begin`."""

    _slowest = math.inf

    def begin(self, seconds: float) -> None:
        """All that follows has to be over in so many seconds."""
        self._seconds = seconds
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left; raises TimeoutError where there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            slow = "" if self._slowest == math.inf else f", and less than {self._slowest:g} bytes a second"
            raise TimeoutError(f"no whole answer in {self._seconds:g} s{slow}")
        return left

    def send(self, data: Any) -> None:
        """As http.client has it."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.left())
        super().send(data)

    def response_class(self, sock: socket.socket, *arguments: Any, **options: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        """An answer that is read from the socket as long as there is time."""
        answer = http.client.HTTPResponse(sock, *arguments, **options)
        answer.fp = io.BufferedReader(_TimedReader(self, sock, answer.fp.detach()))
        return answer

    def brought(self, size: int) -> None:
        """So many bytes of an answer have come."""
        self._until = min(self._until + size / self._slowest, time.monotonic() + self._seconds)

    def _connected(self, place: tuple[str, int], *_: object) -> socket.socket:
        """A socket at the first of a name's addresses that takes it; each has its part of the time."""
        places = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
        problem = OSError(f"{place[0]} has no address")
        for index, found in enumerate(places):
            try:
                line = socket.create_connection((str(found[4][0]), place[1]), self.left() / (len(places) - index))
            except OSError as error:
                problem = error
                continue
            line.settimeout(self.left())
            return line
        raise problem


class TimedHttp(Timed):
    """A connection of which everything ends `timeout` seconds after it was made, or after `begin`.

    slowest : bytes a second; an answer that brings so many has more time, up to `timeout` from each moment on.
    """

    def __init__(
        self, host: str, port: int | None = None, *, timeout: float, slowest: float = math.inf, **options: Any
    ) -> None:
        super().__init__(host, port, timeout=timeout, **options)
        self._slowest = slowest
        self._create_connection = self._connected  # what `connect` of http.client opens its socket with
        self.begin(timeout)


class TimedHttps(TimedHttp, http.client.HTTPSConnection):
    """The same, encrypted."""


class _TimedReader(io.RawIOBase):
    """What a connection's socket brings. raw : the socket as a file, which keeps it open for an answer."""

    def __init__(self, connection: Timed, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._connection = connection
        self._socket = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._connection.left())
        size = self._raw.readinto(buffer)
        self._connection.brought(size or 0)
        return size

    def close(self) -> None:
        super().close()
        self._raw.close()


def exchange(
    connection: TimedHttp, method: str, path: str, body: bytes | str | None = None,
    headers: Mapping[str, str] | None = None, *, seconds: float, most: int,
) -> tuple[int, bytes]:  # fmt: skip
    """Status and body of the answer to one request, all within `seconds`, with `most` bytes at most.

    Raises OSError (TimeoutError among them), http.client.HTTPException, TooLongError; the connection is closed then.
    """
    connection.begin(seconds)
    try:
        connection.request(method, path, body, headers or {})
        content = bytearray()
        with connection.getresponse() as answer:
            while block := answer.read(_BLOCK):
                content += block
                if len(content) > most:
                    raise TooLongError(f"an answer of more than {most} bytes")
            if answer.length:
                raise http.client.IncompleteRead(bytes(content), answer.length)
    except TimeoutError:
        connection.close()
        raise TimeoutError(f"no whole answer in {seconds:g} s") from None
    except BaseException:
        connection.close()
        raise
    return answer.status, bytes(content)
