"""Networks that are only their ports and what they answer: enough for choosing a parser and for trying it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.geometry import View
from saccade.networks.network import Floats, Port
from saccade.predict.evidence import Claim, Evidence
from saccade.predict.metadata import Metadata
from saccade.predict.registry import find_claim
from saccade.results import Detections


class MadeUp:
    """A network of a picture input (1, 3, height, width), or (1, height, width, 3), that always gives the same outputs.

    layer_type : type of the layer behind an output, by name.
    """

    def __init__(
        self,
        outputs: Mapping[str, Floats],
        size: tuple[int, int],
        *,
        layer_type: Mapping[str, str] | None = None,
        inputs: Mapping[str, tuple[int, ...]] | None = None,
        nhwc: bool = False,
    ) -> None:
        layer_type = layer_type or {}
        picture = (1, *size, 3) if nhwc else (1, 3, *size)
        kind = np.dtype(np.float32)
        self.name = "made-up"
        self.path = None
        self.device, self.precision = "CPU", "f32"
        self.inputs = tuple(Port(n, s, kind) for n, s in {"x": picture, **(inputs or {})}.items())
        self.outputs = tuple(
            Port(name, value.shape, kind, layer_type.get(name, ""), after=frozenset({layer_type.get(name, "Add")}))
            for name, value in outputs.items()
        )
        self.is_remote, self.spec = False, None
        self.metadata: Mapping[str, Any] = {}
        self.label_base = 0
        self.idle: deque[Any] = deque()
        self._answer = dict(outputs)

    def infer(self, inputs: Any) -> dict[str, Floats]:
        assert set(inputs) == {port.name for port in self.inputs}
        return dict(self._answer)


def claimed(
    outputs: Mapping[str, Floats],
    size: tuple[int, int],
    *,
    task: str = "",
    head: str = "",
    names: Sequence[str] = (),
    metadata: Metadata | None = None,
    **options: Any,
) -> Claim:
    """The claim that holds for such a network."""
    network: Any = MadeUp(outputs, size, **options)
    return find_claim(Evidence(network, metadata or Metadata(), task, head, tuple(names)))


def shuffled(outputs: Mapping[str, Floats], seed: int, *, rename: bool = True) -> dict[str, Floats]:
    """The same outputs in another order and, with `rename`, each under the name of another one."""
    rng = np.random.default_rng(seed)
    names = list(outputs)
    order = [names[i] for i in rng.permutation(len(names))]
    said = [names[i] for i in rng.permutation(len(names))] if rename else order
    return {new: outputs[old] for new, old in zip(said, order, strict=True)}


def found_by(claim: Claim, outputs: Mapping[str, Floats], **settings: Any) -> Detections:
    """What the parser finds."""
    found = claim.parser.parse(outputs, claim.parser.defaults.but(**settings))
    assert isinstance(found, Detections)
    return found


def same_objects(
    found: Detections,
    boxes: Any,
    labels: Sequence[int],
    scores: Sequence[float] | None = None,
    points: Any = None,
    *,
    px: float = 0.02,
) -> None:
    """Asserts that these objects were found, in any order."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    assert len(found) == len(boxes), found
    apart = np.abs(found.boxes[None] - boxes[:, None]).max(2)
    match = apart.argmin(1)
    assert sorted(match) == list(range(len(boxes)))
    np.testing.assert_allclose(found.boxes[match], boxes, atol=px)
    assert found.labels[match].tolist() == list(labels)
    if scores is not None:
        np.testing.assert_allclose(found.scores[match], scores, atol=1e-4)
    if points is not None:
        assert found.keypoints is not None
        np.testing.assert_allclose(found.keypoints[match], np.asarray(points, np.float32), atol=px)


def is_sound(found: Detections) -> bool:
    """Whether places are finite, also in a larger picture, boxes hold something, scores are probabilities and all
    fields are as long.
    """
    placed = found.placed(View(100.0, 100.0, 0.0, 0.0))
    arrays: list[NDArray[Any]] = [placed.boxes, found.scores]
    if placed.keypoints is not None:
        arrays.append(placed.keypoints)
    whole = all(np.isfinite(array).all() and len(array) == len(found.labels) for array in arrays)
    return whole and bool(
        ((found.scores >= 0) & (found.scores <= 1)).all() and (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    )


def try_nonsense(claim: Claim, outputs: Mapping[str, Floats]) -> None:
    """Asserts that whatever the numbers are, what is found is sound: all of a kind, some among others, noise."""
    rng = np.random.default_rng(1)
    for bad in (np.nan, np.inf, -np.inf, 1e38, -1e38, 0.0, 1.0, 2.0):
        whole = {name: np.full_like(value, bad) for name, value in outputs.items()}
        some = {
            name: np.where(rng.random(value.shape) < 0.1, np.float32(bad), value) for name, value in outputs.items()
        }
        for made in (whole, some):
            for score in (0.05, claim.parser.defaults.score):
                assert is_sound(found_by(claim, made, score=score, top=50))
    for scale in (1, 30):
        noise = {name: rng.normal(0, scale, value.shape).astype(np.float32) for name, value in outputs.items()}
        assert is_sound(found_by(claim, noise, top=50))
