"""Which family a network belongs to, once what is said of it has been held against its outputs.

What the outputs show wins: names of another number of classes are passed over, or shown as far as they go where the
user gave them, and a task that the outputs cannot have is warned of.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from saccade.errors import ConfigError, UnsupportedError
from saccade.networks.network import Network
from saccade.predict.evidence import Claim, Evidence
from saccade.predict.labels import ways_to_count
from saccade.predict.metadata import Metadata
from saccade.predict.metadata_sources import MetadataSource, joined, with_names, without_task
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

    def naming(self, names: tuple[str, ...]) -> Said:
        """The same with other names from where its own come from."""
        if self.names:
            return replace(self, names=names)
        return replace(self, sources=tuple(with_names(self.sources, self.names_from, names)))


def network_names(network: Network) -> tuple[str, ...]:
    """Names that only the catalogue's own networks have, whose files say nothing."""
    return ("face",) if network.name.startswith("face-detection") else ()


def claimed(said: Said, *, raw: bool = False) -> tuple[Said, Claim]:
    """The claim that holds, and what is said without the names that do not fit the outputs.

    raw : where the outputs are not understood, give a claim of nothing instead of raising UnsupportedError.
    """
    while True:
        try:
            said, claim = _as_named(said)
        except UnsupportedError as error:
            if not raw:
                raise
            return said, Claim("", "detect", 0, str(error), Unread(str(error)))
        if _named_right(said, claim):
            _warn_of_task(said, claim)
            return said, claim
        heads: Mapping[str, int] = getattr(claim.parser, "heads", {})
        network, count = said.network.name, len(said.evidence.names)
        each = ", ".join(f"{name} {classes}" for name, classes in heads.items())
        has = each or str(getattr(claim.parser, "classes", 0))
        if said.names and heads:
            raise ConfigError(
                f"labels: got {count} names for {network}, whose outputs have as many classes each: {has}; "
                "expected as many names as exactly one of them has classes"
            )
        if said.names:
            _log.warning(
                "%s: got names for %d classes and the network has %s; those without a name are shown as numbers",
                network, count, has,
            )  # fmt: skip
            return said, claim
        _log.warning(
            "%s: %s names %d classes and the network has %s: these names are passed over; --labels gives others",
            network, said.names_from, count, has,
        )  # fmt: skip
        said = said.naming(())


def _as_named(said: Said) -> tuple[Said, Claim]:
    """The claim that holds, and its names: without a background's, or those of gaps, if they only then fit."""
    found: list[tuple[Said, Claim]] = []
    refusals: list[UnsupportedError] = []
    names = said.evidence.names if said.names_from else ()
    for way in ways_to_count(names):
        try:
            found.append(_fitting(said if way == names else said.naming(way)))
        except UnsupportedError as error:
            refusals.append(error)
        else:
            if _named_right(*found[-1]):
                return found[-1]
    if not found:
        raise refusals[0]
    return found[0]


def _named_right(said: Said, claim: Claim) -> bool:
    """Whether there are as many names as classes, or nobody can tell how many there should be."""
    if not said.names_from:
        return True
    heads: Mapping[str, int] | None = getattr(claim.parser, "heads", None)
    if heads is not None:
        return list(heads.values()).count(len(said.evidence.names)) == 1
    return not claim.parser.names or getattr(claim.parser, "classes", None) in (None, len(claim.parser.names))


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
