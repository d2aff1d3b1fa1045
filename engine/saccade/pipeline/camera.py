"""A camera and what is to be done with its pictures, as an engine is told of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from saccade.errors import ConfigError
from saccade.geometry import Region
from saccade.pipeline.app import Branch
from saccade.pipeline.gate import HOLD_SECONDS, Gate

if TYPE_CHECKING:
    from saccade.capture import Capture


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A camera and what is to be done with its pictures.

    open : makes its capture, not started and with `lazy`; called again when the camera has to be opened anew.
    branches : the apps that look at each of its frames. rate : how often, Hz; None: at each picture.
    weight : its share of a machine that is too slow for all, against that of the others.
    gate : "motion": still pictures are not looked at, but every `always_every` seconds. hold, sensitivity,
    regions : of `Gate`.
    """

    name: str
    open: Callable[[], Capture]
    branches: Sequence[Branch]
    rate: float | None = None
    weight: float = 1.0
    gate: Literal["off", "motion"] = "off"
    always_every: float = 10.0
    hold: float = HOLD_SECONDS
    sensitivity: float = 1.0
    regions: Sequence[Region] = ()

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate <= 1000:
            raise ConfigError(f"camera {self.name}: rate {self.rate:g}; give pictures a second, above 0 and up to 1000")
        if not 0 < self.weight <= 1000:
            raise ConfigError(f"camera {self.name}: weight {self.weight:g}; give a number above 0 and up to 1000")
        if self.gate not in ("off", "motion"):
            raise ConfigError(f"camera {self.name}: gate {self.gate!r}; give off or motion")
        for name in ("always_every", "hold", "sensitivity"):
            if not (value := getattr(self, name)) > 0:
                raise ConfigError(f"camera {self.name}: {name} {value:g}; give a number above 0")

    def new_gate(self) -> Gate | None:
        """What keeps still pictures from its apps; None where all are looked at."""
        if self.gate == "off":
            return None
        return Gate(
            always_every=self.always_every, hold=self.hold, sensitivity=self.sensitivity, regions=self.regions
        )  # fmt: skip
