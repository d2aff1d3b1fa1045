"""How a network was understood: what each value is, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Value:
    """One thing that is known. origin : where from, in words; option : what on the command line would override it."""

    value: Any
    origin: str
    option: str = ""


@dataclass(frozen=True, slots=True)
class Understanding:
    """family, task : of the parser. why : what decided for it. values : all that is known, by name."""

    family: str
    task: str
    why: str
    values: Mapping[str, Value] = field(default_factory=dict)
