"""Predict: from a picture to what a network says about it.

    picture or frame -> preprocess kernel -> request's own tensor -> network -> parser -> Result, in source px

`Predictor` is the only place that wires these. `registry` finds the parser that fits a network: by what its file says
of itself, then by its graph and the shapes of its outputs; what is ambiguous is refused. `parsers` has one module for
each family of networks. Nothing here imports OpenVINO until a network is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saccade.predict.inspect import describe
    from saccade.predict.opening import open_predictor
    from saccade.predict.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor", "describe", "open_predictor"]

_HOMES = {"Prediction": "predictor", "Predictor": "predictor", "describe": "inspect", "open_predictor": "opening"}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'saccade.predict' has no attribute {name!r}")
    return getattr(import_module(f"saccade.predict.{home}"), name)
