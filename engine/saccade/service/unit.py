"""The systemd unit of a run: what it starts, how it starts again, and the little that it may do.

The service has a user of its own that exists only while it runs (`DynamicUser`). It sees the system read-only, no home
folder and a private /tmp; it writes below /var/lib, /var/cache, /var/log and /run, in a folder of its name each. Its
configuration, in which there may be passwords, can stay readable by root alone: systemd hands it over as a credential.
Of devices there are cameras and GPUs. They are named by their numbers, as the names of /proc/devices are there only
when a driver is, and a USB camera may come years after the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MARK = "# Written by `saccade service install`"
"""How the first line of each unit begins that is ours."""

_STEPS_SINCE = 254
"""First systemd that waits longer from restart to restart (RestartSteps)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is to be written into a unit.

    name : of the unit and of its folders. command : the program and its arguments, up to `run`. config : the TOML
    file. groups : those of the devices' groups that this system has. shown : folders in homes that are to be seen all
    the same. systemd : version that the unit is for.
    """

    name: str
    command: Sequence[str]
    config: Path
    groups: Sequence[str]
    shown: Sequence[Path] = ()
    systemd: int = _STEPS_SINCE

    @property
    def text(self) -> str:
        """The unit file."""
        return "\n".join([*self._unit(), "", *self._service(), "", "[Install]", "WantedBy=multi-user.target", ""])

    def _unit(self) -> list[str]:
        return [
            f"{MARK}, which writes it anew; `systemctl edit {self.name}` keeps changes beside it.",
            "[Unit]",
            f"Description=saccade, results from the frames of cameras ({self.name})",
            "After=network.target time-sync.target",
            "# A camera that is away is waited for by the process itself, which tells of it meanwhile. What else fails",
            "# is tried again for as long as it takes: nobody is there to start it.",
            "StartLimitIntervalSec=0",
        ]

    def _service(self) -> list[str]:
        return [
            "[Service]",
            "Type=exec",
            f"ExecStart={' '.join(map(quoted, self.command))} run --config ${{CREDENTIALS_DIRECTORY}}/{self.name}.toml",
            f"LoadCredential={self.name}.toml:{escaped(str(self.config))}",
            f"EnvironmentFile=-/etc/saccade/{self.name}.env",
            f"Environment=SACCADE_CACHE=/var/cache/{self.name} HOME=/var/lib/{self.name}",
            f"WorkingDirectory=/var/lib/{self.name}",
            f"SyslogIdentifier={self.name}",
            "Restart=on-failure",
            *self._restarts(),
            "# Frames in flight, crops and events are written within ten seconds of the signal.",
            "TimeoutStopSec=15",
            "KillMode=mixed",
            "",
            "DynamicUser=yes",
            *([f"SupplementaryGroups={' '.join(self.groups)}"] if self.groups else []),
            *(f"{kind}Directory={self.name}" for kind in ("State", "Cache", "Logs", "Runtime")),
            "UMask=0077",
            *self._homes(),
            *_RIGHTS.strip().splitlines(),
        ]

    def _restarts(self) -> list[str]:
        if self.systemd < _STEPS_SINCE:
            return ["RestartSec=10"]
        return ["RestartSec=1", "RestartSteps=6", "RestartMaxDelaySec=30"]

    def _homes(self) -> list[str]:
        if not self.shown:
            return ["ProtectHome=yes"]
        return ["ProtectHome=tmpfs", *(f"BindReadOnlyPaths={quoted(str(path))}" for path in self.shown)]


_RIGHTS = """
ProtectSystem=strict
PrivateTmp=yes
PrivateMounts=yes
DevicePolicy=closed
# Cameras (video4linux) and GPUs (drm).
DeviceAllow=char-81 rw
DeviceAllow=char-226 rw
NoNewPrivileges=yes
CapabilityBoundingSet=
PrivateUsers=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
# Without MemoryDenyWriteExecute: the inference compiles its kernels while it runs. Without ~@resources: its threads
# are bound to cores.
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
"""


def escaped(text: str) -> str:
    """Text whose percent signs stand for themselves in a unit."""
    return text.replace("%", "%%")


def quoted(text: str) -> str:
    """A word of a unit's command or list of paths as it stands, whatever is in it."""
    plain = escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return plain if plain and not any(c.isspace() or c in "\"';\\" for c in plain) else f'"{plain}"'
