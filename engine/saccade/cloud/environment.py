"""Numbers of a deployment, from a function's environment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

Number = TypeVar("Number", int, float)


def number(environment: Mapping[str, str], name: str, default: Number, *, least: int = 0) -> Number:
    """A variable as a number of the default's kind; where it is not set, or empty, the default.

    Raises ValueError, which names the variable, for what is no number of at least `least`.
    """
    text = environment.get(name)
    if not text:
        return default
    try:
        value = type(default)(text)
    except ValueError:
        value = type(default)(-1)
    if not least <= value < math.inf:
        kind = "whole number" if isinstance(default, int) else "number"
        raise ValueError(f"{name} is {text!r}; expected a {kind} of at least {least}")
    return value
