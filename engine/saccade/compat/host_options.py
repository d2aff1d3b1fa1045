"""What `saccade run-script` tells the process of the script.

The process that starts the script and waits for it needs this and nothing else of the room: no NumPy, no OpenVINO.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from saccade.config import DEFAULT_FIFO

if TYPE_CHECKING:
    from saccade.compat.python2 import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What `saccade run-script` was told; see its help."""

    script: str
    source: str = "demo:"
    source_options: dict[str, Any] = field(default_factory=dict)
    artifacts: str | None = None
    models: dict[str, str] = field(default_factory=dict)
    device: str = "AUTO"
    precision: str = "auto"
    frames: int | None = None
    seconds: float | None = None
    patience: float | None = None
    restarts: int = 5
    realtime: bool | None = None
    events: str = "-"
    fifo: str = DEFAULT_FIFO
    view: str = ""
    python: Version = "auto"
    report: str = ""
    arguments: tuple[str, ...] = ()

    def hand_over(self) -> int:
        """An open file for the process to inherit: command lines can be read by everybody, and these hold passwords."""
        descriptor = os.memfd_create("saccade-script")
        with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
            json.dump(asdict(self), file)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor

    @classmethod
    def handed_over(cls, descriptor: int) -> HostOptions:
        """What `hand_over` has written; closes it."""
        with open(descriptor, encoding="utf-8") as file:
            values = json.load(file)
        return cls(**{**values, "arguments": tuple(values["arguments"])})
