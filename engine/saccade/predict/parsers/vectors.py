"""Outputs that are one vector: what they mean is not to be seen, unless somebody says so."""

from __future__ import annotations

from saccade.networks.network import Port
from saccade.predict.evidence import Evidence
from saccade.predict.parsers.common import size_of


def is_vector(port: Port) -> bool:
    """Whether an output is more than one number along one axis, for one picture: (n,), (1, n), (1, n, 1, 1), ...

    A column (n, 1) or (1, n, 1) is none: it has a number for each of many rows.
    """
    shape = port.shape
    if size_of(port) != max(shape, default=0) or size_of(port) < 2:
        return False
    return len(shape) not in (2, 3) or shape[-1] != 1 or (port.layer_type == "Softmax" and shape[0] == 1)


def vectors(evidence: Evidence) -> list[Port]:
    """The outputs that are vectors."""
    return [port for port in evidence.outputs if is_vector(port)]


def is_said(evidence: Evidence, task: str, *words: str) -> bool:
    """Whether the user says that the network has this task, or its file does, in one of these words."""
    metadata = evidence.metadata
    return evidence.task == task or {metadata.task.lower(), metadata.head.lower()} & {task, *words} != set()
