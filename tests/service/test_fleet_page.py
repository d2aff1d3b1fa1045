"""The page of several cameras and the commands that change them, over real sockets."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import simplejpeg

from conditions import PATIENCE, meanwhile, wait_for
from saccade.apps.cameras_file import CamerasFile
from saccade.apps.fleet import Fleet
from saccade.cli import main
from saccade.errors import OutputError
from saccade.service.fleet import FleetPage, run_folder, running
from saccade.service.session import open_fleet
from small_networks import classifier_network

pytestmark = pytest.mark.usefixtures("own_costs")


@pytest.fixture
def fleet(tmp_path: Path, own_costs: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    network = classifier_network(tmp_path / "net.xml")
    file = tmp_path / "cameras.toml"
    file.write_text(
        f'[defaults]\nmodel = "{network}"\nscale = 255\napp = "classify"\ndevice = "CPU"\nrate = 10\n'
        'view = "127.0.0.1:0"\n'
        '[[camera]]\nname = "a"\nsource = "demo:"\n[[camera]]\nname = "b"\nsource = "demo:"\n'
    )
    fleet = open_fleet(CamerasFile(str(file)))
    with meanwhile(fleet.run):
        yield fleet
        fleet.stop()
    assert not list(run_folder().iterdir()), "the run takes its word back"


def ask(page: FleetPage, method: str, path: str, said: Any = None, **headers: str) -> tuple[int, bytes]:
    parts = urlsplit(page.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    connection.request(method, path, None if said is None else json.dumps(said), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_an_address_that_somebody_has_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OutputError, match=f"{address}: the port is already in use; give another address"):
            FleetPage(address, None)  # type: ignore[arg-type]  # it is not looked at


def test_a_page_that_nobody_asked_for_shows_nothing_to_others_on_this_machine() -> None:
    page = FleetPage("", None)  # type: ignore[arg-type]  # it is not looked at
    try:
        page._server.start()
        for path in ("/", "/statistics.json", "/metrics", "/camera/a/picture.jpg", "/api/cameras"):
            assert ask(page, "GET", path)[0] == 401, path
            assert ask(page, "GET", path, Authorization="Bearer wrong")[0] == 401, path
        assert ask(page, "GET", "/readyz") == (200, b"ready\n")
        assert ask(page, "GET", "/", Authorization=f"Bearer {page.token}")[0] == 200
    finally:
        page.close()


def test_figures_are_of_each_camera(fleet: Fleet) -> None:
    page = fleet.page
    assert isinstance(page, FleetPage)
    wait_for(lambda: ask(page, "GET", "/healthz")[0] == 200)
    assert ask(page, "GET", "/readyz") == (200, b"ready\n")
    text = ask(page, "GET", "/metrics")[1].decode()
    assert 'saccade_up{camera="a"} 1.0\nsaccade_up{camera="b"} 1.0\n' in text
    assert text.count("# TYPE saccade_stage_seconds histogram") == 1
    wait_for(lambda: 'saccade_fates_total{camera="b",reason="served"}' in ask(page, "GET", "/metrics")[1].decode())
    one = ask(page, "GET", "/camera/a/metrics")[1].decode()
    assert 'saccade_up{camera="a"} 1.0\n' in one
    assert 'camera="b"' not in one
    for path in ("history.json", "snapshot.jpg", "moment.json"):
        assert ask(page, "GET", f"/camera/a/{path}")[0] == 200
    assert ask(page, "GET", "/camera/a/crops/1_1_1.jpg")[0] == ask(page, "GET", "/camera/none/history.json")[0] == 404


def test_anybody_here_looks_and_only_the_token_changes(fleet: Fleet) -> None:
    page = fleet.page
    assert isinstance(page, FleetPage)
    (word,) = run_folder().iterdir()
    assert stat.S_IMODE(word.stat().st_mode) == 0o600
    picture = "/camera/a/picture.jpg?height=240"
    wait_for(lambda: ask(page, "GET", picture)[0] == 200)
    _, body = ask(page, "GET", picture)
    assert simplejpeg.decode_jpeg_header(body)[0] == 240
    assert fleet.display("b").statistics().encoded == 0  # type: ignore[union-attr]
    for path in ("/", "/cameras.js", "/cameras.css", "/camera/a/", "/camera/a/page.js", "/camera/a/statistics.json"):
        assert ask(page, "GET", path)[0] == 200, path
    assert set(json.loads(ask(page, "GET", "/api/cameras")[1])["cameras"]) == {"a", "b"}
    assert ask(page, "GET", "/camera/none/picture.jpg")[0] == 404
    key = {"Authorization": f"Bearer {page.token}"}
    for method, path, said in (
        ("PATCH", "/api/cameras/a", {"paused": True}),
        ("POST", "/api/cameras", {"source": "demo:"}),
        ("DELETE", "/api/cameras/a", None),
    ):
        assert ask(page, method, path, said)[0] == 401
        assert ask(page, method, path, said, Authorization="Bearer wrong")[0] == 401
        assert ask(page, method, path, said, Origin="http://elsewhere", **key)[0] == 403
    for said in ({"paused": "yes"}, {"set": 3}, [1], {"paused": True, "set": {}}, {}):
        assert ask(page, "PATCH", "/api/cameras/a", said, **key)[0] == 400
    assert set(fleet.summary()["cameras"]) == {"a", "b"}
    assert ask(page, "PATCH", "/api/cameras/a", {"paused": True}, **key)[0] == 200
    assert fleet.summary()["cameras"]["a"]["state"] == "paused"


def test_the_word_of_a_run_that_was_killed_is_no_run(fleet: Fleet) -> None:
    killed = subprocess.Popen(["true"])
    killed.wait(PATIENCE)
    word = run_folder() / f"{killed.pid}.json"
    word.write_text(json.dumps({"pid": killed.pid, "url": "http://127.0.0.1:9", "token": "t", "config": "c.toml"}))
    assert [found["pid"] for found in running()] == [os.getpid()]
    assert not word.exists()


def test_commands_change_the_run(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    def cameras(*words: str) -> int:
        return main(["cameras", *words])

    assert cameras("add", "name=new", "source=demo:", "rate=3", "weight=2") == 0
    wait_for(lambda: fleet.summary()["cameras"]["new"]["frames"])
    assert cameras("set", "new", "rate=7") == cameras("pause", "a") == cameras("remove", "b") == 0
    capsys.readouterr()
    assert cameras("list") == 0
    table = capsys.readouterr().out
    assert "new" in table
    assert "paused" in table
    assert fleet.summary()["cameras"]["new"]["rate"] == 7
    assert set(fleet.summary()["cameras"]) == {"a", "new"}
    assert cameras("resume", "a") == 0
    assert main(["why", "--json"]) == 0
    why = json.loads(capsys.readouterr().out)
    assert set(why["cameras"]) == {"a", "new"}
    assert why["bound"] in ("unknown", "budget", "others", "decode", "inference", "rest", "device", "camera")
    assert main(["why"]) == 0
    assert "bound by" in capsys.readouterr().out
    assert cameras("forget", "a") == 2
    assert "camera a runs" in capsys.readouterr().err
    for words, fault in (
        (("set", "new", "rate=0"), "rate"),
        (("set", "new", "rate"), "expected KEY=VALUE"),
        (("pause", "nwe"), "did you mean new"),
        (("add", "name=a", "source=demo:"), "2 cameras are called a"),
        (("list", "--config", "other.toml"), "no run of other.toml goes on here"),
    ):
        assert cameras(*words) == 2
        said = capsys.readouterr().err
        assert fault in said
        assert said.count("\n") == 1
