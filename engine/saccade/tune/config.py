"""What is to be tuned, and within which limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from saccade.errors import ConfigError
from saccade.networks.remote import is_remote
from saccade.tune.frames import LEAST


@dataclass(frozen=True, slots=True)
class Meter:
    """What speed is measured by where it is not time, on a processor that is emulated. unit : in words, plural.
    read : how many there were so far.
    """

    unit: str
    read: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """What is to be tuned.

    model : artifact or catalogue name. device : see `saccade.networks.devices`. budget : s for all of it.
    accept : least agreement. options : of `open_predictor`, as labels and thresholds. tiles : what the network would be
    shown without tuning. most : frames in memory. meter : in place of time.
    """

    model: str
    device: str = "AUTO"
    budget: float = 60.0
    accept: float = 0.99
    options: Mapping[str, Any]
    tiles: str = "off"
    most: int = 120
    meter: Meter | None = None

    def __post_init__(self) -> None:
        if not 5 <= self.budget <= 86400:
            raise ConfigError(f"budget: got {self.budget:g}; expected 5 to 86400 seconds")
        if not 0.5 <= self.accept <= 1:
            raise ConfigError(f"accept: got {self.accept:g}; expected 0.5 to 1")
        if self.most < LEAST:
            raise ConfigError(f"frames: got {self.most}; expected at least {LEAST}")
        if is_remote(self.model):
            raise ConfigError("model: a server runs its own network; tune it where it runs")
