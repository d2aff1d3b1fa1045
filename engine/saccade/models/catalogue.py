"""Models and pictures that can be downloaded by name."""

from __future__ import annotations

import os
from pathlib import Path


def resolve(name: str | os.PathLike[str]) -> Path:
    """The file that a model argument means."""
    return Path(name)
