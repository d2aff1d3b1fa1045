"""One declaration fills options, environment and TOML file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from saccade.config import RunConfig, from_environment, from_file, parse_value
from saccade.errors import ConfigError


def test_environment_sets_any_field() -> None:
    config = from_environment(
        {"SACCADE_SOURCE": "rtsp://camera", "SACCADE_FRAMES": "5", "SACCADE_SCALE": "255", "SACCADE_REALTIME": "yes"}
    )
    assert (config.source, config.frames, config.scale, config.realtime) == ("rtsp://camera", 5, (255.0,), True)
    assert config.threshold == RunConfig().threshold


def test_a_file_is_overridden_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "saccade.toml"
    file.write_text('source = "0"\nthreshold = 0.7\nmean = [104, 117, 123]\nrealtime = false\n')
    config = from_environment({"SACCADE_SOURCE": "1"}, from_file(file))
    assert (config.source, config.threshold, config.mean, config.realtime) == ("1", 0.7, (104.0, 117.0, 123.0), False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "TPU"}, "device: got 'TPU'; expected one of AUTO, CPU, GPU"),
        ({"threshold": 1.5}, "expected a probability from 0 to 1"),
        ({"frames": 0}, "frames: got 0; expected a whole number of at least 1"),
        ({"requests": 17}, "expected at most 16"),
        ({"seconds": 0.0}, "expected a positive number of seconds"),
        ({"seconds": float("nan")}, "expected a positive number of seconds"),
        ({"mean": (1.0, 2.0)}, "mean: got 2 numbers"),
        ({"scale": (0.0,)}, "expected positive divisors"),
    ],
)
def test_values_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        RunConfig(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frames = 'many'", "frames: got 'many'; expected a whole number"),
        ("speed = 3", "unknown option 'speed'; expected one of"),
        ("frames = ", "not valid TOML"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.toml") as caught:
        from_file(file)
    assert message in str(caught.value)
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        from_file(tmp_path / "nowhere.toml")


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="environment variable SACCADE_THRESHOLD: threshold: got 'x'"):
        from_environment({"SACCADE_THRESHOLD": "x"})


def test_every_field_can_be_parsed_and_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(RunConfig):
        assert field.metadata["help"]
        assert f"`--{field.name.replace('_', '-')}" in page, f"docs/configuration.md lacks {field.name}"
        parse_value(field.name, "1")
