"""Which family a network belongs to, once what is said of it has been held against its outputs.

What the outputs show wins: names of another number of classes are passed over, or shown as far as they go where the
user gave them, and a task that the outputs cannot have is warned of.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from saccade.errors import UnsupportedError
from saccade.networks.network import Network
from saccade.predict.evidence import Claim, Evidence
from saccade.predict.metadata import Metadata
from saccade.predict.metadata_sources import MetadataSource, joined, without_names, without_task
from saccade.predict.parser import Settings, Task, Unread
from saccade.predict.registry import find_claim
from saccade.predict.understanding import Value

_log = logging.getLogger(__name__)

OPTION = "an option"

_TASKS: dict[str, Task] = {
    "detect": "detect", "segment": "detect", "pose": "detect", "obb": "detect", "classify": "classify",
    "semantic": "segment",
}  # fmt: skip
"""What metadata calls a task, and what that is here."""


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a network.

    sources : what its files say, the strongest first. task, head, names : what the user says, or empty.
    """

    network: Network
    sources: tuple[MetadataSource, ...] = ()
    task: str = ""
    head: str = ""
    names: tuple[str, ...] = ()

    @property
    def metadata(self) -> Metadata:
        """What its files say together."""
        return joined(self.sources)

    @property
    def evidence(self) -> Evidence:
        """The network with all of it."""
        metadata = self.metadata
        names = self.names or metadata.names or network_names(self.network)
        return Evidence(self.network, metadata, self.task, self.head, names)

    @property
    def names_from(self) -> str:
        """Where the names of classes come from, in words; empty where there are none."""
        return OPTION if self.names else self.metadata.origins.get("names", "")


def network_names(network: Network) -> tuple[str, ...]:
    """Names that only the catalogue's own networks have, whose files say nothing."""
    return ("face",) if network.name.startswith("face-detection") else ()


def claimed(said: Said, *, raw: bool = False) -> tuple[Said, Claim]:
    """The claim that holds, and what is said without the names that do not fit the outputs.

    raw : where the outputs are not understood, give a claim of nothing instead of raising UnsupportedError.
    """
    while True:
        try:
            said, claim = _fitting(said)
        except UnsupportedError as error:
            if not raw:
                raise
            return said, Claim("", "detect", 0, str(error), Unread(str(error)))
        classes = getattr(claim.parser, "classes", None)
        if not claim.parser.names or not said.names_from or classes in (None, len(claim.parser.names)):
            _warn_of_task(said, claim)
            return said, claim
        if said.names:
            _log.warning(
                "%s: got names for %d classes and the network has %d; those without a name are shown as numbers",
                said.network.name, len(said.names), classes,
            )  # fmt: skip
            return said, claim
        _log.warning(
            "%s: %s names %d classes and the network has %d: these names are passed over; --labels gives others",
            said.network.name, said.names_from, len(said.evidence.names), classes,
        )  # fmt: skip
        said = replace(said, sources=tuple(without_names(said.sources, said.names_from)))


_OF_TASK = ("task", "head", "keypoints", "end2end", "nms")
"""Fields of `Metadata` that say what the outputs are."""


def _fitting(said: Said) -> tuple[Said, Claim]:
    """The claim that holds; where none does because of what the files say of the outputs, the one that holds without
    that, and what is said but for it.
    """
    try:
        return said, find_claim(said.evidence)
    except UnsupportedError as error:
        metadata = said.metadata
        told = {name: value for name in _OF_TASK if (value := getattr(metadata, name))}
        if not told:
            raise
        plain = replace(said, sources=tuple(without_task(said.sources)))
        try:
            claim = find_claim(plain.evidence)
        except UnsupportedError:
            raise error from None
    _log.warning(
        "%s: %s says %s, which does not fit its outputs; they are taken for what they look like: %s (%s)",
        said.network.name, metadata.origins[next(iter(told))],
        ", ".join(f"{name} {value}" for name, value in told.items()), claim.family, claim.why,
    )  # fmt: skip
    return plain, claim


def _warn_of_task(said: Said, claim: Claim) -> None:
    task = said.metadata.task
    if not said.task and _TASKS.get(task, claim.task) != claim.task:
        _log.warning(
            "%s: %s says that it is for the task %s, but its outputs are those of a network to %s (%s): they count",
            said.network.name, said.metadata.origins["task"], task, claim.task, claim.why,
        )  # fmt: skip


def values_of(said: Said, claim: Claim, settings: Settings, wished: Mapping[str, bool]) -> dict[str, Value]:
    """What the outputs are taken for, each value with where it comes from.

    wished : of `score` and `iou`, whether the user has set them.
    """
    family = f"the family {claim.family}" if claim.family else "nobody says so: the usual"
    origins = said.metadata.origins
    names = claim.parser.names
    values = {
        "task": Value(claim.task, OPTION if said.task else origins.get("task", claim.why), "--task"),
        "head": Value(claim.family, OPTION if said.head else claim.why, "--head"),
        "labels": Value(names, (said.names_from or family) if names else "nobody names them", "--labels"),
    }
    if claim.task != "detect":
        return values
    return values | {
        title: Value(getattr(settings, name), OPTION if wished[name] else origins.get(name, family), f"--{title}")
        for name, title in (("score", "threshold"), ("iou", "iou"))
    }
