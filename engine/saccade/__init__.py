"""saccade: a frame-to-result inference engine for small x86 cameras and edge boxes.

Importing this package is cheap: OpenVINO, OpenCV and Numba are loaded only when something needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.capture import Capture, open_source
    from saccade.models import Model
    from saccade.pipeline import Pipeline

__all__ = ["Capture", "Model", "Pipeline", "__version__", "open_source"]

__version__ = "0.1.0"

_HOMES = {
    "Capture": "saccade.capture",
    "open_source": "saccade.capture",
    "Model": "saccade.models",
    "Pipeline": "saccade.pipeline",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'saccade' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
