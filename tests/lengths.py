"""How much is tried by tests that could go on for ever: kills at random moments, mutated files, frames in a row.

By default as much as shows that the thing holds. `SACCADE_EXHAUSTIVE=1` tries all of it, before a release or after a
change to what such a test is about.
"""

from __future__ import annotations

import os

EXHAUSTIVE = os.environ.get("SACCADE_EXHAUSTIVE") == "1"


def length(usual: int, exhaustive: int, name: str = "") -> int:
    """How many, or how long; the environment variable `name`, where it is set, says so instead."""
    said = os.environ.get(name) if name else None
    return int(said) if said else exhaustive if EXHAUSTIVE else usual
