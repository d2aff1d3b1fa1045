"""Networks that say who or what something is by a vector, to be compared with others of the same network.

A vector alone does not show that it is one: the user, or the file, says so, or the graph brings it to length 1.
"""

from __future__ import annotations

import numpy as np

from saccade.networks.network import Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.vectors import is_said, vectors
from saccade.results import Embedding

NORMS = {"NormalizeL2", "ReduceL2"}
"""Layers that find a vector's length."""


def claims(evidence: Evidence) -> Claims:
    """The only output that is a vector, where it is said to be an embedding, or is normalised in the graph."""
    ports = [port for port in vectors(evidence) if port.layer_type != "Softmax"]
    if len(ports) != 1:
        return
    if is_said(evidence, "embed", "embedding", "reid", "reidentification", "feature-extraction"):
        certainty = 1 if evidence.task == "embed" else 3
        yield Claim("embedding", "embed", certainty, "a vector, said to be an embedding", Embedder(ports[0]))
    elif _has_length_one(evidence, ports[0]):
        yield Claim("embedding", "embed", 2, "a vector that the graph brings to length 1", Embedder(ports[0]))


def _has_length_one(evidence: Evidence, port: Port) -> bool:
    if not NORMS & {port.layer_type, *port.after}:
        return False
    length = float(np.linalg.norm(evidence.values[port.name].astype(np.float64)))
    return abs(length - 1) < 0.01


class Embedder:
    """Vectors of length 1."""

    family = "embedding"
    task: Task = "embed"
    names: tuple[str, ...] = ()
    defaults = Settings()

    def __init__(self, output: Port) -> None:
        self._output = output.name

    def parse(self, outputs: Outputs, settings: Settings) -> Embedding:
        """The vector; zeros where the network gave no direction."""
        vector = np.nan_to_num(outputs[self._output].reshape(-1).astype(np.float64), posinf=0.0, neginf=0.0)
        length = float(np.linalg.norm(vector))
        return Embedding((vector / length if length else vector).astype(np.float32))
