"""Fixtures that every room's tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real old models (SACCADE_CORPUS, by default ../shared); skips where it is absent."""
    shared = Path(os.environ.get("SACCADE_CORPUS", ROOT.parent / "shared"))
    if not (shared / "corpus" / "MANIFEST.tsv").is_file():
        pytest.skip(f"corpus of old models not found under {shared}; set SACCADE_CORPUS to run this test")
    return shared
