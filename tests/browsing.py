"""A real Chromium for tests of pages. SACCADE_SCREENSHOTS=FOLDER keeps what they looked like."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from conditions import PATIENCE

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
]  # fmt: skip

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (apt-get install chromium)"),
]


@contextmanager
def open_browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: test)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def looking(browser: Any, url: str, *, forgive: str = "ERR_CONNECTION_RE", **options: Any) -> Iterator[Any]:
    """A page of the browser; whatever it complains of fails the test."""
    complaints: list[str] = []
    base = url.partition("?")[0]
    options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"} | options
    context = browser.new_context(**options)
    tab = context.new_page()
    tab.set_default_timeout(15_000)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.on(
        "request",
        lambda request: None if request.url.removeprefix("blob:").startswith(base) else complaints.append(request.url),
    )
    # Not "load": that waits for the first picture of the stream.
    tab.goto(url, wait_until="domcontentloaded")
    yield tab
    context.close()
    unforgiven = [text for text in complaints if forgive not in text and "ERR_INCOMPLETE" not in text]
    assert not unforgiven, unforgiven


def keep(tab: Any, name: str) -> None:
    folder = os.environ.get("SACCADE_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=str(Path(folder) / f"{name}.png"))


def until(tab: Any, expression: str, seconds: float = PATIENCE) -> None:
    """Wait for a JavaScript expression to become true; Playwright's own way needs eval, which the page forbids."""
    end = monotonic() + seconds
    while not tab.evaluate(expression):
        assert monotonic() < end, expression
        tab.wait_for_timeout(50)
