"""Strangers at the door: requests that are none, clients that take what they can, pages of other sites."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from conditions import PATIENCE, meanwhile, wait_for
from lengths import length
from saccade.outputs.display import Display
from saccade.predict import open_predictor
from saccade.service.address import bind
from saccade.service.guard import Door
from saccade.service.limits import Limits
from saccade.service.page import LivePage
from saccade.service.serve import LIMITS, Server, Service
from saccade.service.server import HttpServer, body_of
from small_networks import classifier_network

Where = tuple[str, int]


def connect(where: Where, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(where, timeout=PATIENCE, source_address=(source, 0))


def answer(client: socket.socket) -> bytes:
    """All that comes until the other side ends; what came before a cut connection too."""
    got = bytearray()
    with suppress(ConnectionError):
        while block := client.recv(1 << 16):
            got += block
    return bytes(got)


def ask(where: Where, request: bytes) -> bytes:
    with connect(where) as client:
        with suppress(ConnectionError):
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        return answer(client)


def get(where: Where, path: str = "/", *headers: str, source: str = "127.0.0.1") -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    with connect(where, source) as client:
        client.sendall("\r\n".join(lines).encode())
        return answer(client)


def status(reply: bytes) -> int:
    reply = reply.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 "), reply[:80]
    return int(reply[9:12])


@contextmanager
def page(limits: Limits | None = None) -> Iterator[Where]:
    display = Display()
    served = LivePage("127.0.0.1:0", display, lambda: {"frames": 1, "state": "up"}, limits=limits or Limits()).start()
    try:
        yield served.address
    finally:
        served.close()
        display.close()


@contextmanager
def model(folder: Path, limits: Limits = LIMITS) -> Iterator[Where]:
    predictor = open_predictor(str(classifier_network(folder / "small.xml")), task="classify", threads=1)
    with Server(Service(predictor), ("127.0.0.1", 0), limits=limits) as server:
        yield server.http.host, server.http.port


# ---- every request is answered ----

PARTS = (
    b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"/", b"/ping", b"/invocations", b"/statistics.json", b"/metrics",
    b"/healthz", b"/v2/models", b"/v2/models/small/infer", b"?token=", b"%00%ff", b"//[", b"http://[/ping", b" ",
    b"\t", b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"\xff\xfe", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"Host: localhost",
    b"Host: evil.example", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: \xb2",
    b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"Connection: close", b"Connection: upgrade", b"Upgrade: websocket",
    b"Expect: 100-continue", b"Cookie: =;[]{};a", b"Authorization: Bearer \xe4", b"Origin: null",
    b"Sec-Fetch-Site: cross-site", b"Content-Type: application/json", b"Content-Type: image/png",
    b"Content-Type: application/x-npy", b"Accept: application/x-npz; threshold=x", b'{"describe": true}', b"[" * 2000,
    b"\x93NUMPY\x01\x00\x10\x00{'descr': -1, 'a'", b"\xff\xd8\xff\xdb\x00", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"A" * 9000, b"X: " + b"y" * 70_000,
)  # fmt: skip


def whole(rng: random.Random) -> bytes:
    """A request that is well formed, with a body that may be nothing."""
    body = b"".join(rng.choices(PARTS[-10:-2], k=rng.randrange(3)))
    path = rng.choice([b"/ping", b"/invocations", b"/healthz", b"/statistics.json", b"/stream.mjpeg?height=x", b"/"])
    fields = rng.choices(PARTS[34:52], k=rng.randrange(4))
    framing = b"Content-Length: %d" % len(body)
    return b"\r\n".join(
        [rng.choice([b"GET ", b"POST "]) + path + b" HTTP/1.1", b"Host: localhost", *fields, framing, b"", body]
    )


def fuzzed(rng: random.Random) -> bytes:
    """Parts of requests in any order, or a request with some bytes changed, missing, or twice."""
    if rng.random() < 0.4:
        return b"".join(rng.choices(PARTS, k=rng.randrange(1, 12)))
    request = bytearray(whole(rng))
    for _ in range(rng.randrange(5)):
        at = rng.randrange(len(request) + 1)
        match rng.randrange(4):
            case 0:
                request[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del request[at : at + rng.randrange(40)]
            case 2:
                request[at:at] = rng.choice(PARTS)
            case _:
                request[at:at] = request[at : at + 60]
    return bytes(request) or b"G"


@pytest.mark.parametrize("kind", ["serve", "page"])
def test_fuzzed_requests_get_an_answer_each(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(body_bytes=1 << 20, header_seconds=2, silent_seconds=2, stall_seconds=2)
    with model(tmp_path, limits) if kind == "serve" else page(limits) as where:
        rng = random.Random(12)
        requests = [fuzzed(rng) for _ in range(length(1000, 5000))]
        # A stream lasts as long as its client; here that is until the first picture, which never comes.
        requests = [request for request in requests if b"/stream" not in request or kind == "serve"]
        with ThreadPoolExecutor(8) as clients:
            replies = list(clients.map(lambda request: ask(where, request), requests))
        unanswered = [
            request for request, reply in zip(requests, replies, strict=True) if not reply.startswith(b"HTTP/1.1 ")
        ]
        assert unanswered == []
        assert {status(reply) for reply in replies} <= {200, 303, 400, 401, 403, 404, 405, 406, 408, 411, 413, 415, 421}
        assert status(get(where, "/ping" if kind == "serve" else "/healthz")) == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_requests_that_lie_about_their_length_are_refused(corpus: Path, tmp_path: Path) -> None:
    files = sorted((corpus / "cases" / "events" / "http").glob("*.req"))
    assert files
    with model(tmp_path) as where:
        for file in files:
            reply = ask(where, file.read_bytes())
            assert len(re.findall(rb"^HTTP/1.1 ", reply, re.MULTILINE)) == 1, file.name
            assert status(reply) == (200 if file.name == "get_with_body.req" else 400), file.name


def test_an_answer_is_not_lost_to_a_body_that_nobody_reads(tmp_path: Path) -> None:
    head = b"POST /%b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with model(tmp_path) as where:
        for path, size, expected in ((b"nowhere", 20 << 20, 404), (b"invocations", 30 << 20, 413)):
            with connect(where) as client:
                client.sendall(head % (path, size))
                for _ in range(16):
                    client.sendall(bytes(1 << 20))
                assert status(answer(client)) == expected


def test_a_last_answer_that_takes_its_time_arrives_whole() -> None:
    async def large(request: Request) -> Response:
        return Response(bytes(8 << 20))

    with serving(Route("/", large), limits=Limits(send_buffer=64 << 10, linger_seconds=0.0)) as where:
        for end in (b"Connection: close\r\n\r\n", b"Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhe"):
            with connect(where) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + end)
                got, wanted = bytearray(), 8 << 20
                while len(got) < wanted and (block := client.recv(1 << 16)):
                    got += block
            assert len(got) >= wanted


def test_who_has_sent_all_and_takes_nothing_is_dropped() -> None:
    async def small(request: Request) -> Response:
        return Response(bytes(60_000))  # less than asyncio has a client pause for

    limits = Limits(send_buffer=1, stall_seconds=0.2, idle_seconds=3600)
    server = HttpServer(bind("127.0.0.1", 0), [Route("/", small)], limits=limits)
    server.start()
    try:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.connect((server.host, server.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            wait_for(lambda: len(server.crowd) == 1)
            wait_for(lambda: len(server.crowd) == 0)
    finally:
        server.stop()


def test_whoever_ends_a_request_early_is_told(tmp_path: Path) -> None:
    with model(tmp_path) as where:
        for request in (
            b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
            b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
            b"GET /ping HTT",
        ):
            assert status(ask(where, request)) == 400


def test_a_head_request_with_a_broken_body_is_answered_without_one(caplog: pytest.LogCaptureFixture) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def waiting(request: Request) -> Response:
        begun.set()
        await asyncio.to_thread(go_on.wait, PATIENCE)
        return Response(b"late")

    head = b"HEAD / HTTP/1.1\r\nHost: localhost\r\n"
    with serving(Route("/", waiting)) as where:
        replies = [ask(where, head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")]
        with connect(where) as client:
            client.sendall(head + b"Content-Length: 9\r\n\r\nhalf")
            assert begun.wait(PATIENCE)
            client.shutdown(socket.SHUT_WR)
            replies.append(answer(client))
        go_on.set()
    for reply in replies:
        assert status(reply) == 400
        assert reply.endswith(b"\r\n\r\n")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_fault_of_ours_is_a_500_that_names_no_code(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(request: Request) -> Response:
        raise ZeroDivisionError("inner matters")

    with serving(Route("/", broken)) as where:
        reply = get(where)
    assert status(reply) == 500
    assert b"inner" not in reply
    assert "inner matters" in caplog.text


@contextmanager
def serving(*routes: Route, limits: Limits | None = None, door: Door | None = None) -> Iterator[Where]:
    server = HttpServer(bind("127.0.0.1", 0), routes, limits=limits, door=door)
    server.start()
    try:
        yield server.host, server.port
    finally:
        server.stop()


def test_who_has_just_connected_is_hung_up_on_when_the_server_stops() -> None:
    for _ in range(40):
        server = HttpServer(bind("127.0.0.1", 0), [])
        server.start()
        clients = [connect((server.host, server.port)) for _ in range(6)]
        server.stop()
        for client in clients:
            client.settimeout(20)
            assert answer(client) == b""
            client.close()


# ---- nobody takes it all ----


async def hello(request: Request) -> Response:
    return Response("hello\n")


def test_who_idles_gives_way_and_no_source_takes_all() -> None:
    with page(Limits(connections=8, share=0.5)) as where:
        idle = [connect(where, source) for source in ("127.0.0.1", "127.0.0.2") for _ in range(6)]
        for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            assert status(get(where, "/healthz", source=source)) == 200
        busy = []
        for _ in range(4):
            busy.append(connect(where))
            busy[-1].sendall(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert busy[-1].recv(9) == b"HTTP/1.1 "
        assert status(get(where, "/healthz")) == 503
        assert status(get(where, "/healthz", source="127.0.0.2")) == 200
        for client in idle + busy:
            client.close()
        wait_for(lambda: status(get(where, "/healthz")) == 200)


def test_a_body_that_brings_nothing_gives_way_to_one_that_does() -> None:
    async def count(request: Request) -> Response:
        async with body_of(request) as body:
            return Response(str(len(body)))

    limits = Limits(body_bytes=1 << 20, buffered_bytes=3 << 20)
    with serving(Route("/", count, methods=["POST"]), limits=limits) as where:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (1 << 20)
        started = [connect(where, f"127.0.0.{1 + n % 2}") for n in range(3)]
        for client in started:
            client.sendall(head + bytes((1 << 20) - 1))
        # One that brings nothing for STALE_SECONDS gives way.
        wait_for(lambda: ask(where, head + bytes(1 << 20)).endswith(b"\r\n\r\n%d" % (1 << 20)), pause=0.05)
        wait_for(lambda: any(map(_has_come, started)))
        gone = [client for client in started if _has_come(client)]
        assert len(gone) == 1
        assert status(answer(gone[0])) == 503
        for client in started:
            client.close()


def _has_come(client: socket.socket) -> bool:
    return bool(select.select([client], [], [], 0)[0])


def test_bodies_that_drip_and_keep_alive_that_idles_end() -> None:
    async def count(request: Request) -> Response:
        async with body_of(request) as body:
            return Response(str(len(body)))

    limits = Limits(slow_after=0.3, silent_seconds=0.5, idle_seconds=0.2, linger_seconds=0.1)
    with serving(Route("/", count, methods=["POST"]), limits=limits) as where:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n"
        with connect(where) as silent, connect(where) as dripping, connect(where) as idle:
            silent.sendall(head)
            dripping.sendall(head)
            idle.sendall(head.replace(b"900", b"0"))
            stop = threading.Event()

            def drip() -> None:
                with suppress(OSError):
                    while not stop.wait(0.05):
                        dripping.sendall(b"x")

            with meanwhile(drip):
                assert status(answer(dripping)) == 408
                stop.set()
            assert status(answer(silent)) == 408
            assert status(answer(idle)) == 200


# ---- pages of other sites ----


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), 200), (("Cookie: a=b; {[;=; bad\x01; saccade_=1",), 200), (("Origin: http://localhost",), 200),
        (("Origin: http://evil.example",), 403), (("Origin: null",), 403), (("Origin: http://[",), 403),
        (("Sec-Fetch-Site: cross-site",), 403), (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"), 200),
    ],
)  # fmt: skip
def test_pages_of_other_origins_are_refused(headers: tuple[str, ...], expected: int) -> None:
    with serving(Route("/", hello)) as where:
        reply = get(where, "/", *(header.replace("\x01", "\xe4") for header in headers))
        assert status(reply) == expected
        assert b"nosniff" in reply
        assert b"content-security-policy: default-src 'none'" in reply.lower()


def test_a_token_is_asked_for_before_anything_is_done_and_found_in_odd_cookies() -> None:
    asked = []

    async def secret(request: Request) -> Response:
        asked.append(1)
        return Response("secret\n")

    with serving(Route("/", secret), door=Door(token="t" * 16, cookie="saccade_1")) as where:
        for header in ("X: y", "Cookie: saccade_1=None", "Cookie: saccade_1", "Authorization: Bearer None"):
            assert status(get(where, "/", header)) == 401
        assert not asked
        for cookie in ("a[0]={1}; saccade_1=" + "t" * 16, 'x="; saccade_1="' + "t" * 16 + '"'):
            assert status(get(where, "/", f"Cookie: {cookie}")) == 200


def test_on_loopback_no_cookie_is_made_of_no_token() -> None:
    with page() as where:
        reply = get(where, "/?token=x")
        assert status(reply) == 303
        assert b"set-cookie" not in reply.lower()


def test_browsers_may_not_reach_a_model_by_a_foreign_name(tmp_path: Path) -> None:
    with model(tmp_path) as where:
        for host, expected in (("saccade", 200), ("127.0.0.1:1", 200), ("evil.example", 421)):
            request = f"GET /ping HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            assert status(ask(where, request)) == expected


# ---- all at once ----


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["serve", "run"])
def test_a_crowd_that_wants_all_gets_little(kind: str, tmp_path: Path) -> None:
    """Idle clients, unfinished bodies, one that drips, viewers: health at once, little memory, a quick end."""
    network = classifier_network(tmp_path / "small.xml")
    common = [sys.executable, "-m", "saccade"]
    if kind == "serve":
        command, health = [*common, "serve", "--model", str(network), "--address", "127.0.0.1:0"], "/ping"
    else:
        command, health = (
            [*common, "run", "classify", "--model", str(network), "--source", "demo:", "--view", "127.0.0.1:0"],
            "/healthz",
        )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    where = address_in(process.stdout.readline)
    clients: list[socket.socket] = []
    stop = threading.Event()
    threads: list[threading.Thread] = []
    try:
        wait_for(lambda: status(get(where, health)) == 200)
        memory = psutil.Process(process.pid).memory_info
        before = memory().rss
        clients += [connect(where) for _ in range(60)]
        path = b"/invocations" if kind == "serve" else b"/"
        head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        bodies = [connect(where) for _ in range(40)]
        clients += bodies
        threads += [
            threading.Thread(target=pour, args=(client, head % (path, 24 << 20), 23, stop), daemon=True)
            for client in bodies
        ]
        clients.append(connect(where))
        threads.append(threading.Thread(target=drip_on, args=(clients[-1], stop), daemon=True))
        if kind == "run":
            for _ in range(20):
                clients.append(connect(where))
                clients[-1].sendall(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for thread in threads:
            thread.start()
        most, quick = 0, 0
        end = time.monotonic() + length(1, 3)
        while quick < 10 or time.monotonic() < end:
            start = time.monotonic()
            assert status(get(where, health)) == 200
            quick += time.monotonic() - start < 1.0  # a busy machine may let it wait now and then
            most = max(most, memory().rss - before)
        assert most < 300e6
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - start < PATIENCE / 3  # what they drip would take longer
    finally:
        stop.set()
        for client in clients:
            client.close()
        for thread in threads:
            thread.join(PATIENCE)
        process.kill()
        said = process.stdout.read()
        process.stdout.close()
        process.wait()
    assert "Traceback" not in said


def address_in(readline: Callable[[], str]) -> Where:
    """The address that a command prints when it serves."""
    while line := readline():
        if "http://" in line:
            host, _, port = line.rpartition("http://")[2].strip().rstrip("/").rpartition(":")
            return host, int(port)
    raise AssertionError("ended before it served")


def pour(client: socket.socket, head: bytes, megabytes: int, stop: threading.Event) -> None:
    """Begin a body, and never end it."""
    client.settimeout(1)
    with suppress(OSError):
        client.sendall(head)
        for _ in range(megabytes):
            client.sendall(bytes(1 << 20))
    stop.wait(PATIENCE)


def drip_on(client: socket.socket, stop: threading.Event) -> None:
    with suppress(OSError):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        while not stop.wait(0.2):
            client.sendall(b"X: y\r\n")


def test_two_threads_may_stop_a_server() -> None:
    server = HttpServer(bind("127.0.0.1", 0), [])
    server.start()
    say = server.loop.call_soon_threadsafe

    def overtaken(*arguments: Any) -> Any:
        say(*arguments)  # the other thread's
        wait_for(server.loop.is_closed)
        return say(*arguments)

    server.loop.call_soon_threadsafe = overtaken  # type: ignore[method-assign]
    server.stop()
    server.stop()
