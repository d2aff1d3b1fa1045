"""How much is tried by tests that could go on for ever: kills at random moments, mutated files, frames, sweeps.

By default as much as shows that the thing holds. `SACCADE_EXHAUSTIVE=1` tries all of it, for a release or after a
change to what such a test is about.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

EXHAUSTIVE = os.environ.get("SACCADE_EXHAUSTIVE") == "1"


def length(usual: int, exhaustive: int, name: str = "") -> int:
    """How many, or how long; the environment variable `name`, where it is set, says so instead."""
    return (
        int(os.environ.get(name, exhaustive if EXHAUSTIVE else usual)) if name else exhaustive if EXHAUSTIVE else usual
    )


def sample(cases: Sequence[T], *usual: int) -> Sequence[T]:
    """The cases at these places; all of them in the exhaustive form."""
    return cases if EXHAUSTIVE else [cases[index] for index in usual]
