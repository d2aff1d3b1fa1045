"""Requests end in time and within their bytes, whatever the other side does."""

from __future__ import annotations

import http.client
import itertools
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from conditions import PATIENCE
from saccade.service import health
from saccade.service.health import health_at
from saccade.timed_http import TimedHttp, TimedHttps, TooLongError, exchange

Talk = Callable[[socket.socket], object]


class Peer(threading.Thread):
    """Accepts connections and does `talk` with each; `left` is set when somebody has gone who was being talked to."""

    def __init__(self, talk: Talk) -> None:
        super().__init__(name="peer", daemon=True)
        self._talk = talk
        self.left = threading.Event()
        self.lines = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.start()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self.listener.accept()
                self.lines += 1
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line:
            try:
                self._talk(line)
            except OSError:
                self.left.set()


@contextmanager
def peer(talk: Talk) -> Iterator[Peer]:
    one = Peer(talk)
    try:
        yield one
    finally:
        one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()


def asked(line: socket.socket) -> bytes:
    """A request's head."""
    head = b""
    while b"\r\n\r\n" not in head:
        got = line.recv(1 << 16)
        if not got:
            raise ConnectionError
        head += got
    return head


def dripping(first: bytes, drop: bytes, pause: float = 0.02) -> Talk:
    """Sends the first bytes at once, then drops for a minute, as long as somebody takes them."""

    def talk(line: socket.socket) -> None:
        asked(line)
        line.sendall(first)
        never = threading.Event()
        for _ in range(int(60 / (pause or 1e-5))):
            line.sendall(drop)
            never.wait(pause)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "talk",
    [
        dripping(b"", b"H"),
        dripping(OK, b"X: y\r\n"),
        dripping(OK + b"Content-Length: 3000\r\n\r\n", b"x"),
        dripping(OK + b"\r\n", b"x"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.0),
    ],
    ids=["status", "head", "body", "body to the end", "chunks", "size of a chunk", "trailer", "continue"],
)
def test_an_answer_that_drips_ends_in_time(talk: Talk) -> None:
    with peer(talk) as there, closing(TimedHttp("127.0.0.1", there.port, timeout=1)) as connection:
        with pytest.raises(TimeoutError, match=re.escape("no whole answer in 0.3 s")):
            exchange(connection, "GET", "/", seconds=0.3, most=1 << 20)
        assert connection.sock is None
        assert there.left.wait(PATIENCE)


def test_a_body_that_nobody_takes_ends_in_time() -> None:
    def talk(line: socket.socket) -> None:
        never = threading.Event()
        while line.recv(64):
            never.wait(0.02)
        raise ConnectionError

    with peer(talk) as there, closing(TimedHttp("127.0.0.1", there.port, timeout=1)) as connection:
        with pytest.raises(TimeoutError, match=re.escape("no whole answer in 0.3 s")):
            exchange(connection, "POST", "/", b"x" * (32 << 20), seconds=0.3, most=1 << 20)
        assert connection.sock is None


def test_encryption_that_drips_ends_in_time() -> None:
    record = itertools.cycle([b"\x16\x03\x03\x40\x00", *[b"x"] * 10_000])

    def talk(line: socket.socket) -> None:
        line.recv(1 << 16)
        never = threading.Event()
        for _ in range(3000):
            line.sendall(next(record))
            never.wait(0.02)

    context = ssl.create_default_context()
    with peer(talk) as there, closing(TimedHttps("localhost", there.port, timeout=1, context=context)) as connection:
        with pytest.raises(TimeoutError):
            exchange(connection, "GET", "/", seconds=0.3, most=1 << 20)
        assert connection.sock is None


@pytest.mark.parametrize("head", [b"Content-Length: 70000", b"Transfer-Encoding: chunked", b"X: until the end"])
def test_an_answer_has_its_bytes_and_no_more(head: bytes) -> None:
    body = b"11170\r\n%b\r\n0\r\n\r\n" if b"chunked" in head else b"%b"

    def talk(line: socket.socket) -> None:
        asked(line)
        line.sendall(OK + head + b"\r\n\r\n" + body % (b"x" * 70_000))

    def answer(port: int, most: int) -> tuple[int, bytes]:
        with closing(TimedHttp("127.0.0.1", port, timeout=PATIENCE)) as connection:
            return exchange(connection, "GET", "/", seconds=PATIENCE, most=most)

    with peer(talk) as there:
        assert answer(there.port, 70_000) == (200, b"x" * 70_000)
        with pytest.raises(TooLongError, match="more than 69999 bytes"):
            answer(there.port, 69_999)


def test_an_answer_that_is_cut_off_is_none() -> None:
    def talk(line: socket.socket) -> None:
        asked(line)
        line.sendall(OK + b"Content-Length: 9\r\n\r\nhalf")

    with peer(talk) as there, closing(TimedHttp("127.0.0.1", there.port, timeout=PATIENCE)) as connection:
        with pytest.raises(http.client.IncompleteRead):
            exchange(connection, "GET", "/", seconds=PATIENCE, most=99)


def test_a_connection_is_kept_and_each_request_has_its_own_time() -> None:
    def talk(line: socket.socket) -> None:
        while asked(line):
            line.sendall(OK + b"Content-Length: 2\r\n\r\nup")

    with peer(talk) as there, closing(TimedHttp("localhost", there.port, timeout=1e-9)) as connection:
        for _ in range(3):
            assert exchange(connection, "GET", "/", seconds=PATIENCE, most=2) == (200, b"up")
        assert there.lines == 1


def test_the_health_of_a_page_is_told_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(health, "_PATIENCE_SECONDS", 0.3)
    with peer(dripping(OK + b"\r\n", b"x")) as there:
        assert health_at(f"127.0.0.1:{there.port}") == "no answer (no whole answer in 0.3 s)"
        assert there.left.wait(PATIENCE)
