"""`saccade cloud` and `saccade serve`: what a person may type wrong, and a short run of the whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saccade.cli import main

from .conftest import LAMBDAS


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["cloud", "local", "--page", "nowhere"], "--page is 'nowhere'; expected HOST:PORT"),
        (["cloud", "local", "--processes", "0"], "--processes must be 1 or more"),
        (["cloud", "local", "--lambdas", "/nowhere"], "no template.yaml in /nowhere"),
        (["cloud", "build", "--lambdas", "/nowhere"], "no template.yaml in /nowhere"),
        (["cloud", "deploy", "--set", "RowDays"], "--set RowDays: expected NAME=VALUE"),
        (["cloud", "zip", "a.jpg", "--local", "--endpoint", "http://127.0.0.1:9"],
         "--endpoint http://127.0.0.1:9 contradicts --local"),
        (["cloud", "zip", "a.jpg", "--local", "--stack", "other"], "--stack other contradicts --local"),
        (["cloud", "zip", "a.jpg", "--local", "--region", "eu-west-1"], "--region eu-west-1 contradicts --local"),
        (["cloud", "zip", "a.jpg", "--local", "--profile", "me"], "--profile me contradicts --local"),
        (["cloud", "zip", "a.jpg", "--lambdas", "there"], "--lambdas there: only --local runs functions of a folder"),
        (["device", "deploy", "door", "--dry-run", "--cameras", "c.toml", "--set", "source=demo:"],
         "--set source contradicts --cameras c.toml"),
        (["serve", "--address", "nowhere"], "--address is 'nowhere'; expected HOST:PORT"),
        (["serve", "--requests", "0"], "--requests: got 0; expected a whole number of at least 1"),
        (["serve"], "no model: give --model"),
        (["serve", "--model", "/nowhere.onnx"], "/nowhere.onnx"),
        (["run", "faces", "--model", "http://127.0.0.1:9"], "does not answer"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saccade.networks.remote.BACK_OFF", 0.0)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "action",
    [["cloud", "status", "--profile", "nobody"], ["cloud", "endpoint", "status", "A"], ["device", "remove", "a/b"],
     ["cloud", "endpoint", "pack", "/nowhere.onnx"], ["device", "register", "a/b"]],
)  # fmt: skip
def test_a_folder_of_functions_that_changes_nothing_is_told(
    action: list[str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main([*action, "--lambdas", "there"]) == 2  # for what else is wrong
    assert "--lambdas there changes nothing here" in caplog.text
    caplog.clear()
    assert main(action) == 2
    assert "lambdas" not in caplog.text + capsys.readouterr().err.split("saccade", 1)[1]
    with pytest.raises(SystemExit):
        main([*action, "--help"])
    assert "--lambdas" not in capsys.readouterr().out


@pytest.mark.parametrize("text", ["nan", "-1", "inf", "many"])
def test_costs_are_of_numbers_from_0_on(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["cloud", "deploy", f"--cameras={text}"])
    assert f"--cameras: got '{text}'; expected a number from 0 on" in capsys.readouterr().err


def test_a_source_that_cannot_be_opened_ends_the_run(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # What an earlier run in this folder has left says nothing of this one.
    (tmp_path / "summary.json").write_text(json.dumps({"cameras": {"camera-1": {"spool": {"written": 7}}}}))
    arguments = ["cloud", "local", "--page", "127.0.0.1:0", "--folder", str(tmp_path), "--summary", "-"]
    assert main([*arguments, "--source", str(tmp_path / "missing.mp4")]) == 2
    said = capfd.readouterr()
    assert "the camera process failed" in said.err
    assert '"spooled": 7' not in said.out


def test_a_run_of_pictures_ends_by_itself_with_a_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], proxied: list[str]
) -> None:
    from saccade.networks.catalogue import pull

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("demo-astronaut", "demo-hopper"):
        (path,) = pull(name)
        (pictures / path.name).write_bytes(path.read_bytes())
    summary = tmp_path / "summary.json"
    arguments = ["cloud", "local", "--page", "127.0.0.1:0", "--source", str(pictures), "--summary", str(summary)]
    assert main([*arguments, "--lambdas", str(LAMBDAS), "--folder", str(tmp_path / "kept")]) == 0
    figures = json.loads(summary.read_text())
    assert figures["faces"] == figures["pictures"] == figures["sent"] == 2
    (camera,) = figures["cameras"].values()
    assert camera["spooled"] == camera["in_bucket"] == 2
    assert (camera["left"], figures["messages_left"], figures["unanswered"]) == (0, 0, [])
    assert figures["emotions"] == {"HAPPY": 1, "CALM": 1}
    assert figures["dead_letters"] == 0
    said = capsys.readouterr().out
    assert "2 crops in" in said
    assert "camera-1: 2 crops spooled, 2 in the bucket, 0 still to be sent" in said
    assert (tmp_path / "kept" / "saccade-rekognize-emotions.log").is_file()
    assert proxied == [], "nothing of it is the world's"


@pytest.mark.parametrize(
    ("said", "direct"), [({}, "localhost,127.0.0.1,box"), ({"NO_PROXY": "a,b"}, "a,b,localhost,127.0.0.1,box"),
                         ({"no_proxy": "*", "NO_PROXY": "a"}, "*,localhost,127.0.0.1,box")]
)  # fmt: skip
def test_cameras_keep_what_the_environment_says_of_proxies(said: dict[str, str], direct: str) -> None:
    from saccade.deploy.demo import direct_hosts

    assert direct_hosts(said, "http://box:1234") == direct
