"""HTTP cameras that misbehave, one path each, and how often each was asked."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

USER, PASSWORD = "admin", "secret"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
MULTIPART = HEAD % b"multipart/x-mixed-replace; boundary=frame" + b"\r\n"


class HttpCamera:
    """A server whose paths are functions (request, send) -> None; a path that is not there is closed unanswered.

    requests : (path, headers) as they came. connections : how many were accepted.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.paths: dict[str, Callable[[Request], None]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str, login: str = "") -> str:
        return f"{'https' if self._tls else 'http'}://{login}{self.host}{path}"

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(connection):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with contextlib.closing(connection):
                while (request := Request.read(connection)) is not None:
                    self.requests.append((request.path, request.headers))
                    serve = self.paths.get(request.path)
                    if serve is None:
                        return
                    serve(request)

    def close(self) -> None:
        for connection in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)


class Request:
    """One request. path, headers (lower case) : as they came. send : writes to the client."""

    def __init__(self, connection: socket.socket, text: str) -> None:
        first, *lines = text.split("\r\n")
        self.path = first.split()[1]
        self.headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
        self.send = connection.sendall

    @classmethod
    def read(cls, connection: socket.socket) -> Request | None:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            block = connection.recv(1)
            if not block:
                return None
            text += block
        return cls(connection, text.decode("latin-1").rstrip())


def answer(kind: str, content: bytes, *more: str) -> Callable[[Request], None]:
    """A whole answer with its length."""
    head = HEAD % kind.encode() + b"".join(line.encode() + b"\r\n" for line in more)

    def serve(request: Request) -> None:
        request.send(head + b"Content-Length: %d\r\n\r\n" % len(content) + content)

    return serve


def status(line: str, *headers: str) -> Callable[[Request], None]:
    """An answer without a body."""
    return lambda request: request.send(
        "\r\n".join([f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "", ""]).encode()
    )


def stream(pictures: list[bytes], head: bytes = MULTIPART, interval: float = 0.01) -> Callable[[Request], None]:
    """Multipart pictures without end."""

    def serve(request: Request) -> None:
        request.send(head)
        while True:
            for picture in pictures:
                size = len(picture)
                request.send(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % size)
                request.send(picture + b"\r\n")
                time.sleep(interval)

    return serve


def basic(inner: Callable[[Request], None]) -> Callable[[Request], None]:
    """Behind basic authentication."""
    login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    refuse = status("401 Unauthorized", 'WWW-Authenticate: Basic realm="cam"')
    return lambda request: (inner if request.headers.get("authorization") == login else refuse)(request)


def digest(inner: Callable[[Request], None], *headers: str) -> Callable[[Request], None]:
    """Behind digest authentication with these challenges, each with the nonce ``n`` and its algorithm's name."""

    def serve(request: Request) -> None:
        if digest_holds(request):
            inner(request)
        else:
            status("401 Unauthorized", *headers)(request)

    return serve


def digest_holds(request: Request) -> bool:
    header = request.headers.get("authorization", "")
    field = {key: quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', header)}
    name = field.get("algorithm", "MD5").upper()
    if not header.startswith("Digest ") or field.get("nonce") != "n" + name:
        return False
    function = name.removesuffix("-SESS").replace("-", "").lower()

    def hashed(text: str) -> str:
        return hashlib.new(function, text.encode()).hexdigest()

    first = hashed(f"{USER}:{field['realm']}:{PASSWORD}")
    if name.endswith("-SESS"):
        first = hashed(f"{first}:{field['nonce']}:{field['cnonce']}")
    middle = [field["nonce"]] + ([field["nc"], field["cnonce"], field["qop"]] if "qop" in field else [])
    expected = hashed(":".join([first, *middle, hashed(f"GET:{request.path}")]))
    return field.get("uri") == request.path and field.get("response") == expected


def challenge(algorithm: str, qop: str = 'qop="auth", ') -> str:
    """Parameters of a digest challenge."""
    return f'Digest realm="cam, no. 1", {qop}nonce="n{algorithm.upper()}", algorithm={algorithm}'


def self_signed(folder: Path, name: str = "camera.invalid") -> tuple[Path, Path]:
    """(certificate, key) of a camera that nobody knows."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",  # RSA's take a tenth of a second
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[HttpCamera]:
    """A camera for a while."""
    camera = HttpCamera(tls, port)
    try:
        yield camera
    finally:
        camera.close()
