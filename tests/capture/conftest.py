"""Fixtures of the capture tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from capture_tools import scene

from conditions import wait_for
from saccade.capture import jpeg


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    wait_for(lambda: not [t for t in threading.enumerate() if t not in before and t.name.startswith("saccade")])


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """16 JPEG pictures of 640x360."""
    return [jpeg.encode(scene(360, 640, index)) for index in range(16)]
