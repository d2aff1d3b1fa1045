"""The live page over real sockets."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from time import monotonic
from typing import Any

import pytest
import simplejpeg
from pages import serving

from conditions import PATIENCE, wait_for
from saccade.errors import ConfigError, OutputError
from saccade.outputs.display import Display
from saccade.service import page as page_module
from saccade.service.address import parse_address
from saccade.service.page import LivePage
from scenes import Feeder


@contextmanager
def get(page: LivePage, path: str = "/", method: str = "GET", **headers: str) -> Iterator[HTTPResponse]:
    host, port = page.address
    connection = HTTPConnection("127.0.0.1" if host == "0.0.0.0" else host, port, timeout=PATIENCE)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, headers=named)
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def status(page: LivePage, path: str = "/", method: str = "GET", **headers: str) -> int:
    with get(page, path, method, **headers) as response:
        return response.status


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)), (":8080", ("127.0.0.1", 8080)), ("8080", ("127.0.0.1", 8080)),
        ("[::1]:80", ("::1", 80)), ("0.0.0.0:0", ("0.0.0.0", 0)), (" box.local:9 ", ("box.local", 9)),
    ],
)  # fmt: skip
def test_an_address_may_lack_its_host(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3.4:x", "a:70000", "::1:80", "a:-1", "a:８０"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^view is .*; expected HOST:PORT, as 127\.0\.0\.1:8080$"):
        parse_address(text)


def test_a_host_name_that_cannot_be_one_is_not_known() -> None:
    with pytest.raises(OutputError, match=r"a\.\.b:0: the host name is not known"):
        LivePage("a..b:0", Display(), dict)


def test_page_and_its_parts() -> None:
    with serving() as (page, _):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", page.url)
        with get(page) as response:
            html = response.read().decode()
            assert "script-src 'self'" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Server"] == "saccade"
        assert not re.search(r"https?://", html)
        for path, kind in (("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/icon.svg", "image/svg+xml")):
            with get(page, path) as response:
                assert response.status == 200
                assert response.headers["Content-Type"].startswith(kind)
                assert response.read()
        assert status(page, "/", "HEAD") == 200
        assert status(page, "/nothing") == 404
        assert status(page, "/../../etc/passwd") == 404
        assert status(page, "/page.py") == 404
        assert status(page, "/", "POST") == 405


def test_the_page_has_the_figures_of_the_run() -> None:
    with serving() as (page, feeder):
        wait_for(lambda: feeder.frames)
        with get(page, "/statistics.json") as response:
            figures = json.loads(response.read())
        assert figures["frames"] > 0
        assert figures["stages"]["infer"] == feeder.statistics()["stages"]["infer"]  # type: ignore[index]
        assert figures["source"] == "rtsp://camera/ch1"
        assert figures["display"]["viewers"] == 0
        assert figures["ended"] is False
        with get(page, "/metrics") as response:
            assert "secret" not in (text := response.read().decode())
            assert 'saccade_info{app="faces",device="CPU"' in text


@pytest.mark.parametrize("state", ["connecting", "up", "lost", "ended"])
@pytest.mark.parametrize("address", ["127.0.0.1:0", "0.0.0.0:0"])
def test_health_is_the_state_of_the_source(state: str, address: str) -> None:
    reason = "" if state == "up" else "caf\udce9: silent"
    with serving(address, statistics=lambda: {"state": state, "reason": reason}) as (page, _):
        assert status(page, "/healthz") == (200 if state == "up" else 503)
        # Who has no token is told that, and no more.
        with get(page, "/healthz") as response:
            text = response.read().decode()
        told = reason and page.address[0] == "127.0.0.1"
        assert text == (rf"{state}: caf\udce9: silent" if told else state) + "\n"
    with serving("0.0.0.0:0", statistics=lambda: {"state": state, "reason": "silent"}, token="t") as (page, _):
        with get(page, "/healthz?token=t") as response:
            assert response.read() == (b"up: silent\n" if state == "up" else f"{state}: silent\n".encode())


def test_health_without_figures() -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("no figures today")

    with serving(statistics=broken) as (page, _):
        assert status(page, "/healthz") == 503


def test_who_comes_while_the_source_is_away_sees_the_last_picture() -> None:
    with serving() as (page, feeder):
        with get(page, "/stream.mjpeg") as response:
            pictures(response, 2)
        feeder.pause.set()
        wait_for(lambda: feeder.idle)  # what is on its way comes to nobody
        for query in ("", "?height=720"):
            with get(page, f"/stream.mjpeg{query}") as response:
                (last,) = pictures(response, 1)
                assert simplejpeg.decode_jpeg(last).shape[:2] == (480, 853)


def test_figures_are_worked_out_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(page_module, "FRESH_SECONDS", 600.0)
    with serving(statistics=lambda: calls.append(1) or {"frames": 1}) as (page, _):  # type: ignore[func-returns-value]
        for _ in range(10):
            assert status(page, "/statistics.json") == 200
    assert len(calls) == 1


def test_figures_that_fail_are_an_error_not_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, Any]:
        raise RuntimeError("no figures today")

    with serving(statistics=broken) as (page, _):
        assert status(page, "/statistics.json") == 500
        assert status(page) == 200
    assert "no figures today" in caplog.text


def test_figures_without_numbers_are_json() -> None:
    with serving(statistics=lambda: {"fps": float("nan"), "frames": 0}) as (page, _):
        with get(page, "/statistics.json") as response:
            assert json.loads(response.read())["fps"] is None


def pictures(response: HTTPResponse, count: int) -> list[bytes]:
    """The first parts of a multipart stream."""
    assert response.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    assert response.readline() == b"--frame\r\n"
    return more_pictures(response, count)


def more_pictures(response: HTTPResponse, count: int) -> list[bytes]:
    """The next parts of a multipart stream whose first parts have been read."""
    made = []
    for _ in range(count):
        assert response.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(response.readline().split(b":")[1])
        assert response.readline() == b"\r\n"
        made.append(response.read(length))
        assert response.readline() + response.readline() == b"\r\n--frame\r\n"
    return made


@pytest.mark.parametrize(
    ("query", "size"),
    [("", (480, 853)), ("?height=720", (720, 1280)), ("?height=1", (120, 213)), ("?height=x", (480, 853))],
)
def test_a_stream_is_as_high_as_is_asked_for(query: str, size: tuple[int, int]) -> None:
    with serving() as (page, _), get(page, f"/stream.mjpeg{query}") as response:
        for jpeg in pictures(response, 3):
            assert simplejpeg.decode_jpeg(jpeg).shape[:2] == size


def test_stream_ends_with_the_display() -> None:
    display = Display()
    page = LivePage("127.0.0.1:0", display, dict).start()
    with get(page, "/stream.mjpeg") as response:
        display.close()
        assert response.read() == b"--frame\r\n"
    page.close()


def wait_for_frames(feeder: Feeder, count: int) -> None:
    before = feeder.frames
    wait_for(lambda: feeder.frames >= before + count)


def test_nobody_watches_nothing_is_encoded() -> None:
    with serving() as (page, feeder):
        with get(page, "/stream.mjpeg") as response:
            pictures(response, 2)
        wait_for(lambda: not json.loads(_read(page, "/statistics.json"))["display"]["viewers"])
        wait_for_frames(feeder, 5)
        before = page._display.statistics().encoded
        wait_for_frames(feeder, 15)
        assert page._display.statistics().encoded == before


def viewers(page: LivePage) -> int:
    """Streams that are open now."""
    return page._display.statistics().viewers


def _read(page: LivePage, path: str) -> bytes:
    with get(page, path) as response:
        return response.read()


class TestToken:
    def test_loopback_needs_none(self) -> None:
        for address in ("127.0.0.1:0", "localhost:0", "[::1]:0"):
            try:
                with serving(address) as (page, _):
                    assert "token" not in page.url
                    assert status(page) == 200
            except OutputError:
                assert address.startswith("[")  # a machine without IPv6

    def test_anything_else_does(self) -> None:
        with serving("0.0.0.0:0") as (page, _):
            token = page.url.partition("?token=")[2]
            assert len(token) >= 20
            for path in ("/", "/page.js", "/stream.mjpeg", "/statistics.json", "/metrics"):
                assert status(page, path) == 401
                assert status(page, f"{path}?token={token[:-1]}x") == 401
                assert status(page, path, Cookie=f"saccade_{page.address[1]}=") == 401

    def test_goes_from_the_url_into_a_cookie(self) -> None:
        with serving("0.0.0.0:0") as (page, _):
            path = "/" + page.url.rpartition("/")[2]
            with get(page, path) as response:
                assert response.status == 303
                assert response.headers["Location"] == "/"
                cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite" in cookie
            assert status(page, "/", Cookie=cookie.split(";")[0]) == 200
            assert status(page, "/statistics.json", Cookie=f"other=1; {cookie.split(';')[0]}") == 200

    def test_tools_give_the_token_in_a_header_or_the_address(self) -> None:
        with serving("0.0.0.0:0", token="known") as (page, _):
            assert page.url.endswith("?token=known")
            assert status(page, "/metrics", Authorization="Bearer known") == 200
            assert status(page, "/metrics?token=known") == 200
            assert status(page, "/metrics", Authorization="Basic known") == 401

    def test_strange_tokens_are_refused(self) -> None:
        with serving("0.0.0.0:0") as (page, _):
            for path in ("/?token=", "/?token=%00", "/?token=%ff%fe", "/?" + "token=a&" * 90, "/?token=" + "a" * 9000):
                assert status(page, path) == 401
            assert status(page, "/", Cookie="saccade=[]{};=;;") == 401
            assert status(page, "/", Authorization="Bearer \xe4") == 401

    def test_is_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="saccade")
        with serving("0.0.0.0:0", token="hush-hush") as (page, _):
            status(page, "/?token=hush-hush")
        assert "hush" not in caplog.text
        assert "GET /" in caplog.text


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8080", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:8080", 200), ("evil.example", 421),
        ("127.0.0.1.evil.example:8080", 421), ("10.0.0.1", 421), ("", 421), ("[", 421), ("cam.example", 200),
    ],
)  # fmt: skip
def test_only_known_host_names_are_answered(host: str, expected: int) -> None:
    """A foreign name that leads here is a page of another's that was rebound to this address."""
    with serving(allowed_hosts=("Cam.Example",)) as (page, _):
        assert status(page, "/statistics.json", Host=host) == expected


def test_other_sites_may_not_use_it() -> None:
    with serving() as (page, _):
        assert status(page, "/stream.mjpeg", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors") == 403
        assert status(page, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate") == 200


def test_a_port_that_is_taken_is_one_line() -> None:
    with serving() as (page, _):
        port = page.address[1]
        with pytest.raises(
            OutputError, match=rf"127\.0\.0\.1:{port}: the port is already in use; give another address \(--view"
        ):
            LivePage(f"127.0.0.1:{port}", Display(), dict)


def test_of_two_that_begin_at_once_one_has_the_port() -> None:
    one = LivePage("127.0.0.1:0", Display(), dict)
    try:
        with pytest.raises(OutputError, match="the port is already in use"):
            LivePage(f"127.0.0.1:{one.address[1]}", Display(), dict)
    finally:
        one.close()


@pytest.mark.parametrize("address", ["192.0.2.7:0", "no-such-host.invalid:0"])
def test_addresses_that_are_not_ours(address: str) -> None:
    with pytest.raises(OutputError, match="cannot be served on"):
        LivePage(address, Display(), dict)


def test_closing_before_starting_frees_the_port() -> None:
    page = LivePage("127.0.0.1:0", Display(), dict)
    page.close()
    LivePage(f"127.0.0.1:{page.address[1]}", Display(), dict).close()


def test_a_stalled_client_changes_nothing_for_others() -> None:
    """One client reads all it can beside three that read nothing: it gets pictures, and frames go on."""
    with serving() as (page, feeder), get(page, "/stream.mjpeg") as response:
        pictures(response, 1)
        stalled = [_ask(page, b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(3)]
        wait_for(lambda: viewers(page) == 4)
        before = feeder.frames
        assert len(more_pictures(response, 30)) == 30
        assert feeder.frames >= before + 29
        for client in stalled:
            client.close()


def _ask(page: LivePage, request: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", page.address[1]), timeout=PATIENCE)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(request)
    return client


def _is_dropped(client: socket.socket) -> bool:
    with suppress(ConnectionError):
        try:
            while client.recv(1 << 16):
                pass
        except TimeoutError:
            return False
    return True


def test_a_client_that_stalls_is_dropped() -> None:
    with serving(limits=replace(page_module.LIMITS, stall_seconds=0.6)) as (page, _):
        client = _ask(page, b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: viewers(page) == 1)
        wait_for(lambda: viewers(page) == 0)
        client.close()


def test_a_client_that_drips_its_request_is_told_and_dropped() -> None:
    with serving(limits=replace(page_module.LIMITS, header_seconds=0.5, linger_seconds=0.1)) as (page, _):
        client = _ask(page, b"GET / HTTP/1.1\r\n")
        client.settimeout(0.05)
        answer, start = b"", monotonic()
        with suppress(ConnectionError):
            while monotonic() - start < PATIENCE:
                client.sendall(b"X: y\r\n")
                with suppress(TimeoutError):
                    answer += client.recv(1000)
        assert monotonic() - start < PATIENCE
        assert answer.startswith(b"HTTP/1.1 408 ")
        client.close()


def test_streams_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "STREAMS", 3)
    with serving() as (page, _):
        streams = [_ask(page, b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(3)]
        wait_for(lambda: viewers(page) == 3)
        assert status(page, "/stream.mjpeg") == 503
        assert status(page, "/statistics.json") == 200
        for client in streams:
            client.close()
        wait_for(lambda: viewers(page) == 0)
        assert status(page, "/stream.mjpeg") == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET " + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
    ],
)  # fmt: skip
def test_nonsense_is_answered_or_dropped(request_bytes: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as (page, _):
        with suppress(ConnectionError):
            client = _ask(page, request_bytes)
            client.shutdown(socket.SHUT_WR)
            assert _is_dropped(client)
        client.close()
        assert status(page) == 200
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_close_is_quick_with_clients_in_every_state() -> None:
    with serving() as (page, _):
        clients = [
            _ask(page, b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            _ask(page, b"GET / HT"),
            _ask(page, b""),
        ]
        wait_for(lambda: viewers(page) == 1)
        page.close()
        assert not [t for t in threading.enumerate() if t.name.startswith("saccade-page")]
        for client in clients:
            client.close()
