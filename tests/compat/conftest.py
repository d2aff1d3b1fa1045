"""Fixtures of the old world's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from script_runs import Device


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """A folder of artifacts and a way to run scripts on it."""
    return Device(tmp_path)
