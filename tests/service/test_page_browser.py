"""The live page in a real Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from pages import serving

from browsing import MARKS, keep, looking, until
from conditions import wait_for
from saccade.outputs.crops import Crop
from saccade.outputs.display import Display
from saccade.service.page import LivePage
from scenes import Feeder

JPEG = simplejpeg.encode_jpeg(np.full((48, 48, 3), 90, np.uint8))

RATE = 12.0
"""Pictures a second: what they are is looked at, and a browser without a GPU draws each."""

pytestmark = MARKS


def wait_for_state(tab: Any, wanted: str) -> None:
    until(tab, f"document.querySelector('#state').innerText.trim() === {wanted!r}")


def fits(tab: Any, width: int) -> None:
    """On a screen so wide nothing of the page lies beside it."""
    tab.set_viewport_size({"width": width, "height": 844})
    until(tab, f"innerWidth === {width}")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def pixels(tab: Any) -> list[int]:
    return tab.evaluate(
        """() => { const c = document.createElement('canvas'); c.width = 64; c.height = 36;
        const g = c.getContext('2d'); g.drawImage(document.querySelector('#stream'), 0, 0, 64, 36);
        return [...g.getImageData(0, 0, 64, 36).data]; }"""
    )


@pytest.mark.parametrize(("app", "scheme"), [("faces", "dark"), ("head-pose", "light"), ("classify", "dark")])
def test_shows_stream_and_figures(browser: Any, app: str, scheme: str) -> None:
    with serving(app=app, rate=RATE) as (page, feeder), looking(browser, page.url, color_scheme=scheme) as tab:
        wait_for_state(tab, "live")
        until(tab, "document.querySelector('#stream').naturalWidth === 853")
        until(tab, "document.querySelectorAll('#rate-line path').length === 2")
        seen = set()
        for _ in range(5):
            seen.add(tuple(pixels(tab)))
            tab.wait_for_timeout(130)
        assert len(seen) > 1  # it moves
        assert float(tab.inner_text("#rate")) == pytest.approx(feeder.statistics()["fps"], rel=0.3)
        assert tab.inner_text("#age") == "13.4"
        assert tab.inner_text("#damaged") == "1"
        assert "infer" in tab.inner_text("#stages")
        assert "rtsp://camera/ch1" in tab.inner_text("#facts")
        expected = {"faces": "face\t98%", "head-pose": "Down Right", "classify": "<b>dog</b>"}[app]
        assert expected in tab.inner_text("#latest")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        keep(tab, f"{app}-{scheme}")


def test_says_when_frames_stop_and_come_back(browser: Any) -> None:
    with serving(rate=RATE) as (page, feeder), looking(browser, page.url) as tab:
        wait_for_state(tab, "live")
        wait_for(lambda: feeder.frames > 12)  # what is usual is known
        feeder.pause.set()
        wait_for_state(tab, "no new frames")
        assert "No new frame for" in tab.inner_text("#notice")
        keep(tab, "stalled")
        feeder.pause.clear()
        wait_for_state(tab, "live")
        assert tab.is_hidden("#notice")


def test_says_why_the_source_is_away_over_its_last_picture(browser: Any) -> None:
    state: dict[str, Any] = {"state": "up", "reason": "", "last_picture": 1795000000.0}
    display = Display()
    with Feeder(display.accept, RATE) as feeder:
        page = LivePage("127.0.0.1:0", display, lambda: feeder.statistics() | state).start()
        for way in ("open", "new"):
            with looking(browser, page.url) as tab:
                if way == "open":
                    wait_for_state(tab, "live")
                    until(tab, "document.querySelector('#stream').naturalWidth > 0")
                    feeder.pause.set()
                    state |= {
                        "state": "lost",
                        "reason": "rtsp://camera.example:554/stream/channels/101: silent for 30 s",
                    }
                wait_for_state(tab, "lost")
                notice = tab.inner_text("#notice")
                assert "The source is lost" in notice
                assert "silent for 30 s" in notice
                assert "last picture at" in notice
                until(tab, "document.querySelector('#stream').naturalWidth > 0")
                assert any(pixels(tab)[:3])
                until(tab, "getComputedStyle(document.querySelector('#stream')).filter === 'grayscale(1)'")
                for width in (1280, 390):
                    fits(tab, width)
                    keep(tab, f"lost-{way}-{width}")
        with looking(browser, page.url) as tab:
            wait_for_state(tab, "lost")
            state |= {"state": "up", "reason": ""}
            feeder.pause.clear()
            wait_for_state(tab, "live")
            assert tab.is_hidden("#notice")
        page.close()
    display.close()


def test_says_what_it_waits_for(browser: Any) -> None:
    display = Display()
    figures = {"frames": 0, "state": "connecting", "reason": "http://camera/: Connection refused", "last_picture": None}
    page = LivePage("127.0.0.1:0", display, lambda: figures).start()
    with looking(browser, page.url) as tab:
        wait_for_state(tab, "waiting")
        until(tab, "document.querySelector('#notice').innerText.includes('Connection refused')")
        assert "Waiting for the source" in tab.inner_text("#notice")
        keep(tab, "connecting")
    page.close()
    display.close()


def test_says_when_the_stream_has_ended(browser: Any) -> None:
    with serving(rate=RATE) as (page, _), looking(browser, page.url) as tab:
        wait_for_state(tab, "live")
        page._display.close()
        wait_for_state(tab, "ended")
        assert "The stream has ended" in tab.inner_text("#notice")


def test_says_when_saccade_has_gone_and_goes_on_when_it_is_back(browser: Any) -> None:
    display = Display()
    with Feeder(display.accept, RATE) as feeder:
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
            wait_for(lambda: display.statistics().encoded > before + 5)
        page.close()
    display.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_holds_a_moment_and_looks_back(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    for number in range(30):
        label = "<b>dog</b>" if number % 10 == 0 else "cat"
        crop = Crop(JPEG, 1795000000.0 + number, number, number + 1, 1, 0.8, 1.0, (0, 0, 9, 9), label)
        (tmp_path / crop.name).write_bytes(crop.file)
    with serving(rate=RATE, crops=tmp_path) as (page, feeder):
        size = {"width": width, "height": 844}
        with looking(browser, page.url, viewport=size, color_scheme=scheme) as tab:
            wait_for_state(tab, "live")
            shown = 24 if width > 500 else 12
            until(tab, f"document.querySelectorAll('#back a').length === {shown}")
            until(tab, "document.querySelector('#back img').naturalWidth === 48")
            tab.click("#back-older")
            until(tab, f"document.querySelectorAll('#back a').length === {min(30 - shown, shown)}")
            tab.select_option("#back-label", "<b>dog</b>")
            until(tab, "document.querySelectorAll('#back a').length === 3")
            tab.click("#hold")
            until(tab, "document.querySelector('#still').naturalWidth > 0 && !document.querySelector('#still').hidden")
            told = tab.inner_text("#latest-title")
            before = feeder.frames
            wait_for(lambda: feeder.frames > before + 15)
            assert tab.inner_text("#latest-title") == told
            assert "moment=" in tab.get_attribute("#snapshot", "href")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            keep(tab, f"back-{width}-{scheme}")
            tab.click("#hold")
            until(tab, f"document.querySelector('#latest-title').innerText !== {told!r}")
            assert tab.is_hidden("#still")


def test_nothing_is_encoded_for_a_page_out_of_sight(browser: Any) -> None:
    with serving(rate=RATE) as (page, _), looking(browser, page.url) as tab:
        wait_for_state(tab, "live")
        hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});" \
               "document.dispatchEvent(new Event('visibilitychange'))"  # fmt: skip
        tab.evaluate(hide % "true")
        wait_for(lambda: not page._display.statistics().viewers)
        tab.evaluate(hide % "false")
        until(tab, "document.querySelector('#stream').naturalWidth === 853")
        assert page._display.statistics().viewers == 1


def test_token_is_asked_for_once(browser: Any) -> None:
    with serving("0.0.0.0:0", rate=RATE) as (page, _):
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
    with serving("0.0.0.0:0", rate=RATE) as (page, _):
        base = f"http://127.0.0.1:{page.address[1]}/"
        with looking(browser, base + page.url.rpartition("/")[2], forgive="401") as tab:
            wait_for_state(tab, "live")
            tab.context.clear_cookies()
            wait_for_state(tab, "locked")


@pytest.mark.parametrize(
    ("app", "shown"),
    [
        ("detect", ["#7 person", "90%", "#1234 a class whose name"]),
        ("segment", ["road", "car", "Segments"]),
        ("heads", ["gender", "animal", "tabby cat", "<b>dog</b>"]),
    ],
)
def test_what_each_app_says_fits_a_phone(browser: Any, app: str, shown: list[str]) -> None:
    with serving(app=app, rate=RATE) as (page, _), looking(browser, page.url) as tab:
        wait_for_state(tab, "live")
        for text in shown:
            until(tab, f"document.querySelector('main').textContent.includes({text!r})")
        for name, width in (("desktop", 1280), ("phone", 390)):
            fits(tab, width)
            keep(tab, f"{app}-{name}")


def test_small_and_large_screens(browser: Any) -> None:
    with serving(rate=RATE) as (page, _):
        with looking(browser, page.url) as tab:
            wait_for_state(tab, "live")
            fits(tab, 390)
            keep(tab, "phone")
        with looking(browser, page.url, viewport={"width": 1900, "height": 1000}) as tab:
            until(tab, "document.querySelector('#stream').naturalHeight === 720")
            until(tab, "document.querySelectorAll('#rate-line path').length === 2")
            keep(tab, "large")
