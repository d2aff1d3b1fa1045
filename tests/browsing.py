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
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--disable-features=BackForwardCache",
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
def looking(
    browser: Any, url: str, *, forgive: str = "ERR_CONNECTION_RE", viewport: Any = None, color_scheme: str = "dark"
) -> Iterator[Any]:
    """A page of the browser; whatever it complains of fails the test.

    All are shown one after the other in one tab, as a process of Chromium for each costs a second of computing. Nothing
    is left in it of the pages before.
    """
    complaints: list[str] = []
    base = url.partition("?")[0]
    if not browser.contexts:
        browser.new_context().new_page().set_default_timeout(PATIENCE * 1000)
    tab = browser.contexts[0].pages[0]
    tab.set_viewport_size(viewport or {"width": 1280, "height": 800})
    tab.emulate_media(color_scheme=color_scheme)
    listeners: dict[str, Any] = {
        "pageerror": lambda error: complaints.append(str(error)),
        "console": lambda message: complaints.append(message.text) if message.type == "error" else None,
        "request": lambda request: (
            None if request.url.removeprefix("blob:").startswith(base) else complaints.append(request.url)
        ),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    # Not "load": that waits for the first picture of the stream.
    tab.goto(url, wait_until="domcontentloaded")
    yield tab
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    tab.evaluate("localStorage.clear(); sessionStorage.clear()")
    tab.goto("about:blank")
    tab.context.clear_cookies()
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
