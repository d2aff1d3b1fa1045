"""What keeps still pictures from the network: `gate = "motion"`, or a table that says more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from saccade.config.option import between, check_values, option, positive
from saccade.config.settings import from_table
from saccade.config.suggest import did_you_mean
from saccade.errors import ConfigError

GateMode = Literal["off", "motion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """How a camera's still pictures are told from others."""

    mode: GateMode = option("motion", "motion: look only at what moves", section="run")
    always_every: float = option(
        10.0, "look every T seconds all the same", section="run", metavar="T", check=positive("seconds")
    )
    hold: float = option(
        0.5, "how long after the last motion the scene still counts as moving", section="run", metavar="T",
        check=positive("seconds"),
    )  # fmt: skip
    sensitivity: float = option(
        1.0, "above 1: less motion is enough; below: more is needed", section="run", metavar="X",
        check=between(0.1, 10, "a number"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def on(self) -> bool:
        """Whether there is a gate."""
        return self.mode != "off"

    def __str__(self) -> str:
        more = [
            f"{name} {getattr(self, name):g}"
            for name in ("always_every", "hold", "sensitivity")
            if getattr(self, name) != getattr(GateConfig(), name)
        ]
        return ", ".join([self.mode, *(more if self.on else [])])


NO_GATE = GateConfig(mode="off")


def gate_of(value: Any) -> GateConfig:
    """The gate that `motion`, `off`, or a table of its options says; raises ConfigError."""
    if isinstance(value, Mapping):
        return GateConfig(**{name: said.value for name, said in from_table(GateConfig, value, "gate").items()})
    modes = get_args(GateMode)
    if value not in modes:
        near = did_you_mean(str(value), modes) if isinstance(value, str) else ""
        raise ConfigError(f"gate: got {value!r}; expected motion, off, or a table{near}")
    return GateConfig(mode=value)
