"""Fixtures of the models room."""

from __future__ import annotations

from pathlib import Path

import pytest

from saccade.config import cache_dir

_USERS_CACHE = cache_dir()  # before any test sets another


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache folder."""
    monkeypatch.setenv("SACCADE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def demo() -> Path:
    """The user's cache folder with the demo models and pictures in it; skips where they were not pulled."""
    needed = [
        "models/blazeface-short.tflite", "models/blazeface-full.tflite", "models/face-mesh.tflite",
        "pictures/astronaut.png", "pictures/grace_hopper.jpg",
    ]  # fmt: skip
    if not all((_USERS_CACHE / name).is_file() for name in needed):
        pytest.skip("the demo models are not here: run `saccade models pull demo`")
    return _USERS_CACHE
