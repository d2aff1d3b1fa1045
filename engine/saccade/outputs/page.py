"""The live page: the annotated stream and the figures of a run in a browser.

    /                  the page            /stream.mjpeg      the annotated stream; ?height= asks for a size
    /statistics.json   the figures         /metrics           the same for Prometheus

On a loopback address anybody on the machine may look, and only pages served here may read: requests under a foreign
host name are refused, so that a name that is rebound to 127.0.0.1 opens nothing. On any other address a token is
needed: in the URL the first time (`?token=`), afterwards in a cookie, or as a bearer token for tools. The stream is
not encrypted; over an untrusted network, use a tunnel (`ssh -L`).

Each client has a thread of its own and a time-out; their number is bounded. A client that stalls is given nothing
until it takes what it was sent, and is dropped after a while.
"""

from __future__ import annotations

import errno
import hmac
import ipaddress
import logging
import math
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from time import monotonic
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from saccade.errors import ConfigError, OutputError
from saccade.outputs.display import Display
from saccade.outputs.events import to_json
from saccade.outputs.metrics import CONTENT_TYPE, prometheus_text, without_secrets

log = logging.getLogger(__name__)

CONNECTIONS = 48
"""Clients served at once; more are told to come back."""

STREAMS = 12
"""Of those, watchers of the stream, so that a figure can always be asked for."""

REQUEST_SECONDS = 10.0
"""How long a client may take to send its request, however slowly it drips, s."""

STALL_SECONDS = 15.0
"""How long a client may take to receive one picture, s."""

SEND_BUFFER = 192 * 1024
"""Bytes that wait in the kernel for one client: a few pictures, so that a slow one sees the present."""

FRESH_SECONDS = 0.25
"""Figures are worked out at most this often, however many ask, s."""

SMALLEST, LARGEST = 120, 1080
"""Bounds of ?height=, px."""

ASPECT = 858 / 480

STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT` -> host and port; without a host it is 127.0.0.1."""
    host, _, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host, port = "", "ambiguous"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(
            f"{text!r} is not an address to serve the page on; give HOST:PORT, for example 127.0.0.1:8080"
        )
    return host or "127.0.0.1", int(port)


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
    ) -> None:
        host, port = parse_address(address)
        self._server = _Server(host, port, display, statistics)
        bound = ipaddress.ip_address(self._server.server_name)
        self._server.token = token or (None if bound.is_loopback else secrets.token_urlsafe(16))
        name = socket.gethostname().lower()
        self._server.hosts = {"localhost", host.lower(), name, f"{name}.local", *(h.lower() for h in allowed_hosts)}
        self.address: tuple[str, int] = str(bound), self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="saccade-page", daemon=True
        )

    @property
    def url(self) -> str:
        """Where to look, with the token where one is needed."""
        host, port = self.address
        if ipaddress.ip_address(host).is_unspecified:
            host = _outward_address() or socket.gethostname()
        shown = f"[{host}]" if ":" in host else host
        token = self._server.token
        return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")

    def start(self) -> LivePage:
        """Begin to serve."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Let all clients go and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.drop_clients()


def _outward_address() -> str | None:
    """This machine's address towards other networks; asks the routing table, sends nothing."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, display: Display, statistics: Callable[[], Mapping[str, Any]]) -> None:
        self.display = display
        self.token: str | None = None
        self.hosts: set[str] = set()
        folder = files("saccade.outputs") / "static"
        self.static = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in STATIC.items()}
        self.streams = threading.BoundedSemaphore(STREAMS)
        self._statistics = statistics
        self._figures: dict[str, Any] = {}
        self._figures_time = -math.inf
        self._figures_lock = threading.Lock()
        self._clients: dict[socket.socket, _Client] = {}
        self._clients_lock = threading.Lock()
        try:
            family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = family
            super().__init__(cast(tuple[str, int], where[:2]), _Handler)
        except OSError as error:
            raise OutputError(
                f"the live page cannot be served on {host}:{port}: {_reason(error)}; give another address "
                "(--view HOST:PORT, port 0 takes a free one) or stop the program that uses it"
            ) from error

    def server_bind(self) -> None:
        """Bind; unlike the base class without asking a name server who we are, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, or turn it away when there are too many."""
        with self._clients_lock:
            full = len(self._clients) >= CONNECTIONS
            if not full:
                thread = threading.Thread(
                    target=self.process_request_thread,
                    args=(request, client_address),
                    name=f"saccade-page-{client_address[0]}:{client_address[1]}",
                    daemon=True,
                )
                self._clients[request] = _Client(thread, monotonic() + REQUEST_SECONDS)
        if full:
            with suppress(OSError):
                request.settimeout(0)
                request.send(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._clients_lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Drop clients that drip their request: a time-out on each read alone would let them stay for hours."""
        now = monotonic()
        with self._clients_lock:
            late = [request for request, client in self._clients.items() if client.deadline < now]
        for request in late:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def request_received(self, request: socket.socket) -> None:
        """The client has said what it wants; from here on the time-out of each write holds."""
        with self._clients_lock:
            if request in self._clients:
                self._clients[request].deadline = math.inf

    def drop_clients(self) -> None:
        """Cut all connections and wait for their threads."""
        with self._clients_lock:
            clients = dict(self._clients)
        for request in clients:
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        for client in clients.values():
            client.thread.join(timeout=2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is no event; anything else is a mistake of ours and is told."""
        level = logging.DEBUG if isinstance(sys.exc_info()[1], OSError) else logging.ERROR
        log.log(level, "connection of %s ended", client_address, exc_info=True)

    def figures(self) -> dict[str, Any]:
        """The newest figures, with the display's."""
        with self._figures_lock:
            if monotonic() - self._figures_time > FRESH_SECONDS:
                figures = dict(self._statistics())
                if "source" in figures:
                    figures["source"] = without_secrets(str(figures["source"]))
                display = self.display.statistics()
                figures["display"] = {
                    "viewers": display.viewers,
                    "encoded": display.encoded,
                    "skipped": display.skipped,
                    "failed": display.failed,
                    "encode_ms": {"p50": display.encode.p50_ms, "p99": display.encode.p99_ms},
                }
                figures["ended"] = self.display.closed
                self._figures, self._figures_time = figures, monotonic()
            return self._figures


class _Client:
    __slots__ = ("deadline", "thread")

    def __init__(self, thread: threading.Thread, deadline: float) -> None:
        self.thread = thread
        self.deadline = deadline


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Answer one request; connections are not kept."""
        self.close_connection = True
        self.server.request_received(self.connection)
        with suppress(ConnectionError, TimeoutError):
            self._answer()

    do_HEAD = do_GET

    def version_string(self) -> str:
        """What the Server header says: no versions."""
        return "saccade"

    def log_message(self, format: str, *args: Any) -> None:
        """Requests go to the debug log, without their query: it may hold the token."""
        log.debug("%s %s", self.address_string(), (format % args).partition("?")[0])

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if not self._host_is_ours():
            self._text(
                HTTPStatus.MISDIRECTED_REQUEST,
                "This page is not served under that host name; open it by its address.",
            )
        elif self.headers.get("Sec-Fetch-Site") == "cross-site" and self.headers.get("Sec-Fetch-Mode") != "navigate":
            self._text(HTTPStatus.FORBIDDEN, "Other sites may not use this page.")
        elif not self._may_look(query):
            self._text(
                HTTPStatus.UNAUTHORIZED,
                "This page needs its token: open the whole address that saccade printed, with ?token=...",
            )
        elif url.path == "/" and "token" in query:
            self._keep_token()
        elif url.path in self.server.static:
            body, kind = self.server.static[url.path]
            self._send(HTTPStatus.OK, body, kind)
        elif url.path == "/stream.mjpeg":
            self._stream(query)
        elif url.path in ("/statistics.json", "/metrics"):
            self._figures(url.path)
        else:
            self._text(HTTPStatus.NOT_FOUND, "There is nothing here; the page is at /.")

    def _host_is_ours(self) -> bool:
        try:
            host = urlsplit("//" + self.headers.get("Host", "")).hostname or ""
        except ValueError:
            return False
        with suppress(ValueError):
            address = ipaddress.ip_address(host)
            # An address cannot be rebound; but on loopback there is no reason to be called by another one.
            return address.is_loopback or self.server.token is not None
        return host in self.server.hosts

    def _may_look(self, query: Mapping[str, list[str]]) -> bool:
        token = self.server.token
        if token is None:
            return True
        offered = [*query.get("token", ())]
        scheme, _, bearer = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            offered.append(bearer.strip())
        with suppress(CookieError):
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self._cookie)
            if cookie is not None:
                offered.append(cookie.value)
        return any(hmac.compare_digest(token.encode(), given.encode()) for given in offered[:8])

    @property
    def _cookie(self) -> str:
        return f"saccade_{self.server.server_port}"  # browsers share cookies between the ports of a host

    def _keep_token(self) -> None:
        """Move the token from the URL, where it may be seen and passed on, into a cookie."""
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Set-Cookie", f"{self._cookie}={self.server.token}; HttpOnly; SameSite=Lax; Path=/")
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self._end_headers()

    def _figures(self, path: str) -> None:
        try:
            figures = self.server.figures()
            if path == "/metrics":
                self._send(HTTPStatus.OK, prometheus_text(figures).encode(), CONTENT_TYPE)
            else:
                self._send(HTTPStatus.OK, to_json(figures).encode(), "application/json")
        except OSError:
            raise
        except Exception:
            log.exception("the figures for the live page are not to be had")
            self._text(HTTPStatus.INTERNAL_SERVER_ERROR, "The figures are not to be had; see saccade's log.")

    def _stream(self, query: Mapping[str, list[str]]) -> None:
        """Pictures for as long as the client takes them."""
        if not self.server.streams.acquire(blocking=False):
            self._text(HTTPStatus.SERVICE_UNAVAILABLE, "Too many viewers; close one of the other pages.")
            return
        try:
            self.connection.settimeout(STALL_SECONDS)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self._end_headers()
            if self.command == "HEAD":
                return
            # Browsers show a part when they see the boundary after it: it is sent at once, not with the next part.
            self.wfile.write(b"--frame\r\n")
            width, height = self._size(query)
            with self.server.display.watch(width=width, height=height) as viewer:
                while not self.server.display.closed:
                    picture = viewer.next(timeout=1)
                    if picture is not None:
                        self.wfile.write(
                            b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n--frame\r\n"
                            % (len(picture.jpeg), picture.jpeg)
                        )
                    elif self._client_has_gone():
                        return
        finally:
            self.server.streams.release()

    def _size(self, query: Mapping[str, list[str]]) -> tuple[int, int]:
        display = self.server.display
        text = query.get("height", [""])[0]
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            return display.width, display.height
        height = min(max(int(text), SMALLEST), LARGEST)
        return math.ceil(height * ASPECT), height

    def _client_has_gone(self) -> bool:
        self.connection.settimeout(0)
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.connection.settimeout(STALL_SECONDS)

    def _text(self, status: HTTPStatus, text: str) -> None:
        self._send(status, text.encode() + b"\n", "text/plain; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self._end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    reasons = {
        errno.EADDRINUSE: "the port is already in use",
        errno.EACCES: "ports below 1024 need root",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))
