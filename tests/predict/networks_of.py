"""Networks whose outputs are whatever a test says, and what a parser makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset15 as op
from numpy.typing import NDArray

from saccade.geometry import View
from saccade.networks import Model
from saccade.predict.evidence import Claim, Evidence
from saccade.predict.metadata import Metadata
from saccade.predict.opening import Wishes, understand
from saccade.predict.parser import Settings
from saccade.predict.predictor import Predictor
from saccade.predict.registry import find_claim

Values = Mapping[str, NDArray[Any]]


def network_of(
    outputs: Values,
    *,
    size: tuple[int, int] = (32, 32),
    end: Mapping[str, str] | None = None,
    inputs: Mapping[str, tuple[Sequence[int], Any]] | None = None,
    nhwc: bool = False,
    dtype: Any = np.float32,
) -> ov.Model:
    """A picture (and further inputs) in, these values out, in their own types.

    end : type of the layer that makes an output (softmax, sigmoid, ...), by name; the value passes through it.
    inputs : shape and type of further inputs.
    """
    shape = [1, *size, 3] if nhwc else [1, 3, *size]
    picture = op.parameter(shape, dtype, name="data")
    picture.output(0).set_names({"data"})
    flat = op.convert(picture, "f32")
    nothing = op.multiply(op.reduce_mean(flat, op.constant(np.arange(4)), False), op.constant(np.float32(0)))
    results = []
    for name, value in outputs.items():
        node = op.add(op.constant(np.asarray(value, np.float32)), nothing)
        kind = (end or {}).get(name)
        if kind is not None:
            node = op.softmax(node, -1) if kind == "softmax" else getattr(op, kind)(node)
        if value.dtype.kind in "iu":
            node = op.convert(node, "i64")
        node.output(0).set_names({name})
        results.append(node)
    more = []
    for name, (dims, kind) in (inputs or {}).items():
        more.append(op.parameter(list(dims), kind, name=name))
        more[-1].output(0).set_names({name})
    return ov.Model(results, [picture, *more], "made-up")


def predictor_of(outputs: Values, *, wishes: Wishes | None = None, **options: Any) -> Predictor:
    """What saccade makes of such a network."""
    return understand(Model(network_of(outputs, **options), precision="f32"), wishes or Wishes())


def claim_with(outputs: Values, metadata: Metadata, **options: Any) -> Claim:
    """The claim that holds for such a network whose file says something of itself."""
    model = Model(network_of(outputs, **options), precision="f32")
    return find_claim(Evidence(model, metadata, names=metadata.names))


def found_in(predictor: Predictor, outputs: Values, **settings: Any) -> Any:
    """What its parser finds in outputs, in px of the network's input."""
    return predictor.parser.parse({k: np.asarray(v, np.float32) for k, v in outputs.items()}, Settings(**settings))


def fuzz(predictor: Predictor, rounds: int = 40) -> None:
    """Outputs of nonsense: what is found is finite, with probabilities that are some, or nothing is."""
    rng = np.random.default_rng(0)
    nonsense = (np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 1e30, -1e30, 3e38)
    for round_ in range(rounds):
        outputs = {}
        for port in predictor.network.outputs:
            shape = [d if d >= 0 else int(rng.integers(0, 4)) for d in port.shape]
            values = rng.normal(size=shape).astype(np.float32)
            if round_ % 3 == 0:
                values[...] = rng.choice(nonsense)
            elif round_ % 3 == 1:
                values[rng.random(shape) < 0.3] = rng.choice(nonsense)
            outputs[port.name] = values
        with np.errstate(all="ignore"):
            found = predictor.parser.parse(outputs, Settings(score=float(rng.choice([0.0, 0.1, 0.5])), top=50))
        placed = found.placed(View(100.0, 100.0, 0.0, 0.0))
        for places in ("boxes", "keypoints", "points"):
            values = getattr(placed, places, None)
            assert values is None or np.isfinite(values).all()
        if hasattr(found, "boxes"):
            assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
            assert ((found.scores >= 0) & (found.scores <= 1)).all()
            assert len(found.boxes) == len(found.scores) == len(found.labels)
            if found.masks is not None:
                assert len(found.masks) == len(found)
