"""Models: from an artifact on disk to numbers about a frame.

`load` turns any supported file into an `ov.Model`, `runner` runs it through tensors that are bound once, `tasks`
turns its outputs into result types, `catalogue` knows models that can be downloaded. A `Request` owns the memory of
its inputs and outputs; everything that leaves it as a view is valid until its next run.

Nothing here imports OpenVINO until a model is read.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.models.catalogue import pull, resolve
    from saccade.models.inspect import describe
    from saccade.models.load import read_model
    from saccade.models.runner import Model, Port, Request, open_model
    from saccade.models.spec import InputSpec
    from saccade.models.tasks import task_for

__all__ = [
    "InputSpec",
    "Model",
    "Port",
    "Request",
    "describe",
    "open_model",
    "pull",
    "read_model",
    "resolve",
    "task_for",
]

_HOMES = {
    "Model": "runner",
    "Port": "runner",
    "Request": "runner",
    "open_model": "runner",
    "read_model": "load",
    "InputSpec": "spec",
    "task_for": "tasks",
    "pull": "catalogue",
    "resolve": "catalogue",
    "describe": "inspect",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'saccade.models' has no attribute {name!r}")
    return getattr(import_module(f"saccade.models.{home}"), name)
