"""Graphs cut before DetectionOutput: the kernel says what the layer would have said, or the layer stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset15 as op
import pytest
from numpy.typing import NDArray

from saccade.formats.detection_output import SsdHead, cut_detection_output
from saccade.kernels import decode_ssd, parse_detections

CENTRE, CORNER = "caffe.PriorBoxParameter.CENTER_SIZE", "caffe.PriorBoxParameter.CORNER"
COUNT, CLASSES = 300, 5


def graph(*, variances: Any = (0.1, 0.1, 0.2, 0.2), fed_priors: bool = False, **changes: Any) -> ov.Model:
    """Inputs loc and conf (and priors) -> the layer."""
    rng = np.random.default_rng(1)
    centre, size = rng.random((COUNT, 2)), 0.05 + 0.4 * rng.random((COUNT, 2))
    corners = np.concatenate([centre - size / 2, centre + size / 2], 1)
    rows = [corners.ravel(), np.resize(np.asarray(variances, np.float32), COUNT * 4)]
    values = np.array(rows[: 1 if changes.get("variance_encoded_in_target") else 2], np.float32)[None]
    share = changes.get("share_location", True)
    loc = op.parameter([1, COUNT * 4 * (1 if share else CLASSES)], np.float32, name="loc")
    conf = op.parameter([1, COUNT * CLASSES], np.float32, name="conf")
    priors = op.parameter(values.shape, np.float32, name="priors") if fed_priors else op.constant(values)
    attributes = {
        "background_label_id": 0, "top_k": 200, "keep_top_k": [100], "nms_threshold": 0.45, "confidence_threshold": 0.1,
        "share_location": True, "normalized": True, "code_type": CENTRE, "variance_encoded_in_target": False,
    } | changes  # fmt: skip
    layer = op.detection_output(loc, conf, priors, attributes)
    layer.output(0).set_names({"found"})
    return ov.Model([layer], [loc, conf, *([priors] if fed_priors else [])], "ssd")


def fed(*, ties: bool = False) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(2)
    loc = rng.normal(size=(COUNT, 4)).astype(np.float32)
    logits = rng.normal(size=(COUNT, CLASSES)) * 3
    conf = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if ties:
        conf = np.round(conf, 1)
    return loc, conf.astype(np.float32)


def run(model: ov.Model, *inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(compiled([each.reshape(1, -1) for each in inputs])[i]) for i in range(len(model.outputs))]


def decoded(head: SsdHead, loc: NDArray[np.float32], conf: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the kernel makes of the inputs of the layer that was cut off."""
    rows = decode_ssd(
        loc.reshape(-1, 4), conf.reshape(-1, head.classes), head.priors, variances=head.variances,
        background=head.background, score_threshold=head.score_threshold, iou_threshold=head.iou_threshold,
        top_k=head.top_k, keep_top_k=head.keep_top_k, best_class=head.best_class, clip=head.clip,
    )  # fmt: skip
    rows[:, 0] += head.first_label
    if head.clip_after:
        rows[:, 2:].clip(0, 1, out=rows[:, 2:])
    return rows


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"background_label_id": 4},
        {"background_label_id": -1},
        {"variance_encoded_in_target": True},
        {"clip_before_nms": True},
        {"clip_after_nms": True},
        {"top_k": -1, "keep_top_k": [300]},
        {"top_k": 7, "keep_top_k": [11]},
        {"decrease_label_id": True},
        {"decrease_label_id": True, "top_k": 60, "keep_top_k": [60], "clip_before_nms": True},
        {"nms_threshold": 1.0},
    ],
    ids=str,
)
def test_the_kernel_says_what_the_layer_says(changes: dict[str, Any]) -> None:
    loc, conf = fed()
    want = parse_detections(run(graph(**changes), loc, conf)[0])
    cut = graph(**changes)
    head = cut_detection_output(cut)
    assert head is not None
    assert [port.any_name for port in cut.outputs] == ["found.loc", "found.conf"]
    got = decoded(head, *run(cut, loc, conf))
    assert len(want) > 5
    np.testing.assert_array_equal(got[:, 0], want[:, 0])
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"decrease_label_id": True, "top_k": -1, "keep_top_k": [300]}], ids=str)
def test_scores_that_are_equal(changes: dict[str, Any]) -> None:
    """Which of two equal scores comes first is the layer's own affair; how many there are of each is not."""
    loc, conf = fed(ties=True)
    want = parse_detections(run(graph(**changes), loc, conf)[0])
    head = cut_detection_output(graph(**changes))
    assert head is not None
    np.testing.assert_allclose(decoded(head, loc, conf)[:, 1], want[:, 1], atol=1e-6)


@pytest.mark.parametrize("mxnet", [False, True])
@pytest.mark.parametrize("overlap", [0.49, 0.5])
def test_an_overlap_that_is_just_the_threshold(mxnet: bool, overlap: float) -> None:
    """Two boxes with an IoU of 1/2, exactly."""
    corners = np.array([[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.25]], np.float32)
    values = np.stack([corners.ravel(), np.full(8, 0.5, np.float32)])[None]
    loc, conf = op.parameter([1, 8], np.float32), op.parameter([1, 4], np.float32)
    attributes = {
        "background_label_id": 0, "top_k": 10, "keep_top_k": [10], "nms_threshold": overlap,
        "confidence_threshold": 0.1, "share_location": True, "normalized": True, "code_type": CENTRE,
        "decrease_label_id": mxnet,
    }  # fmt: skip
    model = ov.Model([op.detection_output(loc, conf, op.constant(values), attributes)], [loc, conf])
    scores = np.array([0.1, 0.9, 0.2, 0.8], np.float32)
    want = parse_detections(run(model, np.zeros(8, np.float32), scores)[0])
    head = cut_detection_output(model)
    assert head is not None
    got = decoded(head, np.zeros(8, np.float32), scores)
    assert len(got) == len(want)


def test_priors_that_the_graph_computes_are_folded() -> None:
    picture = op.parameter([1, 3, 32, 32], np.float32, name="data")
    features = op.avg_pool(picture, [8, 8], [0, 0], [0, 0], [8, 8], False, "floor")

    def size_of(node: ov.Node) -> ov.Node:
        return op.strided_slice(op.shape_of(node), [2], [4], [1], [0], [0])

    boxes = op.prior_box_clustered(
        size_of(features), size_of(picture),
        {"width": [8.0, 16.0], "height": [8.0, 12.0], "step": 8.0, "offset": 0.5, "variance": [0.1, 0.1, 0.2, 0.2]},
    )  # fmt: skip
    priors = op.unsqueeze(boxes, op.constant(np.array([0])))
    rng = np.random.default_rng(0)

    def head(channels: int) -> ov.Node:
        weights = op.constant(rng.normal(size=(channels, 3, 1, 1)).astype(np.float32))
        maps = op.convolution(features, weights, [1, 1], [0, 0], [0, 0], [1, 1])
        return op.reshape(op.transpose(maps, [0, 2, 3, 1]), op.constant(np.array([1, -1])), False)

    attributes = {
        "background_label_id": 0, "top_k": 30, "keep_top_k": [30], "nms_threshold": 0.5, "confidence_threshold": 0.2,
        "share_location": True, "normalized": True, "code_type": CENTRE,
    }  # fmt: skip
    model = ov.Model([op.detection_output(head(8), head(4), priors, attributes)], [picture], "ssd")
    cut = cut_detection_output(model)
    assert cut is not None
    assert cut.priors.shape == (32, 4)
    np.testing.assert_allclose(cut.priors[0], [0, 0, 8 / 32, 8 / 32], atol=1e-6)
    np.testing.assert_allclose(cut.variances, [0.1, 0.1, 0.2, 0.2])


@pytest.mark.parametrize(
    "changes",
    [
        {"code_type": CORNER},
        {"share_location": False},
        {"variances": np.random.default_rng(0).uniform(0.1, 0.2, COUNT * 4)},
        {"fed_priors": True},
        {"decrease_label_id": True, "background_label_id": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_forms_keep_their_layer(changes: dict[str, Any]) -> None:
    model = graph(**changes)
    assert cut_detection_output(model) is None
    assert [port.any_name for port in model.outputs] == ["found"]


def test_what_is_no_detector_is_left_alone() -> None:
    x = op.parameter([1, 4], np.float32)
    model = ov.Model([op.relu(x)], [x])
    assert cut_detection_output(model) is None
    assert len(model.outputs) == 1


def test_a_layer_beside_other_outputs_stays() -> None:
    model = graph()
    model.add_outputs([model.inputs[1].node.output(0)])
    assert cut_detection_output(model) is None
    assert len(model.outputs) == 2
