"""The live page in a real Chromium. SACCADE_SCREENSHOTS=FOLDER keeps what it looked like."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from scenes import Feeder

from saccade.outputs.display import Display
from saccade.outputs.page import LivePage

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: test)")

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
]  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def looking(browser: Any, url: str, *, forgive: str = "ERR_CONNECTION_RE", **options: Any) -> Iterator[Any]:
    """A page of the browser; whatever it complains of fails the test."""
    complaints: list[str] = []
    options = {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"} | options
    context = browser.new_context(**options)
    tab = context.new_page()
    tab.set_default_timeout(15_000)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    tab.on(
        "request",
        lambda request: None if request.url.startswith(url.partition("?")[0]) else complaints.append(request.url),
    )
    tab.goto(url)
    yield tab
    context.close()
    assert [text for text in complaints if forgive not in text and "ERR_INCOMPLETE" not in text] == []


@contextmanager
def serving(app: str = "faces", address: str = "127.0.0.1:0") -> Iterator[tuple[LivePage, Feeder, Display]]:
    display = Display()
    with Feeder(display.accept, app=app) as feeder:
        page = LivePage(address, display, feeder.statistics).start()
        try:
            yield page, feeder, display
        finally:
            page.close()
            display.close()


def keep(tab: Any, name: str) -> None:
    folder = os.environ.get("SACCADE_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=str(Path(folder) / f"{name}.png"))


def until(tab: Any, expression: str, seconds: float = 15.0) -> None:
    """Wait for a JavaScript expression to become true; Playwright's own way needs eval, which the page forbids."""
    end = monotonic() + seconds
    while not tab.evaluate(expression):
        assert monotonic() < end, expression
        tab.wait_for_timeout(50)


def wait_for_state(tab: Any, wanted: str) -> None:
    until(tab, f"document.querySelector('#state').innerText.trim() === {wanted!r}")


def pixels(tab: Any) -> list[int]:
    return tab.evaluate(
        """() => { const c = document.createElement('canvas'); c.width = 64; c.height = 36;
        const g = c.getContext('2d'); g.drawImage(document.querySelector('#stream'), 0, 0, 64, 36);
        return [...g.getImageData(0, 0, 64, 36).data]; }"""
    )


@pytest.mark.parametrize(("app", "scheme"), [("faces", "dark"), ("head-pose", "light"), ("classify", "dark")])
def test_shows_stream_and_figures(browser: Any, app: str, scheme: str) -> None:
    with serving(app) as (page, _, _), looking(browser, page.url, color_scheme=scheme) as tab:
        wait_for_state(tab, "live")
        until(tab, "document.querySelector('#stream').naturalWidth === 853")
        until(tab, "document.querySelectorAll('#rate-line path').length === 2")
        seen = set()
        for _ in range(5):
            seen.add(tuple(pixels(tab)))
            tab.wait_for_timeout(130)
        assert len(seen) > 1  # it moves
        assert float(tab.inner_text("#rate")) == pytest.approx(30, rel=0.3)
        assert tab.inner_text("#age") == "13.4"
        assert tab.inner_text("#damaged") == "1"
        assert "infer" in tab.inner_text("#stages")
        assert "rtsp://camera/ch1" in tab.inner_text("#facts")
        expected = {"faces": "face\t98%", "head-pose": "Down Right", "classify": "<b>dog</b>"}[app]
        assert expected in tab.inner_text("#latest")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        keep(tab, f"{app}-{scheme}")


def test_says_when_frames_stop_and_come_back(browser: Any) -> None:
    with serving() as (page, feeder, _), looking(browser, page.url) as tab:
        wait_for_state(tab, "live")
        feeder.pause.set()
        wait_for_state(tab, "no new frames")
        assert "No new frame for" in tab.inner_text("#notice")
        keep(tab, "stalled")
        feeder.pause.clear()
        wait_for_state(tab, "live")
        assert tab.is_hidden("#notice")


def test_says_when_the_stream_has_ended(browser: Any) -> None:
    with serving() as (page, _, display), looking(browser, page.url) as tab:
        wait_for_state(tab, "live")
        display.close()
        wait_for_state(tab, "ended")
        assert "The stream has ended" in tab.inner_text("#notice")


def test_says_when_saccade_has_gone_and_goes_on_when_it_is_back(browser: Any) -> None:
    display = Display()
    with Feeder(display.accept) as feeder:
        page = LivePage("127.0.0.1:0", display, feeder.statistics).start()
        with looking(browser, page.url) as tab:
            wait_for_state(tab, "live")
            page.close()
            wait_for_state(tab, "not reachable")
            keep(tab, "gone")
            page = LivePage(f"127.0.0.1:{page.address[1]}", display, feeder.statistics).start()
            wait_for_state(tab, "live")
            until(tab, "document.querySelector('#stream').naturalWidth === 853")
            before = display.statistics().encoded
            sleep(0.8)
            assert display.statistics().encoded > before + 5
        page.close()
    display.close()


def test_nothing_is_encoded_for_a_page_out_of_sight(browser: Any) -> None:
    with serving() as (page, _, display), looking(browser, page.url) as tab:
        wait_for_state(tab, "live")
        hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});" \
               "document.dispatchEvent(new Event('visibilitychange'))"  # fmt: skip
        tab.evaluate(hide % "true")
        deadline = monotonic() + 5
        while display.statistics().viewers:
            assert monotonic() < deadline
            sleep(0.1)
        tab.evaluate(hide % "false")
        until(tab, "document.querySelector('#stream').naturalWidth === 853")
        assert display.statistics().viewers == 1


def test_token_is_asked_for_once(browser: Any) -> None:
    with serving(address="0.0.0.0:0") as (page, _, _):
        token = page.url.rpartition("/")[2]
        base = f"http://127.0.0.1:{page.address[1]}/"
        with looking(browser, base + token) as tab:
            wait_for_state(tab, "live")
            assert tab.url == base
            assert tab.evaluate("document.cookie") == ""
            until(tab, "document.querySelector('#stream').naturalWidth === 853")
            tab.goto(base)
            wait_for_state(tab, "live")


def test_says_when_its_token_is_old(browser: Any) -> None:
    with serving(address="0.0.0.0:0") as (page, _, _):
        base = f"http://127.0.0.1:{page.address[1]}/"
        with looking(browser, base + page.url.rpartition("/")[2], forgive="401") as tab:
            wait_for_state(tab, "live")
            tab.context.clear_cookies()
            wait_for_state(tab, "locked")


def test_small_and_large_screens(browser: Any) -> None:
    with serving() as (page, _, _):
        phone = {"width": 390, "height": 844}
        with looking(browser, page.url, viewport=phone, device_scale_factor=1) as tab:
            wait_for_state(tab, "live")
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390
            keep(tab, "phone")
        with looking(browser, page.url, viewport={"width": 1900, "height": 1000}) as tab:
            until(tab, "document.querySelector('#stream').naturalHeight === 720")
            until(tab, "document.querySelectorAll('#rate-line path').length === 2")
            keep(tab, "large")
