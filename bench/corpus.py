"""Where the files are that some benchmarks need and that are no part of this repository."""

from __future__ import annotations

import os
from pathlib import Path


def corpus() -> Path:
    """Folder of models and pictures: SACCADE_CORPUS, or one beside the repository."""
    return Path(os.environ.get("SACCADE_CORPUS", Path(__file__).resolve().parents[2] / "shared"))
