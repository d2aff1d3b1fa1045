"""Classifiers: one probability, or one score, a class; with one head or several.

A vector counts as scores of classes where a softmax or a sigmoid makes it, where there is a name for each number, or
where it is said to. Otherwise it may as well be an embedding or landmarks, and is refused with that reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from saccade.networks.network import Floats, Outputs, Port
from saccade.predict.evidence import Claim, Claims, Evidence, Refusal
from saccade.predict.labels import BACKGROUND
from saccade.predict.parser import Settings, Task
from saccade.predict.parsers.common import order_of, size_of, softmax
from saccade.predict.parsers.vectors import is_said, vectors
from saccade.results import DIRECTIONS, Classification, Heads

PROBABILITIES = ("Softmax", "Sigmoid")

OTHERS = ("RegionYolo", "CTCGreedyDecoder", "CTCGreedyDecoderSeqLen", "DetectionOutput", "NonMaxSuppression")
"""Layers whose numbers have a meaning of their own."""

KNOWN_HEADS: Mapping[tuple[str, int], tuple[str, ...]] = {
    ("prob_emotion", 5): ("neutral", "happy", "sad", "surprise", "anger"),
}
"""Classes of an output of that name and size (Open Model Zoo, emotions-recognition-retail-0003)."""

IMAGENET = (1000, 1001)
"""Classes of ImageNet, without and with a first one for the background."""


def claims(evidence: Evidence) -> Claims:
    """Vectors that a softmax or a sigmoid makes, or any where the user, the file or the names say what they are."""
    found = vectors(evidence)
    said = is_said(evidence, "classify", "classification")
    heads = [port for port in found if port.layer_type in (*PROBABILITIES, "LogSoftmax")]
    if not heads and (said or _is_named(evidence, found)):
        heads = found
    if not heads and _is_binary(evidence, said=said):
        why = "one number that a Sigmoid makes, the probability of the second of two classes"
        yield Claim("classifier", "classify", 1, why, Binary(evidence.outputs[0], evidence.names), order_of(evidence))
        return
    if not heads:
        plain = [port for port in found if size_of(port) > 2 and port.layer_type not in OTHERS]
        if plain and all(port in found or len(port.shape) == 4 or size_of(port) == 1 for port in evidence.outputs):
            yield Refusal("vector", "classify", 0, _reason(plain[0]))
        return
    changes = order_of(evidence)
    names = [_names(evidence, port, heads) for port in heads]
    if len(heads) == 1 and size_of(heads[0]) == len(DIRECTIONS) and evidence.size == (84, 84):
        # The DeepLens head-pose project: its Lambda divides by 255.
        names, changes = [names[0] or DIRECTIONS], {"scale": (255.0,) * 3}
    parts = [Classifier(port, own) for port, own in zip(heads, names, strict=True)]
    parser = parts[0] if len(parts) == 1 else Several([port.name for port in heads], parts)
    yield Claim("classifier", "classify", 1, _why(heads, said), parser, changes)


def _is_binary(evidence: Evidence, *, said: bool) -> bool:
    """Whether the only output is one probability of two classes, which names or somebody's word must say."""
    ports = evidence.outputs
    return (
        len(ports) == 1
        and size_of(ports[0]) == 1
        and ports[0].layer_type == "Sigmoid"
        and (said or len(evidence.names) == 2)
    )


def _is_named(evidence: Evidence, found: Sequence[Port]) -> bool:
    """Whether the only output has a name for each number."""
    return len(found) == len(evidence.outputs) == 1 and len(evidence.names) == size_of(found[0])


def _why(heads: Sequence[Port], said: bool) -> str:
    if len(heads) > 1:
        return f"{len(heads)} vectors of " + " and ".join(str(size_of(port)) for port in heads)
    (port,) = heads
    if port.layer_type in PROBABILITIES:
        return f"a vector of {size_of(port)} that a {port.layer_type} makes"
    return "said to be a classifier" if said else "a vector with a name for each number"


def _names(evidence: Evidence, port: Port, heads: Sequence[Port]) -> tuple[str, ...]:
    """Names of one head's classes: those that are given belong to the only head of that size."""
    same = [head for head in heads if size_of(head) == size_of(port)]
    if evidence.names and (len(heads) == 1 or (len(same) == 1 and len(evidence.names) == size_of(port))):
        left_out = (len(evidence.names), size_of(port)) == IMAGENET  # TensorFlow's networks of it count the background
        return (BACKGROUND, *evidence.names) if left_out else evidence.names
    if (size_of(port), [size_of(other) for other in evidence.outputs if other is not port]) == (2, [1]) and any(
        other.name.startswith("age") for other in evidence.outputs
    ):
        return ("female", "male")  # Open Model Zoo, age-gender-recognition-retail-0013
    return KNOWN_HEADS.get((port.name, size_of(port)), ())


def _reason(port: Port) -> str:
    points = f", --task landmarks ({size_of(port) // 2} points)" if size_of(port) % 2 == 0 else ""
    return (
        f"its output {port.name} {list(port.shape)} is a plain vector: neither a softmax nor names make its numbers "
        f"scores of classes, so they may mean anything; say what: --task classify{points} or --task embed"
    )


def numbered(count: int) -> tuple[str, ...]:
    """What classes without names are called."""
    return tuple(map(str, range(count)))


class Classifier:
    """Scores that are not probabilities yet go through a softmax."""

    family = "classifier"
    task: Task = "classify"
    defaults = Settings()

    def __init__(self, output: Port, names: tuple[str, ...] = ()) -> None:
        self.names = names
        self.classes = size_of(output)
        self._output = output.name
        self._probabilities = output.layer_type in PROBABILITIES

    def parse(self, outputs: Outputs, settings: Settings) -> Classification:
        """Classes, best first."""
        scores = self._scores(outputs[self._output].reshape(-1))
        order = np.argsort(-scores, kind="stable")[: settings.top]
        return Classification(order.astype(np.int32), scores[order], self.names)

    def _scores(self, values: Floats) -> Floats:
        if self._probabilities:
            return np.clip(np.nan_to_num(values, nan=0.0), 0, 1)
        if np.isfinite(values).all() and values.min() >= 0 and abs(values.sum(dtype=np.float64) - 1) <= 0.02:
            return np.clip(values, 0, 1)
        return softmax(values)


class Binary:
    """Two classes by the probability of the second one."""

    family = "classifier"
    task: Task = "classify"
    defaults = Settings()

    def __init__(self, output: Port, names: tuple[str, ...] = ()) -> None:
        self.names = names
        self.classes = 2
        self._output = output.name

    def parse(self, outputs: Outputs, settings: Settings) -> Classification:
        """Both classes, the more probable one first."""
        second = np.clip(np.nan_to_num(outputs[self._output].reshape(-1)[0], nan=0.0), 0, 1)
        scores = np.array([1 - second, second], np.float32)
        order = np.argsort(-scores, kind="stable")[: settings.top]
        return Classification(order.astype(np.int32), scores[order], self.names)


class Several:
    """One classifier for each head, under its output's name.

    heads : number of classes of each, by name. choices : names of all heads' classes.
    """

    family = "classifier"
    task: Task = "classify"
    names: tuple[str, ...] = ()
    defaults = Settings()

    def __init__(self, heads: Sequence[str], parts: Sequence[Classifier]) -> None:
        self._parts = dict(zip(heads, parts, strict=True))
        self.heads = {name: part.classes for name, part in self._parts.items()}
        self.choices = tuple(dict.fromkeys(name for part in parts for name in part.names or numbered(part.classes)))

    def parse(self, outputs: Outputs, settings: Settings) -> Heads:
        """Classes of each head, best first."""
        return Heads({name: part.parse(outputs, settings) for name, part in self._parts.items()})
