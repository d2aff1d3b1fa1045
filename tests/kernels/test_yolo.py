from __future__ import annotations

import itertools

import cv2
import numpy as np
import oracles
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from lengths import length
from saccade.kernels import grid_cells, numba_kernels
from saccade.kernels.yolo import CODINGS

EXAMPLES = length(40, 200, "SACCADE_EXAMPLES")
sweep = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
BINS = 8


def network(seed, n, classes, coding, *, objectness=False, logits=False):
    """The parts of an imagined head: boxes (n, channels), objectness or None, scores (n, classes), cells.

    Scores are multiples of 1/64 before any activation: distinct ones stay distinct, and many are equal.
    """
    rng = np.random.default_rng(seed)
    cells = np.concatenate(
        [rng.integers(0, 600, (n, 2)), 8 * 2 ** rng.integers(0, 3, (n, 1)), rng.integers(10, 90, (n, 2))], 1
    ).astype(np.float32)
    if coding == "cxcywh":
        boxes = np.concatenate([rng.uniform(0, 200, (n, 2)), rng.uniform(5, 90, (n, 2))], 1)
    elif coding == "xyxy":
        corner = rng.uniform(0, 200, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 90, (n, 2))], 1)
    elif "region" in coding:
        boxes = rng.uniform(0.1, 1, (n, 4))
    elif coding == "dfl":
        boxes = rng.normal(size=(n, 4 * BINS)) * 2
    else:
        boxes = rng.uniform(0.1, 3, (n, 4))
    low, high = (-6, 6) if logits else (0, 1)
    values = rng.integers(low * 64, high * 64 + 1, (n, classes + 1)).astype(np.float32) / 64
    return boxes.astype(np.float32), values[:, -1] if objectness else None, values[:, :-1], cells


def tensor(boxes, objectness, scores, *, scores_first=False, extra=0, channels_first=False):
    """The parts as the channels of one tensor."""
    middle = [] if objectness is None else [objectness[:, None]]
    parts = [scores, boxes, *middle] if scores_first else [boxes, *middle, scores]
    rows = np.concatenate([*parts, np.full((len(boxes), extra), 0.99, np.float32)], 1)
    return np.ascontiguousarray(rows.T if channels_first else rows)[None]


def agree(got, want, variant=""):
    """Labels and source rows exactly, scores within 2 units of their last place, boxes within 1/1000 px.

    Compared by source row: two scores that differ in their last place may come in either order.
    """
    assert got.dtype == np.float32
    assert got.shape == want.shape, variant
    assert (np.diff(got[:, 1]) <= 0).all(), variant
    got, want = (rows[np.lexsort([rows[:, 0], rows[:, 6]])] for rows in (got, want))
    np.testing.assert_array_equal(got[:, [0, 6]], want[:, [0, 6]], err_msg=variant)
    np.testing.assert_allclose(got[:, 1], want[:, 1], rtol=3e-7, err_msg=variant)
    np.testing.assert_allclose(got[:, 2:6], want[:, 2:6], rtol=2e-6, atol=1e-3, err_msg=variant)


MANY = {
    "n": 2300, "apart": False, "scores_first": False, "channels_first": True, "iou": 0.5, "limits": (-1, -1), "seed": 0,
}  # fmt: skip
"""More rows than are scanned at a time."""


class TestLikeThePlainForm:
    @pytest.mark.parametrize("coding", CODINGS)
    def test_all_layouts_and_options(self, variants, coding):
        @settings(sweep, max_examples=max(EXAMPLES // 3, 1))
        @example(
            **MANY, classes=3, objectness=False, sigmoid=False, every_class=True, agnostic=False, threshold=0.97
        )  # fmt: skip
        @example(
            **MANY, classes=9, objectness=True, sigmoid=True, every_class=False, agnostic=True, threshold=0.9
        )  # fmt: skip
        @given(
            n=st.integers(1, 70), classes=st.sampled_from([1, 2, 5, 16, 33, 80]), objectness=st.booleans(),
            apart=st.booleans(), scores_first=st.booleans(), channels_first=st.booleans(), sigmoid=st.booleans(),
            every_class=st.booleans(), agnostic=st.booleans(), threshold=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
            iou=st.sampled_from([None, 0.1, 0.45, 0.7]), limits=st.sampled_from([(-1, -1), (30, 5), (0, -1), (-1, 3)]),
            seed=st.integers(0, 1000),
        )  # fmt: skip
        def check(n, classes, objectness, apart, scores_first, channels_first, sigmoid, every_class, agnostic,
                  threshold, iou, limits, seed):  # fmt: skip
            needed, always_logits = CODINGS[coding]
            logits = sigmoid or always_logits
            boxes, obj, scores, cells = network(seed, n, classes, coding, objectness=objectness, logits=logits)
            extra = 0 if coding == "dfl" else seed % 3
            top_k, keep_top_k = limits
            common = {
                "iou_threshold": iou, "score_threshold": threshold, "top_k": top_k, "keep_top_k": keep_top_k,
                "agnostic": agnostic, "every_class": every_class, "scale_xy": 1.05,
            }  # fmt: skip
            arguments = {"channels_first": channels_first, "sigmoid": sigmoid, "cells": cells if needed else None}
            layout = coding + "-obj" * objectness
            if apart:
                nothing = np.empty((n, 0), np.float32)
                rows = tensor(boxes, obj, nothing, extra=extra, channels_first=channels_first)
                arguments["scores"] = (scores.T if channels_first else scores).copy()
            else:
                layout = "scores-" * scores_first + layout
                rows = tensor(boxes, obj, scores, scores_first=scores_first, extra=extra, channels_first=channels_first)
                arguments["classes"] = classes
            want = oracles.decode_yolo(boxes, obj, scores, coding=coding, cells=cells, logits=logits, **common)
            for kernels in variants:
                agree(kernels.decode_yolo(rows, layout=layout, **arguments, **common), want, kernels.variant)

        check()

    def test_all_variants_give_the_same_bits(self, variants, rng):
        """And Numba's differ by rounding at most."""
        for coding, channels_first, every_class in itertools.product(CODINGS, (False, True), (False, True)):
            boxes, obj, scores, cells = network(5, 1500, 11, coding, objectness=True, logits=CODINGS[coding][1])
            options = {
                "layout": coding + "-obj", "score_threshold": 0.5, "iou_threshold": 0.5, "classes": 11, "cells": cells,
                "channels_first": channels_first, "every_class": every_class, "scale_xy": 1.1,
            }  # fmt: skip
            rows = tensor(boxes, obj, scores, channels_first=channels_first)
            want = numba_kernels.decode_yolo(rows, **options)
            assert len(want) > 20
            compiled = set()
            for kernels in variants:
                got = kernels.decode_yolo(rows, **options)
                agree(got, want, kernels.variant)
                if kernels.variant != "numba":
                    compiled.add(got.tobytes())
            assert len(compiled) <= 1

    def test_orientation_changes_nothing(self, kernels):
        boxes, _, scores, _ = network(1, 5000, 7, "cxcywh")
        options = {"layout": "cxcywh", "score_threshold": 0.98, "iou_threshold": 0.5}
        by_row = kernels.decode_yolo(tensor(boxes, None, scores), **options)
        by_channel = kernels.decode_yolo(
            tensor(boxes, None, scores, channels_first=True), channels_first=True, **options
        )
        np.testing.assert_array_equal(by_row, by_channel)

    def test_what_is_kept_is_what_opencv_keeps(self, kernels):
        boxes, _, scores, _ = network(2, 3000, 4, "cxcywh")
        got = kernels.decode_yolo(
            tensor(boxes, None, scores), layout="cxcywh", score_threshold=0.5, iou_threshold=0.45, agnostic=True
        )
        corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], 1)
        want = cv2.dnn.NMSBoxes(corners, scores.max(1), 0.4999, 0.45)
        assert len(set(got[:, 6].astype(int)) ^ set(want)) <= 2  # rounding right at the threshold


class TestTensors:
    options = {"layout": "cxcywh", "score_threshold": 0.6, "iou_threshold": 0.6}  # noqa: RUF012

    def test_a_list_counts_as_its_rows_one_behind_the_other(self, kernels):
        boxes, _, scores, cells = network(3, 400, 6, "dfl")
        whole = kernels.decode_yolo(
            tensor(boxes, None, scores), layout="dfl", classes=6, cells=cells, score_threshold=0.6, iou_threshold=0.4
        )
        cuts = [slice(0, 300), slice(300, 300), slice(300, 399), slice(399, 400)]
        parts = [tensor(boxes[cut], None, scores[cut], channels_first=True) for cut in cuts]
        got = kernels.decode_yolo(
            parts, layout="dfl", classes=6, cells=cells, score_threshold=0.6, iou_threshold=0.4, channels_first=True
        )
        np.testing.assert_array_equal(got, whole)
        apart = kernels.decode_yolo(
            [boxes[cut] for cut in cuts], scores=[scores[cut] for cut in cuts], layout="dfl", cells=cells,
            score_threshold=0.6, iou_threshold=0.4,
        )  # fmt: skip
        np.testing.assert_array_equal(apart, whole)

    def test_views_are_read_as_they_are(self, kernels):
        boxes, _, scores, _ = network(4, 300, 6, "cxcywh")
        rows = tensor(boxes, None, scores)[0]
        want = kernels.decode_yolo(rows, **self.options)
        assert len(want)
        wide = np.full((300, 3 * rows.shape[1]), np.nan, np.float32)
        wide[:, ::3] = rows
        turned = np.ascontiguousarray(rows[::-1])[::-1]
        shifted = np.zeros(rows.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(rows.shape)
        shifted[...] = rows
        for view in (wide[:, ::3], turned, np.asfortranarray(rows), rows.astype(">f4"), rows.astype(float), shifted):
            np.testing.assert_array_equal(kernels.decode_yolo(view, **self.options), want)
        np.testing.assert_array_equal(kernels.decode_yolo(rows.tolist(), **self.options), want)

    def test_a_background_class_is_cut_off_by_a_view(self, kernels):
        boxes, _, scores, _ = network(4, 300, 6, "xyxy")
        options = {"layout": "xyxy", "score_threshold": 0.6, "iou_threshold": 0.6}
        got = kernels.decode_yolo(boxes, scores=scores[:, 1:], **options)
        np.testing.assert_array_equal(got, kernels.decode_yolo(boxes, scores=scores[:, 1:].copy(), **options))

    def test_the_row_leads_back_to_the_source(self, kernels):
        boxes, _, scores, _ = network(6, 3000, 3, "cxcywh")
        got = kernels.decode_yolo(tensor(boxes, None, scores), **self.options)
        source = got[:, 6].astype(int)
        np.testing.assert_allclose((got[:, 2:4] + got[:, 4:6]) / 2, boxes[source, :2], atol=1e-4)
        np.testing.assert_array_equal(got[:, 1], scores[source, got[:, 0].astype(int)])

    def test_equal_scores_keep_the_order_of_rows_and_labels(self, kernels):
        boxes = np.float32([[50 * i, 0, 10, 10] for i in range(2500)])
        rows = tensor(boxes, None, np.full((2500, 3), 0.5, np.float32), channels_first=True)
        options = {**self.options, "score_threshold": 0.5, "channels_first": True}
        got = kernels.decode_yolo(rows, every_class=True, **options)
        np.testing.assert_array_equal(got[:, 6], np.repeat(np.arange(2500), 3))
        np.testing.assert_array_equal(got[:, 0], np.tile([0, 1, 2], 2500))
        np.testing.assert_array_equal(kernels.decode_yolo(rows, **options)[:, 0], 0)

    def test_the_threshold_itself_counts(self, kernels):
        for threshold in np.float32([0.25, 0.3, 0.9999999, 1.0]):
            rows = np.float32([[0, 0, 1, 1, threshold], [9, 9, 1, 1, np.nextafter(threshold, np.float32(0))]])
            options = {"layout": "cxcywh", "score_threshold": threshold, "iou_threshold": None}
            assert kernels.decode_yolo(rows, **options)[:, 6].tolist() == [0]
        saturated = np.float32([[0, 0, 1, 1, 30], [9, 9, 1, 1, 16.7]])
        assert len(kernels.decode_yolo(saturated, layout="cxcywh", score_threshold=1, iou_threshold=1, sigmoid=True))

    def test_out_is_written_and_returned(self, kernels):
        boxes, _, scores, _ = network(7, 100, 3, "cxcywh")
        rows, out = tensor(boxes, None, scores), np.zeros((100, 7), np.float32)
        got = kernels.decode_yolo(rows, out=out, **self.options)
        assert got.base is out
        np.testing.assert_array_equal(got, kernels.decode_yolo(rows, **self.options))
        with pytest.raises(ValueError, match="room for 1 rows"):
            kernels.decode_yolo(rows, out=out[:1], **self.options)
        with pytest.raises(ValueError, match="7 columns; got 6"):
            kernels.decode_yolo(rows, out=np.zeros((100, 6), np.float32), **self.options)


class TestWhateverComes:
    @pytest.mark.parametrize("coding", CODINGS)
    def test_nothing_that_is_no_number_comes_out(self, variants, coding):
        @settings(sweep, max_examples=max(EXAMPLES // 4, 1))
        @given(
            n=st.sampled_from([0, 1, 15, 16, 17, 40]), classes=st.sampled_from([0, 1, 3, 20]),
            channels_first=st.booleans(), sigmoid=st.booleans(), every_class=st.booleans(), objectness=st.booleans(),
            threshold=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf]), agnostic=st.booleans(),
            seed=st.integers(0, 1000),
        )  # fmt: skip
        def check(n, classes, channels_first, sigmoid, every_class, objectness, threshold, agnostic, seed):
            rng = np.random.default_rng(seed)
            odd = np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0, -0.0, 0.5, 1, 90, -90, 5])
            channels = (4 * BINS if coding == "dfl" else 4) + objectness + classes
            rows = rng.choice(odd, (n, channels))
            ordinary = rng.random((n, channels)) < 0.7
            rows[ordinary] = rng.uniform(0, 1, ordinary.sum())
            cells = rng.choice(
                np.float32([8, 16, 100, np.nan, np.inf, 1e30]), (n, 5), p=[0.3, 0.3, 0.3, 0.04, 0.03, 0.03]
            )
            options = {
                "layout": coding + "-obj" * objectness, "classes": classes, "cells": cells,
                "score_threshold": threshold, "iou_threshold": 0.5, "sigmoid": sigmoid, "every_class": every_class,
                "agnostic": agnostic,
            }  # fmt: skip
            tensor = np.ascontiguousarray(rows.T) if channels_first else rows
            want = None if np.isnan(cells).any() else numba_kernels.decode_yolo(rows, **options)
            for kernels in variants:
                name = kernels.variant
                got = kernels.decode_yolo(tensor, channels_first=channels_first, **options)
                assert np.isfinite(got).all(), name
                assert (np.diff(got[:, 1]) <= 0).all(), name
                assert (got[:, 1] >= np.float32(threshold)).all(), name
                np.testing.assert_array_equal(got, kernels.decode_yolo(rows, **options), err_msg=name)
                if want is not None:
                    np.testing.assert_array_equal(got[:, [0, 6]], want[:, [0, 6]], err_msg=name)

        check()

    @pytest.mark.parametrize("channels_first", [False, True])
    def test_nan_hides_no_class(self, kernels, channels_first):
        rows = np.zeros((40, 4 + 20), np.float32)
        rows[:, :4] = np.arange(40)[:, None] * 30 + 10
        rows[:, 4:] = np.nan
        rows[3, 4 + 7] = 0.8
        rows[5, 4 + 2 : 4 + 4] = [np.inf, 0.9]
        tensor = np.ascontiguousarray(rows.T) if channels_first else rows
        for every_class, want in ((False, [[7, 3]]), (True, [[3, 5], [7, 3]])):
            got = kernels.decode_yolo(
                tensor, layout="cxcywh", score_threshold=0.5, iou_threshold=0.5, channels_first=channels_first,
                every_class=every_class,
            )  # fmt: skip
            assert got[:, [0, 6]].tolist() == want

    def test_a_score_without_bounds_does_not_count_below_either(self, kernels):
        rows = np.float32([[10, 10, 4, 4, 90, -3e38], [30, 30, 4, 4, 0.5, 0.5]])
        options = {"layout": "cxcywh-obj", "score_threshold": -np.inf, "iou_threshold": 0.5}
        assert kernels.decode_yolo(rows, **options)[:, 6].tolist() == [1]

    def test_class_and_objectness_each_reach_the_threshold(self, kernels):
        rows = np.float32([[10, 10, 4, 4, 90, 0.01], [30, 30, 4, 4, 0.01, 90], [50, 50, 4, 4, 0.9, 0.9]])
        for every_class in (False, True):
            got = kernels.decode_yolo(
                rows, layout="cxcywh-obj", score_threshold=0.5, iou_threshold=0.5, every_class=every_class
            )
            assert got[:, 6].tolist() == [2]

    def test_nothing_in_gives_nothing(self, kernels):
        options = {"layout": "cxcywh", "score_threshold": 0.5, "iou_threshold": 0.5}
        assert kernels.decode_yolo(np.empty((0, 84)), **options).shape == (0, 7)
        assert kernels.decode_yolo(np.empty((1, 84, 0)), channels_first=True, **options).shape == (0, 7)
        assert kernels.decode_yolo(np.zeros((9, 4)), **options).shape == (0, 7)
        assert kernels.decode_yolo(np.zeros((9, 4)), scores=np.empty((9, 0)), **options).shape == (0, 7)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"layout": "yolo"}, "layout must be one of cxcywh, .*got 'yolo'"),
            ({"rows": np.zeros((9, 3))}, "at least 4 channels; got 3"),
            ({"layout": "cxcywh-obj", "rows": np.zeros((9, 4))}, "at least 5 channels; got 4"),
            ({"classes": 80}, "at least 84 channels; got 10"),
            ({"classes": -1}, "must not be negative; got -1"),
            ({"rows": np.zeros((2, 9, 10))}, r"shape \(n, channels\) behind leading ones; got \(2, 9, 10\)"),
            ({"rows": np.zeros(10), "channels_first": True}, r"shape \(channels, n\).*got \(10,\)"),
            ({"scores": np.zeros((8, 3))}, r"as many; got \[9\] and \[8\]"),
            ({"scores": np.zeros((9, 3)), "classes": 4}, "4 classes; got 3"),
            ({"layout": "grid"}, "layout grid needs cells of 3 columns"),
            ({"layout": "v5", "cells": np.zeros((9, 3))}, r"shape \(9, 5\); got \(9, 3\)"),
            ({"layout": "ltrb", "cells": np.zeros((8, 3))}, r"shape \(9, 3 or 5\); got \(8, 3\)"),
            ({"layout": "dfl", "cells": np.zeros((9, 3))}, "needs classes"),
            ({"layout": "dfl", "classes": 3, "cells": np.zeros((9, 3))}, r"4 \* bins of them for the box; got 10"),
            ({"rows": [np.zeros((9, 10)), np.zeros((9, 11))]}, r"same box and class.*got \[\(4, 6\), \(4, 7\)\]"),
            ({"rows": [np.zeros((9, 10))], "scores": [np.zeros((9, 1))] * 2}, r"got \[9\] and \[9, 9\]"),
            ({"rows": []}, "a list of at least one; got an empty list"),
            ({"rows": np.broadcast_to(np.float32(0), (2**24, 5))}, "fewer than 2\\*\\*24"),
            ({"score_threshold": float("nan")}, "score_threshold must be a number; got nan"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_named(self, kernels, arguments, words):
        options = {"rows": np.zeros((9, 10)), "layout": "cxcywh", "score_threshold": 0.5, "iou_threshold": 0.5}
        options.update(arguments)
        with pytest.raises(ValueError, match=words):
            kernels.decode_yolo(options.pop("rows"), **options)


class TestCells:
    def test_points_and_strides(self):
        cells = grid_cells(40, 64, [16, 32])
        assert cells.shape == (3 * 4 + 2 * 2, 3)
        np.testing.assert_array_equal(
            cells[:6], [[0, 0, 16], [16, 0, 16], [32, 0, 16], [48, 0, 16], [0, 16, 16], [16, 16, 16]]
        )
        np.testing.assert_array_equal(cells[-1], [32, 32, 32])
        np.testing.assert_array_equal(grid_cells(32, 32, [16], offset=0.5)[-1], [24, 24, 16])
        np.testing.assert_array_equal(grid_cells(32, 32, [16], offset=0.5, shift=-0.5)[0], [7.5, 7.5, 16])
        assert len(grid_cells(640, 640, [8, 16, 32])) == 8400
        assert len(grid_cells(320, 320, [8, 16, 32, 64])) == 2125

    def test_anchors_come_before_places(self):
        cells = grid_cells(32, 64, [16, 32], anchors=[[(1, 2), (3, 4)], [(5, 6), (7, 8)]])
        assert cells.shape == (2 * 8 + 2 * 2, 5)
        np.testing.assert_array_equal(cells[[0, 7, 8, 16, 18], 3:], [[1, 2], [1, 2], [3, 4], [5, 6], [7, 8]])

    def test_what_makes_no_sense_is_named(self):
        with pytest.raises(ValueError, match="positive"):
            grid_cells(32, 32, [0])
        with pytest.raises(ValueError, match=r"shape \(1, k, 2\); got \(2, 2\)"):
            grid_cells(32, 32, [8], anchors=[(1, 2), (3, 4)])


def test_rows_as_objects(kernels):
    """Rows that are no objects are dropped; labels that are no numbers become -1, and scores are cut to [0, 1]."""
    rows = np.array([
        [1, 0.9, 0, 0, 0.5, 1, 7], [2, np.nan, 0, 0, 1, 1, 8], [2, 0.8, 0.5, 0, 0.5, 1, 9],
        [3, 0.8, 0, 0, np.inf, 1, 1], [np.nan, 3, 0, 0.25, 1, 0.5, 2], [4, 0.7, 0, 0, 1e6, 1, 3],
        [5, -1, np.nan, 0, 1, 1, 4], [6, -1, -1, -1, 0, 0, 5],
    ], np.float32)  # fmt: skip
    unit = np.array([320, 200, 320, 200], np.float32)
    as_objects = kernels.module.as_objects
    boxes, scores, labels, chosen = as_objects(rows, unit, first_label=1)
    np.testing.assert_array_equal(boxes, [[0, 0, 160, 200], [0, 50, 320, 100], [-320, -200, 0, 0]])
    np.testing.assert_array_equal(scores, np.array([0.9, 1, 0], np.float32))
    assert (labels.tolist(), chosen.tolist()) == ([2, -1, 7], [0, 4, 7])
    assert (boxes.dtype, scores.dtype, labels.dtype) == (np.float32, np.float32, np.int32)
    assert as_objects(rows[:, :6].copy(), unit, top_k=2)[2].tolist() == [1, -1]
    assert as_objects(rows[:1], unit)[3] is None
    assert [len(part) for part in as_objects(rows[:0], unit)[:3]] == [0, 0, 0]
    assert as_objects(np.float32([[2.5, 1, 0, 0, 1, 1]]), unit, first_label=-3)[2].tolist() == [-1]
    nothing = np.lib.stride_tricks.as_strided(rows[:0], strides=(4, 0))  # of no rows strides say nothing
    assert len(as_objects(nothing, unit)[0]) == 0
    for wrong in (rows[:, :5].copy(), rows.astype(np.float64), rows[0], rows.T):
        with pytest.raises(ValueError, match="rows must be float32"):
            as_objects(wrong, unit)
    with pytest.raises(ValueError, match="unit must be"):
        as_objects(rows, unit[:3])
