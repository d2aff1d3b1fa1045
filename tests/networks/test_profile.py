"""Profiles are files that people can edit and disks can damage: one that is none is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from saccade.networks.profile import FILE, folder_for, profile_for, read_profile

WHOLE = {
    "format": 1, "model": "net", "path": "/net.xml", "digest": "d", "device": "CPU", "ran_on": "CPU", "processor": "p",
    "versions": {}, "precision": "f32", "inputs": {}, "source": "s", "frames": 1, "frames_digest": "", "accept": 0.9,
    "pixels": "", "agreement": 1, "score_difference": 0.0, "made": "now", "threads": None, "in_f32": ["a"],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"versions": []}, {"quantised": ["a"]}, {"made": 3}, {"agreement": "x"}, {"in_f32": 5}, {"tried": 1},
        {"digest": None}, {"path": 7}, {"speed": None}, {"ran_on": []}, {"threads": "2"}, {"format": 2},
    ],
    ids=str,
)  # fmt: skip
def test_values_of_another_type(change: dict[str, Any], tmp_path: Path) -> None:
    file = folder_for("net", tmp_path) / "CPU-0" / FILE
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(WHOLE))
    assert read_profile(file) is not None
    file.write_text(json.dumps(WHOLE | change))
    assert read_profile(file) is None
    assert profile_for(tmp_path / "net.xml", "net", "CPU", cache=tmp_path) == (None, "")


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "{}", "\0"], ids=lambda text: text[:4])
def test_files_that_are_no_profile(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    assert read_profile(tmp_path / FILE) is None
