"""Whatever outputs a network has, it is understood or refused, and what is understood reads any numbers."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import MadeUp, claimed, is_sound

from lengths import length
from saccade.errors import UnsupportedError
from saccade.predict.evidence import Evidence
from saccade.predict.parsers import FAMILIES
from saccade.results import Detections

SIZES = ((320, 320), (240, 320), (48, 48), (12, 12), (260, 260), (32, 64))
EXTENTS = (1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 32, 80, 85, 100, 136, 300, 400, 1600, 2100, 2125, 4420)
LAYERS = ("", "Softmax", "Sigmoid", "Add", "Concat", "ReduceL2")


@pytest.mark.parametrize("seed", range(length(8, 40)))
def test_claims_of_any_shapes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(25):
        size = SIZES[rng.integers(len(SIZES))]
        shapes = [tuple(rng.choice(EXTENTS, rng.integers(0, 5))) for _ in range(rng.integers(1, 13))]
        shapes = [shape for shape in shapes if np.prod(shape, initial=1) <= 500_000]
        outputs = {f"o{i}": rng.normal(0.5, 0.5, shape).astype(np.float32) for i, shape in enumerate(shapes)}
        layer_type = {name: LAYERS[rng.integers(len(LAYERS))] for name in outputs}
        for task in ("", "classify", "landmarks", "embed", "detect"):
            try:
                claim = claimed(outputs, size, layer_type=layer_type, task=task)
            except UnsupportedError:
                continue
            found = claim.parser.parse(outputs, claim.parser.defaults)
            assert not isinstance(found, Detections) or is_sound(found)


def test_outputs_whose_extents_are_known_after_a_run_only() -> None:
    """No family trips over them."""
    for shapes in ([(-1, 6), (-1,)], [(-1, 7)], [(1, -1, 4), (1, -1)], [(-1, -1, -1, -1)] * 9, [(1, 0, 4)], [()]):
        network = MadeUp(
            {str(i): np.zeros([max(0, d) for d in s], np.float32) for i, s in enumerate(shapes)}, (320, 320)
        )
        ports = [type(p)(p.name, shape, p.dtype) for p, shape in zip(network.outputs, shapes, strict=True)]
        network.outputs = tuple(ports)
        evidence = Evidence(network)  # type: ignore[arg-type]
        assert all(claim.why for family in FAMILIES for claim in family.claims(evidence))
