"""Networks that are only what a parser sees of them: ports, and outputs that somebody has made up."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.geometry import View
from saccade.networks.network import Network, Port
from saccade.predict.evidence import Claim, Evidence
from saccade.predict.metadata import Metadata
from saccade.predict.registry import find_claim
from saccade.results import Detections

Floats = NDArray[np.float32]


class FakeNetwork:
    """A picture input and outputs with given values, whatever the picture.

    after, layer_type, attributes : of all outputs. shapes : by name, where a port's differs from its values'.
    """

    path = None
    device, precision, is_remote, spec, label_base = "CPU", "f32", False, None, 0

    def __init__(
        self,
        outputs: Mapping[str, Floats],
        size: tuple[int, int] = (64, 64),
        *,
        nhwc: bool = False,
        after: Iterable[str] = ("Convolution", "Sigmoid", "Concat"),
        layer_type: str = "Concat",
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        more_inputs: tuple[Port, ...] = (),
    ) -> None:
        self.name = "fake"
        self.values = {name: np.asarray(value, np.float32) for name, value in outputs.items()}
        self.metadata: dict[str, Any] = {}
        shape = (1, *size, 3) if nhwc else (1, 3, *size)
        self.inputs = (Port("picture", shape, np.dtype(np.float32)), *more_inputs)
        self.outputs = tuple(
            Port(
                name, (shapes or {}).get(name, value.shape), np.dtype(np.float32), layer_type,
                (attributes or {}).get(name, {}), frozenset(after),
            )
            for name, value in self.values.items()
        )  # fmt: skip
        self.runs = 0
        self.idle: deque[Any] = deque()

    def request(self) -> Any:
        """Nobody runs it."""
        raise NotImplementedError

    def infer(self, inputs: object) -> dict[str, Floats]:
        """The values."""
        self.runs += 1
        return {name: value.copy() for name, value in self.values.items()}


def claim_of(
    network: Network, metadata: Metadata | None = None, *, head: str = "", names: tuple[str, ...] = ()
) -> Claim:
    """The claim that holds for a network."""
    metadata = metadata or Metadata()
    return find_claim(Evidence(network, metadata, "", head, names or metadata.names))


def parsed(network: FakeNetwork, metadata: Metadata | None = None, **known: Any) -> Any:
    """What the parser that claims a network says of its values."""
    parser = claim_of(network, metadata, **known).parser
    return parser.parse(network.values, parser.defaults)


def centres(boxes: Any) -> Floats:
    """Boxes x1, y1, x2, y2 as centre x, y, width, height."""
    x1, y1, x2, y2 = np.asarray(boxes, np.float32).T
    return np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], 1)


NONSENSE = ([np.nan], [np.inf, -np.inf], [3e38, -3e38], [0.0], [np.nan, np.inf, -np.inf, 3e38, 88.0, 0.9, 1e-30, -50.0])
"""Values that outputs are spoilt with."""


def spoilt_outputs(network: FakeNetwork, values: list[float]) -> Iterator[dict[str, Floats]]:
    """The network's outputs with some of the values instead of all of theirs, and of some."""
    rng = np.random.default_rng(4)
    choices = np.array(values, np.float32)
    for part in (1.0, 0.3):
        yield {
            name: np.where(rng.random(value.shape) < part, rng.choice(choices, value.shape), value)
            for name, value in network.values.items()
        }


def check_sound(found: object, least: float) -> None:
    """Whatever the outputs were: places are finite, also in the picture, and scores are probabilities."""
    assert isinstance(found, Detections)
    placed = found.placed(View(3.0, 2.0, -5.0, 0.0))
    assert ((found.scores >= least) & (found.scores <= 1)).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all() or found.corners is not None
    for places in (placed.boxes, placed.keypoints, placed.corners):
        assert places is None or np.isfinite(places).all()
    if found.keypoint_scores is not None:
        assert ((found.keypoint_scores >= 0) & (found.keypoint_scores <= 1)).all()
    if found.masks is not None:
        for i, box in enumerate(found.boxes):
            found.masks.bitmap(i, box, 96, 64)
