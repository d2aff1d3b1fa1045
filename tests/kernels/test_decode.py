from __future__ import annotations

import cv2
import numpy as np
import openvino as ov
import openvino.opset8 as ops
import oracles
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saccade.kernels import parse_detections

sweep = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def random_boxes(rng, n, size=0.2):
    corner = rng.random((n, 2), np.float32)
    return np.concatenate([corner, corner + rng.random((n, 2), np.float32) * size], 1)


def network(rng, n, classes, spread=1.0):
    """Outputs of an imagined SSD: offsets, softmaxed scores, priors."""
    logits = rng.normal(size=(n, classes)).astype(np.float32) * 3
    logits[:, 0] += 3
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return rng.normal(size=(n, 4)).astype(np.float32) * spread, scores.astype(np.float32), random_boxes(rng, n)


class TestNms:
    @sweep
    @given(
        n=st.integers(0, 200),
        threshold=st.sampled_from([0.0, 0.3, 0.45, 0.9, 1.0]),
        top_k=st.sampled_from([-1, 0, 1, 20, 500]),
        levels=st.sampled_from([3, 1000]),
        seed=st.integers(0, 100),
    )
    def test_like_the_plain_form(self, variants, n, threshold, top_k, levels, seed):
        rng = np.random.default_rng(seed)
        boxes, scores = random_boxes(rng, n), (rng.integers(0, levels, n) / levels).astype(np.float32)
        want = oracles.nms(boxes, scores, threshold, top_k)
        for kernels in variants:
            got = kernels.nms(boxes, scores, threshold, top_k)
            np.testing.assert_array_equal(got, want, err_msg=kernels.variant)

    @sweep
    @given(
        n=st.integers(0, 200),
        threshold=st.sampled_from([0.0, 0.3, 0.9]),
        top_k=st.sampled_from([-1, 0, 1, 20, 500]),
        kinds=st.sampled_from([1, 2, 40]),
        seed=st.integers(0, 100),
    )
    def test_only_boxes_of_one_label_suppress_each_other(self, variants, n, threshold, top_k, kinds, seed):
        rng = np.random.default_rng(seed)
        boxes, scores = random_boxes(rng, n), (rng.integers(0, 30, n) / 30).astype(np.float32)
        labels = rng.choice(rng.integers(-(2**31), 2**31, kinds), n)
        # Boxes of different labels, moved apart, cannot overlap.
        apart = boxes.astype(np.float64) + np.unique(labels, return_inverse=True)[1].reshape(-1, 1) * 8
        want = oracles.nms(apart, scores, threshold, top_k)
        for kernels in variants:
            got = kernels.nms(boxes, scores, threshold, top_k, labels=labels)
            np.testing.assert_array_equal(got, want, err_msg=kernels.variant)

    def test_what_is_kept_is_what_opencv_keeps(self, kernels, rng):
        boxes, scores = random_boxes(rng, 2000) * 1000, rng.random(2000, np.float32)
        sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        want = cv2.dnn.NMSBoxes(sizes, scores, 0.0, 0.45)
        got = kernels.nms(boxes, scores, 0.45)
        assert len(set(got) ^ set(want)) <= 4  # rounding right at the threshold

    def test_boxes_that_are_none_suppress_nothing(self, kernels):
        boxes = np.float32([[0, 0, 1, 1], [0, 0, 0, 0], [2, 2, 1, 1], [-np.inf, 0, np.inf, 1], [0, 0, 1, 1]])
        scores = np.float32([0.5, 0.9, 0.8, np.nan, -1])
        assert kernels.nms(boxes, scores, 0.5).tolist()[:3] == [1, 2, 0]
        assert 4 not in kernels.nms(boxes, scores, 0.5)

    def test_inputs_of_other_types(self, kernels):
        assert kernels.nms([[0, 0, 1, 1], [5, 5, 6, 6]], [0.1, 0.9], 0.5).tolist() == [1, 0]
        assert kernels.nms([], [], 0.5).tolist() == []
        with pytest.raises(ValueError, match="2 boxes and 3 scores"):
            kernels.nms(np.zeros((2, 4)), np.zeros(3), 0.5)
        with pytest.raises(ValueError, match="2 labels and 3 scores"):
            kernels.nms(np.zeros((3, 4)), np.zeros(3), 0.5, labels=[1, 2])


def detection_output(loc, conf, priors, *, variances, background, score_threshold, iou_threshold, top_k, keep_top_k):
    """OpenVINO's own operator, in float32; rows label, score, box."""
    n, classes = conf.shape
    inputs = [ops.parameter([1, n * 4], np.float32), ops.parameter([1, n * classes], np.float32)]
    spread = np.tile(np.float32(variances), n)
    boxes = ops.constant(np.stack([priors.reshape(-1), spread])[None].astype(np.float32))
    attributes = {
        "background_label_id": background, "top_k": top_k, "keep_top_k": [keep_top_k], "nms_threshold": iou_threshold,
        "confidence_threshold": score_threshold, "share_location": True, "normalized": True,
        "code_type": "caffe.PriorBoxParameter.CENTER_SIZE", "variance_encoded_in_target": False,
    }  # fmt: skip
    node = ops.detection_output(inputs[0], inputs[1], boxes, attributes)
    model = ov.Core().compile_model(ov.Model([node], inputs), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return parse_detections(model([loc.reshape(1, -1), conf.reshape(1, -1)])[0])


class TestSsd:
    @pytest.mark.parametrize("background", [0, 6])
    @pytest.mark.parametrize(("top_k", "keep_top_k"), [(400, 200), (10, 30), (100, 100)])
    def test_like_openvinos_detection_output(self, variants, rng, background, top_k, keep_top_k):
        loc, conf, priors = network(rng, 600, 7)
        options = {
            "variances": (0.1, 0.1, 0.2, 0.2), "background": background, "score_threshold": 0.1, "iou_threshold": 0.45,
            "top_k": top_k, "keep_top_k": keep_top_k,
        }  # fmt: skip
        want = detection_output(loc, conf, priors, **options)
        for kernels in variants:
            got = kernels.decode_ssd(loc, conf, priors, **options)
            np.testing.assert_allclose(got, want, atol=2e-6, err_msg=kernels.variant)

    @pytest.mark.parametrize("clip", [False, True])
    @pytest.mark.parametrize("top_k", [-1, 50])
    def test_like_mxnets_multibox_detection(self, kernels, rng, clip, top_k):
        loc, conf, priors = network(rng, 500, 5)
        got = kernels.decode_ssd(
            loc, conf, priors, score_threshold=0.2, iou_threshold=0.5, top_k=top_k, keep_top_k=-1, best_class=True,
            clip=clip,
        )  # fmt: skip
        want = oracles.multibox_detection(loc, conf, priors, (0.1, 0.1, 0.2, 0.2), 0.2, 0.5, top_k, clip)
        np.testing.assert_allclose(got, want, atol=2e-6)

    @pytest.mark.parametrize("scores", [[np.nan, 0.1, 0.9], [0.1, np.nan, 0.9], [0.1, 0.9, np.nan]])
    def test_nan_hides_no_class(self, kernels, scores):
        options = {"background": None, "score_threshold": 0.5, "iou_threshold": 0.5, "top_k": -1, "keep_top_k": -1}
        for best_class in (False, True):
            got = kernels.decode_ssd(
                np.zeros((1, 4)), np.float32([scores]), np.float32([[0, 0, 1, 1]]), best_class=best_class, **options
            )
            assert got[:, 0].tolist() == [np.nanargmax(scores)]

    @sweep
    @given(n=st.integers(0, 60), classes=st.sampled_from([1, 2, 3, 31, 32, 33, 70]), seed=st.integers(0, 50))
    def test_any_number_of_classes(self, variants, n, classes, seed):
        rng = np.random.default_rng(seed)
        loc, conf, priors = network(rng, n, classes)
        background = int(rng.integers(-1, classes))
        foreground = np.delete(conf, background, 1) if background >= 0 else conf
        for kernels in variants:
            got = kernels.decode_ssd(
                loc, conf, priors, background=background, score_threshold=0.05, iou_threshold=1, top_k=-1, keep_top_k=-1
            )
            assert len(got) == (foreground > np.float32(0.05)).sum(), kernels.variant
            assert (np.diff(got[:, 1]) <= 0).all(), kernels.variant
            assert background not in got[:, 0], kernels.variant

    def test_a_hundred_thousand_priors(self, variants, rng):
        loc, conf, priors = network(rng, 100_000, 5)
        options = {"score_threshold": 0.3, "iou_threshold": 0.45, "top_k": 400, "keep_top_k": 200}
        parts = []
        for c in range(1, 5):
            best = np.flatnonzero(conf[:, c] > np.float32(0.3))
            best = best[np.argsort(-conf[best, c], kind="stable")][:400]
            boxes = oracles.decode_boxes(loc[best], priors[best], (0.1, 0.1, 0.2, 0.2))
            kept = oracles.nms(boxes, conf[best, c], 0.45)
            parts.append(np.column_stack([np.full(len(kept), c), conf[best[kept], c], boxes[kept]]))
        want = np.concatenate(parts)
        want = want[np.argsort(-want[:, 1], kind="stable")][:200]
        for kernels in variants:
            got = kernels.decode_ssd(loc, conf, priors, **options)
            np.testing.assert_allclose(got, want, atol=2e-6, err_msg=kernels.variant)

    def test_out_is_written_and_returned(self, kernels, rng):
        loc, conf, priors = network(rng, 50, 3)
        options = {"score_threshold": 0.01, "iou_threshold": 0.9, "top_k": -1, "keep_top_k": 10}
        out = np.zeros((12, 6), np.float32)
        got = kernels.decode_ssd(loc, conf, priors, out=out, **options)
        assert got.base is out
        np.testing.assert_array_equal(got, kernels.decode_ssd(loc, conf, priors, **options))
        with pytest.raises(ValueError, match="room for 4 rows; 10 were found"):
            kernels.decode_ssd(loc, conf, priors, out=out[:4], **options)
        with pytest.raises(ValueError, match="6 columns; got 5"):
            kernels.decode_ssd(loc, conf, priors, out=np.zeros((12, 5), np.float32), **options)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"loc": np.zeros((49, 4))}, "got 49, 50 and 50"),
            ({"loc": np.zeros(7)}, r"loc must have shape \(n, 4\); got \(7,\)"),
            ({"priors": np.zeros((50, 3))}, r"priors must have shape \(n, 4\); got \(50, 3\)"),
            ({"conf": np.zeros((1, 50, 3))}, r"conf must have shape \(n, classes\); got \(1, 50, 3\)"),
            ({"variances": (0.1, 0.2)}, "variances must be 4 numbers; got 2"),
            ({"out": np.zeros((50, 6))}, r"contiguous and writable; got float64 \(50, 6\)"),
            ({"out": np.zeros((50, 12), np.float32)[:, ::2]}, r"out must be a float32 array \(room, 6\), contiguous"),
            ({"out": np.zeros(6, np.float32)}, r"got float32 \(6,\)"),
            ({"out": [[0.0] * 6]}, "got list"),
        ],
    )
    def test_what_does_not_fit_is_named(self, kernels, arguments, words):
        tensors = {"loc": np.zeros((50, 4)), "conf": np.zeros((50, 3)), "priors": np.zeros((50, 4))}
        options = {"score_threshold": 0, "iou_threshold": 1, "top_k": -1, "keep_top_k": -1}
        with pytest.raises(ValueError, match=words):
            kernels.decode_ssd(**{**tensors, **options, **arguments})


class TestAnchors:
    @pytest.mark.parametrize("columns", [2, 4])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("points", [0, 6])
    def test_like_the_plain_form(self, variants, rng, points, weighted, columns):
        n, size = 896, (128, 96)
        raw = rng.normal(size=(n, 4 + 2 * points)).astype(np.float32) * 10
        raw[:, 2:4] = np.abs(raw[:, 2:4]) + 20
        anchors = np.concatenate([rng.random((n, 2)), 0.5 + rng.random((n, 2))], 1)[:, :columns].astype(np.float32)
        scores = rng.normal(size=n).astype(np.float32) * 3 - 1
        rows = oracles.anchor_rows(raw, scores, anchors, size)
        rows = rows[rows[:, 0] >= 0.2]
        rows = rows[np.argsort(-rows[:, 0], kind="stable")]
        want = oracles.average_groups(rows, 0.3) if weighted else rows[oracles.nms(rows[:, 1:5], rows[:, 0], 0.3)]
        for kernels in variants:
            got = kernels.decode_anchors(
                raw, scores, anchors, size=size, score_threshold=0.2, iou_threshold=0.3, weighted=weighted
            )
            assert got.shape == (len(want), 5 + 2 * points), kernels.variant
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5, err_msg=kernels.variant)

    def test_no_more_come_than_the_limits_allow(self, kernels, rng):
        raw, scores = np.full((30, 4), 5, np.float32), rng.normal(size=30)
        anchors = random_boxes(rng, 30)[:, :2]
        options = {"size": 1000, "score_threshold": 0.0, "iou_threshold": 0.5}
        assert len(kernels.decode_anchors(raw, scores, anchors, **options)) == 30
        assert len(kernels.decode_anchors(raw, scores, anchors, top_k=7, **options)) == 7
        assert len(kernels.decode_anchors(raw, scores, anchors, keep_top_k=3, **options)) == 3
        assert len(kernels.decode_anchors(raw, scores, anchors, size=9, score_threshold=1, iou_threshold=1)) == 0

    def test_a_size_of_any_kind_of_number(self, kernels):
        arguments = np.full((1, 4), 8), np.ones(1), np.zeros((1, 2))
        options = {"score_threshold": 0, "iou_threshold": 1}
        for size in (16, 16.0, np.int64(16), np.float32(16), (16, 16), np.array([16, 16])):
            assert kernels.decode_anchors(*arguments, size=size, **options)[0, 1:].tolist() == [0.25, 0.25, 0.75, 0.75]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"boxes": np.zeros((2, 5))}, r"4 \+ 2k columns.*got 5"),
            ({"boxes": np.zeros((2, 2))}, r"4 \+ 2k columns.*got 2"),
            ({"boxes": np.zeros((2, 134))}, "k up to 64; got 134"),
            ({"boxes": np.zeros((1, 2, 4))}, r"boxes must have shape \(n, 4 \+ 2k\); got \(1, 2, 4\)"),
            ({"scores": np.zeros(3)}, "got 2, 3 and 2"),
            ({"anchors": np.zeros((2, 3))}, "2 or 4 columns; got 3"),
            ({"anchors": np.zeros(2)}, r"anchors must have shape \(n, 2 or 4\); got \(2,\)"),
            ({"size": 0}, r"size must be one positive number or \(height, width\); got 0"),
            ({"size": (1, 2, 3)}, r"got \(1, 2, 3\)"),
        ],
    )
    def test_what_does_not_fit_is_named(self, kernels, arguments, words):
        tensors = {"boxes": np.zeros((2, 4)), "scores": np.zeros(2), "anchors": np.zeros((2, 2))}
        with pytest.raises(ValueError, match=words):
            kernels.decode_anchors(**{**tensors, "size": 1, "score_threshold": 0, "iou_threshold": 1, **arguments})


ODD = np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0, -0.0, 0.5, 1, 90, -90])


def with_odd(rng, values, part):
    """The values as float32, a part of them replaced by what trained networks do not say."""
    values = np.array(values, np.float32)
    odd = rng.random(values.shape) < part
    values[odd] = rng.choice(ODD, odd.sum())
    return values


class TestWhateverComes:
    """All implementations make the same of it, without a warning."""

    @sweep
    @given(n=st.integers(0, 60), seed=st.integers(0, 1000), threshold=st.sampled_from([0.0, 0.3, 1.0]))
    def test_nms_is_the_same_in_all_variants_whatever_the_numbers(self, variants, n, seed, threshold):
        rng = np.random.default_rng(seed)
        boxes, scores = with_odd(rng, random_boxes(rng, n), 0.1), with_odd(rng, rng.integers(0, 8, n) / 8, 0.1)
        for labels in (None, rng.integers(-2, 2, n)):
            want, *others = (kernels.nms(boxes, scores, threshold, labels=labels) for kernels in variants)
            for got in others:
                np.testing.assert_array_equal(got, want)

    def test_zero_is_zero_with_either_sign(self, kernels):
        boxes = np.float32([[0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10]])
        assert kernels.nms(boxes, np.float32([-0.0, 0.0, -0.0]), 0.5).tolist() == [0, 1, 2]

    @sweep
    @given(
        n=st.integers(0, 40),
        classes=st.integers(0, 9),
        best_class=st.booleans(),
        clip=st.booleans(),
        threshold=st.sampled_from([-np.inf, 0.0, 0.5, np.nan]),
        seed=st.integers(0, 1000),
    )
    def test_decode_ssd_is_the_same_in_all_variants_whatever_the_numbers(
        self, variants, n, classes, best_class, clip, threshold, seed
    ):
        rng = np.random.default_rng(seed)
        loc, conf, priors = rng.normal(size=(n, 4)), rng.random((n, classes)), random_boxes(rng, n)
        tensors = [with_odd(rng, values, 0.1) for values in (loc, conf, priors)]
        options = {"score_threshold": threshold, "iou_threshold": 0.3, "top_k": 30, "keep_top_k": -1, "clip": clip}
        want, *others = (kernels.decode_ssd(*tensors, best_class=best_class, **options) for kernels in variants)
        for got in others:
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)

    @sweep
    @given(
        n=st.integers(0, 60),
        weighted=st.booleans(),
        threshold=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
        seed=st.integers(0, 1000),
    )
    def test_decode_anchors_is_the_same_in_all_variants_whatever_the_numbers(
        self, variants, n, weighted, threshold, seed
    ):
        rng = np.random.default_rng(seed)
        raw, logits, anchors = rng.normal(30, 20, (n, 8)), rng.normal(size=n) * 3, random_boxes(rng, n)
        tensors = [with_odd(rng, values, 0.05) for values in (raw, logits, anchors)]
        options = {"size": 128, "score_threshold": threshold, "iou_threshold": 0.3, "weighted": weighted}
        want, *others = (kernels.decode_anchors(*tensors, **options) for kernels in variants)
        for got in others:
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_rows_above_the_threshold_come_best_first():
    rows = np.zeros((1, 1, 5, 7), np.float32)
    rows[0, 0, :, :3] = [[0, 1, 0.5], [0, 2, 0.9], [0, 1, 0.05], [-1, 0, 0], [0, 3, 0.99]]
    got = parse_detections(rows, score_threshold=0.1)
    np.testing.assert_allclose(got[:, :2], [[2, 0.9], [1, 0.5]])
    assert got.dtype == np.float32
    with pytest.raises(ValueError, match=r"7 columns.*got 6"):
        parse_detections(rows[..., :6])
