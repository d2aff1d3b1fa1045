"""Live pages that are fed as by a camera, and what a server answers."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from conditions import PATIENCE
from saccade.outputs.display import Display
from saccade.service.page import LivePage
from scenes import Feeder


@contextmanager
def serving(
    address: str = "127.0.0.1:0", *, app: str = "faces", rate: float = 30.0, fed: bool = True,
    statistics: Callable[[], dict[str, Any]] | None = None, **options: Any,
) -> Iterator[tuple[LivePage, Feeder]]:  # fmt: skip
    """A page, and who feeds it, if it is fed. statistics : in place of the feeder's. options : of the page."""
    display = Display()
    with Feeder(display.accept if fed else lambda frame, result: None, rate, app) as feeder:
        page = LivePage(address, display, statistics or feeder.statistics, **options).start()
        try:
            yield page, feeder
        finally:
            page.close()
            display.close()


def fetched(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and content of an answer, whatever it is."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, dict(headers or {})), timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
