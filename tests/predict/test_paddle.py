"""Paddle's detectors with their post-processing in the graph."""

from __future__ import annotations

import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest
from made_up import claimed, found_by, same_objects, try_nonsense

from saccade.errors import UnsupportedError
from saccade.networks import Model
from saccade.predict import open_predictor

FACTOR = {"scale_factor": (1, 2)}
BOTH = FACTOR | {"im_shape": (1, 2)}
ROWS = np.array(
    [(2, 0.9, 10, 20, 30.5, 40), (0, 0.6, 50, 60, 90, 100), (-1, 0, -1, -1, -1, -1), (1, 0.3, 1, 1, 9, 9)], np.float32
)


@pytest.mark.parametrize("inputs", [FACTOR, BOTH])
@pytest.mark.parametrize("counted", [True, False])
def test_rows_are_objects_with_and_without_a_count(inputs: dict[str, tuple[int, ...]], counted: bool) -> None:
    outputs = {"count": np.array([2], np.float32), "rows": ROWS}
    if not counted:
        del outputs["count"]
    claim = claimed(outputs, (320, 416), inputs=inputs)
    assert claim.family == "paddle"
    np.testing.assert_array_equal(claim.fixed["scale_factor"], [[1, 1]])
    assert set(claim.fixed) == set(inputs)
    if "im_shape" in inputs:
        np.testing.assert_array_equal(claim.fixed["im_shape"], [[320, 416]])
    same_objects(found_by(claim, outputs), ROWS[:2, 2:], [2, 0], [0.9, 0.6])
    assert len(found_by(claim, outputs, score=0.2)) == 3
    try_nonsense(claim, outputs)
    assert len(found_by(claim, {"rows": ROWS[:0], "count": np.zeros(1, np.float32)})) == 0


def test_the_inputs_say_how_pixels_are_scaled() -> None:
    outputs = {"rows": ROWS, "count": np.array([2], np.float32)}
    plain = claimed(outputs, (640, 640), inputs=BOTH)
    assert (plain.input["scale"], "mean" in plain.input) == ((255.0,) * 3, False)
    for inputs, layer_type in ((FACTOR, {}), (BOTH, {"rows": "NonMaxSuppression"})):
        claim = claimed(outputs, (640, 640), inputs=inputs, layer_type=layer_type)
        assert claim.input["mean"] == pytest.approx((123.675, 116.28, 103.53))
        assert claim.input["swap_rb"]


def test_boxes_and_scores_apart() -> None:
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.uniform(0, 300, (50, 2, 2)), axis=1).reshape(50, 4)
    scores = rng.uniform(0, 0.2, (6, 50))
    scores[4, 10], scores[0, 20] = 0.8, 0.7
    outputs = {"scores": scores[None].astype(np.float32), "boxes": boxes[None].astype(np.float32)}
    claim = claimed(outputs, (320, 320), inputs=FACTOR)
    same_objects(found_by(claim, outputs), boxes[[10, 20]], [4, 0], [0.8, 0.7])
    try_nonsense(claim, outputs)


def test_from_a_picture() -> None:
    """A network that divides its boxes by the scale factor, as Paddle's do, is told of a picture of its own size."""
    picture = op.parameter([1, 3, 32, 64], np.float32, name="image")
    factor = op.parameter([1, 2], np.float32, name="scale_factor")
    nothing = op.multiply(op.reduce_mean(picture, op.constant([0, 1, 2, 3]), False), op.constant(np.float32(0)))
    yx = op.concat([factor, factor], 1)
    boxes = op.divide(op.constant(np.array([[8, 4, 40, 20], [0, 0, 0, 0]], np.float32)), yx)
    rows = op.concat([op.constant(np.array([[1, 0.75], [-1, 0]], np.float32)), op.add(boxes, nothing)], 1)
    count = op.constant(np.array([1], np.int32))
    for node, name in ((picture, "image"), (factor, "scale_factor"), (rows, "bbox"), (count, "bbox_num")):
        node.output(0).set_names({name})
    predictor = open_predictor(Model(ov.Model([rows, count], [picture, factor], "paddle"), precision="f32"))
    found = predictor(np.zeros((64, 256, 3), np.uint8)).detections
    assert found is not None
    np.testing.assert_allclose(found.boxes, [[32, 8, 160, 40]], rtol=1e-5)
    assert (found.labels.tolist(), found.scores.tolist()) == ([1], [0.75])


def test_other_inputs_and_outputs_are_refused() -> None:
    outputs = {"rows": ROWS, "count": np.array([2], np.float32)}
    for inputs in ({}, {"im_shape": (1, 2)}, FACTOR | {"other": (1, 2)}):
        with pytest.raises(UnsupportedError):
            claimed(outputs, (320, 320), inputs=inputs)
    with pytest.raises(UnsupportedError):
        claimed({"rows": ROWS[:, :5]}, (320, 320), inputs=FACTOR)
