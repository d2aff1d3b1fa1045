"""The local AWS over HTTP: moto's WSGI application behind the door and the limits of every other server.

It answers programs on this machine, and no web page: what a browser sends has to carry the access key of this run, as
the signed links of the dashboard's pictures do; moto's own permission for all origins is taken back. On another
address than loopback everybody needs that key.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from saccade.service.address import bind, is_loopback
from saccade.service.guard import PLAIN, Door
from saccade.service.limits import Limits
from saccade.service.server import HttpServer, body_of

LIMITS = Limits(body_bytes=128 << 20, buffered_bytes=256 << 20, idle_seconds=300.0)
"""Packages of functions are put into the local S3."""

HEADERS = {name: PLAIN[name] for name in ("Cache-Control", "Content-Security-Policy", "Referrer-Policy")}
"""The dashboard, which is another origin, may show pictures, of whatever type they were put as, by their links."""

METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
THREADS = 32

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def serve(application: Application, host: str, port: int, key: str) -> HttpServer:
    """A server for moto's application, not yet started. key : the access key that clients have. Raises OSError."""
    bound = bind(host, port)
    loopback = is_loopback(str(bound.getsockname()[0]))
    door = Door(
        loopback=loopback, tools=not loopback, keyless_tools=loopback, token=key, offered=_access_keys,
        headers=HEADERS,
        advice="the local AWS answers who signs with its access key",
    )  # fmt: skip
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="local-aws")

    async def answer(request: Request) -> Response:
        if "content-length" in request.headers or "transfer-encoding" in request.headers:
            async with body_of(request) as body:
                return await ask(request, bytes(body))
        return await ask(request, b"")

    async def ask(request: Request, body: bytes) -> Response:
        return await asyncio.get_running_loop().run_in_executor(threads, _ask, application, request, body)

    return HttpServer(
        bound, [Route("/{path:path}", answer, methods=METHODS)], door=door, limits=LIMITS, name="saccade-http-aws"
    )


def _ask(application: Application, request: Request, body: bytes) -> Response:
    """One call of the WSGI application (PEP 3333)."""
    begun: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], None]:
        begun[:] = [int(status.split(" ", 1)[0]), headers]
        return parts.append

    parts: list[bytes] = []
    answer = application(_environ(request, body), start_response)
    try:
        parts.extend(answer)
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()
    status, headers = begun
    response = Response(b"".join(parts), status)
    said = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    length = [pair for pair in said if pair[0] == b"content-length"] or [
        (b"content-length", str(len(response.body)).encode())
    ]
    kept = [pair for pair in said if not _is_ours(pair[0])]
    response.raw_headers = kept if status in (204, 304) else [*kept, length[0]]
    return response


def _is_ours(name: bytes) -> bool:
    """Headers that say what a browser may do, or how the answer is framed, are not the application's."""
    return name.startswith(b"access-control-") or name in (b"content-length", b"connection", b"server", b"date")


def _environ(request: Request, body: bytes) -> dict[str, Any]:
    scope, headers = request.scope, request.headers
    target = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(target).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": f"{target}?{query}" if query else target,
        "SERVER_NAME": str(scope["server"][0]),
        "SERVER_PORT": str(scope["server"][1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": str(scope["client"][0]),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name in dict.fromkeys(headers.keys()):
        if name not in ("content-type", "content-length", "transfer-encoding"):
            environ["HTTP_" + name.upper().replace("-", "_")] = ",".join(headers.getlist(name))
    return environ


def _access_keys(headers: Headers, query: Mapping[str, list[str]]) -> list[str]:
    """The access keys that a request is signed with: in its Authorization header, or in a signed link."""
    signed = re.findall(r"Credential=([^/,\s]+)/", headers.get("authorization", ""))
    linked = [value.partition("/")[0] for value in query.get("X-Amz-Credential", ())]
    return [*signed, *linked, *query.get("AWSAccessKeyId", ())]
