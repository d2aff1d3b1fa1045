"""What each test of an output leaves behind: nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

import cv2
import pytest


@pytest.fixture(autouse=True)
def _one_opencv_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    """Whatever a test opened it has closed: none of this room's threads outlives it."""
    yield
    deadline = monotonic() + 3
    names = ("saccade-display", "saccade-fifo", "saccade-page", "saccade-crops", "saccade-pictures")
    while left := [t.name for t in threading.enumerate() if t.name.startswith(names)]:
        assert monotonic() < deadline, f"threads still run: {left}"
        threading.Event().wait(0.02)
