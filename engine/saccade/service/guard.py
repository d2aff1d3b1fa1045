"""The door of a server: which host names, origins and tokens come in, and that every request gets an answer.

A page of another site must not use what listens on this machine through the browser of somebody here. Its requests
carry its own origin, or are marked as cross-site; and a name that was rebound to this address is still a foreign name.
Those are refused before anything else is looked at.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saccade.service.address import is_loopback
from saccade.service.limits import GoneError, RefusedError

log = logging.getLogger(__name__)

Render = Callable[[int, str], tuple[bytes, str]]
"""A status and a message as body and content type."""

MOST_OFFERED = 8
"""Tokens in one request that are looked at."""

ADVICE = "This address needs its token."

PLAIN = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Headers of every answer, where the door says nothing else."""

Reading = Callable[[Headers, Mapping[str, list[str]]], list[str]]
"""Tokens that a request offers, from its headers and its query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Who may come in.

    loopback : only this machine can connect. names : host names that clients may know the server by, beside addresses.
    local_names : names without a dot too: those of container networks and the like, which nobody can register.
    tools : a program that is no browser may use any host name. token : asked of everybody; None: of nobody.
    keyless_tools : it is asked of browsers alone.
    cookie : that may hold it. open_paths : for which it is not asked. offered : where else it may stand.
    headers : of every answer. advice : what to do without a token.
    """

    loopback: bool = True
    names: frozenset[str] = frozenset({"localhost"})
    local_names: bool = False
    tools: bool = False
    keyless_tools: bool = False
    token: str | None = None
    cookie: str = ""
    open_paths: frozenset[str] = frozenset()
    offered: Reading | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: PLAIN)
    advice: str = ADVICE

    @classmethod
    def of(
        cls, host: str, port: int, *, asked: str = "", token: str | None = None, names: tuple[str, ...] = (),
        headers: Mapping[str, str] = PLAIN, open_paths: tuple[str, ...] = (), advice: str = "",
        offered: Reading | None = None,
    ) -> Door:  # fmt: skip
        """The door of a page: on loopback for everybody on this machine, elsewhere for those with a token.

        host, port : as bound. asked : the host as it was typed. token : None: a new one where one is needed.
        """
        loopback = is_loopback(host)
        own = socket.gethostname().lower()
        known = {"localhost", own, f"{own}.local", asked.lower(), *(name.lower() for name in names)}
        return cls(
            loopback=loopback, names=frozenset(known - {""}), headers=PLAIN | dict(headers),
            token=token or (None if loopback else secrets.token_urlsafe(16)),
            cookie=f"saccade_{port}",  # browsers share cookies between the ports of a host
            open_paths=frozenset(open_paths), advice=advice or ADVICE, offered=offered,
        )  # fmt: skip

    def lets_in(self, host: str) -> bool:
        """Whether a Host header names this server."""
        name = _name(host)
        if name is None:
            return False
        with suppress(ValueError):
            address = ipaddress.ip_address(name)
            # An address cannot be rebound; but on loopback there is no reason to be called by another one.
            return address.is_loopback or not self.loopback
        return name in self.names or (self.local_names and "." not in name)

    def has_token(self, headers: Headers, query: Mapping[str, list[str]]) -> bool:
        """Whether a request brings the token: in its query, as a bearer token, in its cookie."""
        if self.token is None:
            return True
        offered = [*query.get("token", ())]
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            offered.append(bearer.strip())
        offered += cookies(headers, self.cookie)
        if self.offered is not None:
            offered += self.offered(headers, query)
        token = self.token.encode()
        return any(hmac.compare_digest(token, given.encode("utf-8", "replace")) for given in offered[:MOST_OFFERED])


def cookies(headers: Headers, name: str) -> list[str]:
    """The values of a cookie, whatever else the Cookie headers hold."""
    found = []
    for header in headers.getlist("cookie"):
        for part in header.split(";"):
            key, equals, value = part.strip().partition("=")
            if equals and key.strip() == name:
                found.append(value.strip().strip('"'))
    return found


def keep_token(door: Door) -> Response:
    """An answer that moves the token from the URL, where it may be seen and passed on, into a cookie."""
    answer = RedirectResponse("/", status_code=303)
    if door.token is not None:
        answer.headers["Set-Cookie"] = f"{door.cookie}={door.token}; HttpOnly; SameSite=Lax; Path=/"
    return answer


def query_of(scope: Scope) -> dict[str, list[str]]:
    """The query of a request; what cannot be read of it is not there."""
    try:
        return parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=256)
    except ValueError:
        return {}


class Guard:
    """The outermost layer: refuses who may not come in, and answers whatever goes wrong further in."""

    def __init__(self, app: ASGIApp, door: Door, render: Render) -> None:
        self._app = app
        self._door = door
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = dict(message) | {"headers": self._headers(message.get("headers", []))}
            await send(message)

        log.debug("%s %s %s", (scope.get("client") or ("?",))[0], scope["method"], scope["path"])
        try:
            scope = dict(_with_path(scope)) | {"app": self}  # who has an app raises what it refuses
            self._check(scope, Headers(scope=scope))
            await self._app(scope, receive, sending)
        except (GoneError, asyncio.CancelledError):  # nobody waits for the answer, or the server cuts what is left
            scope["state"]["connection"].abort()
        except (RefusedError, HTTPException) as error:
            status = error.status if isinstance(error, RefusedError) else error.status_code
            message = str(error) if isinstance(error, RefusedError) else _words(error, scope)
            await self._answer(scope, sending, started, status, message)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            await self._answer(scope, sending, started, 500, "this request met a fault of the server; see its log")

    async def _answer(self, scope: Scope, send: Send, started: bool, status: int, message: str) -> None:
        if started:
            scope["state"]["connection"].abort()
            return
        body, kind = self._render(status, message)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _headers(self, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        present = {name.lower() for name, _ in given}
        ours = {"Date": formatdate(usegmt=True)} | dict(self._door.headers)
        more = [(name.lower().encode(), value.encode("latin-1")) for name, value in ours.items()]
        return [*given, *(pair for pair in more if pair[0] not in present)]

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raise RefusedError for who may not come in."""
        door = self._door
        if "content-length" in headers and "transfer-encoding" in headers:
            raise RefusedError(400, "Content-Length and Transfer-Encoding contradict each other; send one of them")
        host = headers.get("host", "")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        browser = _is_browser(headers)
        if not (door.lets_in(host) or (door.tools and not browser)):
            raise RefusedError(421, "This server is not known by that host name; ask for it by its address.")
        if origin is not None and not self._is_own(origin, host):
            raise RefusedError(403, "Other sites may not use this server.")
        if site == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            raise RefusedError(403, "Other sites may not use this server.")
        open_to_all = scope["path"] in door.open_paths or (door.keyless_tools and not browser)
        if not open_to_all and not door.has_token(headers, query_of(scope)):
            raise RefusedError(401, door.advice)

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether an Origin header names the page that the Host header does, or one that this server is known by."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return bool(parts.netloc) and parts.netloc.lower() == host.lower()


def _with_path(scope: Scope) -> Scope:
    """The request with a path as its target, where it has a whole URL, as proxies are asked."""
    raw: bytes = scope["raw_path"]
    if raw.startswith(b"/"):
        return scope
    with suppress(ValueError):
        parts = urlsplit(raw)
        if parts.scheme.lower() in (b"http", b"https") and parts.netloc:
            headers = [pair for pair in scope["headers"] if pair[0] != b"host"]
            path = parts.path or b"/"
            return dict(scope) | {
                "raw_path": path, "path": unquote(path.decode("ascii")),
                "headers": [*headers, (b"host", parts.netloc)],
            }  # fmt: skip
    raise RefusedError(400, "the request's target is no path of this server")


def _is_browser(headers: Headers) -> bool:
    """Whether a page may have had this request sent."""
    marks = ("origin", "sec-fetch-site", "sec-fetch-mode")
    return any(name in headers for name in marks) or headers.get("user-agent", "").startswith("Mozilla/")


def _name(host: str) -> str | None:
    """The name of a Host header, without its port; None where it is none."""
    try:
        return urlsplit("//" + host).hostname or ""
    except ValueError:
        return None


def _words(error: HTTPException, scope: Scope) -> str:
    if error.status_code == 404:
        return f"There is nothing at {scope['path'][:200]}."
    if error.status_code == 405:
        return f"{scope['method']} is not what {scope['path'][:200]} is for."
    return str(error.detail)
