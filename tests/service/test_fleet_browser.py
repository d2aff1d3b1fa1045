"""The page of several cameras in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import simplejpeg

from browsing import MARKS, keep, looking, until
from conditions import meanwhile, wait_for
from lengths import EXHAUSTIVE
from local_s3 import free_port
from saccade.apps.cameras_file import CamerasFile
from saccade.apps.fleet import Fleet
from saccade.outputs.crops import Crop
from saccade.service.session import open_fleet
from small_networks import classifier_network

pytestmark = MARKS

SIZES = [(1280, "dark"), (390, "light")] + [(1280, "light"), (390, "dark")] * EXHAUSTIVE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="module")
def fleet(folder: Path) -> Iterator[Fleet]:
    """Two cameras that are there, one that is away and one that cannot run."""
    network = classifier_network(folder / "net.xml")
    file = folder / "cameras.toml"
    file.write_text(
        f'[defaults]\nmodel = "{network}"\nscale = 255\napp = "classify"\ndevice = "CPU"\nrate = 10\n'
        f'view = "127.0.0.1:0"\nout = "{folder}/out"\n'
        '[[camera]]\nname = "door"\nsource = "demo:"\n[[camera]]\nname = "yard"\nsource = "demo:"\n'
        f'[[camera]]\nname = "away"\nsource = "http://127.0.0.1:{free_port()}/"\n'
        '[[camera]]\nname = "none"\nsource = "/none.avi"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        patch.setattr("saccade.apps.costs.cache_dir", lambda: folder)
        fleet = open_fleet(CamerasFile(str(file)))
        with meanwhile(fleet.run):
            yield fleet
            fleet.stop()


@pytest.fixture(autouse=True)
def no_thread_stays() -> None:
    """Those of the fleet last as long as it does."""


def of(name: str, rest: str = "") -> str:
    return f"[data-camera={name!r}] {rest}".strip()


def shows(tab: Any, name: str) -> None:
    until(tab, f'document.querySelector("{of(name, "img")}")?.naturalWidth > 0')


def test_all_cameras_are_shown_and_absent_ones_say_why(browser: Any, fleet: Fleet) -> None:
    for width, scheme in SIZES:
        size = {"width": width, "height": 2000}
        with looking(browser, fleet.page_url, viewport=size, color_scheme=scheme) as tab:
            shows(tab, "door")
            shows(tab, "yard")
            until(tab, f"document.querySelector(\"{of('away', '.notice')}\").innerText.includes('refused')")
            assert "Waiting for the camera" in tab.inner_text(of("away", ".notice"))
            notice = tab.inner_text(of("none", ".notice"))
            assert "This camera does not run" in notice
            assert "/none.avi" in notice
            assert tab.get_attribute(of("none", ".shot"), "href") is None
            broken = "[...document.images].filter((i) => i.checkVisibility() && !i.naturalWidth).length"
            assert tab.evaluate(broken) == 0, "no picture is shown that there is not"
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.inner_text("#state") == "2 of 4 live"
            keep(tab, f"grid-{width}-{scheme}")


def test_only_what_is_seen_is_drawn_at_its_size(browser: Any, fleet: Fleet) -> None:
    asked: list[tuple[str, int]] = []

    def note(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.path.endswith("/picture.jpg"):
            asked.append((parts.path.split("/")[2], int(parse_qs(parts.query)["height"][0])))

    with looking(browser, fleet.page_url, viewport={"width": 390, "height": 320}) as tab:
        tab.on("request", note)
        shows(tab, "door")
        wait_for(lambda: tab.wait_for_timeout(50) or len(asked) > 5)
        height = tab.evaluate(f'document.querySelector("{of("door", ".shot")}").clientHeight')
        assert set(asked) == {("door", height)}, "the second camera lies below the window"
        tab.locator(of("yard")).scroll_into_view_if_needed()
        shows(tab, "yard")
        assert {name for name, _ in asked} == {"door", "yard"}


def test_who_has_no_token_looks_only(browser: Any, fleet: Fleet) -> None:
    with looking(browser, fleet.page_url.partition("?")[0]) as tab:
        shows(tab, "door")
        assert tab.is_hidden(of("door", "button"))
        assert tab.is_hidden("#add")


def test_cameras_pause_and_come_from_the_page(browser: Any, fleet: Fleet) -> None:
    with looking(browser, fleet.page_url, forgive="400") as tab:
        shows(tab, "door")
        tab.click(of("door", "button"))
        until(tab, f"document.querySelector(\"{of('door', '.notice')}\").innerText.includes('Paused')")
        assert fleet.summary()["cameras"]["door"]["state"] == "paused"
        keep(tab, "paused")
        tab.click(of("door", "button"))
        until(tab, f"document.querySelector(\"{of('door')}\").dataset.state === 'up'")
        tab.click("#add summary")
        tab.fill("[name=name]", "Yard")
        tab.fill("[name=source]", "demo:")
        tab.click("#new button")
        until(tab, "document.querySelector('#refused').innerText.includes('2 cameras are called yard')")
        keep(tab, "refused")
        tab.fill("[name=name]", "new")
        tab.fill("[name=rate]", "3")
        tab.select_option("[name=app]", "classify")
        tab.click("#new button")
        shows(tab, "new")
        assert tab.is_hidden("#refused")
        assert fleet.summary()["cameras"]["new"]["rate"] == 3
    fleet.remove("new")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_one_camera_is_shown_large_and_looks_back(
    browser: Any, fleet: Fleet, folder: Path, width: int, scheme: str
) -> None:
    jpeg = simplejpeg.encode_jpeg(np.full((48, 48, 3), 90, np.uint8))
    for camera, label in (("door", "cat"), ("yard", "dog")):
        crop = Crop(jpeg, 1795000000.0, 1, 1, 1, 0.8, 1.0, (0, 0, 9, 9), label)
        (folder / "out" / camera).mkdir(parents=True, exist_ok=True)
        (folder / "out" / camera / crop.name).write_bytes(crop.file)
    url, size = fleet.page_url, {"width": width, "height": 844}
    with looking(browser, url, viewport=size, color_scheme=scheme) as tab:
        shows(tab, "door")
        tab.click(of("door", ".shot"))
        until(tab, "document.querySelector('#stream')?.naturalWidth > 0")
        until(tab, "document.querySelector('#state').innerText.trim() === 'live'")
        until(tab, "document.querySelector('#back img')?.naturalWidth === 48")
        assert "cat" in tab.inner_text("#back")
        assert "dog" not in tab.inner_text("#back")
        assert "camera door" in tab.inner_text("#facts")
        tab.click("#hold")
        until(tab, "document.querySelector('#still').naturalWidth > 0 && !document.querySelector('#still').hidden")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        keep(tab, f"large-{width}-{scheme}")
        tab.click("#all")
        shows(tab, "yard")
