"""One camera of several: what `run` would be told of it, and what only matters beside others."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from saccade.config.gate import NO_GATE, GateConfig, gate_of
from saccade.config.option import check_values, option, positive
from saccade.config.run import APPS, RunConfig
from saccade.errors import ConfigError


def _share(value: float) -> str:
    return "" if 0 < value <= 1000 else "a share above 0 and up to 1000"


@dataclass(frozen=True, slots=True)
class CameraApp:
    """One app on a camera. config : the camera's, with what the app's own table says of its network."""

    app: str
    config: RunConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraConfig:
    """One camera.

    config : its source and outputs. apps : what looks at its pictures, at least one.
    origins : where each value came from, by the option's name.
    """

    weight: float = option(
        1.0, "share of the machine under overload, against the other cameras'", section="run", metavar="X",
        check=_share,
    )  # fmt: skip
    gate: GateConfig = option(
        NO_GATE, "motion: look only at what moves; or a table with mode, always_every, hold and sensitivity",
        section="run", reader=gate_of,
    )  # fmt: skip
    always_every: float | None = option(
        None, "with a gate: look every T seconds all the same, as in its table", section="run", metavar="T",
        check=positive("seconds"),
    )  # fmt: skip
    apps: tuple[CameraApp, ...] = ()
    config: RunConfig = field(default_factory=RunConfig)
    origins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_values(self)
        if not self.apps:
            raise ConfigError(f'no app; say what the camera is for, as app = "detect"; there are {", ".join(APPS)}')

    @property
    def name(self) -> str:
        """Names its topics, figures and folders."""
        return self.config.camera

    @property
    def gating(self) -> GateConfig:
        """The gate with all that is said of it."""
        return self.gate if self.always_every is None else replace(self.gate, always_every=self.always_every)

    @property
    def device(self) -> str:
        """What nobody else can have while this camera has it: a device, a FIFO, standard input; "" for the others."""
        return _exclusive(self.config.source)


def _exclusive(source: str) -> str:
    if source == "-":
        return "-"
    path = f"/dev/video{source}" if source.isdigit() else source
    try:
        if path.startswith("/dev/"):
            return os.path.realpath(path.partition("@")[0])
        return os.path.realpath(path) if stat.S_ISFIFO(os.stat(path).st_mode) else ""
    except (OSError, ValueError):
        return ""
