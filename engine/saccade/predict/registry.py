"""Finds the parser that fits a network, or refuses it.

Every family looks at the evidence and may claim the network. What the file says of itself beats what its graph and
shapes can only mean, and that beats what fits them; among equals the user must decide. Never does a file's name count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from saccade.errors import ConfigError, UnsupportedError
from saccade.predict.evidence import Claim, Evidence, Refusal
from saccade.predict.parser import TASKS
from saccade.predict.parsers import FAMILIES


def find_claim(evidence: Evidence) -> Claim:
    """The one claim that holds.

    Raises UnsupportedError where no family fits the outputs, or several do and nothing decides between them;
    ConfigError where the user names a task that does not exist.
    """
    if evidence.task and evidence.task not in TASKS:
        raise ConfigError(f"task {evidence.task!r} is not known; choose {', '.join(TASKS)}")
    claims = _claims(evidence)
    wanted = [claim for claim in claims if _is_wanted(claim, evidence)]
    if not wanted:
        # Families are silent where another one's name is asked for: what the outputs are helps more than that.
        raise UnsupportedError(_refusal(evidence, claims or _claims(replace(evidence, head=""))))
    best = max(claim.certainty for claim in wanted)
    wanted = [claim for claim in wanted if claim.certainty == best]
    if all(isinstance(claim, Refusal) for claim in wanted):
        reasons = "; ".join(claim.why for claim in wanted)
        raise UnsupportedError(f"{evidence.name}: its outputs ({outputs_in_words(evidence)}) cannot be read: {reasons}")
    first, *others = wanted
    if others or isinstance(first, Refusal):
        raise UnsupportedError(_doubt(evidence, wanted))
    return first


def _claims(evidence: Evidence) -> list[Claim | Refusal]:
    return [claim for family in FAMILIES for claim in family.claims(evidence)]


def _is_wanted(claim: Claim | Refusal, evidence: Evidence) -> bool:
    return evidence.task in ("", claim.task) and evidence.head in ("", claim.family)


def _refusal(evidence: Evidence, claims: Sequence[Claim | Refusal]) -> str:
    seen = outputs_in_words(evidence)
    if claims:
        fits = [claim for claim in claims if isinstance(claim, Claim)]
        if not fits:
            return f"{evidence.name}: its outputs ({seen}) cannot be read: " + "; ".join(claim.why for claim in claims)
        names = ", ".join(f"{claim.family} (a network to {claim.task}: {claim.why})" for claim in fits)
        asked = f"--task {evidence.task}" if evidence.task else f"--head {evidence.head}"
        return f"{evidence.name}: {asked} does not fit its outputs ({seen}); they fit {names}"
    said = f", said to be for {evidence.metadata.task}" if evidence.metadata.task else ""
    return (
        f"{evidence.name}: its outputs ({seen}{said}) are those of no network that saccade can read; "
        "`saccade infer` gives them as they are, and --task says what they are where their form leaves that open"
    )


def _doubt(evidence: Evidence, claims: Sequence[Claim | Refusal]) -> str:
    choices = "; ".join(f"--head {claim.family}: {claim.why}" for claim in claims)
    return (
        f"{evidence.name}: its outputs ({outputs_in_words(evidence)}) may mean several things and nothing in the file "
        f"decides; say which ({choices})"
    )


def outputs_in_words(evidence: Evidence) -> str:
    """Names and shapes of the outputs, as messages show them."""
    shown = [f"{port.name} {list(port.shape)}" for port in evidence.outputs[:12]]
    more = len(evidence.outputs) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
