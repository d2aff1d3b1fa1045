"""Network cameras over HTTP: multipart MJPEG is read here, everything else FFmpeg can open goes to FFmpeg."""

from __future__ import annotations

import contextlib
import http.client
import socket
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from saccade.capture.pipe import SplitSource
from saccade.capture.source import Picture
from saccade.capture.video import OPEN_SECONDS, StreamSource, without_credentials
from saccade.errors import SourceError


class HttpSource(SplitSource):
    """``http://`` and ``https://``; user name and password may stand in the URL (basic or digest)."""

    def __init__(self, url: str) -> None:
        super().__init__(without_credentials(url))
        self._url = url
        self._response: Any = None
        self._socket: socket.socket | None = None
        self._other: StreamSource | None = None

    def open(self) -> None:
        """Connect, and find out what the server sends."""
        self.close()
        self._splitter.reset()
        response, reason = self._connect()
        if response is None:
            raise SourceError(f"{self.name}: {reason}")
        kind = response.headers.get_content_type()
        if kind.startswith("multipart/") or kind in ("video/x-motion-jpeg", "video/x-mjpeg", "image/jpeg"):
            self._response = response
            self.live = kind != "image/jpeg"
        else:
            response.close()
            self._other = StreamSource(self._url)
            self._other.stall = self.stall
            self._other.every_frame = self.every_frame
            self._other.open()
            self.live, self.frame_rate = self._other.live, self._other.frame_rate
        if self.interrupted:
            self.close()

    def read(self) -> Picture | None:
        """The next picture."""
        if self._other is not None:
            picture = self._other.read()
            self.damaged = self._other.damaged
            return picture
        try:
            return self._next_picture(self._receive)
        except SourceError:
            if self.live and not self.interrupted:
                raise
            return None

    def close(self) -> None:
        """Close the connection."""
        if self._other is not None:
            self._other.close()
        if self._response is not None:
            self._response.close()
        self._other = self._socket = self._response = None

    def interrupt(self) -> None:
        """End a read that waits for the server."""
        super().interrupt()
        other, connection = self._other, self._socket
        if other is not None:
            other.interrupt()
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> tuple[Any, str]:
        """The answer, or None and why there is none.

        Nothing is raised from urllib's error: its traceback would keep the connection until the collector comes.
        """
        try:
            return self._opener().open(_bare(self._url), timeout=OPEN_SECONDS), ""
        except urllib.error.HTTPError as error:
            error.close()
            return None, f"HTTP {error.code} {error.reason}"
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            return None, str(getattr(reason, "strerror", None) or reason)

    def connected(self, connection: socket.socket) -> None:
        """A connection stands: from here on, patience is that for a stream, and `interrupt()` ends it."""
        connection.settimeout(self.stall)
        self._socket = connection

    def _opener(self) -> urllib.request.OpenerDirector:
        parts = urlsplit(self._url)
        handlers: list[urllib.request.BaseHandler] = [_Http(self), _Https(self)]
        if parts.username is not None:
            passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
            passwords.add_password(None, _bare(self._url), unquote(parts.username), unquote(parts.password or ""))
            handlers += [
                urllib.request.HTTPBasicAuthHandler(passwords),
                urllib.request.HTTPDigestAuthHandler(passwords),
            ]
        return urllib.request.build_opener(*handlers)

    def _receive(self, memory: memoryview) -> int:
        response = self._response
        if response is None or self.interrupted:
            return -1
        try:
            if response.length is None and not response.chunked:
                # Endless and bare: the socket's buffer can be read into ours.
                return int(response.fp.readinto1(memory))
            data = response.read1(len(memory))
        except TimeoutError as error:
            raise SourceError(f"{self.name}: silent for {self.stall:.0f} s") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            if self._stop.is_set():
                return -1
            raise SourceError(f"{self.name}: {getattr(error, 'strerror', None) or error}") from error
        memory[: len(data)] = data
        return len(data)


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _connection(kind: Any, source: HttpSource) -> Any:
    """Class of connections that tell the source when they stand."""

    class Connection(kind):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            source.connected(self.sock)

    return Connection


class _Http(urllib.request.HTTPHandler):
    def __init__(self, source: HttpSource) -> None:
        super().__init__()
        self._kind = _connection(http.client.HTTPConnection, source)

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(self._kind, request)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, source: HttpSource) -> None:
        super().__init__()
        self._kind = _connection(http.client.HTTPSConnection, source)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(self._kind, request)
