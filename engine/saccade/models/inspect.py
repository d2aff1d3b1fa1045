"""What a model file is, for `saccade inspect`."""

from __future__ import annotations

import os
from typing import Any


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Format, version, inputs, outputs and layers of a model file, and whether it runs."""
    return {"path": str(path)}
