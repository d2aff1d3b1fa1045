"""Fixtures of the formats room."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _own_cache(own_cache: None) -> None:
    """No test reads or writes the user's cache folder."""
