"""The page of several cameras, and what changes them from outside.

    /                              a grid of all        /statistics.json   figures of all
    /camera/NAME/                  one, large: as the live page of a single camera, under its own path
    /camera/NAME/picture.jpg       its next annotated picture; ?height= asks for a size
    /camera/NAME/history.json      what it saw before, with the rest of `saccade.service.history`
    /api/cameras                   GET: their figures; POST: one more, a JSON object like a [[camera]] table
    /api/cameras/NAME              PATCH {"paused": true} or {"set": {option: value}}; DELETE

Who may look is as with the live page; where no address was asked for, who has the token. Whatever changes something
needs the token, on a loopback address as well: in the address that is printed, in a cookie from then on, or as a bearer
token. Tools find it in the run file, which only its owner can read.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from saccade.apps.fleet import Fleet
from saccade.config import APPS, users_folder
from saccade.errors import OutputError, SaccadeError
from saccade.outputs.display import Display
from saccade.outputs.events import to_json
from saccade.outputs.metrics import CONTENT_TYPE, prometheus_text
from saccade.private import private_file, private_folder
from saccade.service.address import bind, is_loopback, parse_address, reason
from saccade.service.guard import Door, keep_token, query_of
from saccade.service.history import History
from saccade.service.limits import RefusedError
from saccade.service.page import HEADERS, LIMITS, STATIC, STREAMS, LiveStream, asked_size, next_picture
from saccade.service.server import HttpServer, body_of, connection_of

PICTURE_SECONDS = 2.0
"""How long a picture is waited for before the last one is shown again, s."""

BODY_BYTES = 64 << 10

GRID = {
    "/": ("cameras.html", "text/html; charset=utf-8"),
    "/cameras.js": ("cameras.js", "text/javascript; charset=utf-8"),
    "/cameras.css": ("cameras.css", "text/css; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


HISTORY: Mapping[str, Callable[[History, Request], Awaitable[Response]]] = {
    "history.json": History.history, "crops/{crop}": History.crop, "moment.json": History.moment,
    "snapshot.jpg": History.snapshot,
}  # fmt: skip


class FleetPage:
    """Serves it.

    address : `HOST:PORT`; empty, where nobody asked for a page: a free port of this machine alone, for who has the
    token. Raises OutputError where it cannot be bound.
    """

    def __init__(self, address: str, fleet: Fleet) -> None:
        host, port = parse_address(address or "127.0.0.1:0")
        try:
            bound = bind(host, port)
        except OSError as error:
            raise OutputError(
                f"the live page cannot be served on {host}:{port}: {reason(error)}; give another address "
                "(view = HOST:PORT, port 0 takes a free one) or stop the program that uses it"
            ) from error
        name, number = str(bound.getsockname()[0]), int(bound.getsockname()[1])
        free = is_loopback(name) and bool(address)
        self.token = secrets.token_urlsafe(16)
        self._key = Door.of(name, number, token=self.token)
        door = Door.of(
            name, number, asked=host, token=None if free else self.token, headers=HEADERS,
            open_paths=("/healthz", "/readyz"),
            advice="This page needs its token: open the whole address that saccade printed, with ?token=...",
        )  # fmt: skip
        self.streams = 0
        self._histories: dict[str, tuple[Display, History]] = {}
        self._fleet = fleet
        folder = files("saccade.service") / "static"
        self._grid = {path: ((folder / file).read_bytes(), kind) for path, (file, kind) in GRID.items()}
        self._single = {path[1:]: ((folder / file).read_bytes(), kind) for path, (file, kind) in STATIC.items()}
        self._server = HttpServer(bound, self._routes(), door=door, limits=LIMITS, name="saccade-page")
        self._run_file: Path | None = None

    @property
    def url(self) -> str:
        """Where to look, with the token that lets change things."""
        return f"{self._server.url}/?token={self.token}"

    def start(self) -> FleetPage:
        """Begin to serve, and leave word for tools."""
        self._server.start()
        self._run_file = _leave_word(self._server.url, self.token, self._fleet.file.path)
        return self

    def close(self) -> None:
        """Let all clients go and free the port."""
        run_file, self._run_file = self._run_file, None
        if run_file is not None:
            run_file.unlink(missing_ok=True)
        self._server.stop()

    def _routes(self) -> list[BaseRoute]:
        return [
            *(Route(path, self._part) for path in self._grid),
            Route("/statistics.json", self._list),
            Route("/metrics", self._metrics),
            Route("/healthz", self._health),
            Route("/readyz", self._ready),
            Route("/camera/{name}/stream.mjpeg", self._stream),
            Route("/camera/{name}/picture.jpg", self._picture),
            Route("/camera/{name}/statistics.json", self._figures),
            Route("/camera/{name}/metrics", self._metrics),
            *(Route(f"/camera/{{name}}/{path}", self._of_history(way)) for path, way in HISTORY.items()),
            Route("/camera/{name}/{part:path}", self._single_part),
            Route("/api/cameras", self._list, methods=["GET"]),
            Route("/api/cameras", self._add, methods=["POST"]),
            Route("/api/cameras/{name}", self._change, methods=["PATCH"]),
            Route("/api/cameras/{name}", self._remove, methods=["DELETE"]),
        ]

    async def _part(self, request: Request) -> Response:
        if request.url.path == "/" and "token" in query_of(request.scope):
            return keep_token(self._key if self._may_change(request) else self._server.door)
        body, kind = self._grid[request.url.path]
        return Response(body, media_type=kind)

    async def _single_part(self, request: Request) -> Response:
        self._display(request)
        part = self._single.get(request.path_params["part"])
        if part is None:
            raise RefusedError(404, "There is nothing of that name.")
        return Response(part[0], media_type=part[1])

    async def _list(self, request: Request) -> Response:
        figures = await asyncio.to_thread(self._fleet.live)
        about = {"may_change": self._may_change(request), "apps": list(APPS)}
        return Response(to_json(figures | about), media_type="application/json")

    async def _figures(self, request: Request) -> Response:
        display = self._display(request)
        figures = await asyncio.to_thread(self._fleet.live)
        name = request.path_params["name"]
        one = figures["cameras"].get(name, {})
        viewers = display.statistics().viewers
        about = {"display": {"viewers": viewers}, "ended": display.closed, "several": True, "camera": name}
        return Response(to_json(one | about), media_type="application/json")

    async def _health(self, request: Request) -> Response:
        """Whether all cameras give pictures."""
        cameras = (await asyncio.to_thread(self._fleet.summary))["cameras"]
        away = sum(camera["state"] not in ("up", "paused") for camera in cameras.values())
        text = f"{len(cameras) - away} of {len(cameras)} cameras\n"
        return Response(text, 503 if away else 200, media_type="text/plain")

    async def _metrics(self, request: Request) -> Response:
        """Of all cameras, or of one."""
        runs = await asyncio.to_thread(self._fleet.figures)
        if name := request.path_params.get("name"):
            self._display(request)
            runs = [run for run in runs if run["camera"] == name]
        return Response(prometheus_text(*runs), media_type=CONTENT_TYPE)

    async def _ready(self, request: Request) -> Response:
        """Whether the run goes on, with its cameras or without: it serves this page to its end."""
        return Response("ready\n", media_type="text/plain")

    async def _stream(self, request: Request) -> Response:
        display = self._display(request)
        if self.streams >= STREAMS:
            raise RefusedError(503, "Too many viewers; close one of the other pages.")
        return LiveStream(self, display, connection_of(request), asked_size(display, query_of(request.scope)))

    async def _picture(self, request: Request) -> Response:
        """The next picture, or, where none comes, the last there was."""
        display = self._display(request)
        width, height = asked_size(display, query_of(request.scope))
        with display.watch(width=width, height=height) as viewer:
            picture = await next_picture(viewer, connection_of(request), PICTURE_SECONDS) or viewer.newest()
        if picture is None:
            raise RefusedError(404, "There is no picture yet.")
        return Response(picture.jpeg, media_type="image/jpeg")

    def _of_history(self, way: Callable[[History, Request], Awaitable[Response]]) -> Any:
        """A route that looks back at one camera; what it remembers lasts as long as the camera runs."""

        async def answer(request: Request) -> Response:
            name, display = request.path_params["name"], self._display(request)
            if self._histories.get(name, (None,))[0] is not display:
                there = {
                    other: kept for other, kept in self._histories.items() if self._fleet.display(other) is kept[0]
                }
                self._histories = there | {name: (display, History(display, self._fleet.folder(name)))}
            return await way(self._histories[name][1], request)

        return answer

    def _display(self, request: Request) -> Display:
        display = self._fleet.display(request.path_params["name"])
        if display is None:
            raise RefusedError(404, "There is no camera of that name that runs.")
        return display

    def _may_change(self, request: Request) -> bool:
        return self._key.has_token(request.headers, query_of(request.scope))

    async def _add(self, request: Request) -> Response:
        table = await self._said(request)
        return await self._done(lambda: self._fleet.add(table, where="the new camera"))

    async def _change(self, request: Request) -> Response:
        said, name = await self._said(request), request.path_params["name"]
        paused, changes = said.get("paused"), said.get("set")
        if isinstance(paused, bool) and len(said) == 1:
            return await self._done(lambda: self._fleet.pause(name, paused=paused))
        if isinstance(changes, dict) and len(said) == 1:
            return await self._done(lambda: self._fleet.set(name, changes, where=f"camera {name}"))
        raise RefusedError(400, 'Send {"paused": true}, {"paused": false} or {"set": {"rate": 5}}.')

    async def _remove(self, request: Request) -> Response:
        self._refuse_strangers(request)
        return await self._done(lambda: self._fleet.remove(request.path_params["name"]))

    def _refuse_strangers(self, request: Request) -> None:
        if not self._may_change(request):
            raise RefusedError(401, "To change cameras takes the token: open the whole address that saccade printed.")

    async def _said(self, request: Request) -> Mapping[str, Any]:
        """The JSON object of a request."""
        self._refuse_strangers(request)
        async with body_of(request, limit=BODY_BYTES) as data:
            try:
                said = json.loads(bytes(data))
            except (ValueError, RecursionError) as error:
                raise RefusedError(400, f"This is no JSON ({error}).") from None
        if not isinstance(said, dict):
            raise RefusedError(400, "Send a JSON object.")
        return said

    async def _done(self, work: Callable[[], Any]) -> Response:
        """Do it, and say how the cameras are now; what cannot be done is refused in one line."""
        try:
            await asyncio.to_thread(work)
        except SaccadeError as error:
            raise RefusedError(400, str(error)) from None
        return Response(to_json(await asyncio.to_thread(self._fleet.summary)), media_type="application/json")


def run_folder() -> Path:
    """Where runs of this user leave word of themselves."""
    return users_folder("XDG_RUNTIME_DIR", ".local/state") / "saccade" / "running"


def _leave_word(url: str, token: str, path: str) -> Path | None:
    """A file for tools: where this process listens, and its token. None where there is no place for it."""
    word = {"pid": os.getpid(), "url": url, "token": token, "config": os.path.abspath(path)}
    try:
        file = private_folder(run_folder()) / f"{os.getpid()}.json"
        file.unlink(missing_ok=True)
        with open(file, "x", encoding="utf-8", opener=private_file) as written:
            json.dump(word, written)
    except OSError:
        return None
    return file


def running() -> Iterator[dict[str, Any]]:
    """What each run of this user that goes on has left word of: pid, url, token, config.

    The word of one that was killed is taken away.
    """
    for file in sorted(run_folder().glob("*.json")):
        try:
            word = json.loads(file.read_text(encoding="utf-8"))
            os.kill(int(word["pid"]), 0)
        except ProcessLookupError:
            with suppress(OSError):
                file.unlink()
            continue
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue
        yield word
