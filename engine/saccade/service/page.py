"""The live page: the annotated stream and the figures of a run in a browser.

    /                  the page            /stream.mjpeg      the annotated stream; ?height= asks for a size
    /statistics.json   the figures         /metrics           the same for Prometheus
    /healthz           200 while pictures come, else 503 and why
    /snapshot.jpg      one picture         /history.json      what was seen before; see `saccade.service.history`
    /readyz            200 while the run goes on, with or without its camera

On a loopback address anybody on the machine may look, and only pages served here may read: requests under a foreign
host name are refused, so that a name that is rebound to 127.0.0.1 opens nothing. On any other address a token is
needed: in the URL the first time (`?token=`), afterwards in a cookie, or as a bearer token for tools; who has none is
told by /healthz and /readyz whether pictures come and the run goes on, and nothing else. The stream is not encrypted;
over an untrusted network, use a tunnel (`ssh -L`).

A client that stalls is given nothing until it takes what it was sent, and is dropped after a while; see
`saccade.service.limits` for what clients may take.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from saccade.address import without_credentials
from saccade.errors import OutputError
from saccade.outputs.display import Display, DrawnPicture, Viewer
from saccade.outputs.events import to_json
from saccade.outputs.metrics import CONTENT_TYPE, prometheus_text
from saccade.service.address import bind, parse_address, reason
from saccade.service.connection import Connection
from saccade.service.guard import Door, keep_token, query_of
from saccade.service.history import History
from saccade.service.limits import Limits, RefusedError
from saccade.service.server import HttpServer, connection_of

log = logging.getLogger(__name__)

STREAMS = 32
"""Watchers of the stream at once; more are told to come back."""

LIMITS = Limits(send_buffer=192 << 10)
"""The kernel holds a few pictures for a client, so that a slow one sees the present."""

FRESH_SECONDS = 0.25
"""Figures are worked out at most this often, however many ask, s."""

SMALLEST, LARGEST = 120, 1080
"""Bounds of ?height=, px."""

ASPECT = 858 / 480

STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/history.css": ("history.css", "text/css; charset=utf-8"),
    "/history.js": ("history.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


class LivePage:
    """Serves the live page.

    Parameters
    ----------
    address : `HOST:PORT`; port 0 takes a free one.
    display : makes the pictures.
    statistics : called for the figures; a dict with the keys of `--summary` and, where known, `source`, `app`,
        `damaged`, `reconnects` and `latest` (the newest event).
    token : needed from clients; by default a new random one, and none on a loopback address.
    allowed_hosts : host names, beyond addresses and this machine's own name, that clients may know the page by.
    crops : folder of the run's crops, to look back at. routes : further ones, behind the same door.

    Raises
    ------
    OutputError : the address cannot be bound.
    """

    def __init__(
        self,
        address: str,
        display: Display,
        statistics: Callable[[], Mapping[str, Any]],
        *,
        token: str | None = None,
        allowed_hosts: tuple[str, ...] = (),
        crops: Path | None = None,
        routes: Sequence[BaseRoute] = (),
        limits: Limits = LIMITS,
    ) -> None:
        host, port = parse_address(address)
        try:
            bound = bind(host, port)
        except OSError as error:
            raise OutputError(
                f"the live page cannot be served on {host}:{port}: {reason(error)}; give another address "
                "(--view HOST:PORT, port 0 takes a free one) or stop the program that uses it"
            ) from error
        where = bound.getsockname()
        door = Door.of(
            str(where[0]), int(where[1]), asked=host, token=token, names=allowed_hosts, headers=HEADERS,
            open_paths=("/healthz", "/readyz"),
            advice="This page needs its token: open the whole address that saccade printed, with ?token=...",
        )  # fmt: skip
        self._display = display
        self._figures = _Figures(display, statistics)
        self.streams = 0
        self._server = HttpServer(
            bound, [*self._routes(), *History(display, crops).routes(), *routes], door=door, limits=limits,
            name="saccade-page",
        )  # fmt: skip
        self.address: tuple[str, int] = self._server.host, self._server.port

    @property
    def url(self) -> str:
        """Where to look, with the token where one is needed."""
        token = self._server.door.token
        return f"{self._server.url}/" + (f"?token={token}" if token else "")

    def start(self) -> LivePage:
        """Begin to serve."""
        self._server.start()
        return self

    def close(self) -> None:
        """Let all clients go and free the port."""
        self._server.stop()

    def _routes(self) -> list[BaseRoute]:
        folder = files("saccade.service") / "static"
        parts = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in STATIC.items()}

        async def part(request: Request) -> Response:
            if request.url.path == "/" and "token" in query_of(request.scope):
                return keep_token(self._server.door)
            body, kind = parts[request.url.path]
            return Response(body, media_type=kind)

        return [
            *(Route(path, part) for path in parts),
            Route("/stream.mjpeg", self._stream),
            Route("/statistics.json", self._json),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
            Route("/readyz", self._ready),
        ]

    async def _json(self, request: Request) -> Response:
        return Response(to_json(await self._figures_now()), media_type="application/json")

    async def _metrics(self, request: Request) -> Response:
        return Response(prometheus_text(await self._figures_now()), media_type=CONTENT_TYPE)

    async def _figures_now(self) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(self._figures.newest)
        except Exception:
            log.exception("the figures for the live page are not to be had")
            raise RefusedError(500, "The figures are not to be had; see saccade's log.") from None

    async def _health(self, request: Request) -> Response:
        """Whether the source gives pictures, for whoever watches over this process."""
        try:
            figures = await self._figures_now()
        except RefusedError:
            return Response("unknown\n", 503, media_type="text/plain")
        state = "ended" if figures["ended"] else str(figures.get("state", "up"))
        tells_why = self._server.door.has_token(request.headers, query_of(request.scope))
        why = figures.get("reason") if tells_why else ""
        text = (f"{state}: {why}" if why else state) + "\n"
        return Response(
            text.encode("utf-8", "backslashreplace"), 200 if state == "up" else 503, media_type="text/plain"
        )

    async def _ready(self, request: Request) -> Response:
        """Whether the run goes on: a camera that is away is no reason to start the process again."""
        ended = self._display.closed
        return Response("ended\n" if ended else "ready\n", 503 if ended else 200, media_type="text/plain")

    async def _stream(self, request: Request) -> Response:
        """Pictures for as long as the client takes them."""
        if self.streams >= STREAMS:
            raise RefusedError(503, "Too many viewers; close one of the other pages.")
        return LiveStream(
            self, self._display, connection_of(request), asked_size(self._display, query_of(request.scope))
        )


def asked_size(display: Display, query: Mapping[str, list[str]]) -> tuple[int, int]:
    """The (width, height) that `?height=` asks for, px; else the display's own."""
    text = query.get("height", [""])[0]
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        return display.width, display.height
    height = min(max(int(text), SMALLEST), LARGEST)
    return math.ceil(height * ASPECT), height


class Watched(Protocol):
    """Who counts its streams."""

    streams: int


class _Figures:
    """The newest figures with the display's, worked out once for all who ask."""

    def __init__(self, display: Display, statistics: Callable[[], Mapping[str, Any]]) -> None:
        self._display = display
        self._statistics = statistics
        self._figures: dict[str, Any] = {}
        self._time = -math.inf
        self._lock = threading.Lock()

    def newest(self) -> dict[str, Any]:
        with self._lock:
            if monotonic() - self._time > FRESH_SECONDS:
                self._figures, self._time = self._work_out(), monotonic()
            return self._figures

    def _work_out(self) -> dict[str, Any]:
        figures = dict(self._statistics())
        if "source" in figures:
            figures["source"] = without_credentials(str(figures["source"]))
        display = self._display.statistics()
        figures["display"] = {
            "viewers": display.viewers,
            "encoded": display.encoded,
            "skipped": display.skipped,
            "failed": display.failed,
            "encode_ms": {"p50": display.encode.p50_ms, "p99": display.encode.p99_ms},
        }
        figures["ended"] = self._display.closed
        return figures


class LiveStream(Response):
    """An MJPEG stream: each picture when the client has taken the one before."""

    def __init__(self, page: Watched, display: Display, connection: Connection, size: tuple[int, int]) -> None:
        super().__init__(status_code=200, headers={"Content-Type": "multipart/x-mixed-replace; boundary=frame"})
        del self.headers["content-length"]
        self._page = page
        self._display = display
        self._connection = connection
        self._width, self._height = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for as long as the client takes pictures."""
        self._page.streams += 1
        try:
            self._connection.answer_until_close()
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                with self._display.watch(width=self._width, height=self._height) as viewer:
                    await self._play(viewer, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._page.streams -= 1

    async def _play(self, viewer: Viewer, send: Send) -> None:
        connection, display = self._connection, self._display
        # Browsers show a part when they see the boundary after it: it is sent at once, not with the next part.
        await send({"type": "http.response.body", "body": b"--frame\r\n", "more_body": True})
        # Who comes while the source is away gets the last picture there was, twice: Chromium shows the first part of
        # a stream only when the second has come.
        sent = 0
        while not display.closed:
            picture = await next_picture(viewer, connection, 1.0 if sent < 2 else None)
            if connection.interrupted.done():
                connection.abort()
                return
            picture = picture or (viewer.newest() if sent < 2 else None)
            if picture is not None:
                await send({"type": "http.response.body", "body": _part(picture.jpeg), "more_body": True})
                await connection.taken()
                sent += 1


def _part(jpeg: bytes) -> bytes:
    """One picture of the stream."""
    return b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n--frame\r\n" % (len(jpeg), jpeg)


async def next_picture(viewer: Viewer, connection: Connection, timeout: float | None) -> DrawnPicture | None:
    """A viewer's next picture; None after `timeout`, s, and when display or connection end."""
    loop = asyncio.get_running_loop()
    coming: asyncio.Future[DrawnPicture | None] = loop.create_future()

    def settle(picture: DrawnPicture | None) -> None:
        if not coming.done():
            coming.set_result(picture)

    def arrived(picture: DrawnPicture | None) -> None:
        with suppress(RuntimeError):  # the server, and with it the loop, has ended
            loop.call_soon_threadsafe(settle, picture)

    viewer.ask(arrived)
    either: set[asyncio.Future[Any]] = {coming, connection.interrupted}
    await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    return coming.result() if coming.done() else None
