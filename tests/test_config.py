"""One declaration fills options, environment and TOML file."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.config import (
    ResizeName,
    RunConfig,
    check_variables,
    did_you_mean,
    options_of,
    resolve,
)
from saccade.config.commands import ScriptConfig, ServeConfig
from saccade.config.variables import BUILDING, OTHERS
from saccade.errors import ConfigError
from saccade.networks.spec import Resize

ROOT = Path(__file__).parents[1]


def test_later_layers_win_and_every_value_knows_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "saccade.toml"
    file.write_text('source = 0\nthreshold = 0.7\nmean = [104, 117, 123]\nrealtime = false\nmax-pixels = "1000"\n')
    found = resolve(
        RunConfig, file=file, environ={"SACCADE_SOURCE": "1", "SACCADE_FRAMES": "5", "PATH": "/bin"},
        given={"frames": "6", "wait": "false"},
    )  # fmt: skip
    config, origins = found.config, found.origins
    assert (config.source, config.threshold, config.mean, config.realtime) == ("1", 0.7, (104.0, 117.0, 123.0), False)
    assert (config.frames, config.wait, config.max_pixels, config.device) == (6, False, 1000, "AUTO")
    assert [origins[name] for name in ("source", "threshold", "max_pixels", "frames", "wait", "device")] == [
        "SACCADE_SOURCE", f"{file}: threshold", f"{file}: max-pixels", "--frames", "--no-wait", "default",
    ]  # fmt: skip
    assert resolve(RunConfig, environ={"SACCADE_CONFIG": str(file)}).config.threshold == 0.7
    emptied = resolve(RunConfig, file=file, environ={"SACCADE_THRESHOLD": ""}).config
    assert emptied.threshold is None, "an empty variable takes back what the file says"
    with pytest.raises(ConfigError, match="SACCADE_SOURCE: source: got ''; expected a camera"):
        resolve(RunConfig, environ={"SACCADE_SOURCE": ""})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "TPU"}, "device: got 'TPU'; expected one of AUTO, CPU, GPU"),
        ({"threshold": 1.5}, "expected a probability from 0 to 1"),
        ({"frames": 0}, "frames: got 0; expected a whole number of at least 1"),
        ({"requests": 17}, "expected at most 16"),
        ({"seconds": float("nan")}, "expected a positive number of seconds"),
        ({"mean": (1.0, 2.0)}, "mean: got 1,2; expected one number, or three"),
        ({"pad": 256}, "pad: got 256; expected a grey level"),
        ({"resize": "leterbox"}, "resize: got 'leterbox'; expected one of stretch, letterbox.*did you mean letterbox"),
        ({"scale": (0.0,)}, "expected positive divisors"),
        ({"rate": 1000.0}, "rate: got 1000; expected pictures a second, above 0 and up to 240"),
        ({"margin": -1.0}, "margin: got -1; expected zero or more"),
    ],
)
def test_values_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(**changes)  # type: ignore[arg-type]


def test_lists_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "saccade.toml"
    file.write_text('classes = ["tench, Tinca tinca", "cat"]\ninput-shape = ["a:1,3,8,8", "b:1,3"]\n')
    config = resolve(RunConfig, file=file).config
    assert config.classes == ("tench, Tinca tinca", "cat"), "a list says where a name ends"
    assert config.input_shape == "a:1,3,8,8;b:1,3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frames = 'many'", "frames: got 'many'; expected a whole number"),
        ("speed = 3", "unknown option 'speed'; `saccade config show --all` lists"),
        ("treshold = 0.5", "unknown option 'treshold'; did you mean threshold?"),
        ("every-frame = true", "unknown option 'every-frame'; write realtime = false"),
        ("frames = ", "not valid TOML"),
        ("source = true", "source: got True; expected text"),
        ("view = { port = 80 }", "view: got {'port': 80}; expected text"),
        ("device = ['CPU']", "device: got"),
        ("frames = 2.5", "frames: got '2.5'; expected a whole number"),
        ("insecure = 'maybe'", "insecure: got 'maybe'; expected true or false"),
        ("insecure = true\nca = 'x.pem'", "takes any certificate"),
        ("pictures = 5", "names? it with out|name it with out"),
        ("events = '-'\nsummary = '-'", "would mix on standard output"),
        ("events = 'a'\nsummary = 'a'", "both write to a"),
        ("source = 'a'\nevents = 'a'", "would be written over the source"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.toml") as caught:
        resolve(RunConfig, file=file)
    assert re.search(message, str(caught.value)) or message in str(caught.value)
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        resolve(RunConfig, file=tmp_path / "nowhere.toml")


def test_variables_of_ours_that_mean_nothing_are_refused_with_what_was_meant() -> None:
    for name, hint in (
        ("SACCADE_TRESHOLD", "did you mean SACCADE_THRESHOLD?"), ("SACCADE_SORCE", "did you mean SACCADE_SOURCE?"),
        ("SACCADE_QQQ", "saccade config show --all"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=name) as caught:
            resolve(RunConfig, environ={name: "1"})
        assert hint in str(caught.value)
    with pytest.raises(ConfigError, match="environment variable SACCADE_THRESHOLD: threshold: got 'x'"):
        resolve(RunConfig, environ={"SACCADE_THRESHOLD": "x"})
    # One environment serves all commands.
    assert resolve(ServeConfig, environ={"SACCADE_FIFO": "/tmp/x", "SACCADE_MODEL": "m"}).config.model == "m"


def test_every_variable_that_the_project_reads_is_known() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not files:
        pytest.skip("not a checkout of the repository")
    # What a text only speaks of, as SACCADE_NAME, is not read.
    read = re.compile(r"""(?:environ(?:\.get)?[([]|getenv\(|Environment=|^)\s*["']?(SACCADE_[A-Z_]+)""", re.M)
    names = {
        name
        for file in files
        if file.endswith((".py", ".sh", ".service", ".yaml")) and (ROOT / file).is_file()
        for name in read.findall((ROOT / file).read_text(encoding="utf-8"))
    }
    assert names
    check_variables(names)
    assert not [name for name in OTHERS if name.removeprefix("SACCADE_").startswith(BUILDING)]


@pytest.mark.parametrize("kind", [RunConfig, ServeConfig, ScriptConfig])
def test_what_a_value_is_shown_as_is_read_again_as_the_same(kind: type[RunConfig]) -> None:
    for option in options_of(kind).values():
        assert option.help
        assert option.section
        if option.default not in (None, (), ""):
            assert option.parse(option.shown(option.default)) == option.default
        for choice in option.choices:
            assert option.parse(choice) == choice


@given(text=st.text(max_size=40), name=st.sampled_from(sorted(options_of(RunConfig))))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_value_or_one_line(text: str, name: str) -> None:
    problem = ""
    try:
        resolve(RunConfig, environ={f"SACCADE_{name.upper()}": text})
    except ConfigError as error:
        problem = str(error)
    assert not problem or name in problem.lower()
    assert "\n" not in problem


def test_passwords_are_not_shown() -> None:
    source, publish = options_of(RunConfig)["source"], options_of(RunConfig)["publish"]
    assert source.shown("rtsp://me:hunter2@cam/1") == "rtsp://cam/1 (password not shown)"
    assert "hunter2" not in publish.shown(("mqtts://me:hunter2@broker:8883?ca=f",))
    assert source.shown("/dev/video0") == "/dev/video0"


def test_a_suggestion_is_near_or_none() -> None:
    assert did_you_mean("MAX-PIXEL", ["max_pixels", "margin"]) == "; did you mean max_pixels?"
    assert did_you_mean("x", ["max_pixels"], "; none") == "; none"


def test_every_option_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for option in options_of(RunConfig).values():
        rows = [line.split(" | ", 3) for line in page.splitlines() if f"| `{option.variable}` |" in line]
        assert len(rows) == 1, f"docs/configuration.md lacks {option.name}"
        ((flags, _, default, says),) = rows
        assert flags.startswith(f"| `{option.flag}")
        assert (default.strip(" `"), says.startswith(option.help)) == (option.shown(option.default), True), says
    for name in OTHERS:
        assert name in page


def test_ways_to_bring_a_picture_to_size_are_those_of_the_input() -> None:
    assert set(get_args(ResizeName)) == {"", *get_args(Resize)}


def test_configuration_costs_a_start_nothing() -> None:
    code = "import sys, saccade.config; print(len({'numpy', 'cv2', 'pydantic', 'boto3', 'av'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "engine")}
    assert subprocess.check_output(["python3", "-c", code], text=True, env=environment).strip() == "0"


def test_options_are_fields_with_their_declaration() -> None:
    assert set(options_of(RunConfig)) == {field.name for field in dataclasses.fields(RunConfig)}
