"""Looking back: the crops of a run's folder as events, and single moments of the stream.

    /history.json      the newest crops: ?label=, ?within= (the last s), ?before= (a name), ?limit=
    /crops/NAME        one of them
    /moment.json       the present result, and the number of the picture that shows it
    /snapshot.jpg      the present picture; ?moment= the one of that number

The folder is the memory: what an earlier run wrote is there too, and nothing is kept twice.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from saccade.outputs.crop_note import note_of
from saccade.outputs.display import Display, DrawnPicture
from saccade.outputs.events import to_json
from saccade.service.guard import query_of
from saccade.service.limits import RefusedError

NAME = re.compile(r"(\d{13})_(\d{1,12})_(\d{1,9})(-\d{1,9})?\.jpg", re.ASCII)
"""Files that `CropWriter` makes; others in the folder are none of ours."""

HEAD = 8 << 10
"""Bytes of a file in which its note lies."""

PAGE, MOST = 24, 200
"""Events in an answer, by default and at most."""

LOOKED_AT = 5000
"""Files whose notes are read for one answer: a rare class is not looked for further back."""

MOMENTS = 8
"""Pictures that can be asked for by their number."""

LARGEST_CROP = 8 << 20

EARLIEST = 1e9
"""Times below this are seconds of a recording, not of the clock."""

SETTLED_NS = 1_000_000_000
"""A folder that was changed within this time may change again without a new time stamp, ns."""


@dataclass(frozen=True, slots=True)
class KeptCrop:
    """A crop of an object. time : of its frame, s. index : 1 for a track's first crop. score : None where unknown."""

    name: str
    time: float
    track: int
    index: int
    label: str
    score: float | None


class CropFolder:
    """The crops in a folder, newest first. `find` is for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: tuple[int, list[str]] = (-1, [])
        self._known: OrderedDict[str, KeptCrop] = OrderedDict()

    def find(self, *, label: str = "", within: float | None = None, before: str = "", limit: int = PAGE) -> Any:
        """Events, whether there are older ones, and the labels among the newest files."""
        names = self._listed()
        oldest = 0.0 if within is None or not names else _present(names[0]) - within
        chosen = (name for name in names if (not before or name < before) and _time(name) >= oldest)
        seen = (one for name in islice(chosen, LOOKED_AT) if (one := self._kept(name)) is not None)
        found = list(islice((one for one in seen if not label or one.label == label), limit + 1))
        newest = (self._kept(name) for name in names[:MOST])
        labels = sorted({one.label for one in newest if one is not None and one.label} | ({label} - {""}))
        return {"events": [asdict(one) for one in found[:limit]], "more": len(found) > limit, "labels": labels}

    def read(self, name: str) -> bytes | None:
        """The file of that name, or None."""
        if not NAME.fullmatch(name):
            return None
        return _read(self.path / name, LARGEST_CROP)

    def _listed(self) -> list[str]:
        try:
            changed = self.path.stat().st_mtime_ns
            if changed != self._names[0]:
                settled = time.time_ns() - changed >= SETTLED_NS
                with os.scandir(self.path) as entries:
                    names = [entry.name for entry in entries if NAME.fullmatch(entry.name)]
                self._names = (changed if settled else -1, sorted(names, reverse=True))
        except OSError:
            return []
        return self._names[1]

    def _kept(self, name: str) -> KeptCrop | None:
        known = self._known.get(name)
        if known is not None:
            return known
        head = _read(self.path / name, HEAD)
        parts = NAME.fullmatch(name)
        if head is None or parts is None:
            return None
        note = note_of(head)
        label, score = note.get("label"), note.get("score")
        made = KeptCrop(
            name, _time(name), int(parts[2]), int(parts[3]), label[:200] if isinstance(label, str) else "",
            float(score) if isinstance(score, (int, float)) else None,
        )  # fmt: skip
        self._known[name] = made
        while len(self._known) > LOOKED_AT:
            self._known.popitem(last=False)
        return made


class History:
    """The routes. folder : of the run's crops, or None where it keeps none."""

    def __init__(self, display: Display, folder: Path | None) -> None:
        self._display = display
        self._folder = None if folder is None else CropFolder(folder)
        self._turn = asyncio.Lock()
        self._moments: OrderedDict[int, DrawnPicture] = OrderedDict()
        self._numbered = 0

    def routes(self) -> list[BaseRoute]:
        """See the module."""
        return [
            Route("/history.json", self.history),
            Route("/crops/{crop}", self.crop),
            Route("/moment.json", self.moment),
            Route("/snapshot.jpg", self.snapshot),
        ]

    async def history(self, request: Request) -> Response:
        """The newest crops."""
        if self._folder is None:
            return _json({"kept": False, "events": [], "more": False, "labels": []})
        query = query_of(request.scope)
        asked: dict[str, Any] = {"label": _first(query, "label"), "before": _first(query, "before")}
        if _first(query, "within"):
            asked["within"] = float(_number(query, "within", 10**9))
        if _first(query, "limit"):
            asked["limit"] = max(1, _number(query, "limit", MOST))
        async with self._turn:
            found = await asyncio.to_thread(lambda: self._folder.find(**asked) if self._folder else {})
        return _json({"kept": True} | found)

    async def crop(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["crop"]
        data = None if self._folder is None else await asyncio.to_thread(self._folder.read, name)
        if data is None:
            raise RefusedError(404, "there is no such crop; it may have been deleted meanwhile")
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    async def moment(self, request: Request) -> Response:
        """The present result, with a number for its picture."""
        picture = await self._picture()
        self._numbered += 1
        self._moments[self._numbered] = picture
        while len(self._moments) > MOMENTS:
            self._moments.popitem(last=False)
        event = picture.result.to_event()
        return Response(to_json({"moment": self._numbered, "event": event}), media_type="application/json")

    async def snapshot(self, request: Request) -> Response:
        """The present picture, or that of a number."""
        query = query_of(request.scope)
        if _first(query, "moment"):
            kept = self._moments.get(_number(query, "moment", 10**12))
            if kept is None:
                raise RefusedError(404, "that moment is not kept any more; ask for a new one")
            picture = kept
        else:
            picture = await self._picture()
        return Response(picture.jpeg, media_type="image/jpeg")

    async def _picture(self) -> DrawnPicture:
        """The next picture, or the last one where the source is away."""

        def take() -> DrawnPicture | None:
            with self._display.watch(width=1920, height=1080) as viewer:
                return viewer.next(1.0) or viewer.newest()

        picture = await asyncio.to_thread(take)
        if picture is None:
            raise RefusedError(503, "no picture has come yet")
        return picture


def _present(newest: str) -> float:
    """What "now" is for a folder: the clock, or the end of a recording whose times count from its beginning."""
    return time.time() if _time(newest) > EARLIEST else _time(newest)


def _time(name: str) -> float:
    return int(name[:13]) / 1e3


def _read(path: Path, most: int) -> bytes | None:
    """The beginning of a regular file; None where there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if stat.S_ISREG(os.fstat(file).st_mode):
            with os.fdopen(file, "rb", closefd=False) as stream:
                return stream.read(most)
    except OSError:
        pass
    finally:
        os.close(file)
    return None


def _first(query: Mapping[str, list[str]], name: str) -> str:
    return query.get(name, [""])[0]


def _number(query: Mapping[str, list[str]], name: str, most: int) -> int:
    text = _first(query, name)
    if not (text.isascii() and text.isdigit() and len(text) < 14):
        raise RefusedError(400, f"{name} is {text[:40]!r}; expected a whole number")
    return min(int(text), most)


def _json(value: Any) -> Response:
    return Response(to_json(value), media_type="application/json")
