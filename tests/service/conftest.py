"""What each test of a server leaves behind: nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from browsing import open_browser
from conditions import wait_for


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """None of this room's threads outlives the test that started it."""
    before = set(threading.enumerate())
    yield
    names = ("saccade-display", "saccade-page", "saccade-http")
    wait_for(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith(names)])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; skips where there is none."""
    with open_browser() as browser:
        yield browser
